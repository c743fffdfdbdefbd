//! Routes that no request can reach, because another one takes them all.
//!
//! It follows the order of precedence that docs/CONFIG.md describes: within one host and one path
//! the routes with more matchers come first, then those that stand first in the file; regular
//! expressions come after all patterns of their host.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::slice::from_ref;

use super::matcher;
use super::route::host_text;
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::identity::ClientTest;
use crate::config::jwt::ClaimTest;
use crate::config::settings::{HostMatch, PathMatch, Route, ValueMatch, ValueTest};

/// Routes that compare with one another: those of one host and one path.
type Group<'r> = Vec<&'r (usize, Route)>;

/// A host and the form of a path.
type Spot<'r> = (&'r HostMatch, Cow<'r, str>);

pub(super) fn unreachable(routes: &[(usize, Route)], place: &Place<'_>, report: &mut Report<'_>) {
    let mut patterns: HashMap<Spot<'_>, Group<'_>> = HashMap::new();
    let mut regexes: HashMap<Spot<'_>, Group<'_>> = HashMap::new();
    for entry in routes {
        let (groups, form) = match &entry.1.path {
            PathMatch::Pattern(pattern) => (&mut patterns, form(pattern)),
            PathMatch::Regex(regex) => (&mut regexes, Cow::Borrowed(regex.as_str())),
        };
        groups.entry((&entry.1.host, form)).or_default().push(entry);
    }
    for group in patterns.values_mut().chain(regexes.values_mut()) {
        within(group, place, report);
    }
    for ((host, _), group) in &regexes {
        for entry in group {
            behind_catch_all(host, entry, &patterns, place, report);
        }
    }
}

/// A pattern without its parameters' names.
fn form(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains('{') {
        return Cow::Borrowed(pattern);
    }
    let segments = pattern.split('/').map(|s| if s.starts_with('{') { "{}" } else { s });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// How many routes of a group are compared with each: groups are small in any honest file, and a
/// check may not take quadratic time on others.
const COMPARED: usize = 64;

fn within(group: &mut Group<'_>, place: &Place<'_>, report: &mut Report<'_>) {
    group.sort_by_key(|(position, route)| (Reverse(matchers(route)), *position));
    for (later, entry) in group.iter().enumerate() {
        let earlier = group.get(later.saturating_sub(COMPARED)..later).unwrap_or_default();
        if let Some(first) = earlier.iter().find(|first| covers(&first.1, &entry.1)) {
            tell(first, entry, place, report);
        } else if let Some(several) = together(earlier, &entry.1) {
            tell_of_several(&several, entry, place, report);
        }
    }
}

/// Routes that take all requests of a later one together, where none does alone: each some of its
/// methods, or one those that have a value and the other those that have not. What they come to in
/// other ways is not looked for.
fn together<'r>(earlier: &[&'r (usize, Route)], last: &Route) -> Option<Vec<&'r (usize, Route)>> {
    by_methods(earlier, last).or_else(|| by_presence(earlier, last))
}

fn by_methods<'r>(earlier: &[&'r (usize, Route)], last: &Route) -> Option<Vec<&'r (usize, Route)>> {
    let alike = || earlier.iter().copied().filter(|entry| covers_but_methods(&entry.1, last));
    let takes = |method| alike().find(|entry| methods_cover(&entry.1.methods, from_ref(method)));
    let mut found: Vec<_> = last.methods.iter().map(takes).collect::<Option<_>>()?;
    found.sort_by_key(|(position, _)| *position);
    found.dedup_by_key(|(position, _)| *position);
    (!found.is_empty()).then_some(found)
}

fn by_presence<'r>(
    earlier: &[&'r (usize, Route)],
    last: &Route,
) -> Option<Vec<&'r (usize, Route)>> {
    let halves: Vec<_> =
        earlier.iter().copied().filter_map(|e| Some((asks_for_half(&e.1, last)?, e))).collect();
    let with = halves.iter().filter(|((_, there), _)| *there);
    let mut pairs = with.filter_map(|((what, _), one)| {
        let other = halves.iter().find(|((same, there), _)| same == what && !there)?;
        Some(vec![*one, other.1])
    });
    pairs.next()
}

/// What a value is of: a field, or a parameter of the query (`true`), by name.
type Spoken<'r> = (bool, &'r str);

/// The one value without which `a` covers `b`, and whether it is to be there.
fn asks_for_half<'r>(a: &'r Route, b: &Route) -> Option<(Spoken<'r>, bool)> {
    let beyond = |a: &'r [ValueMatch], b: &[ValueMatch], query| {
        let lacks = a.iter().filter(|a| !values_cover(from_ref(*a), b));
        lacks.map(move |a| (query, a)).collect::<Vec<_>>()
    };
    let headers = beyond(&a.headers, &b.headers, false);
    let all = [headers, beyond(&a.query, &b.query, true)].concat();
    let rest = methods_cover(&a.methods, &b.methods) && covers_by_client(a, b);
    match all.as_slice() {
        [(query, ValueMatch { name, test: ValueTest::Present(there) })] if rest => {
            Some(((*query, name), *there))
        }
        _ => None,
    }
}

fn tell_of_several(
    several: &[&(usize, Route)],
    entry: &(usize, Route),
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let named: Vec<String> = several
        .iter()
        .map(|(position, route)| {
            let line = report.line(place.item(*position).trail.at());
            format!("{:?} (line {line})", route.name)
        })
        .collect();
    let message =
        format!("shadowed: the routes {} together take all its requests", named.join(", "));
    let help = "put this one first, or give it another matcher";
    report.warning(&place.item(entry.0).trail, message, help);
}

fn tell(
    first: &(usize, Route),
    second: &(usize, Route),
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let first_place = place.item(first.0);
    let line = report.line(first_place.trail.at());
    let name = &first.1.name;
    let item = place.item(second.0);
    if covers(&second.1, &first.1) {
        let message = format!("unreachable: the route {name:?} (line {line}) matches the same");
        report.error(&item.trail, message, "remove one of them, or change what it matches");
    } else {
        let message = format!("shadowed: the route {name:?} (line {line}) takes all its requests");
        let help = "put this one first, or give it another matcher";
        report.warning(&item.trail, message, help);
    }
}

/// How many matchers a route has beside host and path.
fn matchers(route: &Route) -> usize {
    usize::from(!route.methods.is_empty())
        + route.headers.len()
        + route.query.len()
        + route.client_certificate.len()
        + route.claims.len()
}

/// Whether every request that `b` takes is one that `a` takes (same host and path).
fn covers(a: &Route, b: &Route) -> bool {
    methods_cover(&a.methods, &b.methods) && covers_but_methods(a, b)
}

fn covers_but_methods(a: &Route, b: &Route) -> bool {
    values_cover(&a.headers, &b.headers)
        && values_cover(&a.query, &b.query)
        && covers_by_client(a, b)
}

/// As far as it is of the client.
fn covers_by_client(a: &Route, b: &Route) -> bool {
    clients_cover(&a.client_certificate, &b.client_certificate) && claims_cover(a, b)
}

/// Claims are of the token that the route asks for.
fn claims_cover(a: &Route, b: &Route) -> bool {
    let covers = |a: &ClaimTest, b: &ClaimTest| a.0 == b.0 && b.1.iter().all(|v| a.1.contains(v));
    let same_token = a.token_source() == b.token_source();
    a.claims.is_empty()
        || same_token && a.claims.iter().all(|a| b.claims.iter().any(|b| covers(a, b)))
}

fn clients_cover(a: &[ClientTest], b: &[ClientTest]) -> bool {
    let covers = |a: &ClientTest, b: &ClientTest| {
        a.attribute == b.attribute && b.any_of.iter().all(|value| a.any_of.contains(value))
    };
    a.iter().all(|a| b.iter().any(|b| covers(a, b)))
}

/// GET takes HEAD along.
fn methods_cover(a: &[String], b: &[String]) -> bool {
    let takes = |m: &String| a.contains(m) || (m == "HEAD" && a.iter().any(|get| get == "GET"));
    a.is_empty() || (!b.is_empty() && b.iter().all(takes))
}

fn values_cover(a: &[ValueMatch], b: &[ValueMatch]) -> bool {
    a.iter().all(|a| b.iter().any(|b| a.name == b.name && value_covers(&a.test, &b.test)))
}

fn value_covers(a: &ValueTest, b: &ValueTest) -> bool {
    match (a, b) {
        (a, b) if a == b => true,
        (ValueTest::Present(true), ValueTest::Present(there)) => *there,
        (ValueTest::Present(true), _) => true,
        (ValueTest::Prefix(a), ValueTest::Prefix(b) | ValueTest::Exact(b)) => b.starts_with(a),
        (ValueTest::Regex(a), ValueTest::Exact(b)) => {
            matcher::regex(a).is_ok_and(|regex| regex.is_match(b.as_bytes()))
        }
        _ => false,
    }
}

/// A regular expression behind a catch-all that takes every path it can match.
fn behind_catch_all(
    host: &HostMatch,
    entry: &(usize, Route),
    patterns: &HashMap<Spot<'_>, Group<'_>>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let PathMatch::Regex(regex) = &entry.1.path else { return };
    let literal = literal_prefix(regex);
    for (slash, _) in literal.char_indices().filter(|(_, c)| *c == '/') {
        let prefix = literal.get(..=slash).unwrap_or_default();
        let Some(group) = patterns.get(&(host, Cow::Owned(format!("{prefix}*")))) else { continue };
        let Some(first) = group.iter().take(COMPARED).find(|f| covers(&f.1, &entry.1)) else {
            continue;
        };
        let line = report.line(place.item(first.0).trail.at());
        let message = format!(
            "shadowed: the route {:?} (line {line}) takes every path below {prefix:?} of {} before \
             regular expressions are tried",
            first.1.name,
            host_text(host)
        );
        let item = place.item(entry.0);
        let help = "make that one a regular expression too, further down";
        report.warning(&item.key("path_regex").trail, message, help);
        return;
    }
}

/// Text that every match begins with. A path always begins with `/`.
fn literal_prefix(regex: &str) -> &str {
    let special = |c: char| r".+*?()|[]{}^$\".contains(c);
    let end = regex.find(special).unwrap_or(regex.len());
    // The character before a repetition may be missing in a match.
    let repeated = regex.get(end..).is_some_and(|rest| rest.starts_with(['*', '?', '{']));
    let end = if repeated { regex.get(..end).and_then(|r| r.rfind('/')).unwrap_or(0) } else { end };
    let literal = regex.get(..end).unwrap_or_default();
    if regex.contains('|') || !literal.starts_with('/') { "/" } else { literal }
}
