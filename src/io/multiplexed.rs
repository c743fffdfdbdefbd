//! The content of one of many streams on a connection: in and out, each with its flow control. What
//! heads say is not known here.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};

use super::buffer::Buffer;
use super::deadline::Guard;

/// A piece of content on its way out, in the buffer it was made in.
pub struct Piece(Buffer);

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn chunk(&self) -> &[u8] {
        self.0.data()
    }

    fn advance(&mut self, n: usize) {
        self.0.consume(n);
    }
}

/// Content that comes in.
pub struct Inbound {
    body: RefCell<Option<RecvStream>>,
    /// What came and was not asked for yet.
    rest: RefCell<Bytes>,
    trailers: RefCell<Option<http::HeaderMap>>,
}

impl Inbound {
    /// The content behind a head.
    pub fn new(body: RecvStream) -> Self {
        Self { body: RefCell::new(Some(body)), ..Self::empty() }
    }

    /// No content.
    pub fn empty() -> Self {
        Self { body: RefCell::default(), rest: RefCell::default(), trailers: RefCell::default() }
    }

    /// Whether nothing comes, or nothing more.
    pub fn is_at_end(&self) -> bool {
        let body = self.body.borrow();
        self.rest.borrow().is_empty() && body.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    /// Waits for content; gives how many bytes of it are at hand, 0 at its end.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub async fn come(&self, guard: &Guard) -> io::Result<usize> {
        let come = guard.unless_expired(poll_fn(|cx| self.poll_come(cx))).await;
        come.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(self.rest.borrow().len())
    }

    /// Puts what has come already behind the buffer's data, at most so many bytes, without waiting.
    /// True: that is all, and no trailers follow.
    pub fn take_come(&self, buffer: &mut Buffer, most: usize) -> bool {
        let mut rest = self.rest.borrow_mut();
        let mut body = self.body.borrow_mut();
        let Some(body) = body.as_mut() else { return true };
        let end = buffer.len() + most;
        let cx = &mut Context::from_waker(Waker::noop());
        while rest.is_empty() && !body.is_end_stream() && buffer.len() < end {
            let Poll::Ready(Some(Ok(bytes))) = body.poll_data(cx) else { return false };
            let _ = body.flow_control().release_capacity(bytes.len());
            let n = bytes.len().min(end - buffer.len());
            buffer.reserve(n);
            buffer.append(&bytes[..n]);
            *rest = bytes.slice(n..);
        }
        rest.is_empty() && body.is_end_stream()
    }

    /// Reads behind the buffer's data, as much as it has room for; 0 is the end, and then the
    /// trailers are there. The sender may send as much again as was taken.
    ///
    /// # Errors
    /// `TimedOut` where the guard's deadline passed; else the stream was reset, or its connection
    /// ended.
    pub async fn read(&self, mut buffer: Buffer, guard: &Guard) -> (io::Result<usize>, Buffer) {
        let come = guard.unless_expired(poll_fn(|cx| self.poll_fill(cx, &mut buffer))).await;
        (come.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())), buffer)
    }

    /// Takes all there is room for: many small frames cost as little as one. Ready when that is
    /// anything, or when nothing more comes.
    fn poll_fill(&self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let before = buffer.len();
        loop {
            let taken = buffer.len() - before;
            match self.poll_come(cx) {
                Poll::Ready(Ok(())) => {}
                // It is told next time.
                Poll::Ready(Err(_)) | Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            let mut rest = self.rest.borrow_mut();
            let n = rest.len().min(buffer.free());
            buffer.append(&rest[..n]);
            rest.advance(n);
            if n == 0 || buffer.is_full() {
                return Poll::Ready(Ok(buffer.len() - before));
            }
        }
    }

    /// Ready when there is content, or its end.
    fn poll_come(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = self.rest.borrow_mut();
        let mut body = self.body.borrow_mut();
        let Some(body) = body.as_mut() else { return Poll::Ready(Ok(())) };
        while rest.is_empty() {
            match ready!(body.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    let _ = body.flow_control().release_capacity(bytes.len());
                    *rest = bytes;
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => {
                    let trailers = ready!(body.poll_trailers(cx)).map_err(broken)?;
                    // Whoever asks again after the end is told of none.
                    if trailers.is_some() {
                        *self.trailers.borrow_mut() = trailers;
                    }
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The trailers, where there were any; once.
    pub fn take_trailers(&self) -> Option<http::HeaderMap> {
        self.trailers.borrow_mut().take()
    }
}

/// Content that goes out.
pub struct Outbound {
    stream: RefCell<SendStream<Piece>>,
    ended: Cell<bool>,
    stalled: Cell<bool>,
}

impl Outbound {
    /// The way behind a head that was sent without an end.
    pub fn new(stream: SendStream<Piece>) -> Self {
        Self { stream: RefCell::new(stream), ended: Cell::default(), stalled: Cell::default() }
    }

    /// Hands over as much of the buffer's data as the reader has room for, and takes that off it;
    /// waits for some room. `last`: the content ends with the buffer's data.
    ///
    /// # Errors
    /// `TimedOut` where the guard's deadline passed; else the reader reset the stream, or its
    /// connection ended.
    pub async fn write(
        &self,
        buffer: Buffer,
        last: bool,
        guard: &Guard,
    ) -> (io::Result<usize>, Buffer) {
        let len = buffer.len();
        if len == 0 {
            let result = if last { self.send(buffer, true) } else { Ok(()) };
            return (result.map(|()| 0), Buffer::empty());
        }
        self.stream.borrow_mut().reserve_capacity(len);
        let room = guard.unless_expired(poll_fn(|cx| self.poll_room(cx))).await;
        let room = room.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        match room {
            Ok(room) if room >= len => (self.send(buffer, last).map(|()| len), Buffer::empty()),
            Ok(room) => self.send_part(buffer, room),
            Err(error) => (Err(error), buffer),
        }
    }

    /// Ready when there is room, with how much.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.borrow_mut();
        // Polling tells of room once only.
        match stream.capacity() {
            0 => match ready!(stream.poll_capacity(cx)) {
                Some(room) => Poll::Ready(room.map_err(broken)),
                None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => Poll::Ready(Ok(room)),
        }
    }

    fn send_part(&self, mut buffer: Buffer, n: usize) -> (io::Result<usize>, Buffer) {
        let mut part = Buffer::fitting(n);
        part.append(&buffer.data()[..n]);
        buffer.consume(n);
        (self.send(part, false).map(|()| n), buffer)
    }

    fn send(&self, buffer: Buffer, last: bool) -> io::Result<()> {
        self.ended.set(self.ended.get() || last);
        self.stream.borrow_mut().send_data(Piece(buffer), last).map_err(broken)
    }

    /// Ends the content by trailers.
    ///
    /// # Errors
    /// The reader reset the stream, or its connection ended.
    pub fn end_with(&self, trailers: http::HeaderMap) -> io::Result<()> {
        self.ended.set(true);
        self.stream.borrow_mut().send_trailers(trailers).map_err(broken)
    }

    /// Whether the content's end was handed over.
    pub fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Notes that the reader had no room for as long as that may be.
    pub fn stalled(&self) {
        self.stalled.set(true);
    }

    /// Whether that was noted.
    pub fn is_stalled(&self) -> bool {
        self.stalled.get()
    }

    /// Breaks the content off, so that what went out can't be taken for a whole.
    pub fn reset(&self, reason: h2::Reason) {
        self.stream.borrow_mut().send_reset(reason);
    }

    /// Ready once the reader has reset the stream, or its connection has ended.
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.borrow_mut().poll_reset(cx).map(|_| ())
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
