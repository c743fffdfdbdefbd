//! What is known of a request when it is over: for the counters and the access log.

use crate::respond::failure::Failure;

/// One request's account, filled in as it goes.
#[derive(Default)]
pub(super) struct Account {
    /// When its head was there, nanoseconds of the core's clock.
    pub(super) began_ns: u64,
    /// Status sent; 0 where nothing was.
    pub(super) status: u16,
    /// Whether the target's answer is gRPC's.
    pub(super) grpc_answer: bool,
    /// The gRPC status that the client got.
    pub(super) grpc_status: Option<u16>,
    /// Bytes of the head received.
    pub(super) head_in: u64,
    /// Bytes of content received.
    pub(super) content_in: u64,
    /// Bytes sent: heads, content and framing.
    pub(super) bytes_out: u64,
    /// Bytes of content sent.
    pub(super) content_out: u64,
    /// From the request sent to the answer's head, nanoseconds.
    pub(super) response_ns: u64,
    /// Index of the group and stable id of the last target tried.
    pub(super) target: Option<(usize, u32)>,
    /// Tries after the first.
    pub(super) retries: u32,
    /// Whether the answer came over a kept connection.
    pub(super) reused: bool,
    /// By how much metrics of the product grow beside what the request counts as, since its answer
    /// said so: their indices, with amounts.
    pub(super) grown: Vec<(u16, u64)>,
    /// Whether what it counts as was charged, and is usage.
    pub(super) counted: bool,
    /// Whether a target was sent it, or a part of it.
    pub(super) forwarded: bool,
    /// What went wrong.
    pub(super) failure: Option<Failure>,
    /// The tunnel that it became.
    pub(super) tunnel: Option<Tunnelled>,
}

/// What a tunnel leaves out of the counting at the request's end.
#[derive(Clone, Copy)]
pub(super) struct Tunnelled {
    /// When the switch was granted, nanoseconds of the core's clock: the time to there is the
    /// request's latency, and not what both sides made of the tunnel.
    pub(super) since_ns: u64,
    /// Bytes from the client that were counted as they passed.
    pub(super) counted_in: u64,
    /// Bytes to the client that were.
    pub(super) counted_out: u64,
}
