//! What applies to a request, in the words of the file.

use std::fmt::Write;

use crate::config::units::{HumanDuration, Rate, Size};
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{
    Action, HeaderEdits, HttpProtocol, Limit, OnError, Rewrite, Route, SendProxyProtocol, Settings,
    Upstream,
};
use crate::control::compile::describe;

/// What applies to a request that takes this route.
pub(super) fn route(out: &mut String, settings: &Settings, route: &Route, parameters: &str) {
    let _ = writeln!(out, "\nroute {}  ({})", route.name, describe(route));
    if !parameters.is_empty() {
        let _ = writeln!(out, "  with {parameters}");
    }
    match &route.action {
        Action::Upstream(name) => forwarded(out, route, name, settings.upstreams.get(name)),
        Action::Redirect { status, to } => {
            let _ = writeln!(out, "  redirect {status} to {to}");
        }
        Action::Respond { status, .. } => {
            let _ = writeln!(out, "  respond {status}");
        }
    }
    edits(out, "response_headers", &route.response_headers);
    callers(out, settings, route);
    asked(out, settings, route);
    for listener in &settings.listeners {
        limits(out, &format!("listener {}", listener.name), &listener.limits);
    }
    limits(out, "route", &route.limits);
    limits(out, "every request", &settings.limits);
    if let Some(max) = route.max_concurrent {
        let _ = writeln!(out, "  max_concurrent {max}");
    }
    if let Some(max) = route.max_concurrent_per_client {
        let _ = writeln!(out, "  max_concurrent_per_client {max}");
    }
    if let Some(max) = route.max_body {
        let _ = writeln!(out, "  max_body {}", Size(max));
    }
}

/// Who may call.
fn callers(out: &mut String, settings: &Settings, route: &Route) {
    for (key, networks) in [("allow", &route.allow), ("deny", &route.deny)] {
        if !networks.is_empty() {
            let _ = writeln!(out, "  {key} {}", listed(networks));
        }
    }
    if let Some(asked) = &route.authentication {
        let jwt = asked.jwt.iter().map(|name| format!("jwt:{name}"));
        let introspection = asked.introspection.iter().map(|name| format!("introspection:{name}"));
        let ways: Vec<_> = jwt.chain(introspection).collect();
        let (all, optional) = (if asked.all { "all_of" } else { "any_of" }, asked.optional);
        let optional = if optional { ", optional" } else { "" };
        let _ = writeln!(out, "  authentication {all} {}{optional}", listed(&ways));
    }
    if let Some(name) = &route.product {
        let ways = settings.products.get(name).map(|product| &product.authentication);
        let _ = match ways {
            Some(ways) if !ways.all_of.is_empty() => {
                writeln!(out, "  product {name}, authentication all_of {}", listed(&ways.all_of))
            }
            Some(ways) => {
                writeln!(out, "  product {name}, authentication any_of {}", listed(&ways.any_of))
            }
            None => writeln!(out, "  product {name}, which the store knows"),
        };
    }
}

fn listed(all: &[impl ToString]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Their names: values may be secrets.
fn edits(out: &mut String, key: &str, edits: &HeaderEdits) {
    let names = |fields: &[(String, String)]| {
        fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let lists =
        [("remove", edits.remove.clone()), ("set", names(&edits.set)), ("add", names(&edits.add))];
    let lists = lists.iter().filter(|(_, names)| !names.is_empty());
    let lists: Vec<_> = lists.map(|(what, names)| format!("{what} {}", listed(names))).collect();
    if !lists.is_empty() {
        let _ = writeln!(out, "  {key} {}", lists.join("; "));
    }
}

/// The service that is asked about a request.
fn asked(out: &mut String, settings: &Settings, route: &Route) {
    let Some((name, rules)) =
        route.forward_auth.as_ref().and_then(|name| settings.forward_auth.get_key_value(name))
    else {
        return;
    };
    let fails = match rules.on_error {
        OnError::Refuse => "refuse",
        OnError::Allow => "allow",
    };
    let _ = writeln!(out, "  forward_auth {name}: {}, on_error {fails}", rules.url);
    if let Some(cache) = &rules.cache {
        let key: Vec<_> = cache.key.iter().map(ToString::to_string).collect();
        let (key, time) = (key.join(", "), HumanDuration(cache.allowed_for));
        let denied = HumanDuration(cache.denied_for);
        let _ = writeln!(out, "    cache by {key}, for {time}, denied_for {denied}");
    }
}

/// What applies to a request that goes upstream.
fn forwarded(out: &mut String, route: &Route, name: &str, upstream: Option<&Upstream>) {
    let _ = writeln!(out, "  upstream {name}");
    let Some(upstream) = upstream else { return };
    for target in &upstream.targets {
        let _ = writeln!(out, "    target {} weight {}", target.address, target.weight);
    }
    let _ = writeln!(out, "    balance {}", upstream.balance);
    let budget = upstream.retry_budget;
    let _ = match upstream.retries {
        0 => writeln!(out, "    retries none"),
        n => writeln!(out, "    retries {n}, of at most {budget}% of the requests"),
    };
    connections(out, upstream);
    let _ = match &route.rewrite {
        Rewrite::None => Ok(()),
        Rewrite::StripPrefix(prefix) => writeln!(out, "  strip_prefix {prefix}"),
        Rewrite::Template(template) => writeln!(out, "  rewrite {template}"),
    };
    let _ = writeln!(out, "  host_policy {}", route.host_policy);
    edits(out, "request_headers", &route.request_headers);
    let t = &route.timeouts;
    let connect = HumanDuration(t.connect.unwrap_or(upstream.connect_timeout));
    let (first_byte, idle) = (HumanDuration(t.first_byte), HumanDuration(t.idle));
    let total = t.total.map_or("none".into(), |total| HumanDuration(total).to_string());
    let _ = writeln!(
        out,
        "  timeouts connect {connect}, first_byte {first_byte}, idle {idle}, total {total}"
    );
    if route.grpc_web {
        let _ = writeln!(out, "  grpc_web");
    }
    if !route.upgrades.is_empty() {
        let total = t.tunnel_total.map_or("none".into(), |total| HumanDuration(total).to_string());
        let (upgrades, tunnel) = (route.upgrades.join(", "), HumanDuration(t.tunnel));
        let _ =
            writeln!(out, "  upgrades {upgrades}, timeouts tunnel {tunnel}, tunnel_total {total}");
    }
}

/// How the targets are spoken to.
fn connections(out: &mut String, upstream: &Upstream) {
    let skip = HumanDuration(upstream.skip_after_failure);
    let _ = writeln!(out, "    skip_after_failure {skip}");
    let _ = match upstream.protocol {
        HttpProtocol::Http1 => {
            let (most, idle) = (upstream.max_idle, HumanDuration(upstream.idle_timeout));
            writeln!(out, "    protocol http/1.1, max_idle {most}, idle_timeout {idle}")
        }
        HttpProtocol::Http2 => {
            writeln!(out, "    protocol h2, max_streams {}", upstream.max_streams)
        }
    };
    match upstream.proxy_protocol {
        SendProxyProtocol::Off => {}
        SendProxyProtocol::V1 => out.push_str("    proxy_protocol v1\n"),
        SendProxyProtocol::V2 => out.push_str("    proxy_protocol v2\n"),
    }
    if let Some(tls) = &upstream.tls {
        let _ = writeln!(out, "    tls {}", self::tls(tls));
    }
}

/// `roots ca.pem, server_name app.example`.
fn tls(tls: &UpstreamTls) -> String {
    let roots = match (&tls.roots, tls.danger_skip_verification) {
        (_, true) => "danger_skip_verification".to_owned(),
        (Some(roots), false) => format!("roots {}", roots.display()),
        (None, false) => "roots of the system".to_owned(),
    };
    let name = tls.server_name.as_ref().map(|name| format!("server_name {name}"));
    let identity = tls.identity.as_ref();
    let identity =
        identity.map(|(certificate, _)| format!("certificate {}", certificate.display()));
    listed(&[Some(roots), name, identity].into_iter().flatten().collect::<Vec<_>>())
}

fn limits(out: &mut String, scope: &str, limits: &[Limit]) {
    for Limit { name, rate, per, burst, key } in limits {
        let rate = Rate { amount: *rate, per: *per };
        let _ = writeln!(out, "  limit {name} ({scope}): rate {rate}, burst {burst}, key {key}");
    }
}
