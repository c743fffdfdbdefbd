//! One thread, one epoll: the clients of every proxy and the backend behind them.
//!
//! It does not sleep while a slice runs (unless told to): over the loopback device whoever sends
//! pays for waking the receiver, which no proxy does behind a network card.

use std::io;
use std::net::Ipv4Addr;

use crate::backend::{Backend, Fate, Kitchen, Speaks, body_byte};
use crate::client::{Client, Outcome, Phase, Workload};
use crate::histogram::Histogram;
use crate::machine::{ProcessClock, now_ns};
use crate::net::{self, Epoll, Event, Socket};
use crate::wire::{SCRATCH, Scratch};

/// How long requests in flight at a slice's end may take before they count as failed.
const STRAGGLER_NS: u64 = 3_000_000_000;
/// After this many failures a slice is given up.
const MAX_SLICE_FAILURES: u64 = 200;
/// Between the last response and reading the proxy's clock: it must have gone to sleep.
const SETTLE_NS: u64 = 300_000;
/// Failures that are told in words.
const TOLD_FAILURES: usize = 5;
/// How long connections may take to open, with all handshakes.
const OPEN_WITHIN_NS: u64 = 5_000_000_000;

const LISTENER: u64 = 0;
const CLIENT: u64 = 1 << 32;
const BACKEND: u64 = 2 << 32;
const KIND: u64 = !0 << 32;

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
    scratch: Scratch,
    body: Vec<u8>,
    kitchen: Kitchen,
    listeners: Vec<(Socket, Speaks)>,
    backends: Vec<Option<Backend>>,
    free_backends: Vec<u32>,
    clients: Vec<Client>,
    free_clients: Vec<u32>,
    run: Run,
    /// Starts of exchanges that were completed by one event.
    done: Vec<u64>,
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
            scratch: Scratch::default(),
            body: (0..SCRATCH + 8).map(body_byte).collect(),
            kitchen: Kitchen::new()?,
            listeners: Vec::new(),
            backends: Vec::new(),
            free_backends: Vec::new(),
            clients: Vec::new(),
            free_clients: Vec::new(),
            run: Run::default(),
            done: Vec::new(),
            told: Vec::new(),
            sleeps: false,
            accepted: Vec::new(),
        })
    }

    /// Opens a backend on a free port; returns its index and port.
    pub fn add_backend(&mut self, speaks: Speaks) -> io::Result<(usize, u16)> {
        let socket = Socket::listen(0)?;
        let port = socket.port()?;
        self.epoll.add(&socket, LISTENER | self.listeners.len() as u64)?;
        self.listeners.push((socket, speaks));
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
                self.place(Client::new(source, port))
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
            self.clients[index as usize].hang_up();
            self.free_clients.push(index);
        }
    }

    /// How many of a group's connections are open.
    pub fn open_connections(&self, group: &Group) -> usize {
        group.clients.iter().filter(|&&c| self.clients[c as usize].wire.is_some()).count()
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
            self.turn(None, wait);
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
        // With a handshake for each request its cost belongs to the visit.
        if workload.tls.is_none() || !workload.fresh {
            self.open(group, workload);
        }
        let cpu_before: u64 = clocks.iter().map(ProcessClock::used_ns).sum();
        let start = now_ns();
        self.run.begin(start, ns);
        self.start_all(group, workload, pace);
        let wait_ms = i32::from(self.sleeps && matches!(pace, Pace::Closed));
        let mut now = start;
        let mut last = start;
        loop {
            let busy = self.turn(Some((workload, &mut *group, pace)), wait_ms);
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
                    self.run.outstanding += workload.talk.lanes() as u32;
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

    /// Connects what is not connected and waits until all handshakes are over.
    fn open(&mut self, group: &Group, workload: &Workload) {
        for &client in &group.clients {
            if self.clients[client as usize].wire.is_none() {
                self.connect(client, workload);
            }
        }
        if group.clients.is_empty() {
            return;
        }
        // Let the proxy accept them all before its clock is read.
        self.rest(1_000_000);
        let end = now_ns() + OPEN_WITHIN_NS;
        while now_ns() < end && group.clients.iter().any(|&client| self.is_opening(client)) {
            self.turn(None, 1);
        }
    }

    fn is_opening(&self, index: u32) -> bool {
        let client = &self.clients[index as usize];
        client.wire.is_some() && !client.is_open()
    }

    /// Makes one connection for one request; the error says what went wrong.
    pub fn try_once(&mut self, port: u16, workload: &Workload) -> Result<(), String> {
        let mut group = self.group(port, 1, 1);
        self.open(&group, workload);
        let client = &self.clients[group.clients[0] as usize];
        let mut outcome = if client.is_open() { Ok(()) } else { Err("no connection") };
        if outcome.is_ok() {
            let mut latencies = Histogram::default();
            let slice = self.visit(&mut group, workload, Pace::Closed, 0, &[], &mut latencies);
            outcome = if slice.failures == 0 { Ok(()) } else { Err("no right answer") };
        }
        self.disband(group);
        let told = self.take_told().pop();
        outcome.map_err(|why| told.unwrap_or(why.into()))
    }

    fn connect(&mut self, index: u32, workload: &Workload) {
        let client = &mut self.clients[index as usize];
        let socket = client.connect(workload);
        let added = socket.and_then(|socket| self.epoll.add(socket, CLIENT | u64::from(index)));
        if let Err(error) = added {
            client.hang_up();
            self.run.slice.failures += 1;
            let port = client.port;
            self.tell(format!("connect to port {port}: {error}"));
        }
    }

    /// One turn of the loop; whether anything happened.
    fn turn(
        &mut self,
        mut visited: Option<(&Workload, &mut Group, Pace)>,
        timeout_ms: i32,
    ) -> bool {
        let mut events = std::mem::take(&mut self.events);
        let n = self.epoll.wait(&mut events, timeout_ms);
        for event in &events[..n] {
            let index = event.u64 as u32;
            let gone = event.events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
            match event.u64 & KIND {
                CLIENT if self.clients[index as usize].has_session() => {
                    let workload = visited.as_ref().map(|(workload, _, _)| *workload);
                    self.on_session(index, gone != 0, workload);
                }
                CLIENT => match &mut visited {
                    Some((workload, group, pace)) => {
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
        let speaks = self.listeners[listener].1;
        while let Ok(socket) = self.listeners[listener].0.accept() {
            self.accepted[listener] += 1;
            let index = self.free_backends.pop().unwrap_or_else(|| {
                self.backends.push(None);
                self.backends.len() as u32 - 1
            });
            if self.epoll.add(&socket, BACKEND | u64::from(index)).is_ok() {
                self.backends[index as usize] = Some(Backend::new(socket, speaks));
            }
        }
    }

    fn on_backend(&mut self, index: u32, gone: bool) {
        let Some(connection) = &mut self.backends[index as usize] else { return };
        if connection.on_event(gone, &mut self.scratch.plain, &self.kitchen) == Fate::Close {
            self.backends[index as usize] = None;
            self.free_backends.push(index);
        }
    }

    /// A client that is not being visited: content or an end-of-file close it, a handshake goes on.
    fn on_idle_client(&mut self, index: u32) {
        let client = &mut self.clients[index as usize];
        let Some(wire) = &mut client.wire else { return };
        let Err(error) = wire.recv(&mut self.scratch) else { return client.hang_up() };
        if !net::would_block(&error) {
            client.hang_up();
            if error.kind() == io::ErrorKind::Other {
                let port = client.port;
                self.tell(format!("port {port}: {error}"));
            }
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
        let client = &mut self.clients[index as usize];
        match client.phase {
            Phase::Idle => return self.on_idle_client(index),
            Phase::Sending => client.send(workload),
            Phase::Waiting | Phase::Closing => {}
        }
        let (scratch, run) = (&mut self.scratch, &mut self.run);
        let outcome =
            client.receive(gone, scratch, &self.body, workload, |client| run.count(client.started));
        if let Some(outcome) = outcome {
            self.finish(index, outcome, workload, group, pace);
        } else if client.phase == Phase::Sending {
            // A handshake may have ended, for which the request waited.
            client.send(workload);
        }
    }

    /// An event on a connection that carries more than requests and responses.
    fn on_session(&mut self, index: u32, gone: bool, visited: Option<&Workload>) {
        let client = &mut self.clients[index as usize];
        let heard = client.converse(gone, &mut self.scratch, &mut self.done);
        for started in self.done.drain(..) {
            self.run.count(started);
            if self.run.stopping {
                self.run.outstanding -= 1;
            } else {
                client.begin_exchange(self.run.last_count);
            }
        }
        client.flush();
        if let Err(why) = heard {
            self.break_off(index, &why, visited);
        }
    }

    /// A connection failed, with all that was under way on it.
    fn break_off(&mut self, index: u32, why: &str, visited: Option<&Workload>) {
        let client = &mut self.clients[index as usize];
        let (port, lost, was_open) = (client.port, client.in_flight(), client.is_open());
        client.hang_up();
        if lost > 0 || !was_open {
            self.run.slice.failures += lost.max(1) as u64;
            self.tell(format!("port {port}: {why}"));
        }
        match visited {
            Some(workload) if !self.run.stopping => {
                self.connect(index, workload);
                let client = &mut self.clients[index as usize];
                (0..lost).for_each(|_| client.begin_exchange(self.run.last_count));
            }
            _ => self.run.outstanding = self.run.outstanding.saturating_sub(lost as u32),
        }
    }

    /// Sends the next request on a connection, or as many as it carries at a time.
    fn start(&mut self, index: u32, group: &mut Group, workload: &Workload, started: u64) {
        if self.clients[index as usize].wire.is_none() && workload.tls.is_some() {
            self.connect(index, workload);
        }
        let client = &mut self.clients[index as usize];
        if client.has_session() {
            (0..workload.talk.lanes()).for_each(|_| client.begin_exchange(started));
            return client.flush();
        }
        client.begin(group.next_request, started);
        group.next_request = (group.next_request + 1) % workload.requests.len();
        client.send(workload);
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
        let port = client.port;
        if workload.fresh || outcome.is_err() {
            client.hang_up();
        }
        let closed = client.wire.is_none();
        if let Err(why) = outcome {
            self.run.slice.failures += 1;
            self.tell(format!("port {port}: {why}"));
        }
        if self.run.stopping || matches!(pace, Pace::Open(_)) {
            self.run.outstanding -= 1;
        }
        if closed && (!self.run.stopping || matches!(pace, Pace::Open(_))) {
            self.connect(index, workload);
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
            let lost = client.in_flight() + usize::from(client.phase != Phase::Idle);
            if lost > 0 {
                client.phase = Phase::Idle;
                client.hang_up();
                self.run.slice.failures += lost as u64;
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

    fn count(&mut self, started: u64) {
        let now = now_ns();
        self.last_count = now;
        self.latencies.record(now.saturating_sub(started));
        self.slice.requests += 1;
    }
}
