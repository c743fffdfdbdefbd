//! A fixed map from (owner, text) to a value: hosts, plain paths and tree edges live in such.
//!
//! A hit costs two dependent loads, slot and entry. The text lies apart, so that its comparison
//! (a branch that is nearly always taken) overlaps with what the value is used for.

use std::collections::HashMap;

use super::error::BuildProblem;

/// What to put into a map.
pub(super) struct Item<'a, V> {
    /// Hash of owner and text, by whatever way the lookup computes it too.
    pub(super) hash: u64,
    /// Whose text it is; two owners may have the same text.
    pub(super) owner: u32,
    /// The text; at most `u16::MAX` bytes.
    pub(super) text: &'a str,
    /// The value.
    pub(super) value: V,
}

/// The map.
pub(super) struct TextMap<V> {
    /// Open addressing with linear probing, at most half full; a power of two long.
    slots: Box<[Slot]>,
    entries: Box<[Entry<V>]>,
    /// Each distinct text once.
    text: Box<[u8]>,
    /// Length of the longest text.
    longest: usize,
    /// Which bits of a hash choose the slot: the upper ones.
    shift: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    entry: u32,
}

struct Entry<V> {
    owner: u32,
    start: u32,
    len: u16,
    value: V,
}

const EMPTY: Slot = Slot { tag: 0, entry: u32::MAX };

impl<V> TextMap<V> {
    /// A map of these items; their (owner, text) pairs differ.
    pub(super) fn build(items: Vec<Item<'_, V>>) -> Result<Self, BuildProblem> {
        let size = (items.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![EMPTY; size].into_boxed_slice();
        let shift = 64 - size.trailing_zeros();
        let mut entries = Vec::with_capacity(items.len());
        let mut text = Vec::new();
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut longest = 0;
        for Item { hash, owner, text: name, value } in items {
            let len = u16::try_from(name.len()).map_err(|_| BuildProblem::PathTooLong)?;
            let start = *known.entry(name).or_insert_with(|| {
                text.extend_from_slice(name.as_bytes());
                (text.len() - name.len()) as u32
            });
            if text.len() > u32::MAX as usize {
                return Err(BuildProblem::TableTooLarge);
            }
            longest = longest.max(name.len());
            let mut at = (hash >> shift) as usize;
            while slots[at].entry != u32::MAX {
                at = (at + 1) & (size - 1);
            }
            slots[at] = Slot { tag: hash as u32, entry: entries.len() as u32 };
            entries.push(Entry { owner, start, len, value });
        }
        let (entries, text) = (entries.into_boxed_slice(), text.into_boxed_slice());
        Ok(Self { slots, entries, text, longest, shift })
    }

    /// The value of this owner's text.
    pub(super) fn find(&self, hash: u64, owner: u32, text: &[u8]) -> Option<&V> {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.entry == u32::MAX {
                return None;
            }
            if slot.tag == hash as u32 {
                let entry = &self.entries[slot.entry as usize];
                if entry.owner == owner && self.text_of(entry) == text {
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

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::*;

    fn map(texts: &[(u32, &str)], hash_of: fn(&[u8]) -> u64) -> TextMap<usize> {
        let items = texts.iter().enumerate();
        let items = items.map(|(value, &(owner, text))| Item {
            hash: hash_of(text.as_bytes()),
            owner,
            text,
            value,
        });
        TextMap::build(items.collect()).unwrap()
    }

    #[test]
    fn finds_by_owner_and_text() {
        let map = map(&[(1, "a"), (2, "a"), (1, ""), (1, "longer than sixteen")], hash::of);
        let find = |owner, text: &str| map.find(hash::of(text.as_bytes()), owner, text.as_bytes());
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
        assert_eq!(map.find(u64::MAX, 0, b"c"), Some(&2));
        assert_eq!(map.find(u64::MAX, 0, b"d"), None);
    }

    #[test]
    fn an_empty_map_finds_nothing() {
        assert_eq!(map(&[], hash::of).find(7, 0, b""), None);
    }
}
