//! What control publishes and workers load: the configuration compiled for requests. Immutable;
//! a request takes one and keeps it to its log line.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::{ClientAddressField, HostPolicy, HttpBounds, RateLimitFields};
use crate::policy::limit::Rule;
use crate::policy::transform::{Edits, Forward as ForwardFields, PathRewrite, Redirect};
use crate::route;
use crate::stats::Hold;
use crate::upstream::Group;

/// Everything a request needs to know.
pub struct Snapshot {
    /// Counts up with each publication, from 1.
    pub generation: u64,
    /// Listeners, each with its sockets.
    pub listeners: Vec<Arc<Listener>>,
    /// Which route a request takes; its indices are those of `routes`.
    pub table: route::Table,
    /// Routes.
    pub routes: Vec<Route>,
    /// Upstreams.
    pub groups: Vec<Group>,
    /// Stable ids of all targets in `groups`.
    pub targets: HashSet<u32>,
    /// Limits of the whole gateway.
    pub limits: Vec<Rule>,
    /// Which rate-limit fields are sent.
    pub rate_limit_fields: RateLimitFields,
    /// Name in Via and Proxy-Status.
    pub name: Arc<str>,
    /// Prefix length by which an IPv6 client is told from another.
    pub ipv6_prefix: u8,
    /// Downstream connections of the node.
    pub max_connections: usize,
    /// Downstream connections of one client address.
    pub max_connections_per_client: Option<u32>,
    /// Bytes of buffers a core may hold.
    pub max_buffer_memory: usize,
    /// Whether access records are written, and how.
    pub access_log: crate::config::AccessLogFormat,
    /// Keeps the stable ids used here from being given to other names.
    pub ids: Option<Arc<Hold>>,
}

/// A listener.
pub struct Listener {
    /// Stable id.
    pub id: u32,
    /// Name.
    pub name: Arc<str>,
    /// One bound socket a worker.
    pub sockets: Arc<Vec<OwnedFd>>,
    /// Networks whose word on the client address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Where they say it.
    pub client_address_from: ClientAddressField,
    /// Limits of this listener.
    pub limits: Vec<Rule>,
    /// Nanoseconds from a head's first byte to its last.
    pub header_ns: u64,
    /// Nanoseconds between requests.
    pub idle_ns: u64,
    /// Slowest content, bytes a second.
    pub body_min_rate: u64,
    /// Nanoseconds for which it may be slower.
    pub body_grace_ns: u64,
    /// Requests on one connection.
    pub max_requests: u64,
    /// Parser bounds.
    pub http: HttpBounds,
}

/// A route. What few routes have is boxed, since there may be 100,000.
pub struct Route {
    /// Stable id.
    pub id: u32,
    /// Name.
    pub name: Arc<str>,
    /// What happens with a request.
    pub action: Action,
    /// Limits of this route.
    pub limits: Box<[Rule]>,
    /// Largest request content, bytes.
    pub max_body: u64,
    /// A number of its name that is the same in every generation.
    pub scope: u64,
    /// Requests in flight.
    pub max_concurrent: Option<u32>,
    /// Requests in flight of one client.
    pub max_concurrent_per_client: Option<u32>,
    /// Edits of response fields.
    pub response_edits: Option<Box<Edits>>,
}

/// What happens with a request.
pub enum Action {
    /// It is forwarded.
    Forward(Arc<Forward>),
    /// It is answered with a redirect.
    Redirect(u16, Box<Redirect>),
    /// It is answered with a fixed response.
    Respond(Box<Fixed>),
}

/// How a request is forwarded.
pub struct Forward {
    /// Index into [`Snapshot::groups`].
    pub group: usize,
    /// Path change.
    pub rewrite: Option<PathRewrite>,
    /// Edits of request fields.
    pub request_edits: Option<Edits>,
    /// Forwarding fields; shared by all routes whose edits leave them alone.
    pub forward: Arc<ForwardFields>,
    /// Which Host the upstream sees.
    pub host: HostPolicy,
    /// Nanoseconds.
    pub connect_ns: Option<u64>,
    /// Nanoseconds from the request sent to the first byte of the answer.
    pub first_byte_ns: u64,
    /// Nanoseconds for one read or write of content.
    pub idle_ns: u64,
    /// Nanoseconds for all; `u64::MAX`: no bound.
    pub total_ns: u64,
}

/// A fixed response.
pub struct Fixed {
    /// Status code.
    pub status: u16,
    /// Content.
    pub body: Vec<u8>,
    /// Content-Type.
    pub content_type: String,
}

impl Snapshot {
    /// A listener by its stable id.
    pub fn listener(&self, id: u32) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|l| l.id == id)
    }
}
