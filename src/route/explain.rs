//! Why a request takes the route it takes, for people. Linear over all routes.

use std::cmp::Reverse;
use std::fmt;

use super::expression::{self, Expressions};
use super::hosts;
use super::matchers::{self, Failed, Tests, decode, parameters};
use super::methods::MethodNames;
use super::params::Params;
use super::pattern::Pattern;
use super::request::Request;
use super::table::{Found, Table};
use crate::config::{ClaimTest, ClientTest, HostMatch, PathMatch, Route, ValueMatch, ValueTest};
use crate::http::values;
use crate::limits::MAX_EXPLAINED;

/// What became of a request's lookup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// The route found.
    pub matched: Option<u32>,
    /// Routes that nearly matched, and why not: in order of precedence, those for other hosts or
    /// slightly other paths last. At most `MAX_EXPLAINED`.
    pub considered: Vec<(u32, Reason)>,
    /// How many more there are.
    pub omitted: usize,
}

/// Why a route was not the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It does not take this method.
    Method {
        /// The request's.
        given: String,
        /// What it takes.
        allowed: String,
    },
    /// A header matcher does not hold.
    Header(Mismatch),
    /// A query matcher does not hold.
    Query(Mismatch),
    /// The client's certificate does not say what it must, or there is none.
    Client(Mismatch),
    /// The token does not say what it must, or there is none.
    Claim(Mismatch),
    /// It matches too, but another comes first by the order of precedence.
    ComesLater,
    /// It matches but for the host.
    OtherHost {
        /// Its own, as written.
        wanted: String,
    },
    /// It would match with one slash more, or less, at the end of the path.
    TrailingSlash,
    /// It would match if letters' case were ignored.
    LetterCase,
}

/// A matcher that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Field or parameter name.
    pub name: String,
    /// What its value must be, in words.
    pub wanted: String,
    /// The first value it has in the request.
    pub given: Option<String>,
}

impl Table {
    /// Explains a lookup. `routes` are those the table was built from.
    pub fn explain(&self, routes: &[Route], request: &Request<'_>) -> Explanation {
        let matched = match self.find(request, &mut Params::default()) {
            Found::Route(route, _) => Some(route),
            Found::Token(_) | Found::MethodNotAllowed(_) | Found::NotFound => None,
        };
        let others = routes.iter().zip(0..).filter(|(_, index)| Some(*index) != matched);
        let near = others.filter_map(|(route, index)| Some((index, reason(route, request)?)));
        let mut considered: Vec<(u32, Reason)> = near.collect();
        considered.sort_by_cached_key(|(index, why)| {
            (why.remoteness(), rank(*index, &routes[*index as usize]))
        });
        let omitted = considered.len().saturating_sub(MAX_EXPLAINED);
        considered.truncate(MAX_EXPLAINED);
        Explanation { matched, considered, omitted }
    }
}

impl Reason {
    fn remoteness(&self) -> u8 {
        match self {
            Self::Method { .. }
            | Self::Header(_)
            | Self::Query(_)
            | Self::Client(_)
            | Self::Claim(_)
            | Self::ComesLater => 0,
            Self::OtherHost { .. } => 1,
            Self::TrailingSlash | Self::LetterCase => 2,
        }
    }
}

/// Why a route (that is not the one found) nearly matches; `None` where it does not nearly.
fn reason(route: &Route, request: &Request<'_>) -> Option<Reason> {
    let host = hosts::matches(&route.host, request.host);
    if host && !path_matches(&route.path, request.path) {
        return nearly_path(&route.path, request.path);
    }
    if !host {
        let same = path_matches(&route.path, request.path) && is_refused(route, request).is_none();
        return same.then(|| Reason::OtherHost { wanted: host_text(&route.host) });
    }
    Some(is_refused(route, request).unwrap_or(Reason::ComesLater))
}

fn is_refused(route: &Route, request: &Request<'_>) -> Option<Reason> {
    let mut names = MethodNames::default();
    let methods = names.add(&route.methods).ok()?;
    if !methods.meets(names.of(request.method, request.method_text)) {
        let mut allowed = Vec::new();
        names.write(methods, &mut allowed);
        let (given, allowed) = (text(request.method_text), text(&allowed));
        return Some(Reason::Method { given, allowed });
    }
    let tests = Tests::compile(route, 0, &mut Expressions::default()).ok()??;
    Some(match tests.failed(request)? {
        Failed::Header(at) => {
            let matcher = &route.headers[at];
            let mut given = values(request.fields, request.buf, matcher.name.as_bytes());
            Reason::Header(mismatch(matcher, given.next().map(text)))
        }
        Failed::Query(at) => {
            let matcher = &route.query[at];
            let query = request.query.unwrap_or_default();
            let mut given = parameters(query, matcher.name.as_bytes());
            Reason::Query(mismatch(matcher, given.next().map(|raw| text(&decode(raw)))))
        }
        Failed::Client(at) => {
            let ClientTest { attribute, any_of } = &route.client_certificate[at];
            let given = request.identity.map(|identity| identity.text(*attribute).to_owned());
            let name = attribute.key().to_owned();
            let wanted = format!("is \"{}\"", any_of.join("\" or \""));
            Reason::Client(Mismatch { name, wanted, given })
        }
        Failed::Claim(at) => {
            let (name, any_of): &ClaimTest = &route.claims[at];
            let wanted = format!("is \"{}\"", any_of.join("\" or \""));
            Reason::Claim(Mismatch { name: name.clone(), wanted, given: None })
        }
    })
}

fn path_matches(matcher: &PathMatch, path: &[u8]) -> bool {
    match matcher {
        PathMatch::Pattern(pattern) => Pattern::parse(pattern).is_ok_and(|p| p.matches(path)),
        PathMatch::Regex(regex) => expression::compile(regex).is_ok_and(|r| r.is_match(path)),
    }
}

fn nearly_path(matcher: &PathMatch, path: &[u8]) -> Option<Reason> {
    let slash = match path.strip_suffix(b"/") {
        Some(shorter) => shorter.to_vec(),
        None => [path, b"/"].concat(),
    };
    if path_matches(matcher, &slash) {
        return Some(Reason::TrailingSlash);
    }
    let PathMatch::Pattern(pattern) = matcher else { return None };
    let lower = PathMatch::Pattern(pattern.to_ascii_lowercase());
    path_matches(&lower, &path.to_ascii_lowercase()).then_some(Reason::LetterCase)
}

/// A route's place in the order of precedence, host first. Among routes that match one request
/// the smallest is the one to take.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: HostRank,
    path: PathRank,
    any_method: bool,
    matchers: Reverse<usize>,
    index: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Wildcard(Reverse<usize>),
    Any,
}

/// In patterns, `true` stands for a parameter and so comes later than a literal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Plain,
    Parameters(Vec<bool>),
    CatchAll(Reverse<usize>, Vec<bool>),
    Regex(u32),
}

fn rank(index: u32, route: &Route) -> Rank {
    let host = match &route.host {
        HostMatch::Exact(_) => HostRank::Exact,
        HostMatch::Wildcard(suffix) => HostRank::Wildcard(Reverse(suffix.len())),
        HostMatch::Any => HostRank::Any,
    };
    let path = match &route.path {
        PathMatch::Regex(_) => PathRank::Regex(index),
        PathMatch::Pattern(text) => Pattern::parse(text).map_or(PathRank::Plain, path_rank),
    };
    let matchers = Reverse(matchers::count(route));
    Rank { host, path, any_method: route.methods.is_empty(), matchers, index }
}

fn path_rank(pattern: Pattern<'_>) -> PathRank {
    if pattern.is_plain() {
        return PathRank::Plain;
    }
    let segments: Vec<bool> = pattern.segments.iter().map(|s| s.is_parameter).collect();
    if pattern.catch_all {
        PathRank::CatchAll(Reverse(segments.len()), segments)
    } else {
        PathRank::Parameters(segments)
    }
}

fn mismatch(matcher: &ValueMatch, given: Option<String>) -> Mismatch {
    let wanted = match &matcher.test {
        ValueTest::Exact(text) => format!("is \"{text}\""),
        ValueTest::Prefix(text) => format!("begins with \"{text}\""),
        ValueTest::Regex(text) => format!("matches \"{text}\""),
        ValueTest::Present(true) => "is there".into(),
        ValueTest::Present(false) => "is not there".into(),
    };
    Mismatch { name: matcher.name.clone(), wanted, given }
}

fn host_text(host: &HostMatch) -> String {
    match host {
        HostMatch::Any => "any host".into(),
        HostMatch::Exact(text) => text.clone(),
        HostMatch::Wildcard(suffix) => format!("*{suffix}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, and the request ", self.name, self.wanted)?;
        match &self.given {
            Some(given) => write!(f, "has {given:?}"),
            None => f.write_str("has none"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method { given, allowed } => {
                write!(f, "takes the methods {allowed}, not {given}")
            }
            Self::Header(mismatch) => write!(f, "wants that the header {mismatch}"),
            Self::Query(mismatch) => write!(f, "wants that the query parameter {mismatch}"),
            Self::Client(mismatch) => {
                write!(f, "wants that the client certificate's {mismatch}")
            }
            Self::Claim(Mismatch { name, wanted, .. }) => {
                write!(f, "wants that the token's claim {name} {wanted}, and it does not say so")
            }
            Self::ComesLater => f.write_str("matches too, but comes later by precedence"),
            Self::OtherHost { wanted } => write!(f, "is for another host ({wanted})"),
            Self::TrailingSlash => {
                f.write_str("would match but for the slash at the end of the path")
            }
            Self::LetterCase => f.write_str("would match but for upper and lower case"),
        }
    }
}
