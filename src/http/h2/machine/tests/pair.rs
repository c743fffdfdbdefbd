//! What one machine says the other understands, whatever the bytes are cut into.

use std::collections::BTreeSet;
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use crate::config::EncodedSlash;
use crate::http::{Framing, RequestHead};
use crate::limits::{H2_STREAM_WINDOW, H2_UPSTREAM_STREAM_WINDOW};

pub(super) const TERMS: Terms = Terms {
    bounds: HttpBounds {
        max_head: 32_768,
        max_fields: 100,
        max_uri: 8_192,
        max_chunk_extension: 16,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: false,
    },
    max_streams: 10,
    stream_window: H2_STREAM_WINDOW,
    connection_window: 1 << 20,
};

/// One end, and what it has said and heard.
pub(super) struct Side {
    pub(super) machine: Machine,
    pub(super) out: Vec<u8>,
    rest: Vec<u8>,
    pub(super) begun: Vec<(Begun, String)>,
    pub(super) fault: Option<Fault>,
}

impl Side {
    pub(super) fn new(role: Role, terms: &Terms) -> Self {
        let mut out = Vec::new();
        let machine = Machine::new(role, terms, 0, &mut out);
        Self { machine, out, rest: Vec::new(), begun: Vec::new(), fault: None }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while self.fault.is_none() {
            let (mut lines, mut head) = (Vec::new(), RequestHead::default());
            let mut reading = Reading { lines: &mut lines, head: &mut head, key: [0; 16] };
            match self.machine.receive(&self.rest, &mut reading, &mut self.out) {
                Ok(Received { taken, begun }) => {
                    self.rest.drain(..taken);
                    let Some(begun) = begun else { return };
                    let text = String::from_utf8_lossy(&lines).into_owned();
                    self.begun.push((begun, text));
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    /// All content that is there, or why there is none.
    pub(super) fn content(&mut self, key: Key) -> Result<Vec<u8>, super::super::End> {
        let cx = Context::from_waker(Waker::noop());
        let mut content = Vec::new();
        loop {
            match self.machine.poll_content(key, &cx) {
                Poll::Pending | Poll::Ready(Ok(0)) => return Ok(content),
                Poll::Ready(Err(end)) => return Err(end),
                Poll::Ready(Ok(n)) => {
                    let put = |bytes: &[u8]| content.extend_from_slice(bytes);
                    self.machine.take_content(key, n.div_ceil(2), put, &mut self.out);
                }
            }
        }
    }

    pub(super) fn write(
        &mut self,
        key: Key,
        content: &[u8],
        last: bool,
    ) -> Poll<Result<usize, super::super::End>> {
        let cx = Context::from_waker(Waker::noop());
        self.machine.poll_content_out(key, content, last, &mut self.out, &cx)
    }

    pub(super) fn head(&mut self, key: Key) -> Poll<Result<String, super::super::End>> {
        let cx = Context::from_waker(Waker::noop());
        let text = |head: &Head| String::from_utf8_lossy(&head.lines).into_owned();
        self.machine.poll_head(key, &cx, text)
    }
}

/// A client and a server, and how what they say is cut.
pub(super) struct Pair {
    pub(super) client: Side,
    pub(super) server: Side,
    step: usize,
}

impl Pair {
    pub(super) fn new(step: usize) -> Self {
        let ours = Terms { stream_window: H2_UPSTREAM_STREAM_WINDOW, ..TERMS };
        let client = Side::new(Role::Client, &ours);
        let mut pair = Self { client, server: Side::new(Role::Server, &TERMS), step };
        pair.exchange();
        pair
    }

    /// Passes on all that is said, until nothing more is.
    pub(super) fn exchange(&mut self) {
        loop {
            let (up, down) =
                (std::mem::take(&mut self.client.out), std::mem::take(&mut self.server.out));
            if up.is_empty() && down.is_empty() {
                break;
            }
            up.chunks(self.step).for_each(|piece| self.server.hear(piece));
            down.chunks(self.step).for_each(|piece| self.client.hear(piece));
            // What went out made room.
            self.client.machine.call(0);
            self.server.machine.call(0);
        }
        assert_eq!((self.client.fault, self.server.fault), (None, None));
    }

    pub(super) fn ask(&mut self, lines: &str, ended: bool) -> (Key, Key) {
        let asking = Asking {
            lines: lines.as_bytes(),
            secure: false,
            upgrade: None,
            ended,
            asks_head: lines.starts_with("HEAD"),
        };
        let key = self.client.machine.ask(&asking, &mut self.client.out).expect("a stream");
        self.exchange();
        (key, self.server.begun.pop().expect("a request").0.key)
    }

    /// Sends all of a content from one end to the other, and gives what came.
    fn pass(&mut self, up: bool, (from, to): (Key, Key), content: &[u8], last: bool) -> Vec<u8> {
        let (mut sent, mut come) = (0, Vec::new());
        loop {
            let end = if up { &mut self.client } else { &mut self.server };
            let whole = content.len();
            if let Poll::Ready(n) = end.write(from, &content[sent..], last) {
                sent += n.expect("the stream is open");
            }
            self.exchange();
            let end = if up { &mut self.server } else { &mut self.client };
            come.extend(end.content(to).expect("content"));
            self.exchange();
            if sent == whole {
                return come;
            }
        }
    }
}

const GET: &str = "GET /a?b HTTP/1.1\r\nhost: a.example\r\nx: y\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nhost: a.example\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n";

#[test]
fn a_request_and_its_answer() {
    for step in [1, 7, 100_000] {
        let mut pair = Pair::new(step);
        for _ in 0..3 {
            let (up, down) = pair.ask(GET, true);
            assert!(pair.server.machine.is_at_end(down));
            let Pair { server, .. } = &mut pair;
            server.machine.answer(down, OK, false, &mut server.out).expect("an answer");
            assert_eq!(server.write(down, b"content", true), Poll::Ready(Ok(7)));
            server.machine.release(down, &mut server.out);
            pair.exchange();
            let head = pair.client.head(up);
            assert_eq!(head, Poll::Ready(Ok("HTTP/1.1 200 \r\nx-a: b\r\n\r\n".into())));
            assert_eq!(pair.client.content(up), Ok(b"content".to_vec()));
            assert!(pair.client.machine.is_at_end(up));
            pair.client.machine.release(up, &mut pair.client.out);
            assert!(pair.client.out.is_empty(), "nothing is left to say");
        }
        assert_eq!((pair.client.machine.held(), pair.server.machine.held()), (0, 0));
    }
}

#[test]
fn a_head_is_read_as_one_of_http_1_1() {
    let mut pair = Pair::new(13);
    let asking = Asking {
        lines: b"POST /a?b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n",
        secure: true,
        upgrade: None,
        ended: false,
        asks_head: false,
    };
    pair.client.machine.ask(&asking, &mut pair.client.out).expect("a stream");
    let (mut lines, mut head) = (Vec::new(), RequestHead::default());
    let mut reading = Reading { lines: &mut lines, head: &mut head, key: [0; 16] };
    let said = std::mem::take(&mut pair.client.out);
    let come = pair.server.machine.receive(&said, &mut reading, &mut pair.server.out);
    assert!(come.expect("no fault").begun.is_some_and(|begun| begun.bad.is_none()));
    assert_eq!(head.framing, Framing::Length(3));
    assert_eq!(head.path.of(&lines), b"/a");
}

#[test]
fn contents_larger_than_any_window_pass() {
    for (size, step) in [(0, 5), (1, 1), (65_535, 1_000), (65_536, 999_999), (2_000_000, 70_000)] {
        let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let mut pair = Pair::new(step);
        let (up, down) = pair.ask(POST, false);
        assert!(pair.pass(true, (up, down), &content, true) == content, "{size} up");
        assert!(pair.server.machine.is_at_end(down));
        let Pair { server, .. } = &mut pair;
        server.machine.answer(down, OK, false, &mut server.out).expect("an answer");
        assert!(pair.pass(false, (down, up), &content, true) == content, "{size} down");
        assert!(pair.client.machine.is_at_end(up));
    }
}

#[test]
fn who_waits_longest_has_the_room_first() {
    let mut pair = Pair::new(10_000);
    let streams: Vec<_> = (0..3).map(|_| pair.ask(POST, false)).collect();
    // Together more than the gather buffer holds.
    let piece = vec![b'x'; 40_000];
    let took: Vec<_> =
        streams.iter().map(|(up, _)| pair.client.write(*up, &piece, false)).collect();
    assert_eq!(took[0], Poll::Ready(Ok(40_000)));
    assert!(matches!(took[1], Poll::Ready(Ok(1..40_000))), "{took:?}");
    assert_eq!(took[2], Poll::Pending);
    assert_eq!(pair.client.write(streams[0].0, &piece, false), Poll::Pending);
    pair.exchange();
    assert_eq!(pair.client.write(streams[2].0, &piece, false), Poll::Ready(Ok(40_000)));
}

#[test]
fn trailers_and_interim_answers_pass() {
    let mut pair = Pair::new(3);
    let (up, down) = pair.ask(POST, true);
    let Pair { server, .. } = &mut pair;
    let mut text = Vec::new();
    let field = crate::http::Field::unknown(b"grpc-status", b"0", &mut text);
    let early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    server.machine.answer(down, early, false, &mut server.out).expect("an interim answer");
    server.machine.answer(down, OK, false, &mut server.out).expect("an answer");
    assert_eq!(server.write(down, b"some", false), Poll::Ready(Ok(4)));
    let sent = server.machine.send_trailers(down, &[field], &text, &mut server.out);
    assert_eq!(sent, Ok(()));
    pair.exchange();
    let Poll::Ready(Ok(first)) = pair.client.head(up) else { panic!("no interim answer") };
    assert!(first.starts_with("HTTP/1.1 103"), "{first}");
    assert!(matches!(pair.client.head(up), Poll::Ready(Ok(_))));
    assert_eq!(pair.client.content(up), Ok(b"some".to_vec()));
    assert!(!pair.client.machine.is_at_end(up));
    assert_eq!(pair.client.machine.take_trailers(up), Some(b"grpc-status: 0\r\n\r\n".to_vec()));
    assert!(pair.client.machine.is_at_end(up));
}

#[test]
fn a_head_longer_than_a_frame_passes() {
    let mut pair = Pair::new(1_000);
    let values = (0..30).map(|n| format!("x-{n}: {}\r\n", "\u{1f}~^|{}".repeat(160).split_off(1)));
    let fields = values.map(|line| line.replace('\u{1f}', "")).collect::<String>();
    let lines = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    let asking = Asking {
        lines: lines.as_bytes(),
        secure: false,
        upgrade: None,
        ended: true,
        asks_head: false,
    };
    pair.client.machine.ask(&asking, &mut pair.client.out).expect("a stream");
    assert!(pair.client.out.len() > 16_384 + 9, "{}", pair.client.out.len());
    pair.exchange();
    let (begun, text) = pair.server.begun.pop().expect("a request");
    assert_eq!(begun.bad, None);
    assert!(text.ends_with(&format!("{fields}\r\n")) || text.contains("x-29: "), "{}", text.len());
}

#[test]
fn a_goodbye_lets_streams_finish() {
    let mut pair = Pair::new(5);
    let (_, down) = pair.ask(GET, true);
    let Pair { server, .. } = &mut pair;
    server.machine.leave(&mut server.out);
    pair.exchange();
    assert!(!pair.client.machine.may_begin() && !pair.server.machine.is_done());
    let Pair { server, .. } = &mut pair;
    server.machine.answer(down, OK, true, &mut server.out).expect("an answer");
    assert!(pair.server.machine.is_done());
    pair.exchange();
    assert!(pair.client.machine.is_done());
}

#[test]
fn what_is_dropped_is_given_up() {
    let mut pair = Pair::new(8);
    let (up, down) = pair.ask(POST, false);
    assert_eq!(pair.client.write(up, &[b'x'; 60_000], false), Poll::Ready(Ok(60_000)));
    pair.client.machine.release(up, &mut pair.client.out);
    pair.exchange();
    assert!(pair.server.machine.gone(down).get());
    // What came before the reset is not lost.
    assert_eq!(
        pair.server.machine.poll_content(down, &Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(60_000))
    );
    pair.server.machine.release(down, &mut pair.server.out);
    pair.exchange();
    assert_eq!((pair.client.machine.held(), pair.server.machine.held()), (0, 0));
}

/// Steps that streams of a pair take, in any order.
#[derive(Debug, Clone)]
enum Step {
    Ask(bool),
    Up(usize, usize, bool),
    Answer(usize),
    Down(usize, usize, bool),
    Read(usize),
    DropUp(usize),
    DropDown(usize),
    Exchange,
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..6usize;
    prop_oneof![
        any::<bool>().prop_map(Step::Ask),
        (n.clone(), 0..100_000usize, any::<bool>())
            .prop_map(|(n, size, end)| Step::Up(n, size, end)),
        n.clone().prop_map(Step::Answer),
        (n.clone(), 0..100_000usize, any::<bool>())
            .prop_map(|(n, size, end)| Step::Down(n, size, end)),
        n.clone().prop_map(Step::Read),
        n.clone().prop_map(Step::DropUp),
        n.prop_map(Step::DropDown),
        Just(Step::Exchange),
    ]
}

/// Takes the steps; whatever they are, neither end may find fault with the other.
fn take(steps: &[Step], cut: usize) {
    let mut pair = Pair::new(cut);
    let mut streams: Vec<(Key, Option<Key>)> = Vec::new();
    let mut answered = BTreeSet::new();
    for step in steps {
        for (begun, _) in std::mem::take(&mut pair.server.begun) {
            let mine = streams.iter_mut().find(|(up, _)| up.id == begun.key.id);
            mine.expect("it was asked for").1 = Some(begun.key);
        }
        let Pair { client, server, .. } = &mut pair;
        let upper = |n: usize| streams.get(n).map(|(up, _)| *up);
        let lower = |n: usize| streams.get(n).and_then(|(_, down)| *down);
        match *step {
            Step::Ask(ended) => {
                let lines = if ended { GET } else { POST }.as_bytes();
                let asking =
                    Asking { lines, secure: false, upgrade: None, ended, asks_head: false };
                if let Ok(key) = client.machine.ask(&asking, &mut client.out) {
                    streams.push((key, None));
                }
            }
            Step::Up(n, size, end) => {
                upper(n).map(|key| client.write(key, &vec![b'u'; size], end));
            }
            Step::Answer(n) => {
                // A second one would be our own fault, as content without one.
                if let Some(key) = lower(n).filter(|key| answered.insert(key.id)) {
                    let _ = server.machine.answer(key, OK, false, &mut server.out);
                }
            }
            Step::Down(n, size, end) => {
                if let Some(key) = lower(n).filter(|key| answered.contains(&key.id)) {
                    let _ = server.write(key, &vec![b'd'; size], end);
                }
            }
            Step::Read(n) => {
                upper(n).map(|key| client.content(key));
                lower(n).map(|key| server.content(key));
            }
            Step::DropUp(n) => {
                upper(n).inspect(|key| client.machine.release(*key, &mut client.out));
            }
            Step::DropDown(n) => {
                lower(n).inspect(|key| server.machine.release(*key, &mut server.out));
            }
            Step::Exchange => pair.exchange(),
        }
    }
    pair.exchange();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn neither_end_finds_fault_with_the_other(steps in vec(step(), 1..60), cut in 1..40_000usize) {
        take(&steps, cut);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in vec(any::<u8>(), 0..300), cut in 1..50usize) {
        let mut server = Side::new(Role::Server, &TERMS);
        server.hear(PREFACE);
        server.hear(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.chunks(cut).for_each(|piece| server.hear(piece));
    }
}
