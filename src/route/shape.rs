//! Patterns with parameters or a catch-all, found by their shape.
//!
//! A pattern's *shape* says which of its segments are parameters and whether a catch-all
//! follows: `/v1/orders/{id}` and `/v1/users/{name}` have one. A host knows the shapes of its
//! patterns, a handful even where it has thousands of patterns. A lookup tries them in order of
//! precedence, one hash lookup each: the path's segments at the literal places make the key.
//! What one lookup costs is bounded by the number of shapes a host may have; and as no lookup
//! waits for another's outcome, the cache misses of a large table overlap.

use super::hash;
use super::params::Params;
use super::pattern::Pattern;
use super::segments::Segments;
use crate::limits::MAX_PATTERN_SEGMENTS;

/// Bits 0 to 23: which segments are parameters. Bits 24 to 28: how many segments. Bit 31: a
/// catch-all follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape(u32);

const COUNT_SHIFT: u32 = 24;
const CATCH_ALL: u32 = 1 << 31;

const _: () = assert!(MAX_PATTERN_SEGMENTS <= COUNT_SHIFT as usize);

impl Shape {
    /// A pattern's.
    pub(super) fn of(pattern: &Pattern<'_>) -> Self {
        let places = pattern.segments.iter().zip(0..).filter(|(segment, _)| segment.is_parameter);
        let parameters = places.fold(0, |bits, (_, at)| bits | 1 << at);
        let count = (pattern.segments.len() as u32) << COUNT_SHIFT;
        Self(parameters | count | if pattern.catch_all { CATCH_ALL } else { 0 })
    }

    /// How many segments a path needs, without what the catch-all stands for.
    pub(super) fn segments(self) -> usize {
        (self.0 >> COUNT_SHIFT & 0x1f) as usize
    }

    /// Whether a catch-all follows.
    pub(super) fn is_catch_all(self) -> bool {
        self.0 & CATCH_ALL != 0
    }

    /// Sorts by precedence among shapes that match one path: those without a catch-all first;
    /// of catch-alls the longest first; then the literal first where two first differ.
    pub(super) fn precedence(self) -> (bool, usize, u32) {
        let count = self.segments();
        let catch_all = self.is_catch_all();
        let length = if catch_all { MAX_PATTERN_SEGMENTS - count } else { count };
        (catch_all, length, self.parameters().reverse_bits())
    }

    /// Whether a path with these segments can have this shape at all.
    pub(super) fn fits(self, segments: &Segments) -> bool {
        let enough = if self.is_catch_all() {
            segments.count() >= self.segments()
        } else {
            segments.count() == self.segments()
        };
        enough && self.parameters() & segments.empty() == 0
    }

    /// The hash of a path's literal segments within a host's patterns.
    pub(super) fn hash(self, host: u64, segments: &Segments) -> u64 {
        let mut sum = 0u64;
        let mut literals = self.literals();
        while literals != 0 {
            sum = sum.wrapping_add(segments.hash(literals.trailing_zeros() as usize));
            literals &= literals - 1;
        }
        hash::join(host ^ u64::from(self.0), sum)
    }

    /// Whether a path's literal segments, joined by slashes, are this text.
    pub(super) fn is_text(self, text: &[u8], path: &[u8], segments: &Segments) -> bool {
        let mut rest = text;
        let mut literals = self.literals();
        let mut separator: &[u8] = b"";
        while literals != 0 {
            let first = literals.trailing_zeros();
            let run = (literals >> first).trailing_ones();
            let (start, end) = segments.range(first as usize, (first + run) as usize);
            let Some(after) = rest.strip_prefix(separator) else { return false };
            let Some(after) = after.strip_prefix(&path[start..end]) else { return false };
            rest = after;
            literals &= literals.wrapping_add(1 << first);
            separator = b"/";
        }
        rest.is_empty()
    }

    /// A pattern's key: its literal segments joined by slashes.
    pub(super) fn key(pattern: &Pattern<'_>) -> String {
        let literals = pattern.segments.iter().filter(|segment| !segment.is_parameter);
        literals.map(|segment| pattern.text_of(segment)).collect::<Vec<_>>().join("/")
    }

    /// Cuts the parameters out of a path that has this shape.
    pub(super) fn capture(self, path: &[u8], segments: &Segments, params: &mut Params) {
        let mut places = self.parameters();
        while places != 0 {
            let place = places.trailing_zeros() as usize;
            let (start, end) = segments.range(place, place + 1);
            params.push(start, end);
            places &= places - 1;
        }
        if self.is_catch_all() {
            params.push(segments.start(self.segments()).min(path.len()), path.len());
        }
    }

    fn parameters(self) -> u32 {
        self.0 & ((1 << COUNT_SHIFT) - 1)
    }

    fn literals(self) -> u32 {
        !self.0 & ((1 << self.segments()) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(pattern: &str) -> Shape {
        Shape::of(&Pattern::parse(pattern).unwrap())
    }

    fn is_like(pattern: &str, path: &str) -> bool {
        let (shape, key) = (shape(pattern), Shape::key(&Pattern::parse(pattern).unwrap()));
        let segments = Segments::split(path.as_bytes(), MAX_PATTERN_SEGMENTS);
        shape.fits(&segments) && shape.is_text(key.as_bytes(), path.as_bytes(), &segments)
    }

    #[test]
    fn precedence_is_literal_first_and_longest_catch_all_first() {
        let sorted =
            ["/a/{x}", "/{x}/a", "/{x}/{y}", "/a/b/*", "/a/{x}/*", "/{x}/b/*", "/a/*", "/*"];
        assert!(sorted.map(|pattern| shape(pattern).precedence()).is_sorted());
    }

    #[test]
    fn keys_keep_segments_apart() {
        assert!(is_like("/ab/{x}/c", "/ab/1/c"));
        assert!(!is_like("/ab/{x}/c", "/a/1/bc"));
        assert!(!is_like("/ab/{x}/c", "/ab/1/cd"));
        assert!(!is_like("/ab/{x}/c/", "/ab/1/c"));
        assert!(is_like("/{x}/b/c/{y}/d/*", "/1/b/c/2/d"));
        assert!(is_like("/{x}/b/c/{y}/d/*", "/1/b/c/2/d/e/f"));
        assert!(!is_like("/{x}/b/c/{y}/d/*", "/1/b/c//d/e/f"));
        assert!(is_like("/*", "/"));
        assert!(is_like("//{x}", "//1"));
    }
}
