//! Tunnels over HTTP/2 (RFC 8441) at both of their ends, with calls that block like those of the other
//! ends. One thread drives every connection of them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode, request};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::timeout;

use super::gate::Watched;
use super::{PATIENCE, STOPPED};

fn driver() -> &'static Handle {
    static DRIVER: OnceLock<Handle> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            tell.send(runtime.handle().clone()).expect("somebody waits");
            runtime.block_on(std::future::pending::<()>());
        });
        told.recv().expect("a runtime")
    })
}

/// Waits for it, not for ever.
#[track_caller]
fn wait<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = driver().block_on(async { timeout(PATIENCE, work).await });
    done.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// One side of a tunnel: a stream both ways.
pub struct Talk {
    out: SendStream<Bytes>,
    content: RecvStream,
    ahead: VecDeque<u8>,
}

impl Talk {
    fn new(out: SendStream<Bytes>, content: RecvStream) -> Self {
        Self { out, content, ahead: VecDeque::new() }
    }

    /// Sends all of it.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the gateway takes the bytes");
    }

    /// Sends all of it, or says that the stream is over.
    #[track_caller]
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), h2::Error> {
        let mut bytes = Bytes::copy_from_slice(bytes.as_ref());
        while !bytes.is_empty() {
            let n = wait("room to send", room(&mut self.out, bytes.len()))?;
            self.out.send_data(bytes.split_to(n), false)?;
        }
        Ok(())
    }

    /// Sends pieces until the gateway has taken none for [`STOPPED`] or `most` bytes went; gives the
    /// bytes it took.
    pub fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        let mut taken = 0;
        while taken < most {
            let ready = driver()
                .block_on(async { timeout(STOPPED, room(&mut self.out, piece.len())).await });
            let Ok(Ok(n)) = ready else { break };
            let part = Bytes::copy_from_slice(&piece[..n]);
            self.out.send_data(part, false).expect("an open stream");
            taken += n as u64;
        }
        self.out.reserve_capacity(0);
        taken
    }

    /// Reads that many bytes.
    #[track_caller]
    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.ahead.len() < n {
            assert!(self.fill().expect("more bytes"), "the end after {:?}", self.ahead);
        }
        self.ahead.drain(..n).collect()
    }

    /// Reads that many bytes and keeps none.
    #[track_caller]
    pub fn discard(&mut self, mut n: u64) {
        while n > 0 {
            if self.ahead.is_empty() {
                assert!(self.fill().expect("more bytes"), "the end, {n} bytes too soon");
            }
            let part = self.ahead.len().min(usize::try_from(n).unwrap_or(usize::MAX));
            self.ahead.drain(..part);
            n -= part as u64;
        }
    }

    /// Reads to the end; the error is the reason of a reset.
    #[track_caller]
    pub fn rest(&mut self) -> Result<Vec<u8>, Option<Reason>> {
        while self.fill().map_err(|error| error.reason())? {}
        Ok(self.ahead.drain(..).collect())
    }

    /// Reads what comes; false at the end.
    #[track_caller]
    fn fill(&mut self) -> Result<bool, h2::Error> {
        match wait("content", async { self.content.data().await }) {
            None => Ok(false),
            Some(Err(error)) => Err(error),
            Some(Ok(bytes)) => {
                self.content.flow_control().release_capacity(bytes.len())?;
                self.ahead.extend(&bytes[..]);
                Ok(true)
            }
        }
    }

    /// Ends the sending side.
    #[track_caller]
    pub fn end(&mut self) {
        self.out.send_data(Bytes::new(), true).expect("an open stream");
    }

    /// Resets the stream.
    pub fn reset(&mut self) {
        self.out.send_reset(Reason::CANCEL);
    }
}

async fn room(out: &mut SendStream<Bytes>, wanted: usize) -> Result<usize, h2::Error> {
    out.reserve_capacity(wanted);
    loop {
        if out.capacity() > 0 {
            return Ok(out.capacity().min(wanted));
        }
        match std::future::poll_fn(|cx| out.poll_capacity(cx)).await {
            Some(room) => drop(room?),
            None => return Err(Reason::STREAM_CLOSED.into()),
        }
    }
}

/// An extended CONNECT for this path.
pub fn connecting(path: &str, protocol: &'static str) -> Request<()> {
    Request::connect(format!("http://test.example{path}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static(protocol))
        .body(())
        .expect("a request")
}

/// A client's connection.
pub struct Caller {
    requests: SendRequest<Bytes>,
    connection: AbortHandle,
}

impl Caller {
    /// Connects, and waits until the gateway says that it opens tunnels.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        wait("a connection", async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            // What one stream leaves unread takes no room from the others.
            let (requests, connection) = h2::client::Builder::new()
                .initial_connection_window_size(1 << 30)
                .handshake(stream)
                .await
                .expect("HTTP/2");
            let connection = driver().spawn(async { drop(connection.await) }).abort_handle();
            while !requests.is_extended_connect_protocol_enabled() {
                yield_now().await;
            }
            Self { requests, connection }
        })
    }

    /// Sends a head.
    #[track_caller]
    pub fn begin(&self, head: Request<()>) -> Begun {
        let ended = head.extensions().get::<Protocol>().is_none();
        let mut requests = wait("a stream", self.requests.clone().ready()).expect("a connection");
        let (answer, out) = requests.send_request(head, ended).expect("an open connection");
        Begun { answer, out }
    }

    /// Opens a tunnel.
    #[track_caller]
    pub fn tunnel(&self, path: &str) -> Talk {
        self.begin(connecting(path, "websocket")).granted().1
    }

    /// A plain request.
    #[track_caller]
    pub fn get(&self, path: &str) -> (StatusCode, String) {
        let uri = format!("http://test.example{path}");
        self.begin(Request::get(uri).body(()).expect("a request")).refused()
    }

    /// Closes the connection under its streams.
    pub fn cut(&self) {
        self.connection.abort();
    }
}

/// A request under way.
pub struct Begun {
    answer: ResponseFuture,
    /// Where content goes already.
    pub out: SendStream<Bytes>,
}

impl Begun {
    /// The answer, and the stream.
    #[track_caller]
    pub fn answer(self) -> (Response<()>, Talk) {
        let response = wait("an answer", self.answer).expect("an answer");
        let (parts, content) = response.into_parts();
        (Response::from_parts(parts, ()), Talk::new(self.out, content))
    }

    /// The answer's head and the tunnel that it grants.
    #[track_caller]
    pub fn granted(self) -> (Response<()>, Talk) {
        let (head, talk) = self.answer();
        assert_eq!(head.status(), 200, "{head:?}");
        (head, talk)
    }

    /// The answer whole.
    #[track_caller]
    pub fn refused(self) -> (StatusCode, String) {
        let (head, mut talk) = self.answer();
        let text = talk.rest().expect("the whole answer");
        (head.status(), String::from_utf8(text).expect("text"))
    }
}

/// One request, as a target got it.
pub struct Visit {
    /// Its head.
    pub head: request::Parts,
    content: RecvStream,
    respond: SendResponse<Bytes>,
}

impl Visit {
    /// Grants the tunnel that was asked for, with these fields.
    pub fn grant_with(mut self, fields: HeaderMap) -> Talk {
        assert_eq!(self.head.method, http::Method::CONNECT, "{:?}", self.head);
        let mut head = Response::new(());
        *head.headers_mut() = fields;
        let out = self.respond.send_response(head, false).expect("an open stream");
        Talk::new(out, self.content)
    }

    /// Answers, and gives the stream, which it does not end.
    pub fn answer(mut self, status: u16, text: &'static str) -> Talk {
        let head = Response::builder().status(status).body(()).expect("a head");
        let mut out = self.respond.send_response(head, false).expect("an open stream");
        out.send_data(Bytes::from_static(text.as_bytes()), true).expect("an open stream");
        Talk::new(out, self.content)
    }

    /// What comes before it is answered: whether that is nothing for [`STOPPED`].
    pub fn is_silent(&mut self) -> bool {
        driver().block_on(async { timeout(STOPPED, self.content.data()).await }).is_err()
    }
}

#[derive(Default)]
struct State {
    seen: Vec<request::Parts>,
    over: usize,
    failures: Vec<String>,
    connections: Vec<AbortHandle>,
}

/// A target that speaks HTTP/2. Its script runs once for each stream, on a thread of its own.
pub struct Origin {
    /// How a configuration names it.
    pub address: String,
    state: Arc<Watched<State>>,
    acceptor: AbortHandle,
}

type Script = Arc<dyn Fn(Visit) + Send + Sync>;

impl Origin {
    /// Starts one that opens tunnels.
    pub fn new(script: impl Fn(Visit) + Send + Sync + 'static) -> Self {
        Self::begin(true, Arc::new(script))
    }

    /// Starts one that opens none.
    pub fn without_tunnels(script: impl Fn(Visit) + Send + Sync + 'static) -> Self {
        Self::begin(false, Arc::new(script))
    }

    fn begin(tunnels: bool, script: Script) -> Self {
        let listener = wait("a port", TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let state = Arc::<Watched<State>>::default();
        let kept = state.clone();
        let accepting = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = serve(stream, tunnels, script.clone(), kept.clone());
                let connection = driver().spawn(served).abort_handle();
                kept.change(|s| s.connections.push(connection));
            }
        };
        Self { address, state, acceptor: driver().spawn(accepting).abort_handle() }
    }

    /// The heads of every request so far.
    pub fn seen(&self) -> Vec<request::Parts> {
        self.state.look(|s| s.seen.clone())
    }

    /// Waits until so many scripts are over.
    #[track_caller]
    pub fn wait_over(&self, n: usize) {
        let over = self.state.wait_for(PATIENCE, |s| (s.over >= n).then_some(()));
        assert!(over.is_some(), "fewer than {n} scripts are over");
    }

    /// Waits until so many requests have come.
    #[track_caller]
    pub fn wait_seen(&self, n: usize) {
        let seen = self.state.wait_for(PATIENCE, |s| (s.seen.len() >= n).then_some(()));
        assert!(seen.is_some(), "fewer than {n} requests have come");
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.acceptor.abort();
        let failures = self.state.change(|s| {
            s.connections.iter().for_each(AbortHandle::abort);
            s.failures.clone()
        });
        if !failures.is_empty() && !thread::panicking() {
            panic!("scripts failed:\n{}", failures.join("\n"));
        }
    }
}

async fn serve(stream: TcpStream, tunnels: bool, script: Script, state: Arc<Watched<State>>) {
    let _ = stream.set_nodelay(true);
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1000);
    if tunnels {
        settings.enable_connect_protocol();
    }
    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, content) = request.into_parts();
        state.change(|s| s.seen.push(head.clone()));
        let (script, state) = (script.clone(), state.clone());
        let visit = Visit { head, content, respond };
        thread::spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| script(visit)));
            let failure = outcome.err().map(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            });
            state.change(|s| {
                s.over += 1;
                s.failures.extend(failure.map(Option::unwrap_or_default));
            });
        });
    }
}
