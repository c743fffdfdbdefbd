//! Response fields that tell a client how it stands with its limits.
//!
//! draft-ietf-httpapi-ratelimit-headers-11: `RateLimit-Policy` lists every limit that applies (it
//! should be the same on one request after the other), `RateLimit` the one that leaves least.

use crate::config::RateLimitFields;

use super::lease::whole_seconds;
use super::member::{number, parameter};
use super::{Judgement, Rule, Standing};

pub use super::member::{NAMES, Names};

/// Appends the field lines for `judgement`, which `rules` were asked for. Retry-After comes with
/// every refusal, the rest as `fields` says.
pub fn append<'r>(
    out: &mut Vec<u8>,
    fields: RateLimitFields,
    rules: impl Iterator<Item = &'r Rule>,
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
        draft(out, rules, &standing);
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

fn draft<'r>(out: &mut Vec<u8>, rules: impl Iterator<Item = &'r Rule>, standing: &Standing<'_>) {
    name(out, NAMES.policy);
    let mut separator: &[u8] = b"";
    for rule in rules {
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
        append(&mut out, fields, rules.iter(), judgement);
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
}
