//! The shared connections of one core.
//!
//! There are as few of them as requests need: a new one only when all there are have as many streams
//! as they may. Who comes while one is being made waits for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::driver::{self, Driver};
use super::shared::{Lease, Shared, Terms};
use super::stream::TargetStream;
use crate::io::{Buffer, Expiry, Watch, clock, spawn, timeout};
use crate::limits::H2_ATTEMPTS;
use crate::upstream::group::{Destination, Group, Target};
use crate::upstream::open::{ConnectError, ConnectTime, open};

/// The shared connections of one core.
pub struct SharedPool {
    watch: Rc<Watch>,
    by_target: RefCell<Vec<Slot>>,
}

#[derive(Default)]
struct Slot {
    ready: Vec<Rc<Shared>>,
    attempts: Vec<Rc<Attempt>>,
    /// How many streams the target allowed on the last connection.
    allows: Option<usize>,
}

/// A connection being made, and who waits for it.
struct Attempt {
    outcome: Cell<Option<Result<(), ConnectError>>>,
    waiting: RefCell<Vec<Waker>>,
    joined: Cell<usize>,
}

impl Attempt {
    fn new() -> Rc<Self> {
        let (outcome, waiting) = (Cell::new(None), RefCell::default());
        Rc::new(Self { outcome, waiting, joined: Cell::new(0) })
    }

    fn end(&self, outcome: Result<(), ConnectError>) {
        self.outcome.set(Some(outcome));
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl SharedPool {
    /// No connection yet.
    pub fn new(watch: Rc<Watch>) -> Rc<Self> {
        Rc::new(Self { watch, by_target: RefCell::default() })
    }

    /// A stream to the target over a connection there is.
    pub fn ready_stream(&self, target: &Target, group: &Group) -> Option<TargetStream> {
        let lease = self.lease(target, group)?;
        Some(TargetStream::new(lease, self.watch.stream_guard(), target.id))
    }

    /// A stream to the target, over a connection there is or a new one. `true`: it was made for
    /// this.
    ///
    /// # Errors
    /// The target can't be reached.
    pub async fn stream(
        self: &Rc<Self>,
        target: &Target,
        group: &Group,
        time: ConnectTime,
    ) -> Result<(TargetStream, bool), ConnectError> {
        let guard = self.watch.stream_guard();
        let mut waited = false;
        guard.arm(clock::coarse_ns().saturating_add(nanos(time.shorter())), Expiry::Wake);
        for _ in 0..=H2_ATTEMPTS {
            if let Some(lease) = self.lease(target, group) {
                guard.disarm();
                return Ok((TargetStream::new(lease, guard, target.id), waited));
            }
            // Others wait for it too: how long it may take is not this request's to say.
            let attempt = self.attempt(target, group, time.most);
            waited = true;
            guard
                .unless_expired(poll_fn(|cx| attempt.poll(cx)))
                .await
                .unwrap_or(Err(ConnectError::TimedOut))?;
        }
        Err(ConnectError::Failed)
    }

    fn slot<T>(&self, target: u32, use_it: impl FnOnce(&mut Slot) -> T) -> T {
        let mut all = self.by_target.borrow_mut();
        let index = target as usize;
        if all.len() <= index {
            all.resize_with(index + 1, Slot::default);
        }
        use_it(&mut all[index])
    }

    /// A place on a connection there is. What has no room though it is idle (its target allows no streams,
    /// or is spoken to under other terms by now) is of no use to anybody, and closed.
    fn lease(&self, target: &Target, group: &Group) -> Option<Lease> {
        self.slot(target.id, |slot| {
            let found = slot.ready.iter().find(|shared| shared.has_room(target, group));
            if found.is_none() {
                slot.ready
                    .iter()
                    .filter(|shared| shared.is_idle())
                    .for_each(|shared| shared.close());
            }
            found.map(Lease::take)
        })
    }

    /// One that has room for another who waits, or a new one.
    fn attempt(self: &Rc<Self>, target: &Target, group: &Group, within: Duration) -> Rc<Attempt> {
        let known = self.slot(target.id, |slot| {
            let most = slot.allows.unwrap_or(usize::MAX).min(group.max_streams);
            slot.attempts.iter().find(|attempt| attempt.joined.get() < most).cloned()
        });
        let attempt = known.unwrap_or_else(|| {
            let attempt = Attempt::new();
            self.slot(target.id, |slot| slot.attempts.push(attempt.clone()));
            let destination = target.destination(group);
            let terms = Terms::of(target, group, within);
            spawn(self.clone().connect(target.id, destination, terms, attempt.clone()));
            attempt
        });
        attempt.joined.set(attempt.joined.get() + 1);
        attempt
    }

    /// Makes a connection and drives it to its end. Not one request's own: others wait for it too.
    async fn connect(
        self: Rc<Self>,
        target: u32,
        destination: Destination,
        terms: Terms,
        attempt: Rc<Attempt>,
    ) {
        let made = self.make(&destination, terms).await;
        self.slot(target, |slot| slot.attempts.retain(|other| !Rc::ptr_eq(other, &attempt)));
        match made {
            Ok((driver, shared)) => {
                self.slot(target, |slot| {
                    slot.allows = Some(shared.allows());
                    slot.ready.push(shared.clone());
                });
                attempt.end(Ok(()));
                driver.run().await;
                shared.close();
                self.slot(target, |slot| slot.ready.retain(|other| !Rc::ptr_eq(other, &shared)));
            }
            Err(error) => attempt.end(Err(error)),
        }
    }

    async fn make(
        &self,
        destination: &Destination,
        terms: Terms,
    ) -> Result<(Driver, Rc<Shared>), ConnectError> {
        let within = terms.within;
        let stream = open(destination, Buffer::empty(), within).await?;
        let agreed = stream.tls().map(|tls| tls.protocol());
        if agreed.is_some_and(|protocol| protocol.as_deref() != Some(b"h2")) {
            return Err(ConnectError::NoHttp2);
        }
        let begun = timeout(within, driver::begin(&self.watch, stream, terms)).await;
        begun.ok_or(ConnectError::TimedOut)?
    }

    /// Closes idle connections beyond those that may be kept.
    pub fn sweep(&self) {
        for slot in self.by_target.borrow().iter() {
            let kept = slot.ready.iter().filter(|shared| shared.is_kept());
            for (n, shared) in kept.enumerate() {
                if n >= shared.max_idle() {
                    shared.close();
                }
            }
        }
    }

    /// Takes no more streams on connections to targets for which `keep` does not hold.
    pub fn retain(&self, keep: impl Fn(u32) -> bool) {
        for (target, slot) in self.by_target.borrow().iter().enumerate() {
            if !keep(target as u32) {
                slot.ready.iter().for_each(|shared| shared.close());
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
