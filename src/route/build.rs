//! Routes to a table.

use std::cmp::Reverse;
use std::collections::HashMap;

use regex::bytes::Regex;

use super::error::{BuildError, BuildProblem};
use super::expression::Expressions;
use super::hash;
use super::hosts::{self, Hosts, Scope};
use super::matchers::Tests;
use super::methods::{MethodNames, MethodSet};
use super::pattern::Pattern;
use super::table::{Candidate, Places, RegexRoute, Shape, Table};
use super::text_map::{Item, TextMap};
use super::tree::{NONE, TreeBuilder};
use crate::config::{HostMatch, PathMatch, Route};
use crate::limits::{MAX_PATH_PARAMETERS, MAX_ROUTES};

impl Table {
    /// Compiles the matchers of all routes. Linear in their number but for one sort.
    ///
    /// # Errors
    /// The first route that cannot be compiled, and why.
    pub fn build(routes: &[Route]) -> Result<Self, BuildError> {
        let too_large = |problem| BuildError { route: 0, problem };
        if routes.len() > MAX_ROUTES {
            return Err(too_large(BuildProblem::TableTooLarge));
        }
        let mut builder = Builder::default();
        for (index, route) in (0..).zip(routes) {
            builder.add(index, route).map_err(|problem| BuildError { route: index, problem })?;
        }
        builder.finish().map_err(too_large)
    }
}

/// What has been collected so far.
#[derive(Default)]
struct Builder<'a> {
    scopes: Vec<ScopeSoFar<'a>>,
    scope_by_host: HashMap<(u32, &'a str), u32>,
    plain: Vec<PlainPath<'a>>,
    plain_leaves: HashMap<(u32, &'a str), u32>,
    tree: TreeBuilder<'a>,
    regexes: Vec<RegexSoFar>,
    placed: Vec<Placed>,
    leaves: u32,
    tests: Vec<Tests>,
    methods: MethodNames,
    expressions: Expressions<'a>,
    shapes: Shapes,
}

struct ScopeSoFar<'a> {
    host: &'a HostMatch,
    root: u32,
    longest_plain: u32,
}

struct PlainPath<'a> {
    scope: u32,
    path: &'a str,
    leaf: u32,
}

struct RegexSoFar {
    scope: u32,
    route: u32,
    regex: Regex,
    leaf: u32,
}

/// A route at its leaf, with what decides its place there.
struct Placed {
    leaf: u32,
    matchers: usize,
    methods: MethodSet,
    tests: Option<u32>,
    route: u32,
}

impl<'a> Builder<'a> {
    fn add(&mut self, route: u32, settings: &'a Route) -> Result<(), BuildProblem> {
        hosts::check(&settings.host)?;
        let scope = self.scope(&settings.host);
        let leaf = match &settings.path {
            PathMatch::Pattern(text) => self.add_pattern(scope, route, Pattern::parse(text)?),
            PathMatch::Regex(text) => self.add_regex(scope, route, text)?,
        };
        let tests = Tests::compile(settings, &mut self.expressions)?.map(|tests| {
            self.tests.push(tests);
            (self.tests.len() - 1) as u32
        });
        let methods = self.methods.add(&settings.methods)?;
        let matchers = settings.headers.len() + settings.query.len();
        self.placed.push(Placed { leaf, matchers, methods, tests, route });
        Ok(())
    }

    fn scope(&mut self, host: &'a HostMatch) -> u32 {
        let next = self.scopes.len() as u32;
        let scope = *self.scope_by_host.entry(hosts::key(host)).or_insert(next);
        if scope == next {
            let root = self.tree.add_node();
            self.scopes.push(ScopeSoFar { host, root, longest_plain: 0 });
        }
        scope
    }

    fn add_pattern(&mut self, scope: u32, route: u32, pattern: Pattern<'a>) -> u32 {
        let new = self.leaves;
        let leaf = if pattern.is_plain() {
            self.plain_leaf(scope, pattern.text, new)
        } else {
            self.shapes.set(route, pattern_shape(&pattern));
            self.tree_leaf(scope, &pattern, new)
        };
        self.leaves += u32::from(leaf == new);
        leaf
    }

    fn plain_leaf(&mut self, scope: u32, path: &'a str, new: u32) -> u32 {
        let leaf = *self.plain_leaves.entry((scope, path)).or_insert(new);
        if leaf == new {
            self.plain.push(PlainPath { scope, path, leaf });
            let longest = &mut self.scopes[scope as usize].longest_plain;
            *longest = (*longest).max(path.len() as u32);
        }
        leaf
    }

    fn tree_leaf(&mut self, scope: u32, pattern: &Pattern<'a>, new: u32) -> u32 {
        let mut node = self.scopes[scope as usize].root;
        for run in pattern.segments.chunk_by(|a, b| !a.is_parameter && !b.is_parameter) {
            node = match run {
                [segment] if segment.is_parameter => self.tree.parameter(node),
                run => self.tree.run(node, pattern.run(run), run.len()),
            };
        }
        self.tree.leaf(node, pattern.catch_all, pattern.segments.len(), new)
    }

    fn add_regex(&mut self, scope: u32, route: u32, text: &'a str) -> Result<u32, BuildProblem> {
        let regex = self.expressions.compile(text)?;
        if regex.capture_names().flatten().count() > MAX_PATH_PARAMETERS {
            return Err(BuildProblem::TooManyParameters);
        }
        let leaf = self.leaves;
        self.leaves += 1;
        self.regexes.push(RegexSoFar { scope, route, regex, leaf });
        Ok(leaf)
    }

    fn finish(mut self) -> Result<Table, BuildProblem> {
        let routes = self.placed.len();
        let (candidates, first) = candidates(self.placed, self.leaves);
        let place = |leaf: u32| first[leaf as usize];
        self.tree.renumber_leaves(place);
        self.regexes.sort_by_key(|r| r.scope);
        let scopes = self.scopes.iter().zip(0..).map(|(so_far, scope)| {
            let start = self.regexes.partition_point(|r| r.scope < scope) as u32;
            let end = self.regexes.partition_point(|r| r.scope <= scope) as u32;
            let root = self.tree.node(so_far.root);
            let scope = Scope { root, regexes: (start, end), longest_plain: so_far.longest_plain };
            (so_far.host, scope)
        });
        let hosts = Hosts::build(scopes)?;
        let plain = self.plain.iter().map(|item| {
            let ScopeSoFar { host, root, .. } = self.scopes[item.scope as usize];
            let hash = hash::join(hosts::hash_of(host), hash::of(item.path.as_bytes()));
            Item { hash, owner: root, text: item.path, value: place(item.leaf) }
        });
        let plain = TextMap::build(plain.collect())?;
        for (index, regex) in (0..).zip(&self.regexes) {
            self.shapes.set(regex.route, regex_shape(index, &regex.regex));
        }
        let (shape_of, shapes) = self.shapes.finish(routes);
        let regexes = self.regexes.into_iter();
        Ok(Table {
            hosts,
            plain,
            tree: self.tree.freeze()?,
            regexes: regexes.map(|r| RegexRoute { leaf: place(r.leaf), regex: r.regex }).collect(),
            candidates,
            tests: self.tests.into(),
            methods: self.methods,
            shape_of,
            shapes,
        })
    }
}

/// Sorts routes into their leaves; also the index of each leaf's first.
fn candidates(mut placed: Vec<Placed>, leaves: u32) -> (Box<[Candidate]>, Vec<u32>) {
    placed.sort_by_key(|p| (p.leaf, p.methods == MethodSet::ANY, Reverse(p.matchers), p.route));
    let mut first = vec![0; leaves as usize];
    for (index, p) in placed.iter().enumerate().rev() {
        first[p.leaf as usize] = index as u32;
    }
    let next_leaf = placed.iter().skip(1).map(|p| Some(p.leaf)).chain([None]);
    let all = placed
        .iter()
        .zip(next_leaf)
        .map(|(p, next)| Candidate::new(p.route, p.methods, p.tests, next != Some(p.leaf)));
    (all.collect(), first)
}

type ShapeKey = (Vec<String>, Places);

fn pattern_shape(pattern: &Pattern<'_>) -> ShapeKey {
    let segments = pattern.segments.iter().zip(0u8..);
    let places = segments.filter(|(segment, _)| segment.is_parameter).map(|(_, at)| at);
    let rest = pattern.catch_all.then_some(pattern.segments.len() as u8);
    let names = pattern.names().map(str::to_owned).collect();
    (names, Places::Segments(places.collect(), rest))
}

fn regex_shape(index: u32, regex: &Regex) -> ShapeKey {
    let named = regex.capture_names().zip(0u16..);
    let named = named.filter_map(|(name, group)| Some((name?.to_owned(), group)));
    let (names, groups): (Vec<String>, Vec<u16>) = named.unzip();
    (names, Places::Groups(index, groups.into()))
}

/// Each distinct shape once.
#[derive(Default)]
struct Shapes {
    known: HashMap<ShapeKey, u32>,
    used: Vec<(u32, u32)>,
}

impl Shapes {
    fn set(&mut self, route: u32, shape: ShapeKey) {
        if !shape.0.is_empty() {
            let next = self.known.len() as u32;
            self.used.push((route, *self.known.entry(shape).or_insert(next)));
        }
    }

    fn finish(self, routes: usize) -> (Box<[u32]>, Box<[Shape]>) {
        let mut shape_of = vec![NONE; routes];
        for (route, shape) in self.used {
            shape_of[route as usize] = shape;
        }
        let mut shapes: Vec<_> = self.known.into_iter().collect();
        shapes.sort_unstable_by_key(|(_, index)| *index);
        let shapes = shapes.into_iter();
        let shapes = shapes.map(|((names, places), _)| Shape { names: names.into(), places });
        (shape_of.into(), shapes.collect())
    }
}
