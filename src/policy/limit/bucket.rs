//! One bucket at the authority: GCRA (the generic cell rate algorithm) with lent tokens.

use std::time::Duration;

use crate::config::Limit;
use crate::limits::CLOCK_SKEW_NS;

use crate::policy::table::Kind;

/// Time steps per nanosecond: 16, so that 10 million tokens a second are paced to 0.06 %, and 64
/// bits last 36 years.
const STEPS_PER_NS: u64 = 16;

/// A moment in steps.
pub(super) fn steps(now_ns: u64) -> u64 {
    now_ns.saturating_mul(STEPS_PER_NS)
}

/// Whole nanoseconds that last at least `steps`.
pub(super) fn nanoseconds(steps: u64) -> u64 {
    steps.div_ceil(STEPS_PER_NS)
}

/// Rate and burst in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Terms {
    /// Between two tokens; at least 1; rounded up, so that the rate is never exceeded.
    pub(super) interval: u64,
    /// Of a full bucket: burst times `interval`.
    pub(super) brim: u64,
}

impl Terms {
    /// A rate of 0 admits nothing; a bucket that takes over 36 years to fill is cut to that.
    pub(super) fn new(limit: &Limit) -> Self {
        let interval = interval(limit.rate, limit.per);
        Self { interval, brim: interval.saturating_mul(limit.burst.max(1)) }
    }
}

fn interval(rate: u64, per: Duration) -> u64 {
    let per = per.as_nanos().saturating_mul(u128::from(STEPS_PER_NS));
    let steps = per.checked_div(u128::from(rate)).unwrap_or(u128::MAX);
    let exact = u128::from(rate).saturating_mul(steps) == per;
    let up = steps.saturating_add(u128::from(!exact));
    u64::try_from(up).unwrap_or(u64::MAX).max(1)
}

/// The state of one bucket: how far ahead of the clock its admissions reach, and how many tokens
/// cores hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Theoretical arrival time, steps.
    pub(super) tat: u64,
    /// Tokens that cores hold, or have spent and not reported yet.
    pub(super) lent: u16,
}

/// What a core has of a bucket's lent tokens, when it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lease {
    /// Tokens that the authority counts as lent to this core.
    pub(super) held: u16,
    /// Those of them that were not spent.
    pub(super) left: u16,
    /// How far the spending of the others reaches: the largest of, for each, its moment and
    /// `interval` for every token held then, itself included. Steps.
    pub(super) reach: u64,
}

/// A granted lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// The bucket afterwards.
    pub(super) bucket: Bucket,
    /// Tokens, the one to be spent at once included.
    pub(super) tokens: u16,
}

impl Bucket {
    /// Where the next token begins, as `own`'s core can tell. Tokens that are lent count as taken
    /// only now, however long ago they were, since they may be spent at any moment from now on;
    /// of its own the core knows when they were spent.
    fn level(self, interval: u64, now: u64, own: Lease) -> u64 {
        let time = |tokens: u16| interval.saturating_mul(u64::from(tokens));
        let others = self.lent.saturating_sub(own.held);
        let held = now.saturating_add(time(others.saturating_add(own.left)));
        let spent = own.reach.saturating_add(time(others));
        self.tat.max(held).max(spent)
    }

    /// Grants up to `wanted` tokens, but no more than one part in `share` of what is there, and
    /// takes back `own`, which must be spent. The first token is to be spent at once, so it never
    /// counts as lent. `Err`: steps until there is one.
    pub(super) fn grant(
        self,
        terms: Terms,
        now: u64,
        own: Lease,
        wanted: u16,
        share: u64,
    ) -> Result<Grant, u64> {
        let level = self.level(terms.interval, now, own);
        let brim = now.saturating_add(terms.brim);
        let room = brim.saturating_sub(level);
        if room < terms.interval {
            return Err(level.saturating_add(terms.interval).saturating_sub(brim));
        }
        let others = self.lent.saturating_sub(own.held);
        let mut tokens = 1;
        if wanted > 1 {
            let fair = (room / terms.interval / share).min(u64::from(u16::MAX - others)) as u16;
            tokens = wanted.min(fair).max(1);
        }
        let tat = level + terms.interval * u64::from(tokens);
        Ok(Grant { bucket: Self { tat, lent: others + (tokens - 1) }, tokens })
    }

    /// Takes `tokens` that are spent at once, and back `own`, which must be spent. `Err`: steps until
    /// there are as many (they may be more than the bucket ever holds). Who takes none still needs one
    /// to be there.
    pub(super) fn take(self, terms: Terms, now: u64, own: Lease, tokens: u32) -> Result<Self, u64> {
        let level = self.level(terms.interval, now, own);
        let time = |tokens: u32| terms.interval.saturating_mul(u64::from(tokens));
        let after = level.saturating_add(time(tokens.max(1)));
        let brim = now.saturating_add(terms.brim);
        if after > brim || after == u64::MAX {
            return Err(after.saturating_sub(brim).max(1));
        }
        let lent = self.lent.saturating_sub(own.held);
        Ok(if tokens == 0 { Self { lent, ..self } } else { Self { tat: after, lent } })
    }

    /// Takes `tokens` whether they are there or not. It never owes more than `most`, however many are
    /// taken, so that no answer shuts a client out for long.
    pub(super) fn owe(self, terms: Terms, now: u64, tokens: u64, most: u64) -> Self {
        let time = |tokens: u64| terms.interval.saturating_mul(tokens);
        let level = self.level(terms.interval, now, Lease::default());
        let bound = now.saturating_add(terms.brim).saturating_add(time(most));
        let tat = level.saturating_add(time(tokens)).min(bound).max(self.tat);
        Self { tat, ..self }
    }

    /// Takes back a core's lease.
    pub(super) fn settle(self, interval: u64, now: u64, own: Lease) -> Self {
        let level = self.level(interval, now, own);
        let back = interval.saturating_mul(u64::from(own.left));
        Self { tat: level.saturating_sub(back), lent: self.lent.saturating_sub(own.held) }
    }

    /// Takes back tokens that were spent and reported at this `now`, but for nothing.
    pub(super) fn refund(self, interval: u64, now: u64, tokens: u32) -> Self {
        let level = self.level(interval, now, Lease::default());
        Self { tat: level.saturating_sub(interval.saturating_mul(u64::from(tokens))), ..self }
    }
}

/// Buckets in the table: the word is `tat`, the spare bits are `lent`.
pub(super) struct Buckets;

impl Kind for Buckets {
    /// Only a full bucket that nobody holds tokens of may be forgotten, and only when it is full
    /// by the slowest core's clock too.
    fn free(word: u64, spare: u16, now: u64) -> bool {
        spare == 0 && word.saturating_add(CLOCK_SKEW_NS * STEPS_PER_NS) <= now
    }

    /// Still in the past: a full bucket.
    fn successor(word: u64) -> u64 {
        word + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Bucket = Bucket { tat: 0, lent: 0 };
    const NONE: Lease = Lease { held: 0, left: 0, reach: 0 };

    fn terms(interval: u64, burst: u64) -> Terms {
        Terms { interval, brim: interval * burst }
    }

    #[test]
    fn intervals_are_rounded_up() {
        let second = Duration::from_secs(1);
        assert_eq!(interval(1, second), 16_000_000_000);
        assert_eq!(interval(3, second), 5_333_333_334);
        assert_eq!(interval(10_000_000, second), 1600);
        assert_eq!(interval(u64::MAX, second), 1);
        assert_eq!(interval(0, second), u64::MAX);
        assert_eq!(interval(1, Duration::MAX), u64::MAX);
    }

    #[test]
    fn every_rate_up_to_ten_million_is_kept_to_a_thousandth() {
        for rate in [1, 7, 999, 3_000_000, 7_777_777, 9_999_999, 10_000_000u64] {
            let ideal = 16e9 / rate as f64;
            let error = interval(rate, Duration::from_secs(1)) as f64 / ideal - 1.0;
            assert!((0.0..0.001).contains(&error), "{rate}: {error}");
        }
    }

    #[test]
    fn admits_the_burst_then_the_rate() {
        let terms = terms(10, 3);
        let mut bucket = EMPTY;
        for _ in 0..3 {
            bucket = bucket.grant(terms, 100, NONE, 1, 1).unwrap().bucket;
        }
        assert_eq!(bucket.grant(terms, 100, NONE, 1, 1), Err(10));
        assert_eq!(bucket.grant(terms, 109, NONE, 1, 1), Err(1));
        assert!(bucket.grant(terms, 110, NONE, 1, 1).is_ok());
    }

    #[test]
    fn a_lease_is_a_share_of_what_is_there() {
        let grant = |wanted, share| EMPTY.grant(terms(10, 40), 100, NONE, wanted, share).unwrap();
        assert_eq!(grant(64, 4).tokens, 10);
        assert_eq!(grant(4, 4).tokens, 4);
        assert_eq!(grant(64, 100).tokens, 1);
        assert_eq!(grant(64, 4).bucket, Bucket { tat: 200, lent: 9 });
    }

    #[test]
    fn several_tokens_are_taken_at_once_or_not_at_all() {
        let terms = terms(10, 5);
        let bucket = EMPTY.take(terms, 100, NONE, 3).unwrap();
        assert_eq!(bucket, Bucket { tat: 130, lent: 0 });
        assert_eq!(bucket.take(terms, 100, NONE, 3), Err(10));
        assert_eq!(bucket.take(terms, 110, NONE, 3).map(|b| b.tat), Ok(160));
        assert_eq!(bucket.refund(10, 100, 3), Bucket { tat: 100, lent: 0 });
        // More than there can be.
        assert_eq!(EMPTY.take(terms, 100, NONE, 6), Err(10));
        // What others hold counts as taken.
        assert_eq!(Bucket { tat: 0, lent: 4 }.take(terms, 100, NONE, 2), Err(10));
    }

    #[test]
    fn lent_tokens_do_not_let_the_bucket_refill_above_them() {
        let terms = terms(10, 40);
        let bucket = EMPTY.grant(terms, 0, NONE, 10, 1).unwrap().bucket;
        // Long after, nine are still held: 31 are left.
        let mut left = 0;
        let mut now = bucket;
        while let Ok(grant) = now.grant(terms, 1_000_000, NONE, 1, 1) {
            now = grant.bucket;
            left += 1;
        }
        assert_eq!(left, 31);
    }

    #[test]
    fn unused_tokens_come_back() {
        let terms = terms(10, 40);
        let bucket = EMPTY.grant(terms, 100, NONE, 10, 1).unwrap().bucket;
        let lease = |left| Lease { held: 9, left, reach: 0 };
        assert_eq!(bucket.settle(10, 100, lease(9)), Bucket { tat: 110, lent: 0 });
        assert_eq!(bucket.settle(10, 100, lease(4)), Bucket { tat: 160, lent: 0 });
    }

    #[test]
    fn tokens_spent_at_the_rate_leave_no_debt() {
        let terms = terms(10, 40);
        let bucket = EMPTY.grant(terms, 100, NONE, 10, 1).unwrap().bucket;
        // Nine more at 110, 120, … 190: each found as many held as were to come.
        let own = Lease { held: 9, left: 0, reach: 200 };
        assert_eq!(bucket.settle(10, 200, own), Bucket { tat: 200, lent: 0 });
        // All nine spent at 500 are nine tokens of debt then.
        let own = Lease { held: 9, left: 0, reach: 590 };
        assert_eq!(bucket.settle(10, 510, own), Bucket { tat: 590, lent: 0 });
    }

    #[test]
    fn the_end_of_time_refuses_and_does_not_wrap() {
        let never = Terms { interval: u64::MAX, brim: u64::MAX };
        assert!(EMPTY.grant(never, 1, NONE, 1, 1).is_err());
        let late = Bucket { tat: u64::MAX - 5, lent: 3 };
        assert!(late.grant(terms(10, 3), u64::MAX - 1, NONE, 4, 1).is_err());
        assert!(EMPTY.take(never, 1, NONE, 2).is_err());
        assert!(late.take(terms(10, 3), u64::MAX - 1, NONE, 4).is_err());
    }
}
