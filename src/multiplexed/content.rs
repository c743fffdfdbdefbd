//! The content of one stream: in and out, each with its flow control.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::link::Link;
use crate::http::Field;
use crate::http::h2::code::Code;
use crate::http::h2::machine::{End, Key};
use crate::io::{Buffer, Guard};
use crate::limits::GATHERED_MAX;

/// A stream that somebody holds. Dropped, what is left of it is given up.
pub struct Held {
    /// Its connection.
    pub link: Rc<Link>,
    /// Its place there.
    pub key: Key,
}

impl Held {
    /// Its content on the way in.
    pub fn inbound(&self) -> Inbound {
        Inbound { stream: Some((self.link.clone(), self.key)) }
    }

    /// Its content on the way out, behind a head that was sent without an end.
    pub fn outbound(&self) -> Outbound {
        let (link, key) = (self.link.clone(), self.key);
        Outbound { link, key, ended: Cell::default(), stalled: Cell::default() }
    }

    /// Ends it before its time.
    pub fn reset(&self, code: Code) {
        self.link.say(|machine, out| machine.reset(self.key, code, out));
    }

    /// Becomes true once its peer has reset it, or its connection has ended.
    pub fn gone(&self) -> Rc<Cell<bool>> {
        self.link.ask(|machine| machine.gone(self.key))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.link.say(|machine, out| machine.release(self.key, out));
    }
}

/// Content that comes in.
pub struct Inbound {
    stream: Option<(Rc<Link>, Key)>,
}

impl Inbound {
    /// No content.
    pub fn empty() -> Self {
        Self { stream: None }
    }

    /// Whether nothing comes, or nothing more.
    pub fn is_at_end(&self) -> bool {
        let Some((link, key)) = &self.stream else { return true };
        link.ask(|machine| machine.is_at_end(*key))
    }

    /// Waits for content; gives how many bytes of it are at hand, 0 at its end.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub async fn come(&self, guard: &Guard) -> io::Result<usize> {
        let come = guard.unless_expired(poll_fn(|cx| self.poll_come(cx))).await;
        come.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Puts what has come already behind the buffer's data, at most so many bytes, without waiting.
    /// True: that is all, and no trailers follow.
    pub fn take_come(&self, buffer: &mut Buffer, most: usize) -> bool {
        self.take(buffer, most);
        self.is_at_end()
    }

    /// Reads behind the buffer's data, as much as it has room for; 0 is the end, and then the
    /// trailers are there. The sender may send as much again as was taken.
    ///
    /// # Errors
    /// `TimedOut` where the guard's deadline passed; else the stream was reset, or its connection
    /// ended.
    pub async fn read(&self, mut buffer: Buffer, guard: &Guard) -> (io::Result<usize>, Buffer) {
        let come = poll_fn(|cx| {
            let n = ready!(self.poll_come(cx))?;
            let room = buffer.free();
            Poll::Ready(Ok(if n == 0 { 0 } else { self.take(&mut buffer, room) }))
        });
        let come = guard.unless_expired(come).await;
        (come.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())), buffer)
    }

    fn take(&self, buffer: &mut Buffer, most: usize) -> usize {
        let Some((link, key)) = &self.stream else { return 0 };
        link.say(|machine, out| {
            let put = |bytes: &[u8]| {
                buffer.reserve(bytes.len());
                buffer.append(bytes);
            };
            machine.take_content(*key, most, put, out)
        })
    }

    /// Ready when there is content, or its end.
    fn poll_come(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some((link, key)) = &self.stream else { return Poll::Ready(Ok(0)) };
        link.ask(|machine| machine.poll_content(*key, cx)).map_err(broken)
    }

    /// The trailers as a trailer section, where there were any; once.
    pub fn take_trailers(&self) -> Option<Vec<u8>> {
        let (link, key) = self.stream.as_ref()?;
        link.ask(|machine| machine.take_trailers(*key))
    }
}

/// Content that goes out.
pub struct Outbound {
    link: Rc<Link>,
    key: Key,
    ended: Cell<bool>,
    stalled: Cell<bool>,
}

impl Outbound {
    /// Hands over as much of the buffer's data as the reader has room for, and takes that off it;
    /// waits for some room. `last`: the content ends with the buffer's data.
    ///
    /// # Errors
    /// `TimedOut` where the guard's deadline passed; else the reader reset the stream, or its
    /// connection ended.
    pub async fn write(
        &self,
        mut buffer: Buffer,
        last: bool,
        guard: &Guard,
    ) -> (io::Result<usize>, Buffer) {
        let went = poll_fn(|cx| self.poll_write(cx, &mut buffer, last));
        let went = guard.unless_expired(went).await;
        (went.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())), buffer)
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        last: bool,
    ) -> Poll<io::Result<usize>> {
        let some = buffer.len().min(GATHERED_MAX) + FRAMES;
        let went = self.link.say_some(some, |machine, out| {
            machine.poll_content_out(self.key, buffer.data(), last, out, cx)
        });
        let n = ready!(went).map_err(broken)?;
        if n == buffer.len() {
            self.ended.set(self.ended.get() || last);
            *buffer = Buffer::empty();
        } else {
            buffer.consume(n);
        }
        Poll::Ready(Ok(n))
    }

    /// Ends the content by trailers.
    ///
    /// # Errors
    /// The reader reset the stream, or its connection ended.
    pub fn end_with(&self, trailers: &[Field], buf: &[u8]) -> io::Result<()> {
        self.ended.set(true);
        let sent =
            self.link.say(|machine, out| machine.send_trailers(self.key, trailers, buf, out));
        sent.map_err(broken)
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
    pub fn reset(&self, code: Code) {
        self.link.say(|machine, out| machine.reset(self.key, code, out));
    }
}

/// Bytes that frames around some content take, about.
const FRAMES: usize = 64;

fn broken(_: End) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
