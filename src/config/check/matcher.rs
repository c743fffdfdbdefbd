//! What a route matches: host, path, methods, fields, query parameters.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::grpc;
use super::words::{self, Refusal};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::settings::{HostMatch, PathMatch, ValueMatch, ValueTest};
use crate::config::suggest;
use crate::limits::{
    MAX_PATH_PARAMETERS, MAX_PATTERN_LENGTH, MAX_PATTERN_SEGMENTS, MAX_REGEX_SIZE,
};

/// Nothing where it is no host, which is reported.
pub(super) fn host(
    written: Option<&str>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<HostMatch> {
    let Some(text) = written else {
        // A refused value has been reported, and is not any host.
        return (!place.written()).then_some(HostMatch::Any);
    };
    if let Some(rest) = text.strip_prefix("*.").and_then(exact_host) {
        return Some(HostMatch::Wildcard(format!(".{rest}")));
    }
    if let Some(host) = exact_host(text) {
        return Some(HostMatch::Exact(host));
    }
    report.error(&place.trail, format!("{text:?} is not a host"), host_help(text));
    None
}

/// A host without port, in the form requests are compared with.
pub(super) fn exact_host(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(ip) => ip.parse::<Ipv6Addr>().ok().map(|_| text.to_ascii_lowercase()),
        None => words::is_dns_name(name).then(|| name.to_ascii_lowercase()),
    }
}

fn host_help(text: &str) -> String {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split_once('/').map_or(bare, |(host, _)| host);
    let bare = match bare.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => bare,
    };
    if text == "*" || text.is_empty() {
        "leave `host` out for any host".to_owned()
    } else if !text.is_ascii() {
        "write it in its ASCII form, `xn--…`".to_owned()
    } else if bare != text && exact_host(bare).is_some() {
        format!("write {bare:?}, without scheme, port and path")
    } else if text.contains('*') {
        "a `*` stands for leading labels only: write one like \"*.example.com\"".to_owned()
    } else {
        "write one like \"api.example.com\" or \"*.example.com\"".to_owned()
    }
}

pub(super) fn path(
    written: &file::Route,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<PathMatch> {
    if let Some(calls) = &written.grpc {
        return grpc::path(calls, place, report);
    }
    let (path_key, regex_key) = (place.key("path"), place.key("path_regex"));
    let given = |keys: [&str; 3]| keys.iter().any(|key| place.key(key).written());
    match (&written.path, &written.path_regex) {
        (Some(pattern), Some(regex)) => {
            let message = "a route has `path` or `path_regex`, not both";
            report.error(&regex_key.trail, message, "remove one, or write two routes");
            check_pattern(pattern, &path_key, report);
            check_regex(regex, &regex_key, report);
            None
        }
        (Some(pattern), None) => {
            check_pattern(pattern, &path_key, report).then(|| PathMatch::Pattern(pattern.clone()))
        }
        (None, Some(regex)) => {
            check_regex(regex, &regex_key, report).then(|| PathMatch::Regex(regex.clone()))
        }
        // A refused value has been reported.
        (None, None) if given(["path", "path_regex", "grpc"]) => None,
        (None, None) => {
            let help = "write `path = \"/*\"` for every path";
            report.error(&place.trail, "a route needs `path`, `path_regex` or `grpc`", help);
            None
        }
    }
}

fn check_pattern(pattern: &str, place: &Place<'_>, report: &mut Report<'_>) -> bool {
    let refusals = pattern_refusals(pattern);
    for (message, help) in &refusals {
        report.error(&place.trail, message, help);
    }
    refusals.is_empty()
}

fn pattern_refusals(pattern: &str) -> Vec<Refusal> {
    let Some(rest) = pattern.strip_prefix('/') else {
        let message = format!("{pattern:?} does not begin with `/`");
        return vec![(message, format!("write {:?}", format!("/{pattern}")))];
    };
    if pattern.len() > MAX_PATTERN_LENGTH {
        let help = format!("write at most {MAX_PATTERN_LENGTH} bytes");
        return vec![(format!("a path of {} bytes is too long", pattern.len()), help)];
    }
    let segments: Vec<&str> = rest.split('/').collect();
    let dots = segments.iter().any(|segment| is_dots(segment)).then(|| dots_refusal(&segments));
    dots.into_iter().chain(segment_refusals(&segments)).collect()
}

/// The advice is a path that would be taken.
fn dots_refusal(segments: &[&str]) -> Refusal {
    let help = match without_dots(segments) {
        Some(path) if pattern_refusals(&path).is_empty() => format!("write {path:?}"),
        Some(_) => "leave them out".to_owned(),
        None => "write a path that does not climb above the root".to_owned(),
    };
    ("dot segments never reach a route".to_owned(), help)
}

fn segment_refusals(segments: &[&str]) -> Vec<Refusal> {
    let last = segments.len() - 1;
    let (mut names, mut refusals) = (Vec::new(), Vec::new());
    for (position, segment) in segments.iter().enumerate() {
        match parameter(segment) {
            Some(name) if names.contains(&name) => {
                let message = format!("two parameters are named {name:?}");
                refusals.push((message, "give each a name of its own".to_owned()));
            }
            Some(name) => names.push(name),
            None if *segment == "*" && position == last => {}
            None => refusals.extend(segment_refusal(segment, position == last)),
        }
    }
    let has_variable = !names.is_empty() || segments.last() == Some(&"*");
    if names.len() > MAX_PATH_PARAMETERS {
        let help = format!("write at most {MAX_PATH_PARAMETERS}");
        refusals.push((format!("{} path parameters are too many", names.len()), help));
    }
    if has_variable && segments.len() > MAX_PATTERN_SEGMENTS {
        let help = format!("write at most {MAX_PATTERN_SEGMENTS}, or a `path_regex`");
        let message = format!("{} segments are too many for a pattern", segments.len());
        refusals.push((message, help));
    }
    refusals
}

pub(super) fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// The path as it reaches routes (RFC 3986 section 5.2.4); `None` where it is refused.
fn without_dots(segments: &[&str]) -> Option<String> {
    let mut kept = Vec::new();
    for segment in segments {
        match *segment {
            "." => {}
            ".." => drop(kept.pop()?),
            segment => kept.push(segment),
        }
    }
    if segments.last().is_some_and(|last| is_dots(last)) {
        kept.push("");
    }
    Some(format!("/{}", kept.join("/")))
}

/// The name in a `{name}` segment.
fn parameter(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (!name.is_empty() && name.bytes().all(part)).then_some(name)
}

fn segment_refusal(segment: &str, is_last: bool) -> Option<Refusal> {
    let refuse = |message: String, help: &str| Some((message, help.to_owned()));
    if segment.contains('*') {
        let help = match (segment, is_last) {
            ("**", true) => "write `/*` at the end: it takes all the rest",
            ("*", _) => "write `{name}` for one segment; `*` stands last",
            _ => "write `*` as the whole last segment, or a `path_regex`",
        };
        return refuse(format!("a `*` is a whole segment and the last, unlike {segment:?}"), help);
    }
    if segment.contains(['{', '}']) {
        let help =
            "write a whole segment like `{id}` (letters, digits, `_`, `-`), or a `path_regex`";
        return refuse(format!("{segment:?} is not a parameter"), help);
    }
    if segment.starts_with(':') && segment.len() > 1 {
        let help = format!("write `{{{}}}`", &segment[1..]);
        return Some((format!("{segment:?} is not a parameter here"), help));
    }
    if let Some(c) = segment.chars().find(|c| !c.is_ascii_graphic() || "?#\\".contains(*c)) {
        let help = match c {
            '?' => "match query parameters with `query = { name = \"value\" }`".to_owned(),
            c => format!("write {:?}", encoded(c)),
        };
        return Some((format!("no path holds {c:?} as it is"), help));
    }
    encoding_refusal(segment)
}

pub(super) fn encoded(c: char) -> String {
    let mut bytes = [0; 4];
    c.encode_utf8(&mut bytes).bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Triplets must be as the canonical path has them, or the route would match nothing.
pub(super) fn encoding_refusal(segment: &str) -> Option<Refusal> {
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        let triplet = rest.get(at..at + 3).unwrap_or("%");
        let byte = triplet.get(1..).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let hex = triplet.bytes().skip(1).all(|b| b.is_ascii_hexdigit());
        let Some(byte) = byte.filter(|_| hex) else {
            return Some(("a `%` begins two hex digits".to_owned(), "write %25".to_owned()));
        };
        if byte == 0 {
            let message = "a path with %00 is refused before it reaches a route".to_owned();
            return Some((message, "remove it".to_owned()));
        }
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            let message = format!("{triplet} never reaches a route: it is decoded before");
            return Some((message, format!("write {:?}", char::from(byte))));
        }
        if triplet.bytes().any(|b| b.is_ascii_lowercase()) {
            let message = format!("{triplet} never reaches a route: its digits are upper-case");
            return Some((message, format!("write {}", triplet.to_ascii_uppercase())));
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    None
}

/// The parameters of a path, in order; of an expression its named groups.
pub(super) fn parameters(path: &PathMatch) -> Vec<String> {
    match path {
        PathMatch::Pattern(pattern) => {
            pattern.split('/').filter_map(parameter).map(str::to_owned).collect()
        }
        PathMatch::Regex(text) => {
            let regex = regex(text).ok();
            let names = regex.iter().flat_map(|regex| regex.capture_names().flatten());
            names.map(str::to_owned).collect()
        }
    }
}

/// As the route room compiles it: bytes, anchored at both ends.
pub(super) fn regex(text: &str) -> Result<regex::bytes::Regex, regex::Error> {
    let build = |text: &str| {
        regex::bytes::RegexBuilder::new(text)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(MAX_REGEX_SIZE)
            .dfa_size_limit(MAX_REGEX_SIZE)
            .build()
    };
    // Alone first: an unbalanced `a)|(?:b` would slip out of the anchors' group.
    build(text)?;
    build(&format!(r"\A(?:{text})\z"))
}

fn check_regex(text: &str, place: &Place<'_>, report: &mut Report<'_>) -> bool {
    if text.len() > MAX_PATTERN_LENGTH {
        let message = format!("an expression of {} bytes is too long", text.len());
        report.error(&place.trail, message, format!("write at most {MAX_PATTERN_LENGTH} bytes"));
        return false;
    }
    let (message, help) = match regex(text) {
        Ok(_) => return true,
        Err(regex::Error::CompiledTooBig(_)) => (
            "the regular expression is too large once compiled".to_owned(),
            "write smaller repetitions, or several routes",
        ),
        Err(error) => {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.trim().trim_start_matches("error: ");
            let message = format!("this is not a regular expression: {why}");
            (message, "see https://docs.rs/regex/#syntax; in TOML a '…' string keeps backslashes")
        }
    };
    report.error(&place.trail, message, help);
    false
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

pub(super) fn methods(
    written: &[String],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<String> {
    if written.is_empty() && place.given() {
        report.error(&place.trail, "no method is listed", "leave `methods` out for any method");
    }
    for (position, method) in written.iter().enumerate() {
        let trail = place.item(position).trail;
        let near = suggest::nearest(method, METHODS.into_iter());
        if let Some((message, help)) = method_refusal(method) {
            report.error(&trail, message, help);
        } else if let Some(near) = near.filter(|near| *near != method) {
            let message = format!("{method:?} is no method in use");
            report.warning(&trail, message, format!("write {near:?}"));
        } else if written.iter().take(position).any(|earlier| earlier == method) {
            report.warning(&trail, format!("{method:?} is listed twice"), "list it once");
        }
    }
    written.to_vec()
}

/// What is wrong with a method.
pub(super) fn method_refusal(method: &str) -> Option<Refusal> {
    let upper = method.to_ascii_uppercase();
    if upper == "CONNECT" {
        let message = "the gateway opens no tunnels: CONNECT is always refused";
        Some((message.to_owned(), "remove it".to_owned()))
    } else if !words::is_token(method) || method.len() > 32 {
        Some((format!("{method:?} is not a method"), "write one like \"GET\"".to_owned()))
    } else if upper != *method && METHODS.contains(&upper.as_str()) {
        let message = format!("{method:?} is not {upper:?}: methods are case-sensitive");
        Some((message, format!("write {upper:?}")))
    } else {
        None
    }
}

pub(super) fn headers(
    written: &BTreeMap<String, file::ValueMatch>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<ValueMatch> {
    let mut matches: Vec<ValueMatch> = Vec::with_capacity(written.len());
    for (key, test) in written {
        let trail = place.name(key);
        let name = words::field_name(key, &trail, report);
        if name == "host" {
            report.error(&trail, "the Host field is matched by `host`", "write `host = \"…\"`");
        }
        if name == "client-cert" || name == "client-cert-chain" {
            let message = "what a client writes there is never believed";
            report.error(&trail, message, "write `client_certificate = { … }`");
        }
        if matches.iter().any(|earlier| earlier.name == name) {
            let message = format!("{name:?} is there in another case: names have no case");
            report.error(&trail, message, "write it once");
        }
        matches.extend(value_match(name, test, &place.key(key), report));
    }
    matches
}

pub(super) fn query(
    written: &BTreeMap<String, file::ValueMatch>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<ValueMatch> {
    let mut matches = Vec::with_capacity(written.len());
    for (name, test) in written {
        if name.is_empty() {
            report.error(&place.name(name), "a query parameter's name is empty", "write a name");
        }
        matches.extend(value_match(name.clone(), test, &place.key(name), report));
    }
    matches
}

fn value_match(
    name: String,
    written: &file::ValueMatch,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<ValueMatch> {
    let tests = match written {
        file::ValueMatch::Exact(text) => {
            return Some(ValueMatch { name, test: ValueTest::Exact(text.clone()) });
        }
        file::ValueMatch::Test(tests) => tests,
    };
    let file::ValueTests { exact, prefix, regex, present } = tests;
    let given = ["exact", "prefix", "regex", "present"].map(|key| place.key(key).given());
    if given.into_iter().filter(|given| *given).count() != 1 {
        if place.damaged() {
            return None;
        }
        let help = "write one of `exact`, `prefix`, `regex` and `present`";
        report.error(&place.trail, "a value has exactly one test", help);
        return None;
    }
    let test = if let Some(text) = exact {
        ValueTest::Exact(text.clone())
    } else if let Some(text) = prefix {
        ValueTest::Prefix(text.clone())
    } else if let Some(text) = regex {
        check_regex(text, &place.key("regex"), report).then(|| ValueTest::Regex(text.clone()))?
    } else {
        ValueTest::Present((*present)?)
    };
    Some(ValueMatch { name, test })
}
