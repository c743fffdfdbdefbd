//! What one core owns and its sessions use. Nothing here is shared with another core, except by
//! the types that say so (the snapshot, the limits' authority, the admission counts).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::accept::Admission;
use crate::io::{Watch, buffer};
use crate::limits::{FAILURES_TOLD, SCRATCH_POOLED};
use crate::policy::auth::{introspection, jwt};
use crate::policy::{limit, quota};
use crate::respond::access_log::Clock;
use crate::respond::date::Date;
use crate::snapshot::{Listener, Snapshot};
use crate::stats;
use crate::upstream::Upstreams;

use super::inquiry::Inquiries;
use super::judgements::Judgements;
use super::records::Journal;
use super::scratch::Scratch;
use super::usage::Usage;

/// What the process shares with every core.
pub struct Shared {
    /// What control published last.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Limits' authoritative state.
    pub limits: Arc<limit::Shared>,
    /// Counts of quotas.
    pub quotas: Arc<quota::Counts>,
    /// Proofs that were used.
    pub proofs: Arc<jwt::Proofs>,
    /// Connections of the node.
    pub admission: Arc<Admission>,
}

/// A value shared by all cores, counted once for this core: cloning it touches no memory that
/// another core counts in.
#[allow(clippy::redundant_allocation)]
pub type OwnCount<T> = Rc<Arc<T>>;

/// One core's own.
pub struct Core {
    /// What it shares.
    pub shared: Arc<Shared>,
    newest: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    current: RefCell<OwnCount<Snapshot>>,
    /// Deadlines of its connections.
    pub watch: Rc<Watch>,
    /// Pools, pickers, health and retry budgets.
    pub upstreams: Upstreams,
    /// Leases.
    pub limits: RefCell<limit::Local>,
    /// Tokens that were verified.
    pub tokens: RefCell<jwt::Cache>,
    /// Tokens that a server was asked about.
    pub introspected: RefCell<introspection::Cache>,
    /// Requests that wait for keys.
    pub(super) waiting_for_keys: Cell<usize>,
    /// Counters.
    pub stats: stats::Writer,
    /// What requests used.
    pub usage: RefCell<Usage>,
    /// Questions about who calls.
    pub inquiries: RefCell<Inquiries>,
    /// What services said of requests lately.
    pub(super) judgements: RefCell<Judgements>,
    /// Access log records on their way out.
    pub journal: RefCell<Journal>,
    /// Wall time, and its forms in logs and fields.
    pub wall: Wall,
    /// Random numbers, for balancing and ids; not for secrets.
    pub random: RefCell<fastrand::Rng>,
    /// The second in which lines of the gateway's own log are counted, and how many there were.
    told: Cell<(u64, u32)>,
    /// TLS handshakes under way.
    pub(super) handshakes: Cell<usize>,
    /// No new requests are to be begun.
    pub draining: Cell<bool>,
    // Boxed, so that a session moves a pointer and not the whole state.
    #[allow(clippy::vec_box)]
    scratch: RefCell<Vec<Box<Scratch>>>,
}

/// Wall time as of the last tick.
pub struct Wall {
    /// Nanoseconds between the core's clock and 1970.
    pub offset_ns: Cell<u64>,
    /// Date values.
    pub date: RefCell<Date>,
    /// Log timestamps.
    pub log: RefCell<Clock>,
}

impl Default for Wall {
    fn default() -> Self {
        Self { offset_ns: Cell::new(0), date: RefCell::default(), log: RefCell::new(Clock::at(0)) }
    }
}

impl Wall {
    /// Takes the wall clock anew, so that steps of it are followed.
    pub fn tick(&self, now_ns: u64) {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as u64);
        self.offset_ns.set(wall.saturating_sub(now_ns));
    }

    /// Wall time of a moment of the core's clock, nanoseconds since 1970.
    pub fn of(&self, at_ns: u64) -> u64 {
        self.offset_ns.get() + at_ns
    }
}

impl Core {
    /// A core with nothing in it yet.
    pub fn new(
        shared: Arc<Shared>,
        stats: stats::Writer,
        journal: Journal,
        (usage, inquiries): (Usage, Inquiries),
        workers: usize,
    ) -> Self {
        let current = RefCell::new(Rc::new(shared.snapshot.load_full()));
        let watch = Watch::new();
        let core = Self {
            newest: RefCell::new(Cache::new(shared.snapshot.clone())),
            current,
            watch: watch.clone(),
            upstreams: Upstreams::new(watch),
            limits: RefCell::new(limit::Local::new(workers)),
            tokens: RefCell::default(),
            introspected: RefCell::default(),
            waiting_for_keys: Cell::new(0),
            stats,
            usage: RefCell::new(usage),
            inquiries: RefCell::new(inquiries),
            judgements: RefCell::default(),
            journal: RefCell::new(journal),
            wall: Wall::default(),
            random: RefCell::new(fastrand::Rng::new()),
            told: Cell::new((0, 0)),
            handshakes: Cell::new(0),
            draining: Cell::new(false),
            scratch: RefCell::new(Vec::new()),
            shared,
        };
        buffer::allow(core.current.borrow().max_buffer_memory);
        core.stats.generation.set(core.current.borrow().generation);
        core.wall.tick(crate::io::clock::now_ns());
        core
    }

    /// The snapshot in force: from here on no request of this core begins under an older one. A request takes it once and keeps it; the count behind it is this
    /// core's own, so that cores do not contend for the shared one.
    pub fn snapshot(&self) -> OwnCount<Snapshot> {
        let mut newest = self.newest.borrow_mut();
        let newest = newest.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current) {
            *current = Rc::new(Arc::clone(newest));
            buffer::allow(newest.max_buffer_memory);
            // Ids that it no longer has may come to stand for something else.
            self.upstreams.retain(|target| newest.targets.contains(&target));
        }
        current.clone()
    }
}

impl Core {
    /// Whether another failure may be told in the gateway's own log. When everything fails, a few
    /// lines a second say so; the counters and the access log tell the rest.
    pub(super) fn may_tell(&self, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        let (of, lines) = self.told.get();
        let lines = if of == second { lines } else { 0 };
        if of != second && self.told.get().1 > FAILURES_TOLD {
            let more = self.told.get().1 - FAILURES_TOLD;
            tracing::warn!("{more} more failures in that second");
        }
        self.told.set((second, lines.saturating_add(1)));
        lines < FAILURES_TOLD
    }
}

/// Working states of requests: kept warm from one to the next.
impl Core {
    pub(super) fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Frees half of those that are kept.
    pub fn trim_scratch(&self) {
        let mut store = self.scratch.borrow_mut();
        let keep = store.len() / 2;
        store.truncate(keep);
    }

    pub(super) fn give_back(&self, mut scratch: Box<Scratch>) {
        scratch.release();
        let mut store = self.scratch.borrow_mut();
        if store.len() < SCRATCH_POOLED {
            store.push(scratch);
        }
    }
}

/// A listener as its connections see it: by name over all generations.
pub struct ListenerState {
    /// Stable id.
    pub id: u32,
    /// The configuration no longer has it: its connections end with their next answer.
    pub removed: Cell<bool>,
    current: RefCell<OwnCount<Listener>>,
}

impl ListenerState {
    /// A listener as the snapshot has it.
    pub fn new(listener: Arc<Listener>) -> Rc<Self> {
        Rc::new(Self {
            id: listener.id,
            removed: Cell::new(false),
            current: RefCell::new(Rc::new(listener)),
        })
    }

    /// Its settings; after it was removed, the last there were.
    pub fn settings(&self) -> OwnCount<Listener> {
        self.current.borrow().clone()
    }

    /// Follows a new snapshot.
    pub fn update(&self, listener: Arc<Listener>) {
        *self.current.borrow_mut() = Rc::new(listener);
    }
}
