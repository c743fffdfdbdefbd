//! What a quota's count looks like in the table: the end of its period, and the count.

use crate::limits::QUOTA_KEPT_MIN;
use crate::policy::table::Kind;

/// Bits of the count: 10^12 is the largest quota.
const COUNT_BITS: u32 = 40;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// 24 bits of minutes last from 2020 to 2051; a later end is this one.
const END_MAX: u64 = (1 << 24) - 1;
/// Minutes from 1970 to 2020.
const EPOCH_MIN: u64 = 26_297_280;

/// A count, and the period that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// End of the period, minutes since 2020.
    pub(super) end: u64,
    pub(super) count: u64,
}

impl Tally {
    pub(super) fn unpack(word: u64) -> Self {
        Self { end: word >> COUNT_BITS, count: word & COUNT_MAX }
    }

    pub(super) fn pack(self) -> u64 {
        self.end.min(END_MAX) << COUNT_BITS | self.count.min(COUNT_MAX)
    }

    /// As it stands in the period that ends then. A later one that has begun already stays, whatever
    /// the clock says now; one that is not over at this second goes on to the new end, since it is
    /// another time zone that ends it later.
    pub(super) fn in_period(self, end: u64, now_s: u64) -> Self {
        let is_over = self.end <= (now_s / 60).saturating_sub(EPOCH_MIN);
        match self.end < end {
            true if is_over => Self { end, count: 0 },
            true => Self { end, ..self },
            false => self,
        }
    }

    /// Whether what was counted in the period that ended then is in it: of that period, or of a longer one
    /// that it has become while it is not over.
    pub(super) fn is_still(self, end: u64, now_s: u64) -> bool {
        self.end == end || self.end > end && end > (now_s / 60).saturating_sub(EPOCH_MIN)
    }

    /// When its period ends, seconds since 1970.
    pub(super) fn ends_at(self) -> u64 {
        (self.end + EPOCH_MIN) * 60
    }
}

/// A moment in minutes since 2020, rounded up as ends are.
pub(super) fn minutes(second: u64) -> u64 {
    second.div_ceil(60).saturating_sub(EPOCH_MIN).min(END_MAX)
}

/// Counts in the table: the word is the packed tally.
pub(super) struct Tallies;

impl Kind for Tallies {
    /// Only what every core's clock says is over may be forgotten.
    fn free(word: u64, spare: u16, now: u64) -> bool {
        spare == 0 && Tally::unpack(word).end + QUOTA_KEPT_MIN <= now
    }

    /// Of the same period, or one minute later: over, so it means nothing.
    fn successor(word: u64) -> u64 {
        word + 1
    }
}

const _: () = assert!(QUOTA_KEPT_MIN > 1, "a successor must be over too");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        let tally = Tally { end: minutes(1_798_761_600), count: 1_000_000_000_000 };
        assert_eq!(Tally::unpack(tally.pack()), tally);
        assert_eq!(tally.ends_at(), 1_798_761_600);
        let most = Tally { end: u64::MAX, count: u64::MAX };
        assert_eq!(most.pack(), u64::MAX);
        assert_eq!((minutes(0), minutes(u64::MAX)), (0, END_MAX));
    }

    #[test]
    fn a_later_period_stays_and_an_earlier_one_is_over() {
        let tally = Tally { end: 10, count: 7 };
        assert_eq!(tally.in_period(10, 0), tally);
        assert_eq!(tally.in_period(9, 0), tally);
        let over = (EPOCH_MIN + 10) * 60;
        assert_eq!(tally.in_period(11, over), Tally { end: 11, count: 0 });
        assert_eq!(tally.in_period(11, over - 1), Tally { end: 11, ..tally });
    }

    #[test]
    fn what_takes_over_is_over() {
        let full = Tally { end: 10, count: COUNT_MAX }.pack();
        assert!(Tallies::free(full, 0, 10 + QUOTA_KEPT_MIN));
        assert!(!Tallies::free(full, 0, 9 + QUOTA_KEPT_MIN));
        let next = Tally::unpack(Tallies::successor(full));
        assert!(next.end < 10 + QUOTA_KEPT_MIN);
    }
}
