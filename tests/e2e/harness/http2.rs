//! HTTP/2 for clients and upstreams of a test: the `h2` crate's machine, on one thread for all tests,
//! and waited for as everything here is waited for.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::caller::Ask;
use super::talk::{Piece, Talk};
use super::wire::{Broken, Ends, Head};
use super::{PATIENCE, STOPPED};

/// Where the machines run.
pub fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    })
}

/// Waits for some work, for so long.
pub fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, Broken> {
    let waited = runtime().block_on(async { tokio::time::timeout(patience, work).await });
    waited.map_err(|_| Broken::TimedOut)
}

/// Waits for some work.
pub fn wait<T>(work: impl Future<Output = T>) -> Result<T, Broken> {
    within(PATIENCE, work)
}

/// A socket, with or without TLS.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A blocking socket as one that the machines take.
pub async fn polled(socket: TcpStream) -> tokio::net::TcpStream {
    socket.set_nonblocking(true).expect("a socket that does not block");
    tokio::net::TcpStream::from_std(socket).expect("a socket")
}

/// Fields as they came, with the authority as `host` in front.
fn head(start: String, authority: Option<&str>, fields: &HeaderMap) -> Head {
    let text = |value: &[u8]| value.iter().map(|&b| char::from(b)).collect::<String>();
    let host = authority.map(|authority| ("host".to_owned(), authority.to_owned()));
    let others = fields.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    Head { start, fields: host.into_iter().chain(others).collect(), raw: Vec::new() }
}

/// A request's head.
pub fn request_head(request: &Request<RecvStream>) -> Head {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    head(format!("{} {path} HTTP/2", request.method()), authority, request.headers())
}

/// An answer's head.
pub fn response_head<T>(response: &Response<T>) -> Head {
    head(format!("HTTP/2 {} ", response.status().as_u16()), None, response.headers())
}

/// Fields of a test.
pub fn map(fields: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(name, value.parse().expect("a value"));
    }
    map
}

/// What an error says, as tests of broken messages know it.
pub fn broken(error: &h2::Error) -> Broken {
    match error.reason() {
        Some(reason) if error.is_reset() => Broken::Cut(format!("{reason:?}")),
        _ => Broken::Reset,
    }
}

/// A client's connection.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    /// Connects, as one who knows that HTTP/2 is spoken there.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::with(address, |builder| builder)
    }

    /// The same with settings of its own.
    #[track_caller]
    pub fn with(
        address: SocketAddr,
        set: impl Fn(&mut h2::client::Builder) -> &mut h2::client::Builder,
    ) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let mut builder = h2::client::Builder::new();
        set(&mut builder);
        let made = wait(async { Self::begin_on(polled(socket).await, &builder).await });
        made.expect("a handshake in time").expect("a handshake")
    }

    /// Connects and begins TLS, whose ALPN says what is spoken.
    #[track_caller]
    pub fn connect_tls(address: SocketAddr, tls: &Arc<ClientConfig>, name: &str) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        let mut tls = ClientConfig::clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let made = wait(async {
            let connector = TlsConnector::from(Arc::new(tls));
            let stream = connector.connect(name, polled(socket).await).await.expect("TLS");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "ALPN");
            Self::begin_on(stream, &h2::client::Builder::new()).await
        });
        made.expect("a handshake in time").expect("a handshake")
    }

    async fn begin_on(
        io: impl Io + 'static,
        builder: &h2::client::Builder,
    ) -> Result<Self, h2::Error> {
        let (requests, machine) = builder.handshake::<_, Bytes>(io).await?;
        Ok(Self { requests, driver: tokio::spawn(machine) })
    }

    /// Begins a request, once the gateway allows another stream.
    pub fn begin(&self, ask: &Ask) -> Result<Call, Broken> {
        self.begin_with(ask, &[])
    }

    /// The same with content of some bytes, which goes out with the head.
    pub fn begin_with(&self, ask: &Ask, body: &[u8]) -> Result<Call, Broken> {
        let request = ask.request();
        let ended = ask.sends == Ends::None;
        let (requests, body) = (self.requests.clone(), Bytes::copy_from_slice(body));
        let work = async move {
            let mut requests = requests.ready().await?;
            let (response, mut send) = requests.send_request(request, ended)?;
            if !body.is_empty() {
                send.send_data(body, true)?;
            }
            Ok::<_, h2::Error>((response, send))
        };
        // On the machine's own thread, so that both are there at its next turn.
        let begun = wait(runtime().spawn(work))?.expect("no panic");
        let (response, send) = begun.map_err(|error| broken(&error))?;
        let two = Two { send: Some(send), body: None };
        Ok(Call { response, two, interim: Vec::new() })
    }

    /// One request and its answer, whole.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> super::Response {
        let mut call = self.begin(ask).expect("a stream");
        call.response().expect("an answer")
    }

    /// Waits for the end of the connection: whether it was a good one, by GOAWAY.
    #[track_caller]
    pub fn wait_closed(&mut self) -> Result<(), h2::Error> {
        wait(&mut self.driver).expect("the connection ends in time").expect("no panic")
    }

    /// Begins nothing more; what there is goes on until it ends.
    pub fn leave(self) {
        drop(self.requests);
    }
}

/// A request under way.
pub struct Call {
    response: ResponseFuture,
    /// Its content and the answer's.
    pub two: Two,
    interim: Vec<Head>,
}

impl Call {
    /// The next interim head.
    pub fn interim(&mut self) -> Result<Head, Broken> {
        let response = &mut self.response;
        match wait(poll_fn(|cx| response.poll_informational(cx)))? {
            Some(Ok(head)) => Ok(response_head(&head)),
            Some(Err(error)) => Err(broken(&error)),
            None => Err(Broken::Malformed("a final answer".to_owned())),
        }
    }

    /// The answer's final head.
    pub fn head(&mut self) -> Result<(u16, Head), Broken> {
        let Self { response, interim, .. } = self;
        let answer = wait(poll_fn(|cx| {
            while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                interim.push(response_head(&head));
            }
            std::pin::Pin::new(&mut *response).poll(cx)
        }))?;
        let answer = answer.map_err(|error| broken(&error))?;
        let (status, head) = (answer.status().as_u16(), response_head(&answer));
        self.two.body = Some(answer.into_body());
        Ok((status, head))
    }

    /// The interim heads that came before the final one.
    pub fn take_interim(&mut self) -> Vec<Head> {
        std::mem::take(&mut self.interim)
    }

    /// The whole answer.
    pub fn response(&mut self) -> Result<super::Response, Broken> {
        let (status, head) = self.head()?;
        let (body, trailers) = self.two.content()?;
        Ok(super::Response { status, head, interim: self.take_interim(), body, trailers })
    }
}

/// The content of a stream, both ways.
pub struct Two {
    pub send: Option<SendStream<Bytes>>,
    pub body: Option<RecvStream>,
}

impl Two {
    fn way_out(&mut self) -> &mut SendStream<Bytes> {
        self.send.as_mut().expect("a head that was sent before")
    }

    /// Waits until some of so many bytes may be sent.
    fn room(&mut self, wanted: usize, patience: Duration) -> Result<usize, Broken> {
        let send = self.way_out();
        send.reserve_capacity(wanted);
        let room = within(
            patience,
            poll_fn(|cx| match send.capacity() {
                0 => send.poll_capacity(cx),
                room => Poll::Ready(Some(Ok(room))),
            }),
        );
        match room? {
            Some(Ok(room)) => Ok(room.min(wanted)),
            Some(Err(error)) => Err(broken(&error)),
            None => Err(Broken::Reset),
        }
    }

    pub fn reset(&mut self, reason: Reason) {
        self.way_out().send_reset(reason);
    }
}

impl Talk for Two {
    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let n = self.room(bytes.len(), PATIENCE)?;
            let piece = Bytes::copy_from_slice(&bytes[..n]);
            self.way_out().send_data(piece, false).map_err(|error| broken(&error))?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        let mut taken = 0;
        while taken < most {
            let wanted = piece.len().min((most - taken) as usize);
            let Ok(n) = self.room(wanted, STOPPED) else { break };
            let piece = Bytes::copy_from_slice(&piece[..n]);
            if self.way_out().send_data(piece, false).is_err() {
                break;
            }
            taken += n as u64;
        }
        taken
    }

    fn end(&mut self, trailers: &[(String, String)]) -> Result<(), Broken> {
        let ended = match trailers {
            [] => self.way_out().send_data(Bytes::new(), true),
            _ => self.way_out().send_trailers(map(trailers)),
        };
        ended.map_err(|error| broken(&error))
    }

    fn piece(&mut self) -> Result<Piece, Broken> {
        let Some(body) = self.body.as_mut() else { return Ok(Piece::End(Vec::new())) };
        match wait(body.data())? {
            // The end of the stream, in a frame of its own.
            Some(Ok(bytes)) if bytes.is_empty() => self.piece(),
            Some(Ok(bytes)) => {
                // Of a stream that was reset meanwhile nothing can be given back.
                let _ = body.flow_control().release_capacity(bytes.len());
                Ok(Piece::Data(bytes.to_vec()))
            }
            Some(Err(error)) => Err(broken(&error)),
            None => {
                let trailers = wait(body.trailers())?.map_err(|error| broken(&error))?;
                let fields = trailers.map(|map| head(String::new(), None, &map).fields);
                Ok(Piece::End(fields.unwrap_or_default()))
            }
        }
    }
}
