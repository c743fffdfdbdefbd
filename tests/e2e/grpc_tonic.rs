//! gRPC as tonic speaks it, on both sides of the gateway. Messages are any bytes, so that nothing needs
//! to be generated.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{StreamExt, iter};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::harness::grpc::{runtime, wait};
use crate::harness::{Driver, Gateway};

both_drivers!(tonic_calls_itself_through_the_gateway);

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length).to_vec()))
    }
}

type Messages = Streaming<Vec<u8>>;
type Answers = Sender<Result<Vec<u8>, Status>>;

/// The server's side of a call; on the wire all kinds are streams.
async fn answer(method: String, mut messages: Messages, answers: Answers, given_up: Arc<Notify>) {
    let send = async |message| drop(answers.send(message).await);
    match &*method {
        "/a.B/Echo" => {
            while let Some(Ok(message)) = messages.next().await {
                send(Ok(message)).await;
            }
        }
        "/a.B/Sum" => {
            let mut sum = 0;
            while let Some(Ok(message)) = messages.next().await {
                sum += message.len();
            }
            send(Ok(sum.to_string().into_bytes())).await;
        }
        "/a.B/Hang" => {
            send(Ok(b"first".to_vec())).await;
            answers.closed().await;
            given_up.notify_one();
        }
        _ => send(Err(Status::failed_precondition("not now: 100 %"))).await,
    }
}

async fn serve(listener: TcpListener, given_up: Arc<Notify>) {
    let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let method = request.uri().path().to_owned();
        let given_up = Arc::clone(&given_up);
        let call = tower::service_fn(move |request: Request<Messages>| {
            let (answers, stream) = channel(4);
            let work = answer(method.clone(), request.into_inner(), answers, given_up.clone());
            tokio::spawn(work);
            async move { Ok(Response::new(ReceiverStream::new(stream))) }
        });
        async move { Ok::<_, Infallible>(tonic::server::Grpc::new(Raw).streaming(call, request).await) }
    });
    // An answer is several writes; with Nagle's algorithm each call would wait 40 ms for an ACK.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().serve_with_incoming(service, incoming).await.expect("a server");
}

fn tonic_calls_itself_through_the_gateway(driver: Driver) {
    let given_up = Arc::new(Notify::new());
    let listener = wait("a port", TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    let server = runtime().spawn(serve(listener, Arc::clone(&given_up)));
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
             [upstreams.app]\ntargets = [\"{address}\"]\nprotocol = \"h2\"\n\
             [upstreams.gone]\ntargets = [\"127.0.0.1:1\"]\nprotocol = \"h2\"\n\
             [[routes]]\nname = \"app\"\ngrpc = {{ service = \"a.B\" }}\nupstream = \"app\"\n\
             [[routes]]\nname = \"slow\"\ngrpc = {{ service = \"a.Slow\" }}\nupstream = \"app\"\n\
             rewrite = \"/a.B/Hang\"\ntimeouts = {{ total = \"200ms\" }}\n\
             [[routes]]\nname = \"gone\"\ngrpc = {{ service = \"a.Gone\" }}\nupstream = \"gone\"\n"
        ),
    );
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.web())).expect("a URI");
    wait("all calls", async {
        let channel = endpoint.connect().await.expect("a connection");
        let client = Client(tonic::client::Grpc::new(channel));
        client.all_kinds().await;
        client.given_up(&given_up).await;
        client.errors().await;
        client.many().await;
    });
    server.abort();
}

struct Client(tonic::client::Grpc<Channel>);

impl Client {
    /// A connection of its own is not needed: clones share one.
    async fn ready(&self) -> tonic::client::Grpc<Channel> {
        let mut client = self.0.clone();
        client.ready().await.expect("room for a call");
        client
    }

    async fn unary(&self, path: &'static str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path = PathAndQuery::from_static(path);
        let answer = self.ready().await.unary(Request::new(message), path, Raw).await;
        answer.map(Response::into_inner)
    }

    async fn stream(&self, path: &'static str, request: Request<Vec<u8>>) -> Messages {
        let path = PathAndQuery::from_static(path);
        let answer = self.ready().await.server_streaming(request, path, Raw).await;
        answer.expect("an answer").into_inner()
    }

    async fn all_kinds(&self) {
        assert_eq!(self.unary("/a.B/Echo", b"hello".to_vec()).await.expect("fine"), b"hello");
        let large: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        let answer = self.unary("/a.B/Echo", large.clone()).await.expect("fine");
        assert!(answer == large, "as it was sent");

        let messages = iter((0..50).map(|n| vec![b'x'; n * 1000]));
        let path = PathAndQuery::from_static("/a.B/Sum");
        let sum = self.ready().await.client_streaming(Request::new(messages), path, Raw).await;
        let wanted = (0..50).map(|n| n * 1000).sum::<usize>().to_string();
        assert_eq!(sum.expect("fine").into_inner(), wanted.as_bytes());

        let (say, said) = channel::<Vec<u8>>(1);
        let path = PathAndQuery::from_static("/a.B/Echo");
        let request = Request::new(ReceiverStream::new(said));
        let mut client = self.ready().await;
        let (_, answer) =
            tokio::join!(say.send(b"0".to_vec()), client.streaming(request, path, Raw));
        let mut answers = answer.expect("an answer").into_inner();
        for n in 0..20_u32 {
            let message = answers.message().await.expect("fine").expect("a message");
            assert_eq!(message, n.to_string().as_bytes());
            say.send((n + 1).to_string().into_bytes()).await.expect("it is taken");
        }
        drop(say);
        assert_eq!(answers.message().await.expect("fine"), Some(b"20".to_vec()));
        assert_eq!(answers.message().await.expect("fine"), None);
    }

    /// By the client, and by its deadline.
    async fn given_up(&self, noticed: &Notify) {
        let mut answers = self.stream("/a.B/Hang", Request::new(vec![])).await;
        assert_eq!(answers.message().await.expect("fine"), Some(b"first".to_vec()));
        drop(answers);
        noticed.notified().await;

        let mut request = Request::new(vec![]);
        request.set_timeout(Duration::from_millis(300));
        let mut answers = self.stream("/a.B/Hang", request).await;
        assert_eq!(answers.message().await.expect("fine"), Some(b"first".to_vec()));
        let status = answers.message().await.expect_err("its time is over");
        assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status}");
        noticed.notified().await;
    }

    async fn errors(&self) {
        let status = self.unary("/a.B/Fail", vec![]).await.expect_err("the server's own");
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not now: 100 %"));
        for (path, code) in [
            ("/a.Slow/Get", Code::DeadlineExceeded),
            ("/a.Gone/Get", Code::Unavailable),
            ("/a.Nowhere/Get", Code::Unimplemented),
        ] {
            let status = self.unary(path, vec![]).await.expect_err("the gateway's");
            assert_eq!(status.code(), code, "{status}");
        }
    }

    async fn many(&self) {
        for n in 0..500_u32 {
            let message = n.to_be_bytes().to_vec();
            let answer = self.unary("/a.B/Echo", message.clone()).await.expect("fine");
            assert_eq!(answer, message);
        }
    }
}
