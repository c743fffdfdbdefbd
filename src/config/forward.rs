//! Checked settings of connections that are passed on unread.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a listener takes its connections for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListenerMode {
    /// Requests; with `tls`, those for names in `forward` are passed on unread.
    Http,
    /// Bytes: all are passed on unread, as `forward` says.
    Tcp,
}

/// Where connections go that are passed on unread.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// The names that clients ask for by TLS; empty: all other connections.
    pub server_names: Vec<ServerName>,
    /// The upstream's name.
    pub upstream: String,
    /// How long both directions together may be silent.
    pub idle_timeout: Duration,
    /// How long a connection may last; `None`: no bound.
    pub total_timeout: Option<Duration>,
    /// Connections at once, over all workers; `None`: no bound.
    pub max_concurrent: Option<u32>,
    /// Connections at once per client address; `None`: no bound.
    pub max_concurrent_per_client: Option<u32>,
}

/// Names that clients ask for by TLS, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// `db.example.com`.
    Exact(String),
    /// `*.example.com`: the part behind the star with its dot, `.example.com`.
    Below(String),
}
