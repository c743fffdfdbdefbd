//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

// Room policy/limit.

/// Slots of the table that holds the rate limits' buckets, 16 bytes each (so 16 MiB of address
/// space; pages that no bucket has touched cost no memory). One slot in eight is a set's header.
/// A power of two.
pub const BUCKET_SLOTS: usize = 1 << 20;

/// Slots of the table that counts requests in flight and connections, 16 bytes each (4 MiB of
/// address space). Every live connection needs at most one per counted thing. A power of two.
pub const COUNTER_SLOTS: usize = 1 << 18;

/// Sets of eight slots that a key may lie in: its home and the next few.
pub const TABLE_PROBE_SETS: usize = 4;

/// Tries at changing a table slot. Each failed try means that another core's succeeded, so the
/// bound is only met where hundreds of them overtake one core; that request is refused.
pub const TABLE_TRIES: usize = 512;

/// How far the cores' ideas of `now` may lie apart when a slot is taken from a full bucket, ns. A
/// worker reads the clock once a turn of its loop, so the slowest turn bounds it.
pub const CLOCK_SKEW_NS: u64 = 1_000_000_000;

/// Keys that one worker remembers leases and refusals for; 64 bytes each. A power of two.
pub const LEASE_ENTRIES: usize = 2048;

/// Tokens in one lease. At 100 ns a contended exchange, 256 make its share of a decision vanish.
pub const LEASE_MAX: u16 = 256;

/// The aggregation tick, ns: unused tokens go back after one to two of these, and a core that
/// refuses by what it saw before looks again after one.
pub const LEASE_TICK_NS: u64 = 10_000_000;

/// Leases that one tick looks at; the rest wait for the next tick.
pub const LEASES_PER_TICK: usize = 256;

/// Rules of one request whose keys are hashed once; any beyond are hashed again where needed.
pub const RULES_AT_HAND: usize = 16;

// Room policy/client.

/// Addresses that are read from X-Forwarded-For or Forwarded, from the right.
pub const FORWARDED_HOPS: usize = 32;
