//! Whether a request shows a token that its route takes (RFC 6750).

use std::future::pending;
use std::rc::Rc;

use crate::config::ClientAttribute;
use crate::io::{Expiry, clock};
use crate::limits::JWKS_WAITERS;
use crate::policy::auth::jwt::{
    Asking, Challenge, Proved, Refusal, Verified, Verifier, Verifiers, bearer, write_challenge,
};
use crate::policy::auth::product::Way;
use crate::policy::auth::{Carrier, Digest, Product};
use crate::respond::failure::Failure;
use crate::snapshot::{Snapshot, Tokens};

use super::core::Core;
use super::introspection::{Doubt, introspect as introspect_one};
use super::scratch::Scratch;
use super::task::Request;

/// A token that a request shows.
struct Shown<'a> {
    text: &'a [u8],
    digest: Digest,
    /// SHA-256 of the certificate that the client showed, hex.
    certificate: Option<&'a str>,
}

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
        return Ok(of_product(r, s, product).await);
    }
    let route = &r.snapshot.routes[r.route.unwrap_or_default()];
    match route.tokens() {
        Some(asked) => check(r, s, asked).await.map(|()| Vec::new()),
        None => Ok(Vec::new()),
    }
}

/// What a product's verifiers say. The one that takes the token has it to itself; where none does, the
/// first says why, unless servers are still to be asked that may know the token.
async fn of_product(r: &mut Request<'_>, s: &Scratch, product: &Product) -> Vec<Proved> {
    let snapshot = r.snapshot;
    let mut said = vec![Proved::Absent; product.verifiers.len()];
    let Some(text) = carrier(s).find(&product.places.token) else { return said };
    let names = |way: &Way| match way {
        Way::Jwt(at) => product.verifiers.get(usize::from(*at)).zip(Some(usize::from(*at))),
        _ => None,
    };
    let (mut places, mut indices) = (Vec::new(), Vec::new());
    for (name, place) in product.ways.iter().filter_map(names) {
        places.push(place);
        indices.extend(snapshot.verifiers.index(name));
    }
    let shown = Shown::of(r, &text);
    let mut is_known = false;
    if let Some(&first) = places.first() {
        let verdict = believed(&r.connection.core, &snapshot.verifiers, &indices, &shown).await;
        is_known = verdict.as_ref().err().is_none_or(|refusal| refusal.is_authentic());
        match verdict {
            Ok((index, token)) => {
                let name = snapshot.verifiers.at(index).map(|verifier| &*verifier.name);
                let is = |place: &&usize| product.verifiers.get(**place).map(|one| &**one) == name;
                if let Some(one) = places.iter().find(is).and_then(|at| said.get_mut(*at)) {
                    *one = Proved::Token(token.clone());
                }
                r.token = Some(token);
            }
            Err(refusal) if is_known || product.all_ways || places.len() == said.len() => {
                said[first] = Proved::Refused(refusal);
            }
            Err(_) => {}
        }
    }
    for way in &product.ways {
        if let Way::Introspection(at) = way
            && (product.all_ways || !is_known)
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

/// Asks the server that one of a product's ways names about the token.
pub(super) async fn introspect(
    r: &mut Request<'_>,
    s: &Scratch,
    product: &Product,
    at: u16,
) -> Result<Proved, Failure> {
    let all = &r.snapshot.introspectors;
    let name = product.verifiers.get(usize::from(at));
    let name = name.and_then(|name| name.strip_prefix("introspection:"));
    let index = name.and_then(|name| all.index(name));
    let text = carrier(s).find(&product.places.token);
    let (Some(index), Some(text)) = (index, text) else {
        // The product is the store's, and the configuration has no such server.
        return Ok(Proved::Refused(Refusal::NoKeys));
    };
    let shown = Shown::of(r, &text);
    match known(r, &[index], &shown).await {
        Ok(token) => {
            r.token.get_or_insert_with(|| token.clone());
            Ok(Proved::Token(token))
        }
        Err(Doubt::Refused(refusal)) => Ok(Proved::Refused(refusal)),
        Err(Doubt::Open) => Ok(Proved::Open),
        Err(Doubt::Unknown(failure)) => Err(failure),
    }
}

/// The token, where one of these servers knows it. Of several the first that does; else what is doubtful
/// counts more than what is wrong, since it could be right.
async fn known(r: &Request<'_>, asked: &[usize], shown: &Shown<'_>) -> Result<Rc<Verified>, Doubt> {
    let (mut furthest, mut doubt) = (Refusal::TooLong, None);
    for &index in asked {
        let Some(introspector) = r.snapshot.introspectors.at(index) else { continue };
        let one = introspect_one(&r.connection.core, (index, introspector), shown.text).await;
        match one.and_then(|token| fitting(token, shown).map_err(Doubt::Refused)) {
            Ok(token) => return Ok(token),
            Err(Doubt::Refused(refusal)) => furthest = furthest.max(refusal),
            Err(Doubt::Open) => doubt = doubt.or(Some(Doubt::Open)),
            Err(unknown) => doubt = doubt.filter(|doubt| *doubt != Doubt::Open).or(Some(unknown)),
        }
    }
    Err(doubt.unwrap_or(Doubt::Refused(furthest)))
}

/// How a request fails whose token was refused.
pub(super) fn failure(r: &mut Request<'_>, said: &[Proved]) -> Option<Failure> {
    let refusal = said.iter().find_map(|one| match one {
        Proved::Refused(refusal) => Some(*refusal),
        Proved::Absent | Proved::Unasked | Proved::Open | Proved::Token(_) => None,
    })?;
    Some(refused(r, &[], refusal))
}

/// Lets a request pass whose token its route takes, or that needs none; it has the token then.
async fn check(r: &mut Request<'_>, s: &Scratch, asked: &Tokens) -> Result<(), Failure> {
    let text = match bearer(&s.head.fields, s.input.data()) {
        Ok(Some(text)) => text,
        Ok(None) if asked.optional => return Ok(()),
        Ok(None) => {
            write_challenge(Challenge::Missing, &[], &mut r.answer_fields);
            return Err(Failure::NoCredential);
        }
        Err(refusal) => return Err(refused(r, scopes(r.snapshot, asked), refusal)),
    };
    let shown = Shown::of(r, text);
    match taken(r, asked, &shown).await {
        Ok(token) => {
            r.token = Some(token);
            Ok(())
        }
        Err(Doubt::Open) => Ok(()),
        Err(Doubt::Unknown(failure)) => Err(failure),
        Err(Doubt::Refused(refusal)) => Err(refused(r, scopes(r.snapshot, asked), refusal)),
    }
}

/// The token, where its route takes it. Only one that no verifier knows as its issuer's is asked about:
/// what such a token may not do here, no other answer allows.
async fn taken(r: &Request<'_>, asked: &Tokens, shown: &Shown<'_>) -> Result<Rc<Verified>, Doubt> {
    if asked.all {
        return taken_by_all(r, asked, shown).await;
    }
    let all = &r.snapshot.verifiers;
    let mut furthest = None;
    if !asked.verifiers.is_empty() || asked.introspectors.is_empty() {
        match believed(&r.connection.core, all, &asked.verifiers, shown).await {
            Ok((_, token)) => return Ok(token),
            Err(refusal) => furthest = Some(refusal),
        }
    }
    let is_final = |refusal: &Refusal| refusal.is_authentic() || asked.introspectors.is_empty();
    if let Some(refusal) = furthest.filter(is_final) {
        return Err(Doubt::Refused(refusal));
    }
    let known = known(r, &asked.introspectors, shown).await;
    known.map_err(|doubt| match (doubt, furthest) {
        (Doubt::Refused(refusal), Some(other)) => Doubt::Refused(refusal.max(other)),
        (doubt, _) => doubt,
    })
}

/// The token, where all that are asked take it, as the first of them says it.
async fn taken_by_all(
    r: &Request<'_>,
    asked: &Tokens,
    shown: &Shown<'_>,
) -> Result<Rc<Verified>, Doubt> {
    let (core, all) = (&r.connection.core, &r.snapshot.verifiers);
    let mut first = None;
    for index in &asked.verifiers {
        let verdict = believed(core, all, std::slice::from_ref(index), shown).await;
        let (_, token) = verdict.map_err(Doubt::Refused)?;
        first.get_or_insert(token);
    }
    for index in &asked.introspectors {
        match known(r, std::slice::from_ref(index), shown).await {
            Ok(token) => drop(first.get_or_insert(token)),
            // The others must take it all the same.
            Err(Doubt::Open) => {}
            Err(doubt) => return Err(doubt),
        }
    }
    first.ok_or(Doubt::Open)
}

/// The scopes that a route asks for: those of the first who takes its tokens.
fn scopes<'a>(snapshot: &'a Snapshot, asked: &Tokens) -> &'a [String] {
    let verifier = asked.verifiers.first().and_then(|&index| snapshot.verifiers.at(index));
    let introspector =
        asked.introspectors.first().and_then(|&index| snapshot.introspectors.at(index));
    let rules = verifier.map(|one| &one.rules.says);
    rules.or(introspector.map(|one| &one.rules.says)).map_or(&[], |says| &says.scopes)
}

/// The token, where it is for the client that shows it.
fn fitting(token: Rc<Verified>, shown: &Shown<'_>) -> Result<Rc<Verified>, Refusal> {
    if token.is_for(shown.certificate) { Ok(token) } else { Err(Refusal::NotBound) }
}

impl<'a> Shown<'a> {
    fn of(r: &Request<'a>, text: &'a [u8]) -> Self {
        let identity = r.connection.identity.as_deref();
        let certificate = identity.map(|identity| identity.text(ClientAttribute::Fingerprint));
        Self { text, digest: *blake3::hash(text).as_bytes(), certificate }
    }
}

/// The token, where it is taken; keys that it wants are asked for first. Twice, since the first question
/// that is waited for may have been under way before the issuer had them.
async fn believed(
    core: &Core,
    old: &Verifiers,
    asked: &[usize],
    shown: &Shown<'_>,
) -> Result<(usize, Rc<Verified>), Refusal> {
    let mut verdict = any(core, old, asked, shown);
    for _ in 0..2 {
        let wants_keys = verdict.as_ref().is_err_and(|refusal| refusal.is_for_want_of_keys());
        if !wants_keys || !newer_keys(core, old, asked, shown).await {
            break;
        }
        // The indices hold in the newest snapshot unless the configuration is another.
        let newest = core.snapshot();
        let same = |&index: &usize| {
            let pair = old.at(index).zip(newest.verifiers.at(index));
            pair.is_some_and(|(old, new)| old.name == new.name)
        };
        if !asked.iter().all(same) {
            break;
        }
        verdict = any(core, &newest.verifiers, asked, shown);
    }
    verdict
}

/// The token, where one of the verifiers that are asked takes it; else the refusal of the one that got
/// furthest.
fn any(
    core: &Core,
    all: &Verifiers,
    asked: &[usize],
    shown: &Shown<'_>,
) -> Result<(usize, Rc<Verified>), Refusal> {
    let mut furthest = if asked.is_empty() { Refusal::NoKeys } else { Refusal::TooLong };
    for &index in asked {
        let Some(verifier) = all.at(index) else { continue };
        match one(core, (index, verifier), shown) {
            Ok(token) => return Ok((index, token)),
            Err(refusal) => furthest = furthest.max(refusal),
        }
    }
    Err(furthest)
}

fn one(
    core: &Core,
    verifier: (usize, &Verifier),
    shown: &Shown<'_>,
) -> Result<Rc<Verified>, Refusal> {
    let now = core.wall.of(clock::coarse_ns()) / 1_000_000_000;
    let kept = core.tokens.borrow_mut().token(verifier, &shown.digest, now);
    let token = match kept {
        Some(token) => token,
        None => {
            let token = Rc::new(verifier.1.verify(shown.text, now)?);
            core.tokens.borrow_mut().keep(verifier, shown.digest, &token);
            token
        }
    };
    fitting(token, shown)
}

/// Has the issuers asked whose keys the token wants, and waits for them; whether they were asked.
async fn newer_keys(core: &Core, all: &Verifiers, asked: &[usize], shown: &Shown<'_>) -> bool {
    if core.waiting_for_keys.get() >= JWKS_WAITERS {
        return false;
    }
    core.waiting_for_keys.set(core.waiting_for_keys.get() + 1);
    let mut was_asked = false;
    for &index in asked {
        let Some(verifier) = all.at(index) else { continue };
        let wanting = one(core, (index, verifier), shown).is_err_and(Refusal::is_for_want_of_keys);
        if let Some(asking) = verifier.asking.as_ref().filter(|_| wanting)
            && asking.ask(clock::now_ns())
        {
            was_asked = true;
            answered(core, asking, verifier.patience_ns()).await;
        }
    }
    core.waiting_for_keys.set(core.waiting_for_keys.get() - 1);
    was_asked
}

/// Waits until an issuer has answered, or failed to; looks at every tick.
async fn answered(core: &Core, asking: &Asking, patience_ns: u64) {
    let until = clock::coarse_ns().saturating_add(patience_ns);
    let guard = core.watch.stream_guard();
    while asking.is_under_way() && clock::coarse_ns() < until {
        guard.arm(clock::coarse_ns(), Expiry::Wake);
        guard.unless_expired(pending::<()>()).await;
    }
}

fn refused(r: &mut Request<'_>, scopes: &[String], refusal: Refusal) -> Failure {
    if refusal == Refusal::NoKeys {
        return Failure::NoTokenKeys;
    }
    let (challenge, failure) = match refusal.is_insufficient() {
        true => (Challenge::Insufficient, Failure::InsufficientToken(refusal)),
        false => (Challenge::Invalid, Failure::InvalidToken(refusal)),
    };
    write_challenge(challenge, scopes, &mut r.answer_fields);
    failure
}
