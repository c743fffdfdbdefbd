//! What a counter looks like in the table.

use crate::policy::table::Kind;

/// Counters in the table: the word's high half is the count; the low half changes with every
/// entry, so that no value comes twice.
pub(super) struct Counters;

impl Kind for Counters {
    fn free(word: u64, _spare: u16, _now: u64) -> bool {
        count(word) == 0
    }

    fn successor(word: u64) -> u64 {
        with_count(word, 0)
    }
}

pub(super) fn count(word: u64) -> u32 {
    (word >> 32) as u32
}

/// That count, and the next change number.
pub(super) fn with_count(word: u64, count: u32) -> u64 {
    u64::from(count) << 32 | u64::from((word as u32).wrapping_add(1))
}
