//! Consistent hashing by Maglev (Eisenbud and others, NSDI 2016, section 3.4).
//!
//! The table is built once, in control, and is a function of names and weights only: every core
//! and every gateway with the same configuration sends a key to the same target.

/// Table sizes to choose from, all prime, so that every step size visits every entry.
const SIZES: [usize; 5] = [4_093, 16_381, 65_521, 262_139, 1_048_573];

/// Entries per share of the lightest target: shares come out right to about one per cent.
const ENTRIES_PER_SHARE: u64 = 100;

const EMPTY: u16 = u16::MAX;

/// An immutable lookup table from hashes to target indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    entries: Box<[u16]>,
}

/// The way one target walks through the table while it is built.
struct Walk {
    target: u16,
    weight: u64,
    credit: u64,
    position: usize,
    step: usize,
}

impl Table {
    /// Builds the table for targets given as (name, weight), at most
    /// [`MAX_TARGETS`](crate::limits::MAX_TARGETS); an entry is an index into that slice. The
    /// order of the slice does not matter for who gets what. A weight of 0 counts as 1.
    pub fn build(targets: &[(&str, u32)]) -> Self {
        debug_assert!(targets.len() <= crate::limits::MAX_TARGETS);
        let size = size_for(targets);
        let mut entries = vec![EMPTY; size].into_boxed_slice();
        let mut walks = walks(targets, size);
        fill(&mut entries, &mut walks);
        Self { entries }
    }

    /// Number of entries, a prime.
    pub fn size(&self) -> usize {
        self.entries.len()
    }

    /// Where a hash's walk begins.
    pub fn start(&self, hash: u64) -> usize {
        ((u128::from(mix(hash)) * self.entries.len() as u128) >> 64) as usize
    }

    /// The target at `start + offset`, around the end; `None` only in an empty table.
    pub fn target(&self, start: usize, offset: usize) -> Option<usize> {
        let at = (start + offset) % self.entries.len();
        let target = self.entries[at];
        (target != EMPTY).then_some(usize::from(target))
    }

    /// The target of a hash while nothing is skipped.
    pub fn find(&self, hash: u64) -> Option<usize> {
        self.target(self.start(hash), 0)
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.entries.len() * size_of::<u16>()
    }
}

/// The smallest size that gives the lightest target its share of entries.
fn size_for(targets: &[(&str, u32)]) -> usize {
    let total: u64 = targets.iter().map(|t| u64::from(t.1.max(1))).sum();
    let lightest = targets.iter().map(|t| u64::from(t.1.max(1))).min().unwrap_or(1);
    let wanted = total.div_ceil(lightest) * ENTRIES_PER_SHARE;
    SIZES.into_iter().find(|s| *s as u64 >= wanted).unwrap_or(SIZES[SIZES.len() - 1])
}

fn walks(targets: &[(&str, u32)], size: usize) -> Vec<Walk> {
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|ix| targets[*ix].0);
    let walk = |ix: usize| {
        let name = hash(targets[ix].0.as_bytes());
        Walk {
            target: ix as u16,
            weight: u64::from(targets[ix].1.max(1)),
            credit: 0,
            position: (name % size as u64) as usize,
            step: (mix(name) % (size as u64 - 1)) as usize + 1,
        }
    };
    order.into_iter().map(walk).collect()
}

/// Targets take turns, the heaviest one in every round, until the table is full.
fn fill(entries: &mut [u16], walks: &mut [Walk]) {
    let Some(heaviest) = walks.iter().map(|w| w.weight).max() else { return };
    let mut left = entries.len();
    loop {
        for walk in walks.iter_mut() {
            walk.credit += walk.weight;
            if walk.credit < heaviest {
                continue;
            }
            walk.credit -= heaviest;
            walk.take(entries);
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }
}

impl Walk {
    /// Takes the next free entry on this walk. Called only while one is free.
    fn take(&mut self, entries: &mut [u16]) {
        while entries[self.position] != EMPTY {
            self.advance(entries.len());
        }
        entries[self.position] = self.target;
        self.advance(entries.len());
    }

    fn advance(&mut self, size: usize) {
        self.position += self.step;
        if self.position >= size {
            self.position -= size;
        }
    }
}

/// A stable hash of a key: the same on every core, host and version, so that gateways agree.
/// It resists accidents, not attackers: whoever chooses the key chooses the target anyway.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = mix(state ^ u64::from_le_bytes(word));
    }
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(state ^ u64::from_le_bytes(last))
}

/// Spreads every input bit over all output bits; a bijection.
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("10.0.{}.{}:8080", i / 250, i % 250)).collect()
    }

    fn shares(table: &Table, n: usize) -> Vec<f64> {
        let mut counts = vec![0usize; n];
        for at in 0..table.size() {
            counts[table.target(at, 0).unwrap()] += 1;
        }
        counts.iter().map(|c| *c as f64 / table.size() as f64).collect()
    }

    #[test]
    fn sizes_are_prime_and_indices_fit() {
        for size in SIZES {
            assert!((2..).take_while(|d| d * d <= size).all(|d| size % d != 0), "{size}");
        }
        assert!(crate::limits::MAX_TARGETS < usize::from(EMPTY));
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(Table::build(&[]).find(7), None);
    }

    #[test]
    fn the_hash_is_pinned_since_gateways_must_agree_across_versions() {
        assert_eq!(hash(b"10.0.0.1:9001"), 16_708_139_325_506_821_758);
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn the_order_of_targets_does_not_matter() {
        let forward = Table::build(&[("a", 1), ("b", 2), ("c", 1)]);
        let backward = Table::build(&[("c", 1), ("b", 2), ("a", 1)]);
        for key in 0..1000u64 {
            assert_eq!(forward.find(key).unwrap(), 2 - backward.find(key).unwrap());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn weights_are_honoured(weights in prop::collection::vec(1u32..20, 1..30)) {
            let names = names(weights.len());
            let targets: Vec<_> = names.iter().map(String::as_str).zip(weights.clone()).collect();
            let total: u32 = weights.iter().sum();
            for (share, weight) in shares(&Table::build(&targets), weights.len()).iter().zip(&weights) {
                let wanted = f64::from(*weight) / f64::from(total);
                prop_assert!((share / wanted - 1.0).abs() < 0.05, "{share} for {wanted}");
            }
        }

        #[test]
        fn losing_a_target_moves_little_else(n in 2usize..40, gone in any::<prop::sample::Index>()) {
            let names = names(n);
            let all: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
            let gone = gone.index(n);
            let mut rest = all.clone();
            rest.remove(gone);
            let (before, after) = (Table::build(&all), Table::build(&rest));
            let moved = (0..20_000u64).filter(|key| {
                let was = before.find(hash(&key.to_le_bytes())).unwrap();
                let is = rest[after.find(hash(&key.to_le_bytes())).unwrap()].0;
                was != gone && all[was].0 != is
            });
            prop_assert!(moved.count() < 20_000 / 20);
        }
    }
}
