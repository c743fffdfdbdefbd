//! Whether a request shows a token that its route takes (RFC 6750).

use std::future::pending;
use std::rc::Rc;

use crate::config::{ClientAttribute, EncodedSlash};
use crate::http::RequestHead;
use crate::io::{Expiry, clock};
use crate::limits::JWKS_WAITERS;
use crate::policy::auth::jwt::{
    Asking, Challenge, Fault, Offered, Proof, ProofAsked, Proved, Refusal, Scheme, Use, Verified,
    Verifier, Verifiers, proof_shown, shown, write_challenges,
};
use crate::policy::auth::{Carrier, Digest, Product};
use crate::policy::transform::{self, Trust, outside};
use crate::respond::failure::Failure;
use crate::snapshot::Tokens;

use super::core::Core;
use super::scratch::Scratch;
use super::task::Request;

/// A token that a request shows, and what may prove that it is the client's.
struct Shown<'a> {
    scheme: Scheme,
    text: &'a [u8],
    digest: Digest,
    /// SHA-256 of the certificate that the client showed, hex.
    certificate: Option<&'a str>,
    head: &'a RequestHead,
    buf: &'a [u8],
    trust: Trust,
    protocol: transform::Scheme,
    slash: EncodedSlash,
}

/// A token that is believed.
struct Believed {
    /// Who takes it.
    index: usize,
    token: Rc<Verified>,
    /// What proves it the client's, where that takes a proof. It is yet to be used up.
    proof: Option<Proof>,
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

/// The token that a request shows to a route that it has not taken yet. `None`: there is none that the
/// route would take.
pub(super) async fn looked_at(
    r: &Request<'_>,
    s: &Scratch,
    route: u32,
) -> Result<Option<Rc<Verified>>, Failure> {
    let route = &r.snapshot.routes[route as usize];
    let (core, all) = (&r.connection.core, &r.snapshot.verifiers);
    let verdict = match route.access().and_then(|access| access.product) {
        Some(slot) => {
            let product = r.snapshot.directory.product(slot);
            let Some(product) = product.filter(|product| product.is_served()) else {
                return Ok(None);
            };
            let asked = verifiers_of(all, product);
            let carrier = carrier(s);
            let found = carrier.token(&product.places.token, offered(all, &asked));
            let Some((scheme, text)) = found else { return Ok(None) };
            believed(core, all, &asked, &Shown::of(r, s, scheme, &text)).await
        }
        None => {
            let Some(Tokens { verifiers: asked, .. }) = route.tokens() else { return Ok(None) };
            let found = shown(&s.head.fields, s.input.data(), offered(all, asked));
            let Ok(Some((scheme, text))) = found else { return Ok(None) };
            believed(core, all, asked, &Shown::of(r, s, scheme, text)).await
        }
    };
    match verdict {
        Ok(believed) => Ok(Some(believed.token)),
        // What can't be known is no reason to take another route.
        Err(Refusal::NoKeys) => Err(Failure::NoTokenKeys),
        Err(_) => Ok(None),
    }
}

/// What a product's verifiers say. The one that takes the token has it to itself; where none does, the
/// first says why.
async fn of_product(r: &mut Request<'_>, s: &Scratch, product: &Product) -> Vec<Proved> {
    let all = &r.snapshot.verifiers;
    let mut said = vec![Proved::Absent; product.verifiers.len()];
    let indices = verifiers_of(all, product);
    let found = carrier(s).token(&product.places.token, offered(all, &indices));
    let Some((scheme, text)) = found else { return said };
    let core = &r.connection.core;
    let shown = Shown::of(r, s, scheme, &text);
    match believed(core, all, &indices, &shown).await.and_then(|it| used_up(core, it)) {
        Ok((index, token)) => {
            let name = all.at(index).map(|verifier| &*verifier.name);
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

fn carrier(s: &Scratch) -> Carrier<'_> {
    let buf = s.input.data();
    Carrier { fields: &s.head.fields, buf, query: s.head.query.map(|query| query.of(buf)) }
}

/// Those of a product's verifiers that there are.
fn verifiers_of(all: &Verifiers, product: &Product) -> Vec<usize> {
    product.verifiers.iter().filter_map(|name| all.index(name)).collect()
}

/// In which ways these take tokens.
fn offered(all: &Verifiers, asked: &[usize]) -> Offered {
    Offered::by(asked.iter().filter_map(|&index| all.at(index)).map(|one| one.rules.dpop))
}

/// How a request to a product fails whose token was refused.
pub(super) fn failure(r: &mut Request<'_>, said: &[Proved]) -> Option<Failure> {
    let refusal = said.iter().find_map(|one| match one {
        Proved::Refused(refusal) => Some(*refusal),
        Proved::Absent | Proved::Token(_) => None,
    })?;
    let asked = r.product.map(|(_, product)| verifiers_of(&r.snapshot.verifiers, product));
    let went = match refusal {
        Refusal::Unproved(_) => Scheme::Dpop,
        _ => Scheme::Bearer,
    };
    Some(refused(r, &asked.unwrap_or_default(), went, refusal))
}

/// Tells clients of a product who showed nothing that proofs are taken.
pub(super) fn offer_proofs(r: &mut Request<'_>, product: &Product) {
    let asked = verifiers_of(&r.snapshot.verifiers, product);
    let offered = Offered { bearer: false, ..offered(&r.snapshot.verifiers, &asked) };
    let out = &mut r.answer_fields;
    write_challenges(Challenge::Missing, Scheme::Bearer, offered, &[], out);
}

/// Lets a request pass whose token its route takes, or that needs none; it has the token then.
async fn check(r: &mut Request<'_>, s: &Scratch, asked: &Tokens) -> Result<(), Failure> {
    let all = &r.snapshot.verifiers;
    let offered = offered(all, &asked.verifiers);
    let (scheme, text) = match shown(&s.head.fields, s.input.data(), offered) {
        Ok(Some(found)) => found,
        Ok(None) if asked.optional => return Ok(()),
        Ok(None) => {
            let out = &mut r.answer_fields;
            write_challenges(Challenge::Missing, Scheme::Bearer, offered, &[], out);
            return Err(Failure::NoCredential);
        }
        Err(refusal) => return Err(refused(r, &asked.verifiers, Scheme::Bearer, refusal)),
    };
    let core = &r.connection.core;
    let shown = Shown::of(r, s, scheme, text);
    let verdict = believed(core, all, &asked.verifiers, &shown).await;
    match verdict.and_then(|it| used_up(core, it)) {
        Ok((_, token)) => {
            r.token = Some(token);
            Ok(())
        }
        Err(refusal) => Err(refused(r, &asked.verifiers, scheme, refusal)),
    }
}

impl<'a> Shown<'a> {
    fn of(r: &Request<'a>, s: &'a Scratch, scheme: Scheme, text: &'a [u8]) -> Self {
        let identity = r.connection.identity.as_deref();
        Self {
            scheme,
            text,
            digest: *blake3::hash(text).as_bytes(),
            certificate: identity.map(|identity| identity.text(ClientAttribute::Fingerprint)),
            head: &s.head,
            buf: s.input.data(),
            trust: Trust::of(r.client.trusted, r.listener.client_address_from),
            protocol: r.connection.scheme(),
            slash: r.listener.http.encoded_slash,
        }
    }

    /// The proof that comes with it, if that is of this key.
    fn proof(&self, thumbprint: &str, verifier: &Verifier, now: u64) -> Result<Proof, Fault> {
        let (scheme, authority) = outside(self.head, self.buf, self.trust, self.protocol);
        let asked = ProofAsked {
            method: self.head.method_span.of(self.buf),
            scheme: scheme.as_bytes(),
            authority,
            path: self.head.path.of(self.buf),
            slash: self.slash,
            token: self.text,
        };
        let text = proof_shown(&self.head.fields, self.buf)?;
        let proof = Proof::read(text, &asked, now, verifier.rules.leeway.as_secs())?;
        if *proof.thumbprint == *thumbprint { Ok(proof) } else { Err(Fault::OtherKey) }
    }
}

/// A token whose proof, if it has one, is used here and nowhere again.
fn used_up(core: &Core, believed: Believed) -> Result<(usize, Rc<Verified>), Refusal> {
    let Believed { index, token, proof } = believed;
    match proof.map(|proof| core.shared.proofs.take(&proof, now_s(core))) {
        None | Some(Use::First) => Ok((index, token)),
        Some(Use::Again) => Err(Refusal::Unproved(Fault::Used)),
        Some(Use::NoRoom) => Err(Refusal::NoRoom),
    }
}

fn now_s(core: &Core) -> u64 {
    core.wall.of(clock::coarse_ns()) / 1_000_000_000
}

/// The token, where it is taken; keys that it wants are looked for in the newest snapshot, then asked
/// for. Twice, since the first question that is waited for may have been under way before the issuer had
/// them.
async fn believed(
    core: &Core,
    old: &Verifiers,
    asked: &[usize],
    shown: &Shown<'_>,
) -> Result<Believed, Refusal> {
    let mut verdict = any(core, old, asked, shown);
    for round in 0..3 {
        let wants_keys = verdict.as_ref().is_err_and(|refusal| refusal.is_for_want_of_keys());
        if !wants_keys || round > 0 && !newer_keys(core, old, asked, shown).await {
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
        if round > 0 || !std::ptr::eq(&*newest.verifiers, old) {
            verdict = any(core, &newest.verifiers, asked, shown);
        }
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
) -> Result<Believed, Refusal> {
    let mut furthest = if asked.is_empty() { Refusal::NoKeys } else { Refusal::TooLong };
    for &index in asked {
        let Some(verifier) = all.at(index) else { continue };
        match one(core, (index, verifier), shown) {
            Ok((token, proof)) => return Ok(Believed { index, token, proof }),
            Err(refusal) => furthest = furthest.max(refusal),
        }
    }
    Err(furthest)
}

fn one(
    core: &Core,
    verifier: (usize, &Verifier),
    shown: &Shown<'_>,
) -> Result<(Rc<Verified>, Option<Proof>), Refusal> {
    let now = now_s(core);
    let kept = core.tokens.borrow_mut().token(verifier, &shown.digest, now);
    let token = match kept {
        Some(token) => token,
        None => {
            let token = Rc::new(verifier.1.verify(shown.text, now)?);
            core.tokens.borrow_mut().keep(verifier, shown.digest, &token);
            token
        }
    };
    let proof = match token.holder(shown.scheme, verifier.1.rules.dpop, shown.certificate)? {
        Some(key) => Some(shown.proof(key, verifier.1, now).map_err(Refusal::Unproved)?),
        None => None,
    };
    Ok((token, proof))
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

/// How a request fails whose token was refused by those who were asked.
fn refused(r: &mut Request<'_>, asked: &[usize], went: Scheme, refusal: Refusal) -> Failure {
    let (challenge, failure) = match refusal {
        Refusal::NoKeys => return Failure::NoTokenKeys,
        Refusal::NoRoom => return Failure::IdentityOverloaded,
        Refusal::Unproved(fault) => (Challenge::Unproved, Failure::InvalidProof(fault)),
        refusal if refusal.is_insufficient() => {
            (Challenge::Insufficient, Failure::InsufficientToken(refusal))
        }
        refusal => (Challenge::Invalid, Failure::InvalidToken(refusal)),
    };
    let all = &r.snapshot.verifiers;
    let one = asked.first().and_then(|&index| all.at(index));
    let scopes = one.map(|verifier| &verifier.rules.scopes[..]).unwrap_or_default();
    write_challenges(challenge, went, offered(all, asked), scopes, &mut r.answer_fields);
    failure
}
