//! `[server]`, `[admin]`, `[access_log]`, `[log]`, `[forwarding]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::settings::{AccessLogFormat, DriverChoice};
use crate::config::units::{HumanDuration, Size};
use crate::limits;

/// The process. Of the whole file `server.workers`, `server.cores`, `server.driver`, `log.json` and
/// `store.path` change with a restart only, everything else with a reload.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Number of workers: one thread each, pinned to a core. More than the allowed cores make
    /// the gateway slower. Changes with a restart only.
    #[schemars(range(min = 1, max = 1024), extend("x-default" = "one per allowed core"))]
    pub workers: Option<usize>,
    /// Cores that workers are pinned to, in this order, numbered as the kernel does; each must be one that
    /// the gateway may run on. Changes with a restart only.
    #[schemars(extend("x-default" = "all allowed cores"))]
    pub cores: Vec<usize>,
    /// How workers talk to the kernel. Changes with a restart only.
    pub driver: DriverChoice,
    /// How long requests in flight may go on after SIGTERM before their connections are closed.
    pub drain_timeout: HumanDuration,
    /// Client connections at once, over all workers; further ones are closed.
    #[schemars(range(min = 1), extend("x-default" = "from the limit of open files"))]
    pub max_connections: Option<usize>,
    /// Client connections at once from one address, over all workers; further ones are closed.
    /// IPv6 clients are told apart by `ipv6_prefix`.
    #[schemars(range(min = 1, max = 4294967295u64), extend("x-default" = "no bound"))]
    pub max_connections_per_client: Option<u32>,
    /// Bits of an IPv6 address that tell one client from another, for limits and connections.
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_prefix: u8,
    /// The gateway's name in the Via and Proxy-Status fields.
    pub name: String,
    /// Whether the gateway reloads by itself when the file changes.
    pub watch: bool,
    /// Bytes of request and response buffers that one worker may hold at once. Beyond it new
    /// requests get 503, so that memory stays bounded.
    pub max_buffer_memory: Size,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            workers: None,
            cores: Vec::new(),
            driver: DriverChoice::Auto,
            drain_timeout: HumanDuration(limits::DRAIN_TIMEOUT),
            max_connections: None,
            max_connections_per_client: None,
            ipv6_prefix: limits::IPV6_PREFIX,
            name: limits::SERVER_NAME.to_owned(),
            watch: true,
            max_buffer_memory: Size(limits::MAX_BUFFER_MEMORY),
        }
    }
}

/// The admin listener. It asks for no password: keep it on loopback or behind a firewall.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Whether there is one.
    pub enabled: bool,
    /// Address and port.
    #[schemars(extend("format" = "address"))]
    pub listen: String,
}

impl Default for Admin {
    fn default() -> Self {
        Self { enabled: true, listen: limits::ADMIN_LISTEN.to_owned() }
    }
}

/// One record a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// What a record looks like.
    pub format: AccessLogFormat,
    /// The file to append to, in a folder that exists; it is opened again on SIGUSR1.
    #[schemars(extend("x-default" = "standard output"))]
    pub path: Option<String>,
    /// Bytes of records that may wait to be written. Beyond it records are dropped and counted:
    /// a slow disk never slows a request.
    pub queue: Size,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { format: AccessLogFormat::Off, path: None, queue: Size(limits::ACCESS_LOG_QUEUE) }
    }
}

/// The gateway's own log, to standard error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter like
    /// `info,tollgate::upstream=debug`.
    pub level: String,
    /// JSON lines instead of text. Changes with a restart only.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), json: false }
    }
}

/// Fields that tell upstreams about the client. At the trust boundary they are replaced; behind
/// a trusted proxy they are appended to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Forwarding {
    /// Via (RFC 9110 section 7.6.3), to upstreams and to clients.
    pub via: bool,
    /// X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
    pub x_forwarded: bool,
    /// Forwarded (RFC 7239).
    pub forwarded: bool,
    /// X-Request-Id: continued where a trusted proxy sent one, else a new one.
    pub request_id: bool,
    /// traceparent (W3C Trace Context): continued where the request has one, else started.
    pub traceparent: bool,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self { via: true, x_forwarded: true, forwarded: false, request_id: true, traceparent: true }
    }
}
