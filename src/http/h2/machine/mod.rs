//! The protocol's machine: one connection's frames, streams and flow control, for either role. Bytes
//! come in and go out; it knows neither sockets nor clocks.
//!
//! Frames are read whole where they lie. What is to be sent is appended to one buffer, `out`, which its
//! caller writes when it likes; content goes there straight from where its writer has it, as much as the
//! windows give. Nothing else is queued: who finds no room waits for it, first come, first served.
//!
//! A stream has a slot for as long as somebody here holds it, by its [`Key`]. What comes of a stream
//! after that was on its way, and is passed over.

mod account;
mod content;
mod frame;
mod heads;
mod past;
mod receive;
mod send;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;

use self::account::Account;
use self::frame::{HEADER, header};
use self::past::Past;
use self::stream::Streams;
use super::code::{Code, Fault};
use super::hpack::{Decoder, Encoder, TABLE_SIZE};
use super::kinds::{GOAWAY, PING};
use crate::config::HttpBounds;
use crate::limits::{H2_BLOCK_FACTOR, H2_BLOCK_LEAST};

pub use self::receive::{Begun, Reading, Received};
pub use self::send::{Asking, Unsent};
pub use self::settings::{PREFACE, Terms};
pub use self::stream::{End, Head, Key};

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Streams are begun by the peer.
    Server,
    /// Streams are begun here.
    Client,
}

/// How far a connection is from its end, by what we said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    /// Nothing was said.
    None,
    /// That no more streams may come; those on their way still may.
    Announced,
    /// Which stream is the last.
    Said(u32),
}

/// Content of all streams together, in one direction each.
#[derive(Debug)]
struct Windows {
    /// Bytes that the peer may still send.
    incoming: i64,
    /// What it may have on its way at most.
    incoming_most: u32,
    /// Bytes that were taken, of which it was not told.
    taken: u32,
    /// Bytes that we may still send.
    outgoing: i64,
}

/// What the peer's settings say (RFC 9113 section 6.5.2).
#[derive(Debug)]
struct Peer {
    streams: u32,
    window: u32,
    tunnels: bool,
}

/// A field block, or what has come of it, and what its first frame says of it.
#[derive(Debug)]
struct Fields<'a> {
    stream: u32,
    ends: bool,
    depends_on_itself: bool,
    bytes: Cow<'a, [u8]>,
}

/// One connection.
pub struct Machine {
    role: Role,
    bounds: HttpBounds,
    stream_window: u32,
    max_streams: u32,
    decoder: Decoder,
    encoder: Encoder,
    account: Account,
    past: Past,
    streams: Streams,
    /// Streams that neither side has ended.
    open: u32,
    /// Streams that wait for the connection's room.
    waiting: VecDeque<Key>,
    windows: Windows,
    peer: Peer,
    /// What must come first has come so far.
    preface: usize,
    has_settings: bool,
    owes_ack: bool,
    /// A field block of which pieces are still to come.
    block: Option<Fields<'static>>,
    goodbye: Goodbye,
    /// The last stream that the peer looks at, since it goes away.
    last_of_peer: Option<u32>,
    next_stream: u32,
    over: bool,
    sent: u64,
    /// Memory for heads.
    spare: Vec<Vec<u8>>,
}

/// The PING whose answer tells that the peer has read the first goodbye.
const LAST_PING: [u8; 8] = *b"goodbye!";
/// The highest number that a stream can have.
const LAST_STREAM: u32 = u32::MAX >> 1;

impl Machine {
    /// A new connection, which says what is said first.
    pub fn new(role: Role, terms: &Terms, now_ns: u64, out: &mut Vec<u8>) -> Self {
        let mut machine = Self {
            role,
            bounds: terms.bounds,
            stream_window: terms.stream_window,
            max_streams: terms.max_streams,
            decoder: Decoder::new(TABLE_SIZE),
            encoder: Encoder::new(),
            account: Account::new(now_ns),
            past: Past::default(),
            streams: Streams::default(),
            open: 0,
            waiting: VecDeque::new(),
            windows: Windows {
                incoming: i64::from(settings::WINDOW_FIRST),
                incoming_most: terms.connection_window,
                taken: 0,
                outgoing: i64::from(settings::WINDOW_FIRST),
            },
            peer: Peer { streams: u32::MAX, window: settings::WINDOW_FIRST, tunnels: false },
            preface: if role == Role::Server { PREFACE.len() } else { 0 },
            has_settings: false,
            owes_ack: true,
            block: None,
            goodbye: Goodbye::None,
            last_of_peer: None,
            next_stream: 1,
            over: false,
            sent: 0,
            spare: Vec::new(),
        };
        machine.greet(out);
        machine
    }

    /// Whether the peer's settings have come, which it sends first.
    pub fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// How many streams the peer allows.
    pub fn allows(&self) -> u32 {
        self.peer.streams
    }

    /// Whether the peer opens tunnels (RFC 8441).
    pub fn may_tunnel(&self) -> bool {
        self.peer.tunnels
    }

    /// Whether another stream may be begun here.
    pub fn may_begin(&self) -> bool {
        !self.is_leaving()
            && self.goodbye == Goodbye::None
            && self.open < self.peer.streams
            && self.next_stream <= LAST_STREAM
    }

    /// Whether no stream can be begun here ever again.
    pub fn is_leaving(&self) -> bool {
        self.over || self.last_of_peer.is_some() || self.next_stream > LAST_STREAM
    }

    /// Whether the connection has ended: nothing that comes counts any more.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether all has been said: a goodbye of either side, and then the last answer.
    pub fn is_done(&self) -> bool {
        let said = matches!(self.goodbye, Goodbye::Said(_)) || self.last_of_peer.is_some();
        self.over || said && self.open == 0
    }

    /// Whether something has begun and not ended that comes at once from those who mean well: a frame
    /// without content, or a field block. `rest` is what [`Self::receive`] left.
    pub fn is_within(&self, rest: &[u8]) -> bool {
        let content = rest.len() >= HEADER && rest[3] == super::kinds::DATA;
        self.preface > 0 || self.block.is_some() || !rest.is_empty() && !content
    }

    /// Tells the peer to begin no more streams: those on their way are still served (RFC 9113 section
    /// 6.8).
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if self.goodbye != Goodbye::None || self.over {
            return;
        }
        if self.role == Role::Client {
            return self.say_last(out);
        }
        self.goodbye = Goodbye::Announced;
        self.say_goodbye(LAST_STREAM, Code::NO_ERROR, out);
        self.write(PING, 0, 0, &LAST_PING, out);
    }

    /// The peer has read the first goodbye.
    fn say_last(&mut self, out: &mut Vec<u8>) {
        let last = self.last();
        self.goodbye = Goodbye::Said(last);
        self.say_goodbye(last, Code::NO_ERROR, out);
    }

    /// The last stream of the peer's that was looked at.
    fn last(&self) -> u32 {
        if self.role == Role::Server { self.past.newest() } else { 0 }
    }

    /// Ends the connection at once: the peer is told why, and all streams are broken off.
    pub fn refuse(&mut self, code: Code, out: &mut Vec<u8>) {
        if !self.over {
            self.say_goodbye(self.last(), code, out);
        }
        self.end();
    }

    /// The connection has ended, and all streams with it.
    pub fn end(&mut self) {
        self.over = true;
        self.open = 0;
        self.waiting.clear();
        self.streams.all().for_each(|slot| slot.break_off(End::Lost));
    }

    fn say_goodbye(&mut self, last: u32, code: Code, out: &mut Vec<u8>) {
        let [a, b] = [last.to_be_bytes(), code.0.to_be_bytes()];
        self.write(GOAWAY, 0, 0, [a, b].as_flattened(), out);
    }

    /// Appends a whole frame.
    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&header(payload.len(), kind, flags, stream));
        out.extend_from_slice(payload);
        self.sent += (HEADER + payload.len()) as u64;
    }

    /// Longest field block in pieces.
    fn block_most(&self) -> usize {
        self.bounds.max_head.saturating_mul(H2_BLOCK_FACTOR).max(H2_BLOCK_LEAST)
    }
}
