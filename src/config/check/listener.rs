//! `[[listeners]]`.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::limit::{self, Scope};
use super::{Names, address, bytes, forward, timeout, tls, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::forward::ListenerMode;
use crate::config::settings::{
    AcceptProxyProtocol, Admin, HttpBounds, HttpProtocol, Listener, Route, Upstream,
};
use crate::config::units::Size;
use crate::limits::{MAX_CHUNK_EXTENSION_LIMIT, MAX_HEAD_LEAST, MAX_HEAD_LIMIT, MAX_URI_LEAST};

pub(super) fn listeners(
    written: Vec<file::Listener>,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<Listener> {
    if written.is_empty() && place.given() {
        let help = "write a table [[listeners]] with `name` and `listen`";
        report.error(&place.trail, "there is nothing to listen on", help);
    }
    let mut names = Names::new("listener");
    let each = written.into_iter().enumerate();
    each.map(|(position, written)| {
        let place = place.item(position);
        if let Some(name) = &written.name {
            words::name(name, &place.key("name").trail, report);
            names.add(name, &place.key("name").trail, report);
        }
        listener(written, upstreams, &place, report)
    })
    .collect()
}

fn listener(
    written: file::Listener,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Listener {
    proxy_protocol(&written, place, report);
    let protocols = protocols(&written, &place.key("protocols"), report);
    let forwards = forward::forwards(&written, upstreams, place, report);
    let name = written.name.clone().unwrap_or_default();
    let scope = Scope { unread: !written.forward.is_empty(), ..Scope::plain(&name) };
    let limits = limit::limits(written.limits, &place.key("limits"), &scope, report);
    Listener {
        listen: written.listen.and_then(|listen| listen.parse().ok()).unwrap_or(UNKNOWN),
        mode: written.mode,
        trusted_proxies: trusted(&written.trusted_proxies, &place.key("trusted_proxies"), report),
        client_address_from: written.client_address_from,
        proxy_protocol: written.proxy_protocol,
        limits,
        backlog: written.backlog,
        header_timeout: timeout(written.header_timeout, &place.key("header_timeout"), report),
        idle_timeout: timeout(written.idle_timeout, &place.key("idle_timeout"), report),
        body_min_rate: written.body_min_rate,
        body_rate_grace: timeout(written.body_rate_grace, &place.key("body_rate_grace"), report),
        max_requests: written.max_requests,
        http: http(&written.http, &place.key("http"), report),
        protocols,
        max_streams: written.max_streams,
        tls: written.tls.map(|written| tls::tls(written, &place.key("tls"), report)),
        forwards,
        name,
    }
}

/// With TLS both are offered; without it nobody asks, so HTTP/2 is spoken where that was written.
fn protocols(
    written: &file::Listener,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<HttpProtocol> {
    let Some(protocols) = &written.protocols else {
        return match written.tls {
            Some(_) => vec![HttpProtocol::Http2, HttpProtocol::Http1],
            None => vec![HttpProtocol::Http1],
        };
    };
    if protocols.is_empty() {
        let help = "write protocols = [\"h2\", \"http/1.1\"]";
        report.error(&place.trail, "a listener without protocols can serve nothing", help);
    }
    for (position, protocol) in protocols.iter().enumerate() {
        if protocols[..position].contains(protocol) {
            let message = format!("{:?} stands here twice", protocol.name());
            report.error(&place.item(position).trail, message, "remove one");
        }
    }
    protocols.clone()
}

/// A header is believed from known proxies only: from anybody it would let every client choose its
/// address.
fn proxy_protocol(written: &file::Listener, place: &Place<'_>, report: &mut Report<'_>) {
    if written.proxy_protocol != AcceptProxyProtocol::Off && written.trusted_proxies.is_empty() {
        let message = "nobody may send a PROXY header: every connection would be closed";
        let help = "write the networks of your proxies, as trusted_proxies = [\"10.0.0.0/8\"]";
        report.error(&place.key("proxy_protocol").trail, message, help);
    }
}

/// Stands for an address that is missing or was refused already.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn trusted(written: &[String], place: &Place<'_>, report: &mut Report<'_>) -> Vec<IpNet> {
    let trusted = address::networks(written, place, report);
    for (position, network) in &trusted {
        if network.prefix_len() == 0 {
            let message = "every address is trusted: any client can claim any address";
            let help = "list the networks of your proxies only";
            report.warning(&place.item(*position).trail, message, help);
        }
    }
    trusted.into_iter().map(|(_, network)| network).collect()
}

fn http(written: &file::Http, place: &Place<'_>, report: &mut Report<'_>) -> HttpBounds {
    let mut within = |key: &'static str, size: Size, least: u64, most: u64| {
        if !(least..=most).contains(&size.0) {
            let (least, most) = (Size(least), Size(most));
            let help = format!("write a size from {least} to {most}");
            report.error(&place.key(key).trail, format!("{size} is out of range"), help);
        }
        bytes(size)
    };
    HttpBounds {
        max_head: within("max_head", written.max_head, MAX_HEAD_LEAST, MAX_HEAD_LIMIT),
        max_fields: written.max_fields,
        max_uri: max_uri(written, place, &mut within),
        max_chunk_extension: within(
            "max_chunk_extension",
            written.max_chunk_extension,
            0,
            MAX_CHUNK_EXTENSION_LIMIT,
        ),
        encoded_slash: written.encoded_slash,
        underscores_in_headers: written.underscores_in_headers,
    }
}

/// A target is part of its head; one that was not written is at most the head.
fn max_uri(
    written: &file::Http,
    place: &Place<'_>,
    within: &mut dyn FnMut(&'static str, Size, u64, u64) -> usize,
) -> usize {
    let most = written.max_head.0.max(MAX_URI_LEAST);
    let given = place.key("max_uri").given();
    let size = if given { written.max_uri } else { Size(written.max_uri.0.min(most)) };
    within("max_uri", size, MAX_URI_LEAST, most)
}

/// Requests that nothing is done with, and routes that no request comes to.
pub(super) fn routed(
    listeners: &[Listener],
    routes: &[(usize, Route)],
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    if report.has_errors() {
        return;
    }
    let place = top.key("routes");
    let serves = listeners.iter().any(|listener| listener.mode == ListenerMode::Http);
    if routes.is_empty() && serves {
        let help = "write a table [[routes]] with `name`, `path` and `upstream`";
        report.warning(&place.trail, "there are no routes: every request gets 404", help);
    } else if !routes.is_empty() && !serves {
        let message = "no listener takes requests: no route is ever taken";
        report.warning(&place.trail, message, "add a listener without `mode`");
    }
}

/// Routes that ask for a field which no listener lets through.
pub(super) fn unseen_fields(
    listeners: &[Listener],
    routes: &[(usize, Route)],
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    if listeners.iter().any(|listener| listener.http.underscores_in_headers) {
        return;
    }
    for (position, route) in routes {
        for asked in route.headers.iter().filter(|asked| asked.name.contains('_')) {
            let (item, message) = (place.item(*position), "names with `_` are left out unseen");
            let help = "set `http.underscores_in_headers` of the listener";
            report.warning(&item.key("headers").name(&asked.name), message, help);
        }
    }
}

/// Two things that want the same address.
pub(super) fn addresses(
    listeners: &[Listener],
    admin: Option<&Admin>,
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    let place = top.key("listeners");
    let mut seen: HashMap<SocketAddr, &str> = HashMap::new();
    // Port 0 is a new port each time.
    let real = listeners.iter().enumerate().filter(|(_, listener)| listener.listen.port() != 0);
    for (position, listener) in real {
        let item = place.item(position);
        let listen = item.key("listen");
        let address = listener.listen;
        if admin.is_some_and(|admin| admin.listen == address) {
            let message = format!("the admin listener has {address} too");
            report.error(&listen.trail, message, "give it another port, or set `admin.listen`");
        }
        if let Some(other) = seen.insert(address, &listener.name) {
            let message = format!("the listener {other:?} has {address} too");
            report.error(&listen.trail, message, "give each an address of its own");
        }
    }
}
