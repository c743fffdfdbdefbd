//! Field blocks that come: requests, answers and trailers.

use std::borrow::Cow;

use super::frame::{Header, number};
use super::past::Known;
use super::receive::{Begun, Reading};
use super::stream::{Head, READS, Slot};
use super::{Code, End, Fault, Fields, Goodbye, Key, Machine, Role};
use crate::http::h2::code::WRONG;
use crate::http::h2::heads::{Arrived, Wrong, decode};
use crate::http::h2::kinds::{END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITIZED, RST_STREAM};
use crate::http::{Bad, Framing};
use crate::limits::MAX_INTERIM;

/// What is wrong with a field block: with its stream alone, or with all that follows.
enum Broken {
    Stream(End),
    Connection(Fault),
}

impl From<Wrong> for Broken {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Bad(bad) => Self::Stream(End::Bad(bad)),
            Wrong::Malformed => Self::Stream(End::Malformed),
            Wrong::NotHttp => Self::Connection(WRONG),
            Wrong::Broken => Self::Connection(Fault(Code::COMPRESSION_ERROR)),
            Wrong::TooLarge => Self::Connection(Fault(Code::ENHANCE_YOUR_CALM)),
        }
    }
}

impl Machine {
    pub(super) fn take_headers(
        &mut self,
        header: Header,
        payload: &[u8],
        reading: &mut Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        if header.stream == 0 {
            return Err(WRONG);
        }
        let bytes = Cow::Borrowed(header.unpadded(payload)?);
        let depends_on_itself = depends_on(header, payload) == Some(header.stream);
        let (stream, ends) = (header.stream, header.has(END_STREAM));
        let fields = Fields { stream, ends, depends_on_itself, bytes };
        if header.has(END_HEADERS) {
            return self.take_fields(&fields, reading, out);
        }
        let bytes = Cow::Owned(fields.bytes.into_owned());
        self.block = Some(Fields { bytes, ..fields });
        Ok(None)
    }

    pub(super) fn take_continuation(
        &mut self,
        header: Header,
        payload: &[u8],
        reading: &mut Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        let most = self.block_most();
        let Some(mut block) = self.block.take().filter(|block| block.stream == header.stream)
        else {
            return Err(WRONG);
        };
        let bytes = block.bytes.to_mut();
        bytes.extend_from_slice(payload);
        if bytes.len() > most {
            return Err(Fault(Code::ENHANCE_YOUR_CALM));
        }
        if header.has(END_HEADERS) {
            return self.take_fields(&block, reading, out);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn take_fields(
        &mut self,
        fields: &Fields<'_>,
        reading: &mut Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        if let Some(key) = self.streams.find(fields.stream) {
            return self.take_more(key, fields, out).map(|()| None);
        }
        match self.past.of(fields.stream) {
            Known::Idle if self.role == Role::Server && fields.stream % 2 == 1 => {
                self.begin_request(fields, reading, out)
            }
            Known::Idle | Known::Skipped => Err(WRONG),
            Known::Ended | Known::GivenUp => {
                self.pass_over(fields)?;
                self.late(fields.stream).map(|()| None)
            }
        }
    }

    /// Keeps the table right, which the peer has changed all the same.
    fn pass_over(&mut self, fields: &Fields<'_>) -> Result<(), Fault> {
        let read = decode::nothing(&mut self.decoder, &fields.bytes, self.bounds.max_head);
        match read.map_err(Broken::from) {
            Err(Broken::Connection(fault)) => Err(fault),
            Ok(()) | Err(Broken::Stream(_)) => Ok(()),
        }
    }

    fn begin_request(
        &mut self,
        fields: &Fields<'_>,
        reading: &mut Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        self.past.begin(fields.stream);
        let gone = matches!(self.goodbye, Goodbye::Said(_));
        if gone || self.open >= self.max_streams {
            self.pass_over(fields)?;
            if !gone {
                self.refuse_stream(fields.stream, Code::REFUSED_STREAM, out);
            }
            return self.account.refused().map(|()| None);
        }
        let (bad, left) = match self.read_request(fields, reading) {
            Ok(left) => (None, left),
            Err(Broken::Stream(End::Bad(bad))) => (Some(bad), None),
            Err(Broken::Stream(_)) => {
                reading.lines.clear();
                self.refuse_stream(fields.stream, Code::PROTOCOL_ERROR, out);
                return self.account.refused().map(|()| None);
            }
            Err(Broken::Connection(fault)) => return Err(fault),
        };
        let key = self.open(fields.stream, |slot| {
            slot.headed = true;
            slot.left = left;
        });
        if fields.ends {
            self.note_end(key);
        }
        Ok(Some(Begun { key, ended: fields.ends, bad }))
    }

    /// Gives the length that its content must have, where it tells one.
    fn read_request(
        &mut self,
        fields: &Fields<'_>,
        reading: &mut Reading<'_>,
    ) -> Result<Option<u64>, Broken> {
        let Reading { lines, head, key } = reading;
        let (decoder, bounds) = (&mut self.decoder, &self.bounds);
        let read = decode::request(decoder, &fields.bytes, fields.ends, *key, bounds, lines, head);
        match read {
            // It has no content, and says that it has some.
            Err(Wrong::Bad(Bad::Truncated)) => Err(Broken::Stream(End::Malformed)),
            Err(wrong) => Err(wrong.into()),
            Ok(()) if fields.depends_on_itself => Err(Broken::Stream(End::Malformed)),
            Ok(()) => Ok(match head.framing {
                Framing::Length(length) => Some(length),
                _ => None,
            }),
        }
    }

    /// A stream begins, whichever side began it.
    pub(super) fn open(&mut self, id: u32, fill: impl FnOnce(&mut Slot)) -> Key {
        let (in_window, out_window) = (self.stream_window, self.peer.window);
        self.open += 1;
        self.streams.insert(id, |slot| {
            slot.in_window = i64::from(in_window);
            slot.out_window = i64::from(out_window);
            fill(slot);
        })
    }

    /// A head on a stream that there is: an answer, or trailers.
    fn take_more(&mut self, key: Key, fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !self.is_open(key) {
            self.pass_over(fields)?;
            return self.late(key.id);
        }
        let headed = self.streams.of(key).is_some_and(|slot| slot.headed);
        let taken = match headed {
            true => self.take_trailing(key, fields),
            false => self.take_answer(key, fields),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(Broken::Stream(end)) => {
                self.break_off(key, end);
                self.refuse_stream(key.id, Code::PROTOCOL_ERROR, out);
                Ok(())
            }
            Err(Broken::Connection(fault)) => Err(fault),
        }
    }

    fn take_trailing(&mut self, key: Key, fields: &Fields<'_>) -> Result<(), Broken> {
        let mut section = Vec::new();
        let most = self.bounds.max_head;
        decode::trailers(&mut self.decoder, &fields.bytes, most, &mut section)?;
        let Some(slot) = self.streams.of_mut(key) else { return Ok(()) };
        if !fields.ends || slot.left.is_some_and(|left| left > 0) {
            return Err(Broken::Stream(End::Malformed));
        }
        slot.trailers = Some(section);
        self.note_end(key);
        Ok(())
    }

    fn take_answer(&mut self, key: Key, fields: &Fields<'_>) -> Result<(), Broken> {
        let mut lines = self.spare.pop().unwrap_or_default();
        let most = self.bounds.max_head;
        let about = decode::answer(&mut self.decoder, &fields.bytes, most, &mut lines)?;
        let Some(slot) = self.streams.of_mut(key) else { return Ok(()) };
        let ended = fields.ends;
        slot.headed = about.status >= 200;
        slot.left = content_left(&about, slot.asks_head);
        let short = ended && (!slot.headed || slot.left.is_some_and(|left| left > 0));
        if short || slot.heads.len() > MAX_INTERIM as usize {
            return Err(Broken::Stream(End::Malformed));
        }
        slot.heads.push(Head { lines, about, ended });
        slot.wake(READS);
        if ended {
            self.note_end(key);
        }
        Ok(())
    }

    /// Resets a stream for what came of it. To make us do that is as good as to reset it: a client pays the
    /// same.
    pub(super) fn refuse_stream(&mut self, stream: u32, code: Code, out: &mut Vec<u8>) {
        self.write(RST_STREAM, 0, stream, &code.0.to_be_bytes(), out);
        let Some(key) = self.streams.find(stream) else { return };
        let was_over = self.streams.of(key).is_none_or(Slot::is_over);
        if self.role == Role::Server && !was_over {
            self.account.provoked(stream);
        }
        self.break_off(key, End::Malformed);
    }

    /// A request that came is one too many for who serves them.
    pub fn decline(&mut self, key: Key, out: &mut Vec<u8>) {
        self.reset(key, Code::REFUSED_STREAM, out);
        // Whoever is in too deep hears of it with the next frame.
        let _ = self.account.refused();
    }
}

/// The stream that a HEADERS frame says to depend on.
fn depends_on(header: Header, payload: &[u8]) -> Option<u32> {
    let at = usize::from(header.has(PADDED));
    let says = header.kind == HEADERS && header.has(PRIORITIZED);
    says.then(|| number(payload, at) & (u32::MAX >> 1))
}

/// The length that content must have, by the head that announces it.
fn content_left(about: &Arrived, asks_head: bool) -> Option<u64> {
    let none = asks_head || matches!(about.status, ..200 | 204 | 304);
    about.length.filter(|_| !none)
}
