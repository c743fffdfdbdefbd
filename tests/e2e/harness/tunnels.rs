//! Both ends of a tunnel through the gateway, over any pair of versions of which one is HTTP/2.

use http::{HeaderMap, HeaderValue};

use super::streams::{Caller, Origin, Talk, Visit, connecting};
use super::websocket::{opening, switching};
use super::wire::{Broken, Head};
use super::{Client, Driver, Gateway, Peer, Upstream};

/// The versions of a client and of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    Http2To1,
    Http1To2,
    Http2To2,
}

pub const PAIRS: [Pair; 3] = [Pair::Http2To1, Pair::Http1To2, Pair::Http2To2];

impl Pair {
    pub fn has_client_of_http2(self) -> bool {
        self != Self::Http1To2
    }

    fn has_target_of_http2(self) -> bool {
        self != Self::Http2To1
    }

    /// A configuration that sends everything to one target; with further keys of the route.
    pub fn config(self, target: &str, keys: &str) -> String {
        let protocol = if self.has_target_of_http2() { "h2" } else { "http/1.1" };
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\", \"http/1.1\"]\n\
             [upstreams.app]\ntargets = [\"{target}\"]\nprotocol = \"{protocol}\"\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n{keys}\n"
        )
    }

    pub fn gateway(self, driver: Driver, service: &Service) -> Gateway {
        self.gateway_with(driver, service, "")
    }

    pub fn gateway_with(self, driver: Driver, service: &Service, keys: &str) -> Gateway {
        Gateway::start(driver, self.config(service.address(), keys))
    }

    /// A target whose script runs for each request.
    pub fn service(self, script: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Service {
        if self.has_target_of_http2() {
            return Service::Streams(Origin::new(move |visit| script(Asked::Stream(visit))));
        }
        Service::Lines(Upstream::new(move |peer| {
            if let Some(head) = peer.next_head() {
                script(Asked::Lines(peer, head));
            }
        }))
    }

    /// A target that grants every tunnel; its script is what follows.
    pub fn granting(self, script: impl Fn(&mut Far<'_>) + Send + Sync + 'static) -> Service {
        self.service(move |asked| script(&mut asked.grant()))
    }

    /// Sends a request for a tunnel, with early bytes right behind it.
    pub fn knock(self, gateway: &Gateway, fields: &[(&'static str, &str)], early: &[u8]) -> Knock {
        if self.has_client_of_http2() {
            let caller = Caller::connect(gateway.web());
            let mut head = connecting("/", "websocket");
            for (name, value) in fields {
                let value = HeaderValue::from_str(value).expect("a value");
                head.headers_mut().append(*name, value);
            }
            let mut begun = caller.begin(head);
            let sent = begun.out.send_data(bytes::Bytes::copy_from_slice(early), false);
            sent.expect("an open stream");
            return Knock::Stream(begun, caller);
        }
        let lines: String = fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        let mut client = gateway.connect();
        client.send([opening("/", &lines).as_bytes(), early].concat());
        Knock::Lines(client)
    }

    /// Opens a tunnel.
    #[track_caller]
    pub fn open(self, gateway: &Gateway) -> Near {
        self.knock(gateway, &[], b"").granted().0
    }
}

/// A request for a tunnel under way.
pub enum Knock {
    Lines(Client),
    Stream(super::streams::Begun, Caller),
}

impl Knock {
    /// The tunnel, and the subprotocol that was chosen.
    #[track_caller]
    pub fn granted(self) -> (Near, Option<String>) {
        const CHOSEN: &str = "sec-websocket-protocol";
        match self {
            Self::Lines(mut client) => {
                let head = client.switched();
                let chosen = head.value(CHOSEN).map(str::to_owned);
                (Near::Lines(client), chosen)
            }
            Self::Stream(begun, caller) => {
                let (head, talk) = begun.granted();
                let key = head.headers().get("sec-websocket-accept");
                assert!(key.is_none(), "an answer to a key that was not sent: {head:?}");
                assert!(!head.headers().contains_key("content-length"), "{head:?}");
                let chosen = head.headers().get(CHOSEN).map(|v| v.to_str().expect("text").into());
                (Near::Stream(talk, caller), chosen)
            }
        }
    }

    /// The answer that grants none. The client goes on to send what would be a request.
    #[track_caller]
    pub fn refused(self) -> (u16, String) {
        const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n";
        match self {
            Self::Lines(mut client) => {
                let response = client.response();
                let _ = client.try_send(NEXT);
                client.expect_closed();
                (response.status, response.text())
            }
            Self::Stream(begun, _caller) => {
                let (head, mut talk) = begun.answer();
                let _ = talk.try_send(NEXT);
                let text = talk.rest().expect("the whole answer");
                (head.status().as_u16(), String::from_utf8(text).expect("text"))
            }
        }
    }
}

/// The client's end of a tunnel.
pub enum Near {
    Lines(Client),
    Stream(Talk, Caller),
}

impl Near {
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match self {
            Self::Lines(client) => client.send(bytes),
            Self::Stream(talk, _) => talk.send(bytes),
        }
    }

    pub fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        match self {
            Self::Lines(client) => client.send_until_stopped(piece, most),
            Self::Stream(talk, _) => talk.send_until_stopped(piece, most),
        }
    }

    #[track_caller]
    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        match self {
            Self::Lines(client) => client.exactly(n),
            Self::Stream(talk, _) => talk.exactly(n),
        }
    }

    #[track_caller]
    pub fn discard(&mut self, n: u64) {
        match self {
            Self::Lines(client) => client.discard(n),
            Self::Stream(talk, _) => talk.discard(n),
        }
    }

    /// Reads to the end; `None`: a reset.
    #[track_caller]
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Lines(client) => match client.rest() {
                Ok(rest) => Some(rest),
                Err(Broken::Reset) => None,
                Err(broken) => panic!("neither an end nor a reset: {broken:?}"),
            },
            Self::Stream(talk, _) => talk.rest().map_err(cancelled).ok(),
        }
    }

    pub fn end(&mut self) {
        match self {
            Self::Lines(client) => client.half_close(),
            Self::Stream(talk, _) => talk.end(),
        }
    }

    /// Resets the tunnel; gives the connection, where it goes on.
    pub fn reset(self) -> Option<Caller> {
        match self {
            Self::Lines(client) => {
                client.reset();
                None
            }
            Self::Stream(mut talk, caller) => {
                talk.reset();
                Some(caller)
            }
        }
    }
}

/// A reset of a tunnel is told by this reason (RFC 8441 section 5).
#[track_caller]
fn cancelled(reason: Option<h2::Reason>) {
    assert_eq!(reason, Some(h2::Reason::CANCEL));
}

/// A target.
pub enum Service {
    Lines(Upstream),
    Streams(Origin),
}

impl Service {
    pub fn address(&self) -> &str {
        match self {
            Self::Lines(upstream) => &upstream.address,
            Self::Streams(origin) => &origin.address,
        }
    }

    /// How many requests came so far.
    pub fn seen(&self) -> usize {
        match self {
            Self::Lines(upstream) => upstream.count(),
            Self::Streams(origin) => origin.seen().len(),
        }
    }

    #[track_caller]
    pub fn wait_seen(&self, n: usize) {
        match self {
            Self::Lines(upstream) => drop(upstream.wait_for_request(n)),
            Self::Streams(origin) => origin.wait_seen(n),
        }
    }

    /// Waits until so many scripts are over.
    #[track_caller]
    pub fn wait_over(&self, n: usize) {
        match self {
            Self::Lines(upstream) => upstream.wait_for_finished(n),
            Self::Streams(origin) => origin.wait_over(n),
        }
    }
}

/// A request at a target.
pub enum Asked<'a> {
    Lines(&'a mut Peer, Head),
    Stream(Visit),
}

impl<'a> Asked<'a> {
    /// Whether nothing comes for a while.
    pub fn is_silent(&mut self) -> bool {
        match self {
            Self::Lines(peer, _) => peer.is_silent(),
            Self::Stream(visit) => visit.is_silent(),
        }
    }

    pub fn grant(self) -> Far<'a> {
        self.grant_with(None, b"")
    }

    /// Grants it with this subprotocol, and bytes right behind.
    pub fn grant_with(self, chosen: Option<&'static str>, first: &[u8]) -> Far<'a> {
        match self {
            Self::Lines(peer, head) => {
                let field = chosen.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
                let switching = switching(&head);
                let text = [&switching[..switching.len() - 2], &field.unwrap_or_default(), "\r\n"];
                peer.send([text.concat().as_bytes(), first].concat());
                Far::Lines(peer)
            }
            Self::Stream(visit) => {
                let mut fields = HeaderMap::new();
                if let Some(name) = chosen {
                    fields.insert("sec-websocket-protocol", HeaderValue::from_static(name));
                }
                let mut talk = visit.grant_with(fields);
                talk.send(first);
                Far::Stream(talk)
            }
        }
    }

    /// Answers with this status; gives what the gateway sends behind the request to its end.
    pub fn refuse(self, status: u16) -> Vec<u8> {
        match self {
            Self::Lines(peer, _) => {
                peer.send(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"));
                peer.wait_closed()
            }
            Self::Stream(visit) => visit.answer(status, "no").rest().unwrap_or_default(),
        }
    }
}

/// The target's end of a tunnel.
pub enum Far<'a> {
    Lines(&'a mut Peer),
    Stream(Talk),
}

impl Far<'_> {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match self {
            Self::Lines(peer) => peer.send(bytes),
            Self::Stream(talk) => talk.send(bytes),
        }
    }

    /// Whether the gateway takes the bytes.
    pub fn may_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match self {
            Self::Lines(peer) => peer.try_send(bytes).is_ok(),
            Self::Stream(talk) => talk.try_send(bytes).is_ok(),
        }
    }

    pub fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        match self {
            Self::Lines(peer) => peer.send_until_stopped(piece, most),
            Self::Stream(talk) => talk.send_until_stopped(piece, most),
        }
    }

    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        match self {
            Self::Lines(peer) => peer.exactly(n),
            Self::Stream(talk) => talk.exactly(n),
        }
    }

    /// Reads to the end, however that comes.
    pub fn rest(&mut self) -> Vec<u8> {
        match self {
            Self::Lines(peer) => peer.wait_closed(),
            Self::Stream(talk) => talk.rest().unwrap_or_default(),
        }
    }

    pub fn end(&mut self) {
        match self {
            Self::Lines(peer) => peer.half_close(),
            Self::Stream(talk) => talk.end(),
        }
    }

    pub fn reset(&mut self) {
        match self {
            Self::Lines(peer) => peer.reset_at_end(),
            Self::Stream(talk) => talk.reset(),
        }
    }

    /// Waits for the end; whether it is a reset.
    pub fn is_reset(&mut self) -> bool {
        match self {
            Self::Lines(peer) => peer.is_reset(),
            Self::Stream(talk) => talk.rest().map_err(cancelled).is_err(),
        }
    }
}
