//! TLS over a socket: rustls as a machine without I/O ([`state`]), and the reads and writes around
//! it. Buffers are held only while there is something in them, so an idle connection costs what
//! rustls keeps for it.
//!
//! Invariants:
//! - What is encrypted goes out in that order: all of it through one buffer, by one write at a time.
//! - Bytes that are half understood stay in the machine while a read is pending; a read brings its
//!   own buffer.

mod name;
mod state;
#[cfg(test)]
mod tests;

pub use name::NotesName;

/// What is agreed on by ALPN where a client looks for the proof of a name, and for nothing else
/// (RFC 8737 section 6.2).
pub const PROVES_NAME: &[u8] = b"acme-tls/1";

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};

use self::state::{State, Waits};
use super::buffer::Buffer;
use super::deadline::Guard;
use super::raw::RawStream;
use crate::limits::{TLS_OWED, TLS_UNASKED};

/// TLS on one connection.
pub struct Tls {
    state: RefCell<State>,
    /// The name the client asked for.
    server_name: RefCell<Option<Box<str>>>,
    /// The last read filled its buffer: the next takes a larger one.
    large: Cell<bool>,
    /// A write is pending.
    writing: Cell<bool>,
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum HandshakeError {
    /// The client speaks something else, HTTP by its first byte.
    NotTls,
    /// It broke the protocol, or there was nothing to agree on.
    Protocol(rustls::Error),
    /// The connection ended.
    Io(io::Error),
}

impl From<rustls::Error> for HandshakeError {
    fn from(error: rustls::Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How a handshake went.
impl Tls {
    /// `early` are the first bytes of the client.
    pub(super) fn server(config: Arc<ServerConfig>, early: Buffer) -> Result<Self, rustls::Error> {
        let mut state = State::server(config)?;
        state.add(early);
        Ok(Self::new(state))
    }

    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        State::client(config, name).map(Self::new)
    }

    fn new(state: State) -> Self {
        let (state, server_name) = (RefCell::new(state), RefCell::default());
        Self { state, server_name, large: Cell::new(false), writing: Cell::new(false) }
    }

    /// Takes part in the handshake to its end; or, where early data is taken, until there is some.
    pub(super) async fn handshake(&self, raw: &RawStream) -> Result<(), HandshakeError> {
        loop {
            let begins = self.state.borrow().first_byte();
            if begins.is_some_and(|byte| byte.is_ascii_uppercase()) {
                return Err(HandshakeError::NotTls);
            }
            let waits = self.negotiate();
            let is_over = matches!(waits, Ok(Waits::Traffic)) && !self.is_early();
            if !is_over || self.speaks_first() {
                self.flush(raw).await?;
            }
            if is_over || waits? == Waits::Traffic && self.has_content() {
                return Ok(());
            }
            self.fetch(raw, None).await?;
        }
    }

    /// Takes part in a handshake that goes on beside early data to its end. Content that comes
    /// meanwhile waits.
    pub(super) async fn end_handshake(&self, raw: &RawStream) -> Result<(), HandshakeError> {
        while self.is_early() {
            self.fetch(raw, None).await?;
            if let Err(error) = self.negotiate() {
                self.send_now(raw);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Whether the handshake goes on: what came so far may be a replay (RFC 8446 section 8).
    pub fn is_early(&self) -> bool {
        self.state.borrow().agreed().is_handshaking()
    }

    fn negotiate(&self) -> Result<Waits, rustls::Error> {
        let mut state = self.state.borrow_mut();
        let waits = state.advance(&mut Buffer::empty());
        if let Some(name) = name::noted() {
            *self.server_name.borrow_mut() = Some(name);
        }
        if waits.is_err() {
            state.alert();
        }
        waits
    }

    /// Before TLS 1.3 the client waits for our last word of the handshake. What 1.3 says last are
    /// tickets, which go with the first answer.
    fn speaks_first(&self) -> bool {
        self.state.borrow().agreed().protocol_version() != Some(ProtocolVersion::TLSv1_3)
    }

    /// The name that the client asked for (RFC 6066 section 3), in lower case.
    pub fn server_name(&self) -> Option<Box<str>> {
        self.server_name.borrow().clone()
    }

    /// The protocol that was agreed on (RFC 7301), if any was.
    pub fn protocol(&self) -> Option<Vec<u8>> {
        self.state.borrow().agreed().alpn_protocol().map(<[u8]>::to_vec)
    }

    /// What the certificates come to that the client showed, its own first; `None`: it showed none.
    pub fn with_client_certificates<T>(
        &self,
        read: impl FnOnce(&[CertificateDer<'static>]) -> T,
    ) -> Option<T> {
        self.state.borrow().agreed().peer_certificates().map(read)
    }

    /// Whether an earlier session was continued.
    pub fn is_resumed(&self) -> bool {
        self.state.borrow().agreed().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the client only looked for the proof of a name.
    pub fn proves_name(&self) -> bool {
        self.state.borrow().agreed().alpn_protocol() == Some(PROVES_NAME)
    }

    /// The protocol's version.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.state.borrow().agreed().protocol_version()
    }
}

/// Content.
impl Tls {
    pub(super) async fn read(
        &self,
        raw: &RawStream,
        mut buffer: Buffer,
        guard: Option<&Guard>,
    ) -> (io::Result<usize>, Buffer) {
        loop {
            match self.understand(&mut buffer) {
                Ok(Some(n)) => return (Ok(n), buffer),
                Ok(None) => {}
                Err(error) => {
                    self.state.borrow_mut().alert();
                    // In the middle of another record nobody could read it.
                    if !self.writing.get() {
                        self.send_now(raw);
                    }
                    return (Err(io::Error::new(io::ErrorKind::InvalidData, error)), buffer);
                }
            }
            // A cancellation may have come between two reads of the wire, when there was none to cancel;
            // the next would have no deadline.
            if guard.is_some_and(Guard::was_cancelled) {
                return (Err(io::Error::from_raw_os_error(libc::ECANCELED)), buffer);
            }
            if let Err(error) = self.fetch(raw, guard).await {
                return (Err(error), buffer);
            }
        }
    }

    /// Content out of what has come; 0: its end.
    fn understand(&self, buffer: &mut Buffer) -> Result<Option<usize>, rustls::Error> {
        let mut state = self.state.borrow_mut();
        if let Some(n) = state.take_content(buffer) {
            return Ok(Some(n));
        }
        let before = buffer.len();
        state.advance(buffer)?;
        match buffer.len() - before {
            0 => Ok(state.take_content(buffer)),
            n => Ok(Some(n)),
        }
    }

    /// Reads from the wire.
    async fn fetch(&self, raw: &RawStream, guard: Option<&Guard>) -> io::Result<()> {
        let buffer = self.state.borrow().room_for_more(self.large.get());
        let (result, buffer) = match guard {
            Some(guard) => raw.read_or_cancel(buffer, guard).await,
            None => raw.read(buffer).await,
        };
        if result? == 0 {
            // It did not say so: what it sent may have been cut off.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.large.set(buffer.is_full());
        self.state.borrow_mut().add(buffer);
        Ok(())
    }

    pub(super) async fn write_all(&self, raw: &RawStream, mut content: &[u8]) -> io::Result<()> {
        while !content.is_empty() {
            let n = self.state.borrow_mut().encrypt(content).map_err(broken)?;
            content = &content[n..];
            self.flush(raw).await?;
        }
        Ok(())
    }

    pub(super) async fn write(&self, raw: &RawStream, content: &mut Buffer) -> io::Result<usize> {
        let mut out = {
            let mut state = self.state.borrow_mut();
            if state.outgoing().len() < TLS_OWED && !content.is_empty() {
                let n = state.encrypt(content.data()).map_err(broken)?;
                content.consume(n);
            }
            std::mem::take(state.outgoing())
        };
        self.writing.set(true);
        let (result, rest) = raw.write(out).await;
        self.writing.set(false);
        out = rest;
        let mut state = self.state.borrow_mut();
        if !out.is_empty() {
            out.append(state.outgoing().data());
            *state.outgoing() = out;
        }
        result
    }

    /// Sends all that waits to be sent.
    async fn flush(&self, raw: &RawStream) -> io::Result<()> {
        let out = std::mem::take(self.state.borrow_mut().outgoing());
        if out.is_empty() {
            return Ok(());
        }
        self.writing.set(true);
        let (result, _) = raw.write_all(out).await;
        self.writing.set(false);
        result
    }

    pub(super) fn owes(&self) -> bool {
        !self.state.borrow_mut().outgoing().is_empty()
    }

    /// Whether nothing has come that an idle connection would not bring: tickets come unasked.
    pub(super) fn is_quiet(&self, raw: &RawStream) -> bool {
        // More than a few tickets is not what an idle connection brings.
        for _ in 0..TLS_UNASKED {
            let mut buffer = self.state.borrow().room_for_more(false);
            match raw.receive_now(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return !self.has_content(),
                Ok(n) if n > 0 => {}
                _ => return false,
            }
            let mut state = self.state.borrow_mut();
            state.add(buffer);
            if state.advance(&mut Buffer::empty()).is_err() || state.has_content() {
                return false;
            }
        }
        false
    }

    pub(super) fn has_content(&self) -> bool {
        self.state.borrow().has_content()
    }

    pub(super) fn say_end(&self, raw: &RawStream) {
        if self.state.borrow_mut().end().is_ok() {
            self.send_now(raw);
        }
    }

    /// Sends what waits as far as the socket takes it at once; the connection ends after this.
    fn send_now(&self, raw: &RawStream) {
        let out = std::mem::take(self.state.borrow_mut().outgoing());
        raw.send_now(out.data());
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
