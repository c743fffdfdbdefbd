//! A request's rules, in the order that docs/REQUEST.md promises: address rules, limits that ask
//! nothing of who calls, the service that is asked, authentication, plan and method, limits of the
//! application, and last concurrency, whose places must be given back.

use std::sync::Arc;

use crate::config::file::Lifecycle;
use crate::http::{Bad, values};
use crate::policy::auth::jwt::Proved;
use crate::policy::auth::{
    Admitted, Asked, Carrier, Digest, Directory, NoAnswer, PasswordQuestion, Product, Refusal,
    Stop, Wanted, admit,
};
use crate::policy::limit::fields::{Policy, Told};
use crate::policy::limit::{self, Charge, Judgement, KeySource, Rule};
use crate::policy::quota::Charged;
use crate::policy::{Denied, Passed, Permit, enter, judge_rates};
use crate::respond::failure::Failure;

use super::scratch::Scratch;
use super::task::Request;
use super::token;
use super::{accounting, form, forward_auth};

/// Judges a request that has its route.
pub(super) async fn judge(r: &mut Request<'_>, s: &mut Scratch) -> Result<Permit, Failure> {
    take_product(r, s)?;
    check_address(r)?;
    // Boxed: what waits is large, and rare.
    if form::is_wanted(r, s) {
        r.is_form = Box::pin(form::wait(r, s)).await?;
    }
    let s = &*s;
    let buf = s.input.data();
    let path = s.head.path.of(buf);
    let parameter = |ix| s.params.value(ix, path);
    let keys = key_source(r, s, &parameter);
    let mut asked = Rates::default();
    let permit = ask(r, s, &keys, &mut asked).await;
    tell(r, &asked);
    count_verdict(r, &asked);
    permit
}

/// What limits may be kept for, of a request of which it is not known who sends it.
fn key_source<'k>(
    r: &Request<'k>,
    s: &'k Scratch,
    path_parameter: &'k dyn Fn(usize) -> &'k [u8],
) -> KeySource<'k> {
    let buf = s.input.data();
    KeySource {
        client: r.client.addr,
        ipv6_prefix: r.snapshot.ipv6_prefix,
        fields: &s.head.fields,
        buf,
        query: s.head.query.map(|q| q.of(buf)),
        identity: r.connection.identity.as_deref(),
        application: None,
        claims: None,
        path_parameter,
    }
}

/// What the rate limits said.
#[derive(Default)]
struct Rates<'a> {
    judgement: Option<Judgement<'a>>,
    /// What the quotas said.
    charged: Option<Charged<'a>>,
    /// Which of all limits refused.
    denied: Option<Denied>,
}

/// What a request showed that took more than a lookup to judge.
#[derive(Default)]
struct Shown {
    tokens: Vec<Proved>,
    /// The question about its password, and the answer.
    answered: Option<(Digest, Result<bool, NoAnswer>)>,
}

/// A route is there as long as its product is.
fn take_product(r: &mut Request<'_>, s: &mut Scratch) -> Result<(), Failure> {
    let route = &r.snapshot.routes[r.route.unwrap_or_default()];
    let Some(slot) = route.access().and_then(|access| access.product) else { return Ok(()) };
    let product = r.snapshot.directory.product(slot).ok_or(Failure::NoRoute)?;
    if !product.forward {
        r.hide(&product.secrets.parameters, s);
    }
    if product.state == Lifecycle::Draft {
        return Err(Failure::NoRoute);
    }
    r.product = Some((slot, product));
    r.answer_fields.extend_from_slice(&product.notice);
    match product.state {
        Lifecycle::Retired => Err(Failure::ProductRetired),
        _ => Ok(()),
    }
}

fn check_address(r: &Request<'_>) -> Result<(), Failure> {
    match r.route().access() {
        Some(access) if !access.lets_in(r.client.addr) => Err(Failure::AddressDenied),
        _ => Ok(()),
    }
}

/// The order of all that may refuse from here on.
async fn ask<'a>(
    r: &mut Request<'a>,
    s: &Scratch,
    keys: &KeySource<'_>,
    rates: &mut Rates<'a>,
) -> Result<Permit, Failure> {
    let passed = ask_rates(r, addressed(r).into_iter().flatten().map(Charge::one), keys, rates)?;
    check_authorization(r, s)?;
    // Boxed: what waits is large, and rare.
    if let Some(keeper) = forward_auth::gatekeeper(r) {
        Box::pin(forward_auth::ask(r, s, keeper)).await?;
    }
    let mut shown = Shown::default();
    // Boxed too.
    if token::is_asked_for(r) {
        shown.tokens = Box::pin(token::prove(r, s)).await?;
    }
    let passed = match r.product {
        None if r.route().caller_limits().is_empty() => passed,
        _ => {
            r.admitted = authenticate(r, s, &mut shown).await?;
            accounting::foresee(r);
            let passed = ask_caller(r, s, rates)?;
            rates.charged = accounting::charge(r);
            accounting::refused(rates.charged.as_ref())?;
            passed
        }
    };
    let shared = &r.connection.core.shared.limits;
    let permit = enter(passed, shared, keys, &r.route().concurrency());
    let permit = permit.map_err(|denied| {
        rates.denied = Some(denied);
        Failure::from(denied)
    })?;
    match write(r, s, &shown).await {
        Ok(()) => Ok(permit),
        Err(failure) => {
            permit.leave(&r.connection.core.shared.limits);
            Err(failure)
        }
    }
}

/// Who calls is said once, where anybody looks for it here: of two fields the gateway, a service that is asked
/// and the upstream could each believe another.
fn check_authorization(r: &Request<'_>, s: &Scratch) -> Result<(), Failure> {
    let named = "authorization";
    let is_looked_for = r.route().tokens().is_some()
        || r.product.is_some_and(|(_, product)| product.secrets.fields.has(named.as_bytes()))
        || forward_auth::gatekeeper(r).is_some_and(|keeper| keeper.is_told(named));
    let is_repeated = || values(&s.head.fields, s.input.data(), named.as_bytes()).nth(1).is_some();
    match is_looked_for && is_repeated() {
        true => Err(Failure::BadRequest(Bad::RepeatedAuthorization)),
        false => Ok(()),
    }
}

/// Waits until what a strict plan's request was charged is on the disk.
async fn write(r: &mut Request<'_>, s: &Scratch, shown: &Shown) -> Result<(), Failure> {
    let credential = r.admitted.as_ref().and_then(|admitted| admitted.credential);
    match accounting::write(r).await? {
        true => judge_again(r, s, shown, credential),
        false => Ok(()),
    }
}

/// Rules that are asked before it is known who calls.
fn addressed<'a>(r: &Request<'a>) -> [&'a [Rule]; 3] {
    let route = &r.snapshot.routes[r.route.unwrap_or_default()];
    [&r.listener.limits, route.limits(), &r.snapshot.limits]
}

/// A token of each of these, or what is charged.
fn ask_rates<'a>(
    r: &Request<'a>,
    charges: impl Iterator<Item = Charge<'a>> + Clone,
    keys: &KeySource<'_>,
    rates: &mut Rates<'a>,
) -> Result<Passed, Failure> {
    let core = &r.connection.core;
    let local = &mut core.limits.borrow_mut();
    let shared = &core.shared.limits;
    let (passed, judgement) = judge_rates(local, shared, charges, keys, r.account.began_ns);
    rates.judgement = match (rates.judgement, judgement) {
        (Some(first), Some(second)) => Some(first.and(second)),
        (first, second) => second.or(first),
    };
    passed.map_err(|denied| {
        rates.denied = Some(denied);
        denied.into()
    })
}

/// Which application calls, if any, and whether its plan lets it. What takes more than a lookup is
/// asked first.
async fn authenticate<'a>(
    r: &mut Request<'a>,
    s: &Scratch,
    shown: &mut Shown,
) -> Result<Option<Admitted<'a>>, Failure> {
    let Some((slot, product)) = r.product else { return Ok(None) };
    let whom = (&*r.snapshot.directory, slot, product);
    let mut verdict = self::verdict(r, s, whom, shown);
    // Each way asks once at most.
    while let Err(Stop::Ask(wanted)) = verdict {
        // Boxed: what waits is large, and rare.
        match wanted {
            Wanted::Password(question) => {
                shown.answered = Some(Box::pin(ask_password(r, question)).await);
            }
            Wanted::Token(at) => {
                let said = Box::pin(token::introspect(r, s, product, at)).await;
                shown.tokens[usize::from(at)] = said;
            }
        }
        verdict = self::verdict(r, s, whom, shown);
    }
    let admitted = verdict.map_err(|stop| refused(r, s, shown, stop))?;
    judge_again(r, s, shown, admitted.credential)?;
    Ok(Some(admitted))
}

/// What was revoked while a request waited, for keys, an answer or the disk, counts already, though
/// its snapshot does not know. It was let in by this credential, and no other that it shows takes its place.
fn judge_again(
    r: &mut Request<'_>,
    s: &Scratch,
    shown: &Shown,
    credential: Option<u64>,
) -> Result<(), Failure> {
    let newest = r.connection.core.snapshot();
    let Some((slot, before)) = r.product else { return Ok(()) };
    if Arc::ptr_eq(&newest.directory, &r.snapshot.directory) {
        return Ok(());
    }
    let product = newest.directory.product(slot).ok_or(Failure::NoRoute)?;
    match product.state {
        Lifecycle::Draft => return Err(Failure::NoRoute),
        Lifecycle::Retired => return Err(Failure::ProductRetired),
        Lifecycle::Published | Lifecycle::Deprecated => {}
    }
    let verdict = match product.verifiers == before.verifiers {
        true => verdict(r, s, (&*newest.directory, slot, &**product), shown),
        // What others said of the token is nothing to those who take tokens now.
        false => Err(Refusal::BadCredential.into()),
    };
    let holds = verdict.and_then(|again| match again.credential == credential {
        true => Ok(()),
        false => Err(Refusal::BadCredential.into()),
    });
    holds.map_err(|stop| refused(r, s, shown, stop))
}

/// What is answered to a request that is not let in.
fn refused(r: &mut Request<'_>, s: &Scratch, shown: &Shown, stop: Stop) -> Failure {
    let refusal = match stop {
        Stop::Refused(refusal) => refusal,
        Stop::Unanswered(why) => return why.into(),
        // Another password was set while the old one was asked about.
        Stop::Ask(_) => Refusal::BadCredential,
    };
    if refusal == Refusal::BadToken
        && let Some(failure) = token::failure(r, s, &shown.tokens)
    {
        return failure;
    }
    let is_open = |one: &Proved| matches!(one, Proved::Open);
    if refusal == Refusal::NoCredential && shown.tokens.iter().any(is_open) {
        return Failure::IntrospectionFailed;
    }
    let is_bad = matches!(refusal, Refusal::BadCredential | Refusal::BadToken);
    if let Some((_, product)) = r.product
        && (is_bad || refusal == Refusal::NoCredential)
    {
        let lines = if is_bad { &product.challenge_bad } else { &product.challenge };
        r.answer_fields.extend_from_slice(lines);
        token::challenge(r, s, product, is_bad);
    }
    refusal.into()
}

/// What a directory says of a request, given what was just answered.
fn verdict<'d>(
    r: &Request<'_>,
    s: &Scratch,
    (directory, slot, product): (&'d Directory, u32, &'d Product),
    shown: &Shown,
) -> Result<Admitted<'d>, Stop> {
    let buf = s.input.data();
    let now_s = now_s(r);
    let inquiries = &r.connection.core.inquiries;
    let known = |digest: &Digest| match shown.answered {
        Some((asked, answer)) if asked == *digest => Some(answer),
        _ => inquiries.borrow_mut().password(digest, now_s).map(|is_right| {
            r.connection.core.stats.passwords_remembered.up();
            Ok(is_right)
        }),
    };
    let asked = Asked {
        method: s.head.method_span.of(buf),
        path: s.head.path.of(buf),
        carrier: Carrier { fields: &s.head.fields, buf, query: s.head.query.map(|q| q.of(buf)) },
        identity: r.connection.identity.as_deref(),
        tokens: &shown.tokens,
        form: form::content(r, s),
        passwords: &known,
        now_s,
    };
    admit(directory, slot, product, &asked)
}

/// Asks about a password, and remembers the answer.
async fn ask_password(
    r: &Request<'_>,
    question: Box<PasswordQuestion>,
) -> (Digest, Result<bool, NoAnswer>) {
    let (digest, inquiries) = (question.digest, &r.connection.core.inquiries);
    let answer = inquiries.borrow_mut().ask_password(question);
    let answer = answer.await;
    if let Ok(is_right) = answer {
        inquiries.borrow_mut().remember(digest, is_right, now_s(r));
    }
    // They are verified here: where no answer comes in time, there are too many.
    (digest, answer.map_err(|_| NoAnswer::Overloaded))
}

/// Seconds since 1970.
fn now_s(r: &Request<'_>) -> u64 {
    r.connection.core.wall.of(r.account.began_ns) / 1_000_000_000
}

/// Rate limits of who calls: the route's, and of the application that was admitted its plan's, each by as
/// much as the request counts as.
fn ask_caller<'a>(r: &Request<'a>, s: &Scratch, rates: &mut Rates<'a>) -> Result<Passed, Failure> {
    let path = s.head.path.of(s.input.data());
    let parameter = |ix| s.params.value(ix, path);
    let application = r.admitted.as_ref().and_then(|admitted| admitted.application);
    let keys = KeySource {
        application: application.map(|application| application.id),
        claims: r.token.as_ref().map(|token| &token.claims),
        ..key_source(r, s, &parameter)
    };
    ask_rates(r, of_caller(r), &keys, rates)
}

/// What is charged to who calls.
fn of_caller<'s, 'a>(r: &'s Request<'a>) -> impl Iterator<Item = Charge<'a>> + Clone + use<'s, 'a> {
    let route = &r.snapshot.routes[r.route.unwrap_or_default()];
    let of_route = route.caller_limits().iter().map(Charge::one);
    of_route.chain(r.admitted.as_ref().into_iter().flat_map(Admitted::charges))
}

/// Tells the client how it stands: of all limits and quotas with the tightest, or with what refused.
fn tell(r: &mut Request<'_>, rates: &Rates<'_>) {
    let told = rates.judgement.map(Told::from).unwrap_or_default();
    let told = told.and(rates.charged.map(Told::from).unwrap_or_default());
    let mut fields = std::mem::take(&mut r.answer_fields);
    let rules = addressed(r).into_iter().flatten().chain(of_caller(r).map(|charge| charge.rule));
    let policies = rules.map(Policy::from).chain(accounting::policies(r));
    limit::fields::append(&mut fields, r.snapshot.rate_limit_fields, policies, &told);
    r.answer_fields = fields;
    if let Told { member: Some(member), retry_after_ns: Some(_) } = told {
        r.limited_by = Some((member.name.into(), member.reset));
    }
}

fn count_verdict(r: &Request<'_>, rates: &Rates<'_>) {
    let stats = &r.connection.core.stats;
    let route = stats.route(r.route_id);
    match rates.denied {
        None if rates.judgement.is_some() => {
            route.times().allowed.up();
            stats.listener(r.listener.id).allowed.up();
        }
        None => {}
        Some(Denied::RateLimited) => {
            route.rare().limited.up();
            stats.listener(r.listener.id).limited.up();
        }
        Some(Denied::StateFull) => route.rare().limit_table_full.up(),
        Some(_) => route.rare().concurrency_refused.up(),
    }
}
