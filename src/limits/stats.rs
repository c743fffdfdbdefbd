//! Counters.

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
pub const STATS_MAX_KINDS: usize = 96;
