//! A connection that many requests share, and their places on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};

use crate::io::clock;
use crate::io::multiplexed::Piece;
use crate::io::polled::Wire;
use crate::limits::{H2_LAST_WORDS_NS, H2_SILENT_NS};
use crate::upstream::group::{Address, Group, Target};

/// A connection to a target and its streams.
pub(super) struct Shared {
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
pub(super) struct Terms {
    address: Address,
    max_idle: usize,
    tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) max_streams: usize,
    pub(super) max_head: usize,
    pub(super) idle_ns: u64,
    pub(super) within: Duration,
}

impl Terms {
    pub(super) fn of(target: &Target, group: &Group, within: Duration) -> Self {
        Self {
            address: target.address.clone(),
            max_idle: group.max_idle,
            tls: group.tls.clone(),
            max_streams: group.max_streams,
            max_head: group.max_response_head,
            idle_ns: if group.max_idle == 0 { 0 } else { group.idle_ns },
            within,
        }
    }
}

impl Shared {
    pub(super) fn new(requests: SendRequest<Piece>, wire: Rc<Wire>, terms: Terms) -> Rc<Self> {
        Rc::new(Self {
            requests: RefCell::new(Some(requests)),
            wire,
            terms,
            open: Cell::new(0),
            carried: Cell::new(false),
            closing: Cell::new(false),
            silent_since_ns: Cell::new(clock::coarse_ns()),
            driver: RefCell::default(),
        })
    }

    /// Whether a stream began on it before.
    pub(super) fn has_carried(&self) -> bool {
        self.carried.get()
    }

    pub(super) fn may_tunnel(&self) -> bool {
        let requests = self.requests.borrow();
        requests.as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled)
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

    /// No answer came in time to a request of that moment. If nothing else came either, and that
    /// was no short time, the connection is taken for dead.
    pub(super) fn suspect(&self, since_ns: u64) {
        let waited_ns = clock::coarse_ns().saturating_sub(since_ns);
        if waited_ns >= H2_SILENT_NS && self.wire.last_come_ns() <= since_ns {
            self.closing.set(true);
        }
    }

    /// How many streams the target allows.
    pub(super) fn allows(&self) -> usize {
        let requests = self.requests.borrow();
        requests.as_ref().map_or(0, SendRequest::current_max_send_streams)
    }

    /// Whether another stream may begin on it, to this target of a group. A target's id may have come to
    /// stand for another while the connection was made.
    pub(super) fn has_room(&self, target: &Target, group: &Group) -> bool {
        let terms = &self.terms;
        let same = group.has_terms(terms.tls.as_ref()) && terms.address == target.address;
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

    /// Whether it carries nothing now.
    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// Whether it carried something, and carries nothing now.
    pub(super) fn is_kept(&self) -> bool {
        self.is_idle() && self.has_carried()
    }

    /// How many idle ones there may be, to its target.
    pub(super) fn max_idle(&self) -> usize {
        self.terms.max_idle
    }

    /// Takes no more streams, and ends with the last of those it has.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.wake_driver();
    }

    /// Lets the machine say that no more streams come. False: it has said so already.
    pub(super) fn say_end(&self) -> bool {
        self.closing.set(true);
        self.requests.take().is_some()
    }

    /// When it has been without streams for as long as it may, nanoseconds; `None`: there are some.
    pub(super) fn ends_at_ns(&self) -> Option<u64> {
        if self.open.get() > 0 {
            return None;
        }
        // Who waited for it has not come yet.
        let least = if self.has_carried() { 0 } else { H2_LAST_WORDS_NS };
        let idle_ns = if self.closing.get() { 0 } else { self.terms.idle_ns.max(least) };
        Some(self.silent_since_ns.get().saturating_add(idle_ns))
    }

    /// Who drives it.
    pub(super) fn set_driver(&self, waker: &Waker) {
        *self.driver.borrow_mut() = Some(waker.clone());
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
    pub(super) fn take(shared: &Rc<Shared>) -> Self {
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
