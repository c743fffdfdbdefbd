//! Latencies with 1.6 % precision in a few KiB.

/// Sub-buckets per power of two.
const FINE: u32 = 6;
/// Largest power of two told apart: beyond about 18 minutes everything is one bucket.
const TOP: u32 = 40;

/// Counts of nanosecond values in log-linear buckets.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; bucket(u64::MAX) + 1], total: 0 }
    }
}

fn bucket(ns: u64) -> usize {
    let ns = ns.min((1 << TOP) - 1);
    if ns < 1 << FINE {
        return ns as usize;
    }
    let shift = 63 - ns.leading_zeros() - FINE;
    ((u64::from(shift) << FINE) + (ns >> shift)) as usize
}

/// The middle of a bucket.
fn value(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 << FINE {
        return bucket;
    }
    let shift = (bucket >> FINE) - 1;
    let mantissa = (bucket & ((1 << FINE) - 1)) | 1 << FINE;
    (mantissa << shift) + (1 << shift) / 2
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The value that a share `quantile` (0 to 1) of all values does not exceed, in nanoseconds.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((self.total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return value(bucket);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_gives_back_a_value_of_its_own() {
        for n in 0..bucket(u64::MAX) {
            assert_eq!(bucket(value(n)), n);
        }
    }

    #[test]
    fn quantiles_are_within_two_percent() {
        let mut histogram = Histogram::default();
        (1..=100_000u64).for_each(|n| histogram.record(n * 1000));
        for (quantile, want) in [(0.5, 50_000_000.0), (0.99, 99_000_000.0), (0.999, 99_900_000.0)] {
            let got = histogram.quantile(quantile) as f64;
            assert!((got / want - 1.0f64).abs() < 0.02, "{quantile}: {got} for {want}");
        }
    }

    #[test]
    fn merging_adds_up() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        a.record(10);
        b.record(1000);
        a.merge(&b);
        assert_eq!(a.count(), 2);
        a.clear();
        assert_eq!(a.quantile(0.5), 0);
    }
}
