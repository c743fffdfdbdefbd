//! What the ledger tells of itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How the ledger does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Commits that were made.
    pub commits: u64,
    /// Commits that failed; what they held was kept.
    pub failures: u64,
    /// Entries that wait for a commit.
    pub waiting: u64,
    /// Milliseconds for which the oldest of them has waited.
    pub lag_ms: u64,
    /// Requests of strict plans that waited for a commit.
    pub strict: u64,
    /// Those that were refused, since theirs could not be written.
    pub strict_refused: u64,
    /// Entries that were lost: there was no room to keep them until the store could be written, or it
    /// refuses them.
    pub lost: u64,
    /// Why the last commit failed; `None`: it did not.
    pub error: Option<String>,
}

/// The same while it changes. The ledger's thread writes, any thread reads.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) commits: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) strict: AtomicU64,
    pub(super) strict_refused: AtomicU64,
    pub(super) lost: AtomicU64,
    slow: Mutex<Slow>,
}

#[derive(Debug, Default)]
struct Slow {
    error: Option<String>,
    /// Since when something waits.
    since: Option<Instant>,
}

impl Told {
    pub(super) fn set_error(&self, error: Option<String>) {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner).error = error;
    }

    pub(super) fn set_since(&self, since: Option<Instant>) {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner).since = since;
    }

    pub(super) fn facts(&self) -> Facts {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        Facts {
            commits: self.commits.load(Relaxed),
            failures: self.failures.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            lag_ms: slow.since.map_or(0, |since| since.elapsed().as_millis() as u64),
            strict: self.strict.load(Relaxed),
            strict_refused: self.strict_refused.load(Relaxed),
            lost: self.lost.load(Relaxed),
            error: slow.error.clone(),
        }
    }
}
