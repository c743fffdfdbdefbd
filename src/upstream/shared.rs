//! Connections that many requests share: those to targets that speak HTTP/2 (RFC 9113).
//!
//! A core has as few of them as its requests need: a new one only when all there are have as many
//! streams as they may. Who comes while one is being made waits for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::SendStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};

use super::connect::{ConnectError, open};
use super::group::{Destination, Group, Target};
use super::stream::TargetStream;
use crate::io::multiplexed::Piece;
use crate::io::polled::{Wire, WireEnd};
use crate::io::{Buffer, Expiry, Guard, Stream, Watch, clock, spawn, timeout};
use crate::limits::{
    H2_HEAD_FACTOR, H2_LAST_WORDS_NS, H2_SEND_BUFFER, H2_UPSTREAM_CONNECTION_WINDOW,
    H2_UPSTREAM_STREAM_WINDOW,
};

/// A connection to a target and its streams.
pub struct Shared {
    requests: RefCell<Option<SendRequest<Piece>>>,
    wire: Rc<Wire>,
    terms: Terms,
    open: Cell<usize>,
    carried: Cell<bool>,
    /// It takes no more streams.
    closing: Cell<bool>,
    silent_since_ns: Cell<u64>,
    driver: RefCell<Option<Waker>>,
}

/// What a connection was made with.
#[derive(Clone)]
struct Terms {
    tls: Option<Arc<rustls::ClientConfig>>,
    max_streams: usize,
    max_head: usize,
    idle_ns: u64,
    within: Duration,
}

impl Terms {
    fn of(group: &Group, within: Duration) -> Self {
        Self {
            tls: group.tls.clone(),
            max_streams: group.max_streams,
            max_head: group.max_response_head,
            idle_ns: if group.max_idle == 0 { 0 } else { group.idle_ns },
            within,
        }
    }
}

impl Shared {
    /// Whether a stream began on it before.
    pub(super) fn has_carried(&self) -> bool {
        self.carried.get()
    }

    pub(super) fn is_secure(&self) -> bool {
        self.terms.tls.is_some()
    }

    /// Begins a stream.
    pub(super) fn request(
        &self,
        head: http::Request<()>,
        ended: bool,
    ) -> Result<(ResponseFuture, SendStream<Piece>), h2::Error> {
        let mut requests = self.requests.borrow_mut();
        let Some(requests) = requests.as_mut() else { return Err(h2::Reason::CANCEL.into()) };
        let begun = requests.send_request(head, ended);
        match &begun {
            Ok(_) => self.carried.set(true),
            Err(_) => self.closing.set(true),
        }
        begun
    }

    /// No answer came in time to a request of that moment. If nothing else came either, the
    /// connection is taken for dead.
    pub(super) fn suspect(&self, since_ns: u64) {
        if self.wire.last_come_ns() <= since_ns {
            self.closing.set(true);
        }
    }

    /// Whether another stream may begin on it, for a group of these terms.
    fn has_room(&self, group: &Group) -> bool {
        let same = self.terms.tls.as_ref().map(Arc::as_ptr) == group.tls.as_ref().map(Arc::as_ptr);
        let mut requests = self.requests.borrow_mut();
        let Some(requests) = requests.as_mut().filter(|_| same && !self.closing.get()) else {
            return false;
        };
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Err(_)) = ready {
            self.closing.set(true);
            return false;
        }
        let most = requests.current_max_send_streams().min(group.max_streams);
        ready.is_ready() && self.open.get() < most
    }

    fn wake_driver(&self) {
        let waker = self.driver.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A stream's place on its connection.
pub(super) struct Lease(Rc<Shared>);

impl Lease {
    fn take(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(shared.clone())
    }

    pub(super) fn of(&self) -> &Rc<Shared> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.open.set(shared.open.get() - 1);
        if shared.open.get() == 0 {
            shared.silent_since_ns.set(clock::coarse_ns());
            shared.wake_driver();
        }
    }
}

/// The shared connections of one core.
pub struct SharedPool {
    watch: Rc<Watch>,
    by_target: RefCell<Vec<Slot>>,
}

#[derive(Default)]
struct Slot {
    ready: Vec<Rc<Shared>>,
    attempts: Vec<Rc<Attempt>>,
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
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}

impl SharedPool {
    /// No connection yet.
    pub fn new(watch: Rc<Watch>) -> Rc<Self> {
        Rc::new(Self { watch, by_target: RefCell::default() })
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
        within: Duration,
    ) -> Result<(TargetStream, bool), ConnectError> {
        let guard = self.watch.stream_guard();
        let mut waited = false;
        guard.arm(clock::coarse_ns().saturating_add(nanos(within)), Expiry::Wake);
        loop {
            if let Some(lease) = self.lease(target.id, group) {
                guard.disarm();
                return Ok((TargetStream::new(lease, guard, target.id), waited));
            }
            let attempt = self.attempt(target, group, within);
            waited = true;
            guard
                .unless_expired(poll_fn(|cx| attempt.poll(cx)))
                .await
                .unwrap_or(Err(ConnectError::TimedOut))?;
        }
    }

    fn slot<T>(&self, target: u32, use_it: impl FnOnce(&mut Slot) -> T) -> T {
        let mut all = self.by_target.borrow_mut();
        let index = target as usize;
        if all.len() <= index {
            all.resize_with(index + 1, Slot::default);
        }
        use_it(&mut all[index])
    }

    fn lease(&self, target: u32, group: &Group) -> Option<Lease> {
        self.slot(target, |slot| {
            slot.ready.iter().find(|shared| shared.has_room(group)).map(Lease::take)
        })
    }

    /// One that has room for another who waits, or a new one.
    fn attempt(self: &Rc<Self>, target: &Target, group: &Group, within: Duration) -> Rc<Attempt> {
        let known = self.slot(target.id, |slot| {
            let mut all = slot.attempts.iter();
            all.find(|attempt| attempt.joined.get() < group.max_streams).cloned()
        });
        let attempt = known.unwrap_or_else(|| {
            let attempt = Attempt::new();
            self.slot(target.id, |slot| slot.attempts.push(attempt.clone()));
            let destination = target.destination(group);
            let terms = Terms::of(group, within);
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
                self.slot(target, |slot| slot.ready.push(shared.clone()));
                attempt.end(Ok(()));
                driver.run().await;
                shared.closing.set(true);
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
        let begun = timeout(within, self.begin(stream, terms)).await;
        begun.ok_or(ConnectError::TimedOut)?
    }

    async fn begin(
        &self,
        stream: Stream,
        terms: Terms,
    ) -> Result<(Driver, Rc<Shared>), ConnectError> {
        let deadline = self.watch.stream_guard();
        let look = Box::new(|_: &[u8], _| true);
        let idle_ns = terms.idle_ns.max(H2_LAST_WORDS_NS);
        let wire = Wire::new(Rc::new(Own(stream)), &self.watch, idle_ns, look);
        let head = u32::try_from(terms.max_head.saturating_mul(H2_HEAD_FACTOR)).unwrap_or(u32::MAX);
        let mut handshake = std::pin::pin!(
            Builder::new()
                .initial_window_size(H2_UPSTREAM_STREAM_WINDOW)
                .initial_connection_window_size(H2_UPSTREAM_CONNECTION_WINDOW)
                .initial_max_send_streams(terms.max_streams)
                .max_header_list_size(head)
                .max_send_buffer_size(H2_SEND_BUFFER)
                .enable_push(false)
                .handshake::<_, Piece>(wire.end())
        );
        let made = poll_fn(|cx| wire.poll_turn(cx, |cx| handshake.as_mut().poll(cx))).await;
        let (requests, machine) = made.map_err(|_| ConnectError::Failed)?;
        let shared = Rc::new(Shared {
            requests: RefCell::new(Some(requests)),
            wire: wire.clone(),
            terms,
            open: Cell::new(0),
            carried: Cell::new(false),
            closing: Cell::new(false),
            silent_since_ns: Cell::new(clock::coarse_ns()),
            driver: RefCell::default(),
        });
        Ok((Driver { machine, wire, deadline, shared: shared.clone() }, shared))
    }

    /// Takes no more streams on connections to targets for which `keep` does not hold.
    pub fn retain(&self, keep: impl Fn(u32) -> bool) {
        for (target, slot) in self.by_target.borrow().iter().enumerate() {
            if !keep(target as u32) {
                slot.ready.iter().for_each(|shared| {
                    shared.closing.set(true);
                    shared.wake_driver();
                });
            }
        }
    }
}

struct Own(Stream);

impl AsRef<Stream> for Own {
    fn as_ref(&self) -> &Stream {
        &self.0
    }
}

/// Drives a connection: a task of its own.
struct Driver {
    // Dropped before the wire, whose other end it holds.
    machine: Connection<WireEnd, Piece>,
    deadline: Guard,
    shared: Rc<Shared>,
    wire: Rc<Wire>,
}

impl Driver {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.shared.driver.borrow_mut() = Some(cx.waker().clone());
        loop {
            let Self { machine, wire, .. } = self;
            if wire.poll_turn(cx, |cx| Pin::new(&mut *machine).poll(cx)).is_ready() {
                return Poll::Ready(());
            }
            if !self.is_over_due(cx) {
                return Poll::Pending;
            }
            // Nobody can begin a stream any more: the machine says so to the target and ends.
            self.shared.closing.set(true);
            if self.shared.requests.take().is_none() {
                return Poll::Ready(());
            }
            let at = clock::coarse_ns().saturating_add(H2_LAST_WORDS_NS);
            self.deadline.arm(at, Expiry::Wake);
        }
    }

    /// Whether it has been without streams for as long as it may, or, having said that it goes, for as
    /// long as that may take.
    fn is_over_due(&self, cx: &mut Context<'_>) -> bool {
        let shared = &*self.shared;
        let said = shared.requests.borrow().is_none();
        if shared.open.get() > 0 {
            self.deadline.disarm();
            return false;
        }
        if !said {
            // Who waited for it has not come yet.
            let least = if shared.has_carried() { 0 } else { H2_LAST_WORDS_NS };
            let idle_ns = if shared.closing.get() { 0 } else { shared.terms.idle_ns.max(least) };
            let at = shared.silent_since_ns.get().saturating_add(idle_ns);
            if at <= clock::coarse_ns() {
                return true;
            }
            self.deadline.arm(at, Expiry::Wake);
        }
        self.deadline.poll_expired(cx).is_ready()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
