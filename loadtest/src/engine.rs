//! One thread, one epoll: the clients of every proxy and the backend behind them.
//!
//! It does not sleep while a slice runs (unless told to): over the loopback device whoever sends
//! pays for waking the receiver, which no proxy does behind a network card.

use std::io;
use std::net::Ipv4Addr;

use crate::backend::{Answers, Connection, Fate, body_byte};
use crate::histogram::Histogram;
use crate::machine::{ProcessClock, now_ns};
use crate::net::{self, Epoll, Event, Socket};
use crate::response::read_head;

/// How long requests in flight at a slice's end may take before they count as failed.
const STRAGGLER_NS: u64 = 3_000_000_000;
/// After this many failures a slice is given up.
const MAX_SLICE_FAILURES: u64 = 200;
/// Between the last response and reading the proxy's clock: it must have gone to sleep.
const SETTLE_NS: u64 = 300_000;
/// Failures that are told in words.
const TOLD_FAILURES: usize = 5;
/// Receive buffer, shared by all connections.
const SCRATCH: usize = 64 * 1024;

const LISTENER: u64 = 0;
const CLIENT: u64 = 1 << 32;
const BACKEND: u64 = 2 << 32;
const KIND: u64 = !0 << 32;

/// What clients send and must get.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Requests, sent in turn.
    pub requests: Vec<Vec<u8>>,
    /// Body bytes of every response.
    pub length: usize,
    /// A new connection for each request, closed by the proxy.
    pub fresh: bool,
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As soon as a connection is free.
    Closed,
    /// At fixed times, this many nanoseconds apart, whatever the answers do; latency counts from
    /// the time a request was due.
    Open(u64),
}

/// The clients of one proxy.
#[derive(Debug)]
pub struct Group {
    /// Proxy's port.
    pub port: u16,
    clients: Vec<u32>,
    next_request: usize,
}

/// What happened in one slice.
#[derive(Debug, Default, Clone)]
pub struct Slice {
    /// Responses that were right.
    pub requests: u64,
    /// Anything else: wrong status, wrong length, closed, timed out.
    pub failures: u64,
    /// From the first request to the last response.
    pub wall_ns: u64,
    /// CPU time of the proxy.
    pub cpu_ns: u64,
    /// Time this thread found nothing to do.
    pub idle_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Sending,
    Waiting,
    /// The response is complete; the proxy has yet to close.
    Closing,
}

#[derive(Debug)]
struct Client {
    socket: Option<Socket>,
    source: Ipv4Addr,
    port: u16,
    phase: Phase,
    request: usize,
    sent: usize,
    started: u64,
    in_body: bool,
    left: usize,
    partial: Vec<u8>,
}

/// The slice that is running.
#[derive(Debug, Default)]
struct Run {
    end: u64,
    stopping: bool,
    outstanding: u32,
    idle: Vec<u32>,
    due: u64,
    slice: Slice,
    latencies: Histogram,
    last_count: u64,
}

/// All sockets of the load core.
#[derive(Debug)]
pub struct Engine {
    epoll: Epoll,
    events: Vec<Event>,
    scratch: Vec<u8>,
    body: Vec<u8>,
    answers: Answers,
    listeners: Vec<Socket>,
    backends: Vec<Option<Connection>>,
    free_backends: Vec<u32>,
    clients: Vec<Client>,
    free_clients: Vec<u32>,
    run: Run,
    told: Vec<String>,
    /// Whether the load sleeps while it has nothing to do, so that proxies pay for waking it.
    pub sleeps: bool,
    /// Upstream connections accepted, by listener: shows whether a proxy keeps them alive.
    pub accepted: Vec<u64>,
}

impl Engine {
    /// An engine without sockets.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            events: vec![Event { events: 0, u64: 0 }; 1024],
            scratch: vec![0; SCRATCH],
            body: (0..SCRATCH).map(body_byte).collect(),
            answers: Answers::new()?,
            listeners: Vec::new(),
            backends: Vec::new(),
            free_backends: Vec::new(),
            clients: Vec::new(),
            free_clients: Vec::new(),
            run: Run::default(),
            told: Vec::new(),
            sleeps: false,
            accepted: Vec::new(),
        })
    }

    /// Opens a backend on a free port; returns its index and port.
    pub fn add_backend(&mut self) -> io::Result<(usize, u16)> {
        let socket = Socket::listen(0)?;
        let port = socket.port()?;
        self.epoll.add(&socket, LISTENER | self.listeners.len() as u64)?;
        self.listeners.push(socket);
        self.accepted.push(0);
        Ok((self.listeners.len() - 1, port))
    }

    /// The first few failures in words, and forgets them.
    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Makes `count` clients for the proxy on `port`, from `sources` loopback addresses in turn.
    pub fn group(&mut self, port: u16, count: usize, sources: u8) -> Group {
        let clients = (0..count)
            .map(|n| {
                let source = Ipv4Addr::new(127, 0, 1, 1 + (n % usize::from(sources.max(1))) as u8);
                let client = Client {
                    socket: None,
                    source,
                    port,
                    phase: Phase::Idle,
                    request: 0,
                    sent: 0,
                    started: 0,
                    in_body: false,
                    left: 0,
                    partial: Vec::new(),
                };
                self.place(client)
            })
            .collect();
        Group { port, clients, next_request: 0 }
    }

    fn place(&mut self, client: Client) -> u32 {
        if let Some(index) = self.free_clients.pop() {
            self.clients[index as usize] = client;
            return index;
        }
        self.clients.push(client);
        self.clients.len() as u32 - 1
    }

    /// Closes a group's connections.
    pub fn disband(&mut self, group: Group) {
        for index in group.clients {
            self.clients[index as usize].socket = None;
            self.free_clients.push(index);
        }
    }

    /// How many of a group's connections are open.
    pub fn open_connections(&self, group: &Group) -> usize {
        group.clients.iter().filter(|&&c| self.clients[c as usize].socket.is_some()).count()
    }

    /// Serves the backend and notices closed connections for `ns` without sending anything.
    pub fn rest(&mut self, ns: u64) {
        let end = now_ns() + ns;
        loop {
            let now = now_ns();
            if now >= end {
                return;
            }
            let wait = ((end - now) / 1_000_000).min(100) as i32;
            self.turn(&Workload { requests: Vec::new(), length: 0, fresh: false }, None, wait);
        }
    }

    /// Visits one proxy for `ns`: requests go out at `pace`, then the rest is awaited. The
    /// latencies go to `latencies`.
    pub fn visit(
        &mut self,
        group: &mut Group,
        workload: &Workload,
        pace: Pace,
        ns: u64,
        clocks: &[ProcessClock],
        latencies: &mut Histogram,
    ) -> Slice {
        self.connect_missing(group);
        let cpu_before: u64 = clocks.iter().map(ProcessClock::used_ns).sum();
        let start = now_ns();
        self.run.begin(start, ns);
        self.start_all(group, workload, pace);
        let wait_ms = i32::from(self.sleeps && matches!(pace, Pace::Closed));
        let mut now = start;
        let mut last = start;
        loop {
            let busy = self.turn(workload, Some((&mut *group, pace)), wait_ms);
            let later = now_ns();
            if busy {
                last = later;
            } else {
                self.run.slice.idle_ns += later - now;
            }
            now = later;
            self.run.stopping |= now >= self.run.end;
            if let Pace::Open(interval) = pace {
                self.send_due(group, workload, interval, now);
            }
            if self.run.stopping && self.run.outstanding == 0 && !self.run.behind(pace) {
                break;
            }
            if now > self.run.end + STRAGGLER_NS || self.run.slice.failures > MAX_SLICE_FAILURES {
                self.give_up(group);
                break;
            }
        }
        let settled = last + SETTLE_NS;
        while now_ns() < settled {}
        let mut slice = std::mem::take(&mut self.run.slice);
        slice.wall_ns = last - start;
        slice.cpu_ns =
            clocks.iter().map(ProcessClock::used_ns).sum::<u64>().saturating_sub(cpu_before);
        std::mem::swap(latencies, &mut self.run.latencies);
        slice
    }

    fn start_all(&mut self, group: &mut Group, workload: &Workload, pace: Pace) {
        let clients = std::mem::take(&mut group.clients);
        match pace {
            Pace::Open(_) => self.run.idle.extend_from_slice(&clients),
            Pace::Closed => {
                for &client in &clients {
                    self.run.outstanding += 1;
                    self.start(client, group, workload, now_ns());
                }
            }
        }
        group.clients = clients;
    }

    /// Sends what is due by `now`, as long as connections are free. What is not sent stays due.
    fn send_due(&mut self, group: &mut Group, workload: &Workload, interval: u64, now: u64) {
        while self.run.due <= now && self.run.due < self.run.end {
            let Some(client) = self.run.idle.pop() else { return };
            let due = self.run.due;
            self.run.due += interval;
            self.run.outstanding += 1;
            self.start(client, group, workload, due);
        }
    }

    fn connect_missing(&mut self, group: &Group) {
        for &client in &group.clients {
            if self.clients[client as usize].socket.is_none()
                && let Err(error) = self.connect(client)
            {
                self.tell(format!("connect to port {}: {error}", group.port));
            }
        }
        // Let the proxy accept them all before its clock is read.
        if !group.clients.is_empty() {
            self.rest(1_000_000);
        }
    }

    fn connect(&mut self, index: u32) -> io::Result<()> {
        let client = &mut self.clients[index as usize];
        let socket = Socket::connect(client.source, client.port)?;
        self.epoll.add(&socket, CLIENT | u64::from(index))?;
        client.socket = Some(socket);
        client.phase = Phase::Idle;
        client.partial.clear();
        Ok(())
    }

    /// One turn of the loop; whether anything happened.
    fn turn(
        &mut self,
        workload: &Workload,
        mut visited: Option<(&mut Group, Pace)>,
        timeout_ms: i32,
    ) -> bool {
        let mut events = std::mem::take(&mut self.events);
        let n = self.epoll.wait(&mut events, timeout_ms);
        for event in &events[..n] {
            let index = event.u64 as u32;
            let gone = event.events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
            match event.u64 & KIND {
                CLIENT => match &mut visited {
                    Some((group, pace)) => {
                        self.on_client(index, gone != 0, workload, group, *pace);
                    }
                    None => self.on_idle_client(index),
                },
                BACKEND => self.on_backend(index, gone != 0),
                _ => self.on_listener(index as usize),
            }
        }
        self.events = events;
        n > 0
    }

    fn on_listener(&mut self, listener: usize) {
        while let Ok(socket) = self.listeners[listener].accept() {
            self.accepted[listener] += 1;
            let index = self.free_backends.pop().unwrap_or_else(|| {
                self.backends.push(None);
                self.backends.len() as u32 - 1
            });
            if self.epoll.add(&socket, BACKEND | u64::from(index)).is_ok() {
                self.backends[index as usize] = Some(Connection::new(socket));
            }
        }
    }

    fn on_backend(&mut self, index: u32, gone: bool) {
        let Some(connection) = &mut self.backends[index as usize] else { return };
        if connection.on_event(gone, &mut self.scratch, &self.answers) == Fate::Close {
            self.backends[index as usize] = None;
            self.free_backends.push(index);
        }
    }

    /// A client that is not being visited: bytes or an end-of-file close it.
    fn on_idle_client(&mut self, index: u32) {
        let client = &mut self.clients[index as usize];
        let Some(socket) = &client.socket else { return };
        let blocked =
            matches!(socket.recv(&mut self.scratch), Err(error) if net::would_block(&error));
        if !blocked {
            client.socket = None;
        }
    }

    fn on_client(
        &mut self,
        index: u32,
        gone: bool,
        workload: &Workload,
        group: &mut Group,
        pace: Pace,
    ) {
        match self.clients[index as usize].phase {
            Phase::Idle => return self.on_idle_client(index),
            Phase::Sending => self.send(index, workload),
            Phase::Waiting | Phase::Closing => {}
        }
        if let Some(outcome) = self.receive(index, gone, workload) {
            self.finish(index, outcome, workload, group, pace);
        }
    }

    /// Sends the next request on a connection.
    fn start(&mut self, index: u32, group: &mut Group, workload: &Workload, started: u64) {
        let client = &mut self.clients[index as usize];
        client.request = group.next_request;
        group.next_request = (group.next_request + 1) % workload.requests.len();
        client.sent = 0;
        client.started = started;
        client.in_body = false;
        client.phase = Phase::Sending;
        self.send(index, workload);
    }

    fn send(&mut self, index: u32, workload: &Workload) {
        let client = &mut self.clients[index as usize];
        let Some(socket) = &client.socket else { return };
        let request = &workload.requests[client.request];
        while client.sent < request.len() {
            match socket.send(&request[client.sent..]) {
                Ok(n) => client.sent += n,
                // Not writable yet, or broken: then the edge that says so is on its way.
                Err(_) => return,
            }
        }
        client.phase = Phase::Waiting;
    }

    /// Reads what is there; `Some` when the request is over.
    fn receive(&mut self, index: u32, gone: bool, workload: &Workload) -> Option<Outcome> {
        let client = &mut self.clients[index as usize];
        loop {
            let Some(socket) = &client.socket else { return Some(Err("no connection")) };
            // A big body is dropped unread, once its head is known to be right.
            let big = client.in_body && client.left > SCRATCH;
            let result =
                if big { socket.discard(client.left) } else { socket.recv(&mut self.scratch) };
            let received = match result {
                Ok(0) if client.phase == Phase::Closing => return Some(Ok(Done::Closed)),
                Ok(0) => return Some(Err("closed before the whole response")),
                Ok(n) => n,
                Err(error) if net::would_block(&error) => return None,
                Err(_) => return Some(Err("reset")),
            };
            let drained = received < if big { client.left } else { SCRATCH };
            let outcome = if big {
                client.left -= received;
                (client.left == 0).then_some(Ok(Done::Answered))
            } else {
                client.take(&self.scratch[..received], &self.body, workload)
            };
            match outcome {
                Some(Ok(Done::Answered)) if workload.fresh => {
                    client.phase = Phase::Closing;
                    self.run.count(client);
                    // Most often the end-of-file is there already.
                    continue;
                }
                Some(Ok(done)) => {
                    self.run.count(client);
                    return Some(Ok(done));
                }
                Some(failure) => return Some(failure),
                None if drained && !gone => return None,
                None => {}
            }
        }
    }

    fn finish(
        &mut self,
        index: u32,
        outcome: Outcome,
        workload: &Workload,
        group: &mut Group,
        pace: Pace,
    ) {
        let client = &mut self.clients[index as usize];
        client.phase = Phase::Idle;
        if let Err(why) = outcome {
            self.run.slice.failures += 1;
            let port = client.port;
            client.socket = None;
            self.tell(format!("port {port}: {why}"));
        }
        let client = &mut self.clients[index as usize];
        if workload.fresh {
            client.socket = None;
        }
        if self.run.stopping || matches!(pace, Pace::Open(_)) {
            self.run.outstanding -= 1;
        }
        if client.socket.is_none()
            && (!self.run.stopping || matches!(pace, Pace::Open(_)))
            && let Err(error) = self.connect(index)
        {
            self.run.slice.failures += 1;
            self.tell(format!("connect to port {}: {error}", group.port));
        }
        match pace {
            Pace::Open(_) => self.run.idle.push(index),
            Pace::Closed if !self.run.stopping => {
                let now = self.run.last_count;
                self.start(index, group, workload, now);
            }
            Pace::Closed => {}
        }
    }

    /// What is still in flight failed.
    fn give_up(&mut self, group: &Group) {
        for &index in &group.clients {
            let client = &mut self.clients[index as usize];
            if client.phase != Phase::Idle {
                client.phase = Phase::Idle;
                client.socket = None;
                self.run.slice.failures += 1;
            }
        }
        self.tell(format!("port {}: requests given up", group.port));
    }

    fn tell(&mut self, what: String) {
        if self.told.len() < TOLD_FAILURES {
            self.told.push(what);
        }
    }
}

enum Done {
    Answered,
    Closed,
}

type Outcome = Result<Done, &'static str>;

impl Run {
    fn begin(&mut self, start: u64, ns: u64) {
        self.end = start + ns;
        self.due = start;
        self.stopping = false;
        self.outstanding = 0;
        self.idle.clear();
        self.slice = Slice::default();
        self.latencies.clear();
    }

    /// Whether requests that were due are not yet sent.
    fn behind(&self, pace: Pace) -> bool {
        matches!(pace, Pace::Open(_)) && self.due < self.end
    }

    fn count(&mut self, client: &Client) {
        let now = now_ns();
        self.last_count = now;
        self.latencies.record(now.saturating_sub(client.started));
        self.slice.requests += 1;
    }
}

impl Client {
    /// Takes bytes of a response; `Some` when it is whole or wrong.
    fn take(&mut self, bytes: &[u8], body: &[u8], workload: &Workload) -> Option<Outcome> {
        if self.phase == Phase::Closing {
            return Some(Err("bytes behind the response"));
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
            return (bytes.len() > SCRATCH).then_some(Err("endless head"));
        };
        if head.status != 200 {
            return Some(Err(status_failure(head.status)));
        }
        if head.length != Some(workload.length) {
            return Some(Err("wrong Content-Length"));
        }
        self.in_body = true;
        self.left = workload.length;
        self.take_body(&bytes[head.bytes..], body, workload)
    }

    fn take_body(&mut self, bytes: &[u8], body: &[u8], workload: &Workload) -> Option<Outcome> {
        if bytes.len() > self.left {
            return Some(Err("bytes behind the response"));
        }
        // The pattern repeats every 8 bytes and `body` is longer than any one receive.
        let at = (workload.length - self.left) % 8;
        let checked = bytes.len().min(body.len() - at);
        if bytes[..checked] != body[at..at + checked] {
            return Some(Err("wrong body"));
        }
        self.left -= bytes.len();
        (self.left == 0).then_some(Ok(Done::Answered))
    }
}

fn status_failure(status: u16) -> &'static str {
    match status {
        404 => "status 404",
        429 => "status 429",
        400..=499 => "status 4xx",
        502 => "status 502",
        503 => "status 503",
        504 => "status 504",
        500..=599 => "status 5xx",
        _ => "status is not 200",
    }
}
