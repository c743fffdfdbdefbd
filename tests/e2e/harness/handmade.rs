//! HTTP/2 by hand: frames as they stand on the wire (RFC 9113 section 4), right or wrong, for peers that
//! no library would be.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Broken, PATIENCE, Peer};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

/// Error codes (RFC 9113 section 7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a GOAWAY or a RST_STREAM.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// Whether it ends its stream.
    pub fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status that a block of the gateway's begins with. Only for blocks that were made with a
    /// header table of no size.
    pub fn status(&self) -> u16 {
        let mut block = &self.payload[..];
        while block[0] & 0xe0 == 0x20 {
            block = &block[1..];
        }
        match block[0] {
            index @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
            _ => digits(&block[1..]),
        }
    }
}

/// Three digits, plain or by Huffman's code (RFC 7541 appendix B).
fn digits(text: &[u8]) -> u16 {
    let len = usize::from(text[0] & 0x7f);
    let bytes = &text[1..=len];
    if text[0] & 0x80 == 0 {
        return String::from_utf8_lossy(bytes).parse().expect("a status");
    }
    let mut bits: Vec<u8> =
        bytes.iter().flat_map(|b| (0..8).rev().map(move |n| b >> n & 1)).collect();
    bits.reverse();
    let mut take =
        |n: usize| (0..n).fold(0u16, |value, _| value << 1 | u16::from(bits.pop().unwrap_or(1)));
    let mut status = 0;
    for _ in 0..3 {
        let short = take(5);
        let digit = if short < 3 { short } else { (short << 1 | take(1)) - 0x19 + 3 };
        status = status * 10 + digit;
    }
    status
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

/// The header of a frame whose payload is said to be so long.
pub fn header(len: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let len = u32::try_from(len).expect("a length").to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, [7; 8])
}

pub fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, by.to_be_bytes())
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let bytes = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, values.iter().flat_map(bytes).collect::<Vec<u8>>())
}

pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A field that is put in no table (RFC 7541 section 6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        integer(text.len(), 7, 0, &mut bytes);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// A number behind a prefix of so many bits (RFC 7541 section 5.1).
pub fn integer(mut value: usize, bits: u32, first: u8, bytes: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        return bytes.push(first | value as u8);
    }
    bytes.push(first | most as u8);
    value -= most;
    while value >= 128 {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The field block of a request.
pub fn block(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fixed =
        [(":method", method), (":scheme", "http"), (":authority", "test.example"), (":path", path)];
    fixed.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

/// A request without content.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block("GET", path, &[]))
}

/// A request's head; content follows.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block("POST", path, &[]))
}

/// An answer's head.
pub fn answer(stream: u32, flags: u8, status: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> = [(":status", status)]
        .iter()
        .chain(more)
        .flat_map(|(name, value)| field(name, value))
        .collect();
    frame(HEADERS, END_HEADERS | flags, stream, block)
}

/// A client that sends frames by hand.
pub struct RawHttp2 {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl RawHttp2 {
    /// Connects and says nothing.
    #[track_caller]
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, ahead: Vec::new() }
    }

    /// Connects, with the preface and settings that make answers easy to read.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    /// The same with more settings.
    #[track_caller]
    pub fn with_settings(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        let values: Vec<(u16, u32)> = [(1, 0)].iter().chain(values).copied().collect();
        client.send([PREFACE, &settings(&values)].concat());
        client
    }

    /// Connects with a small receive buffer: who does not read is soon felt.
    pub fn narrow(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )
        .expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("SO_RCVBUF");
        socket.connect(&address.into()).expect("a connection to the gateway");
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        let mut client = Self { stream, ahead: Vec::new() };
        client.send([PREFACE, &settings(values)].concat());
        client
    }

    /// Sends; fails if the gateway does not take it.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the gateway takes the bytes");
    }

    /// Sends, or says why not.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends copies of what `piece` makes until the gateway takes no more or `most` were sent; how many
    /// were. What the gateway says meanwhile is left unread.
    pub fn flood(&mut self, most: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let sent = (0..most).take_while(|n| self.try_send(piece(*n)).is_ok()).count();
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        sent
    }

    fn fill(&mut self) -> Result<(), Broken> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Broken::Closed),
                Ok(n) => {
                    self.ahead.extend_from_slice(&piece[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    return Err(Broken::TimedOut);
                }
                Err(_) => return Err(Broken::Reset),
            }
        }
    }

    /// The next frame.
    pub fn next(&mut self) -> Result<Frame, Broken> {
        while self.ahead.len() < 9 {
            self.fill()?;
        }
        let len = usize::from(self.ahead[0]) << 16
            | usize::from(self.ahead[1]) << 8
            | usize::from(self.ahead[2]);
        while self.ahead.len() < 9 + len {
            self.fill()?;
        }
        let rest = self.ahead.split_off(9 + len);
        let bytes = std::mem::replace(&mut self.ahead, rest);
        Ok(taken_apart(&bytes))
    }

    /// The next frame for which this holds; others are passed over.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            match self.next() {
                Ok(frame) if is(&frame) => return frame,
                Ok(frame) => assert_ne!(frame.kind, GOAWAY, "GOAWAY, not {what}: {frame:?}"),
                Err(broken) => panic!("no {what}: {broken:?}"),
            }
        }
    }

    /// The status of a stream's answer.
    #[track_caller]
    pub fn status(&mut self, stream: u32) -> u16 {
        self.until("an answer", |f| f.kind == HEADERS && f.stream == stream).status()
    }

    /// Reads a stream's answer to its end: its status and how long its content is, or the code it was
    /// reset with.
    #[track_caller]
    pub fn answer(&mut self, stream: u32) -> Result<(u16, usize), u32> {
        let mut whole = (0, 0);
        loop {
            let frame = self.until("the end of an answer", |f| f.stream == stream);
            match frame.kind {
                HEADERS if whole.0 < 200 => whole.0 = frame.status(),
                DATA => whole.1 += frame.payload.len(),
                RST_STREAM => return Err(frame.code()),
                _ => {}
            }
            if frame.ends() {
                return Ok(whole);
            }
        }
    }

    /// The code with which the gateway tells the client to go; fails unless it does. The connection ends
    /// behind it.
    #[track_caller]
    pub fn goaway(&mut self) -> u32 {
        let mut told = None;
        loop {
            match self.next() {
                Ok(frame) if frame.kind == GOAWAY => told = Some(frame.code()),
                Ok(_) => {}
                Err(Broken::TimedOut) => panic!("the connection goes on; told to go: {told:?}"),
                Err(_) => return told.expect("GOAWAY before the end of the connection"),
            }
        }
    }

    /// Reads to the connection's end; whether it was told to go, and by which code. A reset may have
    /// destroyed that.
    #[track_caller]
    pub fn ended(&mut self) -> Option<u32> {
        let mut told = None;
        loop {
            match self.next() {
                Ok(frame) if frame.kind == GOAWAY => told = Some(frame.code()),
                Ok(_) => {}
                Err(Broken::TimedOut) => panic!("the connection goes on; told to go: {told:?}"),
                Err(_) => return told,
            }
        }
    }

    /// Fails unless the gateway ends the connection, whatever it says before: HTTP/1.1 may be what it
    /// says that in.
    #[track_caller]
    pub fn ended_somehow(&mut self) {
        loop {
            match self.fill() {
                Ok(()) => self.ahead.clear(),
                Err(Broken::TimedOut) => panic!("the connection goes on"),
                Err(_) => return,
            }
        }
    }

    /// Ends the sending side.
    pub fn half_close(&self) {
        // The gateway may have ended it already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub fn abort(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}

fn taken_apart(bytes: &[u8]) -> Frame {
    Frame {
        kind: bytes[3],
        flags: bytes[4],
        stream: u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes")) & 0x7fff_ffff,
        payload: bytes[9..].to_vec(),
    }
}

/// The gateway as a client of HTTP/2, seen from a target.
impl Peer {
    /// Reads the preface and says its settings; `false` if the gateway ended the connection instead.
    pub fn greet(&mut self, values: &[(u16, u32)]) -> bool {
        let preface = self.try_exactly(PREFACE.len());
        preface.is_some_and(|came| {
            assert_eq!(came, PREFACE, "the preface");
            self.try_send(settings(values)).is_ok()
        })
    }

    /// The next frame; `None` if the connection ended instead.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let mut bytes = self.try_exactly(9)?;
        let len = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        bytes.extend(self.try_exactly(len)?);
        Some(taken_apart(&bytes))
    }

    /// The next stream that the gateway begins; settings are acknowledged meanwhile, and pings answered.
    pub fn next_stream(&mut self) -> Option<u32> {
        loop {
            let frame = self.next_frame()?;
            match frame.kind {
                HEADERS => return Some(frame.stream),
                SETTINGS if frame.flags & ACK == 0 => {
                    self.try_send(super::handmade::frame(SETTINGS, ACK, 0, [])).ok()?;
                }
                PING if frame.flags & ACK == 0 => {
                    self.try_send(super::handmade::frame(PING, ACK, 0, &frame.payload)).ok()?;
                }
                _ => {}
            }
        }
    }

    /// Sends copies until the gateway takes no more or `most` were sent; how many were.
    pub fn flood(&mut self, most: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> usize {
        (0..most).take_while(|n| self.try_send(piece(*n)).is_ok()).count()
    }
}
