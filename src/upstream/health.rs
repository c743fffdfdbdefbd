//! Passive health: a target that fails is skipped for a while by the core that saw it.
//!
//! Only failing targets are remembered, so as long as all is well every question is answered
//! without a lookup. State is kept by stable id and survives a new snapshot.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::limits::MAX_SKIP_GROWTH;

/// The failing targets of one core, over all its upstreams. Times are monotonic nanoseconds.
#[derive(Debug, Default)]
pub struct Health {
    failing: HashMap<u64, Failing, BuildHasherDefault<IdHasher>>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    until: u64,
    /// How long it is skipped after its last failure.
    span: u64,
    /// The configured time.
    base: u64,
    /// One request is under way to find out whether it is back.
    probing: bool,
}

impl Health {
    /// Whether the target (by stable id) is out of favour now. After its time one request is let
    /// through: see [`Health::chosen`].
    #[inline]
    pub fn is_skipped(&self, id: u64, now: u64) -> bool {
        !self.failing.is_empty() && self.failing.get(&id).is_some_and(|f| now < f.until)
    }

    /// To be called for every target that a request is sent to. Where that request is the one
    /// that finds out whether a failing target is back, others go on skipping it until it is
    /// known, or for the configured time if it never is.
    #[inline]
    pub fn chosen(&mut self, id: u64, now: u64) {
        if !self.failing.is_empty() {
            self.probe(id, now);
        }
    }

    fn probe(&mut self, id: u64, now: u64) {
        if let Some(failing) = self.failing.get_mut(&id)
            && failing.until <= now
        {
            failing.until = now.saturating_add(failing.base);
            failing.probing = true;
        }
    }

    /// The target refused or lost a connection. It is skipped for `skip` nanoseconds (from the
    /// upstream's settings), twice as long each time it fails again after that, up to
    /// [`MAX_SKIP_GROWTH`] times. Failures while it is being skipped (of requests that were under
    /// way, or went there because all targets are failing) count as the same one.
    ///
    /// Returns whether this began or prolonged the skipping, for the log.
    pub fn fails(&mut self, id: u64, now: u64, skip: u64) -> bool {
        if skip == 0 {
            return false;
        }
        if let Some(failing) = self.failing.get_mut(&id) {
            return failing.again(now, skip);
        }
        let until = now.saturating_add(skip);
        self.failing.insert(id, Failing { until, span: skip, base: skip, probing: false });
        true
    }

    /// The target answered.
    #[inline]
    pub fn succeeded(&mut self, id: u64) {
        if !self.failing.is_empty() {
            self.failing.remove(&id);
        }
    }

    /// Number of targets that failed last time they were tried.
    pub fn failing(&self) -> usize {
        self.failing.len()
    }

    /// Forgets targets whose time has been over for as long again as it can grow to: they left
    /// the configuration or get no requests. To be called now and then.
    pub fn sweep(&mut self, now: u64) {
        let growth = u64::from(MAX_SKIP_GROWTH);
        self.failing.retain(|_, f| now < f.until.saturating_add(f.base.saturating_mul(growth)));
    }
}

impl Failing {
    fn again(&mut self, now: u64, skip: u64) -> bool {
        if now < self.until && !self.probing {
            return false;
        }
        let most = skip.saturating_mul(u64::from(MAX_SKIP_GROWTH));
        let span = self.span.saturating_mul(2).min(most);
        *self = Self { until: now.saturating_add(span), span, base: skip, probing: false };
        true
    }
}

/// Ids are hashes already.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = super::maglev::hash(bytes);
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SKIP: u64 = 10;

    #[test]
    fn a_failing_target_is_skipped_for_its_time() {
        let mut health = Health::default();
        assert!(!health.is_skipped(1, 0));
        assert!(health.fails(1, 100, SKIP));
        assert!(health.is_skipped(1, 109));
        assert!(!health.is_skipped(1, 110));
        assert!(!health.is_skipped(2, 109));
    }

    #[test]
    fn only_one_request_probes() {
        let mut health = Health::default();
        health.fails(1, 0, SKIP);
        assert!(!health.is_skipped(1, 10));
        health.chosen(1, 10);
        assert!(health.is_skipped(1, 10));
        health.succeeded(1);
        assert!(!health.is_skipped(1, 10));
        assert_eq!(health.failing(), 0);
    }

    #[test]
    fn a_probe_that_is_never_heard_of_does_not_lock_the_target_out() {
        let mut health = Health::default();
        health.fails(1, 0, SKIP);
        health.chosen(1, 10);
        assert!(!health.is_skipped(1, 20));
    }

    #[test]
    fn repeated_failures_skip_longer_up_to_a_bound() {
        let mut health = Health::default();
        let mut now = 0;
        for span in [10, 20, 40, 80, 80] {
            assert!(health.fails(1, now, SKIP));
            assert!(health.is_skipped(1, now + span - 1));
            now += span;
            assert!(!health.is_skipped(1, now));
            health.chosen(1, now);
            now += 1;
        }
    }

    #[test]
    fn failures_of_requests_under_way_count_once() {
        let mut health = Health::default();
        health.fails(1, 0, SKIP);
        assert!(!health.fails(1, 5, SKIP));
        assert!(!health.is_skipped(1, 10));
    }

    #[test]
    fn a_request_sent_while_all_are_skipped_is_no_probe() {
        let mut health = Health::default();
        health.fails(1, 0, SKIP);
        health.chosen(1, 5);
        assert!(!health.fails(1, 6, SKIP));
        assert!(!health.is_skipped(1, 10));
    }

    #[test]
    fn no_skip_time_switches_it_off() {
        let mut health = Health::default();
        assert!(!health.fails(1, 0, 0));
        assert_eq!(health.failing(), 0);
    }

    #[test]
    fn forgotten_targets_are_swept() {
        let mut health = Health::default();
        health.fails(1, 0, SKIP);
        health.sweep(89);
        assert_eq!(health.failing(), 1);
        health.sweep(90);
        assert_eq!(health.failing(), 0);
    }

    proptest! {
        #[test]
        fn whatever_happens_a_target_comes_back_in_bounded_time(
            events in prop::collection::vec((0u8..4, 0u64..100), 0..50),
        ) {
            let mut health = Health::default();
            let mut now = 0;
            for (event, later) in events {
                now += later;
                match event {
                    0 => { health.fails(1, now, SKIP); }
                    1 => health.chosen(1, now),
                    2 => health.succeeded(1),
                    _ => health.sweep(now),
                }
                prop_assert!(!health.is_skipped(1, now + SKIP * u64::from(MAX_SKIP_GROWTH)));
            }
        }
    }
}
