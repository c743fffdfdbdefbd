//! Scripted upstreams: plain blocking sockets that behave, or misbehave, as a test says.
//!
//! A script is a closure that runs once for each connection, on a thread of its own, with the
//! connection as a [`Peer`]. What arrives is recorded as it came. A script that panics fails the
//! test when its upstream is dropped.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::client::Client;
use super::gate::Watched;
use rustls::ServerConfig;

use super::tls::TlsLink;
use super::wire::{Broken, Content, Ends, Head, Link, Wire};
use super::{PATIENCE, STOPPED};

/// One request as an upstream got it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// Its head.
    pub head: Head,
    /// Its content, as far as the script read it.
    pub body: Vec<u8>,
    /// Sizes of its chunks as they came.
    pub chunks: Vec<usize>,
    /// Its trailer section.
    pub trailers: Vec<(String, String)>,
}

impl Received {
    /// The request target.
    pub fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap_or_default()
    }

    /// The first value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.head.value(name)
    }
}

#[derive(Default)]
struct State {
    requests: Vec<Received>,
    opened: usize,
    /// Connections on which the script saw the gateway's end of file or reset.
    ended: usize,
    /// Connections whose script is over and which are closed on this side.
    finished: usize,
    links: BTreeMap<usize, Link>,
    failures: Vec<String>,
}

struct Shared {
    state: Watched<State>,
    stopping: AtomicBool,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A server under a script's control.
pub struct Upstream {
    /// How a configuration names it.
    pub address: String,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts a server that runs the script on each connection.
    pub fn new(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", script)
    }

    /// The same on an address of its own, `[::1]:0` or `unix:/path`.
    pub fn on(address: &str, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let (socket, address) = match address.strip_prefix("unix:") {
            Some(path) => {
                let listener = UnixListener::bind(path).expect("a Unix socket");
                (Socket::Unix(listener, path.into()), address.to_owned())
            }
            None => {
                let listener = TcpListener::bind(address).expect("a port");
                let bound = listener.local_addr().expect("a bound socket").to_string();
                (Socket::Tcp(listener), bound)
            }
        };
        let shared =
            Arc::new(Shared { state: Watched::default(), stopping: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&socket, &accepting, &Arc::new(script)));
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// The same behind TLS.
    pub fn tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |peer| {
            if peer.begin_tls(&config) {
                script(peer);
            }
        })
    }

    /// Answers each request, on as many connections as wanted, with these bytes.
    pub fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::new(move |peer| peer.serve(&response))
    }

    /// Answers each request with 200 and this text.
    pub fn saying(text: &str) -> Self {
        Self::answering(ok(text))
    }

    /// Answers each request with its own body.
    pub fn echo() -> Self {
        Self::new(|peer| {
            while let Some(request) = peer.next_request() {
                let length = request.body.len();
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
                peer.send(&request.body);
            }
        })
    }

    /// The port, of a TCP upstream.
    pub fn port(&self) -> u16 {
        self.socket_address().port()
    }

    fn socket_address(&self) -> SocketAddr {
        self.address.parse().expect("a TCP upstream")
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.state.look(|s| s.requests.clone())
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.shared.state.look(|s| s.requests.len())
    }

    /// The only request so far.
    #[track_caller]
    pub fn only_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests seen by the upstream: {requests:#?}");
        requests.remove(0)
    }

    /// Waits until so many requests arrived (their heads at least); gives the last of them.
    #[track_caller]
    pub fn wait_for_request(&self, n: usize) -> Received {
        self.shared
            .state
            .wait_for(PATIENCE, |s| s.requests.get(n - 1).cloned())
            .unwrap_or_else(|| panic!("the upstream got {} of {n} requests", self.count()))
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.state.look(|s| s.opened)
    }

    /// Waits until scripts saw the gateway end so many connections.
    #[track_caller]
    pub fn wait_for_ends(&self, n: usize) {
        let ended = self.shared.state.wait_for(PATIENCE, |s| (s.ended >= n).then_some(()));
        let seen = self.shared.state.look(|s| s.ended);
        assert!(ended.is_some(), "the gateway ended {seen} of {n} upstream connections");
    }

    /// Waits until so many connections were closed by their scripts: what was sent, and the end,
    /// lies in the gateway's socket.
    #[track_caller]
    pub fn wait_for_finished(&self, n: usize) {
        let finished = self.shared.state.wait_for(PATIENCE, |s| (s.finished >= n).then_some(()));
        assert!(finished.is_some(), "fewer than {n} scripts are over");
    }

    /// Fails unless nothing ever arrived.
    #[track_caller]
    pub fn expect_untouched(&self) {
        let requests = self.requests();
        assert!(requests.is_empty(), "the upstream saw {requests:#?}");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.state.change(|s| {
            for link in std::mem::take(&mut s.links).into_values() {
                link.shutdown(Shutdown::Both);
            }
        });
        // Wakes the acceptor, which then sees that it should stop.
        match self.address.strip_prefix("unix:") {
            Some(path) => drop(UnixStream::connect(path)),
            None => drop(TcpStream::connect(&self.address)),
        }
        if let Some(acceptor) = self.acceptor.take() {
            // A failed acceptor shows up as missing connections.
            let _ = acceptor.join();
        }
        let failures = self.shared.state.look(|s| s.failures.clone());
        if !failures.is_empty() && !thread::panicking() {
            panic!("upstream scripts failed:\n{}", failures.join("\n"));
        }
    }
}

type Script = dyn Fn(&mut Peer) + Send + Sync;

fn accept<S: Fn(&mut Peer) + Send + Sync + 'static>(
    socket: &Socket,
    shared: &Arc<Shared>,
    script: &Arc<S>,
) {
    let mut connections = Vec::new();
    loop {
        let link = match socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().expect("accept");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                Link::Tcp(stream)
            }
            Socket::Unix(listener, _) => Link::Unix(listener.accept().expect("accept").0),
        };
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        let kept = link.try_clone().expect("a second handle");
        let number = shared.state.change(|s| {
            s.opened += 1;
            s.links.insert(s.opened - 1, kept);
            s.opened - 1
        });
        let script: Arc<Script> = Arc::clone(script) as Arc<Script>;
        let shared = Arc::clone(shared);
        connections.push(thread::spawn(move || {
            let mut peer =
                Peer { number, wire: Wire::new(link), shared, ended: false, resets: false };
            let outcome = catch_unwind(AssertUnwindSafe(|| script(&mut peer)));
            peer.finish(outcome.err());
        }));
    }
    if let Socket::Unix(_, path) = socket {
        // The directory goes with the test anyway.
        let _ = std::fs::remove_file(path);
    }
    for connection in connections {
        // Its failure is in the state already.
        let _ = connection.join();
    }
}

/// The gateway, seen from an upstream: one connection.
pub struct Peer {
    /// Which connection this is, from 0.
    pub number: usize,
    wire: Wire,
    shared: Arc<Shared>,
    ended: bool,
    resets: bool,
}

impl Peer {
    /// Takes the PROXY header that the connection begins with, of either version; `None` where it
    /// begins with something else. Lengths only: what it says is for the test to judge.
    pub fn proxy_header(&mut self) -> Option<Vec<u8>> {
        self.wire.proxy_header()
    }

    /// Reads a request whole; fails if none comes.
    pub fn request(&mut self) -> Received {
        self.next_request().expect("a request, not the end of the connection")
    }

    /// Reads a request whole; `None` if the gateway ended the connection instead.
    pub fn next_request(&mut self) -> Option<Received> {
        let head = self.next_head()?;
        self.body(&head);
        self.shared
            .state
            .look(|s| s.requests.iter().rfind(|r| r.connection == self.number).cloned())
    }

    /// Reads a head and leaves the body.
    pub fn head(&mut self) -> Head {
        self.next_head().expect("a request, not the end of the connection")
    }

    /// Reads a head and leaves the body; `None` if the gateway ended the connection instead.
    pub fn next_head(&mut self) -> Option<Head> {
        let head = match self.wire.head() {
            Ok(head) => head,
            Err(Broken::Closed | Broken::Reset) => {
                self.end();
                return None;
            }
            Err(_) if self.stopping() => return None,
            Err(broken) => panic!("no request: {broken:?}"),
        };
        let request = Received {
            connection: self.number,
            head: head.clone(),
            body: Vec::new(),
            chunks: Vec::new(),
            trailers: Vec::new(),
        };
        self.shared.state.change(|s| s.requests.push(request));
        Some(head)
    }

    /// Reads the body that belongs to a head.
    pub fn body(&mut self, head: &Head) -> Vec<u8> {
        self.try_body(head).expect("the whole body")
    }

    /// Reads the body that belongs to a head, or says how it broke off.
    pub fn try_body(&mut self, head: &Head) -> Result<Vec<u8>, Broken> {
        let ends = Ends::by(head, Ends::None)?;
        let content = self.wire.content(ends).inspect_err(|_| self.end())?;
        self.record(content.clone());
        Ok(content.body)
    }

    fn record(&mut self, content: Content) {
        let number = self.number;
        self.shared.state.change(|s| {
            if let Some(request) = s.requests.iter_mut().rfind(|r| r.connection == number) {
                request.body = content.body;
                request.chunks = content.chunks;
                request.trailers = content.trailers;
            }
        });
    }

    /// Another handle to its connection, from which nothing was read yet.
    pub(super) fn second_wire(&self) -> Wire {
        Wire::new(self.wire.link.try_clone().expect("a second handle"))
    }

    /// Another handle to its socket.
    pub(super) fn socket(&self) -> TcpStream {
        match &self.wire.link {
            Link::Tcp(stream) => stream.try_clone().expect("a second handle"),
            _ => panic!("a plain TCP connection"),
        }
    }

    /// Begins TLS as its server; whether that came to something.
    pub fn begin_tls(&mut self, config: &Arc<ServerConfig>) -> bool {
        let Link::Tcp(stream) = &self.wire.link else { return false };
        let stream = stream.try_clone().expect("a second handle");
        match TlsLink::server(stream, config) {
            Ok(link) => {
                self.wire = Wire::new(Link::Tls(link.into()));
                true
            }
            Err(_) => false,
        }
    }

    /// The address that the gateway connected to.
    pub fn own_address(&self) -> String {
        match &self.wire.link {
            Link::Tcp(stream) => stream.local_addr().expect("a bound socket").to_string(),
            _ => String::new(),
        }
    }

    /// Reads one chunk of a request body.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.wire.chunk().expect("a chunk")
    }

    /// Reads that many bytes.
    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        self.wire.exactly(n).expect("that many bytes")
    }

    /// Reads that many bytes; `None` if the connection ended before.
    pub fn try_exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        match self.wire.exactly(n) {
            Ok(bytes) => Some(bytes),
            Err(Broken::TimedOut) if !self.stopping() => panic!("neither bytes nor an end"),
            Err(_) => {
                self.end();
                None
            }
        }
    }

    /// Reads that many bytes and keeps none.
    pub fn discard(&mut self, n: u64) {
        self.wire.discard(n).expect("that many bytes");
    }

    /// Sends; fails if the gateway does not take it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.try_send(bytes)
            && !self.stopping()
        {
            panic!("the gateway does not take the bytes: {error}");
        }
    }

    /// Sends, or says why not.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        use std::io::Write;
        self.wire.link.write_all(bytes.as_ref())
    }

    /// Writes copies of `piece` until the gateway has taken none for [`STOPPED`] or `most` bytes
    /// went; returns the bytes it took.
    pub fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        use std::io::Write;
        self.wire.link.patience(STOPPED);
        let mut taken = 0;
        while taken < most {
            match self.wire.link.write(piece) {
                Ok(n) => taken += n as u64,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.wire.link.patience(PATIENCE);
        taken
    }

    /// Answers every request with these bytes until the gateway ends the connection.
    pub fn serve(&mut self, response: &[u8]) {
        while self.next_request().is_some() {
            self.send(response);
        }
    }

    /// Reads a request and answers it.
    pub fn answer(&mut self, response: impl AsRef<[u8]>) -> Received {
        let request = self.request();
        self.send(response);
        request
    }

    /// Reads a byte; `None` where the gateway ended the connection instead.
    pub fn next_byte(&mut self) -> Option<u8> {
        let byte = self.wire.exactly(1).ok().and_then(|bytes| bytes.first().copied());
        if byte.is_none() {
            self.end();
        }
        byte
    }

    /// The same connection, to be written to by another thread.
    pub fn twin(&self) -> Client {
        Client::on(self.wire.link.try_clone().expect("a second handle"))
    }

    /// Ends the sending side.
    pub fn half_close(&self) {
        self.wire.link.shutdown(Shutdown::Write);
    }

    /// Makes the close at the script's end a reset.
    pub fn reset_at_end(&mut self) {
        self.wire.link.reset_on_close();
        self.resets = true;
    }

    /// Reads to end of file and keeps nothing.
    pub fn drain(&mut self) -> Result<(), Broken> {
        self.wire.drain()
    }

    /// Waits until the gateway ends the connection; gives what it sent before.
    pub fn wait_closed(&mut self) -> Vec<u8> {
        let rest = match self.wire.rest() {
            Ok(rest) => rest,
            Err(Broken::Reset) => Vec::new(),
            Err(_) if self.stopping() => Vec::new(),
            Err(broken) => panic!("the gateway keeps the connection: {broken:?}"),
        };
        self.end();
        rest
    }

    /// Waits until the gateway ends the connection; whether it does so by a reset.
    pub fn is_reset(&mut self) -> bool {
        let reset = self.wire.drain() == Err(Broken::Reset);
        self.end();
        reset
    }

    /// Whether nothing comes for [`STOPPED`].
    pub fn is_silent(&mut self) -> bool {
        self.wire.link.patience(STOPPED);
        let silent = self.wire.ahead().is_empty() && self.wire.fill() == Err(Broken::TimedOut);
        self.wire.link.patience(PATIENCE);
        silent
    }

    /// Does nothing, and reads nothing, until the test is over.
    pub fn wait_stopped(&mut self) {
        let over = |s: &mut State| (!s.links.contains_key(&self.number)).then_some(());
        let _ = self.shared.state.wait_for(PATIENCE, over);
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) && !self.stopping() {
            self.shared.state.change(|s| s.ended += 1);
        }
    }

    fn stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }

    fn finish(self, panic: Option<Box<dyn std::any::Any + Send>>) {
        let text = panic.map(|p| {
            let text = p.downcast_ref::<String>().cloned();
            text.or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
        });
        let number = self.number;
        let stopping = self.stopping();
        // The second handle goes first: the last one closes the socket.
        let kept = self.shared.state.change(|s| {
            if let Some(text) = text.filter(|_| !stopping) {
                s.failures.push(format!("connection {number}: {text}"));
            }
            s.links.remove(&number)
        });
        drop(kept);
        if !self.resets {
            // A process that is just being started may hold the socket open for a moment more.
            self.wire.link.shutdown(Shutdown::Both);
        }
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.state.change(|s| s.finished += 1);
    }
}

/// A response with a length.
pub fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// An address that refuses connections for as long as this lives and nobody else listens there:
/// bound, not listening. Others may listen there meanwhile (SO_REUSEADDR, SO_REUSEPORT).
pub struct Refusing {
    /// How a configuration names it.
    pub address: String,
    socket: socket2::Socket,
}

impl Refusing {
    /// Takes a port.
    pub fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).expect("a port");
        // Only now: before, they would let the kernel choose a port that is shared already.
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.set_reuse_port(true).expect("SO_REUSEPORT");
        let bound = socket.local_addr().ok().and_then(|a| a.as_socket()).expect("an address");
        Self { address: bound.to_string(), socket }
    }
}

/// An address that neither accepts nor refuses: its queue is full.
pub struct Hanging {
    /// How a configuration names it.
    pub address: String,
    _queue: Vec<socket2::Socket>,
}

impl Hanging {
    /// Takes a port and fills its queue.
    pub fn new() -> Self {
        let Refusing { address, socket } = Refusing::new();
        socket.listen(0).expect("listen");
        let to: SocketAddr = address.parse().expect("a socket address");
        let mut queue = vec![socket];
        for _ in 0..4 {
            let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("a socket");
            filler.set_nonblocking(true).expect("non-blocking");
            // In progress for ever, which is the point.
            let _ = filler.connect(&to.into());
            queue.push(filler);
        }
        Self { address, _queue: queue }
    }
}

/// A path for a Unix socket below a test's folder.
pub fn unix_address(folder: &Path) -> String {
    format!("unix:{}", folder.join("app.sock").display())
}
