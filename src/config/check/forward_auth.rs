//! `[forward_auth.NAME]`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::product::field_refusal;
use super::tls::path;
use super::{timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::forward_auth::{AnswerCache, ForwardAuth, Input};
use crate::config::settings::Route;
use crate::config::suggest;
use crate::config::units::HumanDuration;
use crate::limits::FORWARD_AUTH_MAX_FOR;

pub(super) fn all(
    written: BTreeMap<String, file::ForwardAuth>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<String, ForwardAuth> {
    let each = written.into_iter();
    each.map(|(name, written)| {
        words::name(&name, &place.name(&name), report);
        let checked = one(written, &place.key(&name), report);
        (name, checked)
    })
    .collect()
}

fn one(written: file::ForwardAuth, place: &Place<'_>, report: &mut Report<'_>) -> ForwardAuth {
    let request_headers = names(&written.request_headers, &place.key("request_headers"), report);
    names(&written.response_headers, &place.key("response_headers"), report);
    let roots = place.key("roots");
    let cache = written
        .cache
        .map(|cache| self::cache(cache, &request_headers, &place.key("cache"), report));
    ForwardAuth {
        url: words::url(
            written.url.unwrap_or_default(),
            "https://auth.internal/check",
            &place.key("url"),
            report,
        ),
        roots: written.roots.map(|name| path(Some(name), &roots, "file", report)),
        timeout: timeout(written.timeout, &place.key("timeout"), report),
        response_headers: written.response_headers,
        on_error: written.on_error,
        request_headers,
        cache,
    }
}

/// Names of fields that are nobody else's, lower-cased.
fn names(written: &[String], place: &Place<'_>, report: &mut Report<'_>) -> Vec<String> {
    let mut seen = HashSet::new();
    let each = written.iter().enumerate();
    each.map(|(position, name)| {
        let item = place.item(position);
        let lower = name.to_ascii_lowercase();
        if let Some((message, help)) = field_refusal(name) {
            report.error(&item.trail, message, help);
        } else if lower.starts_with("x-forwarded-") {
            let message = format!("{name:?} is what the gateway says itself");
            report.error(&item.trail, message, "remove it");
        } else if !seen.insert(lower.clone()) {
            report.error(&item.trail, format!("{name:?} is named twice"), "remove one");
        }
        lower
    })
    .collect()
}

fn cache(
    written: file::ForwardAuthCache,
    sent: &[String],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> AnswerCache {
    let written_key = written.key.unwrap_or_default();
    let keys = place.key("key");
    let each = written_key.iter().enumerate();
    let key: Vec<_> =
        each.filter_map(|(at, text)| input(text, sent, &keys.item(at), report)).collect();
    if key.len() == written_key.len() && keys.given() {
        covers(&key, sent, &keys, report);
    }
    let allowed_for = time(written.allowed_for, &place.key("for"), report);
    if allowed_for.is_zero() {
        let help = "write how long, or remove `cache`";
        report.error(&place.key("for").trail, "no answer would be remembered", help);
    }
    let denied_for = time(written.denied_for, &place.key("denied_for"), report);
    AnswerCache { key, allowed_for, denied_for }
}

/// A time for which an answer may hold.
fn time(written: HumanDuration, place: &Place<'_>, report: &mut Report<'_>) -> Duration {
    if written.0 > FORWARD_AUTH_MAX_FOR {
        let message = format!("{written} is long for what may be revoked meanwhile");
        let help = format!("write {} or less", HumanDuration(FORWARD_AUTH_MAX_FOR));
        report.error(&place.trail, message, help);
    }
    written.0
}

fn input(text: &str, sent: &[String], place: &Place<'_>, report: &mut Report<'_>) -> Option<Input> {
    let is_sent = |name: &str| sent.iter().any(|sent| sent == name);
    let (input, field) = match words::selector(text) {
        ("method", None) => (Input::Method, None),
        ("path", None) => (Input::Path, None),
        ("query", None) => (Input::Query, None),
        ("host", None) => (Input::Host, None),
        ("client_ip", None) => (Input::ClientIp, None),
        ("header", Some(name)) if words::is_token(name) => {
            let name = name.to_ascii_lowercase();
            (Input::Header(name.clone()), Some(name))
        }
        ("cookie", Some(name)) if words::is_token(name) => {
            (Input::Cookie(name.to_owned()), Some("cookie".to_owned()))
        }
        _ => {
            let help = "write \"header:NAME\", \"cookie:NAME\", \"method\", \"path\", \"query\", \
                        \"host\" or \"client_ip\"";
            report.error(&place.trail, format!("{text:?} is no part of a request"), help);
            return None;
        }
    };
    if let Some(field) = field.filter(|field| !is_sent(field)) {
        let message = format!("the service does not get {field:?}, so no answer depends on it");
        report.error(&place.trail, message, "add the field to `request_headers`, or remove this");
    }
    Some(input)
}

/// What the service gets of a client and does not go into the key would give one client another's
/// answer.
fn covers(key: &[Input], sent: &[String], place: &Place<'_>, report: &mut Report<'_>) {
    for name in sent {
        let is_in = |input: &Input| match input {
            Input::Header(header) => header == name,
            Input::Cookie(_) => name == "cookie",
            _ => false,
        };
        if !key.iter().any(is_in) {
            let message = format!(
                "the service gets {name:?}, and it is not in the key: clients that differ in it \
                 would get each other's answers"
            );
            let more = if name == "cookie" { " or \"cookie:NAME\"" } else { "" };
            let help =
                format!("add \"header:{name}\"{more}, or leave the field out of `request_headers`");
            report.error(&place.trail, message, help);
        }
    }
    if key.is_empty() {
        let message = "one answer would count for every request";
        report.error(&place.trail, message, "write what it depends on");
    }
}

/// Whether the services that routes name are there, and those that are there are named.
pub(super) fn routed(
    services: &BTreeMap<String, ForwardAuth>,
    routes: &[(usize, Route)],
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    let place = top.key("routes");
    for (position, route) in routes {
        let Some(name) = route.forward_auth.as_deref() else { continue };
        if !services.contains_key(name) {
            let help = match suggest::nearest(name, services.keys().map(String::as_str)) {
                Some(near) => format!("write {near:?}"),
                None => format!("write a table [forward_auth.{name}]"),
            };
            let key = place.item(*position);
            let message = format!("there is no [forward_auth.{name}]");
            report.error(&key.key("forward_auth").trail, message, help);
        }
    }
    // A route that was left out for its mistakes may have named it.
    if report.has_errors() {
        return;
    }
    let named: HashSet<_> = routes.iter().filter_map(|(_, r)| r.forward_auth.as_deref()).collect();
    let place = top.key("forward_auth");
    for name in services.keys().filter(|name| !named.contains(name.as_str())) {
        let help = "name it as a route's `forward_auth`, or remove it";
        report.warning(&place.name(name), "no route asks this service", help);
    }
}
