//! An immutable map of which a changed copy shares nearly everything.

use std::sync::Arc;

use super::digest::Digest;
use crate::limits::{DIRECTORY_SHARD_FILL, DIRECTORY_SHARDS};

/// Values by digest, in shards that copies share. There are the more shards the more values, up to a
/// bound: few values lie close together, where a processor has them at hand, and of many a change
/// copies few.
#[derive(Clone)]
pub(super) struct Sharded<V> {
    shards: Box<[Arc<Shard<V>>]>,
}

/// Some hundred values, in the order of their digests' first bytes. Digests are evenly spread, so where
/// one is can be told from these. A hash table with places to spare finds it some 150 ns sooner where
/// nothing is cached, and takes twice the memory.
#[derive(Clone)]
struct Shard<V> {
    /// Apart, since a dozen of them are looked at where one value is.
    firsts: Vec<u32>,
    values: Vec<(Digest, V)>,
}

/// How many times as many shards there are where those that there are are full.
const SHARDS_GROW_BY: usize = 16;

const _: () = assert!(DIRECTORY_SHARDS.is_power_of_two() && DIRECTORY_SHARDS <= 1 << 16);

impl<V: Clone> Sharded<V> {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Filling::new().settle()
    }

    /// The value of a digest.
    pub(super) fn value(&self, digest: &Digest) -> Option<&V> {
        let shard = &self.shards[shard(digest, self.shards.len())];
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
            let at = shard(&digest, self.shards.len());
            let shard = Arc::make_mut(&mut self.shards[at]);
            match value {
                Some(value) => shard.set(digest, value),
                None => shard.remove(&digest),
            }
            // Digests are spread evenly: where one shard is full, so are the others.
            if shard.values.len() > DIRECTORY_SHARD_FILL && self.shards.len() < DIRECTORY_SHARDS {
                self.split();
            }
        }
    }

    /// Makes more shards of them.
    fn split(&mut self) {
        let mut filling = Filling::new();
        for shard in &self.shards {
            shard.values.iter().for_each(|(digest, value)| filling.add(*digest, value.clone()));
        }
        *self = filling.settle_in(self.shards.len() * SHARDS_GROW_BY);
    }
}

/// Values as they come, a million of them say, each of which would push others aside.
pub(super) struct Filling<V> {
    shards: Vec<Vec<(Digest, V)>>,
}

impl<V> Filling<V> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { shards: (0..DIRECTORY_SHARDS).map(|_| Vec::new()).collect() }
    }

    /// One more. Of several under one digest the last stands.
    pub(super) fn add(&mut self, digest: Digest, value: V) {
        self.shards[shard(&digest, DIRECTORY_SHARDS)].push((digest, value));
    }

    /// All of them, with no room to spare.
    pub(super) fn settle(self) -> Sharded<V> {
        let all: usize = self.shards.iter().map(Vec::len).sum();
        let mut count = 1;
        // Half full, lest the next few make them more.
        while all > count * DIRECTORY_SHARD_FILL / 2 && count < DIRECTORY_SHARDS {
            count *= SHARDS_GROW_BY;
        }
        self.settle_in(count)
    }

    /// In so many shards, a power of two.
    fn settle_in(self, count: usize) -> Sharded<V> {
        let count = count.min(DIRECTORY_SHARDS);
        let mut settled: Vec<Vec<(Digest, V)>> = (0..count).map(|_| Vec::new()).collect();
        for (at, values) in self.shards.into_iter().enumerate() {
            match &mut settled[at & (count - 1)] {
                empty if empty.is_empty() => *empty = values,
                some => some.extend(values),
            }
        }
        Sharded { shards: settled.into_iter().map(|values| Arc::new(Shard::of(values))).collect() }
    }
}

impl<V> Shard<V> {
    /// Of these; of several under one digest the last stands.
    fn of(mut values: Vec<(Digest, V)>) -> Self {
        // Those under one digest keep their order.
        values.sort_by_key(|(digest, _)| *digest);
        values.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        values.shrink_to_fit();
        let firsts = values.iter().map(|(digest, _)| first(digest)).collect();
        Self { firsts, values }
    }

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

/// Of a shard that is changed now and then, room for one in so many is spare: twice as many, as a vector
/// takes by itself, would be memory for nothing.
const SPARE: usize = 16;

/// For one more, and one in so many.
fn make_room<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / SPARE + 1);
    }
}

fn first(digest: &Digest) -> u32 {
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// Which of `count` shards a digest is in: by other bytes than those that a shard itself goes by.
fn shard(digest: &Digest, count: usize) -> usize {
    usize::from(u16::from_le_bytes([digest[30], digest[31]])) & (count - 1)
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
            if n % 1_000 == 0 {
                let fullest = sharded.shards.iter().map(|shard| shard.values.len()).max();
                assert!(fullest <= Some(DIRECTORY_SHARD_FILL), "{n}: {fullest:?}");
            }
        }
        assert_eq!(sharded.shards.len(), DIRECTORY_SHARDS);
        assert!((0..200_000).all(|n| sharded.value(&key(n)) == Some(&n)));
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
        let mut filling = Filling::new();
        // The last of two stands.
        (0..100_000).for_each(|n| filling.add(key(n % 50_000), n));
        (50_000..100_000).for_each(|n| filling.add(key(n), n));
        let mut many = filling.settle();
        assert_eq!((many.len(), many.value(&key(7))), (100_000, Some(&50_007)));
        many.change((0..50_000).map(|n| (key(n), Some(n))));
        let room = |many: &Sharded<u32>| -> usize {
            many.shards.iter().map(|shard| shard.values.capacity()).sum()
        };
        assert_eq!(room(&many), 100_000);
        many.change((100_000..200_000).map(|n| (key(n), Some(n))));
        assert!(room(&many) < 200_000 * 109 / 100, "{}", room(&many));
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
