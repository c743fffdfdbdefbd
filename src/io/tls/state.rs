//! TLS as a machine: bytes of the wire in, content out, and the other way. It does no I/O.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, ReadEarlyData, UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, ServerConfig};

use crate::io::Buffer;
use crate::limits::{TLS_PIECE, TLS_RECORD};

/// One side of a TLS connection.
pub(super) struct State {
    connection: Connection,
    /// From the wire, not yet understood. It stays here while a read is pending: what is half
    /// understood refers to it.
    incoming: Buffer,
    /// Content for which the reader had no room.
    content: Buffer,
    /// For the wire.
    outgoing: Buffer,
    /// The peer said that no more content comes.
    ended: bool,
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What the machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// More bytes of the handshake.
    Handshake,
    /// Nothing: content may be written, and more bytes bring more content. Where early data is taken,
    /// the handshake may go on beside it.
    Traffic,
}

/// What came of bytes.
enum Step {
    /// Go on.
    More,
    /// All bytes are understood.
    Done(Waits),
    /// The peer ended its side.
    Ended,
}

impl State {
    /// For a client that begins TLS with us.
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        UnbufferedServerConnection::new(config).map(|c| Self::new(Connection::Server(c)))
    }

    /// For a target that we begin TLS with.
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        UnbufferedClientConnection::new(config, name).map(|c| Self::new(Connection::Client(c)))
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            incoming: Buffer::empty(),
            content: Buffer::empty(),
            outgoing: Buffer::empty(),
            ended: false,
        }
    }

    /// What was agreed on.
    pub(super) fn agreed(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(c) => c,
            Connection::Client(c) => c,
        }
    }

    /// A buffer to read from the wire into: what is half understood fits in front of it.
    pub(super) fn room_for_more(&self, large: bool) -> Buffer {
        let half = self.incoming.len();
        // The rest of a record that has begun, and a little of the next.
        let wanted = if half > 0 || large { TLS_RECORD } else { 0 };
        let mut buffer = Buffer::fitting(half + wanted);
        buffer.set_headroom(half);
        buffer
    }

    /// Takes what was read into a buffer of [`State::room_for_more`]. (Meanwhile a write may have
    /// understood some of what was here before.)
    pub(super) fn add(&mut self, mut read: Buffer) {
        read.put_in_front(self.incoming.data());
        self.incoming = read;
    }

    /// Understands what has come: content goes into `into` as far as it has room, the rest waits.
    pub(super) fn advance(&mut self, into: &mut Buffer) -> Result<Waits, rustls::Error> {
        loop {
            let (discard, step) = self.step(into);
            self.incoming.consume(discard);
            match step? {
                Step::More => {}
                Step::Ended => self.ended = true,
                Step::Done(waits) => {
                    if self.incoming.is_empty() {
                        self.incoming = Buffer::empty();
                    }
                    return Ok(waits);
                }
            }
        }
    }

    /// One step, and how many bytes at the front of what has come it has done with.
    fn step(&mut self, into: &mut Buffer) -> (usize, Result<Step, rustls::Error>) {
        let (out, waiting) = (&mut self.outgoing, &mut self.content);
        let bytes = self.incoming.data_mut();
        match &mut self.connection {
            Connection::Server(c) => match c.process_tls_records(bytes) {
                UnbufferedStatus { discard, state: Ok(ConnectionState::ReadEarlyData(early)) } => {
                    take_early(early, discard, waiting, into)
                }
                status => take(status, out, waiting, into),
            },
            Connection::Client(c) => take(c.process_tls_records(bytes), out, waiting, into),
        }
    }

    /// Content that waits for a reader: moves what fits. `None` where there is none.
    pub(super) fn take_content(&mut self, into: &mut Buffer) -> Option<usize> {
        if self.content.is_empty() {
            return self.ended.then_some(0);
        }
        let n = self.content.len().min(into.free());
        into.append(&self.content.data()[..n]);
        self.content.consume(n);
        if self.content.is_empty() {
            self.content = Buffer::empty();
        }
        Some(n)
    }

    /// Whether a reader would find content or the end.
    pub(super) fn has_content(&self) -> bool {
        self.ended || !self.content.is_empty()
    }

    /// Encrypts the first of `content`; gives how much of it.
    pub(super) fn encrypt(&mut self, content: &[u8]) -> Result<usize, rustls::Error> {
        let piece = &content[..content.len().min(TLS_PIECE)];
        self.seal(Seal::Content(piece))?;
        Ok(piece.len())
    }

    /// Writes the alert that no more content comes.
    pub(super) fn end(&mut self) -> Result<(), rustls::Error> {
        self.seal(Seal::End)
    }

    fn seal(&mut self, what: Seal<'_>) -> Result<(), rustls::Error> {
        // What came with it is understood first: the machine has one state for both directions.
        if self.advance(&mut Buffer::empty())? != Waits::Traffic {
            return Err(rustls::Error::HandshakeNotComplete);
        }
        let bytes = self.incoming.data_mut();
        match &mut self.connection {
            Connection::Server(c) => write(c.process_tls_records(bytes), what, &mut self.outgoing),
            Connection::Client(c) => write(c.process_tls_records(bytes), what, &mut self.outgoing),
        }
    }

    /// After an error: the alert that tells the peer of it.
    pub(super) fn alert(&mut self) {
        // Of all that came, although it is of no more use: rustls remembers how far it was.
        let _ = self.step(&mut Buffer::empty());
    }

    /// What is to be sent.
    pub(super) fn outgoing(&mut self) -> &mut Buffer {
        &mut self.outgoing
    }

    /// The first byte that came: 22 where it is TLS.
    pub(super) fn first_byte(&self) -> Option<u8> {
        self.incoming.data().first().copied()
    }
}

/// What is to be encrypted.
#[derive(Clone, Copy)]
enum Seal<'a> {
    Content(&'a [u8]),
    End,
}

/// Content goes to the reader where all before it did, and it fits.
fn store(content: &[u8], waiting: &mut Buffer, into: &mut Buffer) {
    let fits = if waiting.is_empty() { content.len().min(into.free()) } else { 0 };
    into.append(&content[..fits]);
    if fits < content.len() {
        if waiting.capacity() == 0 {
            *waiting = Buffer::fitting(content.len() - fits);
        }
        waiting.append(&content[fits..]);
    }
}

/// Content that came before the handshake's end.
fn take_early(
    mut early: ReadEarlyData<'_, '_, ServerConnectionData>,
    mut discard: usize,
    waiting: &mut Buffer,
    into: &mut Buffer,
) -> (usize, Result<Step, rustls::Error>) {
    while let Some(record) = early.next_record() {
        match record {
            Ok(record) => {
                discard += record.discard;
                store(record.payload, waiting, into);
            }
            Err(error) => return (discard, Err(error)),
        }
    }
    (discard, Ok(Step::More))
}

/// Follows one status of rustls.
fn take<D>(
    status: UnbufferedStatus<'_, '_, D>,
    outgoing: &mut Buffer,
    waiting: &mut Buffer,
    into: &mut Buffer,
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let step = status.state.and_then(|state| follow(state, outgoing, waiting, into, &mut discard));
    (discard, step)
}

fn follow<D>(
    state: ConnectionState<'_, '_, D>,
    outgoing: &mut Buffer,
    waiting: &mut Buffer,
    into: &mut Buffer,
    discard: &mut usize,
) -> Result<Step, rustls::Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *discard += record.discard;
                store(record.payload, waiting, into);
            }
            Ok(Step::More)
        }
        ConnectionState::EncodeTlsData(mut data) => {
            append(outgoing, 0, |out| match data.encode(out) {
                Ok(n) => Ok(n),
                Err(EncodeError::InsufficientSize(short)) => Err(Short::Needs(short.required_size)),
                Err(EncodeError::AlreadyEncoded) => Ok(0),
            })?;
            Ok(Step::More)
        }
        // It lies in `outgoing`, which is sent in order.
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::More)
        }
        ConnectionState::PeerClosed => Ok(Step::Ended),
        ConnectionState::BlockedHandshake => Ok(Step::Done(Waits::Handshake)),
        ConnectionState::WriteTraffic(_) | ConnectionState::Closed => {
            Ok(Step::Done(Waits::Traffic))
        }
        // Early data was taken before.
        _ => Err(rustls::Error::General("a state that was not asked for".into())),
    }
}

/// Encrypts, where the handshake is over.
fn write<D>(
    status: UnbufferedStatus<'_, '_, D>,
    what: Seal<'_>,
    outgoing: &mut Buffer,
) -> Result<(), rustls::Error> {
    let ConnectionState::WriteTraffic(mut traffic) = status.state? else {
        return Err(rustls::Error::HandshakeNotComplete);
    };
    let room = match what {
        Seal::Content(content) => sealed(content.len()),
        Seal::End => sealed(ALERT),
    };
    append(outgoing, room, |out| {
        let written = match what {
            Seal::Content(content) => traffic.encrypt(content, out),
            Seal::End => traffic.queue_close_notify(out),
        };
        written.map_err(|error| match error {
            EncryptError::InsufficientSize(short) => Short::Needs(short.required_size),
            EncryptError::EncryptExhausted => Short::Exhausted,
        })
    })
}

enum Short {
    Needs(usize),
    Exhausted,
}

/// Has something written behind what waits in `out`; it is asked again with the room it needs.
fn append(
    out: &mut Buffer,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Short>,
) -> Result<(), rustls::Error> {
    let mut room = room;
    loop {
        if out.capacity() == 0 && room > 0 {
            *out = Buffer::fitting(room);
        }
        let mut result = Ok(0);
        out.append_with(|bytes| {
            let before = bytes.len();
            bytes.resize(before + room, 0);
            result = write(&mut bytes[before..]);
            bytes.truncate(before + result.as_ref().unwrap_or(&0));
        });
        match result {
            Ok(_) => return Ok(()),
            Err(Short::Needs(needed)) if needed > room => room = needed,
            Err(_) => return Err(rustls::Error::EncryptError),
        }
    }
}

/// Bytes that so much content takes when it is encrypted, at most: header, content type, tag and
/// TLS 1.2's explicit nonce for each record.
fn sealed(content: usize) -> usize {
    content + content.div_ceil(TLS_FRAGMENT).max(1) * 64
}

/// Content of a record (RFC 8446 section 5.1).
const TLS_FRAGMENT: usize = 1 << 14;

/// Content of an alert (RFC 8446 section 6).
const ALERT: usize = 2;
