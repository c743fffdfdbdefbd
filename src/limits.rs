//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

// stats

/// Listeners with counters of their own, names being retired included.
pub const STATS_MAX_LISTENERS: u32 = 1 << 10;
/// Routes with counters of their own, names being retired included: ten times the 100,000 routes
/// that the gateway is built for. A route never used costs a worker nothing.
pub const STATS_MAX_ROUTES: u32 = 1 << 20;
/// Upstreams with counters of their own, names being retired included.
pub const STATS_MAX_UPSTREAMS: u32 = 1 << 16;
/// Targets with counters of their own, names being retired included.
pub const STATS_MAX_TARGETS: u32 = 1 << 18;
/// Kinds of failures and of bad requests that are told apart; a kind past it counts as the last.
pub const STATS_MAX_KINDS: usize = 64;

// access log, resolving, file watching

/// Finished record buffers kept for the workers to fill again: a few a worker, whatever the queue.
pub const LOG_RECYCLED_BUFFERS: usize = 64;
/// A recycled buffer above this is given back to the allocator instead, bytes.
pub const LOG_RECYCLED_CAPACITY: usize = 256 * 1024;
/// Chunks of records that may wait for the writer; the queue in bytes is the bound that matters,
/// this one is there because a channel needs a length.
pub const LOG_QUEUE_CHUNKS: usize = 4096;
/// Addresses taken from one DNS answer; more would only thin out each one's pool.
pub const RESOLVE_MAX_ADDRESSES: usize = 64;
/// DNS names looked up at the same time.
pub const RESOLVE_PARALLEL: usize = 16;
/// Bytes of a configuration file: 100,000 routes at some 600 bytes each, with room.
pub const CONFIG_FILE_MAX: u64 = 256 * 1024 * 1024;

// admin

/// Connections to the admin listener at once; more wait in the backlog.
pub const ADMIN_MAX_CONNECTIONS: usize = 128;
/// Statistics rendered at the same time: with many routes a rendering costs memory.
pub const ADMIN_MAX_RENDERINGS: usize = 2;
/// Routes in `/stats` and `/metrics`, the busiest ones: what a Prometheus server can still take.
pub const ADMIN_MAX_ROUTES: usize = 5_000;
/// Up to this many routes, those that never served a request are shown too.
pub const ADMIN_MAX_UNUSED_ROUTES: usize = 1_000;
/// Routes on the page for people, the busiest ones.
pub const ADMIN_PAGE_ROUTES: usize = 50;
/// Seconds of history on the page for people.
pub const ADMIN_HISTORY: usize = 120;
/// Seconds over which the page's latencies and rates are taken.
pub const ADMIN_WINDOW: usize = 10;
