//! What comes, frame by frame.

use super::frame::{HEADER, Header, PAYLOAD_MAX, number};
use super::past::Known;
use super::settings::{PREFACE, WINDOW_MOST};
use super::stream::WRITES;
use super::{Code, End, Fault, Goodbye, Key, LAST_PING, Machine, Role};
use crate::http::h2::code::WRONG;
use crate::http::h2::kinds::{
    ACK, CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};
use crate::http::{Bad, RequestHead};

/// A request that came.
#[derive(Debug)]
pub struct Begun {
    /// Its stream.
    pub key: Key,
    /// Nothing follows its head.
    pub ended: bool,
    /// What it is refused for by an answer.
    pub bad: Option<Bad>,
}

/// Where a request's head goes.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Its lines; empty before.
    pub lines: &'a mut Vec<u8>,
    /// What they say.
    pub head: &'a mut RequestHead,
    /// What becomes its Sec-WebSocket-Key, where it needs one.
    pub key: [u8; 16],
}

/// How much of what came was taken.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes: all, but for the beginning of a frame, or up to a request.
    pub taken: usize,
    /// The request that came last in them, and whether there is more to take.
    pub begun: Option<Begun>,
}

impl Machine {
    /// How many bytes the frame that begins with these takes, as far as they tell.
    pub fn wants(rest: &[u8]) -> usize {
        Header::read(rest).map_or(HEADER, |header| HEADER + header.len.min(PAYLOAD_MAX))
    }

    /// Notes what was sent since the last time, and the time: a peer's debt is paid by both.
    pub fn turn(&mut self, now_ns: u64) {
        let sent = std::mem::take(&mut self.sent);
        self.account.pay(sent, now_ns);
    }

    /// Takes whole frames. It stops behind each request, whose head is read then.
    ///
    /// # Errors
    /// The peer broke a rule: the connection is to be refused with that code.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        reading: &mut Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Received, Fault> {
        let mut taken = self.take_preface(bytes)?;
        if self.preface > 0 {
            return Ok(Received { taken, begun: None });
        }
        while let Some(header) = Header::read(&bytes[taken..]) {
            header.check_length()?;
            let at = taken + HEADER;
            let Some(payload) = bytes.get(at..at + header.len) else { break };
            taken = at + header.len;
            let begun = self.frame(header, payload, reading, out)?;
            if begun.is_some() {
                return Ok(Received { taken, begun });
            }
        }
        Ok(Received { taken, begun: None })
    }

    fn take_preface(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let n = self.preface.min(bytes.len());
        let at = PREFACE.len() - self.preface;
        if bytes[..n] != PREFACE[at..at + n] {
            return Err(WRONG);
        }
        self.preface -= n;
        Ok(n)
    }

    fn frame(
        &mut self,
        header: Header,
        payload: &[u8],
        reading: &mut Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        self.account.frame(header.kind, header.stream)?;
        if !self.has_settings && (header.kind != SETTINGS || header.has(ACK)) {
            return Err(WRONG);
        }
        if self.block.is_some() != (header.kind == CONTINUATION) {
            return Err(WRONG);
        }
        match header.kind {
            HEADERS => return self.take_headers(header, payload, reading, out),
            CONTINUATION => return self.take_continuation(header, payload, reading, out),
            DATA => self.take_data(header, payload, out)?,
            PRIORITY => self.take_priority(header, payload, out)?,
            RST_STREAM => self.take_reset(header, payload)?,
            WINDOW_UPDATE => self.take_window(header, payload, out)?,
            SETTINGS if header.stream == 0 => self.take_settings(header.has(ACK), payload, out)?,
            PING if header.stream == 0 => self.take_ping(header.has(ACK), payload, out),
            GOAWAY if header.stream == 0 => self.take_goodbye(payload),
            SETTINGS | PING | GOAWAY | PUSH_PROMISE => return Err(WRONG),
            _ => {}
        }
        Ok(None)
    }

    fn take_ping(&mut self, ack: bool, payload: &[u8], out: &mut Vec<u8>) {
        if !ack {
            self.write(PING, ACK, 0, payload, out);
        } else if self.goodbye == Goodbye::Announced && payload == LAST_PING {
            self.say_last(out);
        }
    }

    /// The peer goes away. What it will not look at of what was begun here, it has not looked at.
    fn take_goodbye(&mut self, payload: &[u8]) {
        let last = number(payload, 0) & (u32::MAX >> 1);
        self.last_of_peer = Some(self.last_of_peer.map_or(last, |before| before.min(last)));
        if self.role == Role::Client {
            let beyond = |slot: &&mut super::stream::Slot| slot.id > last && !slot.is_over();
            let mut ended = 0;
            for slot in self.streams.all().filter(beyond) {
                slot.break_off(End::Refused);
                ended += 1;
            }
            self.open -= ended;
        }
    }

    /// Priorities are not kept (RFC 9113 section 5.3), but a stream still can't depend on itself.
    fn take_priority(
        &mut self,
        header: Header,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if header.stream == 0 {
            return Err(WRONG);
        }
        if number(payload, 0) & (u32::MAX >> 1) == header.stream {
            self.refuse_stream(header.stream, Code::PROTOCOL_ERROR, out);
        }
        Ok(())
    }

    fn take_reset(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        self.check_begun(header.stream)?;
        self.past.end(header.stream);
        if let Some(key) = self.streams.find(header.stream) {
            let code = Code(number(payload, 0));
            let refused = code == Code::REFUSED_STREAM;
            self.break_off(key, if refused { End::Refused } else { End::Reset(code) });
        }
        Ok(())
    }

    fn take_window(
        &mut self,
        header: Header,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let by = i64::from(number(payload, 0) & (u32::MAX >> 1));
        if header.stream == 0 {
            if by == 0 {
                return Err(WRONG);
            }
            self.windows.outgoing += by;
            let fits = self.windows.outgoing <= WINDOW_MOST;
            return if fits { Ok(()) } else { Err(Fault(Code::FLOW_CONTROL_ERROR)) };
        }
        self.check_begun(header.stream)?;
        let Some(key) = self.streams.find(header.stream) else { return Ok(()) };
        let Some(slot) = self.streams.of_mut(key) else { return Ok(()) };
        slot.out_window += by;
        if by == 0 {
            self.refuse_stream(header.stream, Code::PROTOCOL_ERROR, out);
        } else if slot.out_window > WINDOW_MOST {
            self.refuse_stream(header.stream, Code::FLOW_CONTROL_ERROR, out);
        } else if slot.out_window > 0 {
            slot.wake(WRITES);
        }
        Ok(())
    }

    /// A frame on a stream that was never begun breaks the rules of its state (section 5.1).
    pub(super) fn check_begun(&self, stream: u32) -> Result<(), Fault> {
        let idle = stream == 0 || self.past.of(stream) == Known::Idle;
        if idle { Err(WRONG) } else { Ok(()) }
    }
}
