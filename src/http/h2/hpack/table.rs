//! The dynamic table (RFC 7541 sections 2.3.2 and 4): the newest fields that were to be remembered, as
//! many as fit.

use std::collections::VecDeque;

use super::ENTRY_OVERHEAD;

/// Where an entry's bytes are: its value stands behind its name.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
}

impl Entry {
    fn size(self) -> usize {
        size(self.name as usize, self.value as usize)
    }
}

/// What an entry with a name and a value of these lengths counts for.
pub(super) fn size(name: usize, value: usize) -> usize {
    name + value + ENTRY_OVERHEAD
}

/// The name of an entry that is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Text(&'a [u8]),
    /// That of the entry with this number.
    Of(usize),
}

/// A dynamic table. It takes no memory before something is put into it.
#[derive(Debug)]
pub(super) struct Table {
    /// The entries' texts one behind the other, in front of them those of some that were evicted: each
    /// is in one piece, and seldom moved.
    bytes: Vec<u8>,
    /// The oldest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// All that there ever were, modulo 2^16.
    inserted: u16,
}

impl Table {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), size: 0, max, inserted: 0 }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Evicts what there is no room for any more.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.make_room(0);
    }

    /// The entry of that number; the newest has 0.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<(&[u8], &[u8])> {
        let at = self.entries.len().checked_sub(number.checked_add(1)?)?;
        let entry = self.entries.get(at)?;
        let (start, name) = (entry.start as usize, entry.name as usize);
        let text = self.bytes.get(start..start + name + entry.value as usize)?;
        Some(text.split_at(name))
    }

    /// The number of the entry that was the `serial`th to be put in, if it is still there; or of one that
    /// came 2^16 later.
    #[inline]
    pub(super) fn number_of(&self, serial: u16) -> Option<usize> {
        let number = usize::from(self.inserted.wrapping_sub(serial));
        (number < self.entries.len()).then_some(number)
    }

    /// Puts a field in, in front of all others. One that is larger than the table leaves it empty
    /// (section 4.4). Gives its serial, if it is in it.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) -> Option<u16> {
        let old = match name {
            Name::Text(_) => None,
            Name::Of(number) => Some(self.name_at(number)?),
        };
        let name_len = match name {
            Name::Text(text) => text.len(),
            Name::Of(_) => old?.1,
        };
        let size = size(name_len, value.len());
        // The texts stay where they are, so that an evicted entry's name can be used.
        self.make_room(size);
        if size > self.max {
            return None;
        }
        let start = self.bytes.len();
        match (name, old) {
            (Name::Text(text), _) => self.bytes.extend_from_slice(text),
            (_, Some((at, len))) => self.bytes.extend_from_within(at..at + len),
            (_, None) => return None,
        }
        self.bytes.extend_from_slice(value);
        self.size += size;
        self.inserted = self.inserted.wrapping_add(1);
        let (start, name, value) = (start as u32, name_len as u32, value.len() as u32);
        self.entries.push_back(Entry { start, name, value });
        self.tidy();
        Some(self.inserted)
    }

    /// Where an entry's name is.
    fn name_at(&self, number: usize) -> Option<(usize, usize)> {
        let at = self.entries.len().checked_sub(number.checked_add(1)?)?;
        let entry = self.entries.get(at)?;
        Some((entry.start as usize, entry.name as usize))
    }

    fn make_room(&mut self, size: usize) {
        while self.size + size > self.max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.size -= oldest.size();
        }
    }

    /// Gives up the texts of evicted entries once they are more than the table can hold.
    fn tidy(&mut self) {
        let first = self.entries.front().map_or(self.bytes.len(), |entry| entry.start as usize);
        if first > self.max {
            self.bytes.drain(..first);
            for entry in &mut self.entries {
                entry.start -= first as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &Table) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let entries = (0..).map_while(|n| table.get(n));
        entries.map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
    }

    #[test]
    fn the_oldest_go_first() {
        let mut table = Table::new(70);
        assert_eq!(table.insert(Name::Text(b"a"), b"1"), Some(1));
        assert_eq!(table.insert(Name::Text(b"b"), b"2"), Some(2));
        assert_eq!(shown(&table), ["b: 2", "a: 1"]);
        assert_eq!(
            (table.number_of(1), table.number_of(2), table.number_of(3)),
            (Some(1), Some(0), None)
        );
        table.insert(Name::Text(b"c"), b"33");
        assert_eq!(shown(&table), ["c: 33", "b: 2"]);
        assert_eq!((table.number_of(1), table.number_of(2)), (None, Some(1)));
        table.insert(Name::Text(b"d"), b"444");
        assert_eq!(shown(&table), ["d: 444"]);
        table.resize(35);
        assert_eq!(shown(&table), Vec::<String>::new());
    }

    #[test]
    fn the_name_of_an_entry_that_goes_is_still_good() {
        let mut table = Table::new(40);
        table.insert(Name::Text(b"name"), b"1");
        table.insert(Name::Of(0), b"2");
        assert_eq!(shown(&table), ["name: 2"]);
        assert_eq!(table.insert(Name::Of(1), b"3"), None);
        assert_eq!(shown(&table), ["name: 2"]);
    }

    #[test]
    fn one_that_is_too_large_leaves_nothing() {
        let mut table = Table::new(40);
        table.insert(Name::Text(b"a"), b"1");
        assert_eq!(table.insert(Name::Text(b"a"), &[b'x'; 8]), None);
        assert_eq!(shown(&table), Vec::<String>::new());
        assert_eq!(Table::new(0).insert(Name::Text(b""), b""), None);
    }

    #[test]
    fn memory_is_bounded_by_the_size() {
        let mut table = Table::new(4096);
        assert_eq!(table.bytes.capacity(), 0);
        for n in 0..10_000 {
            let value = vec![b'x'; n % 300];
            table.insert(Name::Text(b"name"), &value);
            assert_eq!(table.get(0), Some((&b"name"[..], &value[..])));
            assert!(table.bytes.len() <= 2 * 4096 && table.size <= 4096);
        }
    }
}
