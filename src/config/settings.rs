//! Checked settings: what the file means once every mistake has been refused.
//!
//! Everything here is resolved (defaults filled in, names checked, units converted), so nothing
//! downstream needs to ask "was it given?" where a default exists.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acme::Acme;
use super::file::Product;
use super::forward::{Forward, ListenerMode};
use super::forward_auth::ForwardAuth;
use super::identity::{ClientAttribute, ClientTest};
use super::introspection::Introspection;
use super::jwt::{Jwt, RouteAuthentication};
use super::tls::Tls;
use super::upstream_tls::UpstreamTls;

pub use super::process::{Admin, DriverChoice, Server};

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Process-wide settings.
    pub server: Server,
    /// The admin listener; `None` where it is switched off.
    pub admin: Option<Admin>,
    /// One record a request.
    pub access_log: AccessLog,
    /// The gateway's own log.
    pub log: Log,
    /// What must outlive the process.
    pub store: Store,
    /// Whom certificates are asked of, where any are.
    pub acme: Option<Acme>,
    /// Which forwarding fields are sent upstream.
    pub forwarding: Forwarding,
    /// Limits that every request is held to, whatever its listener or route.
    pub limits: Vec<Limit>,
    /// Which rate-limit response fields are sent.
    pub rate_limit_fields: RateLimitFields,
    /// Listeners in file order.
    pub listeners: Vec<Listener>,
    /// Upstreams by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// JSON web tokens that are taken, by name.
    pub jwt: BTreeMap<String, Jwt>,
    /// Servers that know tokens, by name.
    pub introspection: BTreeMap<String, Introspection>,
    /// Services that are asked whether a request may pass, by name.
    pub forward_auth: BTreeMap<String, ForwardAuth>,
    /// Products by name, in the words of the file, which are those of the admin API. They hold no
    /// mistakes.
    pub products: BTreeMap<String, Product>,
    /// Routes in file order (order breaks ties last, see `route`).
    pub routes: Vec<Route>,
}

impl Settings {
    /// Whether there are products, here or, by the routes that name them, in the store.
    pub fn has_products(&self) -> bool {
        !self.products.is_empty() || self.routes.iter().any(|route| route.product.is_some())
    }
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The file; relative names are beside the configuration file.
    pub path: PathBuf,
    /// How long usage and counts of quotas wait for a commit, at most.
    pub commit_interval: Duration,
    /// How long usage is kept by the hour.
    pub keep_hours: Duration,
}

/// Access log settings.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Format, or off.
    pub format: AccessLogFormat,
    /// Where to; `None`: standard output.
    pub path: Option<PathBuf>,
    /// Bytes of finished records that may wait for the writer, over all workers, before records
    /// are dropped and counted.
    pub queue: usize,
}

/// Access log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// No access log.
    Off,
    /// One JSON object a line.
    Json,
    /// The combined log format of Apache and NGINX.
    Combined,
}

/// The gateway's own log.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a tracing filter.
    pub level: String,
    /// JSON lines instead of text.
    pub json: bool,
}

/// Forwarding fields sent upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarding {
    /// Via (RFC 9110 section 7.6.3).
    pub via: bool,
    /// X-Forwarded-For, -Proto, -Host.
    pub x_forwarded: bool,
    /// Forwarded (RFC 7239).
    pub forwarded: bool,
    /// X-Request-Id.
    pub request_id: bool,
    /// traceparent (W3C Trace Context).
    pub traceparent: bool,
}

/// Which rate-limit response fields are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitFields {
    /// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers).
    Draft,
    /// X-RateLimit-Limit, -Remaining, -Reset.
    #[serde(rename = "x_ratelimit")]
    XRateLimit,
    /// Both.
    Both,
    /// None; Retry-After is still sent with a 429.
    Off,
}

/// One listener: an address that clients connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Name in logs and stats.
    pub name: String,
    /// Address.
    pub listen: SocketAddr,
    /// What its connections are taken for.
    pub mode: ListenerMode,
    /// Networks whose X-Forwarded-For / Forwarded is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which field a trusted proxy writes the client address to.
    pub client_address_from: ClientAddressField,
    /// Which PROXY header connections begin with.
    pub proxy_protocol: AcceptProxyProtocol,
    /// Limits for every request on this listener, and every connection that is passed on.
    pub limits: Vec<Limit>,
    /// listen(2) backlog.
    pub backlog: u32,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Between requests on a keep-alive connection.
    pub idle_timeout: Duration,
    /// Slowest body a client may send or read, bytes a second averaged over `body_rate_grace`.
    pub body_min_rate: u64,
    /// How long a body may stay below `body_min_rate`.
    pub body_rate_grace: Duration,
    /// Requests on one connection before it is closed; `None`: no bound.
    pub max_requests: Option<u64>,
    /// Head bounds and path policy.
    pub http: HttpBounds,
    /// How it speaks TLS; `None`: it does not.
    pub tls: Option<Tls>,
    /// The protocols it speaks, the best first.
    pub protocols: Vec<HttpProtocol>,
    /// Streams of an HTTP/2 connection open at once.
    pub max_streams: u32,
    /// Connections that are passed on unread.
    pub forwards: Vec<Forward>,
}

/// A protocol of HTTP, by its name in ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpProtocol {
    /// HTTP/1.1 and HTTP/1.0 (RFC 9112).
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2 (RFC 9113).
    #[serde(rename = "h2")]
    Http2,
}

impl HttpProtocol {
    /// Its name in ALPN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Bounds and policy of the HTTP/1.1 parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpBounds {
    /// Bytes of a request head (request line, fields, blank line).
    pub max_head: usize,
    /// Fields in a head.
    pub max_fields: usize,
    /// Bytes of a request target.
    pub max_uri: usize,
    /// Bytes of extensions on one chunk-size line.
    pub max_chunk_extension: usize,
    /// What `%2F` in a path means.
    pub encoded_slash: EncodedSlash,
    /// Whether request fields whose name has a `_` are passed on.
    pub underscores_in_headers: bool,
}

/// What an encoded slash in a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlash {
    /// 400.
    Reject,
    /// It stays `%2F`: data, never a separator.
    Keep,
    /// It becomes `/` before dot segments are removed.
    Decode,
}

/// Where the client address behind a trusted proxy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddressField {
    /// X-Forwarded-For.
    XForwardedFor,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// Which PROXY header a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AcceptProxyProtocol {
    /// None.
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
    /// Version 1 or 2.
    Any,
}

/// Which PROXY header a connection upstream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendProxyProtocol {
    /// None.
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary, with the host name that the client asked for and a checksum.
    V2,
}

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
    /// One bucket for the whole scope (route, listener or gateway).
    Route,
}

/// A named group of targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Targets in file order.
    pub targets: Vec<Target>,
    /// How a target is chosen.
    pub balance: Balance,
    /// Idle connections kept per core and target.
    pub max_idle: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// TCP (or Unix) connect timeout; a route may override it.
    pub connect_timeout: Duration,
    /// Tries on other targets after the first.
    pub retries: u32,
    /// Retries allowed as a share of requests, in percent (with a small floor).
    pub retry_budget: u32,
    /// How long a target that refused a connection is skipped.
    pub skip_after_failure: Duration,
    /// How often DNS names are resolved again.
    pub resolve_every: Duration,
    /// Bytes of a response head that are taken from a target.
    pub max_response_head: usize,
    /// How TLS is spoken to the targets; `None`: it is not.
    pub tls: Option<UpstreamTls>,
    /// Which PROXY header its connections begin with.
    pub proxy_protocol: SendProxyProtocol,
    /// How its targets are spoken to.
    pub protocol: HttpProtocol,
    /// Streams of an HTTP/2 connection open at once.
    pub max_streams: u32,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub address: TargetAddress,
    /// Share of requests beside the others'; at least 1.
    pub weight: u32,
}

/// A target's address as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetAddress {
    /// IPv4 or IPv6 with port.
    Socket(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
    /// A DNS name and port; control resolves it.
    Name(String, u16),
}

/// How a target is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Power of two choices by requests in flight.
    LeastRequest,
    /// Weighted random.
    Random,
    /// Consistent hashing (Maglev) on a key.
    Maglev(HashKey),
}

/// What consistent hashing hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client address.
    ClientIp,
    /// A request field (lower-case name).
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// The canonical path.
    Path,
}

/// One route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Name in logs and stats; unique.
    pub name: String,
    /// Host matcher.
    pub host: HostMatch,
    /// Path matcher.
    pub path: PathMatch,
    /// Methods; empty: any.
    pub methods: Vec<String>,
    /// Field matchers, all must hold.
    pub headers: Vec<ValueMatch>,
    /// Query matchers, all must hold.
    pub query: Vec<ValueMatch>,
    /// What the client's certificate must say, all of it.
    pub client_certificate: Vec<ClientTest>,
    /// What happens with a request.
    pub action: Action,
    /// Whose tokens are taken; `None`: nobody is asked for one.
    pub authentication: Option<RouteAuthentication>,
    /// Name in [`Settings::forward_auth`] of the service that is asked first.
    pub forward_auth: Option<String>,
    /// Name of the product it is part of, which may be in the store only. The action is then an
    /// upstream.
    pub product: Option<String>,
    /// Networks that clients must be of; empty: all.
    pub allow: Vec<IpNet>,
    /// Networks that clients must not be of, whatever `allow` says.
    pub deny: Vec<IpNet>,
    /// Request path change before it goes upstream.
    pub rewrite: Rewrite,
    /// Edits of request fields.
    pub request_headers: HeaderEdits,
    /// Edits of response fields.
    pub response_headers: HeaderEdits,
    /// Which Host the upstream sees.
    pub host_policy: HostPolicy,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Largest request body, bytes; `None`: no bound.
    pub max_body: Option<u64>,
    /// Protocols that requests may switch to (lower-case).
    pub upgrades: Vec<String>,
    /// Whether gRPC-Web is told as gRPC.
    pub grpc_web: bool,
    /// Rate limits.
    pub limits: Vec<Limit>,
    /// Requests in flight on this route, over all workers; `None`: no bound.
    pub max_concurrent: Option<u32>,
    /// Requests in flight on this route per client address; `None`: no bound.
    pub max_concurrent_per_client: Option<u32>,
}

/// Host matcher.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Any host.
    Any,
    /// `api.example.com` (lower-case, no port).
    Exact(String),
    /// `*.example.com`: the part behind the star with its dot, `.example.com`.
    Wildcard(String),
}

/// Path matcher.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// A pattern: literal segments, `{name}` segments, and, last, `*` (a catch-all).
    Pattern(String),
    /// A regular expression over the whole canonical path (anchored at both ends).
    Regex(String),
}

/// A matcher for one field or query parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueMatch {
    /// Field name (lower-case) or query parameter name (as is).
    pub name: String,
    /// What its value must be.
    pub test: ValueTest,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueTest {
    /// Equal, byte for byte.
    Exact(String),
    /// Begins with.
    Prefix(String),
    /// The whole value matches.
    Regex(String),
    /// Is there (or, `false`, is not).
    Present(bool),
}

/// What happens with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Forward to this upstream.
    Upstream(String),
    /// Answer with a redirect. `to` may hold `{host}`, `{path}`, `{query}` and path parameters.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Location template.
        to: String,
    },
    /// Answer with a fixed response.
    Respond {
        /// Status code.
        status: u16,
        /// Body.
        body: String,
        /// Content-Type.
        content_type: String,
    },
}

/// Request path change before it goes upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// As it is.
    None,
    /// Remove this prefix (whole segments).
    StripPrefix(String),
    /// Replace the path by a template: `{name}` parameters, `{*}` the catch-all, `{path}`.
    Template(String),
}

/// Edits of fields, in this order: remove, set, add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Names to remove (lower-case).
    pub remove: Vec<String>,
    /// Fields to set: any others of that name go.
    pub set: Vec<(String, String)>,
    /// Fields to add.
    pub add: Vec<(String, String)>,
}

/// Which Host the upstream sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPolicy {
    /// The client's.
    Preserve,
    /// The target's address or name.
    Target,
    /// This one.
    Literal(String),
}

/// Timeouts of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Connect; `None`: the upstream's.
    pub connect: Option<Duration>,
    /// From the request sent to the first response byte.
    pub first_byte: Duration,
    /// Between two reads of a response body, or two writes of a request body.
    pub idle: Duration,
    /// The whole exchange, up to the answer that grants an upgrade; `None`: no bound.
    pub total: Option<Duration>,
    /// Silence of an upgraded connection, both directions together.
    pub tunnel: Duration,
    /// Life of an upgraded connection; `None`: no bound.
    pub tunnel_total: Option<Duration>,
}
