//! An immutable map of which a changed copy shares nearly everything.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::digest::Digest;
use crate::limits::DIRECTORY_SHARDS;

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

/// Values by digest, in shards that copies share.
#[derive(Clone)]
pub(super) struct Sharded<V> {
    shards: Box<[Arc<Shard<V>>]>,
}

const _: () = assert!(DIRECTORY_SHARDS.is_power_of_two() && DIRECTORY_SHARDS <= 1 << 16);

impl<V: Clone> Sharded<V> {
    /// Nothing.
    pub(super) fn empty() -> Self {
        let none = Arc::new(Shard::default());
        Self { shards: vec![none; DIRECTORY_SHARDS].into_boxed_slice() }
    }

    /// The value of a digest.
    pub(super) fn value(&self, digest: &Digest) -> Option<&V> {
        self.shards[shard(digest)].get(digest)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Sets values, or removes them; shards that another copy shares are copied first.
    pub(super) fn change(&mut self, changes: impl IntoIterator<Item = (Digest, Option<V>)>) {
        for (digest, value) in changes {
            let shard = Arc::make_mut(&mut self.shards[shard(&digest)]);
            match value {
                Some(value) => drop(shard.insert(digest, value)),
                None => drop(shard.remove(&digest)),
            }
        }
    }
}

/// By other bytes than those that a shard's own map goes by.
fn shard(digest: &Digest) -> usize {
    usize::from(u16::from_le_bytes([digest[30], digest[31]])) & (DIRECTORY_SHARDS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Digest {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
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
