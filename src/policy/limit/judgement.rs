//! What limits say to a request.

use super::Rule;
use super::bucket::nanoseconds;

/// How a client stands with the limit that leaves it least.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'r> {
    /// The limit.
    pub rule: &'r Rule,
    /// Tokens that may be had now, by what this core knows; what other cores did since it last
    /// asked the authority is missing.
    pub remaining: u64,
    /// Whole seconds until the bucket is full; where nothing remains, until there is a token, whether this
    /// request was the last that was admitted or was refused. Rounded up, so at least 1.
    pub reset: u64,
}

/// What the limits say to a request.
#[derive(Debug, Clone, Copy)]
pub enum Judgement<'r> {
    /// Every limit admitted it; `None`: it has no limits.
    Allowed(Option<Standing<'r>>),
    /// A limit refused it, and it took nothing from the others: 429.
    Limited {
        /// How it stands with that limit.
        standing: Standing<'r>,
        /// Until that limit has a token, ns (unless others take it).
        retry_after_ns: u64,
    },
    /// All places for this limit's bucket are taken by buckets in debt. Admitting would be
    /// uncounted, so it is refused: 503.
    TableFull(&'r Rule),
}

impl<'r> Judgement<'r> {
    /// Both, where the second was asked after the first had allowed.
    pub fn and(self, second: Self) -> Self {
        match (self, second) {
            (Self::Allowed(Some(first)), Self::Allowed(Some(second))) => {
                let part = |a: Standing<'_>, b: Standing<'_>| {
                    u128::from(a.remaining) * u128::from(b.rule.burst)
                };
                let second_is_tighter = part(second, first) < part(first, second);
                Self::Allowed(Some(if second_is_tighter { second } else { first }))
            }
            (first, Self::Allowed(None)) => first,
            (_, second) => second,
        }
    }
}

/// Whether `a` leaves a smaller part of its bucket than `b`.
pub(super) fn is_tighter(a: (&Rule, u64), b: (&Rule, u64)) -> bool {
    let of = |room: u64, rule: &Rule| u128::from(room) * u128::from(rule.terms.brim);
    of(a.1, b.0) < of(b.1, a.0)
}

pub(super) fn admitted(rule: &Rule, room: u64) -> Standing<'_> {
    let remaining = (room / rule.terms.interval).min(rule.burst);
    let until = if remaining == 0 { rule.terms.interval } else { rule.terms.brim };
    let wait = nanoseconds(until.saturating_sub(room));
    Standing { rule, remaining, reset: whole_seconds(wait) }
}

pub(super) fn limited(rule: &Rule, wait: u64) -> Judgement<'_> {
    let retry_after_ns = nanoseconds(wait);
    let standing = Standing { rule, remaining: 0, reset: whole_seconds(retry_after_ns) };
    Judgement::Limited { standing, retry_after_ns }
}

/// Rounded up; at least 1.
pub(super) fn whole_seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000).max(1)
}
