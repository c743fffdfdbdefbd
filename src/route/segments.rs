//! A path, split once.

use super::hash;
use crate::limits::MAX_PATTERN_SEGMENTS;

/// Where a path's first segments end, and their hashes.
pub(super) struct Segments {
    ends: [u32; MAX_PATTERN_SEGMENTS + 1],
    /// Each mixed with its position, so that sums of them tell orders apart.
    hashes: [u64; MAX_PATTERN_SEGMENTS + 1],
    count: usize,
    /// Bit n: segment n has no bytes.
    empty: u32,
}

const _: () = assert!(MAX_PATTERN_SEGMENTS < u32::BITS as usize);

impl Segments {
    /// Splits a path after its first slash. Of segments past `wanted` only the first is told,
    /// with all that follow in it: longer paths differ from shorter ones, but not in how much.
    pub(super) fn split(path: &[u8], wanted: usize) -> Self {
        let mut all = Self {
            ends: [0; MAX_PATTERN_SEGMENTS + 1],
            hashes: [0; MAX_PATTERN_SEGMENTS + 1],
            count: 0,
            empty: 0,
        };
        let wanted = wanted.min(MAX_PATTERN_SEGMENTS);
        let mut start = 1;
        while start <= path.len() && all.count < wanted {
            let rest = &path[start..];
            let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            all.push(start + len, hash::of(&rest[..len]), len == 0);
            start += len + 1;
        }
        if start <= path.len() {
            all.push(path.len(), 0, start == path.len());
        }
        all
    }

    /// How many there are, the one with the rest included.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bits of those that are empty.
    pub(super) fn empty(&self) -> u32 {
        self.empty
    }

    /// Hash of a segment at its place.
    pub(super) fn hash(&self, segment: usize) -> u64 {
        self.hashes[segment]
    }

    /// Offset of a segment's first byte; one more than the path's length behind the last.
    pub(super) fn start(&self, segment: usize) -> usize {
        match segment.checked_sub(1) {
            Some(before) => self.ends[before] as usize + 1,
            None => 1,
        }
    }

    /// Offsets of the bytes from one segment up to, not including, another behind it.
    pub(super) fn range(&self, from: usize, to: usize) -> (usize, usize) {
        (self.start(from), self.ends[to - 1] as usize)
    }

    fn push(&mut self, end: usize, hash: u64, is_empty: bool) {
        self.ends[self.count] = end as u32;
        self.hashes[self.count] = placed(self.count, hash);
        self.empty |= u32::from(is_empty) << self.count;
        self.count += 1;
    }
}

fn placed(place: usize, hash: u64) -> u64 {
    hash::join(place as u64, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_into_segments() {
        let cases: [(&str, usize, &[&str]); 9] = [
            ("/", 9, &[""]),
            ("/a", 9, &["a"]),
            ("/a/", 9, &["a", ""]),
            ("//b", 9, &["", "b"]),
            ("/a/b/c", 2, &["a", "b", "c"]),
            ("/a/b/c", 1, &["a", "b/c"]),
            ("/a/", 1, &["a", ""]),
            ("/a", 0, &["a"]),
            ("", 9, &[]),
        ];
        for (path, wanted, expected) in cases {
            let segments = Segments::split(path.as_bytes(), wanted);
            let ranges = (0..segments.count()).map(|at| segments.range(at, at + 1));
            let parts = ranges.map(|(start, end)| &path[start..end]);
            assert_eq!(parts.collect::<Vec<_>>(), expected, "{path}");
            for (at, part) in expected.iter().enumerate() {
                assert_eq!(segments.empty() >> at & 1 == 1, part.is_empty(), "{path}");
            }
        }
        let long = "/a".repeat(1000);
        assert_eq!(Segments::split(long.as_bytes(), 1000).count(), MAX_PATTERN_SEGMENTS + 1);
    }

    #[test]
    fn the_same_segment_hashes_apart_at_two_places() {
        let segments = Segments::split(b"/a/a", 2);
        assert_ne!(segments.hash(0), segments.hash(1));
    }
}
