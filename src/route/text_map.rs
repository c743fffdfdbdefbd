//! A fixed map from (owner, text) to a value: hosts, plain paths and tree edges live in such.
//!
//! What costs in a large table are the cache lines touched, one after another. A hit touches one: the
//! entries themselves are the places that a hash chooses, half a line each. The text lies apart, so that
//! its comparison (a branch that is nearly always taken) overlaps with what the value is used for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU16;

use super::error::BuildProblem;

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
    /// Open addressing with linear probing, at most two thirds full; a power of two long.
    places: Box<[Option<Entry<V>>]>,
    /// Each distinct text once.
    text: Box<[u8]>,
    /// Length of the longest text.
    longest: usize,
    /// Which bits of a hash choose the place: the upper ones.
    shift: u32,
}

/// Aligned so that one of up to 32 bytes never lies across two cache lines.
#[repr(align(32))]
struct Entry<V> {
    /// Of its hash; most texts that are not it are known by that, and not compared.
    tag: NonZeroU16,
    len: u16,
    owner: u32,
    start: u32,
    value: V,
}

impl<V> TextMap<V> {
    /// A map of these items; their (owner, text) pairs differ.
    pub(super) fn build(items: Vec<Item<'_, V>>) -> Result<Self, BuildProblem> {
        let size = (items.len() * 3 / 2).next_power_of_two().max(2);
        let mut places: Box<[Option<Entry<V>>]> = (0..size).map(|_| None).collect();
        let shift = 64 - size.trailing_zeros();
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
            while places[at].is_some() {
                at = (at + 1) & (size - 1);
            }
            places[at] = Some(Entry { tag: tag(hash), len, owner, start, value });
        }
        Ok(Self { places, text: text.into_boxed_slice(), longest, shift })
    }

    /// The value of this owner's text, which `is_same` knows when it sees it.
    pub(super) fn find(
        &self,
        hash: u64,
        owner: u32,
        is_same: impl Fn(&V, &[u8]) -> bool,
    ) -> Option<&V> {
        let mask = self.places.len() - 1;
        let mut at = (hash >> self.shift) as usize & mask;
        while let Some(entry) = &self.places[at] {
            if entry.tag == tag(hash)
                && entry.owner == owner
                && is_same(&entry.value, self.text_of(entry))
            {
                return Some(&entry.value);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Length of the longest text, bytes: anything longer is not in here.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.places) + self.text.len()
    }

    fn text_of(&self, entry: &Entry<V>) -> &[u8] {
        &self.text[entry.start as usize..][..entry.len.into()]
    }
}

/// The hash's lowest bits, which no place is chosen by.
fn tag(hash: u64) -> NonZeroU16 {
    NonZeroU16::MIN | hash as u16
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
