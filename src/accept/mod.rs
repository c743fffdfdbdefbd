//! Stage 1: a connection arrives. Owns the accept loop, the admission caps, the PROXY protocol and the
//! look at what server a client of TLS asks for;
//! knows nothing of HTTP or of what a connection is for.
//!
//! Invariants:
//! - Accepts are pending for a listener's whole life and are never cancelled.
//! - Without descriptors it pauses, sheds one waiting connection and says so; it never spins.

mod admission;
pub mod client_hello;
mod peer;
pub mod proxy_protocol;

pub use admission::{Admission, Admitted, Refused};
pub use peer::{Introduction, Peer};

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::io::clock::now_ns;
use crate::io::listener::accept_waiting;
use crate::io::{Listener, Stream, sleep_ms, spawn};
use crate::limits::{ACCEPT_PAUSE_MS, TICK_MS};

/// What the loop tells its owner.
pub enum Event {
    /// A connection.
    Connection(Stream, SocketAddr),
    /// Out of descriptors or memory; accepting pauses.
    Paused,
}

/// A descriptor kept in reserve, to accept and close a connection with when none is left.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Frees the reserve for one waiting connection and closes that, so that its client learns
    /// of it at once.
    fn shed_one(&mut self, listener: &Listener) {
        self.0 = None;
        drop(accept_waiting(listener.fd()));
        *self = Self::new();
    }
}

/// One listener's accepting on one core.
struct Acceptor<F> {
    listener: Listener,
    spare: RefCell<Spare>,
    /// When it last paused, nanoseconds.
    paused_ns: Cell<u64>,
    each: F,
}

/// Accepts until the listener's accepting is closed, handing each event to `each`. `pending` accepts
/// wait at once: one alone would take one connection a turn of the ring.
pub fn start(listener: Listener, pending: usize, each: impl Fn(Event) + 'static) {
    let acceptor = Rc::new(Acceptor {
        listener,
        spare: RefCell::new(Spare::new()),
        paused_ns: Cell::new(0),
        each,
    });
    for _ in 0..pending {
        spawn(run(acceptor.clone()));
    }
}

async fn run<F: Fn(Event)>(acceptor: Rc<Acceptor<F>>) {
    loop {
        match acceptor.listener.accept().await {
            Ok((stream, peer)) => (acceptor.each)(Event::Connection(stream, peer)),
            Err(error) => match Trouble::of(&error) {
                Trouble::Closed => return,
                Trouble::Passing => {}
                // Only a socket that is about to be shut down does not block.
                Trouble::Closing => sleep_ms(TICK_MS).await,
                Trouble::Exhausted => {
                    acceptor.pause();
                    sleep_ms(ACCEPT_PAUSE_MS).await;
                }
            },
        }
    }
}

impl<F: Fn(Event)> Acceptor<F> {
    /// The first of the accepts to fail says so, for all.
    fn pause(&self) {
        let now = now_ns();
        if now.saturating_sub(self.paused_ns.get()) < ACCEPT_PAUSE_MS * 1_000_000 / 2 {
            return;
        }
        self.paused_ns.set(now);
        (self.each)(Event::Paused);
        self.spare.borrow_mut().shed_one(&self.listener);
    }
}

/// What an accept error means.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// The listener was shut down.
    Closed,
    /// It is being shut down.
    Closing,
    /// The one connection failed before it was accepted.
    Passing,
    /// No descriptors or memory.
    Exhausted,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::EBADF | libc::ENOTSOCK) => Self::Closed,
            Some(libc::EAGAIN) => Self::Closing,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Self::Exhausted,
            // accept(2): network errors of the new socket are reported here.
            _ => Self::Passing,
        }
    }
}
