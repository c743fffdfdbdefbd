//! What a route does: upstream, redirect or response, rewriting, field edits.

use std::collections::BTreeMap;

use super::words;
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::settings::{Action, HeaderEdits, PathMatch, Rewrite, Upstream};
use crate::config::suggest;

pub(super) fn action(
    written: &file::Route,
    upstreams: &BTreeMap<String, Upstream>,
    parameters: &[String],
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
        let is_pattern = place.key("path").given() || place.key("grpc").given();
        return self::redirect(redirect, parameters, is_pattern, &place.key("redirect"), report);
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
    parameters: &[String],
    is_pattern: bool,
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
    let control = |c: char| c.is_ascii_control();
    if to.is_empty() || (to.contains(|c: char| c == ' ' || !c.is_ascii()) && !to.contains(control))
    {
        let message = "a Location is a URI: ASCII without spaces";
        report.error(&key.trail, message, "write one like \"https://{host}{path}\"");
    }
    let known = Known { words: &["host", "path", "query", "*"], parameters, is_pattern };
    template(&to, &known, &key, report);
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
    parameters: &[String],
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
            } else if let Some(c) =
                to.chars().find(|c| !c.is_ascii_graphic() || "?#\\".contains(*c))
            {
                let help = "write it percent-encoded; the query goes upstream by itself";
                report.error(&rewrite_key.trail, format!("no path holds {c:?} as it is"), help);
            }
            let is_pattern = matches!(path, Some(PathMatch::Pattern(_)));
            let known = Known { words: &["path", "*"], parameters, is_pattern };
            // Without its path a route's parameters are unknown.
            if path.is_some() {
                template(to, &known, &rewrite_key, report);
            }
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
    if let Some(PathMatch::Pattern(pattern)) = path {
        let rest = pattern.strip_prefix(prefix);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            let message = format!("the route's path {pattern:?} does not begin with {prefix:?}");
            report.error(&place.trail, message, "write the path's leading segments");
        }
    }
    Rewrite::StripPrefix(prefix.to_owned())
}

/// What a template may name.
struct Known<'k> {
    words: &'k [&'static str],
    parameters: &'k [String],
    is_pattern: bool,
}

impl Known<'_> {
    fn has(&self, name: &str) -> bool {
        self.words.contains(&name) || self.parameters.iter().any(|known| known == name)
    }
}

fn template(text: &str, known: &Known<'_>, place: &Place<'_>, report: &mut Report<'_>) {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let inside =
            rest.get(at..).and_then(|r| r.strip_prefix('{')).and_then(|r| r.split_once('}'));
        let Some((name, after)) = inside else {
            report.error(&place.trail, "a brace is left open", "write `{name}`");
            return;
        };
        if !known.has(name) {
            let all =
                known.words.iter().copied().chain(known.parameters.iter().map(String::as_str));
            let help = match suggest::nearest(name, all.clone()) {
                Some(near) => format!("write `{{{near}}}`"),
                None if !known.is_pattern => "a regular expression has no parameters".to_owned(),
                None => {
                    let all: Vec<String> = all.map(|name| format!("`{{{name}}}`")).collect();
                    format!("there are {}", all.join(", "))
                }
            };
            report.error(&place.trail, format!("there is no `{{{name}}}` here"), help);
        }
        rest = after;
    }
}

pub(super) fn edits(
    written: &file::HeaderEdits,
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
        words::field_value(value, &set_key.key(key).trail, report);
        edits.set.push((name, value.clone()));
    }
    for (key, values) in &written.add {
        let name = edited_name(key, &Place::named(&add_key, key), report);
        for value in values.all() {
            words::field_value(value, &add_key.key(key).trail, report);
            edits.add.push((name.clone(), value.clone()));
        }
    }
    edits
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
