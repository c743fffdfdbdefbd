//! Whether a request shows a token that its route takes (RFC 6750).

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::Dpop;
use crate::config::file::Lifecycle;
use crate::policy::auth::jwt::{
    Challenge, Offered, Proved, Refusal, Scheme, Verified, shown, write_challenges,
};
use crate::policy::auth::places::Place;
use crate::policy::auth::product::Way;
use crate::policy::auth::{Carrier, Product, realm};
use crate::respond::failure::Failure;
use crate::snapshot::{Snapshot, Tokens};

use super::belief::{Believed, Shown, believed, is_theirs, known, taken, used_up};
use super::introspection::Doubt;
use super::scratch::Scratch;
use super::task::Request;

/// Whether its route or product asks for tokens.
pub(super) fn is_asked_for(r: &Request<'_>) -> bool {
    let product = r.product.as_ref();
    r.route().tokens().is_some()
        || product.is_some_and(|(_, product)| !product.verifiers.is_empty())
}

/// Looks at the token that a request shows. Of a product's verifiers it is told what each says; without
/// a product its route takes the token, or refuses it here.
pub(super) async fn prove(r: &mut Request<'_>, s: &Scratch) -> Result<Vec<Proved>, Failure> {
    if let Some((_, product)) = r.product {
        let said = of_product(r, s, product).await;
        let route = u32::try_from(r.route.unwrap_or_default()).unwrap_or(u32::MAX);
        // What chose the route must hold, whatever else is shown.
        if r.snapshot.table.source(route).is_some()
            && let Some(failure) = failure(r, s, &said)
        {
            return Err(failure);
        }
        return Ok(said);
    }
    let route = &r.snapshot.routes[r.route.unwrap_or_default()];
    match route.tokens() {
        Some(asked) => check(r, s, asked).await.map(|()| Vec::new()),
        None => Ok(Vec::new()),
    }
}

/// The token that a request shows to a route that it has not taken yet. `None`: there is none that the
/// route would take. Servers are not asked: no limit has been by now.
pub(super) async fn looked_at(
    r: &Request<'_>,
    s: &Scratch,
    route: u32,
) -> Result<Option<Rc<Verified>>, Failure> {
    let route = &r.snapshot.routes[route as usize];
    let verdict = match route.access().and_then(|access| access.product) {
        Some(slot) => {
            let product = r.snapshot.directory.product(slot);
            let Some(product) = product.filter(|product| product.state != Lifecycle::Draft) else {
                return Ok(None);
            };
            let Some(asked) = signed(takers(r.snapshot, product)) else { return Ok(None) };
            let Some((scheme, text)) = shown_to(r, s, product, &asked) else { return Ok(None) };
            taken(r, &asked, Shown::of(r, s, scheme, &text)).await
        }
        None => {
            let Some(asked) = route.tokens().cloned().and_then(signed) else { return Ok(None) };
            let found = shown(&s.head.fields, s.input.data(), offered(r.snapshot, &asked));
            let Some((scheme, text)) = found else { return Ok(None) };
            taken(r, &asked, Shown::of(r, s, scheme, text)).await
        }
    };
    match verdict {
        Ok(believed) => Ok(Some(believed.token)),
        // What can't be known is no reason to take another route.
        Err(Doubt::Refused(Refusal::NoKeys)) => Err(Failure::NoTokenKeys),
        Err(Doubt::Unknown(why)) => Err(why.into()),
        Err(Doubt::Refused(_) | Doubt::Open) => Ok(None),
    }
}

/// What a product's verifiers say. The one that takes the token has it to itself; where none does, the
/// first says why, unless servers are still to be asked that may know the token. Where all must take it,
/// they are asked once the verifier has, else where it is no issuer's of the verifiers.
async fn of_product(r: &mut Request<'_>, s: &Scratch, product: &Product) -> Vec<Proved> {
    let snapshot = r.snapshot;
    let mut said = vec![Proved::Absent; product.verifiers.len()];
    let asked = takers(snapshot, product);
    let Some((scheme, text)) = shown_to(r, s, product, &asked) else { return said };
    let place = |way: &Way| match way {
        Way::Jwt(at) => Some(usize::from(*at)),
        _ => None,
    };
    let places: Vec<usize> = product.ways.iter().filter_map(place).collect();
    let (core, all) = (&r.connection.core, &snapshot.verifiers);
    let shown = Shown::of(r, s, scheme, &text);
    let mut ask_servers = true;
    if let Some(&first) = places.first() {
        let verdict = believed(core, all, &asked.verifiers, &shown).await;
        match verdict.and_then(|it| used_up(core, it)) {
            Ok((index, token)) => {
                let taker = index.and_then(|index| all.at(index));
                let name = taker.map(|verifier| &*verifier.name);
                let is = |place: &&usize| product.verifiers.get(**place).map(|one| &**one) == name;
                if let Some(one) = places.iter().find(is).and_then(|at| said.get_mut(*at)) {
                    *one = Proved::Token(token.clone());
                }
                r.token = Some(token);
                ask_servers = product.all_ways;
            }
            Err(refusal) => {
                ask_servers = !product.all_ways
                    && places.len() < said.len()
                    && !is_theirs(all, &asked.verifiers, refusal, &text);
                // A token that may be good is not bad because a server does not know it.
                if !ask_servers || refusal.is_doubtful() {
                    said[first] = Proved::Refused(refusal);
                }
            }
        }
    }
    for way in &product.ways {
        if let Way::Introspection(at) = way
            && ask_servers
            && let Some(one) = said.get_mut(usize::from(*at))
        {
            *one = Proved::Unasked;
        }
    }
    said
}

/// Where a request has its credentials.
fn carrier(s: &Scratch) -> Carrier<'_> {
    let buf = s.input.data();
    Carrier { fields: &s.head.fields, buf, query: s.head.query.map(|query| query.of(buf)) }
}

/// The token that a request shows to a product, and how.
fn shown_to<'s>(
    r: &Request<'_>,
    s: &'s Scratch,
    product: &Product,
    asked: &Tokens,
) -> Option<(Scheme, Cow<'s, [u8]>)> {
    carrier(s).token(&product.places.token, offered(r.snapshot, asked))
}

/// Asks the server that one of a product's ways names about the token.
pub(super) async fn introspect(
    r: &mut Request<'_>,
    s: &Scratch,
    product: &Product,
    at: u16,
) -> Proved {
    let all = &r.snapshot.introspectors;
    let name = product.verifiers.get(usize::from(at));
    let name = name.and_then(|name| name.strip_prefix("introspection:"));
    let index = name.and_then(|name| all.index(name));
    let found = shown_to(r, s, product, &takers(r.snapshot, product));
    let (Some(index), Some((scheme, text))) = (index, found) else {
        // The product is the store's, and the configuration has no such server.
        return Proved::Refused(Refusal::NoKeys);
    };
    let shown = Shown::of(r, s, scheme, &text).after(r.token.as_deref());
    match known(r, &[index], &shown).await {
        Ok(Believed { token, .. }) => {
            r.token.get_or_insert_with(|| token.clone());
            Proved::Token(token)
        }
        Err(Doubt::Refused(refusal)) => Proved::Refused(refusal),
        Err(Doubt::Open) => Proved::Open,
        Err(Doubt::Unknown(why)) => Proved::Unanswered(why),
    }
}

/// In which ways those who are asked take tokens. Servers ask for no proofs.
fn offered(snapshot: &Snapshot, asked: &Tokens) -> Offered {
    let verifiers = asked.verifiers.iter().filter_map(|&index| snapshot.verifiers.at(index));
    let servers = asked.introspectors.iter().map(|_| Dpop::Off);
    Offered::by(verifiers.map(|one| one.rules.dpop).chain(servers), asked.all)
}

/// Who takes tokens for a product, of those that there are.
fn takers(snapshot: &Snapshot, product: &Product) -> Tokens {
    let server = |name: &str| snapshot.introspectors.index(name.strip_prefix("introspection:")?);
    let names = || product.verifiers.iter();
    Tokens {
        verifiers: names().filter_map(|name| snapshot.verifiers.index(name)).collect(),
        introspectors: names().filter_map(|name| server(name)).collect(),
        all: product.all_ways,
        optional: false,
    }
}

/// Those of them who tell a token by its signature, if any.
fn signed(asked: Tokens) -> Option<Tokens> {
    let signed = Tokens { introspectors: Box::default(), ..asked };
    Some(signed).filter(|asked| !asked.verifiers.is_empty())
}

/// How a request to a product fails whose token was refused.
pub(super) fn failure(r: &mut Request<'_>, s: &Scratch, said: &[Proved]) -> Option<Failure> {
    let refusal = said.iter().find_map(|one| match one {
        Proved::Refused(refusal) => Some(*refusal),
        Proved::Absent
        | Proved::Unasked
        | Proved::Unanswered(_)
        | Proved::Open
        | Proved::Token(_) => None,
    })?;
    let (_, product) = r.product?;
    let asked = takers(r.snapshot, product);
    let (went, _) = shown_to(r, s, product, &asked)?;
    Some(refused(r, &asked, went, refusal))
}

/// Tells clients of a product how to show tokens, if they may; and that the one that was shown is bad, if
/// anything `is_bad`.
pub(super) fn challenge(r: &mut Request<'_>, s: &Scratch, product: &Product, is_bad: bool) {
    let places = &product.places;
    if !places.token.contains(&Place::Bearer) {
        return;
    }
    let asked = takers(r.snapshot, product);
    let Offered { bearer, dpop } = offered(r.snapshot, &asked);
    // Keys that are shown in the same words have been asked for. Where nobody is left who takes tokens,
    // there is still a way to show them.
    let offered = Offered { bearer: (bearer || !dpop) && !places.has_bearer_keys(), dpop };
    let went = shown_to(r, s, product, &asked).map(|(scheme, _)| scheme);
    let challenge = if is_bad && went.is_some() { Challenge::Invalid } else { Challenge::Missing };
    let (went, out) = (went.unwrap_or(Scheme::Bearer), &mut r.answer_fields);
    write_challenges(challenge, went, offered, (&realm(&product.name), &[]), out);
}

/// Lets a request pass whose token its route takes, or that needs none; it has the token then.
async fn check(r: &mut Request<'_>, s: &Scratch, asked: &Tokens) -> Result<(), Failure> {
    let offered = offered(r.snapshot, asked);
    let Some((scheme, text)) = shown(&s.head.fields, s.input.data(), offered) else {
        if asked.optional {
            return Ok(());
        }
        let out = &mut r.answer_fields;
        write_challenges(Challenge::Missing, Scheme::Bearer, offered, ("", &[]), out);
        return Err(Failure::NoCredential);
    };
    let core = &r.connection.core;
    let verdict = taken(r, asked, Shown::of(r, s, scheme, text)).await;
    match verdict.and_then(|it| used_up(core, it).map_err(Doubt::Refused)) {
        Ok((_, token)) => {
            r.token = Some(token);
            Ok(())
        }
        Err(Doubt::Open) => Ok(()),
        Err(Doubt::Unknown(why)) => Err(why.into()),
        Err(Doubt::Refused(refusal)) => Err(refused(r, asked, scheme, refusal)),
    }
}

/// The scopes that a route asks for: those of the first who takes its tokens.
fn scopes<'a>(snapshot: &'a Snapshot, asked: &Tokens) -> &'a [String] {
    let verifier = asked.verifiers.first().and_then(|&index| snapshot.verifiers.at(index));
    let introspector =
        asked.introspectors.first().and_then(|&index| snapshot.introspectors.at(index));
    let rules = verifier.map(|one| &one.rules.says);
    rules.or(introspector.map(|one| &one.rules.says)).map_or(&[], |says| &says.scopes)
}

/// How a request fails whose token was refused by those who were asked.
fn refused(r: &mut Request<'_>, asked: &Tokens, went: Scheme, refusal: Refusal) -> Failure {
    let (challenge, failure) = match refusal {
        Refusal::NoKeys => return Failure::NoTokenKeys,
        Refusal::NoRoom => return Failure::IdentityOverloaded,
        Refusal::Unproved(fault) => (Challenge::Unproved, Failure::InvalidProof(fault)),
        refusal if refusal.is_insufficient() => {
            (Challenge::Insufficient, Failure::InsufficientToken(refusal))
        }
        refusal => (Challenge::Invalid, Failure::InvalidToken(refusal)),
    };
    let (scopes, offered) = (scopes(r.snapshot, asked), offered(r.snapshot, asked));
    write_challenges(challenge, went, offered, ("", scopes), &mut r.answer_fields);
    failure
}
