//! Single-writer numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::limits::STATS_MAX_KINDS;

/// A number that only grows. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the worker that owns the block may call it: with two writers counts are lost.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn up(&self) {
        self.add(1);
    }

    /// The number now.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Back to nothing; for an id that nobody writes to any more.
    pub(super) fn zero(&self) {
        self.0.store(0, Relaxed);
    }
}

/// A number that goes up and down. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    #[inline]
    pub fn up(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// One less; stays at 0 rather than wrap.
    #[inline]
    pub fn down(&self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Exactly `n`.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One counter for each kind of something that another room names: index = kind.
#[derive(Debug)]
pub struct Kinds([Counter; STATS_MAX_KINDS]);

impl Default for Kinds {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Kinds {
    /// One more of `kind`; a kind past the table counts as the last.
    #[inline]
    pub fn up(&self, kind: usize) {
        self.0[kind.min(STATS_MAX_KINDS - 1)].up();
    }

    /// The number of `kind` (0 past the table).
    pub fn value(&self, kind: usize) -> u64 {
        self.0.get(kind).map_or(0, Counter::value)
    }

    pub(super) fn zero(&self) {
        self.0.iter().for_each(Counter::zero);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_never_wraps_below_zero() {
        let gauge = Gauge::default();
        gauge.down();
        assert_eq!(gauge.value(), 0);
        gauge.up();
        gauge.up();
        gauge.down();
        assert_eq!(gauge.value(), 1);
    }

    #[test]
    fn a_kind_past_the_table_counts_as_the_last() {
        let kinds = Kinds::default();
        kinds.up(3);
        kinds.up(usize::MAX);
        assert_eq!(kinds.value(3), 1);
        assert_eq!(kinds.value(STATS_MAX_KINDS - 1), 1);
        assert_eq!(kinds.value(STATS_MAX_KINDS), 0);
    }
}
