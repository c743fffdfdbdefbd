//! Byte buffers from a pool that each core owns.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;

use monoio::buf::{IoBuf, IoBufMut};

use crate::limits::{
    BUFFER_LARGE, BUFFER_MEDIUM, BUFFER_SMALL, BUFFERS_EASY, BUFFERS_POOLED, BUFFERS_TIGHT,
};

thread_local! {
    static SMALL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static MEDIUM: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Bytes of buffer memory this core's connections hold (the pool's spare ones not counted).
pub fn held() -> usize {
    HELD.with(Cell::get)
}

/// Sets how many bytes this core's connections may hold.
pub fn allow(most: usize) {
    MOST.with(|m| m.set(most));
}

/// Whether they hold more than that, so that nothing new may begin.
pub fn is_over() -> bool {
    held() > MOST.with(Cell::get)
}

/// The size of the largest buffers that content may be streamed by: the less, the more is held, so
/// that those who read slowly, or not at all, leave room for others.
pub fn largest() -> usize {
    let (held, most) = (held(), MOST.with(Cell::get));
    match held {
        _ if held < most / BUFFERS_EASY => BUFFER_LARGE,
        _ if held < most / BUFFERS_TIGHT => BUFFER_MEDIUM,
        _ => BUFFER_SMALL,
    }
}

/// Frees half of this core's spare buffers, and tells how many bytes those were; called now and
/// then, so that what a burst left goes within seconds.
pub fn trim() -> usize {
    [&SMALL, &MEDIUM, &LARGE]
        .iter()
        .map(|pool| {
            pool.with(|p| {
                let mut p = p.borrow_mut();
                let keep = p.len() / 2;
                let freed = p.drain(keep..).map(|b| b.capacity()).sum::<usize>();
                p.shrink_to(keep);
                freed
            })
        })
        .sum()
}

/// A growable run of bytes with a consumed front: `[consumed | data | room]`.
///
/// Dropping it, also inside a cancelled operation, gives the memory back to the core's pool.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    counted: usize,
}

impl Buffer {
    /// A buffer that holds no memory.
    pub const fn empty() -> Self {
        Self { bytes: Vec::new(), start: 0, counted: 0 }
    }

    /// A buffer with room for a usual head (`limits::BUFFER_SMALL` bytes).
    pub fn small() -> Self {
        Self::pooled(&SMALL, BUFFER_SMALL)
    }

    /// A buffer for an answer's head and the beginning of its content
    /// (`limits::BUFFER_MEDIUM` bytes).
    pub fn medium() -> Self {
        Self::pooled(&MEDIUM, BUFFER_MEDIUM)
    }

    /// A buffer for streaming a body (`limits::BUFFER_LARGE` bytes).
    pub fn large() -> Self {
        Self::pooled(&LARGE, BUFFER_LARGE)
    }

    /// A buffer of that size, or of the largest there may be now.
    pub fn at_most(size: usize) -> Self {
        match size.min(largest()) {
            BUFFER_LARGE.. => Self::large(),
            BUFFER_MEDIUM.. => Self::medium(),
            _ => Self::small(),
        }
    }

    /// The smallest pooled kind with room for `n` bytes, or one made for them.
    pub fn fitting(n: usize) -> Self {
        match n {
            _ if n <= BUFFER_SMALL - TAIL => Self::small(),
            _ if n <= BUFFER_MEDIUM - TAIL => Self::medium(),
            _ => {
                let mut buffer = Self::large();
                buffer.reserve(n + TAIL);
                buffer
            }
        }
    }

    fn pooled(pool: &'static std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>, size: usize) -> Self {
        let bytes = pool.with(|p| p.borrow_mut().pop()).unwrap_or_else(|| Vec::with_capacity(size));
        let mut buffer = Self { bytes, start: 0, counted: 0 };
        buffer.count();
        buffer
    }

    fn count(&mut self) {
        let now = self.bytes.capacity();
        HELD.with(|h| h.set(h.get() + now - self.counted));
        self.counted = now;
    }

    /// The bytes that were not consumed yet.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The same, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// Number of bytes not consumed.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether every byte was consumed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes `n` bytes off the front.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.bytes.len());
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    /// Forgets all bytes.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Keeps the first `n` unconsumed bytes only.
    pub fn truncate(&mut self, n: usize) {
        self.bytes.truncate(self.start + n);
    }

    /// Bytes that could be added without growing.
    pub fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Bytes that a read may add.
    pub fn free(&self) -> usize {
        self.room().saturating_sub(TAIL)
    }

    /// The same, to be written to.
    pub(super) fn free_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let free = self.free();
        &mut self.bytes.spare_capacity_mut()[..free]
    }

    /// Takes `n` bytes at the start of [`Buffer::free_mut`] into the data.
    ///
    /// # Safety
    /// They must have been written.
    pub(super) unsafe fn received(&mut self, n: usize) {
        debug_assert!(n <= self.free());
        let len = self.bytes.len();
        // SAFETY: the caller says that so many bytes behind the data were written.
        unsafe { self.bytes.set_len(len + n) };
    }

    /// Whether a read could add nothing.
    pub fn is_full(&self) -> bool {
        self.free() == 0
    }

    /// Bytes of memory behind it.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for at least `n` more bytes: by moving the data to the front where that is
    /// enough, else by growing.
    pub fn reserve(&mut self, n: usize) {
        if self.room() >= n {
            return;
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.room() < n {
            self.bytes.reserve(n);
            self.count();
        }
    }

    /// The vector behind, for the encoders to append to. Only for buffers that were not consumed
    /// from.
    pub fn writer(&mut self) -> &mut Vec<u8> {
        debug_assert_eq!(self.start, 0);
        &mut self.bytes
    }

    /// Leaves `n` bytes free in front of whatever is read next, so that a prefix can be put there
    /// later with [`Buffer::prefix_mut`]. The buffer must be empty.
    pub fn set_headroom(&mut self, n: usize) {
        debug_assert!(self.is_empty());
        self.bytes.clear();
        self.bytes.resize(n, 0);
        self.start = n;
    }

    /// Number of free bytes in front of the data.
    pub fn prefix(&self) -> usize {
        self.start
    }

    /// Puts bytes in front of the data, where there is room for them.
    pub fn put_in_front(&mut self, bytes: &[u8]) {
        let at = self.start - bytes.len();
        self.bytes[at..self.start].copy_from_slice(bytes);
        self.start = at;
    }

    /// The free bytes in front of the data.
    pub fn prefix_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.start]
    }

    /// Takes `n` bytes of the room in front into the data.
    pub fn take_prefix(&mut self, n: usize) {
        self.start -= n;
    }

    /// Has an encoder append behind the data.
    pub fn append_with<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = write(&mut self.bytes);
        if self.bytes.capacity() != self.counted {
            self.count();
        }
        written
    }

    /// Appends behind the data.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.capacity() != self.counted {
            self.count();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = self.bytes.capacity();
        if capacity == 0 {
            return;
        }
        // The thread may be ending, when its locals are gone; then the memory is simply freed.
        let _ = HELD.try_with(|h| h.set(h.get().saturating_sub(self.counted)));
        let pool = match capacity {
            BUFFER_SMALL => &SMALL,
            BUFFER_MEDIUM => &MEDIUM,
            BUFFER_LARGE => &LARGE,
            _ => return,
        };
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let _ = pool.try_with(|p| {
            let mut p = p.borrow_mut();
            if p.len() < BUFFERS_POOLED {
                p.push(bytes);
            }
        });
    }
}

/// Bytes that a read leaves free at the end, so that framing can be put behind what was read
/// without growing.
const TAIL: usize = 16;

/// The room behind the data, lent to a read.
pub(super) struct Room(pub(super) Buffer);

// SAFETY: the pointer and lengths are those of the vector's heap block, which does not move while
// the operation owns this value (the vector is not touched until it is given back).
unsafe impl IoBufMut for Room {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.free_mut().as_mut_ptr().cast()
    }

    fn bytes_total(&mut self) -> usize {
        self.0.free()
    }

    unsafe fn set_init(&mut self, n: usize) {
        // SAFETY: the caller says the same.
        unsafe { self.0.received(n) };
    }
}

/// The data behind the first `sent` bytes, lent to a write.
pub(super) struct Unsent {
    pub(super) buffer: Buffer,
    pub(super) sent: usize,
}

// SAFETY: as above; the range is initialised, being part of the vector's length.
unsafe impl IoBuf for Unsent {
    fn read_ptr(&self) -> *const u8 {
        self.buffer.data()[self.sent..].as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.buffer.len() - self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_and_returns_to_the_pool() {
        let before = held();
        let mut b = Buffer::small();
        assert_eq!(held(), before + BUFFER_SMALL);
        b.append(b"abc");
        b.consume(1);
        assert_eq!(b.data(), b"bc");
        b.reserve(BUFFER_SMALL * 2);
        assert!(held() > before + BUFFER_SMALL);
        assert_eq!(b.data(), b"bc");
        drop(b);
        assert_eq!(held(), before);
    }

    #[test]
    fn the_more_is_held_the_smaller_are_buffers() {
        let sizes = |most| {
            allow(most);
            let made = Buffer::at_most(BUFFER_LARGE).capacity();
            (largest(), made, is_over())
        };
        let some = Buffer::small();
        assert_eq!(sizes(held() * 4 + 4), (BUFFER_LARGE, BUFFER_LARGE, false));
        assert_eq!(sizes(held() * 4), (BUFFER_MEDIUM, BUFFER_MEDIUM, false));
        assert_eq!(sizes(held() * 2), (BUFFER_SMALL, BUFFER_SMALL, false));
        assert_eq!(sizes(held() - 1), (BUFFER_SMALL, BUFFER_SMALL, true));
        allow(usize::MAX);
        assert_eq!(Buffer::at_most(BUFFER_MEDIUM).capacity(), BUFFER_MEDIUM);
        drop(some);
    }

    #[test]
    fn a_prefix_is_put_in_front_of_the_data() {
        let mut b = Buffer::small();
        b.set_headroom(4);
        b.append(b"body");
        b.prefix_mut()[2..4].copy_from_slice(b"4:");
        b.take_prefix(2);
        assert_eq!(b.data(), b"4:body");
    }

    #[test]
    fn reserve_reuses_the_consumed_front_before_it_grows() {
        let mut b = Buffer::small();
        let full = b.room();
        b.append(&vec![b'x'; full]);
        b.consume(full - 1);
        b.reserve(full - 1);
        assert_eq!(b.data(), b"x");
        assert_eq!(b.bytes.capacity(), BUFFER_SMALL);
    }
}
