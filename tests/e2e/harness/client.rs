//! A raw client: it sends the bytes it is told to and reads exactly one response at a time.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::tls::TlsLink;
use super::wire::{Broken, Content, Ends, Head, Link, Wire};
use super::{PATIENCE, STOPPED};

/// One response, read whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// Final status.
    pub status: u16,
    /// Its head.
    pub head: Head,
    /// Interim (1xx) heads that came before it.
    pub interim: Vec<Head>,
    /// Its content.
    pub body: Vec<u8>,
    /// Its trailer section.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.head.value(name)
    }

    /// Fails unless the status is the one given; shows the response.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}{}", self.shown_head(), self.text());
        self
    }

    /// Fails unless this is a gateway's own error with that status: problem text, Proxy-Status,
    /// request id.
    #[track_caller]
    pub fn expect_failure(self, status: u16) -> Self {
        let this = self.expect(status);
        assert!(this.head.has("proxy-status"), "no Proxy-Status: {}", this.shown_head());
        assert!(this.head.has("content-type"), "no Content-Type: {}", this.shown_head());
        this
    }

    fn shown_head(&self) -> String {
        super::wire::printable(&self.head.raw).replace("\\r\\n", "\n")
    }
}

/// A connection to the gateway.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("a connection to the gateway")
    }

    /// Connects, or says why not.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Self { wire: Wire::new(Link::Tcp(stream)) })
    }

    /// Connects and begins TLS for this name.
    #[track_caller]
    pub fn connect_tls(address: SocketAddr, tls: &Arc<ClientConfig>, name: &str) -> Self {
        Self::try_connect_tls(address, tls, name).expect("a handshake with the gateway")
    }

    /// Connects and begins TLS, or says why not.
    pub fn try_connect_tls(
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        TlsLink::client(stream, tls, name)
            .map(|link| Self { wire: Wire::new(Link::Tls(link.into())) })
    }

    /// The same after these bytes.
    #[track_caller]
    pub fn connect_tls_behind(
        address: SocketAddr,
        first: &[u8],
        tls: &Arc<ClientConfig>,
        name: &str,
    ) -> Self {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(first).expect("the gateway takes the bytes");
        let link = TlsLink::client(stream, tls, name).expect("a handshake with the gateway");
        Self { wire: Wire::new(Link::Tls(link.into())) }
    }

    /// Says that no more content comes, by TLS.
    pub fn say_end(&mut self) {
        if let Link::Tls(link) = &mut self.wire.link {
            link.say_end().expect("the gateway takes the alert");
        }
    }

    /// Bytes of TLS that stand for this content, not sent.
    pub fn record(&mut self, content: &[u8]) -> Vec<u8> {
        match &mut self.wire.link {
            Link::Tls(link) => link.record(content),
            _ => panic!("a plain connection"),
        }
    }

    /// Fails unless the gateway ends the connection, however it does that.
    #[track_caller]
    pub fn expect_ended(&mut self) {
        assert_ne!(self.wire.rest(), Err(Broken::TimedOut), "the connection goes on");
    }

    /// The TLS that was agreed on.
    pub fn tls(&self) -> &TlsLink {
        match &self.wire.link {
            Link::Tls(link) => link,
            _ => panic!("a plain connection"),
        }
    }

    /// Connects with a small receive buffer, so that a reader who does not read is soon felt.
    pub fn connect_narrow(address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )
        .expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("SO_RCVBUF");
        socket.set_send_buffer_size(16 * 1024).expect("SO_SNDBUF");
        socket.connect(&address.into()).expect("a connection to the gateway");
        Self { wire: Wire::new(Link::Tcp(socket.into())) }
    }

    /// What it reads and writes.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Connects from an address of this machine.
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)
                .expect("a socket");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
        socket.connect(&to.into()).expect("a connection to the gateway");
        Self { wire: Wire::new(Link::Tcp(socket.into())) }
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn once(address: SocketAddr, request: &str) -> Response {
        let mut client = Self::connect(address);
        client.send(request);
        client.response_to(request)
    }

    /// Sends; fails if the gateway does not take it.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the gateway takes the bytes");
    }

    /// Sends, or says why not.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.link.write_all(bytes.as_ref())
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub fn ask(&mut self, request: &str) -> Response {
        self.send(request);
        self.response_to(request)
    }

    /// `GET path` for a host.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n"))
    }

    /// Writes copies of `piece` until the gateway has taken none for [`STOPPED`] or `most` bytes
    /// went; returns the bytes it took.
    pub fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        self.wire.link.patience(STOPPED);
        let mut taken = 0;
        while taken < most {
            match self.wire.link.write(piece) {
                Ok(n) => taken += n as u64,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Stopped, or the gateway has had enough: its answer tells.
                Err(_) => break,
            }
        }
        self.wire.link.patience(PATIENCE);
        taken
    }

    /// Reads the response to a GET.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads the response to a request that begins with this text (a HEAD has no content).
    #[track_caller]
    pub fn response_to(&mut self, request: &str) -> Response {
        match self.try_response_to(request) {
            Ok(response) => response,
            Err(broken) => panic!("no response to {:.60?}: {broken:?}", request),
        }
    }

    /// Reads a response, or says why there is none.
    pub fn try_response(&mut self) -> Result<Response, Broken> {
        self.try_response_to("GET")
    }

    /// Reads a response, or says why there is none.
    pub fn try_response_to(&mut self, request: &str) -> Result<Response, Broken> {
        let mut interim = Vec::new();
        loop {
            let head = self.head()?;
            let status = status(&head)?;
            if status < 200 && status != 101 {
                interim.push(head);
                continue;
            }
            let ends = match status {
                204 | 304 => Ends::None,
                _ if request.starts_with("HEAD ") => Ends::None,
                _ => Ends::by(&head, Ends::AtClose)?,
            };
            let Content { body, trailers, .. } = self.wire.content(ends)?;
            return Ok(Response { status, head, interim, body, trailers });
        }
    }

    /// Reads one head, interim or final, and leaves its content.
    pub fn head(&mut self) -> Result<Head, Broken> {
        let head = self.wire.head()?;
        status(&head)?;
        Ok(head)
    }

    /// Reads one chunk of a response whose head was read; `None` for the last (trailers read).
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let chunk = self.wire.chunk().expect("a chunk");
        if chunk.is_none() {
            self.wire.trailers().expect("the end of the trailers");
        }
        chunk
    }

    /// Reads that many bytes.
    #[track_caller]
    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        self.wire.exactly(n).expect("that many bytes")
    }

    /// Reads that many bytes and keeps none.
    #[track_caller]
    pub fn discard(&mut self, n: u64) {
        self.wire.discard(n).expect("that many bytes");
    }

    /// The same connection, to be used by another thread.
    pub fn twin(&self) -> Self {
        Self::on(self.wire.link.try_clone().expect("a second handle"))
    }

    /// A connection that was made elsewhere.
    pub fn on(link: Link) -> Self {
        Self { wire: Wire::new(link) }
    }

    /// Reads to end of file and keeps nothing.
    pub fn drain(&mut self) -> Result<(), Broken> {
        self.wire.drain()
    }

    /// Reads to end of file.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        self.wire.rest()
    }

    /// Fails unless the gateway closes the connection without another byte.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        match self.wire.rest() {
            Ok(rest) => assert!(rest.is_empty(), "more bytes: {}", super::wire::printable(&rest)),
            // Unread bytes of ours make the close a reset.
            Err(Broken::Reset) => {}
            Err(broken) => panic!("not closed: {broken:?}"),
        }
    }

    /// Fails unless the connection is still open, with nothing to read, for [`STOPPED`].
    #[track_caller]
    pub fn expect_silence(&mut self) {
        assert!(self.wire.ahead().is_empty(), "bytes read before");
        self.wire.link.patience(STOPPED);
        assert_eq!(self.wire.fill(), Err(Broken::TimedOut), "silence");
        self.wire.link.patience(PATIENCE);
    }

    /// Where it connected from.
    pub fn address(&self) -> SocketAddr {
        self.wire.link.local_address().expect("a TCP connection")
    }

    /// Waits at most this long for each read and write.
    pub fn patience(&self, patience: Duration) {
        self.wire.link.patience(patience);
    }

    /// Ends the sending side.
    pub fn half_close(&self) {
        self.wire.link.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub fn reset(self) {
        self.wire.link.reset_on_close();
    }
}

fn status(head: &Head) -> Result<u16, Broken> {
    let bad = || Broken::Malformed(format!("status line {:?}", head.start));
    let rest = head.start.strip_prefix("HTTP/1.1 ").ok_or_else(bad)?;
    let (code, _reason) = rest.split_once(' ').ok_or_else(bad)?;
    code.parse().ok().filter(|c| (100..600).contains(c)).ok_or_else(bad)
}
