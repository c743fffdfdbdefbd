//! Content that comes in, and the room that is given for more.

use std::task::{Context, Poll};

use super::frame::Header;
use super::past::Known;
use super::stream::{READS, Slot};
use super::{Code, End, Fault, Key, Machine, Role};
use crate::http::h2::kinds::{END_STREAM, WINDOW_UPDATE};

impl Machine {
    pub(super) fn take_data(
        &mut self,
        header: Header,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.check_begun(header.stream)?;
        let content = header.unpadded(payload)?;
        let ends = header.has(END_STREAM);
        self.account.content(content.len(), ends)?;
        self.windows.incoming -= header.len as i64;
        if self.windows.incoming < 0 {
            return Err(Fault(Code::FLOW_CONTROL_ERROR));
        }
        let open = self.streams.find(header.stream).filter(|key| self.is_open(*key));
        let Some(key) = open else {
            self.make_room(header.len, out);
            return self.late(header.stream);
        };
        match self.put(key, content, header.len, ends) {
            Ok(()) => {
                self.make_room(header.len - content.len(), out);
                self.make_own_room(key, out);
            }
            Err(code) => {
                self.make_room(header.len, out);
                self.refuse_stream(header.stream, code, out);
            }
        }
        if ends {
            self.note_end(key);
        }
        Ok(())
    }

    /// Whether content or trailers of it may still come.
    pub(super) fn is_open(&self, key: Key) -> bool {
        self.streams.of(key).is_some_and(|slot| !slot.in_ended && slot.end.is_none())
    }

    /// Something came of a stream that is not open. What a client says behind its end breaks the rules
    /// (section 5.1); a target's connection is shared by those who have nothing to do with that.
    pub(super) fn late(&mut self, stream: u32) -> Result<(), Fault> {
        let told = self.streams.find(stream).and_then(|key| self.streams.of(key));
        let known = match told {
            Some(slot) if slot.in_ended => Known::Ended,
            _ => self.past.of(stream),
        };
        match known {
            Known::GivenUp => Ok(()),
            _ if self.role == Role::Server => Err(Fault(Code::STREAM_CLOSED)),
            _ => self.account.late(),
        }
    }

    fn put(&mut self, key: Key, content: &[u8], all: usize, ends: bool) -> Result<(), Code> {
        let Some(slot) = self.streams.of_mut(key) else { return Ok(()) };
        slot.in_window -= all as i64;
        if slot.in_window < 0 {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        if !slot.headed {
            return Err(Code::PROTOCOL_ERROR);
        }
        slot.taken += (all - content.len()) as u32;
        if let Some(left) = &mut slot.left {
            let less = left.checked_sub(content.len() as u64).ok_or(Code::PROTOCOL_ERROR)?;
            *left = less;
            if ends && less > 0 {
                return Err(Code::PROTOCOL_ERROR);
            }
        }
        slot.put(content);
        slot.wake(READS);
        Ok(())
    }

    /// The peer has said all of a stream.
    pub(super) fn note_end(&mut self, key: Key) {
        self.past.end(key.id);
        let Some(slot) = self.streams.of_mut(key) else { return };
        if slot.end.is_none() {
            slot.in_ended = true;
            slot.wake(READS);
            if slot.is_over() {
                self.open -= 1;
            }
        }
    }

    /// Breaks a stream off, once.
    pub(super) fn break_off(&mut self, key: Key, end: End) {
        let Some(slot) = self.streams.of_mut(key) else { return };
        if !slot.is_over() {
            self.open -= 1;
        }
        slot.break_off(end);
    }

    /// So much content of the connection needs no room any more.
    fn make_room(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.windows.taken += bytes as u32;
        let taken = self.windows.taken;
        if taken >= self.windows.incoming_most / 2 && !self.over {
            self.windows.taken = 0;
            self.windows.incoming += i64::from(taken);
            self.write(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes(), out);
        }
    }

    /// Whether nothing comes, or nothing more.
    pub fn is_at_end(&self, key: Key) -> bool {
        let all = |slot: &Slot| slot.content().is_empty() && slot.in_ended;
        self.streams.of(key).is_none_or(|slot| all(slot) && slot.trailers.is_none())
    }

    /// Ready when there is content, with how much; 0: all has come. The error is why there is no more.
    pub fn poll_content(&mut self, key: Key, cx: &Context<'_>) -> Poll<Result<usize, End>> {
        let Some(slot) = self.streams.of_mut(key) else { return Poll::Ready(Err(End::Lost)) };
        match (slot.content().len(), slot.end) {
            (0, _) if slot.in_ended => Poll::Ready(Ok(0)),
            (0, Some(end)) => Poll::Ready(Err(end)),
            (0, None) => {
                slot.wait(READS, cx);
                Poll::Pending
            }
            (n, _) => Poll::Ready(Ok(n)),
        }
    }

    /// Takes up to `most` bytes of the content that is there; the peer may then send as much again.
    pub fn take_content(
        &mut self,
        key: Key,
        most: usize,
        take: impl FnOnce(&[u8]),
        out: &mut Vec<u8>,
    ) -> usize {
        let Some(slot) = self.streams.of_mut(key) else { return 0 };
        let n = slot.content().len().min(most);
        take(&slot.content()[..n]);
        slot.consume(n);
        slot.taken += n as u32;
        self.make_own_room(key, out);
        self.make_room(n, out);
        n
    }

    /// Tells the peer of what was taken of a stream, once that is much.
    fn make_own_room(&mut self, key: Key, out: &mut Vec<u8>) {
        let Some(slot) = self.streams.of_mut(key) else { return };
        if slot.taken >= self.stream_window / 2 && !slot.in_ended && slot.end.is_none() {
            let by = std::mem::take(&mut slot.taken);
            slot.in_window += i64::from(by);
            self.write(WINDOW_UPDATE, 0, key.id, &by.to_be_bytes(), out);
        }
    }

    /// The trailers, as a trailer section; once.
    pub fn take_trailers(&mut self, key: Key) -> Option<Vec<u8>> {
        self.streams.of_mut(key)?.trailers.take()
    }

    /// What nobody took of a stream needs no room any more.
    pub(super) fn forget_content(&mut self, key: Key, out: &mut Vec<u8>) {
        let left = self.streams.of(key).map_or(0, |slot| slot.content().len());
        if left > 0 {
            self.make_room(left, out);
        }
    }
}
