//! An immutable map of which a changed copy shares nearly everything.

use std::hash::Hasher;
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

/// Values by digest, in shards that copies share.
#[derive(Clone)]
pub(super) struct Sharded<V> {
    shards: Box<[Arc<Shard<V>>]>,
}

/// Some hundred values, in the order of their digests' first bytes. Digests are evenly spread, so where
/// one is can be told from these; a table with places to spare would take half as much again.
#[derive(Clone)]
struct Shard<V> {
    /// Apart, since a dozen of them are looked at where one value is.
    firsts: Vec<u32>,
    values: Vec<(Digest, V)>,
}

const _: () = assert!(DIRECTORY_SHARDS.is_power_of_two() && DIRECTORY_SHARDS <= 1 << 16);

impl<V: Clone> Sharded<V> {
    /// Nothing.
    pub(super) fn empty() -> Self {
        let none = Arc::new(Shard { firsts: Vec::new(), values: Vec::new() });
        Self { shards: vec![none; DIRECTORY_SHARDS].into_boxed_slice() }
    }

    /// The value of a digest.
    pub(super) fn value(&self, digest: &Digest) -> Option<&V> {
        let shard = &self.shards[shard(digest)];
        let at = shard.find(digest).ok()?;
        shard.values.get(at).map(|(_, value)| value)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.values.len()).sum()
    }

    /// Sets values, or removes them; shards that another copy shares are copied first.
    pub(super) fn change(&mut self, changes: impl IntoIterator<Item = (Digest, Option<V>)>) {
        for (digest, value) in changes {
            let shard = Arc::make_mut(&mut self.shards[shard(&digest)]);
            match value {
                Some(value) => shard.set(digest, value),
                None => shard.remove(&digest),
            }
        }
    }
}

impl<V> Shard<V> {
    /// Where a digest is, or where it is to be put.
    fn find(&self, digest: &Digest) -> Result<usize, usize> {
        let (first, len) = (first(digest), self.firsts.len());
        // Near here; the error is some places, as chance has it.
        let mut at = ((u64::from(first) * len as u64) >> 32) as usize;
        while at > 0 && self.firsts[at - 1] >= first {
            at -= 1;
        }
        while at < len && self.firsts[at] < first {
            at += 1;
        }
        while at < len && self.firsts[at] == first {
            if self.values[at].0 == *digest {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    fn set(&mut self, digest: Digest, value: V) {
        match self.find(&digest) {
            Ok(at) => self.values[at].1 = value,
            Err(at) => {
                make_room(&mut self.firsts);
                make_room(&mut self.values);
                self.firsts.insert(at, first(&digest));
                self.values.insert(at, (digest, value));
            }
        }
    }

    fn remove(&mut self, digest: &Digest) {
        if let Ok(at) = self.find(digest) {
            self.firsts.remove(at);
            self.values.remove(at);
        }
    }
}

/// For one more, and a few: twice as many, as a vector takes by itself, would be memory for nothing.
fn make_room<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 16 + 1);
    }
}

fn first(digest: &Digest) -> u32 {
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// By other bytes than those that a shard itself goes by.
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
    fn digests_that_begin_alike_are_told_apart() {
        let mut alike = Sharded::empty();
        let key = |n: u8, first: u8| {
            let mut digest = [first; 32];
            (digest[15], digest[30], digest[31]) = (n, 0, 0);
            digest
        };
        let all = || (0..50).flat_map(|n| [0, 7, 255].map(|first| (n, first)));
        alike.change(all().map(|(n, first)| (key(n, first), Some((n, first)))));
        for (n, first) in all() {
            assert_eq!(alike.value(&key(n, first)), Some(&(n, first)));
            alike.change([(key(n, first), None)]);
            assert_eq!(alike.value(&key(n, first)), None);
        }
        assert_eq!(alike.len(), 0);
    }

    #[test]
    fn a_value_takes_little_more_than_itself() {
        let mut many = Sharded::empty();
        many.change((0..200_000).map(|n| (key(n), Some(n))));
        let room: usize = many.shards.iter().map(|shard| shard.values.capacity()).sum();
        assert!(room < 200_000 * 109 / 100, "{room}");
        for n in 0..200_000 {
            assert_eq!(many.value(&key(n)), Some(&n));
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
