//! One client: its connection, and what it makes of the bytes that come.

use std::borrow::Cow;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::net::{self, Socket};
use crate::response::read_head;
use crate::tls::Speaker;
use crate::wire::{SCRATCH, Scratch, Wire};
use crate::{http2, websocket};

/// What clients send and must get.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// Requests, sent in turn.
    pub requests: Vec<Vec<u8>>,
    /// Body bytes of every response.
    pub length: usize,
    /// A new connection for each request, closed by the proxy.
    pub fresh: bool,
    /// How TLS is spoken, where it is.
    pub tls: Option<Speaker>,
    /// What is spoken instead of HTTP/1.1.
    pub talk: Talk,
}

/// What clients speak.
#[derive(Debug, Clone, Default)]
pub enum Talk {
    /// HTTP/1.1: the workload's requests.
    #[default]
    Http1,
    /// HTTP/2: this on every stream.
    Http2(Arc<http2::Exchange>),
    /// Frames of WebSocket, one at a time.
    WebSocket,
}

impl Talk {
    /// Exchanges at a time on a connection.
    pub fn lanes(&self) -> usize {
        match self {
            Self::Http2(exchange) => exchange.streams,
            _ => 1,
        }
    }
}

/// Why something failed.
pub type Why = Cow<'static, str>;

/// How a request ended.
pub enum Done {
    /// The response is right.
    Answered,
    /// And the proxy closed the connection.
    Closed,
}

/// How a request ended, or why it failed.
pub type Outcome = Result<Done, Why>;

/// Where a client of HTTP/1.1 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No request is under way.
    Idle,
    /// Some of the request is to be sent.
    Sending,
    /// The response is to come.
    Waiting,
    /// The response is complete; the proxy has yet to close.
    Closing,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its connection.
    pub wire: Option<Wire>,
    source: Ipv4Addr,
    /// The proxy's port.
    pub port: u16,
    /// Where it is.
    pub phase: Phase,
    /// Which request is under way.
    pub request: usize,
    /// How much of it is sent.
    pub sent: usize,
    /// When it was begun, or due.
    pub started: u64,
    in_body: bool,
    left: usize,
    partial: Vec<u8>,
    session: Option<Session>,
    /// What the session has to say and the wire did not take.
    out: Vec<u8>,
}

impl Client {
    /// One without a connection.
    pub fn new(source: Ipv4Addr, port: u16) -> Self {
        Self {
            wire: None,
            source,
            port,
            phase: Phase::Idle,
            request: 0,
            sent: 0,
            started: 0,
            in_body: false,
            left: 0,
            partial: Vec::new(),
            session: None,
            out: Vec::new(),
        }
    }

    /// Begins to connect, and to speak where the workload is not HTTP/1.1.
    pub fn connect(&mut self, workload: &Workload) -> io::Result<&Socket> {
        let socket = Socket::connect(self.source, self.port)?;
        self.phase = Phase::Idle;
        self.partial.clear();
        self.out.clear();
        self.session = match &workload.talk {
            Talk::Http1 => None,
            Talk::Http2(exchange) => {
                Some(Session::Http2(Box::new(http2::Client::new(exchange, &mut self.out))))
            }
            Talk::WebSocket => Some(Session::WebSocket(websocket::Client::new(&mut self.out))),
        };
        Ok(self.wire.insert(Wire::new(socket, workload.tls.as_ref())?).socket())
    }

    /// Drops the connection.
    pub fn hang_up(&mut self) {
        self.wire = None;
        self.session = None;
    }

    /// Whether it speaks something else than HTTP/1.1.
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Whether all that comes before a first request is over.
    pub fn is_open(&self) -> bool {
        self.wire.as_ref().is_some_and(Wire::is_open)
            && self.session.as_ref().is_none_or(Session::is_open)
    }
}

/// HTTP/1.1.
impl Client {
    /// Makes ready for a request.
    pub fn begin(&mut self, request: usize, started: u64) {
        self.request = request;
        self.sent = 0;
        self.started = started;
        self.in_body = false;
        self.phase = Phase::Sending;
    }

    /// Sends what is left of a request.
    pub fn send(&mut self, workload: &Workload) {
        let Some(wire) = &mut self.wire else { return };
        let request = &workload.requests[self.request];
        while self.sent < request.len() {
            match wire.send(&request[self.sent..]) {
                Ok(n) => self.sent += n,
                // Not writable yet, or broken: then the edge that says so is on its way.
                Err(_) => return,
            }
        }
        self.phase = Phase::Waiting;
    }

    /// Reads what is there; `Some` when the response is complete or the request has failed. With a
    /// fresh connection `count` is called before the end-of-file is waited for.
    pub fn receive(
        &mut self,
        gone: bool,
        scratch: &mut Scratch,
        body: &[u8],
        workload: &Workload,
        mut count: impl FnMut(&Self),
    ) -> Option<Outcome> {
        loop {
            let Some(wire) = &mut self.wire else { return Some(Err("no connection".into())) };
            // A big body is dropped unread, once its head is known to be right.
            let big = self.in_body && self.left > SCRATCH && wire.is_plain();
            let result = if big {
                wire.socket().discard(self.left).map(|n| (n, n == self.left))
            } else {
                wire.recv(scratch).map(|received| (received.len, received.full))
            };
            let (received, full) = match result {
                Ok((0, _)) if self.phase == Phase::Closing => return Some(Ok(Done::Closed)),
                Ok((0, _)) => return Some(Err("closed before the whole response".into())),
                Ok(received) => received,
                Err(error) if net::would_block(&error) => return None,
                Err(error) => return Some(Err(words(&error))),
            };
            let outcome = if big {
                self.left -= received;
                (self.left == 0).then_some(Ok(Done::Answered))
            } else {
                self.take(&scratch.plain[..received], body, workload)
            };
            match outcome {
                Some(Ok(Done::Answered)) if workload.fresh => {
                    self.phase = Phase::Closing;
                    count(self);
                    // Most often the end-of-file is there already.
                    continue;
                }
                Some(Ok(done)) => {
                    count(self);
                    return Some(Ok(done));
                }
                Some(failure) => return Some(failure),
                None if !full && !gone => return None,
                None => {}
            }
        }
    }

    /// Takes bytes of a response; `Some` when it is whole or wrong.
    fn take(&mut self, bytes: &[u8], body: &[u8], workload: &Workload) -> Option<Outcome> {
        if self.phase == Phase::Closing {
            return Some(Err("bytes behind the response".into()));
        }
        if self.in_body {
            return self.take_body(bytes, body, workload);
        }
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            let whole = std::mem::take(&mut self.partial);
            return self.take_head(&whole, body, workload);
        }
        self.take_head(bytes, body, workload)
    }

    fn take_head(&mut self, bytes: &[u8], body: &[u8], workload: &Workload) -> Option<Outcome> {
        let Some(head) = read_head(bytes) else {
            self.partial = bytes.to_vec();
            return (bytes.len() > SCRATCH).then_some(Err("endless head".into()));
        };
        if head.status != 200 {
            return Some(Err(format!("status {}", head.status).into()));
        }
        if head.length != Some(workload.length) {
            return Some(Err("wrong Content-Length".into()));
        }
        self.in_body = true;
        self.left = workload.length;
        self.take_body(&bytes[head.bytes..], body, workload)
    }

    fn take_body(&mut self, bytes: &[u8], body: &[u8], workload: &Workload) -> Option<Outcome> {
        if bytes.len() > self.left {
            return Some(Err("bytes behind the response".into()));
        }
        // The pattern repeats every 8 bytes and `body` is longer than any one receive.
        let at = (workload.length - self.left) % 8;
        let checked = bytes.len().min(body.len() - at);
        if bytes[..checked] != body[at..at + checked] {
            return Some(Err("wrong body".into()));
        }
        self.left -= bytes.len();
        (self.left == 0).then_some(Ok(Done::Answered))
    }
}

/// Everything but HTTP/1.1.
impl Client {
    /// Begins one more exchange.
    pub fn begin_exchange(&mut self, started: u64) {
        if let Some(session) = &mut self.session {
            session.begin(started, &mut self.out);
        }
    }

    /// How many exchanges are under way.
    pub fn in_flight(&self) -> usize {
        self.session.as_ref().map_or(0, Session::in_flight)
    }

    /// Sends what the session has to say.
    pub fn flush(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let mut sent = 0;
        while sent < self.out.len() {
            match wire.send(&self.out[sent..]) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        self.out.drain(..sent);
    }

    /// Reads all that is there; the starts of exchanges that are complete go to `done`.
    pub fn converse(
        &mut self,
        gone: bool,
        scratch: &mut Scratch,
        done: &mut Vec<u64>,
    ) -> Result<(), Why> {
        loop {
            let Some(wire) = &mut self.wire else { return Ok(()) };
            let received = match wire.recv(scratch) {
                Ok(received) if received.len == 0 => return Err("closed".into()),
                Ok(received) => received,
                Err(error) if net::would_block(&error) => return Ok(()),
                Err(error) => return Err(words(&error)),
            };
            self.hear(&scratch.plain[..received.len], done)?;
            if !received.full && !gone {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, bytes: &[u8], done: &mut Vec<u64>) -> Result<(), &'static str> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if self.partial.is_empty() {
            let used = session.take(bytes, &mut self.out, done)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let used = session.take(&self.partial, &mut self.out, done)?;
        self.partial.drain(..used);
        Ok(())
    }
}

/// A conversation that is more than request and response.
#[derive(Debug)]
enum Session {
    Http2(Box<http2::Client>),
    WebSocket(websocket::Client),
}

impl Session {
    fn is_open(&self) -> bool {
        match self {
            Self::Http2(client) => client.is_open(),
            Self::WebSocket(client) => client.is_open(),
        }
    }

    fn in_flight(&self) -> usize {
        match self {
            Self::Http2(client) => client.in_flight(),
            Self::WebSocket(client) => client.in_flight(),
        }
    }

    fn begin(&mut self, started: u64, out: &mut Vec<u8>) {
        match self {
            Self::Http2(client) => client.begin(started, out),
            Self::WebSocket(client) => client.begin(started, out),
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        done: &mut Vec<u64>,
    ) -> Result<usize, &'static str> {
        match self {
            Self::Http2(client) => client.take(bytes, out, done),
            Self::WebSocket(client) => client.take(bytes, out, done),
        }
    }
}

fn words(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset".into(),
        _ => error.to_string().into(),
    }
}
