//! The upstream behind proxies that speak HTTP/2 to it, in cleartext and by prior knowledge: it
//! answers every request with 1 KiB, or every call of gRPC with a message and trailers.

use std::collections::VecDeque;

use crate::backend::{Fate, Size, body_byte};
use crate::frame::{self, Frame, Received};
use crate::hpack::{Block, Field, Writer};
use crate::http2::grpc_message;
use crate::net::{self, Socket};

/// A proxy whose streams take less than this at once would need answers in pieces.
const LEAST_WINDOW: u32 = 4096;

/// Bytes of a call's answer, without its prefix.
pub const REPLY: usize = 256;

/// What is answered, made once.
#[derive(Debug)]
pub struct Answer {
    head: Block,
    content: Vec<u8>,
    trailers: Option<Block>,
}

impl Answer {
    /// 1 KiB, with the fields that servers usually send.
    pub fn small() -> Self {
        let content: Vec<u8> = (0..Size::Small.bytes()).map(body_byte).collect();
        let head = Block::new(&[
            Field::Known(8),
            Field::Passing(33, "", "Tue, 04 Nov 2025 09:30:00 GMT"),
            Field::Kept(54, "", "backend/1.0"),
            Field::Kept(31, "", "application/octet-stream"),
            Field::Passing(28, "", "1024"),
            Field::Passing(34, "", "\"5f3c-61e\""),
            Field::Kept(24, "", "max-age=60"),
            Field::Kept(59, "", "Accept-Encoding"),
        ]);
        Self { head, content, trailers: None }
    }

    /// The reply of a unary call.
    pub fn reply() -> Self {
        let message: Vec<u8> = (0..REPLY).map(body_byte).collect();
        let head = Block::new(&[Field::Known(8), Field::Kept(31, "", "application/grpc")]);
        let trailers = Block::new(&[
            Field::Passing(0, "grpc-status", "0"),
            Field::Passing(0, "grpc-message", "ok"),
        ]);
        Self { head, content: grpc_message(&message), trailers: Some(trailers) }
    }
}

/// A connection from a proxy.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    talk: Talk,
    partial: Vec<u8>,
    out: Vec<u8>,
}

/// What was said on it.
#[derive(Debug)]
struct Talk {
    greeted: bool,
    writer: Writer,
    window: i64,
    received: Received,
    /// Streams whose answers wait for the window.
    waiting: VecDeque<u32>,
}

impl Connection {
    /// A new one.
    pub fn new(socket: Socket) -> Self {
        let mut out = Vec::new();
        frame::open(&mut out, &[(frame::MAX_CONCURRENT_STREAMS, 1024)]);
        let talk = Talk {
            greeted: false,
            writer: Writer::default(),
            window: frame::FIRST_WINDOW,
            received: Received::default(),
            waiting: VecDeque::new(),
        };
        Self { socket, talk, partial: Vec::new(), out }
    }

    /// Handles an edge: reads all there is, writes what it can. `scratch` is shared by all.
    pub fn on_event(&mut self, gone: bool, scratch: &mut [u8], answer: &Answer) -> Fate {
        loop {
            let received = match self.socket.recv(scratch) {
                Ok(0) => return Fate::Close,
                Ok(n) => n,
                Err(error) if net::would_block(&error) => break,
                Err(_) => return Fate::Close,
            };
            if self.take(&scratch[..received], answer).is_err() {
                return Fate::Close;
            }
            if received < scratch.len() && !gone {
                break;
            }
        }
        self.send()
    }

    fn take(&mut self, bytes: &[u8], answer: &Answer) -> Result<(), &'static str> {
        if self.partial.is_empty() {
            let used = self.talk.take(bytes, &mut self.out, answer)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let used = self.talk.take(&self.partial, &mut self.out, answer)?;
        self.partial.drain(..used);
        Ok(())
    }

    fn send(&mut self) -> Fate {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.send(&self.out[sent..]) {
                Ok(n) => sent += n,
                Err(error) if net::would_block(&error) => break,
                Err(_) => return Fate::Close,
            }
        }
        self.out.drain(..sent);
        Fate::Keep
    }
}

impl Talk {
    /// Answers every request that is complete in `bytes` and returns how much was used. Trusts the
    /// proxies: nothing is validated.
    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answer: &Answer,
    ) -> Result<usize, &'static str> {
        let mut used = 0;
        if !self.greeted {
            if bytes.len() < frame::PREFACE.len() {
                return Ok(0);
            }
            if !bytes.starts_with(frame::PREFACE) {
                return Err("this is not HTTP/2");
            }
            self.greeted = true;
            used = frame::PREFACE.len();
        }
        while let Some(frame) = Frame::read(&bytes[used..])? {
            used += frame.len();
            match frame.kind {
                frame::DATA => self.received.count(&frame, out),
                frame::SETTINGS => self.on_settings(&frame, out)?,
                frame::PING => frame::acknowledge(&frame, out),
                frame::WINDOW_UPDATE if frame.stream == 0 => {
                    self.window += i64::from(frame.number()?);
                    self.answer_waiting(out, answer);
                }
                _ => {}
            }
            if matches!(frame.kind, frame::DATA | frame::HEADERS) && frame.has(frame::END_STREAM) {
                self.waiting.push_back(frame.stream);
                self.answer_waiting(out, answer);
            }
        }
        Ok(used)
    }

    fn on_settings(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), &'static str> {
        for (name, value) in frame.settings() {
            match name {
                frame::HEADER_TABLE_SIZE => self.writer.heed(value),
                frame::INITIAL_WINDOW_SIZE if value < LEAST_WINDOW => {
                    return Err("a window too small for an answer");
                }
                _ => {}
            }
        }
        frame::acknowledge(frame, out);
        Ok(())
    }

    fn answer_waiting(&mut self, out: &mut Vec<u8>, answer: &Answer) {
        let length = answer.content.len() as i64;
        while self.window >= length
            && let Some(stream) = self.waiting.pop_front()
        {
            self.window -= length;
            let head = self.writer.write(&answer.head);
            frame::write(out, frame::HEADERS, frame::END_HEADERS, stream, head);
            let Some(trailers) = &answer.trailers else {
                frame::write(out, frame::DATA, frame::END_STREAM, stream, &answer.content);
                continue;
            };
            frame::write(out, frame::DATA, 0, stream, &answer.content);
            let flags = frame::END_HEADERS | frame::END_STREAM;
            frame::write(out, frame::HEADERS, flags, stream, trailers.alone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http2::{Client, Exchange, Scheme};

    /// Lets a client and a backend speak with each other until both are silent.
    fn converse(exchange: Exchange, answer: &Answer, requests: u64) -> Vec<u64> {
        let (mut there, mut back, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let mut client = Client::new(&Arc::new(exchange), &mut there);
        let mut talk = Connection::new(Socket::listen(0).unwrap()).talk;
        frame::open(&mut back, &[]);
        (0..requests).for_each(|n| client.begin(n, &mut there));
        while !there.is_empty() || !back.is_empty() {
            let asked = std::mem::take(&mut there);
            assert_eq!(talk.take(&asked, &mut back, answer), Ok(asked.len()));
            let answers = std::mem::take(&mut back);
            assert_eq!(client.take(&answers, &mut there, &mut done), Ok(answers.len()));
        }
        done
    }

    #[test]
    fn client_and_backend_understand_each_other() {
        let body: Vec<u8> = (0..Size::Small.bytes()).map(body_byte).collect();
        let exchange = Exchange::get(Scheme::Http, "/orders/1", body);
        assert_eq!(converse(exchange, &Answer::small(), 3), [0, 1, 2]);
        let message: Vec<u8> = (0..REPLY).map(body_byte).collect();
        let exchange = Exchange::call(Scheme::Http, "/load.Echo/Ask", b"ask", &message);
        assert_eq!(converse(exchange, &Answer::reply(), 3), [0, 1, 2]);
    }

    #[test]
    fn answers_wait_for_the_window() {
        let (mut there, mut out) = (Vec::new(), Vec::new());
        let mut talk = Connection::new(Socket::listen(0).unwrap()).talk;
        there.extend_from_slice(frame::PREFACE);
        for n in 0..80 {
            let flags = frame::END_HEADERS | frame::END_STREAM;
            frame::write(&mut there, frame::HEADERS, flags, 2 * n + 1, &[]);
        }
        talk.take(&there, &mut out, &Answer::small()).unwrap();
        assert_eq!(talk.waiting.len(), 80 - 63, "63 KiB fit the first window");
        there.clear();
        frame::write(&mut there, frame::WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes());
        talk.take(&there, &mut out, &Answer::small()).unwrap();
        assert!(talk.waiting.is_empty());
    }
}
