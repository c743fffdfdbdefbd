//! The compiled table and its lookup.

use std::collections::HashMap;

use regex::bytes::Regex;

use super::hash;
use super::hosts::{Hosts, Scope};
use super::leaf::{Candidate, Candidates, Leaf};
use super::matchers::Verdict;
use super::methods::{AllowedMethods, MethodNames, MethodSet};
use super::params::Params;
use super::request::Request;
use super::segments::Segments;
use super::shape::Shape;
use super::text_map::TextMap;

/// All routes' matchers, immutable. Routes are known by their index in the slice that
/// [`Table::build`] was given.
pub struct Table {
    pub(super) hosts: Hosts,
    /// Plain paths, each host's its own.
    pub(super) plain: TextMap<Leaf>,
    /// Patterns by their literal segments, each host's its own.
    pub(super) patterns: TextMap<ShapedLeaf>,
    /// Lists of shapes, by precedence; hosts with the same shapes share one.
    pub(super) shapes: Box<[Shape]>,
    /// Segments of the longest pattern.
    pub(super) deepest: usize,
    /// Each host's one after another, in file order.
    pub(super) regexes: Box<[RegexRoute]>,
    pub(super) candidates: Candidates,
    pub(super) methods: MethodNames,
    /// A route's place in `names`.
    pub(super) names_of: Box<[u32]>,
    /// Lists of parameter names; the first is empty.
    pub(super) names: Box<[Box<[String]>]>,
    /// Where routes that test claims have their tokens from.
    pub(super) sources: HashMap<u32, u16>,
}

/// A leaf among patterns: two shapes may have the same literal segments.
pub(super) struct ShapedLeaf {
    pub(super) shape: Shape,
    pub(super) leaf: Leaf,
}

/// A route whose path is a regular expression.
pub(super) struct RegexRoute {
    pub(super) regex: Regex,
    /// The named groups.
    pub(super) groups: Box<[u16]>,
    pub(super) leaf: Leaf,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This route: its index, and its id.
    Route(u32, u32),
    /// This route, if the token that it asks for says what it must: to be looked at, and asked again.
    Token(u32),
    /// Nothing, but other methods would have found something: 405.
    MethodNotAllowed(AllowedMethods),
    /// Nothing: 404.
    NotFound,
}

/// A path on its way through the hosts that a request may belong to.
struct Path<'p> {
    text: &'p [u8],
    hash: u64,
    /// Split when a pattern is first compared.
    segments: Option<Segments>,
}

/// By which kind of matcher a route was found: it knows where the parameters are.
enum By<'t> {
    Text,
    Shape(Shape),
    Regex(&'t RegexRoute),
}

impl Table {
    /// The route a request belongs to, and its path parameters.
    pub fn find(&self, request: &Request<'_>, params: &mut Params) -> Found {
        params.clear();
        let method = self.methods.of(request.method, request.method_text);
        let (mut other_method, mut asks) = (false, false);
        let mut path = self.path(request.path);
        let found = self.walk(request.host, &mut path, |candidate| {
            if !self.candidates.methods(candidate).meets(method) {
                other_method = true;
                return false;
            }
            let verdict = self.candidates.verdict(candidate, request);
            asks = verdict == Verdict::Asks;
            verdict != Verdict::Fails
        });
        match found {
            Some((found, _)) if asks => Found::Token(found.route),
            Some((found, by)) => {
                path.capture(&by, params);
                Found::Route(found.route, found.id)
            }
            None if other_method => self.method_not_allowed(request),
            None => Found::NotFound,
        }
    }

    /// A route's parameter names in order; the catch-all's, last, is `*`.
    pub fn parameter_names(&self, route: u32) -> &[String] {
        let list = self.names_of.get(route as usize).copied().unwrap_or(0);
        self.names.get(list as usize).map_or(&[], |names| names)
    }

    /// The place of a named parameter in [`Params`].
    pub fn parameter_index(&self, route: u32, name: &str) -> Option<usize> {
        self.parameter_names(route).iter().position(|known| known == name)
    }

    /// Appends the value of the Allow field (RFC 9110 section 10.2.1).
    pub fn write_allow(&self, allowed: AllowedMethods, out: &mut Vec<u8>) {
        self.methods.write(allowed.0, out);
    }

    /// Bytes it takes, without what the `regex` crate keeps for each compiled expression (at
    /// most a few times `MAX_REGEX_SIZE`).
    pub fn memory(&self) -> usize {
        let names = self.names.iter().flatten();
        size_of::<Self>()
            + self.hosts.memory()
            + self.plain.memory()
            + self.patterns.memory()
            + size_of_val(&*self.shapes)
            + size_of_val(&*self.regexes)
            + self.candidates.memory()
            + self.methods.memory()
            + size_of_val(&*self.names_of)
            + size_of_val(&*self.names)
            + self.sources.capacity() * size_of::<(u32, u16)>()
            + names.map(|name| size_of::<String>() + name.capacity()).sum::<usize>()
    }

    fn path<'p>(&self, text: &'p [u8]) -> Path<'p> {
        let hash = if text.len() <= self.plain.longest() { hash::of(text) } else { 0 };
        Path { text, hash, segments: None }
    }

    /// Visits the routes whose host and path match, in order of precedence, until one is
    /// accepted.
    fn walk(
        &self,
        host: &[u8],
        path: &mut Path<'_>,
        mut accept: impl FnMut(&Candidate) -> bool,
    ) -> Option<(Candidate, By<'_>)> {
        let mut accepted = |leaf: &Leaf| {
            let mut candidates = leaf.candidates(&self.candidates);
            candidates.find(|candidate| accept(candidate)).copied()
        };
        self.hosts.find(host, |scope, host| {
            let plain = self.plain_leaf(scope, host, path).and_then(&mut accepted);
            plain
                .map(|found| (found, By::Text))
                .or_else(|| self.find_pattern(scope, host, path, &mut accepted))
                .or_else(|| self.find_regex(scope, path.text, &mut accepted))
        })
    }

    fn plain_leaf(&self, scope: &Scope, host: u64, path: &Path<'_>) -> Option<&Leaf> {
        if path.text.len() > scope.longest_plain.into() {
            return None;
        }
        self.plain.find(hash::join(host, path.hash), scope.id, |_, text| text == path.text)
    }

    fn find_pattern(
        &self,
        scope: &Scope,
        host: u64,
        path: &mut Path<'_>,
        accepted: &mut impl FnMut(&Leaf) -> Option<Candidate>,
    ) -> Option<(Candidate, By<'_>)> {
        let shapes = &self.shapes[scope.shapes as usize..][..scope.shape_count.into()];
        if shapes.is_empty() || path.text.first() != Some(&b'/') {
            return None;
        }
        let text = path.text;
        let segments = path.segments.get_or_insert_with(|| Segments::split(text, self.deepest));
        shapes.iter().filter(|shape| shape.fits(segments)).find_map(|shape| {
            let found = self.patterns.find(shape.hash(host, segments), scope.id, |found, key| {
                found.shape == *shape && shape.is_text(key, text, segments)
            });
            accepted(&found?.leaf).map(|found| (found, By::Shape(*shape)))
        })
    }

    fn find_regex(
        &self,
        scope: &Scope,
        path: &[u8],
        accepted: &mut impl FnMut(&Leaf) -> Option<Candidate>,
    ) -> Option<(Candidate, By<'_>)> {
        let regexes = &self.regexes[scope.regexes as usize..][..scope.regex_count.into()];
        let mut matching = regexes.iter().filter(|r| r.regex.is_match(path));
        matching.find_map(|r| accepted(&r.leaf).map(|found| (found, By::Regex(r))))
    }

    /// Where routes with this one's authentication have their tokens from.
    pub fn source(&self, route: u32) -> Option<u16> {
        self.sources.get(&route).copied()
    }

    /// No token is looked at to tell which methods there are.
    #[cold]
    fn method_not_allowed(&self, request: &Request<'_>) -> Found {
        let mut allowed = MethodSet::NONE;
        self.walk(request.host, &mut self.path(request.path), |candidate| {
            if self.candidates.verdict(candidate, request) == Verdict::Holds {
                allowed = allowed.with(self.candidates.methods(candidate));
            }
            false
        });
        match allowed {
            MethodSet::NONE => Found::NotFound,
            set => Found::MethodNotAllowed(AllowedMethods(set)),
        }
    }
}

impl Path<'_> {
    /// Fills in the parameters of the route that matched.
    fn capture(&self, by: &By<'_>, params: &mut Params) {
        match (by, &self.segments) {
            (By::Shape(shape), Some(segments)) => shape.capture(self.text, segments, params),
            (By::Regex(regex), _) => regex.capture(self.text, params),
            _ => {}
        }
    }
}

impl RegexRoute {
    /// A group that took no part in the match is empty.
    fn capture(&self, path: &[u8], params: &mut Params) {
        if self.groups.is_empty() {
            return;
        }
        let captures = self.regex.captures(path);
        for group in &self.groups {
            let group = captures.as_ref().and_then(|c| c.get((*group).into()));
            let (start, end) = group.map_or((0, 0), |group| (group.start(), group.end()));
            params.push(start, end);
        }
    }
}
