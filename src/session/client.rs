//! A client connection, and how it waits and ends.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use crate::accept::Introduction;
use crate::http::Identity;
use crate::io::{Buffer, Expiry, Guard, Stream, clock};
use crate::limits::{LINGER_BYTES, LINGER_NS};
use crate::policy::transform::{AddressText, Scheme};
use crate::upstream::introduced::Introduced;

use super::core::{Core, ListenerState};

/// A client connection.
pub(super) struct Connection {
    // Before the stream: the entry goes before the descriptor's number is free.
    pub(super) guard: Guard,
    pub(super) stream: Stream,
    pub(super) core: Rc<Core>,
    pub(super) listener: Rc<ListenerState>,
    pub(super) peer: SocketAddr,
    pub(super) introduction: Option<Box<Introduction>>,
    /// An upstream connection of its own, for its next request.
    pub(super) introduced: Cell<Option<Box<Introduced>>>,
    pub(super) peer_text: AddressText,
    /// The name that TLS was begun for.
    pub(super) server_name: Option<Box<str>>,
    /// Who the client proved to be by a certificate.
    pub(super) identity: Option<Box<Identity>>,
    /// Requests begun.
    pub(super) requests: Cell<u64>,
    /// When it fell silent, nanoseconds.
    pub(super) silent_since_ns: u64,
    /// The client said that its last request is the last.
    pub(super) client_closes: bool,
    /// Its last request came in more than one small buffer: read the next into a large one.
    pub(super) reads_large: bool,
}

/// What becomes of a connection after a stretch of requests.
pub(super) enum After {
    /// It fell silent; wait with no memory.
    Sleep,
    /// Close it.
    Close,
    /// Close it after the client was given time to read its last answer, since bytes of its
    /// request may still come (RFC 9112 section 9.6).
    Linger,
    /// Close it by a reset: an answer was cut short, and must not look whole.
    Reset,
    /// The client speaks HTTP/2, as these bytes of it say.
    Http2(Buffer),
}

impl Connection {
    /// Until when it may stay silent: a new connection has as long as a head may take.
    pub(super) fn silent_until_ns(&self) -> u64 {
        let settings = self.listener.settings();
        let within = if self.requests.get() == 0 { settings.header_ns } else { settings.idle_ns };
        self.silent_since_ns.saturating_add(within)
    }

    /// The client's address and what it connected to, as far as they are known.
    pub(super) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let said = self.introduction.as_deref().and_then(|said| said.destination);
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        (self.peer, said.or_else(|| self.stream.local_address()).unwrap_or(unknown))
    }

    /// How the client spoke: to the proxy in front of us, where that said so.
    pub(super) fn scheme(&self) -> Scheme {
        match &self.introduction {
            Some(introduction) if introduction.tls => Scheme::Https,
            _ if self.stream.tls().is_some() => Scheme::Https,
            _ => Scheme::Http,
        }
    }

    /// Waits for the next request without memory. False: the connection is over.
    pub(super) async fn sleep(&mut self) -> bool {
        if self.core.draining.get() {
            return false;
        }
        self.introduced.take();
        self.guard.forget_canceller();
        self.guard.arm(self.silent_until_ns(), Expiry::CloseIdle);
        let result = self.stream.readable().await;
        result.is_ok() && self.guard.expired().is_none()
    }

    /// Whether nothing that the client sent would be destroyed by closing.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.client_closes || !self.stream.has_unread()
    }

    /// Ends our side and reads what still comes, within bounds, so that the client can read its
    /// answer before a reset destroys it.
    pub(super) async fn linger(&mut self) {
        self.introduced.take();
        self.stream.shut_write();
        self.guard.arm(clock::coarse_ns() + LINGER_NS, Expiry::ShutRead);
        let mut left = LINGER_BYTES;
        let mut buffer = Buffer::small();
        while left > 0 {
            buffer.clear();
            let (result, back) = self.stream.discard(buffer).await;
            buffer = back;
            match result {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    }
}
