//! One worker's block, and the handle that may write to it.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use super::blocks::{
    ListenerStats, ROUTES_IN_A_ROW, RouteRow, RouteStats, TargetStats, UpstreamStats,
};
use super::counter::{Counter, Gauge, Kinds};
use super::histogram::Histogram;
use super::slots::Slots;
use super::status::StatusCounts;
use crate::limits;

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WorkerState {
    /// Not serving yet.
    Starting,
    /// Serving.
    Running,
    /// Serving what it has, accepting nothing new.
    Draining,
    /// Gone.
    Stopped,
}

impl WorkerState {
    /// Its name in stats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// All that one worker counts.
#[derive(Debug)]
pub struct WorkerStats {
    /// Index of the worker, from 0.
    pub index: usize,
    /// Requests finished, whatever became of them.
    pub requests: Counter,
    /// Bytes received from clients.
    pub bytes_in: Counter,
    /// Bytes sent to clients.
    pub bytes_out: Counter,
    /// Sum of all latencies, nanoseconds.
    pub latency_sum: Counter,
    /// Turns of the event loop (or ticks, where turns cannot be seen).
    pub turns: Counter,
    /// Client connections open.
    pub connections: Gauge,
    /// Requests being served.
    pub in_flight: Gauge,
    /// Tunnels open: those of them that became one, and connections that are passed on unread.
    pub tunnels: Gauge,
    /// Idle upstream connections.
    pub pool_idle: Gauge,
    /// Bytes of buffers in use.
    pub buffer_bytes: Gauge,
    /// Generation of the snapshot that new requests get.
    pub generation: Gauge,
    /// Times accepting was paused for want of descriptors.
    pub accept_pauses: Counter,
    /// Requests that went on beyond a soft quota.
    pub beyond_soft_quota: Counter,
    /// Times that one was passed: the first of them in each period.
    pub soft_quotas_passed: Counter,
    /// Times it was remembered whether a password is right.
    pub passwords_remembered: Counter,
    /// Access-log records dropped before they reached the writer.
    pub log_dropped: Counter,
    /// Responses by status.
    pub codes: StatusCounts,
    /// Failures the gateway answered itself, by kind.
    pub failures: Kinds,
    /// Latency of all requests.
    pub latency: Histogram,
    /// By listener id.
    pub listeners: Slots<ListenerStats>,
    routes: Slots<RouteRow>,
    /// By upstream id.
    pub upstreams: Slots<UpstreamStats>,
    /// By target id.
    pub targets: Slots<TargetStats>,
    core: OnceLock<usize>,
    driver: OnceLock<&'static str>,
    state: AtomicU8,
    taken: AtomicBool,
}

impl WorkerStats {
    /// An empty block for worker `index`: some 25 KiB, the rest grows with use.
    pub fn new(index: usize) -> Arc<Self> {
        Arc::new(Self {
            index,
            requests: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            latency_sum: Counter::default(),
            turns: Counter::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            tunnels: Gauge::default(),
            pool_idle: Gauge::default(),
            buffer_bytes: Gauge::default(),
            generation: Gauge::default(),
            accept_pauses: Counter::default(),
            beyond_soft_quota: Counter::default(),
            soft_quotas_passed: Counter::default(),
            passwords_remembered: Counter::default(),
            log_dropped: Counter::default(),
            codes: StatusCounts::default(),
            failures: Kinds::default(),
            latency: Histogram::default(),
            listeners: Slots::new(limits::STATS_MAX_LISTENERS),
            routes: Slots::new(limits::STATS_MAX_ROUTES.div_ceil(ROUTES_IN_A_ROW as u32)),
            upstreams: Slots::new(limits::STATS_MAX_UPSTREAMS),
            targets: Slots::new(limits::STATS_MAX_TARGETS),
            core: OnceLock::new(),
            driver: OnceLock::new(),
            state: AtomicU8::new(WorkerState::Starting as u8),
            taken: AtomicBool::new(false),
        })
    }

    /// The one handle that may write, for the worker's own thread; `None` when it was given out
    /// before.
    pub fn writer(self: &Arc<Self>) -> Option<Writer> {
        let first = !self.taken.swap(true, Ordering::AcqRel);
        first.then(|| Writer { stats: Arc::clone(self), one_thread: PhantomData })
    }

    /// A route's counters, where it or a neighbour was ever requested.
    pub fn route(&self, id: u32) -> Option<&RouteStats> {
        self.routes.peek(id / ROUTES_IN_A_ROW as u32).map(|row| row.at(id))
    }

    /// The core it is pinned to, where it is.
    pub fn core(&self) -> Option<usize> {
        self.core.get().copied()
    }

    /// The driver it runs on (`io_uring` or `epoll`), once known.
    pub fn driver(&self) -> Option<&'static str> {
        self.driver.get().copied()
    }

    /// Where it is in its life.
    pub fn state(&self) -> WorkerState {
        match self.state.load(Ordering::Acquire) {
            0 => WorkerState::Starting,
            1 => WorkerState::Running,
            2 => WorkerState::Draining,
            _ => WorkerState::Stopped,
        }
    }

    /// Says where the worker is in its life. Any thread may: control marks a worker that died.
    pub fn enter(&self, state: WorkerState) {
        self.state.store(state as u8, Ordering::Release);
    }
}

/// A finished request, for [`Writer::finished`].
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// Listener id.
    pub listener: u32,
    /// Route id, where one was found.
    pub route: Option<u32>,
    /// Final status sent (499 where the client went away before one).
    pub status: u16,
    /// Bytes of head and body received.
    pub bytes_in: u64,
    /// Bytes of head and body sent.
    pub bytes_out: u64,
    /// From the first byte of the head to the last byte of the response, nanoseconds.
    pub latency_ns: u64,
}

/// Bytes that passed through a tunnel just now, for [`Writer::passed`].
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// Listener id.
    pub listener: u32,
    /// Route id, where a request began it.
    pub route: Option<u32>,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Bytes sent to the client.
    pub bytes_out: u64,
}

/// The right to write to a worker's block. It cannot leave the thread it was taken on (neither
/// `Send` nor `Sync`), which is what makes plain loads and stores enough; its clones stay there
/// too. Everything of [`WorkerStats`] is reached through it.
///
/// ```compile_fail
/// fn leaves_its_thread<T: Send>() {}
/// leaves_its_thread::<tollgate::stats::Writer>();
/// ```
#[derive(Debug, Clone)]
pub struct Writer {
    stats: Arc<WorkerStats>,
    one_thread: PhantomData<*const ()>,
}

impl Deref for Writer {
    type Target = WorkerStats;

    #[inline]
    fn deref(&self) -> &WorkerStats {
        &self.stats
    }
}

impl Writer {
    /// A listener's counters.
    #[inline]
    pub fn listener(&self, id: u32) -> &ListenerStats {
        self.stats.listeners.at(id)
    }

    /// A route's counters.
    #[inline]
    pub fn route(&self, id: u32) -> &RouteStats {
        self.stats.routes.at(id / ROUTES_IN_A_ROW as u32).at(id)
    }

    /// An upstream's counters.
    #[inline]
    pub fn upstream(&self, id: u32) -> &UpstreamStats {
        self.stats.upstreams.at(id)
    }

    /// A target's counters.
    #[inline]
    pub fn target(&self, id: u32) -> &TargetStats {
        self.stats.targets.at(id)
    }

    /// Counts a finished request for the worker, its listener and its route: about fifteen plain
    /// stores, no allocation after the first request of a route and latency range.
    #[inline]
    pub fn finished(&self, done: &Finished) {
        let worker = &*self.stats;
        worker.requests.up();
        worker.bytes_in.add(done.bytes_in);
        worker.bytes_out.add(done.bytes_out);
        worker.latency_sum.add(done.latency_ns);
        worker.codes.up(done.status);
        worker.latency.record(done.latency_ns);
        let listener = self.listener(done.listener);
        listener.requests.up();
        listener.bytes_in.add(done.bytes_in);
        listener.bytes_out.add(done.bytes_out);
        listener.codes.up(done.status);
        if let Some(route) = done.route {
            self.route(route).record(done.status, done.bytes_in, done.bytes_out, done.latency_ns);
        }
    }

    /// Counts what passed through a tunnel: it may live for days, and nobody waits for its end.
    #[inline]
    pub fn passed(&self, passed: &Passed) {
        let worker = &*self.stats;
        let listener = self.listener(passed.listener);
        worker.bytes_in.add(passed.bytes_in);
        worker.bytes_out.add(passed.bytes_out);
        listener.bytes_in.add(passed.bytes_in);
        listener.bytes_out.add(passed.bytes_out);
        if let Some(route) = passed.route {
            let route = self.route(route);
            route.bytes_in.add(passed.bytes_in);
            route.bytes_out.add(passed.bytes_out);
        }
    }

    /// Says which core the worker is pinned to and which driver it runs on; the first time counts.
    pub fn booted(&self, core: Option<usize>, driver: &'static str) {
        if let Some(core) = core {
            let _ = self.stats.core.set(core);
        }
        let _ = self.stats.driver.set(driver);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_writer() {
        let stats = WorkerStats::new(3);
        let writer = stats.writer();
        assert!(writer.is_some());
        assert!(stats.writer().is_none());
        assert_eq!(stats.index, 3);
    }

    #[test]
    fn a_finished_request_is_counted_at_every_level() {
        let stats = WorkerStats::new(0);
        let writer = stats.writer().unwrap();
        let done = Finished {
            listener: 1,
            route: Some(7),
            status: 200,
            bytes_in: 10,
            bytes_out: 20,
            latency_ns: 1_000_000,
        };
        writer.finished(&done);
        writer.finished(&Finished { route: None, status: 404, ..done });
        assert_eq!(stats.requests.value(), 2);
        assert_eq!(stats.listeners.peek(1).map(|l| l.requests.value()), Some(2));
        assert_eq!(stats.route(7).map(RouteStats::ok), Some(1));
        assert!(stats.route(64).is_none());
    }

    #[test]
    fn state_and_boot_facts_are_seen_by_readers() {
        let stats = WorkerStats::new(0);
        let writer = stats.writer().unwrap();
        assert_eq!((stats.core(), stats.driver()), (None, None));
        assert_eq!(stats.state(), WorkerState::Starting);
        writer.booted(Some(2), "io_uring");
        writer.booted(Some(3), "epoll");
        assert_eq!((stats.core(), stats.driver()), (Some(2), Some("io_uring")));
        for state in [WorkerState::Running, WorkerState::Draining, WorkerState::Stopped] {
            stats.enter(state);
            assert_eq!(stats.state(), state);
        }
    }
}
