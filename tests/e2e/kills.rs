//! Killed again and again under load, at random points, and compared with what was seen outside: the
//! upstream counts what it is sent, by application, and the clients what they are answered.
//!
//! A few kills at each run. `TOLLGATE_KILLS=100` makes it so many of each test, `TOLLGATE_SEED` repeats a
//! run's points of death.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tollgate::store::Store;
use tollgate::store::usage::{Group, UsageQuery};

use crate::applications::{App, seed};
use crate::harness::{Client, Driver, Gateway, PATIENCE, Upstream, ok};

/// Kills of each test, where nobody asks for more.
const KILLS: usize = 5;

/// `store.commit_interval`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Each asks on a connection of its own, so as many requests are under way at most.
const CLIENTS: usize = 4;

/// Application `b` has a quota that is used up while it goes on.
const QUOTA: u64 = 150;

const APPS: [App; 2] = [App::of("tg_a", "large"), App::of("tg_b", "small")];

/// The point of death: that many events after the start.
struct Doom {
    left: AtomicI64,
    killed: Mutex<Option<Instant>>,
    pid: u32,
}

impl Doom {
    /// An event: a request reached the upstream, or an answer a client.
    fn near(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            *lock(&self.killed) = Some(Instant::now());
            // SAFETY: it only takes numbers; the process is a child that nobody has waited for.
            unsafe { libc::kill(self.pid as i32, libc::SIGKILL) };
        }
    }
}

/// What the upstream was sent.
#[derive(Default)]
struct Outside {
    /// Since the last look: which application, and when.
    arrived: Mutex<Vec<(String, Instant)>>,
    doom: Mutex<Option<Arc<Doom>>>,
}

/// An answer: which application's, its status, and when.
type Answered = (&'static str, u16, Instant);

/// One life of the gateway, seen from outside.
struct Life {
    arrived: Vec<(String, Instant)>,
    answered: Vec<Answered>,
    killed: Instant,
    lasted: Duration,
}

impl Life {
    fn arrived(&self, app: &str) -> u64 {
        self.arrived.iter().filter(|(whose, _)| whose == app).count() as u64
    }

    /// How long before its end the oldest of the last so many came.
    fn age(&self, app: &str, last: u64) -> Duration {
        let of = |(whose, _): &&(String, Instant)| whose == app;
        let oldest = self.arrived.iter().rev().filter(of).nth(last.saturating_sub(1) as usize);
        let age = oldest.map(|(_, at)| self.killed.saturating_duration_since(*at));
        age.filter(|_| last > 0).unwrap_or_default()
    }

    /// How long before its end the oldest of the last so many answers with 200 was there.
    fn answers_age(&self, key: &str, last: u64) -> Duration {
        let times =
            |(whose, status, at): &Answered| (*whose == key && *status == 200).then_some(*at);
        let mut times: Vec<_> = self.answered.iter().filter_map(times).collect();
        times.sort_unstable();
        let oldest = times.iter().rev().nth(last.saturating_sub(1) as usize);
        let age = oldest.map(|at| self.killed.saturating_duration_since(*at));
        age.filter(|_| last > 0).unwrap_or_default()
    }

    fn answers(&self, key: &str) -> u64 {
        let of = |(whose, status, _): &&Answered| *whose == key && *status == 200;
        self.answered.iter().filter(of).count() as u64
    }
}

/// What the store has after a life, by application: against quotas, and of usage.
#[derive(Default, Clone)]
struct Kept {
    counted: HashMap<String, u64>,
    used: HashMap<String, u64>,
}

fn kept(folder: &Path) -> Kept {
    let store = Store::open(&folder.join("store.db")).expect("the store");
    let mut kept = Kept::default();
    let name = |id: u64| APPS[id as usize - 1].key.replace("tg_", "app-");
    let counted = store.live_counts(0, |found| {
        kept.counted.insert(name(found.key.holder), found.count);
    });
    counted.expect("counts");
    let (to, by) = (u64::MAX >> 1, vec![Group::Application]);
    let query = UsageQuery { to, limit: 100, by, class: Some(2), ..UsageQuery::default() };
    for row in store.usage(&query).expect("usage") {
        kept.used.insert(name(row.application.expect("an application")), row.count);
    }
    kept
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// Asks again and again until the gateway is gone.
fn keep_asking(address: SocketAddr, key: &'static str, doom: &Doom) -> Vec<Answered> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    let mut answered = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return answered };
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    while stream.write_all(request.as_bytes()).is_ok() {
        let Some(status) = answer(&mut answers) else { break };
        answered.push((key, status, Instant::now()));
        doom.near();
    }
    answered
}

/// The status of an answer that came whole.
fn answer(from: &mut impl BufRead) -> Option<u16> {
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            from.read_exact(&mut vec![0; length]).ok()?;
            return status;
        }
        status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
        length = line.strip_prefix("content-length: ").map_or(length, |n| n.parse().expect("it"));
    }
}

/// The gateway's lives, one after another.
struct Lives {
    driver: Driver,
    folder: tempfile::TempDir,
    outside: Arc<Outside>,
    upstream: Upstream,
    random: fastrand::Rng,
    /// Events a second, as it was last.
    pace: f64,
}

impl Lives {
    fn begin(driver: Driver, strict: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = |name, max| {
            format!(
                "[plans.{name}]\nstrict = {strict}\nquotas = [{{ period = \"year\", max = {max} }}]\n"
            )
        };
        let words = format!("{}{}", plan("large", 1_000_000_000), plan("small", QUOTA));
        seed(folder.path(), &words, &APPS);
        let outside = Arc::new(Outside::default());
        let seen = outside.clone();
        let upstream = Upstream::new(move |peer| {
            while let Some(head) = peer.next_head() {
                let app = head.value("x-tollgate-application").unwrap_or_default().to_owned();
                lock(&seen.arrived).push((app, Instant::now()));
                let doom = lock(&seen.doom).clone();
                doom.iter().for_each(|doom| doom.near());
                // The gateway may be gone.
                if peer.try_send(ok("ok")).is_err() {
                    break;
                }
            }
        });
        let seed = setting("TOLLGATE_SEED").unwrap_or_else(|| fastrand::u64(..));
        eprintln!("TOLLGATE_SEED={seed}");
        let random = fastrand::Rng::with_seed(seed);
        Self { driver, folder, outside, upstream, random, pace: 500.0 }
    }

    fn start(&self) -> Gateway {
        let (path, target) = (self.folder.path().join("store.db"), &self.upstream.address);
        let interval = INTERVAL.as_millis();
        Gateway::start(
            self.driver,
            format!(
                "[store]\npath = {path:?}\ncommit_interval = \"{interval}ms\"\n\
                 [upstreams.app]\ntargets = [\"{target}\"]\n\
                 [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n"
            ),
        )
    }

    /// From a start to a kill, at a random event of the next seconds.
    fn live(&mut self, most: Duration) -> Life {
        let mut gateway = self.start();
        let events = self.random.f64() * self.pace * most.as_secs_f64();
        let left = AtomicI64::new(1 + events as i64);
        let doom = Arc::new(Doom { left, killed: Mutex::default(), pid: gateway.pid() });
        *lock(&self.outside.doom) = Some(doom.clone());
        let (begun, address) = (Instant::now(), gateway.web());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (doom, key) = (doom.clone(), APPS[n % APPS.len()].key);
                thread::spawn(move || keep_asking(address, key, &doom))
            })
            .collect();
        let answered = clients.into_iter().flat_map(|client| client.join().expect("a client"));
        let answered: Vec<_> = answered.collect();
        let killed = lock(&doom.killed).expect("it was killed, and not gone by itself");
        gateway.wait_exit();
        self.settle();
        let arrived = std::mem::take(&mut *lock(&self.outside.arrived));
        let lasted = killed.duration_since(begun);
        let events = (arrived.len() + answered.len()) as f64;
        self.pace = (events / lasted.as_secs_f64()).clamp(100.0, 100_000.0);
        Life { arrived, answered, killed, lasted }
    }

    /// Until the upstream has read all that was sent to it.
    fn settle(&self) {
        *lock(&self.outside.doom) = None;
        // Connections are taken in turn: behind this one there are no others of the gateway's.
        let address = self.upstream.address.parse().expect("an address");
        let last = "GET / HTTP/1.1\r\nHost: a\r\nX-Tollgate-Application: none\r\n\r\n";
        let mut probe = Client::connect(address);
        probe.send(last);
        probe.response_to(last).expect(200);
        drop(probe);
        self.upstream.wait_for_ends(self.upstream.connections());
    }
}

/// What is said of a run.
#[derive(Debug, Default)]
struct Sums {
    kills: usize,
    sent: u64,
    /// Of the requests that were sent upstream, those that the store knows nothing of.
    forgotten: u64,
    /// The oldest of them.
    oldest: Duration,
    /// Of the answers that clients got, those that are not usage.
    usage_forgotten: u64,
    oldest_usage: Duration,
    /// Those that are counted and were never sent: under way when it was killed.
    under_way: u64,
    shortest: Duration,
    longest: Duration,
}

impl Sums {
    fn add(&mut self, life: &Life, app: &str, counted: u64) {
        let sent = life.arrived(app);
        let forgotten = sent.saturating_sub(counted);
        self.sent += sent;
        self.forgotten += forgotten;
        self.under_way += counted.saturating_sub(sent);
        self.oldest = self.oldest.max(life.age(app, forgotten));
    }
}

both_drivers!(a_strict_plan_never_drifts, others_forget_an_interval_at_most);

fn a_strict_plan_never_drifts(driver: Driver) {
    die_often(driver, true, Duration::from_millis(500));
}

fn others_forget_an_interval_at_most(driver: Driver) {
    die_often(driver, false, INTERVAL * 5 / 2);
}

fn die_often(driver: Driver, strict: bool, most: Duration) {
    let asked = setting("TOLLGATE_KILLS");
    let mut lives = Lives::begin(driver, strict);
    let mut sums = Sums { shortest: most * 10, ..Sums::default() };
    let (mut sent_of_b, mut forgotten_of_b) = (0, 0);
    let mut before = kept(lives.folder.path());
    while sums.kills < asked.unwrap_or(KILLS) {
        let life = lives.live(most);
        let after = kept(lives.folder.path());
        for App { key, .. } in &APPS {
            let app = key.replace("tg_", "app-");
            let grown = |of: fn(&Kept) -> &HashMap<String, u64>| {
                let at = |kept: &Kept| of(kept).get(&app).copied().unwrap_or_default();
                at(&after).checked_sub(at(&before)).expect("nothing is given back")
            };
            let (counted, used) = (grown(|kept| &kept.counted), grown(|kept| &kept.used));
            let (sent, answers) = (life.arrived(&app), life.answers(key));
            let about = format!("{app} in life {}: {sent} sent, {counted} counted", sums.kills);
            assert!(!strict || counted >= sent, "{about}");
            assert!(counted <= sent + CLIENTS as u64, "{about}");
            assert!(used <= sent, "{about}, {used} used");
            sums.add(&life, &app, counted);
            let lacking = answers.saturating_sub(used);
            sums.usage_forgotten += lacking;
            sums.oldest_usage = sums.oldest_usage.max(life.answers_age(key, lacking));
            if app == "app-b" {
                sent_of_b += sent;
                forgotten_of_b += sent.saturating_sub(counted);
            }
        }
        sums.kills += 1;
        sums.shortest = sums.shortest.min(life.lasted);
        sums.longest = sums.longest.max(life.lasted);
        before = after;
        assert!(sent_of_b <= QUOTA + forgotten_of_b, "{sent_of_b} admitted, {forgotten_of_b} over");
    }
    let driver = driver.name();
    eprintln!("{driver} strict={strict}: {sums:?}; {sent_of_b} admitted by a quota of {QUOTA}");
    // How old, is for a quiet machine to say.
    assert!(asked.is_none() || sums.oldest.max(sums.oldest_usage) <= INTERVAL);
}
