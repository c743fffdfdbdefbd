//! Answers that one core remembers for a while, within a bound of memory.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::digest::{Digest, FirstBytes};

type Entries<V> = HashMap<Digest, Entry<V>, BuildHasherDefault<FirstBytes>>;

/// Values by digests that are keyed with a secret, so that nobody can choose where they lie. In two
/// generations: when the young have half of the room they become the old, and the old ones that nobody
/// asked for meanwhile are forgotten.
pub struct Remembered<V> {
    young: Entries<V>,
    young_weight: usize,
    old: Entries<V>,
}

struct Entry<V> {
    value: V,
    /// From when on it counts no more, by the clock that the caller asks with.
    ends_at: u64,
    weight: usize,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self { young: Entries::default(), young_weight: 0, old: Entries::default() }
    }
}

impl<V: Clone> Remembered<V> {
    /// What is remembered at `now`, by the clock of [`Self::put`]'s `ends_at`. It stays young within the
    /// bound.
    pub fn get(&mut self, digest: &Digest, now: u64, bound: usize) -> Option<V> {
        if let Some(entry) = self.old.remove(digest)
            && entry.ends_at > now
        {
            self.add(*digest, entry, bound);
        }
        let entry = self.young.get(digest)?;
        if entry.ends_at > now {
            return Some(entry.value.clone());
        }
        self.forget(digest);
        None
    }

    /// Remembers a value of this weight until then, where the bound on all weights has room for it.
    pub fn put(&mut self, digest: Digest, (value, weight): (V, usize), ends_at: u64, bound: usize) {
        self.forget(&digest);
        self.add(digest, Entry { value, ends_at, weight }, bound);
    }

    /// Forgets a value.
    pub fn forget(&mut self, digest: &Digest) {
        self.old.remove(digest);
        if let Some(gone) = self.young.remove(digest) {
            self.young_weight -= gone.weight;
        }
    }

    fn add(&mut self, digest: Digest, entry: Entry<V>, bound: usize) {
        // Each generation has half of the bound.
        if entry.weight > bound / 2 {
            return;
        }
        if self.young_weight + entry.weight > bound / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += entry.weight;
        self.young.insert(digest, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u64) -> Digest {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    #[test]
    fn a_value_is_remembered_until_it_ends() {
        let mut kept = Remembered::default();
        kept.put(digest(1), ("a", 1), 10, 100);
        assert_eq!(kept.get(&digest(1), 9, 100), Some("a"));
        assert_eq!(kept.get(&digest(2), 9, 100), None);
        assert_eq!(kept.get(&digest(1), 10, 100), None);
        assert_eq!((kept.young.len(), kept.young_weight), (0, 0));
        kept.put(digest(1), ("b", 1), 20, 100);
        kept.put(digest(1), ("c", 2), 20, 100);
        assert_eq!((kept.get(&digest(1), 9, 100), kept.young_weight), (Some("c"), 2));
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let mut kept = Remembered::default();
        kept.put(digest(0), ((), 1), 10, 100);
        for n in 1..10_000 {
            kept.put(digest(n), ((), 1), 10, 100);
            assert_eq!(kept.get(&digest(0), 1, 100), Some(()), "{n}");
            assert!(kept.young.len() + kept.old.len() <= 100);
        }
        let mut none = Remembered::default();
        none.put(digest(0), ((), 1), 10, 0);
        assert_eq!(none.get(&digest(0), 1, 0), None);
    }
}
