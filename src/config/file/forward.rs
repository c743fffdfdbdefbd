//! `[[listeners.forward]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::HumanDuration;
use crate::limits;

/// Connections that are passed on to an upstream unread: TLS by the name that the client asks for,
/// anything else as a whole. The name stands in the first message of TLS (SNI), which is looked at
/// and passed on as it came. Nothing is decrypted: the client sees the target's certificate.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// The names asked for: `"db.example.com"`, or `"*.example.com"` for everything below it; an exact
    /// name counts before a wildcard, the longest wildcard first. Left out (in `mode = "tcp"` only):
    /// all other connections, those without a name and those that speak no TLS included. Where no
    /// entry has names, nothing is read before the target is connected to, so that it may speak first.
    #[schemars(extend("x-default" = "all other connections"))]
    pub server_names: Option<Vec<String>>,
    /// The upstream to pass them on to. Another target is tried where connecting to one fails.
    #[schemars(required, extend("x-required" = true))]
    pub upstream: Option<String>,
    /// How long both directions together may be silent.
    pub idle_timeout: HumanDuration,
    /// How long a connection may last.
    #[schemars(extend("x-default" = "no bound"))]
    pub total_timeout: Option<HumanDuration>,
    /// Connections open at once, over all workers; more are closed.
    #[schemars(range(min = 1), extend("x-default" = "no bound"))]
    pub max_concurrent: Option<u32>,
    /// Connections open at once for each client address; more are closed.
    #[schemars(range(min = 1), extend("x-default" = "no bound"))]
    pub max_concurrent_per_client: Option<u32>,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            server_names: None,
            upstream: None,
            idle_timeout: HumanDuration(limits::TUNNEL_TIMEOUT),
            total_timeout: None,
            max_concurrent: None,
            max_concurrent_per_client: None,
        }
    }
}
