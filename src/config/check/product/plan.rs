//! Plans: what they let through, and what they tell upstreams.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::notes::Notes;
use super::{Names, fields, longer, pricing, title};
use crate::config::check::words::Refusal;
use crate::config::check::{limit, words};
use crate::config::file::{CredentialPlaces, Plan, PlanLimit, Quota};
use crate::config::units::HumanDuration;
use crate::limits::{
    CONFIG_MAX_LIMITS, CONFIG_MAX_RATE, PLAN_ATTRIBUTE_MAX, PLAN_ATTRIBUTES_MAX, PLAN_QUOTA_MAX,
};

pub(super) fn check(
    plan: &Plan,
    names: &Names<'_>,
    credentials: &CredentialPlaces,
    notes: &mut Notes,
) {
    title(plan.title.as_deref(), notes);
    if let Some(methods) = &plan.methods {
        notes.within("methods", |notes| switched_on(methods, names, notes));
    }
    notes.within("limits", |notes| limits(plan, names, notes));
    notes.within("quotas", |notes| quotas(plan, names, notes));
    if plan.strict && plan.quotas.is_empty() {
        let message = "the plan has no quota of which anything could be forgotten";
        notes.warning("strict", message, "give it a quota, or remove this");
    }
    times(plan, notes);
    if let Some(price) = &plan.price {
        notes.within("price", |notes| pricing::check(price, names, notes));
    }
    attributes(&plan.attributes, &[credentials], notes);
}

fn switched_on(methods: &[String], names: &Names<'_>, notes: &mut Notes) {
    let mut seen = HashSet::new();
    for (position, method) in methods.iter().enumerate() {
        let method = method.as_str();
        if names.metrics.contains(method) {
            let message = format!("{method:?} is a metric: those are always on");
            notes.error(position, message, "list methods only");
        } else if !names.methods.contains(method) {
            notes.unknown(position, "method", method, names.methods.iter().copied());
        } else if !seen.insert(method) {
            notes.error(position, format!("{method:?} is listed twice"), "list it once");
        }
    }
}

/// A metric or method that the plan says something of.
fn metric(name: &str, plan: &Plan, names: &Names<'_>, notes: &mut Notes) {
    names.counted(name, notes);
    let is_off = |methods: &Vec<String>| !methods.iter().any(|method| method == name);
    if names.methods.contains(name) && plan.methods.as_ref().is_some_and(is_off) {
        let message = format!("the method {name:?} is off in this plan: nothing is counted");
        notes.warning("metric", message, "list it in `methods`, or remove this");
    }
}

fn limits(plan: &Plan, names: &Names<'_>, notes: &mut Notes) {
    let mut seen = HashSet::new();
    for (position, written) in plan.limits.iter().enumerate() {
        notes.within(position, |notes| {
            metric(&written.metric, plan, names, notes);
            rate(written, names, notes);
            let window = (&written.metric, written.rate.map(|rate| rate.per));
            if window.1.is_some() && !seen.insert(window) {
                let message = format!("{:?} has a limit of this period already", written.metric);
                notes.error("rate", message, "keep the lower one");
            }
        });
    }
    for (position, written) in plan.limits.iter().enumerate() {
        let before = plan.limits.iter().take(position).filter(|l| l.metric == written.metric);
        if before.take(CONFIG_MAX_LIMITS).count() == CONFIG_MAX_LIMITS {
            let message = format!("{:?} has too many limits", written.metric);
            notes.error(position, message, format!("write at most {CONFIG_MAX_LIMITS}"));
            return;
        }
    }
}

fn rate(written: &PlanLimit, names: &Names<'_>, notes: &mut Notes) {
    let Some(rate) = written.rate else {
        notes.error("rate", "a limit has a rate", "write one like \"100/m\"");
        return;
    };
    let burst = written.burst.unwrap_or(rate.amount);
    if !(1..=CONFIG_MAX_RATE).contains(&burst) && written.burst.is_some() {
        let help = format!("write a number from 1 to {CONFIG_MAX_RATE}");
        notes.error("burst", format!("{burst} is out of range"), help);
    } else if let Some(mistake) = limit::rate_mistake(rate, burst) {
        let key = if mistake.of_burst && written.burst.is_some() { "burst" } else { "rate" };
        notes.error(key, mistake.message, mistake.help);
    } else if let Some(most) = names.increments.get(written.metric.as_str())
        && u64::from(*most) > burst
    {
        let key = if written.burst.is_some() { "burst" } else { "rate" };
        let message =
            format!("a mapping rule adds {most} at once: the limit never lets it through");
        notes.error(key, message, format!("write burst = {most} or more"));
    }
}

fn quotas(plan: &Plan, names: &Names<'_>, notes: &mut Notes) {
    let mut seen = HashSet::new();
    for (position, written) in plan.quotas.iter().enumerate() {
        notes.within(position, |notes| {
            metric(&written.metric, plan, names, notes);
            let Quota { metric, period, max, .. } = written;
            match period {
                None => notes.error("period", "a quota has a period", "write one like \"month\""),
                Some(period) if !seen.insert((metric, period)) => {
                    let message = format!("{metric:?} has a quota of this period already");
                    notes.error("period", message, "keep one of them");
                }
                Some(_) => {}
            }
            match max {
                None => notes.error("max", "a quota has a `max`", "write a number"),
                Some(max) if *max > PLAN_QUOTA_MAX => {
                    let help = format!("write a number from 0 to {PLAN_QUOTA_MAX}");
                    notes.error("max", format!("{max} is out of range"), help);
                }
                Some(_) => {}
            }
        });
    }
}

/// Longest time that a trial or an application may be given: 100 years are a mistake in the units.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

fn times(plan: &Plan, notes: &mut Notes) {
    for (key, time) in [("trial", plan.trial), ("expires_after", plan.expires_after)] {
        match time {
            Some(HumanDuration(time)) if time < Duration::from_secs(1) => {
                notes.error(key, "it is over before it begins", "write \"1s\" or more");
            }
            Some(HumanDuration(time)) if time > LONGEST => {
                notes.error(key, "it is longer than 100 years", "write less, or leave it out");
            }
            _ => {}
        }
    }
    if let (Some(trial), Some(end)) = (plan.trial, plan.expires_after)
        && trial > end
    {
        let message = format!("an application ends after {end}, within its trial");
        notes.warning("trial", message, "write less");
    }
    let Some(zone) = plan.time_zone.as_deref() else { return };
    if jiff::tz::TimeZone::get(zone).is_err() {
        let message = format!("{zone:?} is no time zone that is known");
        notes.error("time_zone", message, "write one like \"UTC\" or \"Europe/Berlin\" (IANA)");
    }
}

/// Fields that upstreams get, of a plan, an account or an application; and where products of these
/// upstreams look for credentials.
pub(super) fn attributes(
    attributes: &BTreeMap<String, String>,
    credentials: &[&CredentialPlaces],
    notes: &mut Notes,
) {
    notes.at_most("attributes", attributes.len(), PLAN_ATTRIBUTES_MAX, "fields");
    let mut seen = HashSet::new();
    notes.within("attributes", |notes| {
        for (name, value) in attributes {
            if let Some((message, help)) = fields::attribute_refusal(name, credentials) {
                notes.error(name, message, help);
            } else if !seen.insert(name.to_ascii_lowercase()) {
                let message = format!("{name:?} is there in another case: names have no case");
                notes.error(name, message, "write it once");
            }
            let refusal = words::field_value_refusal(value);
            let refusal = refusal.or_else(|| longer(value, PLAN_ATTRIBUTE_MAX));
            notes.refuse(name, refusal.or_else(|| odd_character(value)));
        }
    });
}

/// Many upstreams take other bytes of a field for another text, or refuse the request.
fn odd_character(value: &str) -> Option<Refusal> {
    let odd = value.chars().find(|c| !matches!(c, ' '..='~'))?;
    let message = format!("a field that upstreams get is printable ASCII, and {odd:?} is not");
    Some((message, "write it in ASCII, as by percent-encoding".to_owned()))
}
