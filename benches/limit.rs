//! A rate-limit decision: alone, and with two threads on one key, beside a plain shared atomic and
//! `governor`.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use governor::{Quota, RateLimiter};
use tollgate::config::{Limit, LimitKey};
use tollgate::policy::limit::{Judgement, KeySource, Local, Rule, Shared};

const RATE: u32 = 1_000_000_000;
const BURST: u32 = 1_000_000_000;

fn rule(rate: u64, burst: u64, key: LimitKey) -> Rule {
    let limit = Limit { name: "bench".into(), rate, per: Duration::from_secs(1), burst, key };
    Rule::new("route", &limit, None)
}

fn keys(client: u32) -> KeySource<'static> {
    KeySource {
        client: Ipv4Addr::from_bits(client).into(),
        ipv6_prefix: 64,
        fields: &[],
        buf: &[],
        query: None,
        identity: None,
        application: None,
        claims: None,
        path_parameter: &|_| b"",
    }
}

/// GCRA in one atomic word, the plainest there is.
#[derive(Default)]
struct Plain(AtomicU64);

impl Plain {
    fn admits(&self, now: u64) -> bool {
        let interval = 1_000_000_000 / u64::from(RATE);
        let brim = now + interval * u64::from(BURST);
        let next = |tat: u64| Some(tat.max(now) + interval).filter(|next| *next <= brim);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }
}

/// Time for `iterations` decisions of `decide(n)` while `beside` runs on another thread.
fn measured(iterations: u64, mut decide: impl FnMut(u64)) -> Duration {
    let start = Instant::now();
    (0..iterations).for_each(&mut decide);
    start.elapsed()
}

fn beside<T>(other: impl FnMut(u64) + Send, this: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut other = other;
        let stopped = &stop;
        scope.spawn(move || {
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                other(n);
            }
        });
        let result = this();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// A clock that costs nothing: both threads advance 100 ns a decision, ticking as a worker does.
fn core<'a>(shared: &'a Shared, workers: usize, rules: &'a [Rule]) -> impl FnMut(u64) + Send + 'a {
    let mut core = Local::new(workers);
    let mut now = 10_000_000_000;
    move |n| {
        now += 100;
        if n.is_multiple_of(100_000) {
            core.tick(shared, now);
        }
        let judgement = core.judge(shared, &[rules], &keys(1), now);
        black_box(matches!(judgement, Judgement::Allowed(_)));
    }
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision alone");
    let one = [rule(u64::from(RATE), u64::from(BURST), LimitKey::Route)];
    let by_client = [rule(u64::from(RATE), u64::from(BURST), LimitKey::ClientIp)];
    group.bench_function("leases", |bench| {
        let shared = Shared::with_slots(1 << 12, 8);
        bench.iter_custom(|n| measured(n, core(&shared, 2, &one)));
    });
    group.bench_function("authority only", |bench| {
        let shared = Shared::with_slots(1 << 12, 8);
        bench.iter_custom(|n| measured(n, core(&shared, usize::MAX / 2, &one)));
    });
    group.bench_function("leases, by client", |bench| {
        let shared = Shared::with_slots(1 << 12, 8);
        bench.iter_custom(|n| measured(n, core(&shared, 2, &by_client)));
    });
    group.bench_function("a million clients", |bench| {
        let shared = Shared::new();
        let mut core = Local::new(2);
        let rules = [rule(1, 1, LimitKey::ClientIp)];
        let mut now = 10_000_000_000;
        let mut decide = |n: u64| {
            now += 4000;
            let client = (n % 1_000_000) as u32;
            black_box(matches!(
                core.judge(&shared, &[&rules], &keys(client), now),
                Judgement::Allowed(_)
            ));
        };
        bench.iter_custom(|n| measured(n, &mut decide));
    });
    group.bench_function("refused", |bench| {
        let shared = Shared::with_slots(1 << 12, 8);
        let rules = [rule(1, 1, LimitKey::Route)];
        bench.iter_custom(|n| measured(n, core(&shared, 2, &rules)));
    });
    group.bench_function("plain atomic", |bench| {
        let plain = Plain::default();
        bench.iter_custom(|n| measured(n, |n| _ = black_box(plain.admits(1_000_000 + n * 100))));
    });
    group.bench_function("governor", |bench| {
        let governor = RateLimiter::direct(quota());
        bench.iter_custom(|n| measured(n, |_| _ = black_box(governor.check())));
    });
    group.bench_function("governor, by client", |bench| {
        let governor = RateLimiter::keyed(quota());
        let client = Ipv4Addr::LOCALHOST;
        bench.iter_custom(|n| measured(n, |_| _ = black_box(governor.check_key(&client))));
    });
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two threads, one key");
    let one = [rule(u64::from(RATE), u64::from(BURST), LimitKey::Route)];
    for (name, workers) in [("leases", 2), ("authority only", usize::MAX / 2)] {
        group.bench_function(name, |bench| {
            let shared = Shared::with_slots(1 << 12, 8);
            bench.iter_custom(|n| {
                beside(core(&shared, workers, &one), || measured(n, core(&shared, workers, &one)))
            });
        });
    }
    group.bench_function("plain atomic", |bench| {
        let plain = Plain::default();
        let decide = |n: u64| _ = black_box(plain.admits(1_000_000 + n * 100));
        bench.iter_custom(|n| beside(decide, || measured(n, decide)));
    });
    group.bench_function("governor", |bench| {
        let governor = RateLimiter::direct(quota());
        let decide = |_| _ = black_box(governor.check());
        bench.iter_custom(|n| beside(decide, || measured(n, decide)));
    });
    group.bench_function("governor, by client", |bench| {
        let governor = RateLimiter::keyed(quota());
        let client = Ipv4Addr::LOCALHOST;
        let decide = |_| _ = black_box(governor.check_key(&client));
        bench.iter_custom(|n| beside(decide, || measured(n, decide)));
    });
    group.finish();
}

fn quota() -> Quota {
    let each = NonZeroU32::new(RATE).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(each).allow_burst(NonZeroU32::new(BURST).unwrap_or(NonZeroU32::MIN))
}

criterion_group! {
    name = limit;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = alone, two_threads
}
criterion_main!(limit);
