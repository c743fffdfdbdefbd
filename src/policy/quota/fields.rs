//! What a client is told of its quotas, in the fields that rate limits are told in (see
//! [`super::super::limit::fields`]).

use super::{Charged, Quota, Standing};
use crate::policy::limit::fields::{Member, Policy, Told};

impl<'q> From<Charged<'q>> for Told<'q> {
    fn from(charged: Charged<'q>) -> Self {
        match charged {
            Charged::Taken(standing) => {
                Self { member: standing.map(Member::from), retry_after_ns: None }
            }
            Charged::Exceeded(standing) => {
                let retry_after_ns = Some(standing.reset.saturating_mul(1_000_000_000));
                Self { member: Some(standing.into()), retry_after_ns }
            }
            Charged::TableFull(_) => Self { member: None, retry_after_ns: Some(0) },
        }
    }
}

impl<'q> From<Standing<'q>> for Member<'q> {
    fn from(Standing { quota, remaining, reset, .. }: Standing<'q>) -> Self {
        let (name, quoted_name) = (&*quota.name, &*quota.quoted_name);
        Self { name, quoted_name, whole: quota.max, quota: quota.max, remaining, reset }
    }
}

/// The window is that of the present period: a month's days, a day's hours.
pub fn policy(quota: &Quota, now_s: u64) -> Policy<'_> {
    let (begins_at, ends_at) = quota.calendar.at(now_s);
    Policy { item: &quota.policy, window: Some(ends_at - begins_at) }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::RateLimitFields;
    use crate::config::file::Period;
    use crate::policy::limit::fields::append;
    use crate::policy::quota::{Charge, Counts, Ends};

    /// 2027-01-15, 08:00 UTC.
    const NOW: u64 = 1_800_000_000;

    fn text(fields: RateLimitFields, amount: u64) -> String {
        let quotas = [(Period::Month, 1000), (Period::Day, 10)]
            .map(|(period, max)| Quota::new("hits", 1, period, TimeZone::UTC, max, false));
        let counts = Counts::with_slots(64);
        let charges = quotas.iter().map(|quota| Charge { quota, amount });
        let charged = counts.charge(1, charges, NOW, &mut |_| (), &mut Ends::default());
        let mut out = Vec::new();
        let policies = quotas.iter().map(|quota| policy(quota, NOW));
        append(&mut out, fields, policies, &charged.into());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn admitted() {
        assert_eq!(
            text(RateLimitFields::Draft, 4),
            "RateLimit-Policy: \"hits-month\";q=1000;w=2678400, \"hits-day\";q=10;w=86400\r\n\
             RateLimit: \"hits-day\";r=6;t=57600\r\n"
        );
        let older =
            "X-RateLimit-Limit: 10\r\nX-RateLimit-Remaining: 6\r\nX-RateLimit-Reset: 57600\r\n";
        assert_eq!(text(RateLimitFields::XRateLimit, 4), older);
        assert_eq!(text(RateLimitFields::Off, 4), "");
    }

    #[test]
    fn refused() {
        assert_eq!(text(RateLimitFields::Off, 11), "Retry-After: 57600\r\n");
        assert!(text(RateLimitFields::Both, 11).contains("X-RateLimit-Remaining: 10\r\n"));
    }
}
