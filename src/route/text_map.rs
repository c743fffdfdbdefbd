//! A fixed map from (owner, text) to a value: hosts, plain paths and tree edges live in such.
//!
//! A hit costs two dependent loads, slot and entry. The text lies apart, so that its comparison
//! (a branch that is nearly always taken) overlaps with what the value is used for. What costs
//! in a large table are the cache lines touched: a slot has four bytes, an entry half a line.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::BuildProblem;
use crate::limits::MAX_ROUTES;

/// What to put into a map.
pub(super) struct Item<'a, V> {
    /// Hash of owner and text, by whatever way the lookup computes it too.
    pub(super) hash: u64,
    /// Whose text it is; two owners may have the same text.
    pub(super) owner: u32,
    /// The text; at most `u16::MAX` bytes.
    pub(super) text: Cow<'a, str>,
    /// The value.
    pub(super) value: V,
}

/// The map.
pub(super) struct TextMap<V> {
    /// Open addressing with linear probing, at most half full; a power of two long.
    slots: Box<[u32]>,
    entries: Box<[Entry<V>]>,
    /// Each distinct text once.
    text: Box<[u8]>,
    /// Length of the longest text.
    longest: usize,
    /// Which bits of a hash choose the slot: the upper ones.
    shift: u32,
}

/// Aligned so that one of up to 32 bytes never lies across two cache lines.
#[repr(align(32))]
struct Entry<V> {
    owner: u32,
    start: u32,
    len: u16,
    value: V,
}

/// A slot that is not used. Others have 8 bits of the hash above 24 of the entry's index.
const EMPTY: u32 = u32::MAX;
const INDEX_BITS: u32 = 24;
const INDEX: u32 = (1 << INDEX_BITS) - 1;

const _: () = assert!(MAX_ROUTES < INDEX as usize);

impl<V> TextMap<V> {
    /// A map of these items; their (owner, text) pairs differ.
    pub(super) fn build(items: Vec<Item<'_, V>>) -> Result<Self, BuildProblem> {
        let size = (items.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![EMPTY; size].into_boxed_slice();
        let shift = 64 - size.trailing_zeros();
        let mut entries = Vec::with_capacity(items.len());
        let mut text = Vec::new();
        let mut known: HashMap<Cow<'_, str>, u32> = HashMap::new();
        let mut longest = 0;
        for Item { hash, owner, text: name, value } in items {
            let len = u16::try_from(name.len()).map_err(|_| BuildProblem::PathTooLong)?;
            let start = u32::try_from(text.len()).map_err(|_| BuildProblem::TableTooLarge)?;
            longest = longest.max(name.len());
            let start = *known.entry(name).or_insert_with_key(|name| {
                text.extend_from_slice(name.as_bytes());
                start
            });
            let mut at = (hash >> shift) as usize;
            while slots[at] != EMPTY {
                at = (at + 1) & (size - 1);
            }
            slots[at] = tag(hash) | entries.len() as u32;
            entries.push(Entry { owner, start, len, value });
        }
        let (entries, text) = (entries.into_boxed_slice(), text.into_boxed_slice());
        Ok(Self { slots, entries, text, longest, shift })
    }

    /// The value of this owner's text, which `is_same` knows when it sees it.
    pub(super) fn find(
        &self,
        hash: u64,
        owner: u32,
        is_same: impl Fn(&V, &[u8]) -> bool,
    ) -> Option<&V> {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if slot & !INDEX == tag(hash) {
                let entry = &self.entries[(slot & INDEX) as usize];
                if entry.owner == owner && is_same(&entry.value, self.text_of(entry)) {
                    return Some(&entry.value);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Length of the longest text, bytes: anything longer is not in here.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.slots) + size_of_val(&*self.entries) + self.text.len()
    }

    fn text_of(&self, entry: &Entry<V>) -> &[u8] {
        &self.text[entry.start as usize..][..entry.len.into()]
    }
}

/// The hash's lowest bits, at a slot's top.
fn tag(hash: u64) -> u32 {
    (hash as u32) << INDEX_BITS
}

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::*;

    fn map(texts: &[(u32, &str)], hash_of: fn(&[u8]) -> u64) -> TextMap<usize> {
        let items = texts.iter().enumerate();
        let items = items.map(|(value, &(owner, text))| Item {
            hash: hash_of(text.as_bytes()),
            owner,
            text: text.into(),
            value,
        });
        TextMap::build(items.collect()).unwrap()
    }

    #[test]
    fn finds_by_owner_and_text() {
        let map = map(&[(1, "a"), (2, "a"), (1, ""), (1, "longer than sixteen")], hash::of);
        let find = |owner, wanted: &str| {
            let hash = hash::of(wanted.as_bytes());
            map.find(hash, owner, |_, text| text == wanted.as_bytes())
        };
        assert_eq!(find(1, "a"), Some(&0));
        assert_eq!(find(2, "a"), Some(&1));
        assert_eq!(find(1, ""), Some(&2));
        assert_eq!(find(1, "longer than sixteen"), Some(&3));
        assert_eq!(find(3, "a"), None);
        assert_eq!(find(1, "b"), None);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_text() {
        let same = |_: &[u8]| u64::MAX;
        let map = map(&[(0, "a"), (0, "b"), (0, "c")], same);
        assert_eq!(map.find(u64::MAX, 0, |_, text| text == b"c"), Some(&2));
        assert_eq!(map.find(u64::MAX, 0, |_, text| text == b"d"), None);
    }

    #[test]
    fn an_empty_map_finds_nothing() {
        assert_eq!(map(&[], hash::of).find(7, 0, |_, _| true), None);
    }
}
