//! The ledger: what workers count, on its way to the store.
//!
//! A thread of its own, since the store waits for a disk. It adds up what workers report and commits it
//! in groups, with the counts of the quotas that changed, `store.commit_interval` apart at most; what
//! requests of strict plans wait for is committed at once, in as large groups as come meanwhile.
//!
//! Invariants:
//! - What a commit that failed held is still here, and goes with the next one. Traffic goes on by the
//!   counts in memory; only requests of strict plans are refused, since theirs must be on the disk.
//! - Counts that the store has are taken up before the first request is charged, so that a crash gives
//!   no quota back.

mod group;
mod shared;
mod told;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::io::inbox::inbox;
use crate::io::{Inbox, Mailer, Waker};
use crate::limits::{LEDGER_ANSWERS, LEDGER_REPORTS};
use crate::policy::quota::Counts;
use crate::session::usage::{Report, Written};
use crate::store::{Store, StoreError};

use group::Writer;
use shared::Shared;
pub(super) use shared::now_s;
pub use told::Facts;

/// The owner's end of the ledger's thread.
pub struct Ledger {
    reports: Mailer<Report>,
    shared: Arc<Shared>,
    wakers: Vec<Waker>,
    thread: JoinHandle<()>,
}

/// When the ledger writes, and how long it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Between commits, at most.
    pub commit_interval: Duration,
    /// How long usage is kept by the hour.
    pub keep_hours: Duration,
}

impl Ledger {
    /// Starts the thread. The inboxes are those of the workers, in their order.
    ///
    /// # Errors
    /// Where no thread or socket can be had.
    pub fn start(
        counts: Arc<Counts>,
        rhythm: Rhythm,
        workers: usize,
    ) -> io::Result<(Self, Vec<Inbox<Written>>)> {
        let (reports, received) = inbox(LEDGER_REPORTS)?;
        let mails = (0..workers).map(|_| inbox(LEDGER_ANSWERS)).collect::<io::Result<Vec<_>>>()?;
        let (answers, inboxes): (Vec<_>, _) = mails.into_iter().unzip();
        let wakers = answers.iter().map(Mailer::waker).collect();
        let shared = Arc::new(Shared::new(counts));
        let writer = Writer::new(shared.clone(), received, answers);
        let thread =
            std::thread::Builder::new().name("ledger".into()).spawn(move || writer.run())?;
        let ledger = Self { reports, shared, wakers, thread };
        ledger.change(rhythm);
        Ok((ledger, inboxes))
    }

    /// Where workers report to.
    pub fn reports(&self) -> Mailer<Report> {
        self.reports.clone()
    }

    /// Wakes each worker, in their order: they look at once at what was published meanwhile.
    pub fn wakers(&self) -> Vec<Waker> {
        self.wakers.clone()
    }

    /// Takes over settings that a reload changed.
    pub fn change(&self, rhythm: Rhythm) {
        let millis = rhythm.commit_interval.as_millis() as u64;
        self.shared.interval.store(millis, Ordering::Relaxed);
        self.shared.keep.store(rhythm.keep_hours.as_secs(), Ordering::Relaxed);
    }

    /// Writes to this store from now on, and takes up the counts that it has. Once: there is one store.
    ///
    /// # Errors
    /// Where the store can't be read, or has more counts than the table has places.
    pub fn open(&self, store: &Arc<Store>) -> Result<(), StoreError> {
        if self.shared.store.get().is_none() {
            self.shared.restore(store)?;
            let _ = self.shared.store.set(store.clone());
        }
        Ok(())
    }

    /// For who looks at it.
    pub fn facts(&self) -> impl Fn() -> Facts + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || shared.told.facts()
    }

    /// Commits what is there and ends the thread. `false`: that took longer, or could not be written.
    pub fn finish(self, within: Duration) -> bool {
        self.shared.stop.store(true, Ordering::Release);
        let until = Instant::now() + within;
        while !self.shared.done.load(Ordering::Acquire) {
            if Instant::now() >= until {
                tracing::error!("usage that was not committed is lost: the store takes too long");
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.thread.join().is_ok() && self.shared.told.facts().waiting == 0
    }
}

#[cfg(test)]
mod tests;
