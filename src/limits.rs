//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

// upstream: balance, maglev, health, retry

/// Targets one request may try in all, the first included. More would multiply the load of an
/// outage and hold the client longer than another gateway would take to answer.
pub const MAX_TRIES: usize = 8;

/// Targets of one upstream after name resolution: the tables hold 16-bit indices.
pub const MAX_TARGETS: usize = 16_384;

/// Slots of a round-robin order. Weights whose reduced sum is larger are scaled down to it, so
/// a share is right to about one in eight thousand; every target keeps at least one slot.
pub const MAX_ROTATION: usize = 8_192;

/// Slots or draws looked at before a pick falls back to a scan of all targets, so that a heavy
/// target that is skipped costs a bounded walk.
pub const MAX_PICK_STEPS: usize = 16;

/// A target that keeps failing is skipped for at most this many times the configured time:
/// long enough to matter, short enough to notice that it came back.
pub const MAX_SKIP_GROWTH: u32 = 8;

/// Retries a second that every core may make on an upstream whatever the share of requests:
/// with little traffic the share alone would never allow one.
pub const RETRY_FLOOR_PER_SECOND: u32 = 3;

/// Unused retries an upstream can save up per core: a burst of failures after a long quiet
/// time must not become a burst of retries.
pub const MAX_SAVED_RETRIES: u32 = 100;

// policy: transform

/// Bytes of an X-Request-Id that is taken over from a trusted peer.
pub const MAX_REQUEST_ID: usize = 128;

// respond: access log

/// Bytes of one client-chosen value in an access log record; the rest is cut off. Escaping can
/// make a byte six, so this bounds a record at about 200 KiB in the worst case.
pub const MAX_LOGGED_VALUE: usize = 4_096;
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
