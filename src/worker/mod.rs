//! The stage: one thread, one ring. Boots and pins a worker, keeps its house every tick, follows
//! new snapshots, and drains.

pub mod cores;
mod introduction;
mod listeners;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::io::{Driver, Inbox, Mailer, Questions, buffer, clock, driver, memory, sleep_ms, spawn};
use crate::limits::{
    CUT_OFF_TICKS, DRAIN_POLL_TICKS, FREED_AT_ONCE, SWEEP_TICKS, TICK_MS, USAGE_LAST_TRIES,
    USAGE_TICKS,
};
use crate::session::core::{Core, Shared};
use crate::session::inquiry::{Inquiries, Line};
use crate::session::records::{Journal, Sink};
use crate::session::usage::{Report, Usage, Written};
use crate::stats::{WorkerState, WorkerStats};

use listeners::Listeners;

/// What a worker is started with.
pub struct Plan {
    /// Number of this worker, from 0.
    pub index: usize,
    /// How many there are.
    pub workers: usize,
    /// The core to pin it to.
    pub core: usize,
    /// The driver to run on.
    pub driver: Driver,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Its counters.
    pub stats: Arc<WorkerStats>,
    /// Where it reports what requests used.
    pub ledger: Mailer<Report>,
    /// Where the ledger's answers come in.
    pub answers: Inbox<Written>,
    /// Where it asks who calls.
    pub inquiries: Line,
    /// Makes the way out for its access records, on its own thread.
    pub sink: Box<dyn FnOnce() -> Sink + Send>,
    /// Set when the worker is to stop: it drains until it has no connection left.
    pub drain: Arc<AtomicBool>,
    /// Set when the worker is to stop at once.
    pub stop: Arc<AtomicBool>,
}

/// Starts a worker's thread.
///
/// # Errors
/// Where no thread can be had.
pub fn start(plan: Plan) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    let name = format!("worker-{}", plan.index);
    thread::Builder::new().name(name).spawn(move || run(plan))
}

fn run(plan: Plan) -> std::io::Result<()> {
    let stats = plan.stats.clone();
    let pinned = cores::pin(plan.core);
    if let Err(error) = &pinned {
        tracing::warn!(worker = plan.index, core = plan.core, %error, "the worker is not pinned");
    }
    let chosen = plan.driver;
    let core = pinned.is_ok().then_some(plan.core);
    let result = driver::block_on(chosen, work(plan, core));
    stats.enter(WorkerState::Stopped);
    result
}

async fn work(plan: Plan, pinned: Option<usize>) {
    let Some(writer) = plan.stats.writer() else { return };
    writer.booted(pinned, plan.driver.name());
    let journal = Journal::new((plan.sink)());
    let usage = Usage::new(plan.index, plan.ledger);
    let inquiries = Inquiries::new(plan.index, plan.inquiries.asker);
    let questions = (usage.questions(), inquiries.questions());
    let control = (usage, inquiries);
    let core = Rc::new(Core::new(plan.shared, writer, journal, control, plan.workers));
    core.upstreams.begin_at(plan.index);
    let listeners = Listeners::new(plan.index, plan.driver == Driver::Epoll);
    let listeners = Rc::new(RefCell::new(listeners));
    follow(&core, &listeners);
    hear(plan.answers, questions.0, (&core, &listeners));
    hear(plan.inquiries.replies, questions.1, (&core, &listeners));
    plan.stats.enter(WorkerState::Running);
    let mut ticks = 0u64;
    loop {
        sleep_ms(TICK_MS).await;
        ticks += 1;
        keep_house(&core, ticks);
        if plan.stop.load(Ordering::Acquire) {
            break;
        }
        if core.draining.get() {
            if listeners.borrow().open() == 0 {
                break;
            }
            if ticks.is_multiple_of(DRAIN_POLL_TICKS) {
                core.watch.shut_idle();
            }
        } else if plan.drain.load(Ordering::Acquire) {
            plan.stats.enter(WorkerState::Draining);
            core.draining.set(true);
            listeners.borrow_mut().close(&core);
            core.watch.shut_idle();
        }
        follow(&core, &listeners);
    }
    cut_off(&core, &listeners).await;
    core.limits.borrow_mut().surrender(&core.shared.limits, clock::now_ns());
    core.journal.borrow_mut().flush();
    hand_up_all(&core).await;
}

/// Follows what was published, listeners included, and only then says so: control waits for that.
fn follow(core: &Rc<Core>, listeners: &RefCell<Listeners>) {
    let generation = core.snapshot().generation;
    if !core.draining.get() {
        listeners.borrow_mut().follow(core);
    }
    core.stats.generation.set(generation);
}

/// Wakes those who wait for answers of control's, and follows what it published meanwhile.
fn hear<A: 'static>(
    answers: Inbox<(u64, A)>,
    questions: Rc<Questions<A>>,
    (core, listeners): (&Rc<Core>, &Rc<RefCell<Listeners>>),
) {
    let (core, listeners) = (Rc::downgrade(core), Rc::downgrade(listeners));
    let mut answers = match answers.on_worker() {
        Ok(answers) => answers,
        Err(error) => return tracing::error!(%error, "answers of control can't be heard"),
    };
    spawn(async move {
        while answers.wait().await {
            while let Some((number, answer)) = answers.take() {
                questions.answer(number, answer);
            }
            if let (Some(core), Some(listeners)) = (core.upgrade(), listeners.upgrade()) {
                follow(&core, &listeners);
            }
        }
    });
}

/// Ends what the drain left as if its time were over, so that it is counted and logged.
async fn cut_off(core: &Core, listeners: &RefCell<Listeners>) {
    for _ in 0..CUT_OFF_TICKS {
        if listeners.borrow().open() == 0 {
            return;
        }
        core.watch.end_all();
        sleep_ms(TICK_MS).await;
    }
}

/// Hands up what is left, and waits for a while where control is behind.
async fn hand_up_all(core: &Core) {
    for _ in 0..USAGE_LAST_TRIES {
        if core.usage.borrow_mut().hand_up() {
            return;
        }
        sleep_ms(TICK_MS).await;
    }
    let lost = core.usage.borrow().waiting();
    tracing::error!(lost, "usage is lost: the ledger takes no more");
}

/// What is done every tick, bounded.
fn keep_house(core: &Core, ticks: u64) {
    let now = clock::now_ns();
    core.watch.tick(now);
    core.wall.tick(now);
    core.stats.turns.up();
    core.stats.buffer_bytes.set(buffer::held() as u64);
    core.stats.pool_idle.set(core.upstreams.pool.borrow().len() as u64);
    let mut limits = core.limits.borrow_mut();
    if limits.holds() {
        limits.tick(&core.shared.limits, now);
    }
    core.journal.borrow_mut().flush();
    if ticks.is_multiple_of(USAGE_TICKS) {
        core.usage.borrow_mut().hand_up();
    }
    if ticks.is_multiple_of(SWEEP_TICKS) {
        core.upstreams.sweep(now, &core.stats);
        let freed = buffer::trim();
        // Only a burst that has ended leaves so much, so nobody waits for this.
        if freed > FREED_AT_ONCE {
            core.trim_scratch();
            memory::release();
        }
    }
}
