//! Whether a request shows a token that its route takes (RFC 6750).

use std::future::pending;
use std::rc::Rc;

use crate::config::ClientAttribute;
use crate::io::{Expiry, clock};
use crate::limits::JWKS_WAITERS;
use crate::policy::auth::jwt::{
    Asking, Challenge, Proved, Refusal, Verified, Verifier, Verifiers, bearer, write_challenge,
};
use crate::policy::auth::{Carrier, Digest, Product};
use crate::respond::failure::Failure;
use crate::snapshot::Tokens;

use super::core::Core;
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
/// first says why.
async fn of_product(r: &mut Request<'_>, s: &Scratch, product: &Product) -> Vec<Proved> {
    let (snapshot, buf) = (r.snapshot, s.input.data());
    let mut said = vec![Proved::Absent; product.verifiers.len()];
    let query = s.head.query.map(|query| query.of(buf));
    let carrier = Carrier { fields: &s.head.fields, buf, query };
    let Some(text) = carrier.find(&product.places.token) else { return said };
    let indices: Vec<_> =
        product.verifiers.iter().filter_map(|name| snapshot.verifiers.index(name)).collect();
    let shown = Shown::of(r, &text);
    match believed(&r.connection.core, &snapshot.verifiers, &indices, &shown).await {
        Ok((index, token)) => {
            let name = snapshot.verifiers.at(index).map(|verifier| &*verifier.name);
            let taker = product.verifiers.iter().position(|one| Some(&**one) == name);
            if let Some(one) = taker.and_then(|at| said.get_mut(at)) {
                *one = Proved::Token(token.clone());
            }
            r.token = Some(token);
        }
        Err(refusal) => {
            if let Some(first) = said.first_mut() {
                *first = Proved::Refused(refusal);
            }
        }
    }
    said
}

/// How a request fails whose token was refused.
pub(super) fn failure(r: &mut Request<'_>, said: &[Proved]) -> Option<Failure> {
    let refusal = said.iter().find_map(|one| match one {
        Proved::Refused(refusal) => Some(*refusal),
        Proved::Absent | Proved::Token(_) => None,
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
        Err(refusal) => return Err(refused(r, &asked.verifiers, refusal)),
    };
    let shown = Shown::of(r, text);
    let all = &r.snapshot.verifiers;
    match believed(&r.connection.core, all, &asked.verifiers, &shown).await {
        Ok((_, token)) => {
            r.token = Some(token);
            Ok(())
        }
        Err(refusal) => Err(refused(r, &asked.verifiers, refusal)),
    }
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
    if token.is_for(shown.certificate) { Ok(token) } else { Err(Refusal::NotBound) }
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

fn refused(r: &mut Request<'_>, asked: &[usize], refusal: Refusal) -> Failure {
    if refusal == Refusal::NoKeys {
        return Failure::NoTokenKeys;
    }
    let (challenge, failure) = match refusal.is_insufficient() {
        true => (Challenge::Insufficient, Failure::InsufficientToken(refusal)),
        false => (Challenge::Invalid, Failure::InvalidToken(refusal)),
    };
    let one = asked.first().and_then(|&index| r.snapshot.verifiers.at(index));
    let scopes = one.map(|verifier| &verifier.rules.scopes[..]).unwrap_or_default();
    write_challenge(challenge, scopes, &mut r.answer_fields);
    failure
}
