//! What a request is charged and what it used: quotas before it goes upstream, usage when it is over.

use crate::policy::auth::Admitted;
use crate::policy::limit::KeySource;
use crate::policy::limit::fields::Policy;
use crate::policy::quota::{self, Beyond, Charge, Charged, Quota, address_holder};
use crate::respond::failure::Failure;

use super::task::Request;
use super::usage::Unit;

/// Finds out to whom the quotas of a request are charged that its plan lets in. They are fetched while
/// its rate limits are asked.
pub(super) fn foresee(r: &mut Request<'_>) {
    r.holder = holder(r);
    let counts = &r.connection.core.shared.quotas;
    let charges = r.admitted.iter().flat_map(Admitted::quota_charges);
    charges.for_each(|charge| counts.prefetch(charge.quota.key(r.holder)));
}

/// Charges the quotas of a request that its plan lets in, and notes which soft ones it goes beyond;
/// `None`: there are none.
pub(super) fn charge<'a>(r: &mut Request<'a>) -> Option<Charged<'a>> {
    let admitted = r.admitted.as_ref()?;
    let mut charges = admitted.quota_charges().peekable();
    if charges.peek().is_none() {
        r.account.counted = true;
        return None;
    }
    let core = &r.connection.core;
    let (now_s, beyond, ends) = (now_s(r), &mut r.beyond, &mut r.charged_until);
    let mut told = |one| beyond.push(one);
    let charged = core.shared.quotas.charge(r.holder, charges, now_s, &mut told, ends);
    if let Charged::Taken(_) = charged {
        let mut usage = core.usage.borrow_mut();
        taken(admitted).for_each(|quota| usage.charged(quota.key(r.holder)));
        r.account.counted = true;
    }
    Some(charged)
}

/// What it is refused for.
pub(super) fn refused(charged: Option<&Charged<'_>>) -> Result<(), Failure> {
    match charged {
        None | Some(Charged::Taken(_)) => Ok(()),
        Some(Charged::Exceeded(_)) => Err(Failure::QuotaExceeded),
        Some(Charged::TableFull(_)) => Err(Failure::LimitState),
    }
}

/// The quotas that a request counts against, as its client is told of them.
pub(super) fn policies<'r>(r: &'r Request<'_>) -> impl Iterator<Item = Policy<'r>> {
    let now_s = now_s(r);
    let quotas = r.admitted.iter().flat_map(Admitted::quota_charges).map(|charge| charge.quota);
    let told = quotas.filter(|quota| !quota.only_counted);
    told.map(move |quota| quota::fields::policy(quota, now_s))
}

/// Waits until what a strict plan's request was charged is on the disk; `false`: there was nothing to
/// wait for.
pub(super) async fn write(r: &Request<'_>) -> Result<bool, Failure> {
    let Some(admitted) = r.admitted.as_ref().filter(|admitted| admitted.plan.strict) else {
        return Ok(false);
    };
    let keys: Vec<_> = taken(admitted).map(|quota| quota.key(r.holder)).collect();
    if keys.is_empty() {
        return Ok(false);
    }
    let written = r.connection.core.usage.borrow().written(keys);
    // Few plans are strict: others have no room for this in their sessions.
    match Box::pin(written).await {
        true => Ok(true),
        false => Err(Failure::LedgerUnavailable),
    }
}

/// The quotas that something was taken of.
fn taken<'a>(admitted: &Admitted<'a>) -> impl Iterator<Item = &'a Quota> {
    admitted.quota_charges().filter(|charge| charge.amount > 0).map(|charge| charge.quota)
}

/// Counts what a request used. One that was refused after it was charged, and that no target was sent,
/// used nothing: its quotas get back what they were charged.
pub(super) fn count(r: &Request<'_>, now_ns: u64) {
    let Some(admitted) = r.admitted.as_ref().filter(|_| r.account.counted) else { return };
    let now_s = r.connection.core.wall.of(now_ns) / 1_000_000_000;
    match r.account.failure.is_some() && !r.account.forwarded {
        true => give_back(r, admitted, now_s),
        false => use_up(r, admitted, now_ns),
    }
    r.beyond.iter().for_each(|beyond| tell_beyond(r, admitted, beyond, now_s));
}

fn give_back(r: &Request<'_>, admitted: &Admitted<'_>, now_s: u64) {
    let core = &r.connection.core;
    let mut usage = core.usage.borrow_mut();
    // The ledger may have the count as it was.
    let charges = admitted.quota_charges();
    core.shared.quotas.refund(r.holder, charges, &r.charged_until, now_s, |charge| {
        usage.gave_back(charge.quota.key(r.holder), charge.amount);
    });
}

fn use_up(r: &Request<'_>, admitted: &Admitted<'_>, now_ns: u64) {
    let core = &r.connection.core;
    let now_s = core.wall.of(now_ns) / 1_000_000_000;
    let application = admitted.application.map_or(0, |application| application.id);
    let plan = admitted.plan.id;
    let class = (r.account.status / 100) as u8;
    let hour = now_s - now_s % 3600;
    let mut usage = core.usage.borrow_mut();
    let mut add = |metric: u16, amount: u64| {
        if let Some(metric) = admitted.product.metrics.get(usize::from(metric)) {
            usage.add(Unit { application, plan, metric: metric.id, class, hour }, amount);
        }
    };
    let hits = admitted.hits.as_slice().iter().filter(|hit| hit.amount > 0);
    hits.for_each(|hit| add(hit.metric, hit.amount.into()));
    r.account.grown.iter().for_each(|&(metric, amount)| add(metric, amount));
    r.beyond.iter().for_each(|_| core.stats.beyond_soft_quota.up());
    for charge in grown(admitted, &r.account.grown) {
        let mut told = |beyond| {
            core.stats.beyond_soft_quota.up();
            tell_beyond(r, admitted, &beyond, now_s);
        };
        core.shared.quotas.add(r.holder, charge, now_s, &mut told);
        usage.charged(charge.quota.key(r.holder));
    }
    owe_limits(r, admitted, now_ns);
    if let Some(credential) = admitted.credential {
        usage.seen(credential, now_s);
    }
}

/// Takes from the plan's rate limits what the answer said that it cost: the next request waits for it.
fn owe_limits(r: &Request<'_>, admitted: &Admitted<'_>, now_ns: u64) {
    let core = &r.connection.core;
    let keys = KeySource::of_caller(
        r.client.addr,
        r.snapshot.ipv6_prefix,
        admitted.application.map(|application| application.id),
    );
    for &(metric, amount) in &r.account.grown {
        let rules = admitted.plan.limits(metric);
        let mut limits = core.limits.borrow_mut();
        for rule in rules {
            limits.owe(&core.shared.limits, (rule, amount), &keys, now_ns);
        }
    }
}

/// Tells that a soft quota was passed, once in its period. Clients that are known by their address only
/// are not told of, since anybody can be many of them.
fn tell_beyond(r: &Request<'_>, admitted: &Admitted<'_>, beyond: &Beyond<'_>, now_s: u64) {
    let core = &r.connection.core;
    if !core.shared.quotas.is_news(r.holder, beyond, now_s) {
        return;
    }
    core.stats.soft_quotas_passed.up();
    if let Some(application) = admitted.application {
        let Beyond { quota, ends_at, .. } = beyond;
        let (product, plan) = (&*admitted.product.name, &*admitted.plan.name);
        let (application, quota, max) = (&*application.app_id, &*quota.name, quota.max);
        tracing::info!(product, plan, application, quota, max, ends_at, "a soft quota was passed");
    }
}

/// What quotas are charged by an answer.
fn grown<'a>(admitted: &Admitted<'a>, by: &[(u16, u64)]) -> impl Iterator<Item = Charge<'a>> {
    by.iter().flat_map(|&(metric, amount)| {
        admitted.quotas(metric).map(move |quota| Charge { quota, amount })
    })
}

/// Whom quotas are kept for.
fn holder(r: &Request<'_>) -> u64 {
    match &r.admitted {
        Some(Admitted { application: Some(application), .. }) => application.id,
        Some(admitted) => {
            address_holder(admitted.product.id, r.client.addr, r.snapshot.ipv6_prefix)
        }
        None => 0,
    }
}

fn now_s(r: &Request<'_>) -> u64 {
    r.connection.core.wall.of(r.account.began_ns) / 1_000_000_000
}
