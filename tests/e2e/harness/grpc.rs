//! gRPC for tests: a scripted server and a client that see everything, heads, messages, trailers and
//! resets. Frames of HTTP/2 are the `h2` crate's; messages are any bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response, request, response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};

use super::PATIENCE;
use super::gate::Watched;

/// One thread turns the wheels of all tests; scripts and tests wait on theirs.
pub fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    })
}

/// Waits for work that has a deadline like all other.
#[track_caller]
pub fn wait<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = runtime().block_on(async { tokio::time::timeout(PATIENCE, work).await });
    done.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A message in its frame, not compressed.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// Takes the frames off the front of `bytes` that are whole: their flags and contents.
pub fn frames(bytes: &mut Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(header) = bytes.first_chunk::<5>() {
        let [flags, length @ ..] = *header;
        let end = 5 + u32::from_be_bytes(length) as usize;
        if bytes.len() < end {
            break;
        }
        found.push((flags, bytes[5..end].to_vec()));
        bytes.drain(..end);
    }
    found
}

/// What comes of a call's messages.
struct Messages {
    body: RecvStream,
    bytes: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
}

impl Messages {
    fn new(body: RecvStream) -> Self {
        Self { body, bytes: Vec::new(), ready: VecDeque::new() }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, h2::Error> {
        while self.ready.is_empty() {
            let Some(piece) = self.body.data().await else {
                assert!(self.bytes.is_empty(), "a message that was cut off");
                return Ok(None);
            };
            let piece = piece?;
            let _ = self.body.flow_control().release_capacity(piece.len());
            self.bytes.extend_from_slice(&piece);
            self.ready.extend(frames(&mut self.bytes).into_iter().map(|(_, message)| message));
        }
        Ok(self.ready.pop_front())
    }
}

#[derive(Default)]
struct State {
    heads: Vec<request::Parts>,
    connections: usize,
    failures: Vec<String>,
}

/// A server whose script runs once for each call, on a thread of its own.
pub struct GrpcServer {
    /// How a configuration names it.
    pub address: String,
    state: Arc<Watched<State>>,
}

impl GrpcServer {
    /// Starts it.
    pub fn new(script: impl Fn(&mut ServerCall) + Send + Sync + 'static) -> Self {
        let listener = wait("a port", TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let state = Arc::new(Watched::<State>::default());
        let script: Arc<Script> = Arc::new(script);
        runtime().spawn(accept(listener, Arc::clone(&state), script));
        Self { address, state }
    }

    /// Answers each call by its first message and status 0.
    pub fn echo() -> Self {
        Self::new(|call| {
            let message = call.next().expect("no reset").expect("a message");
            call.send(&message);
            call.finish(0, "");
        })
    }

    /// A configuration that takes calls on `web` and sends them here; `keys` are further ones of the
    /// route.
    pub fn behind(&self, keys: &str) -> String {
        let address = &self.address;
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
             protocols = [\"h2\", \"http/1.1\"]\n\
             [upstreams.app]\ntargets = [\"{address}\"]\nprotocol = \"h2\"\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n{keys}\n"
        )
    }

    /// How many calls came so far.
    pub fn count(&self) -> usize {
        self.state.look(|s| s.heads.len())
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.state.look(|s| s.connections)
    }

    /// The head of the only call so far.
    #[track_caller]
    pub fn only_head(&self) -> request::Parts {
        let mut heads = self.state.look(|s| s.heads.clone());
        assert_eq!(heads.len(), 1, "calls: {heads:#?}");
        heads.remove(0)
    }

    /// Waits until so many calls have come.
    #[track_caller]
    pub fn wait_for_call(&self, n: usize) {
        let come = self.state.wait_for(PATIENCE, |s| (s.heads.len() >= n).then_some(()));
        assert!(come.is_some(), "the server got {} of {n} calls", self.count());
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        let failures = self.state.look(|s| s.failures.clone());
        if !thread::panicking() {
            assert!(failures.is_empty(), "scripts failed: {failures:#?}");
        }
    }
}

type Script = dyn Fn(&mut ServerCall) + Send + Sync;

async fn accept(listener: TcpListener, state: Arc<Watched<State>>, script: Arc<Script>) {
    while let Ok((socket, _)) = listener.accept().await {
        state.change(|s| s.connections += 1);
        runtime().spawn(serve(socket, Arc::clone(&state), Arc::clone(&script)));
    }
}

async fn serve(socket: TcpStream, state: Arc<Watched<State>>, script: Arc<Script>) {
    let _ = socket.set_nodelay(true);
    let Ok(mut connection) = server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        state.change(|s| s.heads.push(head.clone()));
        let messages = Messages::new(body);
        let mut call = ServerCall { head, messages, respond, answer: None };
        let (script, state) = (Arc::clone(&script), Arc::clone(&state));
        thread::spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| script(&mut call))).is_err() {
                state.change(|s| s.failures.push(call.head.uri.to_string()));
            }
        });
    }
}

/// A call from the server's side.
pub struct ServerCall {
    /// Its head.
    pub head: request::Parts,
    messages: Messages,
    respond: SendResponse<Bytes>,
    answer: Option<SendStream<Bytes>>,
}

impl ServerCall {
    /// The client's next message; `None`: it sends no more.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, h2::Error> {
        wait("a message of the client", self.messages.next())
    }

    /// Sends the answer's head.
    pub fn begin(&mut self) {
        let head = Response::builder().header("content-type", "application/grpc+proto");
        let head = head.header("x-initial", "early").body(()).expect("a head");
        self.answer = self.respond.send_response(head, false).ok();
    }

    /// Sends a message, and the head before the first one.
    pub fn send(&mut self, message: &[u8]) {
        self.send_raw(framed(message));
    }

    /// Sends bytes that need be no whole message.
    pub fn send_raw(&mut self, bytes: Vec<u8>) {
        if self.answer.is_none() {
            self.begin();
        }
        // Who is gone does not matter to a script.
        let _ = self.answer.as_mut().map(|answer| answer.send_data(bytes.into(), false));
    }

    /// Ends the call by trailers.
    pub fn finish(&mut self, status: u16, message: &str) {
        if self.answer.is_none() {
            self.begin();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.into());
        trailers.insert("grpc-message", message.parse().expect("a value"));
        trailers.insert("x-trailing-bin", "AAEC".parse().expect("a value"));
        let _ = self.answer.as_mut().map(|answer| answer.send_trailers(trailers));
    }

    /// Ends the call by a head alone.
    pub fn refuse(&mut self, status: u16, message: &str) {
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", status)
            .header("grpc-message", message)
            .body(())
            .expect("a head");
        let _ = self.respond.send_response(head, true);
    }

    /// Answers in HTTP alone.
    pub fn say(&mut self, status: u16, content_type: &str, text: &str) {
        let head = Response::builder().status(status).header("content-type", content_type);
        let answer = self.respond.send_response(head.body(()).expect("a head"), false);
        let _ = answer
            .map(|mut answer| answer.send_data(Bytes::copy_from_slice(text.as_bytes()), true));
    }

    /// Resets the call's stream.
    pub fn reset(&mut self) {
        match &mut self.answer {
            Some(answer) => answer.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Waits until the gateway resets the stream, or its connection ends.
    #[track_caller]
    pub fn wait_reset(&mut self) -> Result<Reason, h2::Error> {
        match &mut self.answer {
            Some(answer) => wait("a reset", poll_fn(|cx| answer.poll_reset(cx))),
            None => wait("a reset", poll_fn(|cx| self.respond.poll_reset(cx))),
        }
    }
}

/// A client with one connection.
#[derive(Clone)]
pub struct GrpcClient {
    requests: client::SendRequest<Bytes>,
}

impl GrpcClient {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let requests = wait("a connection", async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let (requests, connection) =
                client::handshake(socket).await.map_err(io::Error::other)?;
            runtime().spawn(connection);
            Ok::<_, io::Error>(requests)
        });
        Self { requests: requests.expect("a connection") }
    }

    /// Begins a call.
    #[track_caller]
    pub fn call(&self, path: &str, fields: &[(&str, &str)]) -> ClientCall {
        let mut fields = fields.to_vec();
        if !fields.iter().any(|(name, _)| *name == "content-type") {
            fields.push(("content-type", "application/grpc+proto"));
        }
        self.request("POST", path, &fields)
    }

    /// Begins a request of any kind.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> ClientCall {
        let uri = format!("http://test.example{path}");
        let mut head = Request::builder().method(method).uri(uri).header("te", "trailers");
        for (name, value) in fields {
            head = head.header(*name, *value);
        }
        let head = head.body(()).expect("a head");
        let begun = wait("room for a stream", async {
            self.requests.clone().ready().await?.send_request(head, false)
        });
        let (answer, upload) = begun.expect("a stream");
        ClientCall { answer: Some(answer), upload, head: None, messages: None }
    }

    /// A call of one message, to its end.
    #[track_caller]
    pub fn unary(&self, path: &str, message: &[u8]) -> Outcome {
        let mut call = self.call(path, &[]);
        call.send(message);
        call.end();
        call.outcome()
    }
}

/// What a call came to.
#[derive(Debug)]
pub struct Outcome {
    /// The answer's head.
    pub head: response::Parts,
    /// Whether the stream ended with it.
    pub head_only: bool,
    /// Its messages.
    pub messages: Vec<Vec<u8>>,
    /// Its trailers.
    pub trailers: HeaderMap,
}

impl Outcome {
    /// The status, wherever it stands.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.said("grpc-status").parse().expect("a number")
    }

    /// What a field of trailers says, which without content stand in the head.
    #[track_caller]
    pub fn said(&self, name: &str) -> &str {
        let fields = if self.head_only { &self.head.headers } else { &self.trailers };
        let value = fields.get(name).unwrap_or_else(|| panic!("no {name}: {self:#?}"));
        value.to_str().expect("text")
    }

    /// Checks that it is an error of the gateway's own: a head with everything in it.
    #[track_caller]
    pub fn expect_refusal(&self, status: u16) -> &Self {
        assert!(self.head_only, "{self:#?}");
        assert_eq!(self.head.status, 200);
        assert_eq!(self.head.headers["content-type"], "application/grpc");
        assert!(self.head.headers.contains_key("grpc-message"), "{self:#?}");
        assert!(!self.head.headers.contains_key("content-length"), "{self:#?}");
        assert!(self.head.headers.contains_key("proxy-status"), "{self:#?}");
        assert_eq!(self.status(), status, "{self:#?}");
        self
    }
}

/// A call from the client's side.
pub struct ClientCall {
    answer: Option<client::ResponseFuture>,
    upload: SendStream<Bytes>,
    head: Option<response::Parts>,
    messages: Option<Messages>,
}

impl ClientCall {
    /// Sends a message.
    pub fn send(&mut self, message: &[u8]) {
        self.send_raw(framed(message));
    }

    /// Sends bytes that need be no whole message. The gateway may have ended the stream already.
    pub fn send_raw(&mut self, bytes: Vec<u8>) {
        let _ = self.upload.send_data(bytes.into(), false);
    }

    /// Says that there are no more.
    pub fn end(&mut self) {
        let _ = self.upload.send_data(Bytes::new(), true);
    }

    /// Gives the call up.
    pub fn cancel(&mut self) {
        self.upload.send_reset(Reason::CANCEL);
    }

    /// Waits for the answer's head; `true`: it is all there is.
    pub fn begin(&mut self) -> Result<bool, h2::Error> {
        if let Some(answer) = self.answer.take() {
            let (head, body) = wait("an answer", answer)?.into_parts();
            (self.head, self.messages) = (Some(head), Some(Messages::new(body)));
        }
        Ok(self.messages.as_ref().is_some_and(|messages| messages.body.is_end_stream()))
    }

    /// The next message.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, h2::Error> {
        self.begin()?;
        let messages = self.messages.as_mut().expect("an answer has begun");
        wait("a message of the server", messages.next())
    }

    /// The next message, which must come.
    #[track_caller]
    pub fn expect(&mut self) -> Vec<u8> {
        self.next().expect("no reset").expect("a message")
    }

    /// Reads to the end.
    #[track_caller]
    pub fn outcome(mut self) -> Outcome {
        let head_only = self.begin().expect("an answer");
        let mut all = Vec::new();
        while let Some(message) = self.next().expect("no reset") {
            all.push(message);
        }
        let messages = self.messages.as_mut().expect("an answer has begun");
        let trailers = wait("trailers", messages.body.trailers()).expect("no reset");
        let head = self.head.take().expect("an answer has begun");
        Outcome { head, head_only, messages: all, trailers: trailers.unwrap_or_default() }
    }

    /// The status of the answer's head.
    pub fn head_status(&self) -> u16 {
        self.head.as_ref().expect("an answer has begun").status.as_u16()
    }

    /// The answer's content, to its end.
    #[track_caller]
    pub fn bytes(mut self) -> Vec<u8> {
        self.begin().expect("an answer");
        let messages = self.messages.as_mut().expect("an answer has begun");
        let all = wait("the content", async {
            let mut all = Vec::new();
            while let Some(piece) = messages.body.data().await {
                let piece = piece?;
                let _ = messages.body.flow_control().release_capacity(piece.len());
                all.extend_from_slice(&piece);
            }
            Ok::<_, h2::Error>(all)
        });
        all.expect("no reset")
    }

    /// The trailers behind a message that was cut off.
    #[track_caller]
    pub fn trailers_after_a_cut(mut self) -> HeaderMap {
        let messages = self.messages.as_mut().expect("an answer has begun");
        let trailers = wait("trailers", async {
            while let Some(piece) = messages.body.data().await {
                let _ = messages.body.flow_control().release_capacity(piece?.len());
            }
            messages.body.trailers().await
        });
        trailers.expect("no reset").expect("trailers")
    }
}
