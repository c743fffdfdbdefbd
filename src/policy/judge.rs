//! The one door to an upstream: all of a request's rules are asked here, in a fixed order, and
//! only a request that passes them gets a [`Permit`].

use super::limit::concurrency::Crowded;
use super::limit::concurrency::Ticket;
use super::limit::{Charge, Judgement, KeySource, Local, Rule, Shared};

/// Proof that a request passed its rules. Only this module makes one. It holds the request's
/// places under concurrency limits and must be given back with [`Permit::leave`].
#[derive(Debug)]
#[must_use = "a permit that is dropped keeps its places for ever"]
pub struct Permit {
    places: [Option<Ticket>; 2],
}

impl Permit {
    /// The request is over.
    pub fn leave(self, shared: &Shared) {
        for place in self.places.into_iter().flatten() {
            shared.leave(place);
        }
    }
}

/// Proof that the rate limits that were asked let a request pass. Only this module makes one.
#[derive(Debug)]
#[must_use = "only the way on to a permit"]
pub struct Passed(());

/// Concurrency limits of a route.
#[derive(Debug, Clone, Copy)]
pub struct Concurrency {
    /// The route, by a number that is the same in every generation.
    pub scope: u64,
    /// Requests in flight.
    pub max: Option<u32>,
    /// Requests in flight of one client.
    pub max_per_client: Option<u32>,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// By a rate limit.
    RateLimited,
    /// There is no room to keep a bucket or count.
    StateFull,
    /// Too many in flight on the route.
    RouteFull,
    /// Too many in flight of this client.
    ClientFull,
}

/// Asks rate limits first (they are the cheapest to ask and what they refuse takes no place),
/// then concurrency limits. Also returns what the rate limits said, for the answer's fields.
pub fn judge<'r>(
    local: &mut Local,
    shared: &Shared,
    scopes: &[&'r [Rule]],
    keys: &KeySource<'_>,
    concurrency: &Concurrency,
    now_ns: u64,
) -> (Result<Permit, Denied>, Option<Judgement<'r>>) {
    let (passed, judgement) = judge_rates(local, shared, Charge::one_of_each(scopes), keys, now_ns);
    (passed.and_then(|passed| enter(passed, shared, keys, concurrency)), judgement)
}

/// Asks rate limits. Also returns what they said; `None`: there are none.
pub fn judge_rates<'r>(
    local: &mut Local,
    shared: &Shared,
    charges: impl Iterator<Item = Charge<'r>> + Clone,
    keys: &KeySource<'_>,
    now_ns: u64,
) -> (Result<Passed, Denied>, Option<Judgement<'r>>) {
    if charges.clone().next().is_none() {
        return (Ok(Passed(())), None);
    }
    let judgement = local.charge(shared, charges, keys, now_ns);
    let passed = match judgement {
        Judgement::Limited { .. } => Err(Denied::RateLimited),
        Judgement::TableFull(_) => Err(Denied::StateFull),
        Judgement::Allowed(_) => Ok(Passed(())),
    };
    (passed, Some(judgement))
}

/// Asks concurrency limits, the last of all rules.
pub fn enter(
    _passed: Passed,
    shared: &Shared,
    keys: &KeySource<'_>,
    limits: &Concurrency,
) -> Result<Permit, Denied> {
    let mut permit = Permit { places: [None, None] };
    if let Some(max) = limits.max {
        let hash = shared.scope_hash(limits.scope);
        permit.places[0] =
            Some(shared.try_enter(hash, max).map_err(|c| crowded(c, Denied::RouteFull))?);
    }
    if let Some(max) = limits.max_per_client {
        let hash = shared.client_hash(limits.scope, keys.client, keys.ipv6_prefix);
        match shared.try_enter(hash, max) {
            Ok(ticket) => permit.places[1] = Some(ticket),
            Err(why) => {
                permit.leave(shared);
                return Err(crowded(why, Denied::ClientFull));
            }
        }
    }
    Ok(permit)
}

fn crowded(why: Crowded, full: Denied) -> Denied {
    match why {
        Crowded::AtLimit => full,
        Crowded::TableFull => Denied::StateFull,
    }
}
