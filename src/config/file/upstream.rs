//! `[upstreams.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UpstreamTls;
use crate::config::settings::{HttpProtocol, SendProxyProtocol};
use crate::config::units::{HumanDuration, Percent, Size};
use crate::limits;

// The bound in the schema of `retries`.
const _: () = assert!(limits::MAX_TRIES == 8, "retries are the tries after the first");

/// A group of targets that do the same work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Where requests go: `"10.0.0.1:80"`, `"[::1]:80"`, `"unix:/run/app.sock"`,
    /// `"app.internal:80"` (a DNS name stands for all its addresses), or with a weight
    /// `{ address = "10.0.0.1:80", weight = 2 }`. At least one.
    #[schemars(required, extend("x-required" = true))]
    pub targets: Option<Vec<Target>>,
    /// How a target is chosen.
    pub balance: BalanceName,
    /// What `maglev` hashes: `client_ip`, `header:NAME`, `cookie:NAME` or `path`.
    #[schemars(extend("x-default" = "`client_ip`"))]
    pub hash_key: Option<String>,
    /// Idle connections kept per core and target; 0: none, each request connects anew.
    #[schemars(range(min = 0, max = 65535))]
    pub max_idle: usize,
    /// How long an idle connection is kept. Keep it below the targets' own keep-alive timeout.
    pub idle_timeout: HumanDuration,
    /// How long connecting to a target may take; a route may override it.
    pub connect_timeout: HumanDuration,
    /// Tries on other targets after the first. A request is retried only where that is safe:
    /// nothing was sent, or a reused connection died unanswered and the method is idempotent.
    #[schemars(range(min = 0, max = 7))]
    pub retries: u32,
    /// Retries allowed as a share of requests, in percent: `20` or `"20%"`.
    pub retry_budget: Percent,
    /// How long a target that refused a connection is skipped.
    pub skip_after_failure: HumanDuration,
    /// How often DNS names are resolved again. Connections to addresses that stay are kept.
    pub resolve_every: HumanDuration,
    /// Bytes of a response head that are taken from a target; else 502. From 512 B to 16 MiB.
    pub max_response_head: Size,
    /// TLS to the targets; left out: plain connections.
    #[schemars(extend("x-default" = "none"))]
    pub tls: Option<UpstreamTls>,
    /// Which PROXY header each connection begins with: it names the address that the client
    /// connected from, and the one that it connected to. Such a connection belongs to one client's
    /// connection and is reused for nobody else; it ends when that client is silent for a second.
    pub proxy_protocol: SendProxyProtocol,
    /// How the targets are spoken to: `"http/1.1"`, or `"h2"` (HTTP/2; with `tls` by ALPN, else h2c by
    /// prior knowledge), whose connections are shared by the requests of a core.
    pub protocol: HttpProtocol,
    /// Streams (requests) on one HTTP/2 connection, where the target allows as many; a core makes
    /// another connection for more.
    #[schemars(range(min = 1, max = crate::limits::H2_STREAMS_MAX))]
    pub max_streams: u32,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            targets: None,
            balance: BalanceName::RoundRobin,
            hash_key: None,
            max_idle: limits::UPSTREAM_MAX_IDLE,
            idle_timeout: HumanDuration(limits::UPSTREAM_IDLE_TIMEOUT),
            connect_timeout: HumanDuration(limits::CONNECT_TIMEOUT),
            retries: limits::UPSTREAM_RETRIES,
            retry_budget: Percent(limits::UPSTREAM_RETRY_BUDGET),
            skip_after_failure: HumanDuration(limits::SKIP_AFTER_FAILURE),
            resolve_every: HumanDuration(limits::RESOLVE_EVERY),
            max_response_head: Size(limits::MAX_HEAD),
            tls: None,
            proxy_protocol: SendProxyProtocol::Off,
            protocol: HttpProtocol::Http1,
            max_streams: limits::H2_UPSTREAM_STREAMS,
        }
    }
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceName {
    /// One after the other, by weight.
    RoundRobin,
    /// The less busy of two random targets.
    LeastRequest,
    /// At random, by weight.
    Random,
    /// Consistent hashing on `hash_key`: the same key goes to the same target, and few keys move
    /// when targets come or go.
    Maglev,
}

/// A target: its address, or a table with address and weight.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Target {
    /// The address alone, with weight 1.
    Address(String),
    /// Address and weight.
    Weighted(WeightedTarget),
}

/// A target with a weight.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeightedTarget {
    /// Where it is, as in `targets`.
    #[schemars(required, extend("x-required" = true))]
    pub address: Option<String>,
    /// Share of the requests beside the other targets'.
    #[schemars(range(min = 1, max = crate::limits::CONFIG_MAX_WEIGHT))]
    pub weight: u32,
}

impl Default for WeightedTarget {
    fn default() -> Self {
        Self { address: None, weight: 1 }
    }
}
