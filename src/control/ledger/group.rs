//! The ledger's thread: what is committed together, and when.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use super::shared::{Shared, now_s};
use crate::io::{Inbox, Mailer};
use crate::limits::{
    AUDIT_KEPT, CLOCK_WENT_BACK_S, COMMIT_PERIOD_LEAST, COMMIT_SHARE, LEDGER_ENTRIES,
    LEDGER_REFUSED_TOLD, LEDGER_TIDIED_EVERY, LEDGER_TOLD_EVERY, USAGE_REPORT,
};
use crate::policy::quota::Key;
use crate::session::usage::{Report, Sheet, Written};
use crate::store::usage::{Batch, Counted, Refused, Seen, Used};
use crate::store::{ErrorKind, StoreError};

/// How often the thread looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A request that waits until what it was charged is on the disk.
struct Asked {
    worker: usize,
    number: u64,
    keys: Vec<Key>,
}

/// The thread's state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    reports: Inbox<Report>,
    answers: Vec<Mailer<Written>>,
    /// What is not committed yet, and how many entries of it there may be.
    sheet: Sheet,
    most: usize,
    /// Who waits for that.
    asked: Vec<Asked>,
    /// Since when something waits.
    since: Option<Instant>,
    /// When the last commit began, and how long it took.
    committed: Instant,
    took: Duration,
    tidied: Option<Instant>,
    /// When it was told last that commits fail.
    told: Option<Instant>,
    /// Why the last one did.
    fault: Option<ErrorKind>,
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
            most: LEDGER_ENTRIES,
            asked: Vec::new(),
            since: None,
            committed: Instant::now(),
            took: Duration::ZERO,
            tidied: None,
            told: None,
            fault: None,
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
        self.tell_what_is_lost();
        self.shared.done.store(true, Release);
    }

    /// From one commit's beginning to the next one's. What a worker counted just after its last report
    /// is to be on the disk within the interval, so reports and the commit itself are taken off it.
    fn period(&self) -> Duration {
        let interval = Duration::from_millis(self.shared.interval.load(Relaxed));
        let disk = (interval / COMMIT_SHARE).max(self.took * 2);
        interval.saturating_sub(disk + USAGE_REPORT).max(COMMIT_PERIOD_LEAST)
    }

    fn is_due(&self) -> bool {
        self.committed.elapsed() >= self.period()
    }

    fn pause(&self) -> Duration {
        self.period().saturating_sub(self.committed.elapsed()).min(LOOK_EVERY)
    }

    fn take_reports(&mut self) {
        while let Some(report) = self.reports.take() {
            match report {
                Report::Used(sheet) => self.sheet.merge(sheet, self.most),
                Report::Strict { worker, number, keys } => {
                    self.ask(Asked { worker, number, keys });
                }
            }
        }
        if self.since.is_none() && !self.sheet.is_empty() {
            self.since = Some(Instant::now());
        }
        self.tell();
    }

    /// Of what is waited for none may be missing: where there is no place for it, it is refused.
    fn ask(&mut self, asked: Asked) {
        let (sheet, most) = (&mut self.sheet, self.most);
        match asked.keys.iter().all(|&key| sheet.charge(key, 0, most)) {
            true => self.asked.push(asked),
            false => self.answer(&asked, false),
        }
    }

    fn tell(&mut self) {
        let lost = std::mem::take(&mut self.sheet.lost);
        let told = &self.shared.told;
        told.waiting.store(self.sheet.len() as u64, Relaxed);
        told.set_since(self.since);
        if lost > 0 && told.lost.fetch_add(lost, Relaxed) == 0 {
            tracing::error!(lost, "usage is being lost: tollgate_ledger_lost_total says how much");
        }
    }

    /// Commits what there is; where that fails, it stays.
    fn commit(&mut self) {
        self.committed = Instant::now();
        let is_waited_for = !self.asked.is_empty();
        if !self.sheet.is_empty() || is_waited_for {
            let result = self.try_commit();
            self.took = self.committed.elapsed();
            self.note(&result);
            match result {
                Ok(refused) => {
                    self.sheet = Sheet::default();
                    self.since = None;
                    self.leave_out(&refused);
                    let is_refused = |key| refused.iter().any(|row| row.counted == Some(key));
                    self.answer_all(|keys| !keys.iter().copied().any(is_refused));
                }
                Err(_) => self.answer_all(|_| false),
            }
            self.tell();
        }
    }

    fn try_commit(&self) -> Result<Vec<Refused>, StoreError> {
        let store = self
            .shared
            .store
            .get()
            .ok_or_else(|| StoreError::new(ErrorKind::NotFound, "there is no store"))?;
        if self.fault.is_some_and(ErrorKind::is_of_the_file) {
            // It may have been mended since.
            store.open_again()?;
        }
        store.commit_usage(&self.batch())
    }

    /// Tells of rows that the store will never take: all others are not to wait for them.
    fn leave_out(&mut self, refused: &[Refused]) {
        self.sheet.lost += refused.len() as u64;
        for row in refused.iter().take(LEDGER_REFUSED_TOLD) {
            tracing::error!("the store refuses a row of usage, which is lost: {}", row.text);
        }
    }

    /// What could not be committed to the very end.
    fn tell_what_is_lost(&self) {
        if !self.sheet.is_empty() {
            let used: u64 = self.sheet.used.values().fold(0, |sum, &n| sum.saturating_add(n));
            let (quotas, error) = (self.sheet.charged.len(), self.shared.told.facts().error);
            let why = error.unwrap_or_default();
            tracing::error!(used, quotas, "usage is lost, since it can't be committed: {why}");
        }
    }

    fn batch(&self) -> Batch {
        let mut given_back = Vec::new();
        let counted = self.sheet.charged.iter().filter_map(|(&key, &amount)| {
            // One that is gone was over long ago.
            let (ends_at, count) = self.shared.counts.count(key)?;
            if amount > 0 {
                given_back.push(Counted { key, ends_at, count: amount });
            }
            Some(Counted { key, ends_at, count })
        });
        let counted = counted.collect();
        let used = self.sheet.used.iter().map(|(unit, &count)| Used {
            application: unit.application,
            plan: unit.plan,
            metric: unit.metric,
            class: unit.class,
            hour: unit.hour,
            count,
        });
        let seen = self.sheet.seen.iter().map(|(&credential, &at)| Seen { credential, at });
        Batch { used: used.collect(), counted, given_back, seen: seen.collect() }
    }

    fn answer_all(&mut self, are_written: impl Fn(&[Key]) -> bool) {
        for asked in std::mem::take(&mut self.asked) {
            self.answer(&asked, are_written(&asked.keys));
        }
    }

    fn answer(&self, asked: &Asked, written: bool) {
        let told = &self.shared.told;
        told.strict.fetch_add(1, Relaxed);
        told.strict_refused.fetch_add((!written).into(), Relaxed);
        // A worker that takes no more answers lets its request wait until its time is over.
        let _ = self.answers[asked.worker].send((asked.number, written));
    }

    fn note(&mut self, result: &Result<Vec<Refused>, StoreError>) {
        let told = &self.shared.told;
        self.fault = result.as_ref().err().map(StoreError::kind);
        match result {
            Ok(_) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Period;
    use crate::io::inbox::inbox;
    use crate::policy::quota::Counts;

    #[test]
    fn a_strict_request_that_finds_no_place_is_refused_at_once() {
        let (reports, received) = inbox(8).expect("an inbox");
        let (answers, mut answered) = inbox(8).expect("an inbox");
        let shared = Arc::new(Shared::new(Arc::new(Counts::with_slots(8))));
        let mut writer = Writer { most: 2, ..Writer::new(shared, received, vec![answers]) };
        let ask = |number, holder| {
            let keys = vec![Key { holder, metric: 1, period: Period::Day }];
            reports.send(Report::Strict { worker: 0, number, keys }).expect("a place");
        };
        // The third holder is one too many; the first two have their places.
        [1, 2, 3, 1].into_iter().zip(1..).for_each(|(holder, number)| ask(number, holder));
        writer.take_reports();
        assert_eq!((answered.take(), answered.take()), (Some((3, false)), None));
        let facts = writer.shared.told.facts();
        assert_eq!((facts.strict, facts.strict_refused, facts.waiting, facts.lost), (1, 1, 2, 0));
        let waiting: Vec<_> = writer.asked.iter().map(|asked| asked.number).collect();
        assert_eq!(waiting, [1, 2, 4]);
    }
}
