//! Routes to a table.

use std::collections::HashMap;

use regex::bytes::Regex;

use super::error::{BuildError, BuildProblem};
use super::expression::Expressions;
use super::hash;
use super::hosts::{self, Hosts, Scope};
use super::leaf::{self, Leaf, Placed};
use super::matchers::{self, Tests};
use super::methods::{MethodNames, MethodSet};
use super::pattern::Pattern;
use super::segments::Segments;
use super::shape::Shape;
use super::table::{RegexRoute, ShapedLeaf, Table};
use super::text_map::{Item, TextMap};
use crate::config::{HostMatch, PathMatch, Route, TokenSource};
use crate::limits::{MAX_PATH_PARAMETERS, MAX_REGEXES_PER_HOST, MAX_ROUTES, MAX_SHAPES_PER_HOST};

impl Table {
    /// Compiles the matchers of all routes, whose ids are their indices.
    ///
    /// # Errors
    /// As [`Self::with_ids`].
    pub fn build(routes: &[Route]) -> Result<Self, BuildError> {
        Self::with_ids(routes, |route| route)
    }

    /// Compiles the matchers of all routes. Linear in their number but for one sort. `id` is what the
    /// caller knows the route of an index by, and wants to have at hand with it.
    ///
    /// # Errors
    /// The first route that cannot be compiled, and why.
    pub fn with_ids(routes: &[Route], id: impl Fn(u32) -> u32) -> Result<Self, BuildError> {
        let too_large = |problem| BuildError { route: 0, problem };
        if routes.len() > MAX_ROUTES {
            return Err(too_large(BuildProblem::TableTooLarge));
        }
        let mut builder = Builder::default();
        for (index, route) in (0..).zip(routes) {
            builder.add(index, route).map_err(|problem| BuildError { route: index, problem })?;
        }
        builder.finish(id).map_err(too_large)
    }
}

/// What has been collected so far. Leaves are numbered as they come.
#[derive(Default)]
struct Builder<'a> {
    scopes: Vec<ScopeSoFar<'a>>,
    scope_by_host: HashMap<(u32, &'a str), u32>,
    plain: Vec<(u32, &'a str, u32)>,
    plain_leaves: HashMap<(u32, &'a str), u32>,
    patterns: Vec<PatternSoFar<'a>>,
    pattern_leaves: HashMap<(u32, Shape, String), u32>,
    placed: Vec<Placed>,
    leaves: u32,
    tests: Vec<Tests>,
    methods: MethodNames,
    method_sets: Vec<MethodSet>,
    expressions: Expressions<'a>,
    names: Names,
    sources: HashMap<TokenSource<'a>, u16>,
    source_of: HashMap<u32, u16>,
}

struct ScopeSoFar<'a> {
    host: &'a HostMatch,
    hash: u64,
    longest_plain: u16,
    shapes: Vec<Shape>,
    regexes: Vec<(Regex, u32)>,
}

/// The first pattern of its leaf.
struct PatternSoFar<'a> {
    scope: u32,
    shape: Shape,
    text: &'a str,
    leaf: u32,
}

impl<'a> Builder<'a> {
    fn add(&mut self, route: u32, settings: &'a Route) -> Result<(), BuildProblem> {
        hosts::check(&settings.host)?;
        let scope = self.scope(&settings.host);
        let (leaf, names) = match &settings.path {
            PathMatch::Pattern(text) => self.add_pattern(scope, Pattern::parse(text)?)?,
            PathMatch::Regex(text) => self.add_regex(scope, text)?,
        };
        self.leaves = self.leaves.max(leaf + 1);
        self.names.add(names);
        let source = self.source(route, settings);
        let tests = Tests::compile(settings, source, &mut self.expressions)?.map(|tests| {
            self.tests.push(tests);
            (self.tests.len() - 1) as u32
        });
        let matchers = matchers::count(settings);
        let (methods, any_method) = (self.method_set(settings)?, settings.methods.is_empty());
        self.placed.push(Placed { leaf, matchers, any_method, methods, tests, route });
        Ok(())
    }

    /// Where its token comes by, if it tests claims: of the product's verifiers, or of its own.
    fn source(&mut self, route: u32, settings: &'a Route) -> u16 {
        if settings.claims.is_empty() {
            return 0;
        }
        let next = self.sources.len() as u16;
        let source = *self.sources.entry(settings.token_source()).or_insert(next);
        self.source_of.insert(route, source);
        source
    }

    fn scope(&mut self, host: &'a HostMatch) -> u32 {
        let next = self.scopes.len() as u32;
        let scope = *self.scope_by_host.entry(hosts::key(host)).or_insert(next);
        if scope == next {
            let hash = hosts::hash_of(host);
            let (shapes, regexes) = (vec![], vec![]);
            self.scopes.push(ScopeSoFar { host, hash, longest_plain: 0, shapes, regexes });
        }
        scope
    }

    fn add_pattern(
        &mut self,
        scope: u32,
        pattern: Pattern<'a>,
    ) -> Result<(u32, Vec<String>), BuildProblem> {
        let so_far = &mut self.scopes[scope as usize];
        let (text, new) = (pattern.text, self.leaves);
        if pattern.is_plain() {
            so_far.longest_plain = so_far.longest_plain.max(text.len() as u16);
            let leaf = *self.plain_leaves.entry((scope, text)).or_insert(new);
            if leaf == new {
                self.plain.push((scope, text, leaf));
            }
            return Ok((leaf, vec![]));
        }
        let shape = Shape::of(&pattern);
        if !so_far.shapes.contains(&shape) {
            if so_far.shapes.len() == MAX_SHAPES_PER_HOST {
                return Err(BuildProblem::TooManyShapes);
            }
            so_far.shapes.push(shape);
        }
        let key = (scope, shape, Shape::key(&pattern));
        let leaf = *self.pattern_leaves.entry(key).or_insert(new);
        if leaf == new {
            self.patterns.push(PatternSoFar { scope, shape, text, leaf });
        }
        Ok((leaf, pattern.names().map(str::to_owned).collect()))
    }

    /// Each has a leaf of its own: they go by file order, whatever else they have.
    fn add_regex(&mut self, scope: u32, text: &'a str) -> Result<(u32, Vec<String>), BuildProblem> {
        let regex = self.expressions.compile(text)?;
        let names: Vec<String> = regex.capture_names().flatten().map(str::to_owned).collect();
        if names.len() > MAX_PATH_PARAMETERS {
            return Err(BuildProblem::TooManyParameters);
        }
        let regexes = &mut self.scopes[scope as usize].regexes;
        if regexes.len() == MAX_REGEXES_PER_HOST {
            return Err(BuildProblem::TooManyRegexes);
        }
        regexes.push((regex, self.leaves));
        Ok((self.leaves, names))
    }

    fn method_set(&mut self, settings: &Route) -> Result<u16, BuildProblem> {
        let set = self.methods.add(&settings.methods)?;
        let at = self.method_sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            self.method_sets.push(set);
            self.method_sets.len() - 1
        });
        u16::try_from(at).map_err(|_| BuildProblem::TooManyMethods)
    }

    fn finish(self, id: impl Fn(u32) -> u32) -> Result<Table, BuildProblem> {
        let (leaves, candidates) = leaf::arrange(self.placed, self.tests, self.method_sets, id);
        let leaf = |number: u32| leaves[number as usize];
        let plain = self.plain.iter().map(|&(scope, text, number)| {
            let hash = self.scopes[scope as usize].hash;
            let hash = hash::join(hash, hash::of(text.as_bytes()));
            Item { hash, owner: scope, text: text.into(), value: leaf(number) }
        });
        let plain = TextMap::build(plain.collect())?;
        let patterns = self.patterns.iter().map(|p| {
            let host = self.scopes[p.scope as usize].hash;
            let value = ShapedLeaf { shape: p.shape, leaf: leaf(p.leaf) };
            pattern_item(p, host, value)
        });
        let patterns = TextMap::build(patterns.collect::<Result<_, _>>()?)?;
        let deepest = self.patterns.iter().map(|p| p.shape.segments()).max().unwrap_or(0);
        let mut lists = Lists::default();
        let scopes = self.scopes.into_iter().zip(0..);
        let scopes = scopes.map(|(scope, id)| lists.add(id, scope, leaf));
        let hosts = Hosts::build(scopes)?;
        let (names_of, names) = self.names.finish();
        Ok(Table {
            hosts,
            plain,
            patterns,
            shapes: lists.shapes.into(),
            deepest,
            regexes: lists.regexes.into(),
            candidates,
            methods: self.methods,
            names_of,
            names,
            sources: self.source_of,
        })
    }
}

/// A pattern's place in the map. It is its own example: the literal segments of its text are
/// where the literal segments of any path it matches are.
fn pattern_item<'a>(
    pattern: &PatternSoFar<'a>,
    host: u64,
    value: ShapedLeaf,
) -> Result<Item<'a, ShapedLeaf>, BuildProblem> {
    let segments = Segments::split(pattern.text.as_bytes(), pattern.shape.segments());
    let hash = pattern.shape.hash(host, &segments);
    let key = Shape::key(&Pattern::parse(pattern.text)?);
    Ok(Item { hash, owner: pattern.scope, text: key.into(), value })
}

/// What scopes refer to by ranges.
#[derive(Default)]
struct Lists {
    shapes: Vec<Shape>,
    /// Where lists that hosts share begin.
    known: HashMap<Vec<Shape>, u32>,
    regexes: Vec<RegexRoute>,
}

impl Lists {
    fn add<'a>(
        &mut self,
        id: u32,
        mut scope: ScopeSoFar<'a>,
        leaf: impl Fn(u32) -> Leaf,
    ) -> (&'a HostMatch, Scope) {
        scope.shapes.sort_by_key(|shape| shape.precedence());
        let place = Scope {
            id,
            shape_count: scope.shapes.len() as u16,
            shapes: self.share(scope.shapes),
            regex_count: scope.regexes.len() as u16,
            regexes: self.regexes.len() as u32,
            longest_plain: scope.longest_plain,
        };
        let regexes = scope.regexes.into_iter().map(|(regex, number)| {
            let named = regex.capture_names().zip(0..).filter(|(name, _)| name.is_some());
            RegexRoute { groups: named.map(|(_, at)| at).collect(), regex, leaf: leaf(number) }
        });
        self.regexes.extend(regexes);
        (scope.host, place)
    }

    fn share(&mut self, list: Vec<Shape>) -> u32 {
        *self.known.entry(list).or_insert_with_key(|list| {
            self.shapes.extend_from_slice(list);
            (self.shapes.len() - list.len()) as u32
        })
    }
}

type NameLists = Box<[Box<[String]>]>;

/// Each distinct list of parameter names once.
struct Names {
    known: HashMap<Vec<String>, u32>,
    used: Vec<u32>,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: HashMap::from([(vec![], 0)]), used: vec![] }
    }
}

impl Names {
    fn add(&mut self, names: Vec<String>) {
        let next = self.known.len() as u32;
        self.used.push(*self.known.entry(names).or_insert(next));
    }

    /// Each route's list, and the lists.
    fn finish(self) -> (Box<[u32]>, NameLists) {
        let mut lists: Vec<_> = self.known.into_iter().collect();
        lists.sort_unstable_by_key(|(_, index)| *index);
        (self.used.into(), lists.into_iter().map(|(names, _)| names.into()).collect())
    }
}
