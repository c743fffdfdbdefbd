//! An immutable map of which a changed copy shares nearly everything.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::digest::Digest;
use crate::limits::{DIRECTORY_SHARD_BEST, DIRECTORY_SHARD_FILL, DIRECTORY_SHARDS};

/// Digests are evenly spread already: their first bytes are hash enough.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The length that is written before an array's bytes says nothing.
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

type Shard<V> = HashMap<Digest, V, BuildHasherDefault<FirstBytes>>;

/// Values by digest, in shards that copies share. There are the more shards the more values, up to a
/// bound: few values lie close together, where a processor has them at hand, and of many a change
/// copies few.
#[derive(Clone)]
pub(super) struct Sharded<V> {
    shards: Box<[Arc<Shard<V>>]>,
}

impl<V: Clone> Sharded<V> {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self { shards: shards(1) }
    }

    /// All of these, of several under one digest the last. A table that is just above three quarters of a
    /// power of two takes least, so there are as many shards as make each such a one.
    pub(super) fn of(values: Vec<(Digest, V)>) -> Self {
        let count = (values.len() / DIRECTORY_SHARD_BEST).clamp(1, DIRECTORY_SHARDS * 4);
        let mut sharded = Self { shards: shards(count) };
        for (digest, value) in values {
            let at = sharded.shard(&digest);
            Arc::make_mut(&mut sharded.shards[at]).insert(digest, value);
        }
        sharded
    }

    /// The value of a digest.
    pub(super) fn value(&self, digest: &Digest) -> Option<&V> {
        self.shards[self.shard(digest)].get(digest)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Sets values, or removes them; shards that another copy shares are copied first.
    pub(super) fn change(&mut self, changes: impl IntoIterator<Item = (Digest, Option<V>)>) {
        for (digest, value) in changes {
            let at = self.shard(&digest);
            let shard = Arc::make_mut(&mut self.shards[at]);
            match value {
                Some(value) => drop(shard.insert(digest, value)),
                None => drop(shard.remove(&digest)),
            }
            // Digests are spread evenly: where one shard is full, so are the others.
            if shard.len() > DIRECTORY_SHARD_FILL && self.shards.len() < DIRECTORY_SHARDS {
                self.split();
            }
        }
    }

    /// Makes more shards of them. Values that no other copy has are moved.
    fn split(&mut self) {
        let more = (self.shards.len() * 16).min(DIRECTORY_SHARDS);
        let few = std::mem::replace(&mut self.shards, shards(more));
        for full in few {
            for (digest, value) in Arc::unwrap_or_clone(full) {
                let at = self.shard(&digest);
                Arc::make_mut(&mut self.shards[at]).insert(digest, value);
            }
        }
    }

    /// By other bytes than those that a shard's own map goes by.
    fn shard(&self, digest: &Digest) -> usize {
        let last = u32::from_le_bytes([digest[28], digest[29], digest[30], digest[31]]);
        ((u64::from(last) * self.shards.len() as u64) >> 32) as usize
    }
}

fn shards<V>(count: usize) -> Box<[Arc<Shard<V>>]> {
    let none = Arc::new(Shard::default());
    vec![none; count].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Digest {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    #[test]
    fn shards_become_more_with_what_is_in_them() {
        let mut sharded = Sharded::empty();
        for n in 0..200_000 {
            sharded.change([(key(n), Some(n))]);
            let copied = sharded.shards.iter().map(|shard| shard.len()).max();
            assert!(copied <= Some(DIRECTORY_SHARD_FILL + 1), "{n}: {copied:?}");
        }
        assert_eq!(sharded.shards.len(), DIRECTORY_SHARDS);
        assert!((0..200_000).all(|n| sharded.value(&key(n)) == Some(&n)));
    }

    /// Beside a value and its digest a table takes a byte for each place.
    #[test]
    fn many_that_come_at_once_take_little_more_than_themselves() {
        for count in [50_000, 123_456, 200_000] {
            let twice = (0..100).map(|n| (key(n), u32::MAX));
            let many = Sharded::of(twice.chain((0..count).map(|n| (key(n), n))).collect());
            // A table of 224 at most has 256 places.
            let places = |shard: &Arc<Shard<u32>>| shard.capacity() * 8 / 7;
            let room: usize = many.shards.iter().map(places).sum();
            assert!(room < count as usize * 7 / 5, "{count}: {room}");
            assert!(many.len() == count as usize);
            assert!((0..count).all(|n| many.value(&key(n)) == Some(&n)));
        }
    }

    #[test]
    fn a_changed_copy_leaves_the_first_as_it_was() {
        let mut first = Sharded::empty();
        first.change((0..10_000).map(|n| (key(n), Some(n))));
        let mut second = first.clone();
        second.change([(key(7), None), (key(8), Some(88)), (key(10_000), Some(1))]);
        assert_eq!((first.len(), second.len()), (10_000, 10_000));
        assert_eq!((first.value(&key(7)), second.value(&key(7))), (Some(&7), None));
        assert_eq!((first.value(&key(8)), second.value(&key(8))), (Some(&8), Some(&88)));
        let apart = first.shards.iter().zip(&second.shards).filter(|(a, b)| !Arc::ptr_eq(a, b));
        assert!(apart.count() <= 3);
    }
}
