//! Counts by status code: the common codes exactly, the rest by class.

use super::counter::Counter;

/// Codes that are counted one by one, 200 first: it sits with the hot counters.
const COMMON: [u16; 35] = [
    200, 101, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408,
    409, 410, 411, 413, 414, 417, 422, 426, 429, 431, 499, 500, 501, 502, 503, 504,
];
/// Common codes, then one slot for each class 1xx to 5xx.
const SLOTS: usize = COMMON.len() + 5;
const CLASS_LABELS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Slot by status code; codes from 600 on (nobody may send them) count as 5xx.
static SLOT_OF: [u8; 600] = slot_table();

const fn slot_table() -> [u8; 600] {
    let mut table = [0u8; 600];
    let mut code = 0;
    while code < 600 {
        let class = if code < 200 { 0 } else { code / 100 - 1 };
        table[code] = (COMMON.len() + class) as u8;
        code += 1;
    }
    let mut slot = 0;
    while slot < COMMON.len() {
        table[COMMON[slot] as usize] = slot as u8;
        slot += 1;
    }
    table
}

#[inline]
pub(super) fn slot(status: u16) -> usize {
    SLOT_OF[(status as usize).min(599)] as usize
}

/// Counters by status code.
#[derive(Debug)]
pub struct StatusCounts([Counter; SLOTS]);

impl Default for StatusCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl StatusCounts {
    /// One more response with `status`.
    #[inline]
    pub fn up(&self, status: u16) {
        self.0[slot(status)].up();
    }

    pub(super) fn zero(&self) {
        self.0.iter().for_each(Counter::zero);
    }
}

/// Sums by status code over workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSums([u64; SLOTS]);

impl Default for StatusSums {
    fn default() -> Self {
        Self([0; SLOTS])
    }
}

impl StatusSums {
    /// Adds what one worker counted.
    pub fn add(&mut self, counts: &StatusCounts) {
        self.0.iter_mut().zip(&counts.0).for_each(|(sum, c)| *sum += c.value());
    }

    /// Adds `n` responses with `status`.
    pub fn add_status(&mut self, status: u16, n: u64) {
        self.0[slot(status)] += n;
    }

    /// All responses.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Responses of a class: 1 for 1xx to 5 for 5xx.
    pub fn class(&self, class: u16) -> u64 {
        if !(1..=5).contains(&class) {
            return 0;
        }
        let common = COMMON.iter().zip(&self.0).filter(|(code, _)| **code / 100 == class);
        common.map(|(_, n)| n).sum::<u64>() + self.0[COMMON.len() + class as usize - 1]
    }

    /// Responses with exactly this status, where it has a counter of its own (429 has), else with
    /// an uncommon one of its class.
    pub fn exactly(&self, status: u16) -> u64 {
        self.0[slot(status)]
    }

    /// Labels and counts of what was seen at least once: `200`, …, then `1xx` to `5xx` for codes
    /// that are not in the table of common ones.
    pub fn seen(&self) -> impl Iterator<Item = (Label, u64)> {
        self.0.iter().enumerate().filter(|(_, n)| **n > 0).map(|(slot, n)| (Label(slot), *n))
    }
}

/// A status label: an exact code, or a class for codes without a counter of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match COMMON.get(self.0) {
            Some(code) => write!(f, "{code}"),
            None => f.write_str(CLASS_LABELS[self.0 - COMMON.len()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_codes_are_exact_and_others_go_by_class() {
        let counts = StatusCounts::default();
        for status in [200, 200, 404, 418, 599, 299, 103, 0, 65535] {
            counts.up(status);
        }
        let mut sums = StatusSums::default();
        sums.add(&counts);
        let seen: Vec<_> = sums.seen().map(|(l, n)| (l.to_string(), n)).collect();
        let expected = [("200", 2), ("404", 1), ("1xx", 2), ("2xx", 1), ("4xx", 1), ("5xx", 2)];
        assert_eq!(seen, expected.map(|(l, n)| (l.to_string(), n)));
        assert_eq!(sums.total(), 9);
        assert_eq!([1, 2, 3, 4, 5].map(|c| sums.class(c)), [2, 3, 0, 2, 2]);
        assert_eq!(sums.class(0), 0);
        assert_eq!(sums.class(9), 0);
    }
}
