use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;

use super::*;
use crate::config::file::Period;

const NOON: u64 = 1_800_000_000;

fn quota(metric: u32, period: Period, max: u64) -> Quota {
    Quota::new("hits", metric, period, TimeZone::UTC, max, false)
}

fn counts() -> Counts {
    Counts::with_slots(1 << 10)
}

fn charge<'q>(counts: &Counts, quotas: &'q [Quota], amount: u64, now_s: u64) -> Charged<'q> {
    counts.charge(
        7,
        quotas.iter().map(|quota| Charge { quota, amount }),
        now_s,
        &mut |_| (),
        &mut Ends::default(),
    )
}

fn admits(counts: &Counts, quotas: &[Quota], amount: u64, now_s: u64) -> bool {
    matches!(charge(counts, quotas, amount, now_s), Charged::Taken(_))
}

#[test]
fn admits_up_to_the_quota_and_anew_in_the_next_period() {
    let (counts, quotas) = (counts(), [quota(1, Period::Hour, 3)]);
    for left in [2, 1, 0] {
        let Charged::Taken(Some(standing)) = charge(&counts, &quotas, 1, NOON) else { panic!() };
        assert_eq!(standing.remaining, left);
    }
    let Charged::Exceeded(standing) = charge(&counts, &quotas, 1, NOON) else { panic!() };
    let (_, ends_at) = quotas[0].calendar.at(NOON);
    assert_eq!((standing.remaining, standing.ends_at), (0, ends_at));
    assert_eq!(standing.reset, ends_at - NOON);
    assert!(!admits(&counts, &quotas, 1, ends_at - 1));
    assert!(admits(&counts, &quotas, 1, ends_at));
}

#[test]
fn takes_nothing_where_a_later_one_refuses() {
    let counts = counts();
    let quotas =
        [quota(1, Period::Month, 100), quota(1, Period::Day, 50), quota(2, Period::Hour, 10)];
    assert!(admits(&counts, &quotas, 8, NOON));
    let Charged::Exceeded(standing) = charge(&counts, &quotas, 3, NOON) else { panic!() };
    assert_eq!((standing.quota.metric, standing.remaining), (2, 2));
    let count = |at: usize| counts.count(quotas[at].key(7)).unwrap().1;
    assert_eq!((count(0), count(1), count(2)), (8, 8, 8));
}

#[test]
fn nothing_is_charged_where_something_is_left() {
    let (counts, quotas) = (counts(), [quota(1, Period::Hour, 3)]);
    let none = Charge { quota: &quotas[0], amount: 0 };
    assert!(admits(&counts, &quotas, 0, NOON));
    counts.add(7, Charge { amount: 2, ..none }, NOON, &mut |_| ());
    assert!(admits(&counts, &quotas, 0, NOON));
    counts.add(7, Charge { amount: 2, ..none }, NOON, &mut |_| ());
    assert!(!admits(&counts, &quotas, 0, NOON));
}

#[test]
fn what_is_only_counted_refuses_nothing_and_is_not_told() {
    let (counts, quotas) = (counts(), [quota(1, Period::Hour, 3).counted()]);
    for _ in 0..5 {
        assert!(matches!(charge(&counts, &quotas, 1, NOON), Charged::Taken(None)));
    }
    assert_eq!(counts.count(quotas[0].key(7)).unwrap().1, 5);
}

#[test]
fn many_quotas_of_many_applications_fit() {
    let counts = Counts::with_slots(1 << 14);
    let (_, ends_at) = quota(1, Period::Day, 1).calendar.at(NOON);
    // A third of the table, by many metrics of few applications.
    for (holder, metric) in (1..=96).flat_map(|id| (1..=50).map(move |metric| (id, metric))) {
        let key = Key { holder, metric, period: Period::Day };
        assert!(counts.restore(key, ends_at, holder, NOON), "{key:?}");
    }
}

#[test]
fn a_soft_one_counts_and_never_refuses() {
    let counts = counts();
    let soft = [Quota::new("hits", 1, Period::Day, TimeZone::UTC, 1, true)];
    for _ in 0..5 {
        assert!(admits(&counts, &soft, 1, NOON));
    }
    assert_eq!(counts.count(soft[0].key(7)).unwrap().1, 5);
    // Its successor in the plan, which is hard, counts on.
    assert!(!admits(&counts, &[quota(1, Period::Day, 5)], 1, NOON));
}

#[test]
fn who_goes_beyond_a_soft_one_is_told_once_a_period_and_counted_each_time() {
    let counts = counts();
    let soft = |metric, period, max| Quota::new("hits", metric, period, TimeZone::UTC, max, true);
    let quotas = [soft(1, Period::Hour, 4), soft(1, Period::Day, 6), quota(2, Period::Day, 11)];
    let mut told = Vec::new();
    let mut ask = |now_s| {
        let charges = quotas.iter().map(|quota| Charge { quota, amount: 2 });
        let mut tell = |beyond: Beyond<'_>| {
            told.push((beyond.quota.calendar.kind(), beyond.first, beyond.ends_at));
        };
        counts.charge(7, charges, now_s, &mut tell, &mut Ends::default());
        std::mem::take(&mut told)
    };
    let (hour, day) = (quotas[0].calendar.at(NOON).1, quotas[1].calendar.at(NOON).1);
    assert_eq!((ask(NOON), ask(NOON)), (vec![], vec![]));
    assert_eq!(ask(NOON), [(Period::Hour, true, hour)]);
    assert_eq!(ask(NOON), [(Period::Day, true, day), (Period::Hour, false, hour)]);
    // The next hour has room again; the day has not.
    assert_eq!(ask(hour), [(Period::Day, false, day)]);
    // A hard one refuses: nobody went beyond anything.
    assert_eq!(ask(hour), []);
    let cost = Charge { quota: &quotas[0], amount: 9 };
    counts.add(7, cost, hour, &mut |beyond| told.push((Period::Hour, beyond.first, 0)));
    assert_eq!(told, [(Period::Hour, true, 0)]);
}

#[test]
fn a_quota_of_nothing_refuses_everything() {
    let (counts, none) = (counts(), [quota(1, Period::Day, 0)]);
    assert!(!admits(&counts, &none, 1, NOON));
    assert!(!admits(&counts, &none, 0, NOON));
}

#[test]
fn holders_metrics_and_periods_are_counted_apart() {
    let counts = counts();
    let quotas = [quota(1, Period::Hour, 1), quota(2, Period::Hour, 1), quota(1, Period::Day, 1)];
    for one in quotas.chunks(1) {
        assert!(admits(&counts, one, 1, NOON));
        assert!(!admits(&counts, one, 1, NOON));
    }
    let other = Charge { quota: &quotas[0], amount: 1 };
    assert!(matches!(
        counts.charge(8, std::iter::once(other), NOON, &mut |_| (), &mut Ends::default()),
        Charged::Taken(_)
    ));
}

#[test]
fn a_clock_that_goes_back_keeps_the_later_period_and_its_counts() {
    let (counts, quotas) = (counts(), [quota(1, Period::Hour, 3)]);
    let (_, ends_at) = quotas[0].calendar.at(NOON);
    assert!(admits(&counts, &quotas, 3, NOON));
    assert!(admits(&counts, &quotas, 2, ends_at));
    // Back in the hour before: its quota does not begin again, and the later one is charged.
    assert!(admits(&counts, &quotas, 1, ends_at - 10));
    let Charged::Exceeded(standing) = charge(&counts, &quotas, 1, ends_at - 10) else { panic!() };
    assert_eq!(standing.reset, 3610);
    assert!(!admits(&counts, &quotas, 1, ends_at + 3599));
    assert!(admits(&counts, &quotas, 1, ends_at + 3600));
}

#[test]
fn what_came_to_nothing_is_given_back() {
    let counts = counts();
    let quotas = [quota(1, Period::Hour, 3), quota(1, Period::Day, 9)];
    let charges = |amount| quotas.iter().map(move |quota| Charge { quota, amount });
    let left = || quotas.each_ref().map(|quota| counts.count(quota.key(7)).unwrap().1);
    assert!(admits(&counts, &quotas, 3, NOON));
    let told = std::cell::RefCell::new(Vec::new());
    let (_, ends_at) = quotas[0].calendar.at(NOON);
    let ends = ends_of(&quotas, NOON);
    let refund = |holder, amount| {
        counts.refund(holder, charges(amount), &ends, ends_at, |charge| {
            told.borrow_mut().push((charge.quota.calendar.kind(), charge.amount));
        });
        told.take()
    };
    assert_eq!(refund(7, 2), [(Period::Hour, 2), (Period::Day, 2)]);
    assert_eq!(left(), [1, 1]);
    assert!(admits(&counts, &quotas, 2, NOON) && !admits(&counts, &quotas, 1, NOON));
    // The hour has ended when it comes to nothing: only the day gets it back.
    assert!(admits(&counts, &quotas, 1, ends_at));
    assert_eq!(refund(7, 3), [(Period::Day, 3)]);
    assert_eq!(left(), [1, 1]);
    // Who was never charged has no place for it.
    assert_eq!(refund(8, 1), []);
    assert_eq!(counts.count(quotas[0].key(8)), None);
}

/// The ends of the periods of this moment.
fn ends_of(quotas: &[Quota], at_s: u64) -> Ends {
    let mut ends = Ends::default();
    quotas.iter().for_each(|quota| ends.push(minutes(quota.calendar.at(at_s).1) as u32));
    ends
}

#[test]
fn what_is_given_back_goes_to_the_period_that_it_was_charged_in() {
    let (counts, quotas) = (counts(), [quota(1, Period::Hour, 3)]);
    let key = quotas[0].key(7);
    let charges = || std::iter::once(Charge { quota: &quotas[0], amount: 1 });
    let charge = |now_s| {
        let mut ends = Ends::default();
        let charged = counts.charge(7, charges(), now_s, &mut |_| (), &mut ends);
        assert!(matches!(charged, Charged::Taken(_)));
        ends
    };
    let (_, ends_at) = quotas[0].calendar.at(NOON);
    // Charged before the hour's end and given back behind it, where nothing of the next was used yet, and
    // where it was: the next one's count stays what it is.
    let old = charge(NOON);
    counts.refund(7, charges(), &old, ends_at + 1, |_| ());
    assert_eq!(counts.count(key), Some((ends_at, 0)));
    let old = charge(NOON);
    charge(ends_at);
    counts.refund(7, charges(), &old, ends_at + 1, |_| panic!("of the old hour"));
    assert_eq!(counts.count(key), Some((ends_at + 3600, 1)));
    // One that began before the end, and was charged when others had begun the next hour, is of that.
    let late = charge(ends_at - 1);
    assert_eq!(counts.count(key), Some((ends_at + 3600, 2)));
    counts.refund(7, charges(), &late, ends_at + 2, |_| ());
    assert_eq!(counts.count(key), Some((ends_at + 3600, 1)));
    // One that was charged in a period that another zone's plan has made longer since.
    let before = charge(ends_at);
    let place = counts.place(key);
    let longer = |tally: Tally| Some(Tally { end: tally.end + 30, ..tally });
    assert!(matches!(place.change(minutes(ends_at), longer), Change::Made(_)));
    counts.refund(7, charges(), &before, ends_at + 3, |_| ());
    assert_eq!(counts.count(key), Some((ends_at + 3600 + 1800, 1)));
}

#[test]
fn that_a_soft_one_was_passed_is_news_once_a_period_whatever_is_given_back() {
    let counts = counts();
    let soft = Quota::new("hits", 1, Period::Hour, TimeZone::UTC, 1, true);
    let one = || std::iter::once(Charge { quota: &soft, amount: 1 });
    let ask = |now_s| {
        let mut told = None;
        counts.charge(7, one(), now_s, &mut |beyond| told = Some(beyond), &mut Ends::default());
        told
    };
    let news = |beyond: Option<Beyond<'_>>, now_s| {
        counts.is_news(7, &beyond.expect("it went beyond"), now_s)
    };
    let ends = ends_of(std::slice::from_ref(&soft), NOON);
    let give_back = || counts.refund(7, one(), &ends, NOON, |_| ());
    // It comes to nothing: not passed.
    assert!(ask(NOON).is_none());
    let nothing = ask(NOON);
    give_back();
    assert!(!news(nothing, NOON));
    // Another one passed it meanwhile: it is told by whom is over first, and by nobody again.
    let (nothing, second) = (ask(NOON), ask(NOON));
    give_back();
    assert!(news(nothing, NOON) && !news(second, NOON));
    // It is passed a second time, since so much came to nothing.
    give_back();
    let again = ask(NOON);
    assert!(again.is_some_and(|beyond| beyond.first) && !news(again, NOON));
    // In the next period it is news again, also when that is over.
    let (_, ends_at) = soft.calendar.at(NOON);
    assert!(ask(ends_at).is_none());
    let next = ask(ends_at);
    assert!(news(next, ends_at + 3600) && !news(next, ends_at + 3600));
}

#[test]
fn strangers_take_no_place_from_applications() {
    let (counts, quotas) = (Counts::with_slots(1 << 8), [quota(1, Period::Hour, 3)]);
    let one = || [Charge { quota: &quotas[0], amount: 1 }].into_iter();
    let stranger = |n: u32| {
        crate::policy::quota::address_holder(1, std::net::IpAddr::from(n.to_be_bytes()), 64)
    };
    let full = (0..100_000).find(|n| {
        matches!(
            counts.charge(stranger(*n), one(), NOON, &mut |_| {}, &mut Ends::default()),
            Charged::TableFull(_)
        )
    });
    assert!(full.is_some() && counts.used(NOON) > 0.5);
    for application in 0..50 {
        assert!(matches!(
            counts.charge(application, one(), NOON, &mut |_| {}, &mut Ends::default()),
            Charged::Taken(_)
        ));
    }
}

#[test]
fn a_full_table_refuses_until_periods_are_over() {
    let (counts, quotas) = (Counts::with_slots(8), [quota(1, Period::Hour, 3)]);
    let one = || [Charge { quota: &quotas[0], amount: 1 }].into_iter();
    let mut holder = 0;
    while let Charged::Taken(_) =
        counts.charge(holder, one(), NOON, &mut |_| (), &mut Ends::default())
    {
        holder += 1;
    }
    assert!(matches!(
        counts.charge(holder, one(), NOON, &mut |_| (), &mut Ends::default()),
        Charged::TableFull(_)
    ));
    assert!(!counts.add(holder, one().next().unwrap(), NOON, &mut |_| ()));
    let (_, ends_at) = quotas[0].calendar.at(NOON);
    assert!(matches!(
        counts.charge(holder, one(), ends_at, &mut |_| (), &mut Ends::default()),
        Charged::TableFull(_)
    ));
    assert!(matches!(
        counts.charge(holder, one(), ends_at + 600, &mut |_| (), &mut Ends::default()),
        Charged::Taken(_)
    ));
    // One that refuses nothing need not be counted.
    let full = Counts::with_slots(8);
    for holder in 0..1000 {
        _ = full.charge(holder, one(), NOON, &mut |_| (), &mut Ends::default());
    }
    let soft = Quota { soft: true, ..quota(9, Period::Hour, 1) };
    let charge = Charge { quota: &soft, amount: 1 };
    assert!(matches!(
        full.charge(5000, [charge].into_iter(), NOON, &mut |_| (), &mut Ends::default()),
        Charged::Taken(_)
    ));
}

#[test]
fn what_was_restored_counts_unless_there_is_more() {
    let (counts, quotas) = (counts(), [quota(1, Period::Day, 10)]);
    let key = quotas[0].key(7);
    let (_, ends_at) = quotas[0].calendar.at(NOON);
    assert!(counts.restore(key, ends_at, 4, NOON));
    assert!(admits(&counts, &quotas, 5, NOON));
    assert!(counts.restore(key, ends_at, 4, NOON));
    assert_eq!(counts.count(key), Some((ends_at, 9)));
    assert!(counts.restore(key, ends_at - 86_400, 500, NOON));
    assert_eq!(counts.count(key), Some((ends_at, 9)));
    assert!(!admits(&counts, &quotas, 2, NOON));
}

#[test]
fn what_an_answer_cost_is_counted_beyond_the_quota() {
    let (counts, quotas) = (counts(), [quota(1, Period::Day, 10)]);
    assert!(counts.add(7, Charge { quota: &quotas[0], amount: 25 }, NOON, &mut |_| ()));
    assert_eq!(counts.count(quotas[0].key(7)).unwrap().1, 25);
    assert!(!admits(&counts, &quotas, 1, NOON));
}

/// Threads with clocks on both sides of a period's end, and a second quota that often refuses.
#[test]
fn never_more_than_the_quota_on_any_number_of_threads() {
    let counts = Counts::with_slots(1 << 8);
    let quotas = [quota(1, Period::Hour, 5_000), quota(2, Period::Day, 7_001)];
    let (_, boundary) = quotas[0].calendar.at(NOON);
    let taken = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (counts, quotas, taken) = (&counts, &quotas, &taken);
            scope.spawn(move || {
                for n in 0..4_000u64 {
                    let now = boundary - 2 + (n / 1000) + thread % 2;
                    let amount = 1 + n % 3;
                    if admits(counts, quotas, amount, now) {
                        taken.fetch_add(amount, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let count = |at: usize| counts.count(quotas[at].key(7)).unwrap().1;
    assert!(count(0) <= 5_000);
    assert_eq!(count(1), taken.load(Ordering::Relaxed));
    assert!((6_999..=7_001).contains(&count(1)), "{}", count(1));
}
