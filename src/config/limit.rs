//! Checked settings of rate limits.

use std::time::Duration;

use super::identity::ClientAttribute;

/// A rate limit (GCRA token bucket).
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Policy name in RateLimit fields, logs and stats; unique within its scope.
    pub name: String,
    /// Tokens per `per`.
    pub rate: u64,
    /// Period of `rate`.
    pub per: Duration,
    /// Bucket size: requests admitted at once after silence; at least 1.
    pub burst: u64,
    /// What a bucket is kept for.
    pub key: LimitKey,
}

/// What a limit's buckets are kept for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// The client address (IPv6 by `server.ipv6_prefix`).
    ClientIp,
    /// A request field's value (lower-case name); requests without it share one bucket.
    Header(String),
    /// A query parameter's value.
    Query(String),
    /// A path parameter of the route.
    PathParameter(String),
    /// What the client's certificate says: its fingerprint or its subject.
    ClientCertificate(ClientAttribute),
    /// The application that calls (the client address where none does); of routes only, and asked
    /// after authentication.
    Application,
    /// What a claim of the token says that was shown: a name, or a pointer into objects (RFC 6901); of
    /// routes only, and asked after authentication.
    Claim(String),
    /// One bucket for the whole scope (route, listener or gateway).
    Route,
}
