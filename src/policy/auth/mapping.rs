//! Mapping rules: which request counts as what, with the meaning that 3scale documents.
//!
//! A pattern is the beginning of a path, to the letter: `/v1` fits `/v1`, `/v1/orders` and `/v10`. A
//! `$` at its end asks for the path's end there. `{name}` stands for one byte or more but no slash.
//! `?name=value` asks that the parameter's last value be that, `?name={x}` that there be one. Runs
//! of slashes count as one. All rules that fit count, in order, up to one that is `last`.
//!
//! Rules lie in a tree by the segments of their patterns, so that of a thousand only those are looked
//! at that begin like the path. Each node is come to by one way only, so a request looks at each rule
//! once at most.

use memchr::memmem;

use super::pattern::{Glob, Pattern, Segment, Wanted};
use crate::policy::few::Few;
use crate::policy::query::{parameters, stands_for};

/// A metric that grows, by its index among its product's, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hit {
    /// Index of the metric.
    pub metric: u16,
    /// By how much it grows.
    pub amount: u32,
}

/// What a request counts as: each metric once.
pub type Hits = Few<Hit, 4>;

impl Hits {
    /// Lets a metric grow.
    #[inline]
    pub fn add(&mut self, metric: u16, amount: u32) {
        match self.as_mut_slice().iter_mut().find(|hit| hit.metric == metric) {
            Some(hit) => hit.amount = hit.amount.saturating_add(amount),
            None => self.push(Hit { metric, amount }),
        }
    }
}

/// A rule that is to be compiled.
#[derive(Debug)]
pub struct Rule<'a> {
    /// HTTP method; `*`: any.
    pub method: &'a str,
    /// As written.
    pub pattern: &'a str,
    /// Index of the metric or method that grows.
    pub metric: u16,
    /// By how much.
    pub amount: u32,
    /// Whether no rule after it is asked.
    pub last: bool,
}

/// Compiled mapping rules of a product.
#[derive(Debug, Default)]
pub struct Mapping {
    effects: Vec<Effect>,
    nodes: Vec<Node>,
    /// Of each metric, the one it counts into as well.
    parents: Box<[Option<u16>]>,
}

/// What is asked beside the path, and what follows.
#[derive(Debug)]
struct Effect {
    /// `None`: any.
    method: Option<Box<[u8]>>,
    query: Box<[Wanted]>,
    metric: u16,
    amount: u32,
    last: bool,
}

/// Where a segment of the path is looked at.
#[derive(Debug, Default)]
struct Node {
    /// What follows a segment that is this text; in order of the texts.
    literals: Vec<(Box<[u8]>, u32)>,
    /// What follows one of this form.
    globs: Vec<(Glob, u32)>,
    /// Rules whose pattern ends within this segment: with a text, in order of the texts.
    ends: Vec<End>,
    /// And with a form.
    glob_ends: Vec<(Glob, Place)>,
}

/// Rules that end with the same text.
#[derive(Debug)]
struct End {
    text: Box<[u8]>,
    /// The longest other end that this one begins with.
    shorter: Option<u32>,
    rules: Vec<Place>,
}

/// A rule that ends here.
#[derive(Debug, Clone, Copy)]
struct Place {
    rule: u32,
    /// Whether the path has to end here too.
    anchored: bool,
}

impl Mapping {
    /// Compiles rules; `parents` says of each metric which one it counts into as well.
    ///
    /// # Errors
    /// The index of each rule whose pattern means nothing, and why.
    pub fn compile(
        rules: &[Rule<'_>],
        parents: Box<[Option<u16>]>,
    ) -> Result<Self, Vec<(usize, String)>> {
        let mut mapping = Self { parents, nodes: vec![Node::default()], ..Self::default() };
        let mut wrong = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match Pattern::parse(rule.pattern) {
                Ok(pattern) => mapping.insert(rule, pattern),
                Err(why) => wrong.push((index, why)),
            }
        }
        mapping.nodes.iter_mut().for_each(Node::finish);
        if wrong.is_empty() { Ok(mapping) } else { Err(wrong) }
    }

    fn insert(&mut self, rule: &Rule<'_>, pattern: Pattern) {
        let place = Place { rule: self.effects.len() as u32, anchored: pattern.anchored };
        self.effects.push(Effect {
            method: (rule.method != "*").then(|| rule.method.as_bytes().into()),
            query: pattern.query,
            metric: rule.metric,
            amount: rule.amount,
            last: rule.last,
        });
        let mut node = 0;
        for segment in pattern.segments {
            node = self.child(node, segment);
        }
        self.nodes[node].end(pattern.end, place);
    }

    fn child(&mut self, node: usize, segment: Segment) -> usize {
        let fresh = self.nodes.len() as u32;
        let at = &mut self.nodes[node];
        let child = match segment {
            Segment::Literal(text) => match at.literals.iter().find(|(known, _)| *known == text) {
                Some((_, child)) => *child,
                None => {
                    at.literals.push((text, fresh));
                    fresh
                }
            },
            Segment::Glob(glob) => match at.globs.iter().find(|(known, _)| *known == glob) {
                Some((_, child)) => *child,
                None => {
                    at.globs.push((glob, fresh));
                    fresh
                }
            },
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child as usize
    }

    /// What a request counts as; `None`: no rule fits. Without rules each request is one hit.
    /// Parameters are looked for in each of these in turn, encoded as forms are: in the content of one,
    /// and in the query.
    pub fn hits(&self, method: &[u8], path: &[u8], parameters: &[&[u8]]) -> Option<Hits> {
        let mut hits = Hits::default();
        if self.effects.is_empty() {
            hits.add(0, 1);
            return Some(hits);
        }
        let mut fitting = Few::<u32, 16>::default();
        self.walk(0, after_slashes(path), &mut |rule| {
            if self.effects[rule as usize].fits(method, parameters) {
                fitting.push(rule);
            }
        });
        let fitting = fitting.as_mut_slice();
        fitting.sort_unstable();
        for rule in fitting.iter() {
            let effect = &self.effects[*rule as usize];
            hits.add(effect.metric, effect.amount);
            if let Some(parent) = self.parents.get(usize::from(effect.metric)).copied().flatten() {
                hits.add(parent, effect.amount);
            }
            if effect.last {
                break;
            }
        }
        (!fitting.is_empty()).then_some(hits)
    }

    /// Whether parameters of a request with this method may matter.
    pub fn asks_for_parameters(&self, method: &[u8]) -> bool {
        let of = |rule: &Effect| rule.method.as_ref().is_none_or(|wanted| **wanted == *method);
        self.effects.iter().any(|rule| !rule.query.is_empty() && of(rule))
    }

    /// Tells each rule whose pattern fits `rest`, a path from one of its segments on. No deeper than
    /// the longest pattern.
    fn walk(&self, node: usize, rest: &[u8], found: &mut impl FnMut(u32)) {
        let node = &self.nodes[node];
        let end = memchr::memchr(b'/', rest);
        let segment = &rest[..end.unwrap_or(rest.len())];
        node.tell_ends(segment, end.is_none(), found);
        let Some(end) = end else { return };
        let after = after_slashes(&rest[end..]);
        if let Ok(at) = node.literals.binary_search_by(|(text, _)| (**text).cmp(segment)) {
            self.walk(node.literals[at].1 as usize, after, found);
        }
        for (glob, child) in &node.globs {
            if glob.is(segment) {
                self.walk(*child as usize, after, found);
            }
        }
    }
}

fn after_slashes(path: &[u8]) -> &[u8] {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    &path[slashes..]
}

impl Node {
    fn end(&mut self, segment: Segment, place: Place) {
        match segment {
            Segment::Glob(glob) => self.glob_ends.push((glob, place)),
            Segment::Literal(text) => match self.ends.iter_mut().find(|end| end.text == text) {
                Some(end) => end.rules.push(place),
                None => self.ends.push(End { text, shorter: None, rules: vec![place] }),
            },
        }
    }

    /// Puts in order what is searched.
    fn finish(&mut self) {
        self.literals.sort_by(|a, b| a.0.cmp(&b.0));
        self.ends.sort_by(|a, b| a.text.cmp(&b.text));
        for at in 1..self.ends.len() {
            // Those that it begins with stand before it, each beginning with the ones before.
            let mut before = Some(at as u32 - 1);
            while let Some(shorter) = before {
                if self.ends[at].text.starts_with(&self.ends[shorter as usize].text) {
                    break;
                }
                before = self.ends[shorter as usize].shorter;
            }
            self.ends[at].shorter = before;
        }
    }

    fn tell_ends(&self, segment: &[u8], last: bool, found: &mut impl FnMut(u32)) {
        // The greatest that is not after the segment; all that the segment begins with are on the
        // way from there to ever shorter ones.
        let is_before = |end: &End| end.text.is_empty() || &*end.text <= segment;
        let above = self.ends.partition_point(is_before);
        let mut at = above.checked_sub(1).map(|at| at as u32);
        while let Some(end) = at.map(|at| &self.ends[at as usize]) {
            if begins_with(segment, &end.text) {
                let whole = last && end.text.len() == segment.len();
                end.rules.iter().filter(|p| whole || !p.anchored).for_each(|p| found(p.rule));
            }
            at = end.shorter;
        }
        for (glob, place) in &self.glob_ends {
            let fits = match place.anchored {
                true => last && glob.is(segment),
                false => glob.begins(segment),
            };
            if fits {
                found(place.rule);
            }
        }
    }
}

impl Effect {
    fn fits(&self, method: &[u8], parameters: &[&[u8]]) -> bool {
        self.method.as_ref().is_none_or(|wanted| **wanted == *method)
            && self.query.iter().all(|wanted| wanted.fits(parameters))
    }
}

impl Wanted {
    /// Of repeated parameters the last counts, and those of a form before those of the query, as in
    /// 3scale.
    fn fits(&self, sources: &[&[u8]]) -> bool {
        let of_this_name = |source| parameters(source).rfind(|parameter| parameter.is(&self.name));
        let last = sources.iter().copied().find_map(of_this_name);
        last.is_some_and(|parameter| match &self.value {
            Some(value) => stands_for(parameter.value, value),
            None => !parameter.value.is_empty(),
        })
    }
}

/// Most texts around wildcards are empty. Comparing with nothing is not free: an empty box points to
/// no memory, and where `memcmp` reads by masks, the processor takes some 50 ns to find that it need not.
fn begins_with(text: &[u8], beginning: &[u8]) -> bool {
    beginning.is_empty() || text.starts_with(beginning)
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    end.is_empty() || text.ends_with(end)
}

impl Glob {
    /// Whether a segment is of this form.
    fn is(&self, segment: &[u8]) -> bool {
        let rest = self.before_last(segment);
        rest.is_some_and(|rest| rest.len() > self.last.len() && ends_with(rest, &self.last))
    }

    /// Whether a segment begins with this form.
    fn begins(&self, segment: &[u8]) -> bool {
        let rest = self.before_last(segment).and_then(|rest| rest.get(1..));
        rest.is_some_and(|rest| memmem::find(rest, &self.last).is_some())
    }

    /// What the last wildcard and what follows it have to fit. Taking each text where it comes first
    /// leaves the most for those after it.
    fn before_last<'s>(&self, segment: &'s [u8]) -> Option<&'s [u8]> {
        let mut rest = begins_with(segment, &self.first).then(|| &segment[self.first.len()..])?;
        for text in &self.between {
            let from = rest.get(1..)?;
            rest = &from[memmem::find(from, text)? + text.len()..];
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapping(rules: &[(&str, &str, u16, bool)]) -> Mapping {
        let rules: Vec<Rule<'_>> = rules
            .iter()
            .map(|&(method, pattern, metric, last)| Rule {
                method,
                pattern,
                metric,
                amount: 1,
                last,
            })
            .collect();
        // Metrics 1 and 2 are methods of `hits`; 3 stands alone.
        Mapping::compile(&rules, Box::new([None, Some(0), Some(0), None])).unwrap()
    }

    fn fits(pattern: &str, path: &str) -> bool {
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        mapping(&[("GET", pattern, 0, false)])
            .hits(b"GET", path.as_bytes(), &[query.unwrap_or_default().as_bytes()])
            .is_some()
    }

    fn hits(mapping: &Mapping, method: &str, path: &str) -> Vec<(u16, u32)> {
        let hits = mapping.hits(method.as_bytes(), path.as_bytes(), &[]).unwrap_or_default();
        hits.as_slice().iter().map(|hit| (hit.metric, hit.amount)).collect()
    }

    #[test]
    fn a_pattern_is_the_beginning_of_a_path() {
        for path in ["/", "/v1", "//x"] {
            assert!(fits("/", path), "{path}");
        }
        for path in ["/v1", "/v1/word", "/v1/", "/v10", "//v1"] {
            assert!(fits("/v1", path), "{path}");
        }
        for path in ["/", "/v", "/x/v1", "/V1"] {
            assert!(!fits("/v1", path), "{path}");
        }
        assert!(fits("/v1/", "/v1/") && fits("/v1/", "/v1/x") && !fits("/v1/", "/v1"));
    }

    #[test]
    fn a_dollar_anchors_the_end() {
        assert!(fits("/v1/word$", "/v1/word") && fits("/v1/word$", "/v1//word"));
        for path in ["/v1/word/hello", "/v1/words", "/v1/word/", "/v1"] {
            assert!(!fits("/v1/word$", path), "{path}");
        }
        assert!(fits("/$", "/") && !fits("/$", "/x"));
        assert!(fits("/{a}$", "/x") && !fits("/{a}$", "/") && !fits("/{a}$", "/x/"));
    }

    #[test]
    fn a_wildcard_stands_for_some_of_a_segment() {
        assert!(fits("/{word}", "/morning") && !fits("/{word}", "/"));
        assert!(fits("/{a}/items", "/7/items/3") && !fits("/{a}/items", "/7/8/items"));
        assert!(fits("/{word}.json", "/a.json") && fits("/{word}.json", "/a.b.json.gz"));
        assert!(!fits("/{word}.json", "/.json") && !fits("/{word}.json$", "/a.json.gz"));
        assert!(fits("/x-{a}-{b}.{c}$", "/x-1-2.txt") && fits("/x-{a}-{b}$", "/x----"));
        assert!(
            !fits("/x-{a}-{b}$", "/x---") && !fits("/{a}{b}$", "/1") && fits("/{a}{b}$", "/12")
        );
    }

    #[test]
    fn query_parameters_are_asked_for_in_any_order() {
        let pattern = "/search?kind=book&q={words}";
        assert!(fits(pattern, "/search?q=x&kind=book&more=1"));
        assert!(fits(pattern, "/search/deep?kind=b%6Fok&q=x"));
        for path in
            ["/search", "/search?kind=book", "/search?kind=books&q=x", "/search?kind=book&q="]
        {
            assert!(!fits(pattern, path), "{path}");
        }
        assert!(fits("/a?b=2", "/a?b=1&b=2") && !fits("/a?b=2", "/a?b=2&b=1"));
        assert!(fits("/a$?b=1", "/a?b=1") && !fits("/a$?b=1", "/a/c?b=1"));
        assert!(fits("/a?b=x+y", "/a?b=x%20y"));
    }

    #[test]
    fn all_rules_that_fit_count_and_methods_count_into_their_parent() {
        let mapping = mapping(&[
            ("GET", "/orders", 1, false),
            ("GET", "/orders/{id}$", 2, false),
            ("*", "/", 3, false),
            ("POST", "/orders", 2, false),
        ]);
        assert_eq!(hits(&mapping, "GET", "/orders/7"), [(1, 1), (0, 2), (2, 1), (3, 1)]);
        assert_eq!(hits(&mapping, "GET", "/orders"), [(1, 1), (0, 1), (3, 1)]);
        assert_eq!(hits(&mapping, "POST", "/orders"), [(3, 1), (2, 1), (0, 1)]);
        assert_eq!(hits(&mapping, "PURGE", "/x"), [(3, 1)]);
    }

    #[test]
    fn nothing_after_the_last_counts() {
        let mapping = mapping(&[
            ("GET", "/path/example/search", 1, true),
            ("GET", "/path/example/{id}", 2, false),
        ]);
        assert_eq!(hits(&mapping, "GET", "/path/example/search"), [(1, 1), (0, 1)]);
        assert_eq!(hits(&mapping, "GET", "/path/example/7"), [(2, 1), (0, 1)]);
        assert!(mapping.hits(b"GET", b"/path/exam", &[]).is_none());
    }

    #[test]
    fn without_rules_each_request_is_a_hit() {
        assert_eq!(hits(&mapping(&[]), "GET", "/x"), [(0, 1)]);
    }

    #[test]
    fn more_fit_than_there_is_place_for() {
        let mapping = mapping(&[("GET", "/", 3, false); 100]);
        assert_eq!(hits(&mapping, "GET", "/x"), [(3, 100)]);
    }

    /// A pattern as a regular expression, as 3scale's own gateway does it.
    fn expression(pattern: &str) -> regex::Regex {
        let mut out = String::from("^");
        for part in pattern.split_inclusive(['{', '}']) {
            match part {
                "{" => {}
                part if part.ends_with('}') => out.push_str("[^/]+"),
                part => {
                    let anchored = part.ends_with('$');
                    out.push_str(&regex::escape(part.trim_end_matches(['{', '$'])));
                    if anchored {
                        out.push('$');
                    }
                }
            }
        }
        regex::Regex::new(&out).unwrap()
    }

    proptest! {
        /// The tree finds the rules that trying each by a regular expression finds.
        #[test]
        fn the_tree_finds_what_trying_each_finds(
            patterns in prop::collection::vec("(/(a|b|ab|\\{x\\}|a\\{x\\}b|\\{x\\}\\.a|\\{x\\}b\\{y\\})){1,3}/?\\$?", 1..12),
            paths in prop::collection::vec("(/[ab.]{1,4}){1,4}/?", 1..12),
        ) {
            let rules: Vec<Rule<'_>> = patterns.iter().enumerate().map(|(n, pattern)| Rule {
                method: "*", pattern, metric: n as u16, amount: 1, last: false,
            }).collect();
            let parents = vec![None; rules.len()].into_boxed_slice();
            let mapping = Mapping::compile(&rules, parents).unwrap();
            for path in paths {
                let found = mapping.hits(b"GET", path.as_bytes(), &[]).unwrap_or_default();
                let found: Vec<u16> = found.as_slice().iter().map(|hit| hit.metric).collect();
                let wanted: Vec<u16> = (0..rules.len())
                    .filter(|n| expression(&patterns[*n]).is_match(&path))
                    .map(|n| n as u16)
                    .collect();
                prop_assert_eq!(found, wanted, "{}", path);
            }
        }
    }
}
