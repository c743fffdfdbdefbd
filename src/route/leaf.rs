//! The routes of one host and path, which only methods and matchers tell apart.

use super::matchers::{Tests, Verdict};
use super::methods::MethodSet;
use super::request::Request;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Its index in file order.
    pub(super) route: u32,
    /// What its caller knows it by.
    pub(super) id: u32,
    /// Its tests of fields, query and client, or [`NO_TESTS`].
    tests: u32,
    /// Its methods' place among the table's sets.
    methods: u16,
    /// Whether it is the leaf's last.
    is_last: bool,
}

/// All of them: the first, which mostly is the only one, in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    first: Candidate,
    /// Where the others are, up to one that is the last.
    others: u32,
}

const NO_TESTS: u32 = u32::MAX;

/// What leaves refer to.
pub(super) struct Candidates {
    others: Box<[Candidate]>,
    tests: Box<[Tests]>,
    methods: Box<[MethodSet]>,
}

impl Leaf {
    /// The routes in order of precedence.
    pub(super) fn candidates<'c>(
        &'c self,
        all: &'c Candidates,
    ) -> impl Iterator<Item = &'c Candidate> {
        let others = if self.first.is_last { &[] } else { &all.others[self.others as usize..] };
        let end = others.iter().position(|c| c.is_last).map_or(0, |last| last + 1);
        std::iter::once(&self.first).chain(&others[..end])
    }
}

impl Candidates {
    /// The methods a route takes.
    pub(super) fn methods(&self, candidate: &Candidate) -> MethodSet {
        self.methods[usize::from(candidate.methods)]
    }

    /// Whether a route's tests hold.
    pub(super) fn verdict(&self, candidate: &Candidate, request: &Request<'_>) -> Verdict {
        match candidate.tests {
            NO_TESTS => Verdict::Holds,
            at => self.tests[at as usize].verdict(request),
        }
    }

    /// Bytes on the heap, without compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.others)
            + self.tests.iter().map(Tests::memory).sum::<usize>()
            + size_of_val(&*self.methods)
    }
}

/// A route that has been given its leaf's number, with what decides its place there.
pub(super) struct Placed {
    /// The leaf's number.
    pub(super) leaf: u32,
    /// How many matchers it has beside host, path and methods.
    pub(super) matchers: usize,
    /// Whether it takes any method.
    pub(super) any_method: bool,
    /// Its methods' place among the table's sets.
    pub(super) methods: u16,
    /// Its tests.
    pub(super) tests: Option<u32>,
    /// Its index in file order.
    pub(super) route: u32,
}

/// Sorts routes into their leaves, which are returned by number. `id`: what the caller knows a route by.
pub(super) fn arrange(
    mut placed: Vec<Placed>,
    tests: Vec<Tests>,
    methods: Vec<MethodSet>,
    id: impl Fn(u32) -> u32,
) -> (Vec<Leaf>, Candidates) {
    placed.sort_by_key(|p| (p.leaf, p.any_method, std::cmp::Reverse(p.matchers), p.route));
    let mut leaves = Vec::new();
    let mut others = Vec::new();
    for leaf in placed.chunk_by(|a, b| a.leaf == b.leaf) {
        let mut candidates = leaf.iter().zip((0..leaf.len()).rev()).map(|(p, left)| Candidate {
            route: p.route,
            id: id(p.route),
            tests: p.tests.unwrap_or(NO_TESTS),
            methods: p.methods,
            is_last: left == 0,
        });
        if let Some(first) = candidates.next() {
            leaves.push(Leaf { first, others: others.len() as u32 });
        }
        others.extend(candidates);
    }
    let (tests, methods) = (tests.into(), methods.into());
    (leaves, Candidates { others: others.into(), tests, methods })
}
