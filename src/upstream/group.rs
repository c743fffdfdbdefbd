//! An upstream as the snapshot holds it: a named group of targets, addresses resolved.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::balance;
use crate::config::{HashKey, SendProxyProtocol};

/// A named group of targets.
#[derive(Debug)]
pub struct Group {
    /// Stable id of its name.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Targets with their addresses; a DNS name stands here once per address.
    pub targets: Vec<Target>,
    /// The targets' authorities: none of them may be seen in a Location.
    pub authorities: Vec<Box<[u8]>>,
    /// How a target is chosen; `None` while no target has an address.
    pub picks: Option<balance::Group>,
    /// What consistent hashing hashes, where it is used.
    pub hash_key: Option<HashKey>,
    /// Idle connections kept per core and target.
    pub max_idle: usize,
    /// How long an idle connection is kept, nanoseconds.
    pub idle_ns: u64,
    /// Connect timeout where the route has none.
    pub connect_timeout: Duration,
    /// Tries on other targets after the first.
    pub retries: u32,
    /// Retries as a share of requests, percent.
    pub retry_budget: u32,
    /// How long a target that refused is skipped, nanoseconds.
    pub skip_ns: u64,
    /// Bytes of a response head.
    pub max_response_head: usize,
    /// How TLS is spoken to its targets; `None`: it is not.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Which PROXY header its connections begin with.
    pub proxy_protocol: SendProxyProtocol,
    /// Whether its targets are spoken to in HTTP/2.
    pub http2: bool,
    /// Streams on one connection, where that is so.
    pub max_streams: usize,
}

/// One address of a group.
#[derive(Debug)]
pub struct Target {
    /// Stable id of (upstream, address).
    pub id: u32,
    /// As it stands in stats and logs.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Share of requests beside the others'.
    pub weight: u32,
    /// What Host says with `host_policy = "target"`, and what a Location may name.
    pub authority: String,
    /// The name that its certificate must be for, where TLS is spoken.
    pub tls_name: Option<ServerName<'static>>,
}

impl Group {
    /// Whether a connection of these terms of TLS is one that would be made now.
    pub(super) fn has_terms(&self, tls: Option<&Arc<rustls::ClientConfig>>) -> bool {
        tls.map(Arc::as_ptr) == self.tls.as_ref().map(Arc::as_ptr)
    }
}

impl Target {
    /// All it takes to connect to it as one of `group`.
    pub(super) fn destination(&self, group: &Group) -> Destination {
        let tls = group.tls.clone().zip(self.tls_name.clone());
        Destination { address: self.address.clone(), tls }
    }
}

/// Where to connect to, and how TLS is spoken there.
pub(super) struct Destination {
    pub(super) address: Address,
    pub(super) tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Socket(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}
