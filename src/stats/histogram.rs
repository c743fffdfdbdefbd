//! Log-linear histograms of durations.
//!
//! Sixteen buckets to a power of two, so a bucket's middle is within 3.2 % of any value in it.
//! The unit is 64 ns: everything up to 1 µs falls into the first sixteen buckets, the last bucket
//! holds 66 s and more. Two powers of two share one lazily allocated group (256 bytes), since a
//! route's latencies usually lie within a factor of sixteen.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram as Hdr;

use super::prefetch::prefetch;

/// log2 of the unit in nanoseconds.
const UNIT_BITS: u32 = 6;
/// log2 of the buckets to a power of two.
const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
/// The linear part, then 26 powers of two from 1.024 µs up to 68.7 s.
const OCTAVES: usize = 28;
const BUCKETS: usize = OCTAVES * SUB;
/// Buckets in a group that is allocated at once.
const GROUP: usize = 2 * SUB;
const GROUPS: usize = BUCKETS / GROUP;

/// Which bucket `ns` falls into.
#[inline]
fn bucket(ns: u64) -> usize {
    let units = ns >> UNIT_BITS;
    if units < SUB as u64 {
        return units as usize;
    }
    let octave = 63 - units.leading_zeros() - SUB_BITS;
    let sub = (units >> octave) as usize - SUB;
    ((octave as usize + 1) * SUB + sub).min(BUCKETS - 1)
}

/// First nanosecond and width in nanoseconds of a bucket.
fn span(bucket: usize) -> (u64, u64) {
    if bucket < SUB {
        return ((bucket as u64) << UNIT_BITS, 1 << UNIT_BITS);
    }
    let octave = bucket / SUB - 1;
    let units = ((SUB + bucket % SUB) as u64) << octave;
    (units << UNIT_BITS, 1u64 << (octave as u32 + UNIT_BITS))
}

/// The middle of a bucket, nanoseconds.
fn middle(bucket: usize) -> u64 {
    let (start, width) = span(bucket);
    start + width / 2
}

type Group = [AtomicU64; GROUP];

fn empty_group() -> Group {
    std::array::from_fn(|_| AtomicU64::new(0))
}

/// One worker's histogram. The group that was needed first lies in place, since most durations of
/// one thing are within it: counting one touches the line that says so and the count's. Empty, it
/// is 488 bytes.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    /// Which group lies in place; [`NO_GROUP`] before the first.
    near: AtomicU8,
    others: [OnceLock<Box<Group>>; GROUPS],
    counts: Group,
}

const NO_GROUP: u8 = u8::MAX;

impl Default for Histogram {
    fn default() -> Self {
        let others = std::array::from_fn(|_| OnceLock::new());
        Self { near: AtomicU8::new(NO_GROUP), others, counts: empty_group() }
    }
}

impl Histogram {
    /// Counts one duration. Only the worker that owns the block may call it.
    #[inline]
    pub fn record(&self, ns: u64) {
        let bucket = bucket(ns);
        let count = &self.group(bucket / GROUP)[bucket % GROUP];
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// A duration of about so many nanoseconds will be counted soon: has memory fetch its count.
    #[inline]
    pub fn expect(&self, ns: u64) {
        let bucket = bucket(ns);
        if usize::from(self.near.load(Relaxed)) == bucket / GROUP {
            prefetch(&self.counts[bucket % GROUP]);
        }
    }

    #[inline]
    fn group(&self, group: usize) -> &Group {
        let near = self.near.load(Relaxed);
        if near == NO_GROUP {
            self.near.store(group as u8, Relaxed);
        }
        if near == group as u8 || near == NO_GROUP {
            return &self.counts;
        }
        self.others[group].get_or_init(|| Box::new(empty_group()))
    }

    /// The groups that were ever needed, each with its number.
    fn groups(&self) -> impl Iterator<Item = (usize, &Group)> {
        let near = self.near.load(Relaxed);
        let near = (near != NO_GROUP).then_some((usize::from(near), &self.counts));
        let others = self.others.iter().enumerate();
        near.into_iter().chain(others.filter_map(|(n, group)| Some((n, &**group.get()?))))
    }

    pub(super) fn zero(&self) {
        self.groups().flat_map(|(_, group)| group).for_each(|count| count.store(0, Relaxed));
    }
}

/// Bucket counts summed over workers, or the difference of two such sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets(Box<[u64; BUCKETS]>);

impl Default for Buckets {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Buckets {
    /// Adds one worker's counts.
    pub fn add(&mut self, histogram: &Histogram) {
        for (index, group) in histogram.groups() {
            let sums = &mut self.0[index * GROUP..][..GROUP];
            sums.iter_mut().zip(group.iter()).for_each(|(sum, c)| *sum += c.load(Relaxed));
        }
    }

    /// What was counted since `earlier`, an older state of the same histograms.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut diff = self.clone();
        diff.0.iter_mut().zip(earlier.0.iter()).for_each(|(now, then)| {
            *now = now.saturating_sub(*then);
        });
        diff
    }

    /// Number of durations counted.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many durations were at most `seconds` long (a bucket counts by its middle).
    pub fn at_most(&self, seconds: f64) -> u64 {
        let ns = seconds * 1e9;
        let upto = |(bucket, _): &(usize, &u64)| middle(*bucket) as f64 <= ns;
        self.0.iter().enumerate().take_while(upto).map(|(_, n)| n).sum()
    }

    /// Everything as an hdrhistogram of nanoseconds, for percentiles. Reuses `into`, since its
    /// counters are large.
    pub fn fill(&self, into: &mut Hdr<u64>) {
        into.reset();
        for (bucket, n) in self.0.iter().enumerate().filter(|(_, n)| **n > 0) {
            into.saturating_record_n(middle(bucket), *n);
        }
    }

    /// An empty hdrhistogram wide enough for [`Buckets::fill`].
    pub fn empty_hdr() -> Hdr<u64> {
        let highest = middle(BUCKETS - 1);
        Hdr::new_with_bounds(1 << UNIT_BITS, highest, 3)
            .unwrap_or_else(|_| unreachable!("constant bounds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_tile_the_range_without_gap() {
        let mut next = 0;
        for b in 0..BUCKETS {
            let (start, width) = span(b);
            assert_eq!(start, next, "bucket {b}");
            assert_eq!(bucket(start), b);
            assert_eq!(bucket(start + width - 1), b);
            next = start + width;
        }
        assert!(next > 60_000_000_000);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_come_out_within_the_precision() {
        let h = Histogram::default();
        for ms in 1..=1000u64 {
            h.record(ms * 1_000_000);
        }
        let mut buckets = Buckets::default();
        buckets.add(&h);
        assert_eq!(buckets.count(), 1000);
        let mut hdr = Buckets::empty_hdr();
        buckets.fill(&mut hdr);
        for (q, expected) in [(0.5, 500e6), (0.9, 900e6), (0.99, 990e6)] {
            let got = hdr.value_at_quantile(q) as f64;
            assert!((got / expected - 1.0).abs() < 0.035, "{q}: {got}");
        }
        assert!((buckets.at_most(0.25) as i64 - 250).abs() <= 8);
        h.zero();
        let mut zeroed = Buckets::default();
        zeroed.add(&h);
        assert_eq!(zeroed.count(), 0);
        assert_eq!(buckets.since(&zeroed), buckets);
    }

    proptest! {
        #[test]
        fn a_bucket_is_within_the_precision(ns in 1_024u64..60_000_000_000) {
            let error = middle(bucket(ns)) as f64 / ns as f64 - 1.0;
            prop_assert!(error.abs() < 0.032, "{error}");
        }
    }
}
