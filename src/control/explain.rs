//! `tollgate explain`: which route a request would take, which nearly did, and what applies.

use std::fmt::Write;

use super::compile::describe;
use crate::config::{Action, Limit, LimitKey, Route, Settings};
use crate::http::h1::{Scan, parse_request};
use crate::http::{Framing, RequestHead};
use crate::route::{Request, Table};

/// Explains what would become of a request.
///
/// # Errors
/// Where it is no request that the gateway would take.
pub fn explain(
    settings: &Settings,
    method: &str,
    url: &str,
    headers: &[String],
) -> Result<String, String> {
    let (mut bytes, head) = parse(settings, method, url, headers)?;
    let buf = std::mem::take(&mut bytes);
    let table = Table::build(&settings.routes).map_err(|e| e.to_string())?;
    let request = Request {
        host: head.host.of(&buf),
        path: head.path.of(&buf),
        query: head.query.map(|q| q.of(&buf)),
        method: head.method,
        method_text: head.method_span.of(&buf),
        fields: &head.fields,
        buf: &buf,
    };
    let explanation = table.explain(&settings.routes, &request);
    let text = String::from_utf8_lossy;
    let mut out = String::new();
    let line = &mut out;
    let _ = writeln!(line, "host  {}", text(request.host));
    let _ = writeln!(line, "path  {}", text(request.path));
    match explanation.matched {
        Some(index) => matched(line, settings, &settings.routes[index as usize]),
        None => {
            let _ = writeln!(line, "\nno route matches");
        }
    }
    if !explanation.considered.is_empty() {
        let _ = writeln!(line, "\nnearly:");
    }
    for (index, reason) in &explanation.considered {
        let route = &settings.routes[*index as usize];
        let _ = writeln!(line, "  {:<20} {:<32} {reason}", route.name, describe(route));
    }
    if explanation.omitted > 0 {
        let _ = writeln!(line, "  and {} more", explanation.omitted);
    }
    Ok(out)
}

/// Makes a request of the words and has the gateway's own parser read it.
fn parse(
    settings: &Settings,
    method: &str,
    url: &str,
    headers: &[String],
) -> Result<(Vec<u8>, RequestHead), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| format!("{url:?}: write http://host/path"))?;
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(split);
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut text = format!("{method} {slash}{target} HTTP/1.1\r\nHost: {authority}\r\n");
    for header in headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("-H {header:?}: write Name: value"))?;
        let _ = write!(text, "{}: {}\r\n", name.trim(), value.trim());
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    let mut head = RequestHead::default();
    let listener = settings.listeners.first().ok_or("the configuration has no listener")?;
    let bounds = listener.http;
    match parse_request(&mut bytes, &mut Scan::default(), &bounds, &mut head) {
        Ok(true) if head.framing == Framing::None || head.len == bytes.len() => Ok((bytes, head)),
        Ok(_) => Err("the request is not complete".into()),
        Err(bad) => Err(format!("the gateway answers {}: {}", bad.status(), bad.detail())),
    }
}

fn matched(out: &mut String, settings: &Settings, route: &Route) {
    let _ = writeln!(out, "\nroute {}  ({})", route.name, describe(route));
    let _ = match &route.action {
        Action::Upstream(name) => writeln!(out, "  upstream {name}"),
        Action::Redirect { status, to } => writeln!(out, "  redirect {status} to {to}"),
        Action::Respond { status, .. } => writeln!(out, "  responds {status}"),
    };
    if let Action::Upstream(name) = &route.action
        && let Some(upstream) = settings.upstreams.get(name)
    {
        for target in &upstream.targets {
            let _ = writeln!(out, "    target {:?} weight {}", target.address, target.weight);
        }
        let _ = writeln!(out, "    balance {:?}", upstream.balance);
    }
    for listener in &settings.listeners {
        limits(out, &format!("listener {}", listener.name), &listener.limits);
    }
    limits(out, "route", &route.limits);
    limits(out, "gateway", &settings.limits);
    if let Some(max) = route.max_concurrent {
        let _ = writeln!(out, "  at most {max} requests at once");
    }
    if let Some(max) = route.max_concurrent_per_client {
        let _ = writeln!(out, "  at most {max} requests at once a client");
    }
    if let Some(max) = route.max_body {
        let _ = writeln!(out, "  content of at most {max} bytes");
    }
    let t = &route.timeouts;
    let _ = writeln!(
        out,
        "  timeouts first byte {:?}, idle {:?}, whole {}",
        t.first_byte,
        t.idle,
        t.total.map_or("none".into(), |t| format!("{t:?}"))
    );
}

fn limits(out: &mut String, scope: &str, limits: &[Limit]) {
    for limit in limits {
        let key = match &limit.key {
            LimitKey::ClientIp => "client address".into(),
            LimitKey::Header(name) => format!("header {name}"),
            LimitKey::Query(name) => format!("query parameter {name}"),
            LimitKey::PathParameter(name) => format!("path parameter {name}"),
            LimitKey::Route => "all together".into(),
        };
        let (rate, per, burst) = (limit.rate, limit.per, limit.burst);
        let _ = writeln!(
            out,
            "  limit {:?} ({scope}): {rate} per {per:?}, burst {burst}, by {key}",
            limit.name
        );
    }
}
