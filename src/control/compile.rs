//! Settings to a snapshot: names become ids and indices, texts become compiled rules.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::Slots;
use super::resolve::Addresses;
use rustls::pki_types::ServerName;

use super::tls::{InForce, SnapshotTls, Targets};
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{
    self, Balance, HostMatch, HttpProtocol, LimitKey, PathMatch, Remark, RouteAuthentication,
    Settings, Severity, Step, TargetAddress,
};
use crate::policy::Concurrency;
use crate::policy::auth::Directory;
use crate::policy::auth::forward_auth::Gatekeeper;
use crate::policy::auth::introspection::Introspectors;
use crate::policy::auth::jwt::Verifiers;
use crate::policy::limit::Rule;
use crate::policy::transform::{Edits, Forward as ForwardFields, Names, PathRewrite, Redirect};
use crate::route::Table;
use crate::snapshot::{
    Access, Action, Fixed, Forward, ForwardTo, Forwards, Listener, Route, RouteRules, Snapshot,
    Tokens,
};
use crate::stats::{self, Assignment, UpstreamEntry};
use crate::upstream::balance::{self, Member};
use crate::upstream::{Address, Group, Target};

/// What a snapshot is made of beside the settings.
pub struct Material<'a> {
    /// Stable ids of the names that [`Plan`] gave.
    pub ids: &'a Assignment,
    /// Sockets of each listener, in the settings' order.
    pub sockets: Vec<Arc<Vec<OwnedFd>>>,
    /// How each listener speaks TLS, in the same order.
    pub tls: InForce,
    /// Where products stand in the directory.
    pub slots: &'a Slots,
    /// Who takes tokens, and who is asked about them.
    pub takers: Takers,
    /// Services that are asked whether requests may pass, by name.
    pub gatekeepers: &'a BTreeMap<String, Arc<Gatekeeper>>,
    /// Client connections of the node.
    pub max_connections: usize,
}

/// Who takes tokens, and who is asked about them.
pub type Takers = (Arc<Verifiers>, Arc<Introspectors>);

/// The upstreams with their addresses: what ids are asked for.
pub struct Plan<'a> {
    settings: &'a Settings,
    targets: Vec<Vec<Planned>>,
}

struct Planned {
    name: String,
    authority: String,
    address: Address,
    weight: u32,
}

impl<'a> Plan<'a> {
    /// Puts resolved addresses in the place of DNS names.
    pub fn new(settings: &'a Settings, addresses: &Addresses) -> Self {
        let targets = settings
            .upstreams
            .values()
            .map(|upstream| upstream.targets.iter().flat_map(|t| planned(t, addresses)).collect())
            .collect();
        Self { settings, targets }
    }

    /// The names that need ids.
    pub fn names(&self) -> stats::Names<'_> {
        let addresses = |targets: &[Planned]| targets.iter().map(|t| t.name.clone()).collect();
        stats::Names {
            listeners: self.settings.listeners.iter().map(|l| l.name.as_str()).collect(),
            routes: self.settings.routes.iter().map(|r| r.name.as_str()).collect(),
            upstreams: (self.settings.upstreams.keys())
                .zip(&self.targets)
                .map(|(name, targets)| (name.as_str(), addresses(targets)))
                .collect(),
        }
    }

    /// Compiles everything but the directory, which is not the configuration's; nobody is in it.
    ///
    /// # Errors
    /// What the checker let pass but a compiler refuses, named by its place.
    pub fn compile(self, material: Material<'_>) -> Result<Snapshot, Box<Remark>> {
        let settings = self.settings;
        let ids = &material.ids.directory.routes;
        let table =
            Table::with_ids(&settings.routes, |at| ids[at as usize].id).map_err(|wrong| {
                refused(&["routes".into(), (wrong.route as usize).into()], wrong.problem)
            })?;
        let groups = self.groups(material.ids, &material.tls.targets)?;
        let routes = Routes::new(settings, &table, &material).compile(material.ids)?;
        let listeners = (settings.listeners.iter())
            .zip(&material.ids.directory.listeners)
            .zip(material.sockets)
            .zip(material.tls.listeners)
            .enumerate()
            .map(|(at, (((listener, entry), sockets), tls))| {
                let forwards = compile_forwards(listener, &settings.upstreams)
                    .map_err(|why| refused(&["listeners".into(), at.into()], why))?;
                Ok(Arc::new(compile_listener(listener, entry, sockets, tls, forwards)))
            })
            .collect::<Result<_, Box<Remark>>>()?;
        let targets = groups.iter().flat_map(|g| g.targets.iter().map(|t| t.id)).collect();
        Ok(Snapshot {
            generation: 1,
            listeners,
            table: Arc::new(table),
            routes: routes.into(),
            groups: groups.into(),
            targets: Arc::new(targets),
            limits: settings.limits.iter().map(|l| Rule::new("gateway", l, None)).collect(),
            rate_limit_fields: settings.rate_limit_fields,
            name: settings.server.name.as_str().into(),
            ipv6_prefix: settings.server.ipv6_prefix,
            max_connections: material.max_connections,
            max_connections_per_client: settings.server.max_connections_per_client,
            max_buffer_memory: settings.server.max_buffer_memory,
            access_log: settings.access_log.format,
            acme_tokens: material.tls.acme_tokens,
            directory: Arc::new(Directory::empty([0; 32])),
            verifiers: material.takers.0,
            introspectors: material.takers.1,
            ids: Some(material.ids.hold.clone()),
        })
    }

    fn groups(&self, ids: &Assignment, tls: &Targets) -> Result<Vec<Group>, Box<Remark>> {
        (self.settings.upstreams.iter())
            .zip(&self.targets)
            .zip(&ids.directory.upstreams)
            .map(|(((name, upstream), targets), entry)| {
                let at = || ["upstreams".into(), name.into(), "targets".into()];
                compile_group(name, upstream, targets, entry, tls.of(name))
                    .map_err(|why| refused(&at(), why))
            })
            .collect()
    }
}

/// What the checks of single values let pass.
fn refused(at: &[Step], why: impl ToString) -> Box<Remark> {
    let (message, help) = (why.to_string(), String::new());
    Box::new(Remark { severity: Severity::Error, at: at.to_vec(), message, help })
}

fn planned(target: &config::Target, addresses: &Addresses) -> Vec<Planned> {
    let weight = target.weight;
    match &target.address {
        TargetAddress::Socket(address) => {
            let name = address.to_string();
            let authority = name.clone();
            vec![Planned { name, authority, address: Address::Socket(*address), weight }]
        }
        TargetAddress::Unix(path) => vec![Planned {
            name: format!("unix:{}", path.display()),
            authority: "localhost".into(),
            address: Address::Unix(path.clone()),
            weight,
        }],
        TargetAddress::Name(host, port) => addresses
            .get(&(host.clone(), *port))
            .map_or(&[][..], |found| &found[..])
            .iter()
            .map(|address| Planned {
                name: format!("{host}:{port}@{address}"),
                authority: format!("{host}:{port}"),
                address: Address::Socket(*address),
                weight,
            })
            .collect(),
    }
}

fn compile_group(
    name: &str,
    upstream: &config::Upstream,
    planned: &[Planned],
    entry: &UpstreamEntry,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> Result<Group, balance::BuildError> {
    let targets: Vec<Target> = planned
        .iter()
        .zip(&entry.targets)
        .map(|(p, id)| Target {
            id: id.id,
            name: p.name.clone(),
            address: p.address.clone(),
            weight: p.weight,
            authority: p.authority.clone(),
            tls_name: upstream.tls.as_ref().and_then(|tls| certified_name(tls, p)),
        })
        .collect();
    let members: Vec<Member<'_>> =
        targets.iter().map(|t| Member { name: &t.name, weight: t.weight }).collect();
    let picks = match members.len() {
        0 => None,
        _ => Some(balance::Group::build(&members, &upstream.balance)?),
    };
    let hash_key = match &upstream.balance {
        Balance::Maglev(key) => Some(key.clone()),
        _ => None,
    };
    Ok(Group {
        id: entry.entry.id,
        name: name.into(),
        authorities: authorities(&targets),
        targets,
        picks,
        hash_key,
        max_idle: upstream.max_idle,
        idle_ns: ns(upstream.idle_timeout),
        connect_timeout: upstream.connect_timeout,
        retries: upstream.retries,
        retry_budget: upstream.retry_budget,
        skip_ns: ns(upstream.skip_after_failure),
        max_response_head: upstream.max_response_head,
        tls: tls.cloned(),
        proxy_protocol: upstream.proxy_protocol,
        http2: upstream.protocol == HttpProtocol::Http2,
        max_streams: usize::try_from(upstream.max_streams).unwrap_or(usize::MAX),
    })
}

/// The name that a target's certificate must be for: its own, unless the upstream has one for all.
fn certified_name(tls: &UpstreamTls, target: &Planned) -> Option<ServerName<'static>> {
    let own = match &target.address {
        // Without its port, and brackets that only stand before one.
        Address::Socket(_) => target.authority.rsplit_once(':').map_or("", |(host, _)| host),
        Address::Unix(_) => "localhost",
    };
    let name = tls.server_name.as_deref().unwrap_or(own.trim_matches(['[', ']']));
    ServerName::try_from(name.to_owned()).ok()
}

/// Every way in which a target may name itself in a Location.
fn authorities(targets: &[Target]) -> Vec<Box<[u8]>> {
    let mut all: Vec<String> = Vec::new();
    for target in targets {
        if let Address::Socket(address) = &target.address {
            all.push(address.to_string());
            all.push(target.authority.clone());
        }
    }
    all.sort();
    all.dedup();
    all.into_iter().map(|a| a.into_bytes().into_boxed_slice()).collect()
}

fn compile_listener(
    listener: &config::Listener,
    entry: &stats::Entry,
    sockets: Arc<Vec<OwnedFd>>,
    tls: Option<SnapshotTls>,
    forwards: Forwards,
) -> Listener {
    let scope = format!("listener {}", listener.name);
    Listener {
        id: entry.id,
        name: entry.name.clone(),
        sockets,
        trusted_proxies: listener.trusted_proxies.clone(),
        client_address_from: listener.client_address_from,
        proxy_protocol: listener.proxy_protocol,
        limits: listener.limits.iter().map(|l| Rule::new(&scope, l, None)).collect(),
        header_ns: ns(listener.header_timeout),
        idle_ns: ns(listener.idle_timeout),
        body_min_rate: listener.body_min_rate,
        body_grace_ns: ns(listener.body_rate_grace),
        max_requests: listener.max_requests.unwrap_or(u64::MAX),
        http: listener.http,
        tls,
        http1: listener.protocols.contains(&HttpProtocol::Http1),
        http2: listener.protocols.contains(&HttpProtocol::Http2),
        max_streams: listener.max_streams,
        mode: listener.mode,
        forwards,
    }
}

fn compile_forwards(
    listener: &config::Listener,
    upstreams: &BTreeMap<String, config::Upstream>,
) -> Result<Forwards, String> {
    let mut forwards = Forwards::default();
    for forward in &listener.forwards {
        let name = &forward.upstream;
        let group = upstreams.keys().position(|upstream| upstream == name);
        let group = group.ok_or_else(|| format!("no upstream is named {name:?}"))?;
        // By its names, so that what is counted goes on over a reload.
        let scope = number(&format!("forward {} {:?}", listener.name, forward.server_names));
        let concurrency = Concurrency {
            scope,
            max: forward.max_concurrent,
            max_per_client: forward.max_concurrent_per_client,
        };
        let (silence_ns, total_ns) =
            (ns(forward.idle_timeout), forward.total_timeout.map_or(u64::MAX, ns));
        forwards.add(&forward.server_names, ForwardTo { group, silence_ns, total_ns, concurrency });
    }
    Ok(forwards)
}

/// Which key of a route is refused, and why.
type KeyRefused = (&'static str, String);

/// Compiles routes, sharing what is the same for many: with 100,000 of them, what a request
/// touches then stays in the cache.
struct Routes<'a> {
    shared: HashMap<String, Arc<Forward>>,
    settings: &'a Settings,
    table: &'a Table,
    slots: &'a Slots,
    gatekeepers: &'a BTreeMap<String, Arc<Gatekeeper>>,
    groups: HashMap<&'a str, usize>,
    forward: Arc<ForwardFields>,
}

impl<'a> Routes<'a> {
    fn new(settings: &'a Settings, table: &'a Table, material: &Material<'a>) -> Self {
        let Material { slots, gatekeepers, .. } = *material;
        let groups = settings.upstreams.keys().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let name = &settings.server.name;
        let forward =
            Arc::new(ForwardFields::compile(&settings.forwarding, name, &Edits::default()));
        Self { settings, table, slots, gatekeepers, groups, forward, shared: HashMap::new() }
    }

    /// Both are in the order of their names, as the settings are.
    fn tokens(&self, asked: &RouteAuthentication) -> Tokens {
        let settings = self.settings;
        let verifier = |name: &String| settings.jwt.keys().position(|one| one == name);
        let introspector =
            |name: &String| settings.introspection.keys().position(|one| one == name);
        let verifiers = asked.jwt.iter().filter_map(verifier).collect();
        let introspectors = asked.introspection.iter().filter_map(introspector).collect();
        Tokens { verifiers, introspectors, all: asked.all, optional: asked.optional }
    }

    fn compile(mut self, ids: &Assignment) -> Result<Vec<Route>, Box<Remark>> {
        (self.settings.routes.iter())
            .zip(&ids.directory.routes)
            .enumerate()
            .map(|(index, (route, entry))| {
                self.route(index as u32, route, entry).map_err(|(key, why)| {
                    refused(&["routes".into(), index.into(), key.into()], why)
                })
            })
            .collect()
    }

    fn route(
        &mut self,
        index: u32,
        route: &config::Route,
        entry: &stats::Entry,
    ) -> Result<Route, KeyRefused> {
        let names = self.table.parameter_names(index);
        let catch_all = names.last().is_some_and(|n| n == "*");
        let parameters: Vec<&str> =
            names[..names.len() - usize::from(catch_all)].iter().map(String::as_str).collect();
        let names = Names { parameters: &parameters, catch_all };
        let scope = format!("route {}", route.name);
        let rule = |limit: &config::Limit| {
            let parameter = match &limit.key {
                LimitKey::PathParameter(name) => self.table.parameter_index(index, name),
                _ => None,
            };
            Rule::new(&scope, limit, parameter)
        };
        let is_of_callers = |limit: &&config::Limit| {
            matches!(limit.key, LimitKey::Application | LimitKey::Claim(_))
        };
        let (of_callers, limits): (Vec<_>, Vec<_>) = route.limits.iter().partition(is_of_callers);
        let edits = Edits::compile(&route.response_headers, names)
            .map_err(|why| ("response_headers", why.to_string()))?;
        let rules = RouteRules {
            access: self.access(route),
            limits: limits.into_iter().map(rule).collect(),
            caller_limits: of_callers.into_iter().map(rule).collect(),
            max_concurrent: route.max_concurrent,
            max_concurrent_per_client: route.max_concurrent_per_client,
            response_edits: (!edits.is_empty()).then_some(edits),
            gatekeeper: self.gatekeeper(route)?,
            tokens: route.authentication.as_ref().map(|asked| self.tokens(asked)),
        };
        Ok(Route {
            name: entry.name.clone(),
            scope: number(&scope),
            action: self.action(route, names)?,
            rules: (!rules.is_empty()).then(|| Box::new(rules)),
            max_body: route.max_body.unwrap_or(u64::MAX),
        })
    }

    fn gatekeeper(&self, route: &config::Route) -> Result<Option<Arc<Gatekeeper>>, KeyRefused> {
        let Some(name) = &route.forward_auth else { return Ok(None) };
        let keeper = self.gatekeepers.get(name);
        let unknown = || ("forward_auth", format!("no service is named {name:?}"));
        keeper.cloned().map(Some).ok_or_else(unknown)
    }

    fn access(&self, route: &config::Route) -> Option<Access> {
        let open = route.product.is_none() && route.allow.is_empty() && route.deny.is_empty();
        (!open).then(|| Access {
            product: route.product.as_ref().map(|name| self.slots.of(name)),
            allow: route.allow.clone(),
            deny: route.deny.clone(),
        })
    }

    fn action(&mut self, route: &config::Route, names: Names<'_>) -> Result<Action, KeyRefused> {
        match &route.action {
            config::Action::Upstream(upstream) => {
                let group = self.groups.get(upstream.as_str());
                let unknown = || ("upstream", format!("no upstream is named {upstream:?}"));
                let group = *group.ok_or_else(unknown)?;
                self.shared_forward(route, names, group).map(Action::Forward)
            }
            config::Action::Redirect { status, to } => {
                let to = Redirect::compile(to, names);
                let to = to.map_err(|why| ("redirect", why.to_string()))?;
                Ok(Action::Redirect(*status, Box::new(to)))
            }
            config::Action::Respond { status, body, content_type } => {
                Ok(Action::Respond(Box::new(Fixed {
                    status: *status,
                    body: body.clone().into_bytes(),
                    content_type: content_type.clone(),
                })))
            }
        }
    }

    /// Routes that change nothing in a request differ by few things only.
    fn shared_forward(
        &mut self,
        route: &config::Route,
        names: Names<'_>,
        group: usize,
    ) -> Result<Arc<Forward>, KeyRefused> {
        let plain = route.rewrite == config::Rewrite::None
            && route.request_headers == config::HeaderEdits::default();
        if !plain {
            return self.forward(route, names, group).map(Arc::new);
        }
        let (host, timeouts) = (&route.host_policy, &route.timeouts);
        let (upgrades, web) = (&route.upgrades, route.grpc_web);
        let key = format!("{group} {host:?} {timeouts:?} {upgrades:?} {web}");
        if let Some(same) = self.shared.get(&key) {
            return Ok(same.clone());
        }
        let made = Arc::new(self.forward(route, names, group)?);
        self.shared.insert(key, made.clone());
        Ok(made)
    }

    fn forward(
        &self,
        route: &config::Route,
        names: Names<'_>,
        group: usize,
    ) -> Result<Forward, KeyRefused> {
        let edits = Edits::compile(&route.request_headers, names)
            .map_err(|why| ("request_headers", why.to_string()))?;
        let own =
            ForwardFields::compile(&self.settings.forwarding, &self.settings.server.name, &edits);
        let forward = if own == *self.forward { self.forward.clone() } else { Arc::new(own) };
        let rewrite = PathRewrite::compile(&route.rewrite, names)
            .map_err(|why| ("rewrite", why.to_string()))?;
        Ok(Forward {
            group,
            rewrite: (rewrite != PathRewrite::default()).then_some(rewrite),
            request_edits: (!edits.is_empty()).then_some(edits),
            forward,
            host: route.host_policy.clone(),
            connect_ns: route.timeouts.connect.map(ns),
            first_byte_ns: ns(route.timeouts.first_byte),
            idle_ns: ns(route.timeouts.idle),
            total_ns: route.timeouts.total.map_or(u64::MAX, ns),
            upgrades: route.upgrades.iter().map(|u| u.as_str().into()).collect(),
            grpc_web: route.grpc_web,
            tunnel_ns: ns(route.timeouts.tunnel),
            tunnel_total_ns: route.timeouts.tunnel_total.map_or(u64::MAX, ns),
        })
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number of a name that is the same in every generation of this process.
fn number(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A route's matchers in one line, for people.
pub fn describe(route: &config::Route) -> String {
    let host = match &route.host {
        HostMatch::Any => "*".into(),
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(suffix) => format!("*{suffix}"),
    };
    let path = match &route.path {
        PathMatch::Pattern(pattern) => pattern.clone(),
        PathMatch::Regex(regex) => format!("~ {regex}"),
    };
    format!("{host}{}{path}", if path.starts_with('/') { "" } else { " " })
}
