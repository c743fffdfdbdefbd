//! The compiled table and its lookup.

use regex::bytes::Regex;

use super::hash;
use super::hosts::{Hosts, Scope};
use super::matchers::Tests;
use super::methods::{AllowedMethods, MethodNames, MethodSet};
use super::params::Params;
use super::text_map::TextMap;
use super::tree::{NONE, Segments, Tree};
use crate::http::{Field, Method, Span};

/// All routes' matchers, immutable. Routes are known by their index in the slice that
/// [`Table::build`] was given.
pub struct Table {
    pub(super) hosts: Hosts,
    /// Leaves of plain paths; the owner is the host's root.
    pub(super) plain: TextMap<u32>,
    pub(super) tree: Tree,
    pub(super) regexes: Box<[RegexRoute]>,
    /// The routes of each leaf in order of precedence, leaf after leaf; a leaf is the index of
    /// its first.
    pub(super) candidates: Box<[Candidate]>,
    pub(super) tests: Box<[Tests]>,
    pub(super) methods: MethodNames,
    /// A route's place in `shapes`.
    pub(super) shape_of: Box<[u32]>,
    pub(super) shapes: Box<[Shape]>,
}

/// A route at a leaf.
pub(super) struct Candidate {
    pub(super) methods: MethodSet,
    pub(super) route: u32,
    /// Its header and query tests, or [`NONE`].
    tests: u32,
}

/// The mark of a leaf's last candidate, in the upper bit of `tests`.
const LAST: u32 = 1 << 31;
const NO_TESTS: u32 = LAST - 1;

impl Candidate {
    /// A route at a leaf, maybe its last.
    pub(super) fn new(route: u32, methods: MethodSet, tests: Option<u32>, last: bool) -> Self {
        let tests = tests.unwrap_or(NO_TESTS) | if last { LAST } else { 0 };
        Self { methods, route, tests }
    }

    fn is_last(&self) -> bool {
        self.tests & LAST != 0
    }
}

/// A route whose path is a regular expression.
pub(super) struct RegexRoute {
    pub(super) regex: Regex,
    pub(super) leaf: u32,
}

/// Parameter names and where their values lie; many routes share one.
pub(super) struct Shape {
    pub(super) names: Box<[String]>,
    pub(super) places: Places,
}

/// Where parameters lie.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) enum Places {
    /// In these segments; and what comes after so many segments.
    Segments(Box<[u8]>, Option<u8>),
    /// In these groups of a regular expression.
    Groups(u32, Box<[u16]>),
}

/// What is looked up: parts of a request head.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Lower-case, without port.
    pub host: &'a [u8],
    /// Canonical.
    pub path: &'a [u8],
    /// Without `?`.
    pub query: Option<&'a [u8]>,
    /// Method.
    pub method: Method,
    /// Its text, which tells custom methods apart.
    pub method_text: &'a [u8],
    /// Field lines, as ranges in `buf`.
    pub fields: &'a [Field],
    /// The buffer of the message head.
    pub buf: &'a [u8],
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This route.
    Route(u32),
    /// Nothing, but other methods would have found something: 405.
    MethodNotAllowed(AllowedMethods),
    /// Nothing: 404.
    NotFound,
}

impl Table {
    /// The route a request belongs to, and its path parameters.
    pub fn find(&self, request: &Request<'_>, params: &mut Params) -> Found {
        params.clear();
        let method = self.methods.of(request.method, request.method_text);
        let mut other_method = false;
        let found = self.walk(request.host, request.path, |candidate| {
            if !candidate.methods.meets(method) {
                other_method = true;
                return false;
            }
            self.tests_hold(candidate, request)
        });
        match found {
            Some(route) => {
                self.capture(route, request.path, params);
                Found::Route(route)
            }
            None if other_method => self.method_not_allowed(request),
            None => Found::NotFound,
        }
    }

    /// A route's parameter names in order; the catch-all's, last, is `*`.
    pub fn parameter_names(&self, route: u32) -> &[String] {
        self.shape(route).map_or(&[], |shape| &shape.names)
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
        let names = |shape: &Shape| {
            let text = shape.names.iter().map(|n| size_of::<String>() + n.capacity());
            text.sum::<usize>() + shape.names.len() * 2
        };
        size_of::<Self>()
            + self.hosts.memory()
            + self.plain.memory()
            + self.tree.memory()
            + size_of_val(&*self.regexes)
            + size_of_val(&*self.candidates)
            + self.tests.iter().map(Tests::memory).sum::<usize>()
            + self.methods.memory()
            + size_of_val(&*self.shape_of)
            + size_of_val(&*self.shapes)
            + self.shapes.iter().map(names).sum::<usize>()
    }

    /// Visits the routes whose host and path match, in order of precedence, until one is
    /// accepted.
    fn walk(
        &self,
        host: &[u8],
        path: &[u8],
        mut accept: impl FnMut(&Candidate) -> bool,
    ) -> Option<u32> {
        let path_hash = if path.len() <= self.plain.longest() { hash::of(path) } else { 0 };
        let mut segments = None;
        let mut visit = |leaf| self.accepted_at(leaf, &mut accept);
        self.hosts.find(host, |scope, host_hash| {
            if let Some(leaf) = self.plain_leaf(scope, host_hash, path, path_hash)
                && let found @ Some(_) = visit(leaf)
            {
                return found;
            }
            if let found @ Some(_) = self.tree.find(&scope.root, path, &mut segments, &mut visit) {
                return found;
            }
            let regexes = &self.regexes[scope.regexes.0 as usize..scope.regexes.1 as usize];
            let mut matching = regexes.iter().filter(|r| r.regex.is_match(path));
            matching.find_map(|r| visit(r.leaf))
        })
    }

    fn plain_leaf(&self, scope: &Scope, host: u64, path: &[u8], hash: u64) -> Option<u32> {
        if path.len() > scope.longest_plain as usize {
            return None;
        }
        self.plain.find(hash::join(host, hash), scope.root.id, path).copied()
    }

    fn accepted_at(&self, leaf: u32, accept: &mut impl FnMut(&Candidate) -> bool) -> Option<u32> {
        for candidate in &self.candidates[leaf as usize..] {
            if accept(candidate) {
                return Some(candidate.route);
            }
            if candidate.is_last() {
                break;
            }
        }
        None
    }

    fn tests_hold(&self, candidate: &Candidate, request: &Request<'_>) -> bool {
        match candidate.tests & !LAST {
            NO_TESTS => true,
            at => self.tests[at as usize].hold(request.fields, request.buf, request.query),
        }
    }

    #[cold]
    fn method_not_allowed(&self, request: &Request<'_>) -> Found {
        let mut allowed = MethodSet::NONE;
        self.walk(request.host, request.path, |candidate| {
            if self.tests_hold(candidate, request) {
                allowed = allowed.with(candidate.methods);
            }
            false
        });
        match allowed {
            MethodSet::NONE => Found::NotFound,
            set => Found::MethodNotAllowed(AllowedMethods(set)),
        }
    }

    fn shape(&self, route: u32) -> Option<&Shape> {
        match *self.shape_of.get(route as usize)? {
            NONE => None,
            shape => self.shapes.get(shape as usize),
        }
    }

    /// Fills in the parameters of the route that matched this path.
    fn capture(&self, route: u32, path: &[u8], params: &mut Params) {
        let Some(shape) = self.shape(route) else { return };
        match &shape.places {
            Places::Segments(places, rest) => capture_segments(places, *rest, path, params),
            Places::Groups(regex, groups) => {
                self.capture_groups(*regex, groups, path, params);
            }
        }
    }

    fn capture_groups(&self, regex: u32, groups: &[u16], path: &[u8], params: &mut Params) {
        let captures = self.regexes[regex as usize].regex.captures(path);
        for group in groups {
            let group = captures.as_ref().and_then(|c| c.get((*group).into()));
            params.push(group.map_or(Span::default(), |m| Span::new(m.start(), m.end())));
        }
    }
}

fn capture_segments(places: &[u8], rest: Option<u8>, path: &[u8], params: &mut Params) {
    let last = places.last().map_or(0, |last| usize::from(*last) + 1);
    let wanted = last.max(rest.map_or(0, usize::from));
    // One more than wanted, so that the last wanted one ends where it ends.
    let segments = Segments::split(path, wanted + 1);
    for place in places {
        let place = usize::from(*place);
        params.push(Span::new(segments.start(place), segments.end(place)));
    }
    if let Some(depth) = rest {
        let start = segments.start(depth.into()).min(path.len());
        params.push(Span::new(start, path.len()));
    }
}
