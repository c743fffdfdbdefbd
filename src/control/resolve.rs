//! Resolves targets given by DNS name, again and again.
//!
//! Resolving is control's: a worker never waits for a name. Each name keeps its last good
//! addresses when a look-up fails; a name that never resolved has none, so its target is as good
//! as absent until it does. Whoever compiles snapshots hears of changes only.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::config::{Settings, TargetAddress};
use crate::limits::{RESOLVE_MAX_ADDRESSES, RESOLVE_PARALLEL};

/// How long a look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// A name that failed is tried again after this, where that is sooner than its usual time.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// No name is looked up more often than this.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

/// A DNS name and a port.
pub type NamePort = (String, u16);

/// A name to keep resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name and port.
    pub name: NamePort,
    /// How often to look it up again (raised to 1 s; jittered by a tenth either way).
    pub every: Duration,
}

/// Addresses by name and port, each list sorted, without repeats and bounded.
pub type Addresses = BTreeMap<NamePort, Arc<[SocketAddr]>>;

/// What a name was last found to be, for stats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The name and port.
    pub name: NamePort,
    /// Its addresses; empty when it never resolved.
    pub addresses: Arc<[SocketAddr]>,
    /// Look-ups that failed since the last good one.
    pub failures: u32,
}

#[derive(Debug, Clone, Default)]
struct Known {
    addresses: Option<Arc<[SocketAddr]>>,
    failures: u32,
    every: Duration,
}

type Table = Arc<Mutex<BTreeMap<NamePort, Known>>>;

type LookUp = Arc<dyn Fn(NamePort) -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Keeps names resolved. One for the process; dropping it stops the look-ups.
pub struct Resolver {
    table: Table,
    tasks: BTreeMap<NamePort, AbortHandle>,
    running: JoinSet<()>,
    look_up: LookUp,
    changed: mpsc::Sender<()>,
}

impl Resolver {
    /// A resolver that sends on `changed` when any name's addresses changed; give it a channel of
    /// length 1, since a change that already waits there is not sent twice.
    pub fn new(changed: mpsc::Sender<()>) -> Self {
        let parallel = Arc::new(Semaphore::new(RESOLVE_PARALLEL));
        Self::with(Arc::new(move |name| Box::pin(ask(name, Arc::clone(&parallel)))), changed)
    }

    fn with(look_up: LookUp, changed: mpsc::Sender<()>) -> Self {
        let (table, tasks) = (Table::default(), BTreeMap::new());
        Self { table, tasks, running: JoinSet::new(), look_up, changed }
    }

    /// Takes over the names of a configuration: forgets those no longer wanted, looks up the new
    /// ones (at the same time, so that it takes a look-up's timeout at most for a handful of
    /// them), and goes on with every one. Names that do not resolve are told in the log. A name
    /// wanted twice is looked up as often as the more eager wants. Runs on tokio.
    pub async fn want(&mut self, wanted: &[Wanted]) {
        let mut periods = BTreeMap::<&NamePort, Duration>::new();
        for one in wanted {
            let every = one.every.max(SHORTEST_PERIOD);
            periods.entry(&one.name).and_modify(|e| *e = every.min(*e)).or_insert(every);
        }
        self.forget_all_but(&periods);
        for (name, every) in &periods {
            lock(&self.table).entry((*name).clone()).or_default().every = *every;
        }
        self.look_up_new(&periods).await;
        for name in periods.into_keys() {
            self.keep(name);
        }
    }

    /// The addresses of all wanted names; a name that never resolved has an empty list.
    pub fn addresses(&self) -> Addresses {
        let table = lock(&self.table);
        table.iter().map(|(n, k)| (n.clone(), k.addresses.clone().unwrap_or_default())).collect()
    }

    /// A handle that tells what each name was last found to be.
    pub fn resolutions(&self) -> impl Fn() -> Vec<Resolution> + Send + Sync + 'static {
        let table = Arc::clone(&self.table);
        let of = |(name, known): (&NamePort, &Known)| Resolution {
            name: name.clone(),
            addresses: known.addresses.clone().unwrap_or_default(),
            failures: known.failures,
        };
        move || lock(&table).iter().map(of).collect()
    }

    fn forget_all_but(&mut self, wanted: &BTreeMap<&NamePort, Duration>) {
        self.tasks.retain(|name, task| {
            let keep = wanted.contains_key(name);
            if !keep {
                task.abort();
            }
            keep
        });
        lock(&self.table).retain(|name, _| wanted.contains_key(name));
        while self.running.try_join_next().is_some() {}
    }

    async fn look_up_new(&self, wanted: &BTreeMap<&NamePort, Duration>) {
        let mut looks = JoinSet::new();
        for name in wanted.keys().filter(|name| !self.tasks.contains_key(**name)) {
            let (table, name, answer) =
                (Arc::clone(&self.table), (*name).clone(), (self.look_up)((*name).clone()));
            looks.spawn(async move { take_over(&table, &name, answer.await) });
        }
        while looks.join_next().await.is_some() {}
    }

    /// Starts the name's task where there is none.
    fn keep(&mut self, name: &NamePort) {
        if self.tasks.contains_key(name) {
            return;
        }
        let (table, look_up) = (Arc::clone(&self.table), Arc::clone(&self.look_up));
        let task = keep_resolved(name.clone(), table, look_up, self.changed.clone());
        self.tasks.insert(name.clone(), self.running.spawn(task));
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("table", &self.table).finish_non_exhaustive()
    }
}

fn lock(table: &Table) -> MutexGuard<'_, BTreeMap<NamePort, Known>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks one name up for as long as it is wanted.
async fn keep_resolved(name: NamePort, table: Table, look_up: LookUp, changed: mpsc::Sender<()>) {
    loop {
        let Some(known) = lock(&table).get(&name).cloned() else { return };
        sleep(known.pause(fastrand::f64())).await;
        if take_over(&table, &name, look_up(name.clone()).await) {
            // Full: a change waits there already, and whoever takes it reads the table anew.
            let _ = changed.try_send(());
        }
    }
}

impl Known {
    /// Time to the next look-up: the period with a tenth of jitter either way (`luck`: 0 to 1),
    /// so that names resolved together do not stay together; sooner after a failure.
    fn pause(&self, luck: f64) -> Duration {
        let period = match self.failures {
            0 => self.every,
            _ => self.every.min(RETRY_AFTER_FAILURE),
        };
        period.mul_f64(0.9 + 0.2 * luck)
    }
}

/// Notes what a look-up brought: whether the addresses changed. A failure changes nothing.
fn take_over(table: &Table, name: &NamePort, found: io::Result<Vec<SocketAddr>>) -> bool {
    let mut table = lock(table);
    let Some(known) = table.get_mut(name) else { return false };
    match found.and_then(tidy) {
        Ok(addresses) => {
            if known.failures > 0 {
                tracing::info!(host = name.0, port = name.1, "resolves again");
            }
            known.failures = 0;
            let changed = known.addresses.as_deref() != Some(&addresses[..]);
            known.addresses = Some(addresses.into());
            changed
        }
        Err(error) => {
            if known.failures == 0 {
                let kept = known.addresses.as_deref().unwrap_or_default();
                tracing::warn!(host = name.0, port = name.1, ?kept, %error, "does not resolve");
            }
            known.failures = known.failures.saturating_add(1);
            false
        }
    }
}

/// Sorted, without repeats, bounded; an empty answer is an error.
fn tidy(mut addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(RESOLVE_MAX_ADDRESSES);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no addresses in the answer"));
    }
    Ok(addresses)
}

/// One look-up through the system's resolver.
async fn ask((host, port): NamePort, parallel: Arc<Semaphore>) -> io::Result<Vec<SocketAddr>> {
    let _permit = parallel.acquire().await.map_err(io::Error::other)?;
    match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(found) => found.map(Iterator::collect),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The names of all targets.
pub fn wanted(settings: &Settings) -> Vec<Wanted> {
    (settings.upstreams.values())
        .flat_map(|upstream| {
            upstream.targets.iter().filter_map(|target| match &target.address {
                TargetAddress::Name(host, port) => {
                    Some(Wanted { name: (host.clone(), *port), every: upstream.resolve_every })
                }
                _ => None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn name() -> NamePort {
        ("app.internal".into(), 80)
    }

    fn wanted(every: Duration) -> Wanted {
        Wanted { name: name(), every }
    }

    /// A resolver whose answers are a list, the last one for ever.
    fn scripted(answers: Vec<Option<Vec<u8>>>) -> (Resolver, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        let answers = Mutex::new(answers);
        let look_up: LookUp = Arc::new(move |_| {
            let mut answers = answers.lock().unwrap();
            let next = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            let found = next.map(|lasts| lasts.into_iter().map(address).collect());
            Box::pin(std::future::ready(found.ok_or_else(|| io::Error::other("no such name"))))
        });
        (Resolver::with(look_up, sender), receiver)
    }

    fn known(resolver: &Resolver) -> Vec<SocketAddr> {
        resolver.addresses().get(&name()).map(|a| a.to_vec()).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_first_answer_is_there_when_want_returns_sorted_and_without_repeats() {
        let (mut resolver, mut changed) = scripted(vec![Some(vec![2, 1, 2])]);
        resolver.want(&[wanted(Duration::from_secs(60))]).await;
        assert_eq!(known(&resolver), [address(1), address(2)]);
        assert!(changed.try_recv().is_err(), "the caller reads the first answer itself");
        resolver.want(&[]).await;
        assert!(resolver.addresses().is_empty());
    }

    #[tokio::test]
    async fn a_changed_answer_is_reported_and_a_failed_one_keeps_the_last_good() {
        let answers = vec![Some(vec![1]), None, Some(vec![1]), Some(vec![3, 1])];
        let (mut resolver, mut changed) = scripted(answers);
        let key = name();
        lock(&resolver.table).entry(key.clone()).or_default().every = Duration::from_millis(1);
        resolver.look_up_new(&BTreeMap::from([(&key, Duration::ZERO)])).await;
        assert_eq!(known(&resolver), [address(1)]);
        resolver.keep(&key);
        let heard = tokio::time::timeout(Duration::from_secs(10), changed.recv()).await;
        assert_eq!(heard.expect("in time"), Some(()));
        assert_eq!(known(&resolver), [address(1), address(3)]);
        assert_eq!(resolver.resolutions()()[0].failures, 0);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_has_no_addresses_and_is_no_error() {
        let (mut resolver, _changed) = scripted(vec![None]);
        resolver.want(&[wanted(Duration::ZERO), wanted(Duration::from_secs(9))]).await;
        assert!(known(&resolver).is_empty());
        assert_eq!(resolver.resolutions()()[0].failures, 1);
        assert_eq!(lock(&resolver.table)[&name()].every, SHORTEST_PERIOD);
    }

    #[test]
    fn answers_are_bounded_and_empty_ones_are_failures() {
        let many = (0..=255).map(address).collect::<Vec<_>>();
        assert_eq!(tidy(many).unwrap().len(), RESOLVE_MAX_ADDRESSES);
        assert!(tidy(Vec::new()).is_err());
    }

    #[test]
    fn the_pause_is_jittered_and_shorter_after_a_failure() {
        let known = Known { every: Duration::from_secs(30), ..Known::default() };
        assert_eq!(known.pause(0.0), Duration::from_secs(27));
        assert_eq!(known.pause(1.0), Duration::from_secs(33));
        let failed = Known { failures: 1, ..known };
        assert_eq!(failed.pause(0.5), RETRY_AFTER_FAILURE);
    }

    #[tokio::test]
    async fn localhost_resolves_through_the_system() {
        let found = ask(("127.0.0.1".into(), 9), Arc::new(Semaphore::new(1))).await.unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 9))]);
    }
}
