//! `[[listeners]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Forward, Limit, Tls};
use crate::config::forward::ListenerMode;
use crate::config::settings::{
    AcceptProxyProtocol, ClientAddressField, EncodedSlash, HttpProtocol,
};
use crate::config::units::{HumanDuration, Size};
use crate::limits;

/// An address that clients connect to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Name in logs and stats; unique among listeners.
    #[schemars(required, extend("x-required" = true))]
    pub name: Option<String>,
    /// Address and port: `"0.0.0.0:80"`, `"127.0.0.1:8080"`, `"[::]:80"`.
    #[schemars(required, extend("x-required" = true, "format" = "address"))]
    pub listen: Option<String>,
    /// What its connections are taken for.
    pub mode: ListenerMode,
    /// Networks of the proxies in front (`"10.0.0.0/8"`, or a single address). From them, and
    /// from nobody else, the client's address is taken from a forwarding field.
    #[schemars(extend("x-default" = "none"))]
    pub trusted_proxies: Vec<String>,
    /// The field that the proxies in front write the client's address to.
    pub client_address_from: ClientAddressField,
    /// Which PROXY header (HAProxy's, before anything else) each connection begins with. Other than
    /// `off` it must be there, whole within `header_timeout`, and the connection must come from
    /// `trusted_proxies`; else it is closed without an answer. The address in the header is then the
    /// client's for limits, logs and forwarding fields; what that client says itself in a forwarding
    /// field counts only if its own address is in `trusted_proxies` too.
    pub proxy_protocol: AcceptProxyProtocol,
    /// Limits for every request on this listener, and for every connection that it passes on unread:
    /// each counts once, and is closed without a byte where it is refused. Where it passes on any,
    /// the key is `client_ip` or `route`.
    #[schemars(extend("x-default" = "none"))]
    pub limits: Vec<Limit>,
    /// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    #[schemars(range(min = 1, max = 65535))]
    pub backlog: u32,
    /// From the first byte of a request head to its last; else 408. Also for a PROXY header, and with
    /// `mode = "tcp"` for the message in which a client names the server, both from the connection on.
    pub header_timeout: HumanDuration,
    /// How long a client's connection may be silent between requests.
    pub idle_timeout: HumanDuration,
    /// Slowest body, in bytes a second, that a client may send or read, averaged over
    /// `body_rate_grace`; 0: no minimum.
    #[schemars(range(min = 0, max = 1000000000))]
    pub body_min_rate: u64,
    /// How long a body may stay below `body_min_rate`.
    pub body_rate_grace: HumanDuration,
    /// Requests on one connection before it is closed.
    #[schemars(range(min = 1), extend("x-default" = "no bound"))]
    pub max_requests: Option<u64>,
    /// Which protocols are spoken, the best first: `"h2"` is HTTP/2, by ALPN where the listener speaks
    /// TLS, and for clients that know so beforehand (h2c) where it does not. With `["h2"]` alone
    /// nothing else is.
    #[schemars(extend("x-default" = "`[\"h2\", \"http/1.1\"]` with TLS, else `[\"http/1.1\"]`"))]
    pub protocols: Option<Vec<HttpProtocol>>,
    /// Streams (requests) that a client may have open on an HTTP/2 connection.
    #[schemars(range(min = 1, max = crate::limits::H2_STREAMS_MAX))]
    pub max_streams: u32,
    /// Bounds on request heads, and how paths are read.
    pub http: Http,
    /// Speak TLS: `https://`. Without it the listener speaks plain HTTP.
    #[schemars(extend("x-default" = "none"))]
    pub tls: Option<Tls>,
    /// Connections that are passed on unread.
    #[schemars(extend("x-default" = "none"))]
    pub forward: Vec<Forward>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: None,
            listen: None,
            mode: ListenerMode::Http,
            trusted_proxies: Vec::new(),
            client_address_from: ClientAddressField::XForwardedFor,
            proxy_protocol: AcceptProxyProtocol::Off,
            limits: Vec::new(),
            backlog: limits::LISTEN_BACKLOG,
            header_timeout: HumanDuration(limits::HEADER_TIMEOUT),
            idle_timeout: HumanDuration(limits::IDLE_TIMEOUT),
            body_min_rate: limits::BODY_MIN_RATE,
            body_rate_grace: HumanDuration(limits::BODY_RATE_GRACE),
            max_requests: None,
            protocols: None,
            max_streams: limits::H2_STREAMS,
            http: Http::default(),
            tls: None,
            forward: Vec::new(),
        }
    }
}

/// Bounds on request heads, and how paths are read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Bytes of a request head: request line, fields, blank line; else 431. From 512 B to 16 MiB.
    pub max_head: Size,
    /// Fields in a head; else 431.
    #[schemars(range(min = 1, max = 10000))]
    pub max_fields: usize,
    /// Bytes of a request target; else 414. From 64 B to `max_head`.
    pub max_uri: Size,
    /// Bytes of extensions on one chunk-size line; else 400. Up to 16 KiB.
    pub max_chunk_extension: Size,
    /// What an encoded slash (`%2F`) in a path means.
    pub encoded_slash: EncodedSlash,
    /// Whether request fields whose name has a `_` are passed on; else they are left out unseen.
    /// Many services take `X_Forwarded_For` for `X-Forwarded-For`, so names that would stand for a
    /// field the gateway acts on are left out in any case.
    pub underscores_in_headers: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_head: Size(limits::MAX_HEAD),
            max_fields: limits::MAX_FIELDS,
            max_uri: Size(limits::MAX_URI),
            max_chunk_extension: Size(limits::MAX_CHUNK_EXTENSION),
            encoded_slash: EncodedSlash::Keep,
            underscores_in_headers: false,
        }
    }
}
