//! Names and members of the structured fields.

use crate::config::Limit;

/// The names, in one place, since the draft may still change.
pub struct Names {
    /// Limits that apply.
    pub policy: &'static str,
    /// Tokens per window, of a policy. Parameters are one letter each.
    pub quota: u8,
    /// Window in seconds, of a policy.
    pub window: u8,
    /// How the client stands.
    pub standing: &'static str,
    /// Tokens that may be had now, of a standing.
    pub remaining: u8,
    /// Seconds until more may be had, of a standing.
    pub reset: u8,
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
    quota: b'q',
    window: b'w',
    standing: "RateLimit",
    remaining: b'r',
    reset: b't',
    x_limit: "X-RateLimit-Limit",
    x_remaining: "X-RateLimit-Remaining",
    x_reset: "X-RateLimit-Reset",
    retry_after: "Retry-After",
};

/// Largest Integer of structured fields (RFC 9651 section 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

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
pub(in crate::policy) fn quoted(text: &str) -> Box<[u8]> {
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

pub(in crate::policy) fn parameter(out: &mut Vec<u8>, name: u8, value: u64) {
    out.extend_from_slice(&[b';', name, b'=']);
    number(out, value);
}

pub(in crate::policy) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value.min(INTEGER_MAX)).as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::LimitKey;

    #[test]
    fn windows_are_whole_seconds() {
        let of = |rate, ms| {
            let per = Duration::from_millis(ms);
            quota(&Limit { name: String::new(), rate, per, burst: 1, key: LimitKey::Route })
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
