//! HTTP/2 frame by frame, for what no decent library sends: frames and field blocks are made by hand,
//! and told apart by their headers alone.

use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::upstream::Peer;
use super::wire::{Broken, Link, Wire};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const REFUSED_STREAM: u32 = 7;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A whole field block in one frame.
    pub fn headers(stream: u32, flags: u8, fields: &[(&[u8], &[u8])]) -> Self {
        Self::new(HEADERS, flags | END_HEADERS, stream, block(fields))
    }

    /// That no stream above this one was or will be looked at.
    pub fn goaway(last: u32, code: u32) -> Self {
        Self::new(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, code.to_be_bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let length = (self.payload.len() as u32).to_be_bytes();
        let head = [length[1], length[2], length[3], self.kind, self.flags];
        [&head, &self.stream.to_be_bytes()[..], &self.payload].concat()
    }

    /// The code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("a code"))
    }

    pub fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Fields as literals that no table keeps (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// A number with a prefix of seven bits (RFC 7541 section 5.1).
fn length(n: usize, block: &mut Vec<u8>) {
    if n < 127 {
        return block.push(n as u8);
    }
    block.push(127);
    let mut left = n - 127;
    while left >= 128 {
        block.push((left % 128 + 128) as u8);
        left /= 128;
    }
    block.push(left as u8);
}

/// A connection, from either end.
pub struct Frames {
    wire: Wire,
}

impl Frames {
    /// A client's, begun with its preface and settings.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let mut frames = Self { wire: Wire::new(Link::Tcp(socket)) };
        frames.write(PREFACE);
        frames.send(&Frame::new(SETTINGS, 0, 0, []));
        frames
    }

    /// A target's, begun with these settings.
    pub fn accept(peer: &Peer, settings: &[(u16, u32)]) -> Option<Self> {
        let mut frames = Self { wire: peer.second_wire() };
        let preface = frames.wire.exactly(PREFACE.len()).ok()?;
        assert_eq!(preface, PREFACE, "the preface");
        let settings = settings
            .iter()
            .flat_map(|(key, value)| key.to_be_bytes().into_iter().chain(value.to_be_bytes()));
        frames.send(&Frame::new(SETTINGS, 0, 0, settings.collect::<Vec<_>>()));
        Some(frames)
    }

    /// Sends bytes as they are. The gateway may have had enough already: what it said shows.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = std::io::Write::write_all(&mut self.wire.link, bytes);
    }

    pub fn send(&mut self, frame: &Frame) {
        self.write(&frame.bytes());
    }

    /// The next frame; settings are acknowledged.
    pub fn next(&mut self) -> Result<Frame, Broken> {
        let head = self.wire.exactly(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
        let payload = self.wire.exactly(length)?;
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.send(&Frame::new(SETTINGS, ACK, 0, []));
        }
        Ok(frame)
    }

    /// The next frame that is looked for; others are passed over.
    #[track_caller]
    pub fn until(&mut self, what: &str, is: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            match self.next() {
                Ok(frame) if is(&frame) => return frame,
                Ok(_) => {}
                Err(broken) => panic!("no {what}: {broken:?}"),
            }
        }
    }

    /// The next frame of this kind; `None` at the end of the connection.
    pub fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next() {
                Ok(frame) if frame.kind == kind => return Some(frame),
                Ok(_) => {}
                Err(Broken::TimedOut) => panic!("no frame of kind {kind} in time"),
                Err(_) => return None,
            }
        }
    }

    /// Waits for the end of the connection.
    pub fn wait_closed(&mut self) {
        while let Ok(_frame) = self.next() {}
    }
}
