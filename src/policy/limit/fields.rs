//! Response fields that tell a client how it stands with its limits.
//!
//! draft-ietf-httpapi-ratelimit-headers-11: `RateLimit-Policy` lists every limit that applies (it
//! should be the same on one request after the other), `RateLimit` the one that leaves least. The draft
//! has room for more members there; one is what the older fields can tell as well, what most clients
//! look for, and what makes one wait next. Quotas are told by the same lines.

use crate::config::RateLimitFields;

use super::judgement::whole_seconds;
use super::member::{number, parameter};
use super::{Judgement, Rule, Standing};

pub use super::member::{NAMES, Names};

/// A member of RateLimit-Policy.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// `"hits-month";q=10000`
    pub item: &'a [u8],
    /// Seconds, where the item has none.
    pub window: Option<u64>,
}

/// How a client stands with a limit or a quota.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// `"hits-month"`
    pub quoted_name: &'a [u8],
    /// What may be had of it at most.
    pub whole: u64,
    /// Of its policy: tokens per window.
    pub quota: u64,
    /// What may be had now.
    pub remaining: u64,
    /// Seconds until there is more.
    pub reset: u64,
}

/// What a client is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// Admitted: the one of which the smallest part is left. Refused: the one that did.
    pub member: Option<Member<'a>>,
    /// Refused: until it may try again, ns.
    pub retry_after_ns: Option<u64>,
}

impl<'a> Told<'a> {
    /// Both, where the second was asked after the first had allowed.
    pub fn and(self, second: Self) -> Self {
        let is_refusal = |told: &Self| told.retry_after_ns.is_some();
        match (self.member, second.member) {
            _ if is_refusal(&self) => self,
            _ if is_refusal(&second) => second,
            (Some(first), Some(second)) => {
                let member = if second.is_tighter(&first) { second } else { first };
                Self { member: Some(member), ..self }
            }
            (first, second) => Self { member: first.or(second), ..self },
        }
    }
}

impl Member<'_> {
    /// Whether a smaller part of it is left.
    fn is_tighter(&self, other: &Self) -> bool {
        let part = |a: &Self, b: &Self| u128::from(a.remaining) * u128::from(b.whole);
        part(self, other) < part(other, self)
    }
}

impl<'r> From<Judgement<'r>> for Told<'r> {
    fn from(judgement: Judgement<'r>) -> Self {
        match judgement {
            Judgement::Allowed(standing) => {
                Self { member: standing.map(Member::from), retry_after_ns: None }
            }
            Judgement::Limited { standing, retry_after_ns } => {
                Self { member: Some(standing.into()), retry_after_ns: Some(retry_after_ns) }
            }
            Judgement::TableFull(_) => Self { member: None, retry_after_ns: Some(0) },
        }
    }
}

impl<'r> From<Standing<'r>> for Member<'r> {
    fn from(Standing { rule, remaining, reset }: Standing<'r>) -> Self {
        let (name, quoted_name) = (rule.name(), &*rule.quoted_name);
        Self { name, quoted_name, whole: rule.burst, quota: rule.quota, remaining, reset }
    }
}

impl<'r> From<&'r Rule> for Policy<'r> {
    fn from(rule: &'r Rule) -> Self {
        Self { item: &rule.policy, window: None }
    }
}

/// Appends the field lines for what is told, where these policies apply. Retry-After comes with every
/// refusal, the rest as `fields` says.
pub fn append<'p>(
    out: &mut Vec<u8>,
    fields: RateLimitFields,
    policies: impl Iterator<Item = Policy<'p>>,
    told: &Told<'_>,
) {
    if let Some(ns) = told.retry_after_ns {
        number_line(out, NAMES.retry_after, whole_seconds(ns));
    }
    let Some(member) = &told.member else { return };
    if matches!(fields, RateLimitFields::Draft | RateLimitFields::Both) {
        draft(out, policies, member);
    }
    if matches!(fields, RateLimitFields::XRateLimit | RateLimitFields::Both) {
        number_line(out, NAMES.x_limit, member.quota);
        number_line(out, NAMES.x_remaining, member.remaining);
        number_line(out, NAMES.x_reset, member.reset);
    }
}

fn draft<'p>(out: &mut Vec<u8>, policies: impl Iterator<Item = Policy<'p>>, member: &Member<'_>) {
    name(out, NAMES.policy);
    let mut separator: &[u8] = b"";
    for policy in policies {
        out.extend_from_slice(separator);
        out.extend_from_slice(policy.item);
        if let Some(seconds) = policy.window {
            parameter(out, NAMES.window, seconds);
        }
        separator = b", ";
    }
    out.extend_from_slice(b"\r\n");
    name(out, NAMES.standing);
    out.extend_from_slice(member.quoted_name);
    parameter(out, NAMES.remaining, member.remaining);
    parameter(out, NAMES.reset, member.reset);
    out.extend_from_slice(b"\r\n");
}

fn number_line(out: &mut Vec<u8>, field: &str, value: u64) {
    name(out, field);
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitKey;
    use crate::policy::limit::rule::test_limit;

    fn text(fields: RateLimitFields, rules: &[Rule], judgement: &Judgement<'_>) -> String {
        let mut out = Vec::new();
        append(&mut out, fields, rules.iter().map(Policy::from), &(*judgement).into());
        String::from_utf8(out).unwrap()
    }

    fn orders() -> Rule {
        Rule::new("route orders", &test_limit(100, 200, LimitKey::ClientIp), None)
    }

    #[test]
    fn draft_fields() {
        let rules = [orders(), orders()];
        let standing = Standing { rule: &rules[0], remaining: 12, reset: 1 };
        assert_eq!(
            text(RateLimitFields::Draft, &rules[..1], &Judgement::Allowed(Some(standing))),
            "RateLimit-Policy: \"orders\";q=100;w=1\r\nRateLimit: \"orders\";r=12;t=1\r\n"
        );
        assert!(
            text(RateLimitFields::Draft, &rules, &Judgement::Allowed(Some(standing)))
                .starts_with("RateLimit-Policy: \"orders\";q=100;w=1, \"orders\";q=100;w=1\r\n")
        );
    }

    #[test]
    fn older_fields_and_both() {
        let rules = [orders()];
        let standing = Standing { rule: &rules[0], remaining: 12, reset: 1 };
        let allowed = Judgement::Allowed(Some(standing));
        let older = text(RateLimitFields::XRateLimit, &rules, &allowed);
        assert_eq!(
            older,
            "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 12\r\nX-RateLimit-Reset: 1\r\n"
        );
        let draft = text(RateLimitFields::Draft, &rules, &allowed);
        assert_eq!(text(RateLimitFields::Both, &rules, &allowed), draft + &older);
        assert_eq!(text(RateLimitFields::Off, &rules, &allowed), "");
    }

    #[test]
    fn of_two_the_tightest_is_told_and_a_refusal_above_all() {
        let of = |name, whole, remaining| Member {
            name,
            quoted_name: name.as_bytes(),
            whole,
            quota: whole,
            remaining,
            reset: 1,
        };
        let told = |member| Told { member: Some(member), retry_after_ns: None };
        let (minute, month) = (told(of("minute", 100, 40)), told(of("month", 10_000, 3000)));
        let name = |told: Told<'_>| told.member.map(|member| member.name.to_owned());
        assert_eq!(name(minute.and(month)).as_deref(), Some("month"));
        assert_eq!(name(month.and(minute)).as_deref(), Some("month"));
        assert_eq!(name(minute.and(Told::default())).as_deref(), Some("minute"));
        assert_eq!(name(Told::default().and(month)).as_deref(), Some("month"));
        let refusal = Told { retry_after_ns: Some(1), ..told(of("minute", 100, 100)) };
        assert_eq!(name(month.and(refusal)).as_deref(), Some("minute"));
        assert_eq!(name(refusal.and(month)).as_deref(), Some("minute"));
        let full = Told { member: None, retry_after_ns: Some(0) };
        assert_eq!(name(minute.and(full)), None);
    }

    #[test]
    fn every_refusal_says_when_to_retry() {
        let rules = [orders()];
        let standing = Standing { rule: &rules[0], remaining: 0, reset: 3 };
        let limited = Judgement::Limited { standing, retry_after_ns: 2_000_000_001 };
        assert_eq!(text(RateLimitFields::Off, &rules, &limited), "Retry-After: 3\r\n");
        assert!(text(RateLimitFields::Draft, &rules, &limited).ends_with(";r=0;t=3\r\n"));
        let full = Judgement::TableFull(&rules[0]);
        assert_eq!(text(RateLimitFields::Both, &rules, &full), "Retry-After: 1\r\n");
        assert_eq!(text(RateLimitFields::Both, &[], &Judgement::Allowed(None)), "");
    }
}
