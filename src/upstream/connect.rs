//! What one core knows of its upstreams, and how a request gets a connection to a target.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::balance::{Picker, Tried};
use super::group::{Group, Target};
use super::h2::{SharedPool, TargetStream};
use super::health::Health;
use super::open::{ConnectError, ConnectTime, open};
use super::pool::{Connection, Pool};
use super::retry::Budget;
use crate::io::{Buffer, Watch};
use crate::stats;

/// Per upstream: what is remembered between requests.
struct State {
    picker: Picker,
    budget: Budget,
}

/// Pools, pickers, health and retry budgets of one core.
pub struct Upstreams {
    watch: Rc<Watch>,
    /// Idle connections.
    pub pool: RefCell<Pool>,
    /// Connections with many streams.
    shared: Rc<SharedPool>,
    health: RefCell<Health>,
    by_upstream: RefCell<Vec<Option<State>>>,
    in_flight: RefCell<Vec<u32>>,
    large: RefCell<Vec<bool>>,
    picks: Cell<usize>,
}

impl Upstreams {
    /// Nothing known yet.
    pub fn new(watch: Rc<Watch>) -> Self {
        Self {
            shared: SharedPool::new(watch.clone()),
            watch,
            pool: RefCell::default(),
            health: RefCell::default(),
            by_upstream: RefCell::default(),
            in_flight: RefCell::default(),
            large: RefCell::default(),
            picks: Cell::new(0),
        }
    }

    fn with_state<T>(&self, id: u32, now_ns: u64, use_it: impl FnOnce(&mut State) -> T) -> T {
        let mut all = self.by_upstream.borrow_mut();
        let index = id as usize;
        if all.len() <= index {
            all.resize_with(index + 1, || None);
        }
        let state = all[index].get_or_insert_with(|| {
            // Cores begin at different targets.
            let start = self.picks.get();
            State { picker: Picker::new(start), budget: Budget::new(now_ns) }
        });
        use_it(state)
    }

    /// Where this core's round robins begin.
    pub fn begin_at(&self, start: usize) {
        self.picks.set(start);
    }

    /// A request for this upstream came: its share of a retry is saved.
    pub fn deposit(&self, group: &Group, now_ns: u64) {
        self.with_state(group.id, now_ns, |s| s.budget.deposit(group.retry_budget));
    }

    /// Whether the budget allows a retry; takes it.
    pub fn withdraw(&self, group: &Group, now_ns: u64) -> bool {
        self.with_state(group.id, now_ns, |s| s.budget.withdraw(now_ns))
    }

    /// Chooses a target for a request that has tried others already.
    pub fn choose<'g>(
        &self,
        group: &'g Group,
        tried: &mut Tried,
        hash: Option<u64>,
        random: u64,
        now_ns: u64,
    ) -> Option<&'g Target> {
        let picks = group.picks.as_ref()?;
        let health = self.health.borrow();
        let in_flight = self.in_flight.borrow();
        let skip = |ix: usize| health.is_skipped(u64::from(group.targets[ix].id), now_ns);
        let busy = |ix: usize| in_flight.get(group.targets[ix].id as usize).copied().unwrap_or(0);
        let index = self.with_state(group.id, now_ns, |s| {
            s.picker.pick(picks, tried, hash, random, skip, busy)
        })?;
        drop(health);
        tried.add(index);
        let target = &group.targets[index];
        self.health.borrow_mut().chosen(u64::from(target.id), now_ns);
        Some(target)
    }

    /// Counts a request at a target, for least-request balancing.
    pub fn enter(&self, target: u32) {
        let mut all = self.in_flight.borrow_mut();
        let index = target as usize;
        if all.len() <= index {
            all.resize(index + 1, 0);
        }
        all[index] += 1;
    }

    /// Whether a target's last answer wanted a large buffer; its next one probably does too.
    pub fn answers_large(&self, target: u32) -> bool {
        self.large.borrow().get(target as usize).copied().unwrap_or(false)
    }

    /// Remembers whether an answer wanted one.
    pub fn note_answer(&self, target: u32, large: bool) {
        let mut all = self.large.borrow_mut();
        let index = target as usize;
        if all.len() <= index {
            if !large {
                return;
            }
            all.resize(index + 1, false);
        }
        all[index] = large;
    }

    /// It is done.
    pub fn leave(&self, target: u32) {
        if let Some(count) = self.in_flight.borrow_mut().get_mut(target as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// An idle connection that is still quiet: one look at the socket, which takes nothing. (A
    /// read that is armed while the connection idles needs no look, but measures 4 to 7 % dearer:
    /// the kernel wakes its waiter for every acknowledgement.)
    ///
    /// One that was made under other terms of TLS than those in force is of no use.
    pub fn reuse(
        &self,
        target: &Target,
        group: &Group,
        now_ns: u64,
        stats: &stats::Writer,
    ) -> Option<Connection> {
        loop {
            let connection = {
                let mut pool = self.pool.borrow_mut();
                let connection = pool.take(target.id, now_ns);
                stats.target(target.id).idle.set(pool.idle(target.id) as u64);
                connection?
            };
            if group.has_terms(connection.tls.as_ref()) && connection.stream.is_quiet() {
                return Some(connection);
            }
            stats.target(target.id).stale.up();
        }
    }

    /// A new connection. `preface` goes before TLS, where the group speaks it.
    ///
    /// # Errors
    /// Where the target can't be reached; its health has been told.
    pub async fn connect(
        &self,
        target: &Target,
        group: &Group,
        preface: Buffer,
        time: ConnectTime,
        now_ns: u64,
    ) -> Result<Connection, ConnectError> {
        match open(&target.destination(group), preface, time.shorter()).await {
            Ok(stream) => {
                let guard = self.watch.guard(stream.fd());
                Ok(Connection {
                    guard,
                    stream,
                    target: target.id,
                    reused: false,
                    tls: group.tls.clone(),
                })
            }
            Err(error) => Err(self.failed(target, group, error, time, now_ns)),
        }
    }

    /// A stream to a target that speaks HTTP/2, where a connection has room for it.
    pub fn ready_stream(&self, target: &Target, group: &Group) -> Option<TargetStream> {
        self.shared.ready_stream(target, group)
    }

    /// A stream to a target that speaks HTTP/2. `true`: a connection was made for it.
    ///
    /// # Errors
    /// Where the target can't be reached; its health has been told.
    pub async fn stream(
        &self,
        target: &Target,
        group: &Group,
        time: ConnectTime,
        now_ns: u64,
    ) -> Result<(TargetStream, bool), ConnectError> {
        let stream = self.shared.stream(target, group, time).await;
        stream.map_err(|error| self.failed(target, group, error, time, now_ns))
    }

    fn failed(
        &self,
        target: &Target,
        group: &Group,
        error: ConnectError,
        time: ConnectTime,
        now_ns: u64,
    ) -> ConnectError {
        if time.blames_target(error) {
            self.health.borrow_mut().fails(u64::from(target.id), now_ns, group.skip_ns);
        }
        error
    }

    /// Only connections to targets for which `keep` holds are used again.
    pub fn retain(&self, keep: impl Fn(u32) -> bool) {
        self.pool.borrow_mut().retain(&keep);
        self.shared.retain(keep);
    }

    /// The target took a connection.
    pub fn reached(&self, target: u32) {
        self.health.borrow_mut().succeeded(u64::from(target));
    }

    /// Keeps a connection for the next request.
    pub fn keep(&self, connection: Connection, group: &Group, now_ns: u64, stats: &stats::Writer) {
        let target = connection.target;
        let mut pool = self.pool.borrow_mut();
        pool.put(connection, group.max_idle, now_ns + group.idle_ns);
        stats.target(target).idle.set(pool.idle(target) as u64);
    }

    /// Bounded housekeeping, now and then.
    pub fn sweep(&self, now_ns: u64, stats: &stats::Writer) {
        let told = |target: u32, idle: usize| stats.target(target).idle.set(idle as u64);
        self.pool.borrow_mut().sweep(now_ns, told);
        self.shared.sweep();
        self.health.borrow_mut().sweep(now_ns);
    }
}
