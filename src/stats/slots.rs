//! Lazily allocated blocks by id.

use std::sync::OnceLock;

/// Slots in a chunk: 16 KiB of empty slots are allocated when the first of them is used.
const CHUNK: usize = 1024;

type Chunk<T> = Box<[OnceLock<Box<T>>]>;

/// Blocks by id, allocated by the worker when it first counts something for that id, readable by
/// anybody at any time.
#[derive(Debug)]
pub struct Slots<T> {
    chunks: Box<[OnceLock<Chunk<T>>]>,
}

fn empty<T>(n: usize) -> Box<[OnceLock<T>]> {
    (0..n).map(|_| OnceLock::new()).collect()
}

impl<T: Default> Slots<T> {
    /// Room for ids below `max`, rounded up to whole chunks.
    pub fn new(max: u32) -> Self {
        Self { chunks: empty((max as usize).div_ceil(CHUNK).max(1)) }
    }

    /// The block of `id`, made at first use. Ids come from the registry, which bounds them; one
    /// past the end would share the last block.
    #[inline]
    pub fn at(&self, id: u32) -> &T {
        let index = id as usize;
        debug_assert!(index / CHUNK < self.chunks.len());
        let chunk = &self.chunks[(index / CHUNK).min(self.chunks.len() - 1)];
        chunk.get_or_init(|| empty(CHUNK))[index % CHUNK].get_or_init(Box::default)
    }

    /// The block of `id`, where it was ever used.
    pub fn peek(&self, id: u32) -> Option<&T> {
        let index = id as usize;
        self.chunks.get(index / CHUNK)?.get()?[index % CHUNK].get().map(|block| &**block)
    }
}

#[cfg(test)]
mod tests {
    use super::super::counter::Counter;
    use super::*;

    #[test]
    fn a_block_appears_at_first_use_and_stays_where_it_is() {
        let slots: Slots<Counter> = Slots::new(3000);
        assert!(slots.peek(0).is_none());
        assert!(slots.peek(u32::MAX).is_none());
        let first: *const Counter = slots.at(2999);
        slots.at(2999).up();
        slots.at(0).add(5);
        assert!(std::ptr::eq(first, slots.at(2999)));
        assert_eq!(slots.peek(2999).map(Counter::value), Some(1));
        assert_eq!(slots.peek(0).map(Counter::value), Some(5));
        assert!(slots.peek(1).is_none());
    }
}
