//! Streams one message's content from one side to the other: decoded, checked, and framed anew, a
//! buffer at a time. A slow reader stops the fast writer, since nothing is read before the last piece
//! was written.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;

use crate::http::grpc::web::Translation;
use crate::http::h1::BodyReader;
use crate::http::h1::encode::{CHUNK_PREFIX_MAX, chunk_prefix, last_chunk};
use crate::http::{Bad, Field};
use crate::io::deadline::Expired;
use crate::io::splice::Pipe;
use crate::io::{Buffer, Expiry, Guard, Stream, buffer, clock};
use crate::limits::BUFFER_SMALL;
use crate::multiplexed::{Inbound, Outbound};
use crate::upstream::Carrier;

use super::withheld::Withheld;

/// How the content is framed for the one who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// As bytes: a Content-Length was sent, or the connection's end ends it.
    Plain,
    /// As chunks.
    Chunked,
    /// As a stream, whose end is told apart from a cut.
    Streamed,
}

/// Where content comes from.
#[derive(Clone, Copy)]
pub(super) enum Inlet<'a> {
    /// A connection.
    Socket(&'a Stream),
    /// A stream of one.
    Stream(&'a Inbound),
}

impl<'a> Inlet<'a> {
    /// What a target says.
    pub(super) fn of(carrier: &'a Carrier) -> Self {
        match carrier {
            Carrier::Connection(connection) => Self::Socket(&connection.stream),
            Carrier::Stream(stream) => Self::Stream(stream.download()),
        }
    }

    /// Reads behind the buffer's data; 0 is the end.
    pub(super) async fn read(self, buffer: Buffer, guard: &Guard) -> (io::Result<usize>, Buffer) {
        match self {
            Self::Socket(stream) => stream.read(buffer).await,
            Self::Stream(stream) => stream.read(buffer, guard).await,
        }
    }
}

/// Where content goes.
#[derive(Clone, Copy)]
pub(super) enum Outlet<'a> {
    /// A connection.
    Socket(&'a Stream),
    /// A stream of one.
    Stream(&'a Outbound),
}

impl<'a> Outlet<'a> {
    /// What a target is told; `None`: by a stream whose head was not sent.
    pub(super) fn of(carrier: &'a Carrier) -> Option<Self> {
        match carrier {
            Carrier::Connection(connection) => Some(Self::Socket(&connection.stream)),
            Carrier::Stream(stream) => stream.upload().map(Self::Stream),
        }
    }
}

/// Why content stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The sender ended or reset its connection in the middle.
    SenderClosed,
    /// The sender broke its framing.
    SenderBad(Bad),
    /// The sender was too slow.
    SenderSlow,
    /// The reader is gone.
    ReaderClosed,
    /// The reader was too slow.
    ReaderSlow,
    /// More content than allowed.
    TooLarge,
}

impl Stop {
    /// Whether it was the sender's doing, so that there is nothing more to pass on.
    pub(super) fn is_senders(self) -> bool {
        !matches!(self, Self::ReaderClosed | Self::ReaderSlow)
    }
}

/// One end of a pump, and how slow it may be.
pub(super) struct End<'a, S> {
    pub(super) side: S,
    pub(super) guard: &'a Guard,
    /// Longest wait for one operation, nanoseconds.
    pub(super) idle_ns: u64,
    /// Slowest average, bytes a second, after `grace_ns`; 0: none.
    pub(super) min_rate: u64,
    pub(super) grace_ns: u64,
    /// When the whole exchange must be over; `u64::MAX`: never.
    pub(super) total_at_ns: u64,
    pub(super) expiry: Expiry,
}

impl<S> End<'_, S> {
    /// Arms the deadline of one operation. `waited_ns` is the time this end has been waited for
    /// so far and `moved` what it moved, so that a trickle ends when its average falls below the
    /// rate.
    pub(super) fn arm(&self, pace: &Pace) {
        let at = clock::coarse_ns().saturating_add(self.idle_ns);
        self.guard.arm(at.min(self.hard_at(pace)), self.expiry);
    }

    /// The same for a write, whose reader may read though the kernel does not say so yet.
    pub(super) fn arm_write(&self, pace: &Pace) {
        let at = clock::coarse_ns().saturating_add(self.idle_ns);
        match self.expiry {
            // A stream's reader says so by its window.
            Expiry::Wake => self.guard.arm(at.min(self.hard_at(pace)), Expiry::Wake),
            _ => self.guard.arm_write(at, self.idle_ns, self.hard_at(pace)),
        }
    }

    /// When the whole exchange's time is over, or the slowest rate is missed.
    fn hard_at(&self, pace: &Pace) -> u64 {
        if self.min_rate == 0 {
            return self.total_at_ns;
        }
        let earned = u128::from(pace.moved) * 1_000_000_000 / u128::from(self.min_rate);
        let allowed = self.grace_ns.saturating_add(earned.min(u64::MAX as u128) as u64);
        let left = allowed.saturating_sub(pace.waited_ns);
        clock::coarse_ns().saturating_add(left).min(self.total_at_ns)
    }
}

/// What one end moved, and how long it was waited for.
#[derive(Default)]
pub(super) struct Pace {
    moved: u64,
    waited_ns: u64,
    /// The last read took all the room there was.
    filled: bool,
}

impl Pace {
    pub(super) fn add(&mut self, began_ns: u64, bytes: usize) {
        self.moved += bytes as u64;
        self.waited_ns += clock::coarse_ns().saturating_sub(began_ns);
    }
}

/// A message's content on its way.
pub(super) struct Pump<'a> {
    pub(super) from: End<'a, Inlet<'a>>,
    pub(super) to: End<'a, Outlet<'a>>,
    pub(super) reader: BodyReader,
    pub(super) wire: Wire,
    /// The two plain connections, where nothing else is pending on either and the length is known.
    pub(super) may_splice: Option<[&'a Stream; 2]>,
    /// Which trailers stay here.
    pub(super) withheld: Option<Withheld<'a>>,
    /// Tells the content, trailers included, in another form.
    pub(super) translation: Option<Translation>,
    /// When content last moved in either direction, where silence counts in both together.
    pub(super) company: Option<&'a Cell<u64>>,
    /// Payload bytes allowed.
    pub(super) limit: u64,
    /// Payload bytes the head announced; 0 where it did not say.
    pub(super) announced: u64,
    /// Payload bytes passed.
    pub(super) passed: u64,
    /// Set before the first byte is handed to the reader.
    pub(super) begun: &'a Cell<bool>,
    /// Bytes handed to the reader, head and framing included.
    pub(super) written: u64,
}

impl Pump<'_> {
    /// Streams the content to its end. `input` holds what was read behind the head; what belongs
    /// to the next message is left in it. `out` holds the head, not yet sent, and comes back
    /// empty.
    pub(super) async fn run(&mut self, input: &mut Buffer, out: &mut Buffer) -> Result<(), Stop> {
        let mut reading = Pace::default();
        let mut writing = Pace::default();
        loop {
            let piece = self.reader.decode(input.data_mut()).map_err(Stop::SenderBad)?;
            self.passed += piece.data as u64;
            if let Some(withheld) = self.withheld.filter(|_| piece.done) {
                self.reader.withhold(|name| withheld.has(name));
            }
            if self.passed > self.limit {
                return Err(Stop::TooLarge);
            }
            let whole = piece.consumed == input.len() && piece.data > 0;
            if whole && self.fits_in_front(out, input) {
                input.truncate(piece.data);
                self.frame(input, piece.data, piece.done);
                input.put_in_front(out.data());
                out.clear();
                self.pass(input, piece.done, &mut writing).await?;
            } else {
                let payload = self.translated(&input.data()[..piece.data], piece.done)?;
                self.append(out, &payload, piece.done);
                input.consume(piece.consumed);
                self.pass(out, piece.done, &mut writing).await?;
            }
            if piece.done {
                return Ok(());
            }
            // Without descriptors for a pipe it is copied.
            if let Some(both) = self.can_splice()
                && let Ok(pipe) = Pipe::take()
            {
                return self.splice(both, pipe).await;
            }
            self.read(input, &mut reading).await?;
        }
    }

    /// Whether what waits in `out`, and a chunk's size line, find room before the piece.
    fn fits_in_front(&self, out: &Buffer, input: &Buffer) -> bool {
        out.len() + CHUNK_PREFIX_MAX <= input.prefix() && self.translation.is_none()
    }

    /// A piece in the form that the reader gets. `done`: it is the last.
    fn translated<'p>(&mut self, payload: &'p [u8], done: bool) -> Result<Cow<'p, [u8]>, Stop> {
        let Some(translation) = &mut self.translation else { return Ok(payload.into()) };
        let mut told = translation.piece(payload).map_err(Stop::SenderBad)?;
        if done {
            let (trailers, buf) = self.reader.trailers();
            told.append(&mut translation.end(trailers, buf).map_err(Stop::SenderBad)?);
        }
        Ok(told.into())
    }

    /// Payload bytes that the reader got.
    pub(super) fn told(&self) -> u64 {
        self.translation.as_ref().map_or(self.passed, Translation::told)
    }

    /// What follows the content: nothing where it was told in it.
    fn trailers(&self) -> (&[Field], &[u8]) {
        match self.translation {
            Some(_) => (&[], &[]),
            None => self.reader.trailers(),
        }
    }

    /// Copies a small piece behind what waits in `out`.
    fn append(&self, out: &mut Buffer, payload: &[u8], done: bool) {
        match self.wire {
            Wire::Plain | Wire::Streamed => out.append(payload),
            Wire::Chunked => {
                if !payload.is_empty() {
                    let mut prefix = [0; CHUNK_PREFIX_MAX];
                    let n = chunk_prefix(&mut prefix, payload.len());
                    out.append(&prefix[CHUNK_PREFIX_MAX - n..]);
                    out.append(payload);
                    out.append(b"\r\n");
                }
                if done {
                    self.append_last_chunk(out);
                }
            }
        }
    }

    /// Frames a large piece where it lies.
    fn frame(&self, piece: &mut Buffer, len: usize, done: bool) {
        if self.wire != Wire::Chunked {
            return;
        }
        let n = chunk_prefix(piece.prefix_mut(), len);
        piece.take_prefix(n);
        piece.append(b"\r\n");
        if done {
            self.append_last_chunk(piece);
        }
    }

    fn append_last_chunk(&self, out: &mut Buffer) {
        let (fields, buf) = self.trailers();
        out.append_with(|bytes| last_chunk(bytes, fields, buf));
    }

    /// Passes a framed piece on. `done`: it is the last.
    async fn pass(&mut self, out: &mut Buffer, done: bool, pace: &mut Pace) -> Result<(), Stop> {
        match self.to.side {
            Outlet::Socket(_) if out.is_empty() => Ok(()),
            Outlet::Socket(stream) => self.write(stream, out, pace).await,
            Outlet::Stream(stream) => self.hand_over(stream, out, done, pace).await,
        }
    }

    /// Writes a piece, part by part: each part that the reader takes gives it time for the next.
    async fn write(
        &mut self,
        stream: &Stream,
        out: &mut Buffer,
        pace: &mut Pace,
    ) -> Result<(), Stop> {
        self.begun.set(true);
        while !out.is_empty() || stream.owes() {
            let began = clock::coarse_ns();
            let before = out.len();
            self.to.arm_write(pace);
            let (result, back) = stream.write(std::mem::take(out)).await;
            *out = back;
            self.account_for(result, before - out.len(), began, pace)?;
        }
        self.to.guard.disarm();
        Ok(())
    }

    /// The same to a stream, which is told of the end, too.
    async fn hand_over(
        &mut self,
        stream: &Outbound,
        out: &mut Buffer,
        done: bool,
        pace: &mut Pace,
    ) -> Result<(), Stop> {
        let trailers = done && !self.trailers().0.is_empty();
        let last = done && !trailers;
        while !out.is_empty() || last && !stream.is_ended() {
            let began = clock::coarse_ns();
            let before = out.len();
            self.to.arm_write(pace);
            let (result, back) = stream.write(std::mem::take(out), last, self.to.guard).await;
            *out = back;
            // Not who reads, but too slowly, or for too long in all.
            let waited = clock::coarse_ns().saturating_sub(began);
            if result.is_err() && waited >= self.to.idle_ns {
                stream.stalled();
            }
            self.account_for(result, before - out.len(), began, pace)?;
        }
        self.to.guard.disarm();
        if !trailers {
            return Ok(());
        }
        let (fields, buf) = self.trailers();
        stream.end_with(fields, buf).map_err(|_| Stop::ReaderClosed)
    }

    fn account_for(
        &mut self,
        result: io::Result<usize>,
        taken: usize,
        began_ns: u64,
        pace: &mut Pace,
    ) -> Result<(), Stop> {
        match result {
            Ok(n) => {
                self.written += taken as u64;
                self.note_move();
                pace.add(began_ns, n);
                Ok(())
            }
            Err(_) if self.to.guard.expired().is_some() => Err(Stop::ReaderSlow),
            Err(_) => Err(Stop::ReaderClosed),
        }
    }

    async fn read(&mut self, input: &mut Buffer, pace: &mut Pace) -> Result<(), Stop> {
        self.make_room(input, pace);
        let began = clock::coarse_ns();
        let result = loop {
            self.from.arm(pace);
            let (result, back) = self.from.side.read(std::mem::take(input), self.from.guard).await;
            *input = back;
            if result.is_ok() || !self.is_in_company() {
                break result;
            }
        };
        match result {
            Ok(0) | Err(_) if self.from.guard.expired().is_some() => Err(Stop::SenderSlow),
            Ok(0) => {
                self.take_trailers()?;
                self.reader.end_of_stream().map_err(|_| Stop::SenderClosed)
            }
            Ok(n) => {
                self.from.guard.disarm();
                self.note_move();
                pace.add(began, n);
                pace.filled = input.is_full();
                Ok(())
            }
            Err(_) => Err(Stop::SenderClosed),
        }
    }

    fn note_move(&self) {
        if let Some(moved) = self.company {
            moved.set(clock::coarse_ns());
        }
    }

    /// Whether a stream that was silent for too long may be so for longer, since the other direction
    /// is not.
    fn is_in_company(&self) -> bool {
        let (Inlet::Stream(_), Some(moved)) = (self.from.side, self.company) else { return false };
        let now = clock::coarse_ns();
        self.from.guard.expired() == Some(Expired::Deadline)
            && now < self.from.total_at_ns
            && now < moved.get().saturating_add(self.from.idle_ns)
    }

    /// Those of a stream come apart from its content.
    fn take_trailers(&mut self) -> Result<(), Stop> {
        let Inlet::Stream(stream) = self.from.side else { return Ok(()) };
        let Some(section) = stream.take_trailers() else { return Ok(()) };
        self.reader.take_trailers(&section).map_err(Stop::SenderBad)
    }

    /// Gives the next read a buffer that fits: a large one as soon as the content fills what it
    /// has, so that a trickle (server-sent events) holds little memory; and none before a stream's
    /// reader has taken something, which its window may never allow.
    fn make_room(&self, input: &mut Buffer, pace: &Pace) {
        debug_assert!(input.is_empty(), "the decoder takes all there is");
        let more = self.announced.saturating_sub(self.passed);
        let untouched = self.written == 0 && matches!(self.to.side, Outlet::Stream(_));
        let most = if untouched { BUFFER_SMALL } else { buffer::largest() };
        let grows = more > BUFFER_SMALL as u64 || pace.filled;
        if grows && input.capacity() < most || input.capacity() > most {
            *input = Buffer::at_most(most);
        }
        if input.capacity() == 0 {
            *input = Buffer::small();
        }
        input.set_headroom(CHUNK_PREFIX_MAX);
    }
}
