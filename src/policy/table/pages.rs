//! Memory for a large table of which few parts may ever be used.

use std::alloc::{GlobalAlloc, Layout, System, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;

use portable_atomic::AtomicU128;

/// Zeroed slots in pages that the system fills in when they are first written. They come from the
/// system's own allocator: another one might write the zeroes, and so use all of it at once.
pub(super) struct Pages {
    slots: NonNull<AtomicU128>,
    count: usize,
}

// SAFETY: it owns its memory, which holds atomics only.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// `count` slots, at least 1.
    pub(super) fn zeroed(count: usize) -> Self {
        let count = count.max(1);
        let layout = Self::layout(count);
        // SAFETY: the layout is not empty.
        let memory = unsafe { System.alloc_zeroed(layout) };
        match NonNull::new(memory.cast()) {
            Some(slots) => Self { slots, count },
            None => handle_alloc_error(layout),
        }
    }

    fn layout(count: usize) -> Layout {
        // Table sizes are constants far below what a layout can hold.
        Layout::array::<AtomicU128>(count).unwrap_or(Layout::new::<AtomicU128>())
    }
}

impl Deref for Pages {
    type Target = [AtomicU128];

    fn deref(&self) -> &[AtomicU128] {
        // SAFETY: zeroes are valid atomics, and the memory is ours until the drop.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr(), self.count) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated by the same allocator with the same layout.
        unsafe { System.dealloc(self.slots.as_ptr().cast(), Self::layout(self.count)) };
    }
}
