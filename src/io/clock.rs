//! The core's clock: nanoseconds in a `u64`, counted from a day before the process began.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Instant;

static BASE: OnceLock<Instant> = OnceLock::new();

thread_local! {
    static COARSE: Cell<u64> = const { Cell::new(START_NS) };
}

/// What the clock showed when the process began: late enough that every window that a policy
/// looks back on fits before it.
const START_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Nanoseconds on a clock that never goes back. One vDSO call (some 20 ns).
pub fn now_ns() -> u64 {
    let base = BASE.get_or_init(Instant::now);
    let now = START_NS + base.elapsed().as_nanos() as u64;
    COARSE.with(|c| c.set(now));
    now
}

/// The last time this thread looked at the clock: right to a tick of the worker (`limits::TICK`).
/// Costs a load; deadlines are armed from it.
pub fn coarse_ns() -> u64 {
    COARSE.with(Cell::get)
}
