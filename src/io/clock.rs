//! The core's clock: nanoseconds since the process's first look, so that a `u64` holds it and
//! zero means "never".

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Instant;

static BASE: OnceLock<Instant> = OnceLock::new();

thread_local! {
    static COARSE: Cell<u64> = const { Cell::new(1) };
}

/// Nanoseconds since the process began, at least 1. One vDSO call (some 20 ns).
pub fn now_ns() -> u64 {
    let base = BASE.get_or_init(Instant::now);
    let now = base.elapsed().as_nanos() as u64 + 1;
    COARSE.with(|c| c.set(now));
    now
}

/// The last time this thread looked at the clock: right to a tick of the worker (`limits::TICK`).
/// Costs a load; deadlines are armed from it.
pub fn coarse_ns() -> u64 {
    COARSE.with(Cell::get)
}
