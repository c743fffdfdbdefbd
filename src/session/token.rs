//! Whether a request shows a token that its route takes (RFC 6750).

use std::future::pending;
use std::rc::Rc;

use crate::config::ClientAttribute;
use crate::io::{Expiry, clock};
use crate::limits::JWKS_WAITERS;
use crate::policy::auth::Digest;
use crate::policy::auth::jwt::{
    Asking, Challenge, Refusal, Verified, Verifier, Verifiers, bearer, write_challenge,
};
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

/// Lets a request pass whose token its route takes, or that needs none; it has the token then.
pub(super) async fn check(r: &mut Request<'_>, s: &Scratch) -> Result<(), Failure> {
    let (snapshot, core) = (r.snapshot, &*r.connection.core);
    let route = &snapshot.routes[r.route.unwrap_or_default()];
    let Some(asked) = route.tokens() else { return Ok(()) };
    let text = match bearer(&s.head.fields, s.input.data()) {
        Ok(Some(text)) => text,
        Ok(None) if asked.optional => return Ok(()),
        Ok(None) => {
            write_challenge(Challenge::Missing, &[], &mut r.limit_fields);
            return Err(Failure::NoCredential);
        }
        Err(refusal) => return Err(refused(r, asked, refusal)),
    };
    let identity = r.connection.identity.as_deref();
    let certificate = identity.map(|identity| identity.text(ClientAttribute::Fingerprint));
    let shown = Shown { text, digest: *blake3::hash(text).as_bytes(), certificate };
    match believed(core, &snapshot.verifiers, asked, &shown).await {
        Ok(token) => {
            r.token = Some(token);
            Ok(())
        }
        Err(refusal) => Err(refused(r, asked, refusal)),
    }
}

/// The token, where it is taken; keys that it wants are asked for first. Twice, since the first question
/// that is waited for may have been under way before the issuer had them.
async fn believed(
    core: &Core,
    old: &Verifiers,
    asked: &Tokens,
    shown: &Shown<'_>,
) -> Result<Rc<Verified>, Refusal> {
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
        if !asked.verifiers.iter().all(same) {
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
    asked: &Tokens,
    shown: &Shown<'_>,
) -> Result<Rc<Verified>, Refusal> {
    let mut furthest = Refusal::TooLong;
    for &index in &asked.verifiers {
        let Some(verifier) = all.at(index) else { continue };
        match one(core, (index, verifier), shown) {
            Ok(token) => return Ok(token),
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
async fn newer_keys(core: &Core, all: &Verifiers, asked: &Tokens, shown: &Shown<'_>) -> bool {
    if core.waiting_for_keys.get() >= JWKS_WAITERS {
        return false;
    }
    core.waiting_for_keys.set(core.waiting_for_keys.get() + 1);
    let mut was_asked = false;
    for &index in &asked.verifiers {
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

fn refused(r: &mut Request<'_>, asked: &Tokens, refusal: Refusal) -> Failure {
    if refusal == Refusal::NoKeys {
        return Failure::NoTokenKeys;
    }
    let (challenge, failure) = match refusal.is_insufficient() {
        true => (Challenge::Insufficient, Failure::InsufficientToken(refusal)),
        false => (Challenge::Invalid, Failure::InvalidToken(refusal)),
    };
    let one = asked.verifiers.first().and_then(|&index| r.snapshot.verifiers.at(index));
    let scopes = one.map(|verifier| &verifier.rules.scopes[..]).unwrap_or_default();
    write_challenge(challenge, scopes, &mut r.limit_fields);
    failure
}
