//! Response fields that tell a client how it stands with its quotas: further lines of the lists that
//! rate limits stand in (see [`super::super::limit::fields`]).

use super::{Charged, Quota};
use crate::config::RateLimitFields;
use crate::policy::limit::fields::{NAMES, retry_after};
use crate::policy::limit::member::{number, parameter};

/// Appends the field lines for `charged`, which `quotas` were charged for. Retry-After comes with
/// every refusal, the rest as `fields` says; of the older fields there is one, so quotas tell theirs
/// where no rate limit has (`alone`), and where they refuse.
pub fn append<'q>(
    out: &mut Vec<u8>,
    fields: RateLimitFields,
    quotas: impl Iterator<Item = &'q Quota>,
    charged: &Charged<'_>,
    now_s: u64,
    alone: bool,
) {
    let (standing, refused) = match charged {
        Charged::Taken(None) => return,
        Charged::Taken(Some(standing)) => (standing, false),
        Charged::Exceeded(standing) => (standing, true),
        Charged::TableFull(_) => return retry_after(out, 0),
    };
    if refused {
        retry_after(out, standing.reset.saturating_mul(1_000_000_000));
    }
    if matches!(fields, RateLimitFields::Draft | RateLimitFields::Both) {
        policies(out, quotas, now_s);
        begin(out, NAMES.standing);
        out.extend_from_slice(&standing.quota.quoted_name);
        parameter(out, NAMES.remaining, standing.remaining);
        parameter(out, NAMES.reset, standing.reset);
        out.extend_from_slice(b"\r\n");
    }
    if (alone || refused) && matches!(fields, RateLimitFields::XRateLimit | RateLimitFields::Both) {
        older(out, NAMES.x_limit, standing.quota.max);
        older(out, NAMES.x_remaining, standing.remaining);
        older(out, NAMES.x_reset, standing.reset);
    }
}

/// The window is that of the present period: a month's days, a day's hours.
fn policies<'q>(out: &mut Vec<u8>, quotas: impl Iterator<Item = &'q Quota>, now_s: u64) {
    begin(out, NAMES.policy);
    let mut separator: &[u8] = b"";
    for quota in quotas {
        let (begins_at, ends_at) = quota.calendar.at(now_s);
        out.extend_from_slice(separator);
        out.extend_from_slice(&quota.policy);
        parameter(out, NAMES.window, ends_at - begins_at);
        separator = b", ";
    }
    out.extend_from_slice(b"\r\n");
}

fn older(out: &mut Vec<u8>, name: &str, value: u64) {
    begin(out, name);
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

fn begin(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::file::Period;
    use crate::policy::quota::{Charge, Counts};

    /// 2027-01-15, 08:00 UTC.
    const NOW: u64 = 1_800_000_000;

    fn text(fields: RateLimitFields, amount: u64, alone: bool) -> String {
        let quotas = [(Period::Month, 1000), (Period::Day, 10)]
            .map(|(period, max)| Quota::new("hits", 1, period, TimeZone::UTC, max, false));
        let counts = Counts::with_slots(64);
        let charges = quotas.iter().map(|quota| Charge { quota, amount });
        let charged = counts.charge(1, charges, NOW, &mut |_| ());
        let mut out = Vec::new();
        append(&mut out, fields, quotas.iter(), &charged, NOW, alone);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn admitted() {
        assert_eq!(
            text(RateLimitFields::Draft, 4, true),
            "RateLimit-Policy: \"hits-month\";q=1000;w=2678400, \"hits-day\";q=10;w=86400\r\n\
             RateLimit: \"hits-day\";r=6;t=57600\r\n"
        );
        let older =
            "X-RateLimit-Limit: 10\r\nX-RateLimit-Remaining: 6\r\nX-RateLimit-Reset: 57600\r\n";
        assert_eq!(text(RateLimitFields::XRateLimit, 4, true), older);
        assert_eq!(text(RateLimitFields::XRateLimit, 4, false), "");
        assert_eq!(text(RateLimitFields::Off, 4, true), "");
    }

    #[test]
    fn refused() {
        assert_eq!(text(RateLimitFields::Off, 11, true), "Retry-After: 57600\r\n");
        assert!(text(RateLimitFields::Both, 11, false).contains("X-RateLimit-Remaining: 10\r\n"));
    }
}
