//! `[[listeners.forward]]`: connections that are passed on unread, and listeners for nothing else.

use std::collections::BTreeMap;

use super::{Names, action, timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::forward::{Forward, ListenerMode, ServerName};
use crate::config::settings::{AcceptProxyProtocol, Balance, HashKey, HttpProtocol, Upstream};
use crate::config::units::HumanDuration;

/// Keys that mean something to requests only.
const FOR_REQUESTS: [&str; 8] = [
    "client_address_from",
    "idle_timeout",
    "body_min_rate",
    "body_rate_grace",
    "max_requests",
    "protocols",
    "max_streams",
    "http",
];

/// Where a listener's connections are passed on to.
pub(super) fn forwards(
    written: &file::Listener,
    upstreams: &BTreeMap<String, Upstream>,
    listener: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<Forward> {
    match written.mode {
        ListenerMode::Tcp => tcp(written, listener, report),
        ListenerMode::Http => http(written, listener, report),
    }
    let place = listener.key("forward");
    one_for_the_rest(written, &place, report);
    let mut names = Names::new("entry here");
    let each = written.forward.iter().enumerate();
    each.filter_map(|(position, written)| {
        forward(written, upstreams, &place.item(position), &mut names, report)
    })
    .collect()
}

/// What a listener for bytes must have, and may not.
fn tcp(written: &file::Listener, listener: &Place<'_>, report: &mut Report<'_>) {
    let forward = listener.key("forward");
    if written.forward.is_empty() && !listener.damaged() && !forward.damaged() {
        let help = "write a table [[listeners.forward]] with `upstream`";
        report.error(&listener.trail, "its connections have nowhere to go", help);
    }
    for key in FOR_REQUESTS {
        if listener.key(key).given() {
            let help = "remove it, or leave `mode` out";
            report.error(&listener.name(key), "a listener for TCP sees no requests", help);
        }
    }
    if listener.key("tls").given() {
        let message = "a listener for TCP passes TLS on and ends none";
        let help = "remove it, or leave `mode` out: names in `forward` are then passed on, all others served";
        report.error(&listener.name("tls"), message, help);
    }
    let trusts = listener.key("trusted_proxies").given();
    if trusts && written.proxy_protocol == AcceptProxyProtocol::Off {
        let message = "over TCP a proxy names its client by a PROXY header only";
        let help = "write proxy_protocol = \"any\", or remove it";
        report.error(&listener.name("trusted_proxies"), message, help);
    }
}

/// What a listener for requests must have where it passes some connections on.
fn http(written: &file::Listener, listener: &Place<'_>, report: &mut Report<'_>) {
    if !written.forward.is_empty() && written.tls.is_none() && !listener.damaged() {
        let message = "the name stands in TLS, which this listener does not speak";
        let help = "write mode = \"tcp\" to pass all connections on, or a table [listeners.tls]";
        report.error(&listener.key("forward").trail, message, help);
    }
    for (position, forward) in written.forward.iter().enumerate() {
        let place = listener.key("forward");
        let item = place.item(position);
        if forward.server_names.is_none() && !item.damaged() && !listener.damaged() {
            let message = "without `server_names` it would take every connection";
            let help = "write `server_names`, or mode = \"tcp\" where no requests are to be served";
            report.error(&item.trail, message, help);
        }
    }
}

fn one_for_the_rest(written: &file::Listener, place: &Place<'_>, report: &mut Report<'_>) {
    let unnamed = |(_, forward): &(usize, &file::Forward)| forward.server_names.is_none();
    let mut rest = written.forward.iter().enumerate().filter(unnamed);
    let Some((first, _)) = rest.next() else { return };
    let line = report.line(place.item(first).trail.at());
    for (position, _) in rest {
        let message = format!("another entry (line {line}) takes all other connections already");
        report.error(&place.item(position).trail, message, "write `server_names`");
    }
}

fn forward(
    written: &file::Forward,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    names: &mut Names,
    report: &mut Report<'_>,
) -> Option<Forward> {
    let named = written.server_names.as_deref();
    let server_names = server_names(named, &place.key("server_names"), names, report);
    let (idle, total) = (place.key("idle_timeout"), place.key("total_timeout"));
    let idle_timeout = timeout(written.idle_timeout, &idle, report);
    let total_timeout = written.total_timeout.map(|time| timeout(time, &total, report));
    if let Some(total) = total_timeout.filter(|total| idle.given() && idle_timeout > *total) {
        let (idle_timeout, total) = (HumanDuration(idle_timeout), HumanDuration(total));
        let message = format!("{idle_timeout} can never pass: `total_timeout` is {total}");
        report.error(&idle.trail, message, format!("write {total} or less, or a longer total"));
    }
    let upstream = written.upstream.as_deref()?;
    action::known(upstream, upstreams, &place.key("upstream"), report)?;
    fits(&upstreams[upstream], named.is_some(), &place.key("upstream"), report);
    Some(Forward {
        server_names,
        upstream: upstream.to_owned(),
        idle_timeout,
        total_timeout,
        max_concurrent: written.max_concurrent,
        max_concurrent_per_client: written.max_concurrent_per_client,
    })
}

fn server_names(
    written: Option<&[String]>,
    place: &Place<'_>,
    names: &mut Names,
    report: &mut Report<'_>,
) -> Vec<ServerName> {
    let Some(written) = written else { return Vec::new() };
    if written.is_empty() && place.given() {
        let help = "leave `server_names` out for all other connections";
        report.error(&place.trail, "without a name it takes nothing", help);
    }
    let each = written.iter().enumerate();
    each.filter_map(|(position, text)| {
        let place = place.item(position);
        let name = server_name(text, &place, report)?;
        names.add(&text.to_ascii_lowercase(), &place.trail, report);
        Some(name)
    })
    .collect()
}

/// A name as SNI has it (RFC 6066 section 3): of DNS, without a final dot.
fn server_name(text: &str, place: &Place<'_>, report: &mut Report<'_>) -> Option<ServerName> {
    let lower = text.to_ascii_lowercase();
    let (host, wildcard) = match lower.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (lower.as_str(), false),
    };
    if host.parse::<std::net::IpAddr>().is_ok() {
        let message = "clients ask for no address by SNI (RFC 6066 section 3)";
        report.error(&place.trail, message, "an entry without `server_names` takes these");
        return None;
    }
    if !words::is_dns_name(host) {
        let help = match text {
            "" | "*" | "_" | "*.*" => "leave `server_names` out for all other connections",
            _ if text.contains('*') => {
                "a `*` stands for leading labels only: write one like \"*.example.com\""
            }
            _ => "write one like \"db.example.com\", without scheme and port",
        };
        report.error(&place.trail, format!("{text:?} is not a server's name"), help);
        return None;
    }
    Some(match wildcard {
        true => ServerName::Below(format!(".{host}")),
        false => ServerName::Exact(host.to_owned()),
    })
}

/// What an upstream says that connections can't keep to.
fn fits(upstream: &Upstream, named: bool, place: &Place<'_>, report: &mut Report<'_>) {
    if let Balance::Maglev(key) = &upstream.balance
        && *key != HashKey::ClientIp
    {
        let message = format!("its upstream's hash_key is {key}, which is seen in requests only");
        report.error(&place.trail, message, "name an upstream with hash_key = \"client_ip\"");
    }
    if upstream.protocol == HttpProtocol::Http2 {
        let message =
            "its upstream has protocol = \"h2\", and connections are passed on as they are";
        report.error(&place.trail, message, "name an upstream without `protocol`");
    }
    if named && upstream.tls.is_some() {
        let message = "its upstream has `tls`: the client's TLS would be wrapped into another";
        report.error(&place.trail, message, "name an upstream without `tls`");
    }
}
