//! A fixed-size lock-free table of 128-bit slots, shared by all cores.
//!
//! # Layout
//!
//! A slot is `tag (48 bits) | spare (16) | word (64)`; all zero means never used. Eight slots make
//! a set of 128 bytes, the first of them the set's header, so a set holds seven keys. A key's
//! hash names its home set; it lies there or in one of the next few sets. The tag is 48 other bits
//! of the hash: two keys that share it within one neighbourhood would share a slot (about one in
//! 10^13 lookups; the hash is keyed, so nobody can aim at it).
//!
//! # One key, one slot
//!
//! A key in two slots would have two buckets. Finding the key absent and then exchanging a free
//! slot for it does not exclude that: two cores may pick different slots, since which slots are
//! free depends on each one's `now`. So every insertion goes through the header of the key's home
//! set, in three exchanges:
//!
//! 1. read the idle header, search all the key's places, choose the first free one; exchange the
//!    header for a *claim*: key, place, and the word found there;
//! 2. exchange that slot, if it still holds that word, for the key;
//! 3. exchange the claim for an idle header with the next version.
//!
//! Whoever meets a claim does steps 2 and 3 itself, so a core that is stopped half-way blocks
//! nobody. Step 1 fails if any insertion went through this header since the search, therefore the
//! key is still absent when its claim is laid. A late step 2 cannot succeed: a claim ends only
//! after somebody saw the slot changed, and a slot never holds the same value twice (words of one
//! slot only grow while it is free, see [`Kind::successor`]). A header's version has 10 bits and
//! lies beside the last claimed word, so mistaking an old header for the present one takes a
//! multiple of 1,024 insertions of one set within one search, and equal words.
//!
//! A slot that was used never becomes all zero again, and claims take the first free place, so a
//! search may stop at the first all-zero slot.

mod pages;

use std::marker::PhantomData;

use portable_atomic::Ordering;

use crate::limits::{TABLE_PROBE_SETS, TABLE_TRIES};
use crate::stats::prefetch;

use pages::Pages;

const SET: usize = 8;
const PLACES: usize = TABLE_PROBE_SETS * (SET - 1);
/// Sets that are looked at to tell how full a table is.
const SAMPLE: usize = 1024;
const VERSION: u16 = (1 << 10) - 1;
const CLAIMED: u16 = 1 << 15;

const _: () = assert!(PLACES < 1 << 5, "a claim has five bits for the place");

/// What the slots of a table mean.
pub(super) trait Kind {
    /// Whether a slot holds nothing worth keeping at `now`. Must depend on these alone.
    fn free(word: u64, spare: u16, now: u64) -> bool;
    /// The first word of a key that takes over a slot with `word`: it must mean "nothing yet", and
    /// must not have been in that slot before.
    fn successor(word: u64) -> u64;
}

/// One slot's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    tag: u64,
    pub(super) spare: u16,
    pub(super) word: u64,
}

impl Slot {
    const EMPTY: Self = Self { tag: 0, spare: 0, word: 0 };

    fn unpack(raw: u128) -> Self {
        let high = (raw >> 64) as u64;
        Self { tag: high >> 16, spare: high as u16, word: raw as u64 }
    }

    fn pack(self) -> u128 {
        u128::from(self.tag << 16 | u64::from(self.spare)) << 64 | u128::from(self.word)
    }

    /// The same key with another value.
    pub(super) fn with(self, spare: u16, word: u64) -> Self {
        Self { spare, word, ..self }
    }

    /// Whether this is the slot of the key with this hash.
    pub(super) fn is(self, hash: u64) -> bool {
        self.tag == tag(hash)
    }
}

/// The index of a slot.
pub(super) type Position = u32;

/// The table.
pub(super) struct Table<K> {
    slots: Pages,
    /// Slots before the first set, which begins on a cache line.
    first: usize,
    sets: usize,
    kind: PhantomData<K>,
}

impl<K: Kind> Table<K> {
    /// A table of that many slots, rounded up to a power of two (headers included).
    pub(super) fn new(slots: usize) -> Self {
        let sets = (slots / SET).next_power_of_two().max(TABLE_PROBE_SETS);
        let zeroes = Pages::zeroed(sets * SET + SET);
        let past_line = zeroes.as_ptr().addr() / size_of::<u128>() % SET;
        Self { slots: zeroes, first: (SET - past_line) % SET, sets, kind: PhantomData }
    }

    /// Has the key's first place fetched from memory while other work goes on.
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&self.slots[self.position(hash, 0) as usize]);
    }

    /// The key's slot, if it has one.
    pub(super) fn find(&self, hash: u64) -> Option<(Position, Slot)> {
        for place in 0..PLACES {
            let position = self.position(hash, place);
            let slot = self.load(position);
            if slot.is(hash) {
                return Some((position, slot));
            }
            if slot == Slot::EMPTY {
                return None;
            }
        }
        None
    }

    /// The key's slot; where it has none, a free one is taken. `None`: every place is in use.
    pub(super) fn find_or_claim(&self, hash: u64, now: u64) -> Option<(Position, Slot)> {
        if let Some(found) = self.find(hash) {
            return Some(found);
        }
        for _ in 0..TABLE_TRIES {
            let header = self.load(self.header(hash));
            if header.spare & CLAIMED != 0 {
                self.finish(hash, header);
                continue;
            }
            match self.search(hash, now) {
                Search::Found(position, slot) => return Some((position, slot)),
                Search::Free(place, word) => self.claim(hash, header, place, word),
                Search::Full => return None,
            }
        }
        None
    }

    /// What lies at `position` now.
    pub(super) fn load(&self, position: Position) -> Slot {
        Slot::unpack(self.slots[position as usize].load(Ordering::Acquire))
    }

    /// Exchanges `old` at `position` for `new`; `false`: it had changed.
    pub(super) fn exchange(&self, position: Position, old: Slot, new: Slot) -> bool {
        self.slots[position as usize]
            .compare_exchange(old.pack(), new.pack(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The share of the slots that hold state at `now`, 0 to 1: looked up in a sample of the sets, which
    /// keys fill evenly.
    pub(super) fn used(&self, now: u64) -> f64 {
        let step = (self.sets / SAMPLE).max(1);
        let places = (0..self.sets).step_by(step).flat_map(|set| {
            (1..SET).map(move |slot| self.load((self.first + set * SET + slot) as Position))
        });
        let (mut seen, mut used) = (0u32, 0u32);
        for slot in places {
            seen += 1;
            used += u32::from(slot != Slot::EMPTY && !K::free(slot.word, slot.spare, now));
        }
        f64::from(used) / f64::from(seen)
    }

    /// Address space the table takes, bytes.
    pub(super) fn size(&self) -> usize {
        self.slots.len() * size_of::<u128>()
    }

    fn search(&self, hash: u64, now: u64) -> Search {
        let mut free = Search::Full;
        for place in 0..PLACES {
            let position = self.position(hash, place);
            let slot = self.load(position);
            if slot.is(hash) {
                return Search::Found(position, slot);
            }
            let empty = slot == Slot::EMPTY;
            if matches!(free, Search::Full) && (empty || K::free(slot.word, slot.spare, now)) {
                free = Search::Free(place, slot.word);
            }
            if empty {
                break;
            }
        }
        free
    }

    /// Step 1 and, where it succeeds, the others.
    fn claim(&self, hash: u64, idle: Slot, place: usize, word: u64) {
        let spare = CLAIMED | (place as u16) << 10 | idle.spare & VERSION;
        let claim = Slot { tag: tag(hash), spare, word };
        if self.exchange(self.header(hash), idle, claim) {
            self.finish(hash, claim);
        }
    }

    /// Steps 2 and 3 of a claim in the home set of `hash` (which need not be the claim's key).
    fn finish(&self, hash: u64, claim: Slot) {
        let header = self.header(hash);
        let position = self.position(hash, usize::from(claim.spare & !CLAIMED) >> 10);
        let slot = self.load(position);
        if self.load(header) != claim {
            return; // Finished by another; `slot` may be newer than the claim.
        }
        if slot.tag != claim.tag && slot.word == claim.word && slot.spare == 0 {
            let fresh = Slot { tag: claim.tag, spare: 0, word: K::successor(claim.word) };
            self.exchange(position, slot, fresh);
        }
        let version = claim.spare.wrapping_add(1) & VERSION;
        self.exchange(header, claim, Slot { tag: 0, spare: version, word: claim.word });
    }

    fn header(&self, hash: u64) -> Position {
        (self.first + (hash as usize & (self.sets - 1)) * SET) as Position
    }

    fn position(&self, hash: u64, place: usize) -> Position {
        let (set, slot) = (place / (SET - 1), 1 + place % (SET - 1));
        let set = (hash as usize).wrapping_add(set) & (self.sets - 1);
        (self.first + set * SET + slot) as Position
    }
}

enum Search {
    Found(Position, Slot),
    /// The place's number, and the word that lies there.
    Free(usize, u64),
    Full,
}

fn tag(hash: u64) -> u64 {
    (hash >> 16).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Free from `word` on, like a bucket.
    struct Expiring;

    impl Kind for Expiring {
        fn free(word: u64, spare: u16, now: u64) -> bool {
            spare == 0 && word <= now
        }
        fn successor(word: u64) -> u64 {
            word + 1
        }
    }

    fn spread(n: u64) -> u64 {
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n << 40
    }

    fn hold(table: &Table<Expiring>, hash: u64, until: u64) {
        let (position, slot) = table.find_or_claim(hash, 0).unwrap();
        assert!(table.exchange(position, slot, slot.with(0, until)));
    }

    #[test]
    fn finds_what_was_put() {
        let table = Table::<Expiring>::new(1 << 12);
        for n in 1..2000 {
            hold(&table, spread(n), 100 + n);
        }
        for n in 1..2000 {
            assert_eq!(table.find(spread(n)).unwrap().1.word, 100 + n);
        }
        assert!(table.find(spread(5000)).is_none());
    }

    #[test]
    fn full_only_when_every_place_is_held() {
        let table = Table::<Expiring>::new(1);
        let hashes: Vec<u64> = (0..PLACES as u64).map(|n| (n + 1) << 20).collect();
        hashes.iter().for_each(|&hash| hold(&table, hash, 50));
        assert!(table.find_or_claim(99 << 20, 49).is_none());
        assert!(table.find_or_claim(99 << 20, 50).is_some());
        let left = hashes.iter().filter(|&&hash| table.find(hash).is_some()).count();
        assert_eq!(left, PLACES - 1);
    }

    #[test]
    fn tells_how_full_it_is() {
        let table = Table::<Expiring>::new(1 << 15);
        assert_eq!(table.used(0), 0.0);
        for n in 1..=1 << 13 {
            hold(&table, spread(n), 50);
        }
        let slots = (table.sets * (SET - 1)) as f64;
        let ratio = table.used(49) / (f64::from(1 << 13) / slots);
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
        assert_eq!(table.used(50), 0.0);
    }

    #[test]
    fn a_claim_left_half_way_is_finished_by_the_next() {
        let table = Table::<Expiring>::new(1);
        let (stopped, next) = (1 << 20, 2 << 20);
        let header = table.header(stopped);
        let idle = table.load(header);
        let claim = Slot { tag: tag(stopped), spare: CLAIMED, word: 0 };
        assert!(table.exchange(header, idle, claim));
        assert!(table.find(stopped).is_none());
        table.find_or_claim(next, 0).unwrap();
        assert_eq!(table.find(stopped).unwrap().0, table.position(stopped, 0));
        assert_eq!(table.find(next).unwrap().0, table.position(next, 1));
    }

    /// Threads whose clocks differ see different places free, and want the same keys.
    #[test]
    fn a_key_is_never_in_two_slots() {
        const ROUNDS: usize = 3000;
        let tables: Vec<_> = (0..ROUNDS).map(|_| Table::<Expiring>::new(1)).collect();
        for table in &tables {
            (0..PLACES as u64).for_each(|n| hold(table, (100 + n) << 20, 100 - n));
        }
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (tables, start) = (&tables, &start);
                scope.spawn(move || {
                    for table in tables {
                        start.wait();
                        for key in 1..=4u64 {
                            let now = 80 + (thread * 5 + key * 3) % 20;
                            let Some((at, slot)) = table.find_or_claim(key << 20, now) else {
                                continue;
                            };
                            table.exchange(at, slot, slot.with(0, 1000));
                        }
                    }
                });
            }
        });
        for table in &tables {
            let mut tags: Vec<u64> =
                (0..PLACES).map(|place| table.load(table.position(0, place)).tag).collect();
            tags.sort_unstable();
            tags.dedup();
            assert_eq!(tags.len(), PLACES);
        }
    }

    #[test]
    fn increments_of_all_threads_are_counted() {
        struct Kept;
        impl Kind for Kept {
            fn free(_: u64, _: u16, _: u64) -> bool {
                false
            }
            fn successor(word: u64) -> u64 {
                word
            }
        }
        let table = Table::<Kept>::new(1 << 8);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..20_000u64 {
                        let hash = spread(n % 100 + 1);
                        loop {
                            let (position, slot) = table.find_or_claim(hash, 0).unwrap();
                            if table.exchange(position, slot, slot.with(0, slot.word + 1)) {
                                break;
                            }
                        }
                    }
                });
            }
        });
        for n in 0..100 {
            assert_eq!(table.find(spread(n + 1)).unwrap().1.word, 4 * 200);
        }
    }
}
