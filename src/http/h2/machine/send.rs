//! What is said on a stream: heads, content, trailers, and that it is broken off.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::frame::{HEADER, PAYLOAD_MAX, header};
use super::stream::{Head, READS, Turn, WRITES};
use super::{Code, End, Key, Machine, Role};
use crate::http::Bad;
use crate::http::Field;
use crate::http::h2::heads::encode;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::kinds::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM};
use crate::limits::{GATHERED_MAX, H2_HEADS_KEPT, H2_HEADS_KEPT_SIZE};

/// Why a head was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// HTTP/2 has no way to tell this.
    Bad(Bad),
    /// There is no stream, or no more of it, to send it on.
    Gone,
}

/// A request's head to be sent.
#[derive(Debug)]
pub struct Asking<'a> {
    /// Its lines.
    pub lines: &'a [u8],
    /// It goes over TLS.
    pub secure: bool,
    /// The protocol that it asks to switch to.
    pub upgrade: Option<&'a str>,
    /// It has no content.
    pub ended: bool,
    /// Its answer has none.
    pub asks_head: bool,
}

impl Machine {
    /// Begins a stream by a request's head.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn ask(&mut self, asking: &Asking<'_>, out: &mut Vec<u8>) -> Result<Key, Unsent> {
        if !self.may_begin() {
            return Err(Unsent::Gone);
        }
        let stream = self.next_stream;
        let &Asking { lines, secure, upgrade, ended, asks_head } = asking;
        self.send_block(stream, ended, out, |encoder, out| {
            encode::request(lines, secure, upgrade, encoder, out)
        })?;
        self.next_stream += 2;
        self.past.begin(stream);
        let key = self.open(stream, |slot| slot.asks_head = asks_head);
        if ended {
            self.note_said(key);
        }
        Ok(key)
    }

    /// Sends an answer's head.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn answer(
        &mut self,
        key: Key,
        lines: &[u8],
        ended: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsent> {
        self.check_sayable(key).map_err(|_| Unsent::Gone)?;
        self.send_block(key.id, ended, out, |encoder, out| encode::response(lines, encoder, out))?;
        if ended {
            self.note_said(key);
        }
        Ok(())
    }

    /// Ends a stream's content by trailers.
    ///
    /// # Errors
    /// Why the stream ended before.
    pub fn send_trailers(
        &mut self,
        key: Key,
        fields: &[Field],
        buf: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        self.check_sayable(key)?;
        let sent = self.send_block(key.id, true, out, |encoder, out| {
            encode::trailers(fields, buf, encoder, out);
            Ok(())
        });
        self.note_said(key);
        sent.map_err(|_| End::GivenUp)
    }

    fn check_sayable(&self, key: Key) -> Result<(), End> {
        let slot = self.streams.of(key).ok_or(End::Lost)?;
        match slot.end {
            Some(end) => Err(end),
            None if slot.out_ended => Err(End::GivenUp),
            None => Ok(()),
        }
    }

    /// Appends a field block, in as many frames as it takes.
    fn send_block(
        &mut self,
        stream: u32,
        ends: bool,
        out: &mut Vec<u8>,
        tell: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), Bad>,
    ) -> Result<(), Unsent> {
        let at = out.len();
        out.extend_from_slice(&[0; HEADER]);
        if let Err(bad) = tell(&mut self.encoder, out) {
            out.truncate(at);
            return Err(Unsent::Bad(bad));
        }
        let len = out.len() - at - HEADER;
        let end = if ends { END_STREAM } else { 0 };
        let rest = (len > PAYLOAD_MAX).then(|| out.split_off(at + HEADER + PAYLOAD_MAX));
        let flags = if rest.is_none() { end | END_HEADERS } else { end };
        let first = header(len.min(PAYLOAD_MAX), HEADERS, flags, stream);
        out[at..at + HEADER].copy_from_slice(&first);
        for (n, piece) in rest.iter().flat_map(|rest| rest.chunks(PAYLOAD_MAX)).enumerate() {
            let last = (n + 2) * PAYLOAD_MAX >= len;
            let flags = if last { END_HEADERS } else { 0 };
            out.extend_from_slice(&header(piece.len(), CONTINUATION, flags, stream));
            out.extend_from_slice(piece);
        }
        self.sent += (out.len() - at) as u64;
        Ok(())
    }

    /// Ready with how much of the content was taken; `last`: it ends with that. Where there is no room
    /// for any of it, its task is woken when there is.
    pub fn poll_content_out(
        &mut self,
        key: Key,
        content: &[u8],
        last: bool,
        out: &mut Vec<u8>,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, End>> {
        if let Err(end) = self.check_sayable(key) {
            return Poll::Ready(Err(end));
        }
        if content.is_empty() {
            if last {
                self.write(DATA, END_STREAM, key.id, &[], out);
                self.note_said(key);
            }
            return Poll::Ready(Ok(0));
        }
        let n = self.room(key, content.len(), out.len(), cx);
        if n == 0 {
            return Poll::Pending;
        }
        self.send_content(key, &content[..n], last && n == content.len(), out);
        Poll::Ready(Ok(n))
    }

    /// How much may be sent now; with 0 the stream waits.
    fn room(&mut self, key: Key, wants: usize, gathered: usize, cx: &Context<'_>) -> usize {
        let all = self.room_for_all(gathered);
        let Some(slot) = self.streams.of_mut(key) else { return 0 };
        let own = usize::try_from(slot.out_window).unwrap_or(0).min(wants);
        let turn = std::mem::take(&mut slot.turn);
        if own == 0 {
            slot.wait(WRITES, cx);
            match turn {
                Turn::Queued => slot.turn = turn,
                Turn::Called => self.call(gathered),
                Turn::None => {}
            }
            return 0;
        }
        if turn == Turn::Called || self.waiting.is_empty() {
            let n = own.min(all);
            if n > 0 {
                return n;
            }
        }
        slot.turn = Turn::Queued;
        slot.wants = own;
        slot.wait(WRITES, cx);
        match turn {
            Turn::Queued => {}
            Turn::Called => self.waiting.push_front(key),
            Turn::None => self.waiting.push_back(key),
        }
        0
    }

    /// Bytes that the connection has room for.
    fn room_for_all(&self, gathered: usize) -> usize {
        let window = usize::try_from(self.windows.outgoing).unwrap_or(0);
        window.min(GATHERED_MAX.saturating_sub(gathered))
    }

    /// Wakes those who waited longest for the room that there is.
    pub fn call(&mut self, gathered: usize) {
        let mut room = self.room_for_all(gathered);
        while room > 0
            && let Some(key) = self.waiting.pop_front()
        {
            let Some(slot) = self.streams.of_mut(key) else { continue };
            room = room.saturating_sub(slot.wants);
            slot.turn = Turn::Called;
            slot.wake(WRITES);
        }
    }

    fn send_content(&mut self, key: Key, content: &[u8], last: bool, out: &mut Vec<u8>) {
        let mut pieces = content.chunks(PAYLOAD_MAX).peekable();
        while let Some(piece) = pieces.next() {
            let ends = last && pieces.peek().is_none();
            self.write(DATA, if ends { END_STREAM } else { 0 }, key.id, piece, out);
        }
        self.windows.outgoing -= content.len() as i64;
        if let Some(slot) = self.streams.of_mut(key) {
            slot.out_window -= content.len() as i64;
        }
        if last {
            self.note_said(key);
        }
    }

    /// All was said of a stream.
    fn note_said(&mut self, key: Key) {
        if let Some(slot) = self.streams.of_mut(key) {
            slot.out_ended = true;
            if slot.is_over() {
                self.open -= 1;
            }
        }
    }

    /// Breaks a stream off, unless it is over.
    pub fn reset(&mut self, key: Key, code: Code, out: &mut Vec<u8>) {
        if self.streams.of(key).is_some_and(|slot| !slot.is_over()) {
            self.write(RST_STREAM, 0, key.id, &code.0.to_be_bytes(), out);
            self.break_off(key, End::GivenUp);
            self.call(out.len());
        }
    }

    /// Nobody here holds the stream any more. What it has not said it never will; what its peer still
    /// has to say is not wanted.
    pub fn release(&mut self, key: Key, out: &mut Vec<u8>) {
        let Some(slot) = self.streams.of_mut(key) else { return };
        let answered = self.role == Role::Server && slot.out_ended;
        let queued = slot.turn == Turn::Queued;
        let unread = slot.heads.pop();
        if queued {
            self.waiting.retain(|other| *other != key);
        }
        self.reset(key, if answered { Code::NO_ERROR } else { Code::CANCEL }, out);
        self.forget_content(key, out);
        self.streams.remove(key);
        if let Some(head) = unread {
            self.keep(head.lines);
        }
        self.call(out.len());
    }

    /// Keeps memory for the next head.
    fn keep(&mut self, mut lines: Vec<u8>) {
        if self.spare.len() < H2_HEADS_KEPT && lines.capacity() <= H2_HEADS_KEPT_SIZE {
            lines.clear();
            self.spare.push(lines);
        }
    }

    /// Ready with the next head that came; the error is why none will. It is lent to `take`.
    pub fn poll_head<T>(
        &mut self,
        key: Key,
        cx: &Context<'_>,
        take: impl FnOnce(&Head) -> T,
    ) -> Poll<Result<T, End>> {
        let Some(slot) = self.streams.of_mut(key) else { return Poll::Ready(Err(End::Lost)) };
        if slot.heads.is_empty() {
            if let Some(end) = slot.end {
                return Poll::Ready(Err(end));
            }
            slot.wait(READS, cx);
            return Poll::Pending;
        }
        let head = slot.heads.remove(0);
        let taken = take(&head);
        self.keep(head.lines);
        Poll::Ready(Ok(taken))
    }

    /// Becomes true once the peer has reset the stream, or its connection has ended.
    pub fn gone(&mut self, key: Key) -> Rc<Cell<bool>> {
        let slot = self.streams.of_mut(key);
        slot.map_or_else(|| Rc::new(Cell::new(true)), super::stream::Slot::gone)
    }

    /// Streams that somebody here holds.
    pub fn held(&self) -> usize {
        self.streams.len()
    }
}
