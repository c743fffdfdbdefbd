//! Patterns with parameters or a catch-all, as trees of literal runs and parameters.
//!
//! An edge is either one parameter or a *run* of literal segments (`api/v1/orders`), found by
//! one hash lookup whatever its length. A node knows the lengths of its runs (in segments), so
//! that only those are tried, longest first: where a longer and a shorter run both match, the
//! longer has a literal where the shorter is followed by a parameter. Runs first and the
//! parameter last is therefore the documented order.
//!
//! Each node is reached by one way and at one segment only, so a search visits it at most once.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::error::BuildProblem;
use super::hash;
use super::text_map::{Item, TextMap};
use crate::limits::MAX_PATTERN_SEGMENTS;

/// "There is none", for nodes and leaves.
pub(super) const NONE: u32 = u32::MAX;

/// A place in the tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Its number: the owner of its runs.
    pub(super) id: u32,
    /// Bit n: there are runs of n + 1 segments.
    runs: u32,
    /// Bytes of its longest run.
    longest_run: u32,
    /// The node behind a parameter.
    parameter: u32,
    /// The leaf of patterns that end here.
    leaf: u32,
    /// The leaf of patterns that go on with a catch-all.
    catch_all: u32,
}

const _: () = assert!(MAX_PATTERN_SEGMENTS <= u32::BITS as usize);

/// All trees of a table; their roots are kept by the hosts.
pub(super) struct Tree {
    /// Nodes behind runs, by parent and text.
    runs: TextMap<Node>,
    /// Nodes behind parameters.
    parameters: Box<[Node]>,
    /// Segments of the longest pattern.
    deepest: usize,
}

impl Tree {
    /// Visits the leaves that match a path, in order of precedence, until one visit finds
    /// something: first patterns without, then those with a catch-all.
    pub(super) fn find<R>(
        &self,
        root: &Node,
        path: &[u8],
        segments: &mut Option<Segments>,
        visit: &mut impl FnMut(u32) -> Option<R>,
    ) -> Option<R> {
        if path.first() != Some(&b'/') {
            return None;
        }
        if root.runs == 0 && root.parameter == NONE {
            return if root.catch_all == NONE { None } else { visit(root.catch_all) };
        }
        let segments = segments.get_or_insert_with(|| Segments::split(path, self.deepest + 1));
        let mut search = Search { tree: self, path, segments, catch_alls: CatchAlls::default() };
        if let Some(found) = search.descend(root, 0, visit) {
            return Some(found);
        }
        search.catch_alls.find(visit)
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.runs.memory() + size_of_val(&*self.parameters)
    }
}

/// One search, from a root on.
struct Search<'s> {
    tree: &'s Tree,
    path: &'s [u8],
    segments: &'s Segments,
    catch_alls: CatchAlls,
}

impl<'s> Search<'s> {
    /// `depth` segments lie behind. As deep as patterns have segments.
    fn descend<R>(
        &mut self,
        node: &Node,
        depth: usize,
        visit: &mut impl FnMut(u32) -> Option<R>,
    ) -> Option<R> {
        let ahead = self.segments.count - depth;
        if ahead == 0 && node.leaf != NONE {
            if let found @ Some(_) = visit(node.leaf) {
                return found;
            }
        }
        let mut lengths = if ahead < 32 { node.runs & ((1 << ahead) - 1) } else { node.runs };
        while lengths != 0 {
            let top = lengths.ilog2();
            lengths ^= 1 << top;
            let behind = depth + top as usize + 1;
            if let Some(next) = self.run(node, depth, behind)
                && let found @ Some(_) = self.descend(next, behind, visit)
            {
                return found;
            }
        }
        if node.parameter != NONE && ahead > 0 && !self.segments.is_empty(depth) {
            let next = &self.tree.parameters[node.parameter as usize];
            if let found @ Some(_) = self.descend(next, depth + 1, visit) {
                return found;
            }
        }
        // After the children: of catch-alls on one way the deepest then comes first already.
        if node.catch_all != NONE {
            self.catch_alls.add(node.catch_all, depth);
        }
        None
    }

    fn run(&self, node: &Node, from: usize, to: usize) -> Option<&'s Node> {
        let (start, end) = (self.segments.start(from), self.segments.end(to - 1));
        if end - start > node.longest_run as usize {
            return None;
        }
        let text = &self.path[start..end];
        self.tree.runs.find(run_hash(node.id, text), node.id, text)
    }
}

fn run_hash(owner: u32, text: &[u8]) -> u64 {
    hash::join(owner.into(), hash::of(text))
}

/// Catch-alls met on the way, most segments first; of equals the first met first.
struct CatchAlls {
    few: [(u32, u8); Self::FEW],
    count: usize,
    /// All of them, where they are more than a few.
    many: Vec<(u32, u8)>,
}

impl Default for CatchAlls {
    fn default() -> Self {
        Self { few: [(NONE, 0); Self::FEW], count: 0, many: Vec::new() }
    }
}

impl CatchAlls {
    const FEW: usize = 8;

    fn add(&mut self, leaf: u32, depth: usize) {
        let new = (leaf, depth as u8);
        if self.count < Self::FEW {
            let before = self.few[..self.count].iter().filter(|(_, other)| *other >= new.1);
            let at = before.count();
            self.few[at..=self.count].rotate_right(1);
            self.few[at] = new;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(new);
        }
        self.count += 1;
    }

    fn find<R>(&mut self, visit: &mut impl FnMut(u32) -> Option<R>) -> Option<R> {
        self.many.sort_by_key(|(_, depth)| Reverse(*depth));
        let all = if self.many.is_empty() { &self.few[..self.count] } else { &self.many };
        all.iter().find_map(|(leaf, _)| visit(*leaf))
    }
}

/// Where a path's first segments end.
pub(super) struct Segments {
    ends: [u32; MAX_PATTERN_SEGMENTS + 1],
    count: usize,
}

impl Segments {
    /// Splits a path into at most this many segments; any further ones stay in the last.
    pub(super) fn split(path: &[u8], at_most: usize) -> Self {
        let mut all = Self { ends: [0; MAX_PATTERN_SEGMENTS + 1], count: 0 };
        if path.first() != Some(&b'/') {
            return all;
        }
        let last = at_most.min(all.ends.len()) - 1;
        for (at, byte) in path.iter().enumerate().skip(1) {
            if *byte == b'/' {
                if all.count == last {
                    break;
                }
                all.ends[all.count] = at as u32;
                all.count += 1;
            }
        }
        all.ends[all.count] = path.len() as u32;
        all.count += 1;
        all
    }

    /// Offset of a segment's first byte.
    pub(super) fn start(&self, segment: usize) -> usize {
        match segment.checked_sub(1) {
            Some(before) => self.end(before) + 1,
            None => 1,
        }
    }

    /// Offset behind a segment's last byte.
    pub(super) fn end(&self, segment: usize) -> usize {
        self.ends[segment] as usize
    }

    fn is_empty(&self, segment: usize) -> bool {
        self.start(segment) == self.end(segment)
    }
}

/// Collects nodes and edges, then freezes them.
#[derive(Default)]
pub(super) struct TreeBuilder<'a> {
    nodes: Vec<Node>,
    /// Ids of the nodes behind parameters, in the order of their index.
    behind_parameters: Vec<u32>,
    /// Parent, text, child.
    edges: Vec<(u32, &'a str, u32)>,
    known: HashMap<(u32, &'a str), u32>,
    deepest: usize,
}

impl<'a> TreeBuilder<'a> {
    /// A new node, without any edge; returns its id.
    pub(super) fn add_node(&mut self) -> u32 {
        let id = self.nodes.len() as u32;
        let node =
            Node { id, runs: 0, longest_run: 0, parameter: NONE, leaf: NONE, catch_all: NONE };
        self.nodes.push(node);
        id
    }

    /// The node as it is so far.
    pub(super) fn node(&self, id: u32) -> Node {
        self.nodes[id as usize]
    }

    /// The node behind a run of so many literal segments.
    pub(super) fn run(&mut self, from: u32, text: &'a str, segments: usize) -> u32 {
        if let Some(known) = self.known.get(&(from, text)) {
            return *known;
        }
        let child = self.add_node();
        self.known.insert((from, text), child);
        self.edges.push((from, text, child));
        let node = &mut self.nodes[from as usize];
        node.runs |= 1 << (segments - 1);
        node.longest_run = node.longest_run.max(text.len() as u32);
        child
    }

    /// The node behind a parameter.
    pub(super) fn parameter(&mut self, from: u32) -> u32 {
        match self.nodes[from as usize].parameter {
            NONE => {
                let child = self.add_node();
                self.nodes[from as usize].parameter = self.behind_parameters.len() as u32;
                self.behind_parameters.push(child);
                child
            }
            index => self.behind_parameters[index as usize],
        }
    }

    /// The leaf at a node; `new` is taken where it has none yet.
    pub(super) fn leaf(&mut self, node: u32, catch_all: bool, depth: usize, new: u32) -> u32 {
        self.deepest = self.deepest.max(depth);
        let node = &mut self.nodes[node as usize];
        let leaf = if catch_all { &mut node.catch_all } else { &mut node.leaf };
        if *leaf == NONE {
            *leaf = new;
        }
        *leaf
    }

    /// Turns leaf numbers into what the table wants to be given for them.
    pub(super) fn renumber_leaves(&mut self, place: impl Fn(u32) -> u32) {
        for node in &mut self.nodes {
            for leaf in [&mut node.leaf, &mut node.catch_all] {
                if *leaf != NONE {
                    *leaf = place(*leaf);
                }
            }
        }
    }

    /// The finished trees.
    pub(super) fn freeze(self) -> Result<Tree, BuildProblem> {
        let item = |&(owner, text, child): &(u32, &'a str, u32)| Item {
            hash: run_hash(owner, text.as_bytes()),
            owner,
            text,
            value: self.nodes[child as usize],
        };
        let runs = TextMap::build(self.edges.iter().map(item).collect())?;
        let parameters = self.behind_parameters.iter().map(|id| self.nodes[*id as usize]);
        Ok(Tree { runs, parameters: parameters.collect(), deepest: self.deepest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_into_segments() {
        let cases: [(&str, usize, &[&str]); 7] = [
            ("/", 9, &[""]),
            ("/a", 9, &["a"]),
            ("/a/", 9, &["a", ""]),
            ("//b", 9, &["", "b"]),
            ("/a/b/c", 2, &["a", "b/c"]),
            ("/a/b/c", 1, &["a/b/c"]),
            ("*", 9, &[]),
        ];
        for (path, at_most, expected) in cases {
            let segments = Segments::split(path.as_bytes(), at_most);
            let parts = (0..segments.count).map(|at| &path[segments.start(at)..segments.end(at)]);
            assert_eq!(parts.collect::<Vec<_>>(), expected, "{path}");
        }
    }

    #[test]
    fn more_catch_alls_than_a_few_stay_in_order() {
        for count in [1, CatchAlls::FEW, CatchAlls::FEW + 1, 30] {
            let mut all = CatchAlls::default();
            for leaf in 0..count {
                all.add(leaf as u32, leaf % 4);
            }
            let mut seen = Vec::new();
            all.find(&mut |leaf| {
                seen.push(leaf);
                None::<()>
            });
            let mut expected: Vec<u32> = (0..count as u32).collect();
            expected.sort_by_key(|leaf| Reverse(leaf % 4));
            assert_eq!(seen, expected);
        }
    }
}
