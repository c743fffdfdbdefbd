//! HTTP/2: whatever a peer says, in whatever pieces, a connection of either role comes to the same: the
//! same requests and content, the same answers, the same fault; and no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::task::{Context, Poll, Waker};
use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::RequestHead;
use tollgate::http::h2::code::Fault;
use tollgate::http::h2::machine::{
    Asking, Key, Machine, PREFACE, Reading, Received, Role, Terms,
};

const TERMS: Terms = Terms {
    bounds: HttpBounds {
        max_head: 4096,
        max_fields: 32,
        max_uri: 1024,
        max_chunk_extension: 16,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: true,
    },
    max_streams: 4,
    stream_window: 65_535,
    connection_window: 1 << 20,
};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (role, first) in [(Role::Server, &PREFACE[..]), (Role::Client, &[])] {
        let all = [first, &settings, bytes].concat();
        let (mut whole, mut pieces) = (Peer::new(role), Peer::new(role));
        whole.hear(&all);
        all.chunks(usize::from(cut) + 1).for_each(|piece| pieces.hear(piece));
        assert_eq!(whole.told, pieces.told);
        assert_eq!(whole.fault, pieces.fault);
        assert_eq!(whole.out, pieces.out);
        whole.drain();
        pieces.drain();
        assert_eq!(whole.told, pieces.told);
    }
});

/// One end of a connection, and what it made of what the other said.
struct Peer {
    machine: Machine,
    rest: Vec<u8>,
    out: Vec<u8>,
    told: Vec<u8>,
    streams: Vec<Key>,
    fault: Option<Fault>,
}

impl Peer {
    fn new(role: Role) -> Self {
        let mut out = Vec::new();
        let mut machine = Machine::new(role, &TERMS, 0, &mut out);
        let mut streams = Vec::new();
        if role == Role::Client {
            let lines = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
            for ended in [true, false] {
                let asking =
                    Asking { lines, secure: false, upgrade: None, ended, asks_head: false };
                streams.extend(machine.ask(&asking, &mut out));
            }
        }
        Self { machine, rest: Vec::new(), out, told: Vec::new(), streams, fault: None }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while self.fault.is_none() {
            let (mut lines, mut head) = (Vec::new(), RequestHead::default());
            let mut reading = Reading { lines: &mut lines, head: &mut head, key: [0; 16] };
            match self.machine.receive(&self.rest, &mut reading, &mut self.out) {
                Err(fault) => self.fault = Some(fault),
                Ok(Received { taken, begun }) => {
                    self.rest.drain(..taken);
                    let Some(begun) = begun else { return };
                    self.streams.push(begun.key);
                    self.told.extend(lines);
                }
            }
        }
    }

    /// Takes all content, answers what can be answered, and gives all streams up.
    fn drain(&mut self) {
        let cx = Context::from_waker(Waker::noop());
        let Self { machine, told, out, .. } = self;
        for key in std::mem::take(&mut self.streams) {
            while let Poll::Ready(Ok(_)) = machine.poll_head(key, &cx, |head| told.extend(&head.lines)) {}
            while let Poll::Ready(Ok(1..)) = machine.poll_content(key, &cx) {
                machine.take_content(key, 1_000, |bytes| told.extend(bytes), out);
            }
            told.extend(machine.take_trailers(key).unwrap_or_default());
            let _ = machine.answer(key, b"HTTP/1.1 200 OK\r\n\r\n", false, out);
            let _ = machine.poll_content_out(key, b"content", true, out, &cx);
            machine.release(key, out);
        }
        assert_eq!(machine.held(), 0);
    }
}
