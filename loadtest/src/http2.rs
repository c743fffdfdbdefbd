//! A client that speaks HTTP/2: the same request on many streams of one connection, each answer's
//! status, length, content and end checked.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::frame::{self, Frame, Received};
use crate::hpack::{Block, Field, Reader, Text, Writer};

/// What each stream asks and must get.
#[derive(Debug)]
pub struct Exchange {
    /// Streams at a time on a connection.
    pub streams: usize,
    head: Block,
    content: Vec<u8>,
    answer: Vec<u8>,
    /// The answer ends with trailers that say `grpc-status: 0`.
    trailers: bool,
}

impl Exchange {
    /// A GET with the fields that browsers send.
    pub fn get(scheme: Scheme, path: &str, answer: Vec<u8>) -> Self {
        let head = Block::new(&[
            Field::Known(2),
            Field::Known(scheme as u8),
            Field::Kept(1, "", "api.example.com"),
            Field::Passing(4, "", path),
            Field::Kept(58, "", "load/1.0"),
            Field::Kept(19, "", "*/*"),
            Field::Kept(16, "", "gzip, br"),
        ]);
        Self { streams: 32, head, content: Vec::new(), answer, trailers: false }
    }

    /// A unary call of gRPC with `message`, as its clients send it.
    pub fn call(scheme: Scheme, method: &str, message: &[u8], answer: &[u8]) -> Self {
        let head = Block::new(&[
            Field::Known(3),
            Field::Known(scheme as u8),
            Field::Kept(1, "", "api.example.com"),
            Field::Passing(4, "", method),
            Field::Kept(31, "", "application/grpc"),
            Field::Kept(58, "", "grpc-load/1.0"),
            Field::Kept(0, "te", "trailers"),
        ]);
        let (content, answer) = (grpc_message(message), grpc_message(answer));
        Self { streams: 32, head, content, answer, trailers: true }
    }

    /// Bytes of an answer's content.
    pub fn length(&self) -> usize {
        self.answer.len()
    }
}

/// By its place in the static table.
#[derive(Debug, Clone, Copy)]
pub enum Scheme {
    /// Cleartext.
    Http = 6,
    /// TLS.
    Https = 7,
}

/// A message of gRPC with its prefix: not compressed, its length.
pub fn grpc_message(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

#[derive(Debug)]
struct Stream {
    id: u32,
    started: u64,
    /// The answer's head has come.
    in_body: bool,
    /// Bytes of its content so far.
    got: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    exchange: Arc<Exchange>,
    reader: Reader,
    open: bool,
    writer: Writer,
    next: u32,
    window: i64,
    received: Received,
    streams: Vec<Stream>,
    /// What has to wait, for the other side's settings or for its window.
    held: VecDeque<u64>,
}

impl Client {
    /// A new one; what it says first goes to `out`.
    pub fn new(exchange: &Arc<Exchange>, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(frame::PREFACE);
        frame::open(out, &[(frame::ENABLE_PUSH, 0), (frame::INITIAL_WINDOW_SIZE, 1 << 24)]);
        Self {
            exchange: exchange.clone(),
            reader: Reader::default(),
            open: false,
            writer: Writer::default(),
            next: 1,
            window: frame::FIRST_WINDOW,
            received: Received::default(),
            streams: Vec::new(),
            held: VecDeque::new(),
        }
    }

    /// Whether the other side said its settings.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// How many answers are to come.
    pub fn in_flight(&self) -> usize {
        self.streams.len() + self.held.len()
    }

    /// Sends one more request.
    pub fn begin(&mut self, started: u64, out: &mut Vec<u8>) {
        let content = self.exchange.content.len() as i64;
        if !self.open || self.window < content {
            self.held.push_back(started);
            return;
        }
        let block = self.writer.write(&self.exchange.head);
        if content == 0 {
            let flags = frame::END_HEADERS | frame::END_STREAM;
            frame::write(out, frame::HEADERS, flags, self.next, block);
        } else {
            frame::write(out, frame::HEADERS, frame::END_HEADERS, self.next, block);
            frame::write(out, frame::DATA, frame::END_STREAM, self.next, &self.exchange.content);
            self.window -= content;
        }
        self.streams.push(Stream { id: self.next, started, in_body: false, got: 0 });
        self.next += 2;
    }

    /// Takes the whole frames of `bytes` and returns how much they were; whatever is complete is
    /// noted in `done` by its start.
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        done: &mut Vec<u64>,
    ) -> Result<usize, &'static str> {
        let mut used = 0;
        while let Some(frame) = Frame::read(&bytes[used..])? {
            used += frame.len();
            match frame.kind {
                frame::HEADERS => self.on_headers(&frame, done)?,
                frame::DATA => self.on_data(&frame, out, done)?,
                frame::SETTINGS => self.on_settings(&frame, out)?,
                frame::PING => frame::acknowledge(&frame, out),
                frame::WINDOW_UPDATE if frame.stream == 0 => {
                    self.window += i64::from(frame.number()?);
                    self.release(out);
                }
                frame::RST_STREAM if self.streams.iter().any(|s| s.id == frame.stream) => {
                    return Err("a stream was reset");
                }
                frame::GOAWAY => return Err("GOAWAY"),
                frame::CONTINUATION => return Err("an answer's head in pieces"),
                _ => {}
            }
        }
        Ok(used)
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        for _ in 0..self.held.len() {
            let Some(started) = self.held.pop_front() else { return };
            self.begin(started, out);
        }
    }

    fn on_settings(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), &'static str> {
        for (name, value) in frame.settings() {
            match name {
                frame::HEADER_TABLE_SIZE => self.writer.heed(value),
                frame::MAX_CONCURRENT_STREAMS if (value as usize) < self.exchange.streams => {
                    return Err("fewer streams allowed than the scenario needs");
                }
                _ => {}
            }
        }
        self.open = true;
        frame::acknowledge(frame, out);
        self.release(out);
        Ok(())
    }

    fn on_headers(&mut self, frame: &Frame, done: &mut Vec<u64>) -> Result<(), &'static str> {
        if !frame.has(frame::END_HEADERS) {
            return Err("an answer's head in pieces");
        }
        let (mut status, mut length, mut call) = (false, true, false);
        let wanted = self.exchange.answer.len();
        let take = |name: Text, value: Text| {
            if name.is(b":status") {
                status = value.is(b"200");
            } else if name.is(b"content-length") {
                length = value.plain().is_ok_and(|text| text == wanted.to_string().as_bytes());
            } else if name.is(b"grpc-status") {
                call = value.is(b"0");
            }
        };
        let read = self.reader.read(frame.content()?, take);
        read.map_err(|_| "a head that cannot be read")?;
        let place = self.place(frame.stream)?;
        let stream = &mut self.streams[place];
        if !stream.in_body {
            if !status {
                return Err("status is not 200");
            }
            if !length {
                return Err("wrong content-length");
            }
            stream.in_body = true;
            return if frame.has(frame::END_STREAM) { Err("no content") } else { Ok(()) };
        }
        if !self.exchange.trailers || !call {
            return Err("wrong trailers");
        }
        self.end(place, frame, done)
    }

    fn on_data(
        &mut self,
        frame: &Frame,
        out: &mut Vec<u8>,
        done: &mut Vec<u64>,
    ) -> Result<(), &'static str> {
        self.received.count(frame, out);
        let content = frame.content()?;
        let place = self.place(frame.stream)?;
        let stream = &mut self.streams[place];
        let expected = self.exchange.answer.get(stream.got..stream.got + content.len());
        if !stream.in_body || expected != Some(content) {
            return Err("wrong content");
        }
        stream.got += content.len();
        match (frame.has(frame::END_STREAM), self.exchange.trailers) {
            (false, _) => Ok(()),
            (true, true) => Err("no trailers"),
            (true, false) => self.end(place, frame, done),
        }
    }

    fn place(&self, id: u32) -> Result<usize, &'static str> {
        self.streams.iter().position(|s| s.id == id).ok_or("an answer that nobody asked for")
    }

    fn end(&mut self, place: usize, last: &Frame, done: &mut Vec<u64>) -> Result<(), &'static str> {
        if !last.has(frame::END_STREAM) {
            return Err("trailers that do not end the stream");
        }
        let stream = self.streams.swap_remove(place);
        if stream.got != self.exchange.answer.len() {
            return Err("content was cut off");
        }
        done.push(stream.started);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS_200: Field = Field::Known(8);
    const GRPC_STATUS_0: Field = Field::Passing(0, "grpc-status", "0");

    fn client(exchange: Exchange) -> Client {
        let mut client = Client::new(&Arc::new(exchange), &mut Vec::new());
        let mut settings = Vec::new();
        frame::open(&mut settings, &[]);
        client.take(&settings, &mut Vec::new(), &mut Vec::new()).unwrap();
        client
    }

    fn get() -> Client {
        client(Exchange::get(Scheme::Https, "/", b"hello".to_vec()))
    }

    /// An answer on stream 1.
    fn answer(head: &[Field], content: &[u8], trailers: Option<&[Field]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let block = |fields| Block::new(fields).alone().to_vec();
        frame::write(&mut bytes, frame::HEADERS, frame::END_HEADERS, 1, &block(head));
        let last = if trailers.is_none() { frame::END_STREAM } else { 0 };
        frame::write(&mut bytes, frame::DATA, last, 1, content);
        if let Some(fields) = trailers {
            let flags = frame::END_HEADERS | frame::END_STREAM;
            frame::write(&mut bytes, frame::HEADERS, flags, 1, &block(fields));
        }
        bytes
    }

    fn outcome(client: &mut Client, bytes: &[u8]) -> Result<Vec<u64>, &'static str> {
        let mut done = Vec::new();
        client.begin(7, &mut Vec::new());
        client.take(bytes, &mut Vec::new(), &mut done).map(|_| done)
    }

    #[test]
    fn a_right_answer_is_counted_however_it_is_cut() {
        let bytes = answer(&[STATUS_200], b"hello", None);
        let mut client = get();
        let (mut out, mut done, mut at) = (Vec::new(), Vec::new(), 0);
        client.begin(7, &mut out);
        for end in 0..=bytes.len() {
            at += client.take(&bytes[at..end], &mut out, &mut done).unwrap();
        }
        assert_eq!((done, client.in_flight()), (vec![7], 0));
    }

    #[test]
    fn wrong_answers_are_named() {
        let wrong = [
            (answer(&[Field::Known(13)], b"hello", None), "status is not 200"),
            (
                answer(&[STATUS_200, Field::Passing(28, "", "6")], b"hello", None),
                "wrong content-length",
            ),
            (answer(&[STATUS_200], b"jello", None), "wrong content"),
            (answer(&[STATUS_200], b"hello!", None), "wrong content"),
            (answer(&[STATUS_200], b"hell", None), "content was cut off"),
            (answer(&[STATUS_200], b"hello", Some(&[GRPC_STATUS_0])), "wrong trailers"),
        ];
        for (bytes, why) in wrong {
            assert_eq!(outcome(&mut get(), &bytes), Err(why));
        }
    }

    #[test]
    fn a_call_needs_its_trailers() {
        let call = || client(Exchange::call(Scheme::Https, "/a/b", b"ask", b"answer"));
        let content = grpc_message(b"answer");
        let right = answer(&[STATUS_200], &content, Some(&[GRPC_STATUS_0]));
        assert_eq!(outcome(&mut call(), &right), Ok(vec![7]));
        let failed = [Field::Passing(0, "grpc-status", "13")];
        let wrong = answer(&[STATUS_200], &content, Some(&failed));
        assert_eq!(outcome(&mut call(), &wrong), Err("wrong trailers"));
        let none = answer(&[STATUS_200], &content, None);
        assert_eq!(outcome(&mut call(), &none), Err("no trailers"));
    }

    #[test]
    fn calls_wait_for_the_window() {
        let mut client = Client::new(
            &Arc::new(Exchange::call(Scheme::Http, "/a/b", &[0; 40_000], b"")),
            &mut Vec::new(),
        );
        let mut out = Vec::new();
        client.begin(1, &mut out);
        assert!(out.is_empty(), "before the settings");
        frame::write(&mut out, frame::SETTINGS, 0, 0, &[]);
        let settings = std::mem::take(&mut out);
        client.take(&settings, &mut out, &mut Vec::new()).unwrap();
        let sent = out.len();
        client.begin(2, &mut out);
        assert_eq!((out.len(), client.in_flight(), client.streams.len()), (sent, 2, 1));
        let mut update = Vec::new();
        frame::write(&mut update, frame::WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes());
        client.take(&update, &mut out, &mut Vec::new()).unwrap();
        assert_eq!(client.streams.len(), 2);
    }
}
