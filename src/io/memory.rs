//! The allocator's free memory.

/// Gives this thread's free memory back to the system now; the allocator would take its time.
pub fn release() {
    // SAFETY: it takes a flag and may be called at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
