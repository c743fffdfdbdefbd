//! The upstream behind all proxies: a tiny HTTP/1.1 server on the load core.
//!
//! `/…/64k` and `/…/1m` answer with bodies of that size, `/…/echo` with the request head as it
//! arrived, a POST with a short receipt once its body is there, anything else with 1 KiB. A request
//! for WebSocket is granted, and what then comes goes back. ([`crate::http2_backend`] speaks HTTP/2.)

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use crate::net::{self, Socket};
use crate::{http2_backend, websocket};

/// A request head may arrive in pieces, but never grows beyond this.
const MAX_HEAD: usize = 64 * 1024;

/// From here on an answer is sent by sendfile, so that the load core does not copy it.
const SEND_FILE_FROM: usize = 16 * 1024;

/// What the backend answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The receipt of a POST.
    Receipt,
    /// 1 KiB.
    Small,
    /// 64 KiB.
    Medium,
    /// 1 MiB.
    Large,
}

impl Size {
    /// Body bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Receipt => 16,
            Self::Small => 1024,
            Self::Medium => 64 * 1024,
            Self::Large => 1024 * 1024,
        }
    }
}

/// The body of every answer is a run of this, so that clients can check what they get.
pub fn body_byte(position: usize) -> u8 {
    b"tollgate"[position % 8]
}

#[derive(Debug)]
struct Answer {
    bytes: Vec<u8>,
    file: Option<File>,
}

/// All answers, made once.
#[derive(Debug)]
pub struct Answers([Answer; 4]);

impl Answers {
    /// Makes them.
    pub fn new() -> io::Result<Self> {
        let make = |size: Size| {
            let body: Vec<u8> = (0..size.bytes()).map(body_byte).collect();
            let bytes = whole(&body);
            let file = if bytes.len() >= SEND_FILE_FROM { Some(in_memory(&bytes)?) } else { None };
            io::Result::Ok(Answer { bytes, file })
        };
        Ok(Self([
            make(Size::Receipt)?,
            make(Size::Small)?,
            make(Size::Medium)?,
            make(Size::Large)?,
        ]))
    }
}

/// A response with the fields that servers usually send.
fn whole(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nDate: Tue, 04 Nov 2025 09:30:00 GMT\r\nServer: backend/1.0\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         ETag: \"5f3c-61e\"\r\nCache-Control: max-age=60\r\nVary: Accept-Encoding\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let name = CString::default();
    // SAFETY: the name is a C string; the descriptor is new and owned by the File.
    let mut file = unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(fd)
    };
    file.write_all(bytes)?;
    Ok(file)
}

/// What a backend's listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, and WebSocket where it is asked for.
    Http1,
    /// HTTP/2, with answers of 1 KiB.
    Http2,
    /// gRPC.
    Grpc,
}

/// What all backends serve.
#[derive(Debug)]
pub struct Kitchen {
    answers: Answers,
    small: http2_backend::Answer,
    reply: http2_backend::Answer,
}

impl Kitchen {
    /// Makes all answers.
    pub fn new() -> io::Result<Self> {
        let (small, reply) = (http2_backend::Answer::small(), http2_backend::Answer::reply());
        Ok(Self { answers: Answers::new()?, small, reply })
    }
}

/// A connection from a proxy.
#[derive(Debug)]
pub struct Backend {
    speaks: Speaks,
    connection: Spoken,
}

#[derive(Debug)]
enum Spoken {
    Http1(Connection),
    Http2(Box<http2_backend::Connection>),
}

impl Backend {
    /// A new one.
    pub fn new(socket: Socket, speaks: Speaks) -> Self {
        let connection = match speaks {
            Speaks::Http1 => Spoken::Http1(Connection::new(socket)),
            _ => Spoken::Http2(Box::new(http2_backend::Connection::new(socket))),
        };
        Self { speaks, connection }
    }

    /// Handles an edge: writes what is pending, reads all there is. `scratch` is shared by all.
    pub fn on_event(&mut self, gone: bool, scratch: &mut [u8], kitchen: &Kitchen) -> Fate {
        let answer = if self.speaks == Speaks::Grpc { &kitchen.reply } else { &kitchen.small };
        match &mut self.connection {
            Spoken::Http1(connection) => connection.on_event(gone, scratch, &kitchen.answers),
            Spoken::Http2(connection) => connection.on_event(gone, scratch, answer),
        }
    }
}

#[derive(Debug)]
enum Sending {
    Nothing,
    Canned { size: Size, sent: usize },
    Echo { bytes: Vec<u8>, sent: usize },
}

/// One connection from a proxy.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    partial: Vec<u8>,
    body_left: usize,
    close: bool,
    /// It is WebSocket's from now on.
    switched: bool,
    sending: Sending,
}

/// What a connection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Keep,
    /// It is over.
    Close,
}

/// Why a connection is over.
enum Over {
    Closed,
    Broken,
}

impl Connection {
    fn new(socket: Socket) -> Self {
        let (partial, sending) = (Vec::new(), Sending::Nothing);
        Self { socket, partial, body_left: 0, close: false, switched: false, sending }
    }

    fn on_event(&mut self, gone: bool, scratch: &mut [u8], answers: &Answers) -> Fate {
        self.advance(gone, scratch, answers).map_or(Fate::Close, |()| Fate::Keep)
    }

    fn advance(&mut self, gone: bool, scratch: &mut [u8], answers: &Answers) -> Result<(), Over> {
        self.send_pending(answers)?;
        loop {
            let room = scratch.len();
            let received = match self.socket.recv(scratch) {
                Ok(0) => return Err(Over::Closed),
                Ok(n) => n,
                Err(error) if net::would_block(&error) => return Ok(()),
                Err(_) => return Err(Over::Broken),
            };
            self.take(&scratch[..received], answers)?;
            // A short read emptied the socket; only with an end-of-file behind it is there more.
            if received < room && !gone {
                return Ok(());
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], answers: &Answers) -> Result<(), Over> {
        if self.body_left > 0 {
            let body = bytes.len().min(self.body_left);
            self.body_left -= body;
            bytes = &bytes[body..];
            if self.body_left == 0 {
                self.answer(Sending::Canned { size: Size::Receipt, sent: 0 }, answers)?;
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if self.partial.is_empty() {
            let used = self.understand(bytes, answers)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            self.partial.extend_from_slice(bytes);
            let whole = std::mem::take(&mut self.partial);
            let used = self.understand(&whole, answers)?;
            self.partial = whole;
            self.partial.drain(..used);
        }
        if self.partial.len() > MAX_HEAD { Err(Over::Broken) } else { Ok(()) }
    }

    fn understand(&mut self, bytes: &[u8], answers: &Answers) -> Result<usize, Over> {
        if !self.switched {
            return self.requests(bytes, answers);
        }
        let mut echoed = Vec::new();
        let used = websocket::echo(bytes, &mut echoed).map_err(|_| Over::Broken)?;
        if !echoed.is_empty() {
            self.answer(Sending::Echo { bytes: echoed, sent: 0 }, answers)?;
        }
        Ok(used)
    }

    /// Answers every request that is complete in `bytes` and returns how much was used.
    fn requests(&mut self, bytes: &[u8], answers: &Answers) -> Result<usize, Over> {
        let mut used = 0;
        while used < bytes.len() {
            let Some(request) = Request::read(&bytes[used..]) else { break };
            let head = &bytes[used..used + request.head];
            used += request.head;
            self.close |= request.close;
            if request.body > 0 {
                let here = request.body.min(bytes.len() - used);
                self.body_left = request.body - here;
                used += here;
                if self.body_left > 0 {
                    break;
                }
            }
            let answer = match &request.asks {
                Asks::Canned(size) => Sending::Canned { size: *size, sent: 0 },
                Asks::Echo => Sending::Echo { bytes: whole(head), sent: 0 },
                Asks::Switch(key) => {
                    self.switched = true;
                    Sending::Echo { bytes: websocket::switching(key), sent: 0 }
                }
            };
            self.answer(answer, answers)?;
            // Nobody sends frames before the switch is granted.
            if self.switched {
                break;
            }
        }
        Ok(used)
    }

    fn answer(&mut self, answer: Sending, answers: &Answers) -> Result<(), Over> {
        // Proxies do not pipeline: an answer still on its way means one of us is confused.
        if !matches!(self.sending, Sending::Nothing) {
            return Err(Over::Broken);
        }
        self.sending = answer;
        self.send_pending(answers)
    }

    fn send_pending(&mut self, answers: &Answers) -> Result<(), Over> {
        loop {
            let (result, sent, len) = match &mut self.sending {
                Sending::Nothing => return Ok(()),
                Sending::Echo { bytes, sent } => {
                    (self.socket.send(&bytes[*sent..]), sent, bytes.len())
                }
                Sending::Canned { size, sent } => {
                    let answer = &answers.0[*size as usize];
                    let len = answer.bytes.len();
                    let result = match &answer.file {
                        None => self.socket.send(&answer.bytes[*sent..]),
                        Some(file) => {
                            self.socket.send_file(file.as_raw_fd(), *sent as u64, len - *sent)
                        }
                    };
                    (result, sent, len)
                }
            };
            match result {
                Ok(n) => *sent += n,
                Err(error) if net::would_block(&error) => return Ok(()),
                Err(_) => return Err(Over::Broken),
            }
            if *sent == len {
                self.sending = Sending::Nothing;
                return if self.close { Err(Over::Closed) } else { Ok(()) };
            }
        }
    }
}

enum Asks {
    Canned(Size),
    Echo,
    /// WebSocket, with this key.
    Switch(String),
}

struct Request {
    /// Bytes of the head.
    head: usize,
    /// Bytes of the body.
    body: usize,
    /// Whether the proxy wants the connection closed.
    close: bool,
    asks: Asks,
}

impl Request {
    /// Reads a head; `None` while it is incomplete. Trusts the proxies: nothing is validated.
    fn read(bytes: &[u8]) -> Option<Self> {
        let head = find(bytes, b"\r\n\r\n")? + 4;
        let line_end = find(bytes, b"\r\n")?;
        let mut words = bytes[..line_end].split(|&byte| byte == b' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let mut request = Self { head, body: 0, close: false, asks: Asks::Canned(Size::Small) };
        for line in bytes[line_end + 2..head - 2].split(|&byte| byte == b'\n') {
            request.note(line.strip_suffix(b"\r").unwrap_or(line));
        }
        if matches!(request.asks, Asks::Switch(_)) {
            return Some(request);
        }
        request.asks = match path.rsplit(|&byte| byte == b'/').next().unwrap_or_default() {
            b"echo" => Asks::Echo,
            _ if method == b"POST" => Asks::Canned(Size::Receipt),
            b"64k" => Asks::Canned(Size::Medium),
            b"1m" => Asks::Canned(Size::Large),
            _ => Asks::Canned(Size::Small),
        };
        Some(request)
    }

    fn note(&mut self, line: &[u8]) {
        let value_of = |name: &[u8]| {
            let named = line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
            named.then(|| line[name.len()..].trim_ascii())
        };
        if !matches!(line.first(), Some(b'c' | b'C' | b's' | b'S')) {
            return;
        }
        if let Some(value) = value_of(b"content-length:") {
            self.body = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
        } else if let Some(value) = value_of(b"connection:") {
            self.close = value.eq_ignore_ascii_case(b"close");
        } else if let Some(value) = value_of(b"sec-websocket-key:") {
            self.asks = Asks::Switch(String::from_utf8_lossy(value).into_owned());
        }
    }
}

/// Where `needle` first stands in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // SAFETY: both are readable for their lengths.
    let found = unsafe {
        libc::memmem(haystack.as_ptr().cast(), haystack.len(), needle.as_ptr().cast(), needle.len())
    };
    (!found.is_null()).then(|| found as usize - haystack.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whole_or_not_at_all() {
        let bytes = b"POST /a/1m?x=1 HTTP/1.1\r\nHost: a\r\ncontent-length: 12\r\n\r\n";
        assert!(Request::read(&bytes[..bytes.len() - 1]).is_none());
        let request = Request::read(bytes).unwrap();
        assert_eq!((request.head, request.body, request.close), (bytes.len(), 12, false));
        assert!(matches!(request.asks, Asks::Canned(Size::Receipt)));
    }

    #[test]
    fn a_key_asks_for_a_switch() {
        let bytes = b"GET /socket HTTP/1.1\r\nsec-websocket-KEY: abc=\r\n\r\n";
        let request = Request::read(bytes).unwrap();
        assert!(matches!(request.asks, Asks::Switch(key) if key == "abc="));
    }

    #[test]
    fn the_last_segment_chooses_the_answer() {
        for (path, size) in [("/a/64k", Size::Medium), ("/1m?y", Size::Large), ("/x", Size::Small)]
        {
            let bytes = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
            let request = Request::read(bytes.as_bytes()).unwrap();
            assert!(matches!(request.asks, Asks::Canned(found) if found == size));
            assert!(request.close);
        }
    }
}
