//! The core's clock: nanoseconds in a `u64`, counted from a day before the process began.

use std::cell::Cell;
use std::sync::OnceLock;

static BASE: OnceLock<u64> = OnceLock::new();

thread_local! {
    static COARSE: Cell<u64> = const { Cell::new(START_NS) };
}

/// What the clock showed when the process began: late enough that every window that a policy
/// looks back on fits before it.
const START_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Nanoseconds on a clock that never goes back. One vDSO call (some 20 ns).
pub fn now_ns() -> u64 {
    let base = *BASE.get_or_init(monotonic_ns);
    let now = START_NS + (monotonic_ns() - base);
    COARSE.with(|c| c.set(now));
    now
}

/// The last time this thread looked at the clock: right to a tick of the worker (`limits::TICK`).
/// Costs a load; deadlines are armed from it.
pub fn coarse_ns() -> u64 {
    COARSE.with(Cell::get)
}

/// The system's monotonic clock as one number, without the checks that `Instant` makes.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
