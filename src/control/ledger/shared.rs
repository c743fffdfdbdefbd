//! What the ledger's thread, its owner and those who look at it share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use super::told::Told;
use crate::policy::quota::Counts;
use crate::store::{Store, StoreError};

/// What the thread, its owner and those who look at it share.
pub(super) struct Shared {
    pub(super) counts: Arc<Counts>,
    pub(super) store: OnceLock<Arc<Store>>,
    /// Milliseconds between commits.
    pub(super) interval: AtomicU64,
    /// Seconds for which hours are kept.
    pub(super) keep: AtomicU64,
    pub(super) stop: AtomicBool,
    pub(super) done: AtomicBool,
    pub(super) told: Told,
}

impl Shared {
    /// Without a store yet.
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self {
            counts,
            store: OnceLock::new(),
            interval: AtomicU64::new(0),
            keep: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            done: AtomicBool::new(false),
            told: Told::default(),
        }
    }

    /// Takes up the counts that the store has.
    pub(super) fn restore(&self, store: &Store) -> Result<(), StoreError> {
        let now_s = now_s();
        let (mut taken, mut left) = (0u64, 0u64);
        store.live_counts(now_s, |counted| {
            let fits = self.counts.restore(counted.key, counted.ends_at, counted.count, now_s);
            *(if fits { &mut taken } else { &mut left }) += 1;
        })?;
        if left > 0 {
            // Traffic goes on: those that have no place are refused one by one, where they ask for one.
            tracing::error!(left, "counts of quotas found no place in memory");
        }
        if taken > 0 {
            tracing::info!(taken, "counts of quotas were taken up");
        }
        Ok(())
    }
}

/// The wall clock, seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
