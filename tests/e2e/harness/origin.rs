//! An upstream that does the same in either version: its script runs once for each request.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::PATIENCE;
use super::caller::{framing, lines};
use super::gate::Watched;
use super::http2::{self, Io, Two, broken, map, runtime};
use super::talk::{Fields, One, Talk, Version};
use super::upstream::{Peer, Received, Upstream};
use super::wire::{Broken, Ends, Head};

type Seen = Watched<Vec<Received>>;
type Script = dyn Fn(&mut Turn<'_>) + Send + Sync;

/// An upstream of one version.
pub struct Origin {
    /// How a configuration names it.
    pub address: String,
    seen: Arc<Seen>,
    upstream: Upstream,
}

impl Origin {
    /// Runs the script for each request.
    pub fn new(version: Version, script: impl Fn(&mut Turn<'_>) + Send + Sync + 'static) -> Self {
        let (seen, script): (Arc<Seen>, Arc<Script>) = (Arc::default(), Arc::new(script));
        let noted = seen.clone();
        let upstream = Upstream::new(move |peer| match version {
            Version::Http1 => serve_one(peer, &noted, &*script),
            Version::Http2 => serve_two(peer, None, &h2::server::Builder::new(), &noted, &script),
        });
        Self { address: upstream.address.clone(), seen, upstream }
    }

    /// One of HTTP/2 with settings of its own, behind TLS where there is a configuration for it.
    pub fn http2(
        tls: Option<Arc<ServerConfig>>,
        set: impl Fn(&mut h2::server::Builder),
        script: impl Fn(&mut Turn<'_>) + Send + Sync + 'static,
    ) -> Self {
        let mut builder = h2::server::Builder::new();
        set(&mut builder);
        let (seen, script): (Arc<Seen>, Arc<Script>) = (Arc::default(), Arc::new(script));
        let noted = seen.clone();
        let upstream =
            Upstream::new(move |peer| serve_two(peer, tls.as_ref(), &builder, &noted, &script));
        Self { address: upstream.address.clone(), seen, upstream }
    }

    /// Answers each request with 200 and this text.
    pub fn saying(version: Version, text: &'static str) -> Self {
        Self::new(version, move |turn| {
            turn.content().expect("the request's content");
            turn.answer(200, &[], text);
        })
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Received> {
        self.seen.look(Vec::clone)
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
        let found = self.seen.wait_for(PATIENCE, |seen| seen.get(n - 1).cloned());
        found
            .unwrap_or_else(|| panic!("the upstream got {} of {n} requests", self.requests().len()))
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.upstream.connections()
    }
}

/// One request, and how it is answered.
pub struct Turn<'a> {
    pub head: Head,
    way: Way<'a>,
    seen: &'a Seen,
    index: usize,
}

enum Way<'a> {
    One { one: &'a mut One, reset: bool },
    Two { two: Two, respond: SendResponse<Bytes> },
}

impl Turn<'_> {
    /// The path and query.
    pub fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Its content and the answer's.
    pub fn talk(&mut self) -> &mut dyn Talk {
        match &mut self.way {
            Way::One { one, .. } => *one,
            Way::Two { two, .. } => two,
        }
    }

    /// Reads the request's content to its end, and notes it.
    pub fn content(&mut self) -> Result<(Vec<u8>, Fields), Broken> {
        let (body, trailers) = self.talk().content()?;
        let index = self.index;
        self.seen.change(|seen| {
            seen[index].body.clone_from(&body);
            seen[index].trailers.clone_from(&trailers);
        });
        Ok((body, trailers))
    }

    /// Sends an interim answer.
    pub fn interim(&mut self, status: u16, fields: &[(&str, &str)]) {
        let fields = owned(fields);
        match &mut self.way {
            Way::One { one, .. } => {
                let head = format!("HTTP/1.1 {status} Soon\r\n{}\r\n", lines(&fields));
                one.write(head.as_bytes()).expect("the gateway takes the head");
            }
            Way::Two { respond, .. } => {
                let mut response = Response::builder().status(status).body(()).expect("an answer");
                *response.headers_mut() = map(&fields);
                respond.send_informational(response).expect("the gateway takes the head");
            }
        }
    }

    /// Sends the answer's head.
    pub fn begin(&mut self, status: u16, fields: &[(&str, &str)], sends: Ends) {
        let mut fields = owned(fields);
        match &mut self.way {
            Way::One { one, .. } => {
                let fields = lines(&fields);
                let head = format!("HTTP/1.1 {status} Yes\r\n{fields}{}\r\n", framing(sends));
                // The gateway may be gone already, as a test wants.
                let _ = one.write(head.as_bytes());
                one.sends = sends;
            }
            Way::Two { two, respond } => {
                if let Ends::After(n) = sends {
                    fields.push(("content-length".to_owned(), n.to_string()));
                }
                let mut response = Response::builder().status(status).body(()).expect("an answer");
                *response.headers_mut() = map(&fields);
                two.send = respond.send_response(response, sends == Ends::None).ok();
            }
        }
    }

    /// The whole answer.
    pub fn answer(&mut self, status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        self.begin(status, fields, Ends::After(body.len() as u64));
        let talk = self.talk();
        talk.send(body).and_then(|()| talk.end(&[])).expect("the gateway takes the answer");
    }

    /// Breaks off, by a reset of the connection or the stream.
    pub fn abort(&mut self) {
        match &mut self.way {
            Way::One { reset, .. } => *reset = true,
            Way::Two { two, respond } => match &mut two.send {
                Some(send) => send.send_reset(Reason::INTERNAL_ERROR),
                None => respond.send_reset(Reason::INTERNAL_ERROR),
            },
        }
    }

    /// Waits until the gateway is not interested any more, by its reset or the connection's end.
    pub fn wait_gone(&mut self) -> Result<(), Broken> {
        match &mut self.way {
            Way::One { one, .. } => match one.wire.drain() {
                Ok(()) | Err(Broken::Reset) => Ok(()),
                Err(broken) => Err(broken),
            },
            Way::Two { two, respond } => {
                let reset = match &mut two.send {
                    Some(send) => http2::wait(poll_fn(|cx| send.poll_reset(cx)))?,
                    None => http2::wait(poll_fn(|cx| respond.poll_reset(cx)))?,
                };
                reset.map(drop).map_err(|error| broken(&error))
            }
        }
    }
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn note(seen: &Seen, connection: usize, head: &Head) -> usize {
    let request = Received {
        connection,
        head: head.clone(),
        body: Vec::new(),
        chunks: Vec::new(),
        trailers: Vec::new(),
    };
    seen.change(|seen| {
        seen.push(request);
        seen.len() - 1
    })
}

fn serve_one(peer: &mut Peer, seen: &Seen, script: &Script) {
    let mut one = One::new(peer.second_wire());
    loop {
        let head = match one.wire.head() {
            Ok(head) => head,
            Err(broken @ (Broken::Malformed(_) | Broken::Cut(_))) => panic!("{broken:?}"),
            Err(Broken::Closed | Broken::Reset | Broken::TimedOut) => return,
        };
        one.reads = Ends::by(&head, Ends::None).expect("framing that says one thing");
        let index = note(seen, peer.number, &head);
        let way = Way::One { one: &mut one, reset: false };
        let mut turn = Turn { head, way, seen, index };
        script(&mut turn);
        if matches!(turn.way, Way::One { reset: true, .. }) {
            return peer.reset_at_end();
        }
        // What was not sent whole, or not read whole, is the connection's last.
        if !one.is_over() {
            return;
        }
    }
}

fn serve_two(
    peer: &mut Peer,
    tls: Option<&Arc<ServerConfig>>,
    builder: &h2::server::Builder,
    seen: &Arc<Seen>,
    script: &Arc<Script>,
) {
    let (socket, number) = (peer.socket(), peer.number);
    let mut turns = Vec::new();
    runtime().block_on(async {
        let socket = http2::polled(socket).await;
        let io: Box<dyn Io> = match tls {
            None => Box::new(socket),
            Some(tls) => match TlsAcceptor::from(tls.clone()).accept(socket).await {
                Ok(stream) => Box::new(stream),
                Err(_) => return,
            },
        };
        let Ok(mut machine) = builder.handshake::<_, Bytes>(io).await else { return };
        while let Some(Ok((request, respond))) = machine.accept().await {
            let (seen, script) = (seen.clone(), script.clone());
            let head = http2::request_head(&request);
            let index = note(&seen, number, &head);
            turns.push(thread::spawn(move || {
                let two = Two { send: None, body: Some(request.into_body()) };
                let way = Way::Two { two, respond };
                script(&mut Turn { head, way, seen: &seen, index });
            }));
        }
    });
    for turn in turns {
        if let Err(panic) = turn.join() {
            resume_unwind(panic);
        }
    }
}
