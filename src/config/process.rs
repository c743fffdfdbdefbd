//! Checked settings of the process and its admin listener.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Process-wide settings. Changing `workers`, `cores` or `driver` needs a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Number of workers; `None`: one per allowed core.
    pub workers: Option<usize>,
    /// Cores to pin workers to, in order; empty: the allowed set.
    pub cores: Vec<usize>,
    /// Which driver to use.
    pub driver: DriverChoice,
    /// How long requests in flight may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Connections in all (downstream), over all workers; `None`: derived from RLIMIT_NOFILE.
    pub max_connections: Option<usize>,
    /// Connections per client address, over all workers; `None`: no bound.
    pub max_connections_per_client: Option<u32>,
    /// Prefix length by which an IPv6 client is told from another (64 by default).
    pub ipv6_prefix: u8,
    /// Name in Via and Proxy-Status.
    pub name: String,
    /// Whether a changed file reloads by itself.
    pub watch: bool,
    /// Bytes of request and response buffers that one worker may hold at once; beyond it new
    /// requests get 503.
    pub max_buffer_memory: usize,
}

/// Driver choice: what the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverChoice {
    /// io_uring where the kernel allows it, epoll otherwise.
    Auto,
    /// io_uring or refuse to start.
    IoUring,
    /// epoll.
    Epoll,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Address, loopback by default.
    pub listen: SocketAddr,
}
