//! What a route does: upstream, redirect or response, rewriting, field edits.

use std::collections::BTreeMap;

use super::template::{PathNames, template};
use super::words;
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::settings::{Action, HeaderEdits, PathMatch, Rewrite, Upstream};
use crate::config::suggest;
use crate::config::template::Place as Kind;

pub(super) fn action(
    written: &file::Route,
    upstreams: &BTreeMap<String, Upstream>,
    names: Option<&PathNames>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Action> {
    let keys = ["upstream", "redirect", "respond"];
    let given: Vec<&str> = keys.into_iter().filter(|key| place.key(key).written()).collect();
    match given.as_slice() {
        // A misspelt key has been reported.
        [] if place.damaged() => return None,
        [] => {
            let help = "write one of `upstream`, `redirect` and `respond`";
            report.error(&place.trail, "the route does not say what to do", help);
            return None;
        }
        // A refused value has been reported.
        [key] if !place.key(key).given() => return None,
        [_] => {}
        [_, second, ..] => {
            let message = format!("a route does one thing; it has {}", given.join(" and "));
            report.error(&place.name(second), message, "keep one of them");
            return None;
        }
    }
    if let Some(name) = &written.upstream {
        return upstream(name, upstreams, &place.key("upstream"), report);
    }
    without_effect(place, report);
    if let Some(redirect) = &written.redirect {
        return self::redirect(redirect, names, &place.key("redirect"), report);
    }
    written.respond.as_ref().map(|written| respond(written, &place.key("respond"), report))
}

fn upstream(
    name: &str,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Action> {
    known(name, upstreams, place, report)?;
    Some(Action::Upstream(name.to_owned()))
}

/// Nothing where no upstream is so named, which is reported.
pub(super) fn known(
    name: &str,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<()> {
    if upstreams.contains_key(name) {
        return Some(());
    }
    let near = if report.is_full() { None } else { nearest_upstream(name, upstreams) };
    let help = match near {
        Some(near) => format!("write {near:?}"),
        None => format!("write a table [upstreams.{name}] with `targets`"),
    };
    report.error(&place.trail, format!("no upstream is named {name:?}"), help);
    None
}

fn nearest_upstream<'u>(name: &str, upstreams: &'u BTreeMap<String, Upstream>) -> Option<&'u str> {
    match suggest::nearest(name, upstreams.keys().map(String::as_str)) {
        Some(near) => Some(near),
        None if upstreams.len() == 1 => upstreams.keys().next().map(String::as_str),
        None => None,
    }
}

/// Keys that do something on the way upstream only.
fn without_effect(place: &Place<'_>, report: &mut Report<'_>) {
    const KEYS: [&str; 7] = [
        "strip_prefix",
        "rewrite",
        "request_headers",
        "host_policy",
        "timeouts",
        "upgrades",
        "grpc_web",
    ];
    for key in KEYS {
        if place.key(key).given() {
            let message = format!("`{key}` has no effect on a route without upstream");
            report.warning(&place.name(key), message, "remove it");
        }
    }
}

fn redirect(
    written: &file::Redirect,
    names: Option<&PathNames>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Action> {
    let status = written.status;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{status} is not a redirect with a Location");
        let help = "write 301, 302, 303, 307 or 308";
        report.error(&place.key("status").trail, message, help);
    }
    let to = written.to.clone()?;
    let key = place.key("to");
    words::field_value(&to, &key.trail, report);
    if to.is_empty() {
        let help = "write one like \"https://{host}{path}\"";
        report.error(&key.trail, "a redirect leads somewhere", help);
    }
    template(&to, Kind::Location, names, &key, report);
    Some(Action::Redirect { status, to })
}

fn respond(written: &file::Respond, place: &Place<'_>, report: &mut Report<'_>) -> Action {
    let file::Respond { status, body, content_type } = written.clone();
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        let message = format!("a {status} response has no body (RFC 9110)");
        report.error(&place.key("body").trail, message, "remove `body`, or write another status");
    }
    words::field_value(&content_type, &place.key("content_type").trail, report);
    Action::Respond { status, body, content_type }
}

pub(super) fn rewrite(
    written: &file::Route,
    path: Option<&PathMatch>,
    names: Option<&PathNames>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Rewrite {
    let (strip_key, rewrite_key) = (place.key("strip_prefix"), place.key("rewrite"));
    match (&written.strip_prefix, &written.rewrite) {
        (Some(_), Some(_)) => {
            let message = "a route has `strip_prefix` or `rewrite`, not both";
            report.error(&rewrite_key.trail, message, "remove one of them");
            Rewrite::None
        }
        (Some(prefix), None) => strip_prefix(prefix, path, &strip_key, report),
        (None, Some(to)) => {
            if !to.starts_with('/') && !to.starts_with("{path}") {
                let message = format!("{to:?} does not begin with `/`");
                report.error(&rewrite_key.trail, message, format!("write {:?}", format!("/{to}")));
            }
            template(to, Kind::Path, names, &rewrite_key, report);
            Rewrite::Template(to.clone())
        }
        (None, None) => Rewrite::None,
    }
}

fn strip_prefix(
    written: &str,
    path: Option<&PathMatch>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Rewrite {
    let prefix = written.trim_end_matches('/');
    if !prefix.starts_with('/') {
        let bare = prefix.trim_matches('/');
        let help = match bare {
            "" => "leave `strip_prefix` out".to_owned(),
            bare => format!("write {:?}", format!("/{bare}")),
        };
        let message = format!("{written:?} is not a prefix that can be removed");
        report.error(&place.trail, message, help);
        return Rewrite::None;
    }
    if let Some(refused) = Kind::Path.refused(prefix).and_then(|at| prefix.get(at..)) {
        let refused = refused.chars().next().unwrap_or_default();
        let message = format!("no path holds {refused:?} as it is");
        report.error(&place.trail, message, "write leading segments of text, percent-encoded");
    }
    if let Some(PathMatch::Pattern(pattern)) = path {
        let rest = pattern.strip_prefix(prefix);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            let message = format!("the route's path {pattern:?} does not begin with {prefix:?}");
            report.error(&place.trail, message, "write the path's leading segments");
        }
    }
    Rewrite::StripPrefix(prefix.to_owned())
}

pub(super) fn edits(
    written: &file::HeaderEdits,
    names: Option<&PathNames>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> HeaderEdits {
    let (remove_key, set_key, add_key) = (place.key("remove"), place.key("set"), place.key("add"));
    let mut edits = HeaderEdits::default();
    for (position, name) in written.remove.iter().enumerate() {
        let item = remove_key.item(position);
        let name = edited_name(name, &item, report);
        edits.remove.push(name);
    }
    for (key, value) in &written.set {
        let name = edited_name(key, &Place::named(&set_key, key), report);
        edited_value(value, names, &set_key.key(key), report);
        edits.set.push((name, value.clone()));
    }
    for (key, values) in &written.add {
        let name = edited_name(key, &Place::named(&add_key, key), report);
        for value in values.all() {
            edited_value(value, names, &add_key.key(key), report);
            edits.add.push((name.clone(), value.clone()));
        }
    }
    edits
}

fn edited_value(text: &str, names: Option<&PathNames>, place: &Place<'_>, report: &mut Report<'_>) {
    words::field_value(text, &place.trail, report);
    template(text, Kind::Field, names, place, report);
}

/// Fields that frame a message or belong to one connection are the gateway's own.
fn edited_name(text: &str, place: &Place<'_>, report: &mut Report<'_>) -> String {
    let name = words::field_name(text, &place.trail, report);
    let help = match name.as_str() {
        "host" => "write `host_policy = \"…\"`",
        "content-length" | "transfer-encoding" | "trailer" | "te" => {
            "remove it: the gateway frames each message itself"
        }
        "connection" | "keep-alive" | "proxy-connection" | "upgrade" => {
            "remove it: it belongs to one connection, and the gateway manages its own"
        }
        "sec-websocket-key" | "sec-websocket-version" | "sec-websocket-accept" => {
            "remove it: the handshake is checked as client and service made it"
        }
        "expect" => "remove it: the gateway passes 100-continue on by itself",
        _ => return name,
    };
    report.error(&place.trail, format!("the field {name:?} cannot be edited"), help);
    name
}
