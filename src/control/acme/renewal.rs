//! When to ask: for a new certificate, for the server's opinion, and again after a failure. Times are
//! seconds since 1970; `chance` is a random number from 0 to 1. Pure.

use std::time::Duration;

use crate::limits::{
    ACME_LONGEST_PAUSE, ACME_RENEWAL_REST, ACME_RETRY, RENEWAL_INFO_AFTER_FAILURE,
    RENEWAL_INFO_EVERY,
};

/// Without the server's word: at two thirds of its life, or up to a twentieth of it later, so that
/// certificates that came together are not renewed together.
pub(super) fn by_life(not_before: i64, not_after: i64, chance: f64) -> i64 {
    let life = not_after.saturating_sub(not_before).max(0) as f64;
    not_before.saturating_add((life * (2.0 / 3.0 + chance / 20.0)) as i64)
}

/// Within the window that the server suggests (RFC 9773 section 4.2).
pub(super) fn in_window((start, end): (i64, i64), chance: f64) -> i64 {
    let wide = end.saturating_sub(start).max(0) as f64;
    start.saturating_add((wide * chance) as i64)
}

/// When the certificate after this one may be asked for at the earliest: a server that wants each one
/// back at once is not asked for ever.
pub(super) fn not_before(now: i64, not_after: i64) -> i64 {
    let left = not_after.saturating_sub(now).max(0);
    now.saturating_add((left / 10).min(ACME_RENEWAL_REST))
}

/// When to ask for the window again, by what the server says, within reason (RFC 9773 section 4.3).
pub(super) fn ask_again(retry_after: Option<Duration>) -> Duration {
    let (least, most) = RENEWAL_INFO_EVERY;
    retry_after.map_or(RENEWAL_INFO_AFTER_FAILURE, |after| after.clamp(least, most))
}

/// The pause after so many failures in a row, at least one: it doubles, varied by a quarter, and is at
/// least what the server asks for.
pub(super) fn pause(failures: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let doubled = ACME_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let varied = doubled.min(ACME_LONGEST_PAUSE).mul_f64(0.75 + chance / 2.0);
    varied.max(retry_after.unwrap_or_default()).min(ACME_LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_a_little_later() {
        assert_eq!(by_life(0, 90 * DAY, 0.0), 60 * DAY);
        assert_eq!(by_life(0, 90 * DAY, 1.0), 64 * DAY + DAY / 2);
        assert_eq!(by_life(5, 5, 1.0), 5);
        assert_eq!(by_life(5, -5, 1.0), 5);
    }

    #[test]
    fn the_window_counts_from_its_start_to_its_end() {
        assert_eq!(in_window((100, 200), 0.0), 100);
        assert_eq!(in_window((100, 200), 0.5), 150);
        assert_eq!(in_window((200, 100), 0.9), 200);
    }

    #[test]
    fn a_new_certificate_rests_an_hour_or_a_tenth_of_its_life() {
        assert_eq!(not_before(100, 100 + 90 * DAY), 100 + ACME_RENEWAL_REST);
        assert_eq!(not_before(100, 700), 160);
        assert_eq!(not_before(100, 50), 100);
    }

    #[test]
    fn the_window_is_asked_for_neither_all_the_time_nor_never() {
        let (least, most) = RENEWAL_INFO_EVERY;
        assert_eq!(ask_again(Some(Duration::ZERO)), least);
        assert_eq!(ask_again(Some(Duration::from_secs(6 * 3600))), Duration::from_secs(6 * 3600));
        assert_eq!(ask_again(Some(Duration::MAX)), most);
        assert_eq!(ask_again(None), RENEWAL_INFO_AFTER_FAILURE);
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        assert_eq!(pause(1, None, 0.5), ACME_RETRY);
        assert_eq!(pause(2, None, 0.5), ACME_RETRY * 2);
        assert_eq!(pause(1, None, 0.0), ACME_RETRY * 3 / 4);
        assert_eq!(pause(1, None, 1.0), ACME_RETRY * 5 / 4);
        assert_eq!(pause(u32::MAX, None, 1.0), ACME_LONGEST_PAUSE);
    }

    #[test]
    fn the_server_may_ask_for_a_longer_pause_but_not_for_an_endless_one() {
        let hour = Duration::from_secs(3600);
        assert_eq!(pause(1, Some(hour), 0.5), hour);
        assert_eq!(pause(1, Some(Duration::from_secs(1)), 0.5), ACME_RETRY);
        assert_eq!(pause(1, Some(Duration::MAX), 0.5), ACME_LONGEST_PAUSE);
    }
}
