//! What control publishes and workers load: the configuration compiled for requests, and who may
//! call. Immutable; a request takes one and keeps it to its log line.

mod forwards;

pub use forwards::{ForwardTo, Forwards};

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::config::{
    AcceptProxyProtocol, ClientAddressField, ClientCertificateForward, HostPolicy, HttpBounds,
    ListenerMode, RateLimitFields,
};
use crate::policy::Concurrency;
use crate::policy::auth::Directory;
use crate::policy::auth::forward_auth::Gatekeeper;
use crate::policy::auth::introspection::Introspectors;
use crate::policy::auth::jwt::Verifiers;
use crate::policy::limit::Rule;
use crate::policy::transform::{Edits, Forward as ForwardFields, PathRewrite, Redirect};
use crate::route;
use crate::stats::Hold;
use crate::upstream::Group;

/// Everything a request needs to know. A copy shares nearly all of it: a new directory, say, does not
/// cost what a hundred thousand routes do.
#[derive(Clone)]
pub struct Snapshot {
    /// Counts up with each publication, from 1.
    pub generation: u64,
    /// Listeners, each with its sockets.
    pub listeners: Vec<Arc<Listener>>,
    /// Which route a request takes: its index in `routes`, and its stable id.
    pub table: Arc<route::Table>,
    /// Routes.
    pub routes: Arc<[Route]>,
    /// Upstreams.
    pub groups: Arc<[Group]>,
    /// Stable ids of all targets in `groups`.
    pub targets: Arc<HashSet<u32>>,
    /// Limits of the whole gateway.
    pub limits: Arc<[Rule]>,
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
    /// What an ACME server is answered, by its tokens (RFC 8555 section 8.3); empty while none asks.
    pub acme_tokens: Arc<HashMap<Box<str>, Box<str>>>,
    /// Products, and applications by their credentials.
    pub directory: Arc<Directory>,
    /// Who takes tokens, by the index that routes have.
    pub verifiers: Arc<Verifiers>,
    /// Who is asked about tokens, likewise.
    pub introspectors: Arc<Introspectors>,
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
    /// What its connections are taken for.
    pub mode: ListenerMode,
    /// Networks whose word on the client address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Where they say it.
    pub client_address_from: ClientAddressField,
    /// Which PROXY header connections begin with.
    pub proxy_protocol: AcceptProxyProtocol,
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
    /// How it speaks TLS, where it does.
    pub tls: Option<Arc<Tls>>,
    /// Whether HTTP/1.1 is spoken.
    pub http1: bool,
    /// Whether HTTP/2 is.
    pub http2: bool,
    /// Streams of an HTTP/2 connection open at once.
    pub max_streams: u32,
    /// Connections that are passed on unread.
    pub forwards: Forwards,
}

/// How a listener speaks TLS; `None` in [`Listener::tls`]: it does not.
pub struct Tls {
    /// Certificates, versions, tickets.
    pub config: Arc<rustls::ServerConfig>,
    /// Nanoseconds for a handshake.
    pub handshake_ns: u64,
    /// Whether SNI and Host must agree, else 421.
    pub strict_sni: bool,
    /// What upstreams are told of a client's certificate.
    pub forward: ClientCertificateForward,
    /// Lists of revoked certificates, where they end.
    pub lists: Option<Lists>,
}

/// Lists of revoked certificates that end: a session from before is then to be looked at anew.
pub struct Lists {
    /// When the first of them is to be replaced, seconds since 1970.
    pub until: i64,
    /// Says what is to be said of a client's certificate by then.
    pub verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
}

impl Lists {
    /// Whether a client is still to be let in whose handshake showed these certificates, or that of
    /// the session which it continues.
    ///
    /// # Errors
    /// One is of an authority whose list is behind its time.
    pub fn allow(&self, shown: &[CertificateDer<'_>], now: i64) -> Result<(), rustls::Error> {
        let (Some((own, chain)), true) = (shown.split_first(), self.until <= now) else {
            return Ok(());
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
        self.verifier.verify_client_cert(own, chain, now).map(drop)
    }
}

/// A route. One cache line, since there may be 100,000, each a wait for memory when it is asked for;
/// what few routes have is boxed.
#[repr(align(64))]
pub struct Route {
    /// Name.
    pub name: Arc<str>,
    /// What happens with a request.
    pub action: Action,
    /// Limits and edits, where it has any.
    pub rules: Option<Box<RouteRules>>,
    /// Largest request content, bytes.
    pub max_body: u64,
    /// A number of its name that is the same in every generation.
    pub scope: u64,
}

const _: () = assert!(size_of::<Route>() == 64);

/// The rules of a route that has any.
#[derive(Default)]
pub struct RouteRules {
    /// Who may call.
    pub access: Option<Access>,
    /// Limits of this route that are asked before it is known who calls.
    pub limits: Vec<Rule>,
    /// Those that are kept for who calls: an application, or what a token says.
    pub caller_limits: Vec<Rule>,
    /// Requests in flight.
    pub max_concurrent: Option<u32>,
    /// Requests in flight of one client.
    pub max_concurrent_per_client: Option<u32>,
    /// Edits of response fields.
    pub response_edits: Option<Edits>,
    /// The service that is asked first.
    pub gatekeeper: Option<Arc<Gatekeeper>>,
    /// Whose tokens are taken.
    pub tokens: Option<Tokens>,
}

/// Whose tokens a route takes.
#[derive(Clone)]
pub struct Tokens {
    /// Indices into [`Snapshot::verifiers`] of which one must take the token.
    pub verifiers: Box<[usize]>,
    /// Indices into [`Snapshot::introspectors`] that are asked in turn where none of these does.
    pub introspectors: Box<[usize]>,
    /// Whether all of them must take it.
    pub all: bool,
    /// Whether requests without a token pass.
    pub optional: bool,
}

/// Who may call a route.
#[derive(Default)]
pub struct Access {
    /// The slot of its product in [`Snapshot::directory`].
    pub product: Option<u32>,
    /// Networks that clients must be of; empty: any.
    pub allow: Vec<IpNet>,
    /// Networks that they must not be of, whatever `allow` says.
    pub deny: Vec<IpNet>,
}

impl Access {
    /// Whether a client of this address may call at all.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        let among = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }
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
    /// Protocols that requests may switch to (lower-case).
    pub upgrades: Box<[Box<str>]>,
    /// Whether gRPC-Web is told as gRPC.
    pub grpc_web: bool,
    /// Nanoseconds that a tunnel may be silent.
    pub tunnel_ns: u64,
    /// Nanoseconds that a tunnel may last; `u64::MAX`: no bound.
    pub tunnel_total_ns: u64,
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

impl RouteRules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.access.is_none()
            && self.limits.is_empty()
            && self.caller_limits.is_empty()
            && self.max_concurrent.is_none()
            && self.max_concurrent_per_client.is_none()
            && self.response_edits.is_none()
            && self.gatekeeper.is_none()
            && self.tokens.is_none()
    }
}

impl Route {
    /// Who may call.
    pub fn access(&self) -> Option<&Access> {
        self.rules.as_ref()?.access.as_ref()
    }

    /// Limits of this route that are asked before it is known who calls.
    pub fn limits(&self) -> &[Rule] {
        self.rules.as_ref().map_or(&[], |rules| &rules.limits)
    }

    /// Those that are kept for who calls.
    pub fn caller_limits(&self) -> &[Rule] {
        self.rules.as_ref().map_or(&[], |rules| &rules.caller_limits)
    }

    /// How many requests may be in flight.
    pub fn concurrency(&self) -> Concurrency {
        let rules = self.rules.as_ref();
        Concurrency {
            scope: self.scope,
            max: rules.and_then(|r| r.max_concurrent),
            max_per_client: rules.and_then(|r| r.max_concurrent_per_client),
        }
    }

    /// The service that is asked whether a request may pass.
    #[inline]
    pub fn gatekeeper(&self) -> Option<&Arc<Gatekeeper>> {
        self.rules.as_ref()?.gatekeeper.as_ref()
    }

    /// Whose tokens are taken; `None`: nobody is asked for one.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.rules.as_ref()?.tokens.as_ref()
    }

    /// Edits of response fields.
    pub fn response_edits(&self) -> Option<&Edits> {
        self.rules.as_ref()?.response_edits.as_ref()
    }
}

impl Snapshot {
    /// A listener by its stable id.
    pub fn listener(&self, id: u32) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|l| l.id == id)
    }
}
