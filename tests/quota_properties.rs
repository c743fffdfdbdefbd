//! Quotas over simulated days: resets, clocks that are set, leap days, and a wall clock that jumps.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use tollgate::config::file::Period;
use tollgate::policy::quota::calendar::period;
use tollgate::policy::quota::{Charge, Charged, Counts, Ends, Quota};
use tollgate::store::Store;
use tollgate::store::usage::{Batch, Counted};

const HOLDER: u64 = 7;

/// Days on which something happens: clocks set forward and back (at midnight, at two, by half an
/// hour), the leap day, a year's last.
const DAYS: &[(&str, &str)] = &[
    ("Europe/Berlin", "2026-03-28T23:00:00Z"),
    ("Europe/Berlin", "2026-10-24T22:00:00Z"),
    ("America/New_York", "2027-03-14T05:00:00Z"),
    ("Africa/Cairo", "2026-04-23T12:00:00Z"),
    ("America/Havana", "2024-11-03T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T06:00:00Z"),
    ("Asia/Kathmandu", "2028-02-28T18:15:00Z"),
    ("UTC", "2028-02-28T12:00:00Z"),
    ("UTC", "2027-12-31T12:00:00Z"),
];

fn quota(kind: Period, zone: &TimeZone, max: u64) -> Quota {
    Quota::new("hits", 1, kind, zone.clone(), max, false)
}

/// Of minutes, hours, days and all that is longer.
fn quotas(zone: &TimeZone, [minute, hour, day, longer]: [u64; 4]) -> Vec<Quota> {
    let limits = [
        (Period::Minute, minute),
        (Period::Hour, hour),
        (Period::Day, day),
        (Period::Week, longer),
        (Period::Month, longer + 1),
        (Period::Year, longer + 2),
    ];
    limits.into_iter().map(|(kind, max)| quota(kind, zone, max)).collect()
}

fn charge(counts: &Counts, quotas: &[Quota], amount: u64, now: u64) -> bool {
    let charges = quotas.iter().map(|quota| Charge { quota, amount });
    match counts.charge(HOLDER, charges, now, &mut |_| (), &mut Ends::default()) {
        Charged::Taken(_) => true,
        Charged::Exceeded(_) => false,
        Charged::TableFull(_) => panic!("the table is large enough"),
    }
}

/// What quotas mean: of each kind the latest period that was seen, and what was used of it.
#[derive(Default)]
struct Model {
    used: HashMap<Period, (u64, u64)>,
}

impl Model {
    fn charge(&mut self, zone: &TimeZone, quotas: &[Quota], amount: u64, now: u64) -> bool {
        let mut after = self.used.clone();
        for quota in quotas {
            let kind = quota.calendar.kind();
            let (_, ends_at) = period(now, kind, zone);
            let (end, count) = after.entry(kind).or_insert((ends_at, 0));
            if *end < ends_at {
                (*end, *count) = (ends_at, 0);
            }
            *count += amount;
            if *count > quota.max {
                return false;
            }
        }
        self.used = after;
        true
    }
}

fn start() -> impl Strategy<Value = (TimeZone, u64)> {
    prop::sample::select(DAYS).prop_map(|(place, begin)| {
        let begin = begin.parse::<jiff::Timestamp>().expect("a time").as_second();
        (TimeZone::get(place).expect("a zone"), begin as u64)
    })
}

/// Writes all counts to a store, as the ledger does.
fn commit(store: &Store, counts: &Counts, quotas: &[Quota]) {
    let counted = quotas.iter().filter_map(|quota| {
        let key = quota.key(HOLDER);
        let (ends_at, count) = counts.count(key)?;
        Some(Counted { key, ends_at, count })
    });
    let batch = Batch { counted: counted.collect(), ..Batch::default() };
    assert_eq!(store.commit_usage(&batch), Ok(vec![]));
}

/// What the next process begins with.
fn restored(store: &Store, now: u64) -> Counts {
    let counts = Counts::with_slots(1 << 8);
    let taken = store.live_counts(now, |counted| {
        assert!(counts.restore(counted.key, counted.ends_at, counted.count, now));
    });
    taken.expect("counts");
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The same day, in which the process dies every hour or so, after a commit and two more requests:
    /// what was committed goes on, in whichever period it is by then, and at most those two come anew.
    #[test]
    fn a_day_of_processes_that_die_is_counted_as_the_calendar_says(
        (zone, begin) in start(),
        lives in prop::collection::vec((600u64..5400, 1u64..40), 24),
        limits in (30u64..60, 35u64..80, 100u64..400, 300u64..900),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("store.db")).expect("a store");
        let quotas = quotas(&zone, [limits.0, limits.1, limits.2, limits.3]);
        let (mut model, mut now) = (Model::default(), begin);
        for (pause, requests) in lives {
            let counts = restored(&store, now);
            for _ in 0..requests {
                let expected = model.charge(&zone, &quotas, 1, now);
                prop_assert_eq!(charge(&counts, &quotas, 1, now), expected, "at {}", now);
                now += 1;
            }
            commit(&store, &counts, &quotas);
            // These are forgotten: the model never hears of them.
            let _ = [charge(&counts, &quotas, 1, now), charge(&counts, &quotas, 1, now)];
            now += pause;
        }
    }
}

/// A clock that shows another year for an hour, either way, with a start of the process before and
/// after: what counts is what was used by the right clock, and nothing is given twice.
#[test]
fn a_clock_that_was_wrong_by_a_year_costs_nobody_the_month() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("store.db")).expect("a store");
    let quotas = [quota(Period::Month, &TimeZone::UTC, 10)];
    let right = 1_800_000_000;
    let takes = |counts: &Counts, now| (0..20).filter(|_| charge(counts, &quotas, 1, now)).count();
    let counts = restored(&store, right);
    assert!((0..4).all(|_| charge(&counts, &quotas, 1, right)));
    commit(&store, &counts, &quotas);
    for wrong in [right + 366 * 86_400, right - 366 * 86_400] {
        let counts = restored(&store, wrong);
        assert!(charge(&counts, &quotas, 1, wrong));
        commit(&store, &counts, &quotas);
        assert!(takes(&restored(&store, right), right) == 6, "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// 24 hours in steps of up to two minutes: each request is admitted exactly where there is room in
    /// every period that it is in.
    #[test]
    fn a_day_is_counted_as_the_calendar_says(
        (zone, begin) in start(),
        steps in prop::collection::vec((0u64..120, 1u64..4), 1500),
        limits in (1u64..12, 20u64..200, 200u64..2000, 1000u64..4000),
    ) {
        let quotas = quotas(&zone, [limits.0, limits.1, limits.2, limits.3]);
        let (counts, mut model) = (Counts::with_slots(1 << 8), Model::default());
        let mut now = begin;
        for (step, amount) in steps {
            now += step;
            if now > begin + 86_400 {
                break;
            }
            let expected = model.charge(&zone, &quotas, amount, now);
            prop_assert_eq!(charge(&counts, &quotas, amount, now), expected, "at {}", now);
        }
    }

    /// The wall clock jumps by up to ten days, either way: no period begins a second time.
    #[test]
    fn a_clock_that_jumps_gives_no_quota_twice(
        (zone, begin) in start(),
        steps in prop::collection::vec((-864_000i64..864_000, 1u64..30), 40),
    ) {
        let quotas = quotas(&zone, [40, 60, 80, 200]);
        let counts = Counts::with_slots(1 << 8);
        let mut admitted: HashMap<(Period, u64), u64> = HashMap::new();
        let mut latest: HashMap<Period, u64> = HashMap::new();
        let mut now = begin;
        for (jump, requests) in steps {
            now = now.saturating_add_signed(jump);
            for _ in 0..requests {
                let taken = charge(&counts, &quotas, 1, now);
                for quota in &quotas {
                    let kind = quota.calendar.kind();
                    let end = latest.entry(kind).or_default();
                    *end = period(now, kind, &zone).1.max(*end);
                    *admitted.entry((kind, *end)).or_default() += u64::from(taken);
                }
            }
        }
        for quota in &quotas {
            let of_it = admitted.iter().filter(|((kind, _), _)| *kind == quota.calendar.kind());
            for (at, count) in of_it {
                prop_assert!(*count <= quota.max, "{at:?}: {count}");
            }
        }
    }
}
