//! Calendar periods in time zones.
//!
//! Days begin at midnight on the zone's clocks, weeks on Monday, months and years on their first day;
//! so a day has 23 hours where clocks go forward, and 25 where they go back. Hours and minutes are
//! those that clocks show; one in which clocks are set ends there. Where a midnight is left out the
//! day begins with the first moment there is, where it comes twice with the first of them. So every
//! moment is in one period, and where one ends the next begins.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::config::file::Period;

/// Calendars end here (the year 8307): a clock that shows more shows this.
const LATEST_S: u64 = 200_000_000_000;

/// A period's beginning, and the next one's; seconds since 1970.
pub fn period(now_s: u64, period: Period, zone: &TimeZone) -> (u64, u64) {
    let now = now_s.min(LATEST_S) as i64;
    let (begins_at, ends_at) = match period {
        Period::Minute => by_clock(now, zone, 60),
        Period::Hour => by_clock(now, zone, 3600),
        Period::Day | Period::Week | Period::Month | Period::Year => by_date(now, zone, period),
    };
    (begins_at.max(0) as u64, ends_at.max(0) as u64)
}

/// Steps of the zone's clocks, cut off where they are set.
fn by_clock(now: i64, zone: &TimeZone, length: i64) -> (i64, i64) {
    let at = moment(now);
    let offset = i64::from(zone.to_offset(at).seconds());
    let begins_at = (now + offset).div_euclid(length) * length - offset;
    // Set at this very moment is set already.
    let set = zone.preceding(moment(now + 1)).next().map(|t| t.timestamp().as_second());
    let to_be_set = zone.following(at).next().map(|t| t.timestamp().as_second());
    (
        set.map_or(begins_at, |set| begins_at.max(set)),
        to_be_set.map_or(begins_at + length, |set| set.min(begins_at + length)),
    )
}

fn by_date(now: i64, zone: &TimeZone, period: Period) -> (i64, i64) {
    let mut first = first_day(zone.to_datetime(moment(now)).date(), period);
    // Clocks that are set near midnight may show another date than that of the day that has begun.
    if begin(first, zone) > now {
        first = first_day(first.saturating_sub(1.day()), period);
    }
    let mut next = next_first(first, period);
    if begin(next, zone) <= now {
        (first, next) = (next, next_first(next, period));
    }
    (begin(first, zone), begin(next, zone))
}

fn first_day(date: Date, period: Period) -> Date {
    match period {
        Period::Week => {
            date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
        }
        Period::Month => date.first_of_month(),
        Period::Year => date.first_of_year(),
        _ => date,
    }
}

fn next_first(first: Date, period: Period) -> Date {
    first.saturating_add(match period {
        Period::Week => 1.week(),
        Period::Month => 1.month(),
        Period::Year => 1.year(),
        _ => 1.day(),
    })
}

/// When a day begins.
fn begin(date: Date, zone: &TimeZone) -> i64 {
    let midnight = date.to_datetime(Time::midnight());
    zone.to_timestamp(midnight).unwrap_or(Timestamp::MAX).as_second()
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// Periods of one kind in one zone. Remembers the present one, so that asking costs a load.
#[derive(Debug)]
pub struct Calendar {
    kind: Period,
    zone: TimeZone,
    /// Minutes since 1970: beginning (upper half) and end. In one word, so that any core may change
    /// it; they do once a period.
    present: AtomicU64,
}

impl Clone for Calendar {
    fn clone(&self) -> Self {
        Self::new(self.kind, self.zone.clone())
    }
}

impl Calendar {
    /// These periods.
    pub fn new(kind: Period, zone: TimeZone) -> Self {
        Self { kind, zone, present: AtomicU64::new(0) }
    }

    /// Their kind.
    pub fn kind(&self) -> Period {
        self.kind
    }

    /// The one at `now_s`: beginning and end.
    pub fn at(&self, now_s: u64) -> (u64, u64) {
        let present = self.present.load(Ordering::Relaxed);
        let (begins_at, ends_at) = ((present >> 32) * 60, (present & 0xFFFF_FFFF) * 60);
        if begins_at <= now_s && now_s < ends_at {
            return (begins_at, ends_at);
        }
        let (begins_at, ends_at) = period(now_s, self.kind, &self.zone);
        // Every zone's clocks show the same seconds since 1972.
        let packed = (begins_at / 60) << 32 | (ends_at.div_ceil(60) & 0xFFFF_FFFF);
        self.present.store(packed, Ordering::Relaxed);
        (begins_at, ends_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Period; 6] =
        [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year];

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn second(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_second() as u64
    }

    #[track_caller]
    fn check(now: &str, kind: Period, place: &str, begins: &str, ends: &str) {
        let found = period(second(now), kind, &zone(place));
        assert_eq!(found, (second(begins), second(ends)), "{now} {kind:?} {place}");
    }

    #[test]
    fn periods_of_utc() {
        let check = |kind, begins, ends| {
            check("2028-02-29T23:59:59Z", kind, "UTC", begins, ends);
        };
        check(Period::Minute, "2028-02-29T23:59:00Z", "2028-03-01T00:00:00Z");
        check(Period::Hour, "2028-02-29T23:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Day, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Week, "2028-02-28T00:00:00Z", "2028-03-06T00:00:00Z");
        check(Period::Month, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Year, "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
    }

    #[test]
    fn days_in_which_clocks_are_set_are_shorter_and_longer() {
        let (place, day) = ("Europe/Berlin", Period::Day);
        check("2026-03-29T12:00:00Z", day, place, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check("2026-10-25T12:00:00Z", day, place, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // Both of the hours that clocks show as two to three.
        let hour = Period::Hour;
        check("2026-10-25T00:30:00Z", hour, place, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z");
        check("2026-10-25T01:30:00Z", hour, place, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z");
    }

    #[test]
    fn a_midnight_that_is_left_out_and_one_that_comes_twice() {
        let (place, day) = ("Africa/Cairo", Period::Day);
        check("2026-04-24T06:00:00Z", day, place, "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z");
        let place = "America/Havana";
        check("2024-11-03T05:30:00Z", day, place, "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
    }

    #[test]
    fn clocks_that_are_set_by_half_an_hour_cut_an_hour() {
        let (place, hour) = ("Australia/Lord_Howe", Period::Hour);
        check("2026-04-04T14:59:00Z", hour, place, "2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z");
        check("2026-04-04T15:00:00Z", hour, place, "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z");
        check("2026-04-04T15:30:00Z", hour, place, "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z");
    }

    #[test]
    fn hours_of_zones_that_are_half_an_hour_off() {
        let place = "Asia/Kolkata";
        check(
            "2026-07-01T00:40:00Z",
            Period::Hour,
            place,
            "2026-07-01T00:30:00Z",
            "2026-07-01T01:30:00Z",
        );
    }

    #[test]
    fn a_calendar_remembers_and_follows_a_clock_either_way() {
        let calendar = Calendar::new(Period::Month, zone("America/New_York"));
        for now in ["2026-01-31T12:00:00Z", "2026-02-01T05:00:00Z", "2026-01-31T12:00:00Z"] {
            let now = second(now);
            let expected = period(now, Period::Month, &zone("America/New_York"));
            assert_eq!((calendar.at(now), calendar.at(now + 1)), (expected, expected));
        }
        assert_eq!(calendar.at(u64::MAX), calendar.at(LATEST_S));
    }

    proptest! {
        #[test]
        fn every_moment_is_in_one_period(
            now in 1_577_836_800u64..2_500_000_000,
            place in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo",
                "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca",
                "America/Scoresbysund", "Pacific/Chatham", "Asia/Gaza",
            ]),
        ) {
            let zone = zone(place);
            for kind in KINDS {
                let (begins_at, ends_at) = period(now, kind, &zone);
                prop_assert!(begins_at <= now && now < ends_at, "{kind:?} {place}");
                for inside in [begins_at, ends_at - 1] {
                    prop_assert_eq!(period(inside, kind, &zone), (begins_at, ends_at));
                }
                prop_assert_eq!(period(ends_at, kind, &zone).0, ends_at, "{:?} {}", kind, place);
                prop_assert_eq!(period(begins_at - 1, kind, &zone).1, begins_at);
            }
        }
    }
}
