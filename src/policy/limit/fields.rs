//! Response fields that tell a client how it stands with its limits.
//!
//! draft-ietf-httpapi-ratelimit-headers-11: `RateLimit-Policy` lists every limit that applies (it
//! should be the same on one request after the other), `RateLimit` the one that leaves least.

use crate::config::{Limit, RateLimitFields};

use super::lease::whole_seconds;
use super::{Judgement, Rule, Standing};

/// The names, in one place, since the draft may still change.
pub struct Names {
    /// Limits that apply.
    pub policy: &'static str,
    /// Tokens per window, of a policy.
    pub quota: &'static str,
    /// Window in seconds, of a policy.
    pub window: &'static str,
    /// How the client stands.
    pub standing: &'static str,
    /// Tokens that may be had now, of a standing.
    pub remaining: &'static str,
    /// Seconds until more may be had, of a standing.
    pub reset: &'static str,
    /// Older field: tokens per window.
    pub x_limit: &'static str,
    /// Older field: tokens that may be had now.
    pub x_remaining: &'static str,
    /// Older field: seconds until the bucket is full (refused: until there is a token).
    pub x_reset: &'static str,
    /// RFC 9110 section 10.2.3.
    pub retry_after: &'static str,
}

/// The names in force.
pub const NAMES: Names = Names {
    policy: "RateLimit-Policy",
    quota: "q",
    window: "w",
    standing: "RateLimit",
    remaining: "r",
    reset: "t",
    x_limit: "X-RateLimit-Limit",
    x_remaining: "X-RateLimit-Remaining",
    x_reset: "X-RateLimit-Reset",
    retry_after: "Retry-After",
};

/// Largest Integer of structured fields (RFC 9651 section 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// Appends the field lines for `judgement`, which `scopes` were judged for. Retry-After comes with
/// every refusal, the rest as `fields` says.
pub fn append(
    out: &mut Vec<u8>,
    fields: RateLimitFields,
    scopes: &[&[Rule]],
    judgement: &Judgement<'_>,
) {
    let standing = match judgement {
        Judgement::Allowed(standing) => *standing,
        Judgement::Limited { standing, retry_after_ns } => {
            retry_after(out, *retry_after_ns);
            Some(*standing)
        }
        Judgement::TableFull(_) => {
            retry_after(out, 0);
            None
        }
    };
    let Some(standing) = standing else { return };
    if matches!(fields, RateLimitFields::Draft | RateLimitFields::Both) {
        draft(out, scopes, &standing);
    }
    if matches!(fields, RateLimitFields::XRateLimit | RateLimitFields::Both) {
        number_line(out, NAMES.x_limit, standing.rule.quota);
        number_line(out, NAMES.x_remaining, standing.remaining);
        number_line(out, NAMES.x_reset, standing.reset);
    }
}

/// Appends Retry-After: whole seconds, rounded up, at least 1.
pub fn retry_after(out: &mut Vec<u8>, ns: u64) {
    number_line(out, NAMES.retry_after, whole_seconds(ns));
}

fn draft(out: &mut Vec<u8>, scopes: &[&[Rule]], standing: &Standing<'_>) {
    name(out, NAMES.policy);
    let mut separator: &[u8] = b"";
    for rule in scopes.iter().flat_map(|rules| rules.iter()) {
        out.extend_from_slice(separator);
        out.extend_from_slice(&rule.policy);
        separator = b", ";
    }
    out.extend_from_slice(b"\r\n");
    name(out, NAMES.standing);
    out.extend_from_slice(&standing.rule.quoted_name);
    parameter(out, NAMES.remaining, standing.remaining);
    parameter(out, NAMES.reset, standing.reset);
    out.extend_from_slice(b"\r\n");
}

/// Tokens and window in whole seconds: a period that is not of whole seconds is stretched to the
/// next, with the tokens that come in it.
pub(super) fn quota(limit: &Limit) -> (u64, u64) {
    let window = limit.per.as_nanos().div_ceil(1_000_000_000).clamp(1, u128::from(INTEGER_MAX));
    let tokens = u128::from(limit.rate).saturating_mul(window * 1_000_000_000);
    let quota = tokens / limit.per.as_nanos().max(1);
    let quota = quota.clamp(u128::from(limit.rate.min(1)), u128::from(INTEGER_MAX));
    (quota as u64, window as u64)
}

/// One member of RateLimit-Policy.
pub(super) fn policy_item(limit_name: &str, quota: u64, window: u64) -> Box<[u8]> {
    let mut item = quoted(limit_name).into_vec();
    parameter(&mut item, NAMES.quota, quota);
    parameter(&mut item, NAMES.window, window);
    item.into_boxed_slice()
}

/// A String of structured fields (RFC 9651 section 3.3.3); what it cannot hold becomes `_`.
pub(super) fn quoted(text: &str) -> Box<[u8]> {
    let mut out = vec![b'"'];
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend([b'\\', letter as u8]),
            ' '..='~' => out.push(letter as u8),
            _ => out.push(b'_'),
        }
    }
    out.push(b'"');
    out.into_boxed_slice()
}

fn parameter(out: &mut Vec<u8>, name: &str, value: u64) {
    out.push(b';');
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    number(out, value);
}

fn number_line(out: &mut Vec<u8>, field: &str, value: u64) {
    name(out, field);
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value.min(INTEGER_MAX)).as_bytes());
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::LimitKey;
    use crate::policy::limit::rule::test_limit;

    fn text(fields: RateLimitFields, rules: &[Rule], judgement: &Judgement<'_>) -> String {
        let mut out = Vec::new();
        append(&mut out, fields, &[rules, &[]], judgement);
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

    #[test]
    fn windows_are_whole_seconds() {
        let of = |rate, ms| {
            let limit = test_limit(rate, 1, LimitKey::Route);
            quota(&Limit { per: Duration::from_millis(ms), ..limit })
        };
        assert_eq!(of(100, 1000), (100, 1));
        assert_eq!(of(5, 60_000), (5, 60));
        assert_eq!(of(10, 100), (100, 1));
        assert_eq!(of(3, 1500), (4, 2));
        assert_eq!(of(u64::MAX, 1000), (INTEGER_MAX, 1));
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(&*quoted("a\"b\\c é\n"), b"\"a\\\"b\\\\c __\"");
    }
}
