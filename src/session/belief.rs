//! Whether a token is believed that a request shows: by those who tell it by its signature, whose keys are
//! waited for, and by servers that know it.

use std::cmp::Reverse;
use std::future::pending;
use std::rc::Rc;

use crate::config::{ClientAttribute, Dpop, EncodedSlash};
use crate::http::RequestHead;
use crate::io::{Expiry, clock};
use crate::limits::JWKS_WAITERS;
use crate::policy::auth::Digest;
use crate::policy::auth::jwt::{
    Asking, Fault, Proof, ProofAsked, Refusal, Scheme, Use, Verified, Verifier, Verifiers,
    proof_shown,
};
use crate::policy::transform::{self, Trust, outside};
use crate::snapshot::Tokens;

use super::core::Core;
use super::introspection::{Doubt, introspect};
use super::scratch::Scratch;
use super::task::Request;

/// A token that a request shows, and what may prove that it is the client's.
pub(super) struct Shown<'a> {
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
    /// The thumbprint of a key that the client proved already to have, for others who take the token too.
    proved: Option<Box<str>>,
}

/// A token that is believed.
pub(super) struct Believed {
    /// Which verifier takes it, of those that signatures are shown to.
    index: Option<usize>,
    pub(super) token: Rc<Verified>,
    /// What proves it the client's, where that takes a proof. It is yet to be used up.
    proof: Option<Proof>,
}

/// The token, where its route takes it. Only one that is of no verifier's issuer is asked about: what such a
/// token may not do here, no other answer allows.
pub(super) async fn taken(
    r: &Request<'_>,
    asked: &Tokens,
    shown: Shown<'_>,
) -> Result<Believed, Doubt> {
    if asked.all {
        return taken_by_all(r, asked, shown).await;
    }
    let all = &r.snapshot.verifiers;
    let mut furthest = None;
    if !asked.verifiers.is_empty() || asked.introspectors.is_empty() {
        match believed(&r.connection.core, all, &asked.verifiers, &shown).await {
            Ok(believed) => return Ok(believed),
            Err(refusal) => furthest = Some(refusal),
        }
    }
    let is_final = |refusal: &Refusal| {
        asked.introspectors.is_empty() || is_theirs(all, &asked.verifiers, *refusal, shown.text)
    };
    if let Some(refusal) = furthest.filter(is_final) {
        return Err(Doubt::Refused(refusal));
    }
    let known = known(r, &asked.introspectors, &shown).await;
    known.map_err(|doubt| match (doubt, furthest) {
        (Doubt::Refused(refusal), Some(other)) => Doubt::Refused(refusal.max(other)),
        (doubt, _) => doubt,
    })
}

/// Whether a token that these refuse is theirs to refuse, and no server's to know: their issuer signed it, or it
/// says so.
pub(super) fn is_theirs(all: &Verifiers, asked: &[usize], refusal: Refusal, text: &[u8]) -> bool {
    let mut verifiers = asked.iter().filter_map(|&index| all.at(index));
    refusal.is_authentic() || verifiers.any(|verifier| verifier.is_named_by(text))
}

/// The token, where all that are asked take it. The strictest has its proof, if any, which is one for all.
async fn taken_by_all(
    r: &Request<'_>,
    asked: &Tokens,
    mut shown: Shown<'_>,
) -> Result<Believed, Doubt> {
    let (core, all) = (&r.connection.core, &r.snapshot.verifiers);
    let mut verifiers = asked.verifiers.to_vec();
    verifiers.sort_by_key(|&index| Reverse(all.at(index).map(|one| one.rules.dpop)));
    let mut first: Option<Believed> = None;
    for index in &verifiers {
        let verdict = believed(core, all, std::slice::from_ref(index), &shown).await;
        let believed = verdict.map_err(Doubt::Refused)?;
        if let Some(proof) = &believed.proof {
            shown.proved = Some(proof.thumbprint.clone());
        }
        first.get_or_insert(believed);
    }
    for index in &asked.introspectors {
        match known(r, std::slice::from_ref(index), &shown).await {
            Ok(believed) => {
                first.get_or_insert(believed);
            }
            // The others must take it all the same.
            Err(Doubt::Open) => {}
            Err(doubt) => return Err(doubt),
        }
    }
    first.ok_or(Doubt::Open)
}

/// The token, where one of these servers knows it. Of several the first that does; else what is doubtful
/// counts more than what is wrong, since it could be right.
pub(super) async fn known(
    r: &Request<'_>,
    asked: &[usize],
    shown: &Shown<'_>,
) -> Result<Believed, Doubt> {
    let (mut furthest, mut doubt) = (Refusal::TooLong, None);
    for &index in asked {
        let Some(introspector) = r.snapshot.introspectors.at(index) else { continue };
        let one = introspect(&r.connection.core, (index, introspector), shown.text).await;
        match one.and_then(|token| fitting(token, shown).map_err(Doubt::Refused)) {
            Ok(token) => return Ok(token),
            Err(Doubt::Refused(refusal)) => furthest = furthest.max(refusal),
            Err(Doubt::Open) => doubt = doubt.or(Some(Doubt::Open)),
            Err(unknown) => doubt = doubt.filter(|doubt| *doubt != Doubt::Open).or(Some(unknown)),
        }
    }
    Err(doubt.unwrap_or(Doubt::Refused(furthest)))
}

/// What a server knows, where it is for the client that shows it. It asks for no proof of its own.
fn fitting(token: Rc<Verified>, shown: &Shown<'_>) -> Result<Believed, Refusal> {
    shown.key_to_prove(&token, Dpop::Off)?;
    Ok(Believed { index: None, token, proof: None })
}

impl<'a> Shown<'a> {
    pub(super) fn of(r: &Request<'a>, s: &'a Scratch, scheme: Scheme, text: &'a [u8]) -> Self {
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
            proved: None,
        }
    }

    /// The same, once a verifier has taken it as this.
    pub(super) fn after(self, taken: Option<&Verified>) -> Self {
        let key = taken.filter(|_| self.scheme == Scheme::Dpop).and_then(Verified::key);
        Self { proved: key.map(Box::from), ..self }
    }

    /// The key that is yet to be proved before the token may be used, if any.
    fn key_to_prove<'t>(
        &self,
        token: &'t Verified,
        dpop: Dpop,
    ) -> Result<Option<&'t str>, Refusal> {
        match &self.proved {
            None => token.holder(self.scheme, dpop, self.certificate),
            Some(key) if token.is_for(self.certificate, Some(key)) => Ok(None),
            Some(_) => Err(Refusal::NotBound),
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
pub(super) fn used_up(
    core: &Core,
    believed: Believed,
) -> Result<(Option<usize>, Rc<Verified>), Refusal> {
    let Believed { index, token, proof } = believed;
    // It may have waited for what others say of the token; the table forgets what holds no longer.
    if proof.as_ref().is_some_and(|proof| proof.ends_at <= now_s(core)) {
        return Err(Refusal::Unproved(Fault::Time));
    }
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
pub(super) async fn believed(
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
            Ok((token, proof)) => return Ok(Believed { index: Some(index), token, proof }),
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
    let proof = match shown.key_to_prove(&token, verifier.1.rules.dpop)? {
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
