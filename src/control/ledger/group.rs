//! The ledger's thread: what is committed together, and when.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use super::shared::{Shared, now_s};
use crate::io::{Inbox, Mailer};
use crate::limits::{
    AUDIT_KEPT, CLOCK_WENT_BACK_S, LEDGER_ENTRIES, LEDGER_TIDIED_EVERY, LEDGER_TOLD_EVERY,
};
use crate::session::usage::{Report, Sheet, Written};
use crate::store::StoreError;
use crate::store::usage::{Batch, Counted, Seen, Used};

/// How often the thread looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The thread's state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    reports: Inbox<Report>,
    answers: Vec<Mailer<Written>>,
    /// What is not committed yet.
    sheet: Sheet,
    /// Who waits for that: worker and number.
    asked: Vec<(usize, u64)>,
    /// Since when something waits.
    since: Option<Instant>,
    committed: Instant,
    tidied: Option<Instant>,
    /// When it was told last that commits fail.
    told: Option<Instant>,
    /// The clocks when they were looked at last.
    clocks: (Instant, u64),
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        reports: Inbox<Report>,
        answers: Vec<Mailer<Written>>,
    ) -> Self {
        Self {
            shared,
            reports,
            answers,
            sheet: Sheet::default(),
            asked: Vec::new(),
            since: None,
            committed: Instant::now(),
            tidied: None,
            told: None,
            clocks: (Instant::now(), now_s()),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.reports.wait(self.pause());
            // Before the reports are taken, so that those are seen that came before the stop.
            let stop = self.shared.stop.load(Acquire);
            self.take_reports();
            if stop || !self.asked.is_empty() || self.is_due() {
                self.commit();
                self.follow_clock();
                self.tidy();
            }
            if stop {
                break;
            }
        }
        self.shared.done.store(true, Release);
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.shared.interval.load(Relaxed))
    }

    fn is_due(&self) -> bool {
        self.committed.elapsed() >= self.interval()
    }

    fn pause(&self) -> Duration {
        self.interval().saturating_sub(self.committed.elapsed()).min(LOOK_EVERY)
    }

    fn take_reports(&mut self) {
        while let Some(report) = self.reports.take() {
            match report {
                Report::Used(sheet) => self.sheet.merge(sheet, LEDGER_ENTRIES),
                Report::Strict { worker, number, keys } => {
                    self.asked.push((worker, number));
                    // Of these none may be missing: they are few, and each is waited for.
                    self.sheet.charged.extend(keys);
                }
            }
        }
        if self.since.is_none() && !self.sheet.is_empty() {
            self.since = Some(Instant::now());
        }
        self.tell();
    }

    fn tell(&mut self) {
        let lost = std::mem::take(&mut self.sheet.lost);
        let told = &self.shared.told;
        told.waiting.store(self.sheet.len() as u64, Relaxed);
        told.set_since(self.since);
        if lost > 0 && told.lost.fetch_add(lost, Relaxed) == 0 {
            tracing::error!("usage is being lost: the store can't be written, and memory is full");
        }
    }

    /// Commits what there is; where that fails, it stays.
    fn commit(&mut self) {
        self.committed = Instant::now();
        let is_waited_for = !self.asked.is_empty();
        if !self.sheet.is_empty() || is_waited_for {
            let result = self.try_commit();
            self.note(&result);
            let written = result.is_ok();
            if written {
                self.sheet = Sheet::default();
                self.since = None;
            }
            self.answer(written);
            self.tell();
        }
    }

    fn try_commit(&self) -> Result<(), StoreError> {
        let store = self.shared.store.get().ok_or_else(|| {
            StoreError::new(crate::store::ErrorKind::NotFound, "there is no store")
        })?;
        store.commit_usage(&self.batch())
    }

    fn batch(&self) -> Batch {
        let counted = self.sheet.charged.iter().filter_map(|&key| {
            // One that is gone was over long ago.
            let (ends_at, count) = self.shared.counts.count(key)?;
            Some(Counted { key, ends_at, count })
        });
        let used = self.sheet.used.iter().map(|(unit, &count)| Used {
            application: unit.application,
            metric: unit.metric,
            class: unit.class,
            hour: unit.hour,
            count,
        });
        let seen = self.sheet.seen.iter().map(|(&credential, &at)| Seen { credential, at });
        Batch { used: used.collect(), counted: counted.collect(), seen: seen.collect() }
    }

    fn answer(&mut self, written: bool) {
        let told = &self.shared.told;
        let asked = self.asked.len() as u64;
        told.strict.fetch_add(asked, Relaxed);
        if !written {
            told.strict_refused.fetch_add(asked, Relaxed);
        }
        for (worker, number) in self.asked.drain(..) {
            // A worker that takes no more answers lets its request wait until its time is over.
            let _ = self.answers[worker].send((number, written));
        }
    }

    fn note(&mut self, result: &Result<(), StoreError>) {
        let told = &self.shared.told;
        match result {
            Ok(()) => {
                told.commits.fetch_add(1, Relaxed);
                told.set_error(None);
                if self.told.take().is_some() {
                    tracing::info!("usage is committed again");
                }
            }
            Err(why) => {
                told.failures.fetch_add(1, Relaxed);
                told.set_error(Some(why.to_string()));
                if self.told.is_none_or(|told| told.elapsed() >= LEDGER_TOLD_EVERY) {
                    self.told = Some(Instant::now());
                    let waiting = self.sheet.len();
                    tracing::error!(waiting, "usage can't be committed, and is kept: {why}");
                }
            }
        }
    }

    /// While the wall clock was ahead, counts may have been forgotten whose periods go on now.
    fn follow_clock(&mut self) {
        let (then, wall) = std::mem::replace(&mut self.clocks, (Instant::now(), now_s()));
        let expected = wall + self.clocks.0.duration_since(then).as_secs();
        if self.clocks.1 + CLOCK_WENT_BACK_S < expected {
            tracing::warn!("the wall clock went back by {} s", expected - self.clocks.1);
            let Some(store) = self.shared.store.get() else { return };
            if let Err(why) = self.shared.restore(store) {
                tracing::error!("counts of quotas can't be taken up again: {why}");
            }
        }
    }

    /// Forgets what is over, and turns old hours into days.
    fn tidy(&mut self) {
        let Some(store) = self.shared.store.get() else { return };
        let is_due = self.tidied.is_none_or(|tidied| tidied.elapsed() >= LEDGER_TIDIED_EVERY);
        // Where commits fail, this does too.
        if !is_due || self.told.is_some() {
            return;
        }
        self.tidied = Some(Instant::now());
        let (now_s, keep) = (now_s(), self.shared.keep.load(Relaxed));
        let tidied = store
            .forget_counts(now_s)
            .and_then(|_| store.roll_up(now_s.saturating_sub(keep)))
            .and_then(|_| store.forget_names(now_s.saturating_sub(AUDIT_KEPT.unsigned_abs())));
        if let Err(why) = tidied {
            tracing::warn!("old usage can't be tidied up: {why}");
        }
    }
}
