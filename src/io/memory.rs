//! The allocator's free memory.

use std::alloc::{GlobalAlloc, Layout};

/// Gives this thread's free memory back to the system now; the allocator would take its time.
pub fn release() {
    // SAFETY: it takes a flag and may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// mimalloc as the process's allocator.
///
/// Of our own rather than from the `mimalloc` crate, which asks for aligned memory always: that way
/// costs some 200 instructions for anything above 1 KiB, where nearly no type wants an alignment
/// that memory has not got anyway.
pub struct Allocator;

/// What every allocation of mimalloc is aligned to.
const ALIGNED: usize = 8;

// SAFETY: memory comes from mimalloc and goes back to it; sizes and alignments are passed on, an
// alignment of up to eight bytes being that of all its memory.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power of two will do.
        unsafe {
            match layout.align() {
                ..=ALIGNED => libmimalloc_sys::mi_malloc(layout.size()).cast(),
                align => libmimalloc_sys::mi_malloc_aligned(layout.size(), align).cast(),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            match layout.align() {
                ..=ALIGNED => libmimalloc_sys::mi_zalloc(layout.size()).cast(),
                align => libmimalloc_sys::mi_zalloc_aligned(layout.size(), align).cast(),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from here.
        unsafe { libmimalloc_sys::mi_free(memory.cast()) };
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: it came from here.
        unsafe {
            match layout.align() {
                ..=ALIGNED => libmimalloc_sys::mi_realloc(memory.cast(), size).cast(),
                align => libmimalloc_sys::mi_realloc_aligned(memory.cast(), size, align).cast(),
            }
        }
    }
}
