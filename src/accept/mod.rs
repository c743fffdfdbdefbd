//! Stage 1: a connection arrives. Owns the accept loop and the admission caps; knows nothing of
//! HTTP or of what a connection is for.
//!
//! Invariants:
//! - One accept is pending for a listener's whole life and is never cancelled.
//! - Without descriptors it pauses, sheds one waiting connection and says so; it never spins.

mod admission;

pub use admission::{Admission, Admitted, Refused};

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::io::listener::accept_waiting;
use crate::io::{Listener, Stream, sleep_ms};
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

/// Accepts until the listener's accepting is closed, handing each event to `each`.
pub async fn run(listener: Rc<Listener>, mut each: impl FnMut(Event)) {
    let mut spare = Spare::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => each(Event::Connection(stream, peer)),
            Err(error) => match Trouble::of(&error) {
                Trouble::Closed => return,
                Trouble::Passing => {}
                // Only a socket that is about to be shut down does not block.
                Trouble::Closing => sleep_ms(TICK_MS).await,
                Trouble::Exhausted => {
                    each(Event::Paused);
                    spare.shed_one(&listener);
                    sleep_ms(ACCEPT_PAUSE_MS).await;
                }
            },
        }
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
