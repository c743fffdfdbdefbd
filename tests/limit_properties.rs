//! What the rate limits promise, for any interleaving of cores: never more than `rate × t + burst`
//! in any window, at most 1 % less than one bucket would admit under saturation, and nothing lost
//! by giving back. Simulated over virtual time, and with real threads.

use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tollgate::config::{Limit, LimitKey};
use tollgate::policy::limit::{Charge, Judgement, KeySource, Local, Rule, Shared};

const SECOND: u64 = 1_000_000_000;
const TICK: u64 = 10_000_000;
/// Later than any table slot could still be held back by.
const START: u64 = 10 * SECOND;

fn limit(rate: u64, per: Duration, burst: u64, key: LimitKey) -> Limit {
    Limit { name: "limit".into(), rate, per, burst, key }
}

fn per_second(rate: u64, burst: u64) -> Limit {
    limit(rate, Duration::from_secs(1), burst, LimitKey::Route)
}

fn source<'a>(parameter: &'a dyn Fn(usize) -> &'a [u8]) -> KeySource<'a> {
    KeySource {
        client: Ipv4Addr::LOCALHOST.into(),
        ipv6_prefix: 64,
        fields: &[],
        buf: &[],
        query: None,
        identity: None,
        application: None,
        claims: None,
        path_parameter: parameter,
    }
}

fn admits(core: &mut Local, shared: &Shared, rules: &[Rule], now: u64) -> bool {
    let judgement = core.judge(shared, &[rules], &source(&|_| b""), now);
    matches!(judgement, Judgement::Allowed(_))
}

/// Replays admissions, sorted by time, through one exact bucket (in units of 1/rate of `per`'s
/// nanoseconds). It overflows if and only if some window holds more than `rate × t + burst`.
fn over_admitted(limit: &Limit, times: &[u64]) -> Option<usize> {
    let (rate, per) = (u128::from(limit.rate), limit.per.as_nanos());
    let mut tat = 0;
    times.iter().position(|&time| {
        let now = u128::from(time) * rate;
        tat = now.max(tat) + per;
        tat > now + u128::from(limit.burst) * per
    })
}

/// What one exact bucket would admit of requests at these times.
fn ideal(limit: &Limit, times: &[u64]) -> usize {
    let (rate, per) = (u128::from(limit.rate), limit.per.as_nanos());
    let mut tat = 0;
    let admitted = times.iter().filter(|&&time| {
        let now = u128::from(time) * rate;
        let next = now.max(tat) + per;
        let fits = next <= now + u128::from(limit.burst) * per;
        if fits {
            tat = next;
        }
        fits
    });
    admitted.count()
}

#[derive(Debug, Clone)]
enum Step {
    /// So many requests on a core at once.
    Requests(usize, u8),
    Tick(usize),
    Surrender(usize),
    /// Time passes, ns.
    Wait(u64),
    /// A core's clock falls behind or catches up: it is that far behind, ns.
    Lag(usize, u64),
}

fn steps(cores: usize) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![0..1000u64, 0..1_000_000u64, 0..50_000_000u64, 0..2_000_000_000u64];
    let step = prop_oneof![
        8 => (0..cores, 1..60u8).prop_map(|(core, count)| Step::Requests(core, count)),
        2 => (0..cores).prop_map(Step::Tick),
        1 => (0..cores).prop_map(Step::Surrender),
        5 => wait.prop_map(Step::Wait),
        1 => (0..cores, 0..500_000_000u64).prop_map(|(core, lag)| Step::Lag(core, lag)),
    ];
    prop::collection::vec(step, 1..150)
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let rate = prop_oneof![1..20u64, 1..1000u64, 1..10_000_000u64];
    let per =
        prop_oneof![Just(1_000_000_000u64), Just(60_000_000_000), 1_000_000..7_000_000_000u64];
    let burst = prop_oneof![1..5u64, 1..100u64, 1..5000u64];
    (rate, per, burst).prop_map(|(rate, per, burst)| {
        limit(rate, Duration::from_nanos(per), burst, LimitKey::Route)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_window_admits_too_much(
        limit in any_limit(),
        workers in 1..9usize,
        steps in steps(4),
    ) {
        let shared = Shared::with_slots(64, 8);
        let rules = [Rule::new("route", &limit, None)];
        let mut cores: Vec<Local> = (0..4).map(|_| Local::new(workers)).collect();
        let mut own = [START; 4];
        let mut lags = [0; 4];
        let mut now = START;
        let mut admitted = Vec::new();
        for step in steps {
            for core in 0..4 {
                own[core] = own[core].max(now - lags[core]);
            }
            match step {
                Step::Requests(core, count) => {
                    for _ in 0..count {
                        if admits(&mut cores[core], &shared, &rules, own[core]) {
                            admitted.push(own[core]);
                        }
                    }
                }
                Step::Tick(core) => cores[core].tick(&shared, own[core]),
                Step::Surrender(core) => cores[core].surrender(&shared, own[core]),
                Step::Wait(time) => now += time,
                Step::Lag(core, lag) => lags[core] = lag.min(now - START),
            }
        }
        admitted.sort_unstable();
        prop_assert_eq!(over_admitted(&limit, &admitted), None);
    }

    /// Requests that take one token and such that take several, of one bucket.
    #[test]
    fn no_window_admits_too_much_of_any_weight(
        limit in any_limit(),
        workers in 1..9usize,
        steps in steps(4),
        weights in prop::collection::vec(prop_oneof![1..3u32, 1..50u32, 1..6000u32], 1..20),
    ) {
        let shared = Shared::with_slots(64, 8);
        let rule = Rule::new("route", &limit, None);
        let mut cores: Vec<Local> = (0..4).map(|_| Local::new(workers)).collect();
        let mut weights = weights.iter().cycle();
        let mut now = START;
        let mut admitted = Vec::new();
        for step in steps {
            match step {
                Step::Requests(core, count) => {
                    for _ in 0..count {
                        let amount = *weights.next().expect("a cycle");
                        let charges = [Charge { rule: &rule, amount }];
                        let charges = charges.iter().copied();
                        let judgement =
                            cores[core].charge(&shared, charges, &source(&|_| b""), now);
                        if matches!(judgement, Judgement::Allowed(_)) {
                            admitted.push((now, amount));
                        }
                    }
                }
                Step::Tick(core) => cores[core].tick(&shared, now),
                Step::Surrender(core) => cores[core].surrender(&shared, now),
                Step::Wait(time) => now += time,
                Step::Lag(..) => {}
            }
        }
        // One exact bucket, as in `over_admitted`.
        let (rate, per) = (u128::from(limit.rate), limit.per.as_nanos());
        let mut tat = 0;
        for (time, amount) in admitted {
            let now = u128::from(time) * rate;
            tat = now.max(tat) + u128::from(amount) * per;
            prop_assert!(tat <= now + u128::from(limit.burst) * per);
        }
    }

    /// Two limits, either of which may refuse: what one refuses takes nothing from the other for
    /// good, and both hold.
    #[test]
    fn several_limits_hold_together(
        first in any_limit(),
        second in any_limit(),
        steps in steps(2),
    ) {
        let shared = Shared::with_slots(64, 8);
        let rules = [Rule::new("route", &first, None), Rule::new("listener", &second, None)];
        let mut cores: Vec<Local> = (0..2).map(|_| Local::new(2)).collect();
        let mut now = START;
        let mut admitted = Vec::new();
        for step in steps {
            match step {
                Step::Requests(core, count) => {
                    for _ in 0..count {
                        if admits(&mut cores[core], &shared, &rules, now) {
                            admitted.push(now);
                        }
                    }
                }
                Step::Tick(core) => cores[core].tick(&shared, now),
                Step::Surrender(core) => cores[core].surrender(&shared, now),
                Step::Wait(time) => now += time,
                Step::Lag(..) => {}
            }
        }
        prop_assert_eq!(over_admitted(&first, &admitted), None);
        prop_assert_eq!(over_admitted(&second, &admitted), None);
        // After everything came back, each bucket has what one that saw only the admitted
        // requests would have; rounding of the interval may cost one.
        cores.iter_mut().for_each(|core| core.surrender(&shared, now));
        for (limit, rule) in [(&first, &rules[..1]), (&second, &rules[1..])] {
            let mut fresh = Local::new(1);
            let more = (0..).take_while(|_| admits(&mut fresh, &shared, rule, now)).count();
            let mut all = admitted.clone();
            all.resize(admitted.len() + limit.burst as usize, now);
            let expected = ideal(limit, &all) - admitted.len();
            // Tokens that were lent while the bucket was more than half full count as taken when
            // they are reported; that may cost what was lent, never more.
            prop_assert!(more <= expected);
            prop_assert!(more + 1 + 256 >= expected, "{more} of {expected}");
        }
    }
}

/// A small deterministic generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Requests come at `load` times the rate for `length` ns, `weights` saying which core gets them.
/// Returns those admitted as a part of what one exact bucket admits.
fn saturate(limit: &Limit, weights: &[u64], load: f64, length: u64, seed: u64) -> f64 {
    let shared = Shared::with_slots(64, 8);
    let rules = [Rule::new("route", limit, None)];
    let mut cores: Vec<Local> = weights.iter().map(|_| Local::new(weights.len())).collect();
    let mut dice = Dice(seed);
    let gap = (limit.per.as_nanos() as f64 / (limit.rate as f64 * load)).max(1.0) as u64;
    let (mut now, mut next_tick) = (START, START);
    let (mut offered, mut admitted) = (Vec::new(), Vec::new());
    while now < START + length {
        now += dice.roll(2 * gap) + 1;
        if now >= next_tick {
            cores.iter_mut().for_each(|core| core.tick(&shared, now));
            next_tick += TICK;
        }
        let mut pick = dice.roll(weights.iter().sum());
        let core = weights.iter().position(|&weight| {
            let hit = pick < weight;
            pick = pick.wrapping_sub(weight);
            hit
        });
        offered.push(now);
        if admits(&mut cores[core.unwrap()], &shared, &rules, now) {
            admitted.push(now);
        }
    }
    assert_eq!(over_admitted(limit, &admitted), None);
    admitted.len() as f64 / ideal(limit, &offered) as f64
}

const SKEWS: [&[u64]; 9] = [
    &[1],
    &[1, 1],
    &[1, 0],
    &[100, 1],
    &[1, 1, 1, 1],
    &[1000, 10, 1, 1],
    &[1, 1, 1, 1, 1, 1, 1, 1],
    &[1, 0, 0, 0, 0, 0, 0, 0],
    &[500, 100, 20, 4, 1, 1, 1, 1],
];

#[test]
fn saturation_is_used_to_the_last_percent() {
    for (rate, burst) in [
        (100, 1),
        (100, 10),
        (100, 200),
        (1000, 100),
        (10_000, 10_000),
        (100_000, 1000),
        (1_000_000, 64),
        (3_000_000, 10_000),
    ] {
        let limit = per_second(rate, burst);
        // Long enough for the rate to outweigh the burst, short enough to simulate.
        let length = (10_000 + burst) * SECOND / rate;
        for (seed, weights) in SKEWS.iter().enumerate() {
            for load in [1.05, 3.0] {
                let used = saturate(&limit, weights, load, length, seed as u64 + 1);
                assert!(used >= 0.99, "{rate}/s burst {burst} on {weights:?} at {load}: {used}");
            }
        }
    }
}

#[test]
fn load_that_moves_between_cores_is_served() {
    let limit = per_second(1000, 500);
    let shared = Shared::with_slots(64, 8);
    let rules = [Rule::new("route", &limit, None)];
    let mut cores: Vec<Local> = (0..4).map(|_| Local::new(4)).collect();
    let mut admitted = Vec::new();
    let mut offered = Vec::new();
    for step in 0..200_000u64 {
        let now = START + step * 50_000;
        if now.is_multiple_of(TICK) {
            cores.iter_mut().for_each(|core| core.tick(&shared, now));
        }
        // 100 ms on each core.
        let core = (now / 100_000_000 % 4) as usize;
        offered.push(now);
        if admits(&mut cores[core], &shared, &rules, now) {
            admitted.push(now);
        }
    }
    assert_eq!(over_admitted(&limit, &admitted), None);
    assert!(admitted.len() as f64 >= 0.99 * ideal(&limit, &offered) as f64);
}

/// Below the rate nobody is refused, although cores hold leases.
#[test]
fn load_below_the_rate_is_never_refused() {
    for workers in [1, 2, 4, 8] {
        let limit = per_second(10_000, 1000);
        let shared = Shared::with_slots(64, 8);
        let rules = [Rule::new("route", &limit, None)];
        let mut cores: Vec<Local> = (0..workers).map(|_| Local::new(workers)).collect();
        for step in 0..100_000u64 {
            let now = START + step * 105_000;
            if step % 95 == 0 {
                cores.iter_mut().for_each(|core| core.tick(&shared, now));
            }
            let core = (step * step % 7) as usize % workers;
            assert!(admits(&mut cores[core], &shared, &rules, now), "step {step}");
        }
    }
}

/// Real threads, one key, the real clock: the admissions of all threads together are held against
/// one exact bucket.
#[test]
fn threads_on_one_key_never_over_admit() {
    for (threads, limit) in [
        (2, per_second(100_000, 50)),
        (4, per_second(2_000_000, 1000)),
        (8, per_second(50_000, 20_000)),
        (8, per_second(10_000_000, 1)),
    ] {
        let shared = Shared::with_slots(64, 8);
        let rules = [Rule::new("route", &limit, None)];
        let start = Barrier::new(threads);
        let clock = Instant::now();
        let mut admitted: Vec<u64> = std::thread::scope(|scope| {
            let run = || {
                let mut core = Local::new(threads);
                let mut admitted = Vec::new();
                let mut last_tick = 0;
                start.wait();
                for _ in 0..30_000 {
                    let now = START + clock.elapsed().as_nanos() as u64;
                    if now > last_tick + TICK {
                        core.tick(&shared, now);
                        last_tick = now;
                    }
                    if admits(&mut core, &shared, &rules, now) {
                        admitted.push(now);
                    }
                }
                admitted
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        admitted.sort_unstable();
        assert!(!admitted.is_empty());
        assert_eq!(over_admitted(&limit, &admitted), None, "{threads} threads");
    }
}

/// Real threads, more keys than the table has places, buckets that are forgotten and taken up
/// again all the time: each key is still held to its limit.
#[test]
fn threads_in_a_crowded_table_never_over_admit() {
    const NAMES: [&[u8]; 12] =
        [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i", b"j", b"k", b"l"];
    let key = LimitKey::PathParameter("name".into());
    let limit = limit(10, Duration::from_secs(1), 3, key);
    let shared = Shared::with_slots(1, 8);
    // With four scopes, 48 buckets for 28 places.
    let rules: Vec<Rule> =
        (0..4).map(|scope| Rule::new(&scope.to_string(), &limit, Some(0))).collect();
    let start = Barrier::new(4);
    let admitted: Vec<(usize, usize, u64)> = std::thread::scope(|scope| {
        let run = |seed: u64| {
            let (shared, rules, start) = (&shared, &rules, &start);
            move || {
                let mut core = Local::new(4);
                let mut dice = Dice(seed * 7919);
                let mut admitted = Vec::new();
                start.wait();
                // Virtual time, 100 µs a step, so that buckets are forgotten after their second.
                for step in 0..60_000u64 {
                    let now = START + step * 100_000 + dice.roll(50_000);
                    let (rule, name) = (dice.roll(4) as usize, dice.roll(12) as usize);
                    let rules = &rules[rule..=rule];
                    let keys = |_| NAMES[name];
                    let judgement = core.judge(shared, &[rules], &source(&keys), now);
                    if matches!(judgement, Judgement::Allowed(_)) {
                        admitted.push((rule, name, now));
                    }
                    if step % 100 == 0 {
                        core.tick(shared, now);
                        // Keeps the threads' virtual clocks within the margin.
                        start.wait();
                    }
                }
                admitted
            }
        };
        let threads: Vec<_> = (1..=4).map(|seed| scope.spawn(run(seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for rule in 0..4 {
        for name in 0..NAMES.len() {
            let mut times: Vec<u64> =
                admitted.iter().filter(|a| (a.0, a.1) == (rule, name)).map(|a| a.2).collect();
            times.sort_unstable();
            assert_eq!(over_admitted(&limit, &times), None);
        }
    }
}
