//! `[[routes]]`.

use std::collections::{BTreeMap, HashSet};

use super::jwt::Takers;
use super::limit::{self, Scope};
use super::template::PathNames;
use super::{Names, action, address, client, grpc, jwt, matcher, product, timeout, upgrade, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::jwt::RouteAuthentication;
use crate::config::settings::{HostMatch, HostPolicy, Route, Timeouts, Upstream};
use crate::config::units::HumanDuration;
use crate::limits::MAX_CUSTOM_METHODS;

/// Routes, each with its position in the tree (others may have been left out).
pub(super) fn routes(
    written: Vec<file::Route>,
    (upstreams, takers): (&BTreeMap<String, Upstream>, Takers<'_>),
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<(usize, Route)> {
    let mut names = Names::new("route");
    let mut routes = Vec::with_capacity(written.len());
    for (position, mut written) in written.into_iter().enumerate() {
        let place = place.item(position);
        if let Some(name) = &written.name {
            words::name(name, &place.key("name").trail, report);
            names.add(name, &place.key("name").trail, report);
        }
        let asked = written.authentication.take();
        let authentication = authentication(asked, takers, &place.key("authentication"), report);
        let route = route(written, authentication, upstreams, &place, report);
        routes.extend(route.map(|route| (position, route)));
    }
    custom_methods(&routes, place, report);
    routes
}

fn route(
    mut written: file::Route,
    authentication: Option<RouteAuthentication>,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Route> {
    let name = written.name.take().unwrap_or_default();
    let host = matcher::host(written.host.as_deref(), &place.key("host"), report);
    let path = matcher::path(&written, place, report);
    let mut methods = matcher::methods(&written.methods, &place.key("methods"), report);
    let mut headers = matcher::headers(&written.headers, &place.key("headers"), report);
    if written.grpc.is_some() {
        methods = vec!["POST".to_owned()];
        headers.push(grpc::content_type(&headers, place, report));
    }
    let query = matcher::query(&written.query, &place.key("query"), report);
    let certificate = place.key("client_certificate");
    let client_certificate =
        client::tests(written.client_certificate.as_ref(), &certificate, report);
    let claims = jwt::claims(&written.claims, &place.key("claims"), report);
    let names = path.as_ref().map(PathNames::of);
    let action = action::action(&written, upstreams, names.as_ref(), place, report);
    grpc::upstream(&written, action.as_ref(), upstreams, place, report);
    let product = product(written.product.take(), place, report);
    if product.is_some() && authentication.is_some() {
        let message = "the product says who may call";
        report.error(&place.key("authentication").trail, message, "remove it, or `product`");
    }
    let (allow, deny) = address::rules(&written, place, report);
    let rewrite = action::rewrite(&written, path.as_ref(), names.as_ref(), place, report);
    let edits = place.key("request_headers");
    let request_headers = action::edits(&written.request_headers, names.as_ref(), &edits, report);
    let edits = place.key("response_headers");
    let response_headers = action::edits(&written.response_headers, names.as_ref(), &edits, report);
    let host_policy =
        host_policy(written.host_policy.as_deref(), &place.key("host_policy"), report);
    let upgrades = upgrade::upgrades(written.upgrades.take(), &place.key("upgrades"), report);
    let timeouts = timeouts(&written.timeouts, &place.key("timeouts"), report);
    let parameters = names.as_ref().map(|names| names.parameters.as_slice());
    let scope = Scope { default_name: &name, parameters, is_route: true, unread: false };
    let limits = limit::limits(written.limits, &place.key("limits"), &scope, report);
    Some(Route {
        host: host?,
        path: path?,
        methods,
        headers,
        query,
        client_certificate,
        claims,
        action: action?,
        authentication,
        forward_auth: written.forward_auth,
        product,
        allow,
        deny,
        rewrite,
        request_headers,
        response_headers,
        host_policy,
        timeouts,
        max_body: written.max_body.map(|size| size.0),
        upgrades,
        grpc_web: written.grpc_web,
        limits,
        max_concurrent: written.max_concurrent,
        max_concurrent_per_client: written.max_concurrent_per_client,
        name,
    })
}

fn authentication(
    written: Option<file::RouteAuthentication>,
    takers: Takers<'_>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<RouteAuthentication> {
    let written = written?;
    let all = written.all_of.is_some();
    let (key, listed) = match written.all_of {
        Some(all_of) => ("all_of", all_of),
        None => ("any_of", written.any_of.clone().unwrap_or_default()),
    };
    let ways = place.key(key);
    if all && written.any_of.is_some() {
        report.error(&ways.trail, "`any_of` stands there too", "keep one of them");
    }
    if listed.is_empty() && !place.damaged() {
        let help = "write `any_of = [\"jwt:NAME\"]` or `any_of = [\"introspection:NAME\"]`, or remove \
                    `authentication`";
        let at = if ways.given() { &ways } else { place };
        report.error(&at.trail, "there is no way to prove who calls", help);
    }
    let (mut jwt, mut introspection) = (Vec::new(), Vec::new());
    for (at, way) in listed.iter().enumerate() {
        match jwt::known(way, takers, &ways.item(at), report) {
            Some(("introspection", name)) => introspection.push(name.to_owned()),
            Some((_, name)) => jwt.push(name.to_owned()),
            None => {}
        }
    }
    Some(RouteAuthentication { jwt, introspection, all, optional: written.optional })
}

/// What a product counts is what its upstream is asked.
fn product(written: Option<String>, place: &Place<'_>, report: &mut Report<'_>) -> Option<String> {
    let name = written?;
    let key = place.key("product");
    if let Some((message, help)) = product::name_refusal(&name) {
        report.error(&key.trail, message, help);
    }
    if !place.key("upstream").written() && !place.damaged() {
        let help = "write `upstream`, or remove `product`";
        report.error(&key.trail, "a route of a product has an upstream", help);
    }
    Some(name)
}

fn host_policy(written: Option<&str>, place: &Place<'_>, report: &mut Report<'_>) -> HostPolicy {
    let literal = match written {
        None | Some("preserve") => return HostPolicy::Preserve,
        Some("target") => return HostPolicy::Target,
        Some(literal) => literal,
    };
    let (host, port) = match literal.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (literal, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !port_fits || matcher::exact_host(host).is_none() {
        let message = format!("{literal:?} is not a host");
        let help = "write \"preserve\", \"target\", or a host like \"app.internal\"";
        report.error(&place.trail, message, help);
    }
    HostPolicy::Literal(literal.to_ascii_lowercase())
}

fn timeouts(written: &file::Timeouts, place: &Place<'_>, report: &mut Report<'_>) -> Timeouts {
    let (connect_key, total_key) = (place.key("connect"), place.key("total"));
    let connect = written.connect.map(|time| timeout(time, &connect_key, report));
    let mut first_byte = timeout(written.first_byte, &place.key("first_byte"), report);
    let idle = timeout(written.idle, &place.key("idle"), report);
    let total = written.total.map(|time| timeout(time, &total_key, report));
    if let Some(total) = total {
        let mut longer = |key: &'static str, time| {
            let part = place.key(key);
            if part.given() && time > total {
                let (time, total) = (HumanDuration(time), HumanDuration(total));
                let message = format!("{time} can never pass: `total` is {total}");
                report.error(
                    &part.trail,
                    message,
                    format!("write {total} or less, or a longer `total`"),
                );
            }
        };
        longer("connect", connect.unwrap_or_default());
        longer("first_byte", first_byte);
        longer("idle", idle);
        first_byte = first_byte.min(total);
    }
    let (tunnel, tunnel_total) = upgrade::timeouts(written, place, report);
    Timeouts { connect, first_byte, idle, total, tunnel, tunnel_total }
}

/// The route table gives each method beyond the standard ones a bit.
fn custom_methods(routes: &[(usize, Route)], place: &Place<'_>, report: &mut Report<'_>) {
    const STANDARD: [&str; 8] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];
    let mut custom = HashSet::new();
    for (position, route) in routes {
        let new = route.methods.iter().filter(|method| !STANDARD.contains(&method.as_str()));
        custom.extend(new.map(String::as_str));
        if custom.len() > MAX_CUSTOM_METHODS {
            let message = format!("more than {MAX_CUSTOM_METHODS} different custom methods");
            let item = place.item(*position);
            report.error(&item.key("methods").trail, message, "leave `methods` out on some routes");
            return;
        }
    }
}

/// A host as messages name it.
pub(super) fn host_text(host: &HostMatch) -> String {
    match host {
        HostMatch::Any => "any host".to_owned(),
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(rest) => format!("*{rest}"),
    }
}
