//! Whether a request may be sent again: once by what is safe, once by what the upstream can bear.

use crate::http::Method;
use crate::limits::{MAX_SAVED_RETRIES, RETRY_FLOOR_PER_SECOND};

/// How far a failed try got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Not one byte of the request was written: the connection was refused, timed out, or was
    /// found closed before the write.
    Nothing,
    /// The target says that it did nothing with the request (RFC 9113 section 8.7).
    Refused,
    /// Bytes were written to a connection that had served others before, and it ended before any
    /// byte of a response. The target most likely closed it while the request was on its way
    /// (RFC 9112 section 9.3.1), but it may have acted on it.
    OnReused,
    /// The same on a fresh connection, or its target reset the stream alone: it took the request and
    /// died of it, or worse.
    OnFresh,
    /// A byte of the response arrived.
    ResponseBegun,
}

/// Whether trying another time cannot do harm. `body_replayable`: every byte taken from the
/// client for this request is still there to be sent again.
pub fn may_retry(sent: Sent, method: Method, body_replayable: bool) -> bool {
    let harmless = match sent {
        Sent::Nothing | Sent::Refused => true,
        Sent::OnReused => method.is_idempotent(),
        Sent::OnFresh | Sent::ResponseBegun => false,
    };
    harmless && body_replayable
}

/// In hundredths of a retry, so that a percentage is a whole number.
const RETRY: u32 = 100;

/// Nanoseconds in which the floor grows by one retry.
const FLOOR_STEP: u64 = 1_000_000_000 / RETRY_FLOOR_PER_SECOND as u64;

/// The retries one core may still make on one upstream: a share of the requests it saw, and a
/// few a second whatever the share.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Saved from requests, in hundredths.
    saved: u32,
    /// When the floor's bucket was last empty, monotonic nanoseconds; its content is the time
    /// since then.
    floor_since: u64,
}

impl Budget {
    /// A budget that begins with its floor. Times are monotonic nanoseconds.
    pub fn new(now: u64) -> Self {
        Self { saved: 0, floor_since: now.saturating_sub(1_000_000_000) }
    }

    /// A request came: `percent` of a retry is saved, up to [`MAX_SAVED_RETRIES`].
    #[inline]
    pub fn deposit(&mut self, percent: u32) {
        self.saved = self.saved.saturating_add(percent).min(MAX_SAVED_RETRIES * RETRY);
    }

    /// Takes one retry if there is one: from the floor first, since that refills by itself.
    pub fn withdraw(&mut self, now: u64) -> bool {
        let full = now.saturating_sub(1_000_000_000);
        let since = self.floor_since.max(full);
        if now.saturating_sub(since) >= FLOOR_STEP {
            self.floor_since = since + FLOOR_STEP;
            return true;
        }
        let enough = self.saved >= RETRY;
        if enough {
            self.saved -= RETRY;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn only_what_cannot_do_harm_is_sent_again() {
        let cases = [
            (Sent::Nothing, Method::Post, true, true),
            (Sent::Refused, Method::Post, true, true),
            (Sent::Refused, Method::Post, false, false),
            (Sent::Nothing, Method::Get, false, false),
            (Sent::OnReused, Method::Get, true, true),
            (Sent::OnReused, Method::Put, true, true),
            (Sent::OnReused, Method::Put, false, false),
            (Sent::OnReused, Method::Post, true, false),
            (Sent::OnReused, Method::Patch, true, false),
            (Sent::OnReused, Method::Other, true, false),
            (Sent::OnFresh, Method::Get, true, false),
            (Sent::ResponseBegun, Method::Get, true, false),
        ];
        for (sent, method, replayable, wanted) in cases {
            assert_eq!(may_retry(sent, method, replayable), wanted, "{sent:?} {method:?}");
        }
    }

    fn drain(budget: &mut Budget, now: u64) -> u32 {
        (0..10_000).take_while(|_| budget.withdraw(now)).count() as u32
    }

    #[test]
    fn low_traffic_has_a_floor() {
        let mut budget = Budget::new(5 * SECOND);
        assert_eq!(drain(&mut budget, 5 * SECOND), RETRY_FLOOR_PER_SECOND);
        assert_eq!(drain(&mut budget, 6 * SECOND), RETRY_FLOOR_PER_SECOND);
        assert_eq!(drain(&mut budget, 100 * SECOND), RETRY_FLOOR_PER_SECOND);
        assert_eq!(drain(&mut budget, 100 * SECOND), 0);
    }

    #[test]
    fn a_share_of_requests_is_saved_up_to_a_bound() {
        let mut budget = Budget::new(0);
        (0..50).for_each(|_| budget.deposit(20));
        assert_eq!(drain(&mut budget, 0), 10);
        (0..1_000_000).for_each(|_| budget.deposit(20));
        assert_eq!(drain(&mut budget, 0), MAX_SAVED_RETRIES);
    }

    proptest! {
        #[test]
        fn retries_stay_within_the_share_and_the_floor(
            percent in 0u32..100,
            steps in prop::collection::vec((any::<bool>(), 0..SECOND), 1..300),
        ) {
            let (mut now, start, mut requests, mut retries) = (SECOND, SECOND, 0u64, 0u64);
            let mut budget = Budget::new(now);
            for (retry, later) in steps {
                now += later;
                if retry {
                    retries += u64::from(budget.withdraw(now));
                } else {
                    budget.deposit(percent);
                    requests += 1;
                }
            }
            let floor = (now - start + SECOND) as f64 / SECOND as f64 * 3.0 + 1.0;
            prop_assert!(retries as f64 <= requests as f64 * f64::from(percent) / 100.0 + floor);
        }
    }
}
