//! Which hosts' routes a request may take.

use super::error::BuildProblem;
use super::hash;
use super::text_map::{Item, TextMap};
use crate::config::HostMatch;
use crate::limits::{
    MAX_HOST_LENGTH, MAX_PATTERN_LENGTH, MAX_REGEXES_PER_HOST, MAX_SHAPES_PER_HOST,
};

/// One host matcher's routes. Packed, to share half a cache line with its place in the map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// Its number: the owner of its paths.
    pub(super) id: u32,
    /// Its patterns' shapes: the first in the table's list.
    pub(super) shapes: u32,
    /// How many shapes.
    pub(super) shape_count: u16,
    /// How many regular expressions.
    pub(super) regex_count: u16,
    /// The first of its regular expressions in the table's list.
    pub(super) regexes: u32,
    /// Bytes of its longest plain path; 0 where it has none.
    pub(super) longest_plain: u16,
}

const _: () = assert!(size_of::<Scope>() <= 20);
const _: () = assert!(MAX_SHAPES_PER_HOST <= u16::MAX as usize);
const _: () = assert!(MAX_REGEXES_PER_HOST <= u16::MAX as usize);
const _: () = assert!(MAX_PATTERN_LENGTH <= u16::MAX as usize);

/// All of them.
pub(super) struct Hosts {
    /// Owner [`EXACT`] or [`WILDCARD`].
    named: TextMap<Scope>,
    any: Option<Scope>,
    /// Bit n: there is a wildcard suffix of n bytes. Other suffixes of a host are not hashed.
    wildcard_lengths: [u64; MAX_HOST_LENGTH / 64 + 1],
}

const EXACT: u32 = 0;
const WILDCARD: u32 = 1;

impl Hosts {
    /// Host matchers with their scopes.
    pub(super) fn build<'a>(
        scopes: impl Iterator<Item = (&'a HostMatch, Scope)>,
    ) -> Result<Self, BuildProblem> {
        let mut any = None;
        let mut wildcard_lengths = [0; MAX_HOST_LENGTH / 64 + 1];
        let mut items = Vec::new();
        for (host, scope) in scopes {
            let hash = hash_of(host);
            match key(host) {
                (_, "") => any = Some(scope),
                (owner, text) => {
                    if owner == WILDCARD {
                        wildcard_lengths[text.len() / 64] |= 1 << (text.len() % 64);
                    }
                    items.push(Item { hash, owner, text: text.into(), value: scope });
                }
            }
        }
        Ok(Self { named: TextMap::build(items)?, any, wildcard_lengths })
    }

    /// Visits the scopes for a host (lower-case, no port) with their hashes, most specific
    /// first, until one visit finds something.
    pub(super) fn find<R>(
        &self,
        host: &[u8],
        mut visit: impl FnMut(&Scope, u64) -> Option<R>,
    ) -> Option<R> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        if !host.is_empty() && host.len() <= MAX_HOST_LENGTH {
            let hash = hash::of(host);
            if let Some(scope) = self.named.find(hash, EXACT, |_, text| text == host)
                && let found @ Some(_) = visit(scope, hash)
            {
                return found;
            }
            if let found @ Some(_) = self.find_wildcard(host, &mut visit) {
                return found;
            }
        }
        self.any.as_ref().and_then(|scope| visit(scope, ANY_HASH))
    }

    fn find_wildcard<R>(
        &self,
        host: &[u8],
        visit: &mut impl FnMut(&Scope, u64) -> Option<R>,
    ) -> Option<R> {
        if self.wildcard_lengths.iter().all(|bits| *bits == 0) {
            return None;
        }
        // From the second byte on: the star stands for something.
        let dots = (1..host.len()).filter(|at| host[*at] == b'.');
        let suffixes = dots.map(|at| &host[at..]);
        let known = suffixes
            .filter(|text| self.wildcard_lengths[text.len() / 64] >> (text.len() % 64) & 1 == 1);
        for suffix in known {
            let hash = hash::of(suffix);
            if let Some(scope) = self.named.find(hash, WILDCARD, |_, text| text == suffix)
                && let found @ Some(_) = visit(scope, hash)
            {
                return found;
            }
        }
        None
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.named.memory()
    }
}

const ANY_HASH: u64 = 0;

/// A scope's hash, as [`Hosts::find`] computes it.
pub(super) fn hash_of(host: &HostMatch) -> u64 {
    match key(host) {
        (_, "") => ANY_HASH,
        (_, text) => hash::of(text.as_bytes()),
    }
}

/// Whether a host matcher can be looked up.
pub(super) fn check(host: &HostMatch) -> Result<(), BuildProblem> {
    let fits = match host {
        HostMatch::Any => true,
        _ => (1..=MAX_HOST_LENGTH).contains(&key(host).1.len()),
    };
    fits.then_some(()).ok_or(BuildProblem::HostLength)
}

/// Whether a host (lower-case, no port) is meant by a matcher.
pub(super) fn matches(matcher: &HostMatch, host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    match (matcher, key(matcher).1.as_bytes()) {
        (HostMatch::Any, _) => true,
        (HostMatch::Exact(_), text) => host == text,
        (HostMatch::Wildcard(_), text) => {
            host.len() > text.len() && host.len() <= MAX_HOST_LENGTH && host.ends_with(text)
        }
    }
}

/// What tells host matchers apart; any host has an empty text.
pub(super) fn key(host: &HostMatch) -> (u32, &str) {
    let plain = |text: &'_ str| text.len() - usize::from(text.ends_with('.'));
    match host {
        HostMatch::Any => (EXACT, ""),
        HostMatch::Exact(text) => (EXACT, &text[..plain(text)]),
        HostMatch::Wildcard(text) => (WILDCARD, &text[..plain(text)]),
    }
}
