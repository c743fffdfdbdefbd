//! Whether a request shows a token that its route takes (RFC 6750).

use std::future::pending;
use std::rc::Rc;

use crate::config::file::Lifecycle;
use crate::config::{ClientAttribute, Dpop, EncodedSlash};
use crate::http::RequestHead;
use crate::io::{Expiry, clock};
use crate::limits::JWKS_WAITERS;
use crate::policy::auth::jwt::{
    Asking, Challenge, Fault, Offered, Proof, ProofAsked, Proved, Refusal, Scheme, Use, Verified,
    Verifier, Verifiers, proof_shown, shown, write_challenges,
};
use crate::policy::auth::product::Way;
use crate::policy::auth::{Carrier, Digest, Product};
use crate::policy::transform::{self, Trust, outside};
use crate::respond::failure::Failure;
use crate::snapshot::{Snapshot, Tokens};

use super::core::Core;
use super::introspection::{Doubt, introspect as introspect_one};
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
    /// Which verifier takes it, of those that signatures are shown to.
    index: Option<usize>,
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
        let said = of_product(r, s, product).await;
        let route = u32::try_from(r.route.unwrap_or_default()).unwrap_or(u32::MAX);
        // What chose the route must hold, whatever else is shown.
        if r.snapshot.table.source(route).is_some()
            && let Some(failure) = failure(r, &said)
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
            let found = carrier(s).token(&product.places.token, offered(r.snapshot, &asked));
            let Some((scheme, text)) = found else { return Ok(None) };
            taken(r, &asked, &Shown::of(r, s, scheme, &text)).await
        }
        None => {
            let Some(asked) = route.tokens().cloned().and_then(signed) else { return Ok(None) };
            let found = shown(&s.head.fields, s.input.data(), offered(r.snapshot, &asked));
            let Ok(Some((scheme, text))) = found else { return Ok(None) };
            taken(r, &asked, &Shown::of(r, s, scheme, text)).await
        }
    };
    match verdict {
        Ok(believed) => Ok(Some(believed.token)),
        // What can't be known is no reason to take another route.
        Err(Doubt::Refused(Refusal::NoKeys)) => Err(Failure::NoTokenKeys),
        Err(Doubt::Unknown(failure)) => Err(failure),
        Err(Doubt::Refused(_) | Doubt::Open) => Ok(None),
    }
}

/// What a product's verifiers say. The one that takes the token has it to itself; where none does, the
/// first says why, unless servers are still to be asked that may know the token.
async fn of_product(r: &mut Request<'_>, s: &Scratch, product: &Product) -> Vec<Proved> {
    let snapshot = r.snapshot;
    let mut said = vec![Proved::Absent; product.verifiers.len()];
    let offered = offered(snapshot, &takers(snapshot, product));
    let found = carrier(s).token(&product.places.token, offered);
    let Some((scheme, text)) = found else { return said };
    let names = |way: &Way| match way {
        Way::Jwt(at) => product.verifiers.get(usize::from(*at)).zip(Some(usize::from(*at))),
        _ => None,
    };
    let (mut places, mut indices) = (Vec::new(), Vec::new());
    for (name, place) in product.ways.iter().filter_map(names) {
        places.push(place);
        indices.extend(snapshot.verifiers.index(name));
    }
    let core = &r.connection.core;
    let shown = Shown::of(r, s, scheme, &text);
    let mut is_known = false;
    if let Some(&first) = places.first() {
        let verdict = believed(core, &snapshot.verifiers, &indices, &shown).await;
        let verdict = verdict.and_then(|it| used_up(core, it));
        is_known = verdict.as_ref().err().is_none_or(|refusal| refusal.is_authentic());
        match verdict {
            Ok((index, token)) => {
                let taker = index.and_then(|index| snapshot.verifiers.at(index));
                let name = taker.map(|verifier| &*verifier.name);
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
    let offered = offered(r.snapshot, &takers(r.snapshot, product));
    let found = carrier(s).token(&product.places.token, offered);
    let (Some(index), Some((scheme, text))) = (index, found) else {
        // The product is the store's, and the configuration has no such server.
        return Ok(Proved::Refused(Refusal::NoKeys));
    };
    let shown = Shown::of(r, s, scheme, &text);
    match known(r, &[index], &shown).await {
        Ok(Believed { token, .. }) => {
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
async fn known(r: &Request<'_>, asked: &[usize], shown: &Shown<'_>) -> Result<Believed, Doubt> {
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

/// In which ways those who are asked take tokens. Servers are shown what stands by itself.
fn offered(snapshot: &Snapshot, asked: &Tokens) -> Offered {
    let verifiers = asked.verifiers.iter().filter_map(|&index| snapshot.verifiers.at(index));
    let servers = asked.introspectors.iter().map(|_| Dpop::Off);
    Offered::by(verifiers.map(|one| one.rules.dpop).chain(servers))
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
pub(super) fn failure(r: &mut Request<'_>, said: &[Proved]) -> Option<Failure> {
    let refusal = said.iter().find_map(|one| match one {
        Proved::Refused(refusal) => Some(*refusal),
        Proved::Absent | Proved::Unasked | Proved::Open | Proved::Token(_) => None,
    })?;
    let asked = takers(r.snapshot, r.product?.1);
    let went = match refusal {
        Refusal::Unproved(_) => Scheme::Dpop,
        _ => Scheme::Bearer,
    };
    Some(refused(r, &asked, went, refusal))
}

/// Tells clients of a product who showed nothing that proofs are taken.
pub(super) fn offer_proofs(r: &mut Request<'_>, product: &Product) {
    let offered = offered(r.snapshot, &takers(r.snapshot, product));
    let offered = Offered { bearer: false, ..offered };
    let out = &mut r.answer_fields;
    write_challenges(Challenge::Missing, Scheme::Bearer, offered, &[], out);
}

/// Lets a request pass whose token its route takes, or that needs none; it has the token then.
async fn check(r: &mut Request<'_>, s: &Scratch, asked: &Tokens) -> Result<(), Failure> {
    let offered = offered(r.snapshot, asked);
    let (scheme, text) = match shown(&s.head.fields, s.input.data(), offered) {
        Ok(Some(found)) => found,
        Ok(None) if asked.optional => return Ok(()),
        Ok(None) => {
            let out = &mut r.answer_fields;
            write_challenges(Challenge::Missing, Scheme::Bearer, offered, &[], out);
            return Err(Failure::NoCredential);
        }
        Err(refusal) => return Err(refused(r, asked, Scheme::Bearer, refusal)),
    };
    let core = &r.connection.core;
    let shown = Shown::of(r, s, scheme, text);
    let verdict = taken(r, asked, &shown).await;
    match verdict.and_then(|it| used_up(core, it).map_err(Doubt::Refused)) {
        Ok((_, token)) => {
            r.token = Some(token);
            Ok(())
        }
        Err(Doubt::Open) => Ok(()),
        Err(Doubt::Unknown(failure)) => Err(failure),
        Err(Doubt::Refused(refusal)) => Err(refused(r, asked, scheme, refusal)),
    }
}

/// The token, where its route takes it. Only one that no verifier knows as its issuer's is asked about:
/// what such a token may not do here, no other answer allows.
async fn taken(r: &Request<'_>, asked: &Tokens, shown: &Shown<'_>) -> Result<Believed, Doubt> {
    if asked.all {
        return taken_by_all(r, asked, shown).await;
    }
    let all = &r.snapshot.verifiers;
    let mut furthest = None;
    if !asked.verifiers.is_empty() || asked.introspectors.is_empty() {
        match believed(&r.connection.core, all, &asked.verifiers, shown).await {
            Ok(believed) => return Ok(believed),
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

/// The token, where all that are asked take it, as the first of them says it; with a proof, where any of
/// them takes one.
async fn taken_by_all(
    r: &Request<'_>,
    asked: &Tokens,
    shown: &Shown<'_>,
) -> Result<Believed, Doubt> {
    let (core, all) = (&r.connection.core, &r.snapshot.verifiers);
    let mut first: Option<Believed> = None;
    for index in &asked.verifiers {
        let verdict = believed(core, all, std::slice::from_ref(index), shown).await;
        let Believed { index, token, proof } = verdict.map_err(Doubt::Refused)?;
        let first = first.get_or_insert(Believed { index, token, proof: None });
        first.proof = first.proof.take().or(proof);
    }
    for index in &asked.introspectors {
        match known(r, std::slice::from_ref(index), shown).await {
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

/// The scopes that a route asks for: those of the first who takes its tokens.
fn scopes<'a>(snapshot: &'a Snapshot, asked: &Tokens) -> &'a [String] {
    let verifier = asked.verifiers.first().and_then(|&index| snapshot.verifiers.at(index));
    let introspector =
        asked.introspectors.first().and_then(|&index| snapshot.introspectors.at(index));
    let rules = verifier.map(|one| &one.rules.says);
    rules.or(introspector.map(|one| &one.rules.says)).map_or(&[], |says| &says.scopes)
}

/// What a server knows, where it is for the client that shows it. Proofs are for those who sign.
fn fitting(token: Rc<Verified>, shown: &Shown<'_>) -> Result<Believed, Refusal> {
    token.holder(shown.scheme, Dpop::Off, shown.certificate)?;
    Ok(Believed { index: None, token, proof: None })
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
fn used_up(core: &Core, believed: Believed) -> Result<(Option<usize>, Rc<Verified>), Refusal> {
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
    write_challenges(challenge, went, offered, scopes, &mut r.answer_fields);
    failure
}
