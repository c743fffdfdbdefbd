//! A connection for those who poll it: reads and writes as tokio's traits have them, for a protocol
//! machine that carries many streams.
//!
//! What is written is gathered, and goes out when the machine's driver has had its turn
//! ([`Wire::poll_turn`]): the answers of many streams in one write.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer::Buffer;
use super::deadline::Guard;
use super::stream::Stream;
use crate::limits::{BUFFER_SMALL, GATHERED_MAX};

type Operation<T> = Pin<Box<dyn Future<Output = (io::Result<T>, Buffer)>>>;

/// Looks at what has come before anybody else does, and is told how many bytes were handed over to be
/// sent since the last time. False: it is not to be read any further.
pub type Look = Box<dyn FnMut(&[u8], u64) -> bool>;

/// A connection whose reads and writes are polled.
pub struct Wire {
    stream: Rc<dyn AsRef<Stream>>,
    /// The deadline of writes.
    guard: Guard,
    idle_ns: u64,
    incoming: RefCell<Incoming>,
    outgoing: RefCell<Outgoing>,
    refused: Cell<bool>,
    /// When something came last, and how many bytes were gathered since.
    last_come_ns: Cell<u64>,
    has_come: Cell<bool>,
    sent: Cell<u64>,
}

struct Incoming {
    pending: Option<Operation<usize>>,
    bytes: Buffer,
    /// The last read filled its buffer.
    large: bool,
    look: Look,
}

#[derive(Default)]
struct Outgoing {
    pending: Option<Operation<()>>,
    gathered: Buffer,
    /// Who waits for room.
    waiting: Option<Waker>,
    failed: Option<io::ErrorKind>,
}

impl Wire {
    /// A connection that nothing was read from yet. `guard` bounds how long a write may be stuck, to
    /// `idle_ns`; `look` sees all that comes.
    pub fn new(stream: Rc<dyn AsRef<Stream>>, guard: Guard, idle_ns: u64, look: Look) -> Rc<Self> {
        let incoming = Incoming { pending: None, bytes: Buffer::empty(), large: false, look };
        Rc::new(Self {
            stream,
            guard,
            idle_ns,
            incoming: RefCell::new(incoming),
            outgoing: RefCell::default(),
            refused: Cell::new(false),
            last_come_ns: Cell::new(super::clock::coarse_ns()),
            has_come: Cell::new(false),
            sent: Cell::new(0),
        })
    }

    /// What the machine reads from and writes to.
    pub fn end(self: &Rc<Self>) -> WireEnd {
        WireEnd(self.clone())
    }

    /// Whether the look refused what came.
    pub fn is_refused(&self) -> bool {
        self.refused.get()
    }

    /// Whether anything has come yet.
    pub fn has_come(&self) -> bool {
        self.has_come.get()
    }

    /// When something came last, nanoseconds.
    pub fn last_come_ns(&self) -> u64 {
        self.last_come_ns.get()
    }

    /// Puts bytes that were read already in front of what comes.
    pub fn begin_with(&self, early: Buffer) {
        let mut incoming = self.incoming.borrow_mut();
        let taken = early.is_empty() || (incoming.look)(early.data(), 0);
        self.refused.set(!taken);
        incoming.bytes = early;
    }

    /// One turn of the machine, and then what it wrote goes out. Ready with the machine.
    ///
    /// # Errors
    /// Shows in the machine's own: its next read or write fails.
    pub fn poll_turn<T>(
        &self,
        cx: &mut Context<'_>,
        mut machine: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            if let Poll::Ready(output) = machine(cx) {
                // What it said last is sent by whoever goes on, or not at all.
                let _ = self.poll_sent(cx);
                return Poll::Ready(output);
            }
            let had_no_room = self.outgoing.borrow().waiting.is_some();
            let sent = self.poll_sent(cx);
            // With room again, or none for ever, the machine goes on.
            let goes_on = sent.is_ready() && self.outgoing.borrow_mut().waiting.take().is_some();
            if !(had_no_room && goes_on) {
                return Poll::Pending;
            }
        }
    }

    /// Sends what was gathered; ready when all has gone out.
    pub fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.outgoing.borrow_mut();
        loop {
            if let Some(pending) = &mut out.pending {
                let (result, mut buffer) = ready!(pending.as_mut().poll(cx));
                out.pending = None;
                self.guard.disarm();
                if let Err(error) = result {
                    out.failed = Some(error.kind());
                    out.gathered = Buffer::empty();
                    return Poll::Ready(Err(error));
                }
                buffer.clear();
                if out.gathered.capacity() == 0 && buffer.capacity() > BUFFER_SMALL {
                    out.gathered = buffer;
                }
            }
            if out.gathered.is_empty() {
                // An idle connection holds no buffer.
                out.gathered = Buffer::empty();
                return Poll::Ready(out.failed.map_or(Ok(()), |kind| Err(kind.into())));
            }
            let buffer = std::mem::take(&mut out.gathered);
            let stream = self.stream.clone();
            let now = super::clock::coarse_ns();
            self.guard.arm_write(now.saturating_add(self.idle_ns), self.idle_ns, u64::MAX);
            out.pending = Some(Box::pin(async move { (*stream).as_ref().write_all(buffer).await }));
        }
    }

    fn gather(&self, cx: &Context<'_>, parts: &[&[u8]]) -> Poll<io::Result<usize>> {
        let mut out = self.outgoing.borrow_mut();
        if let Some(kind) = out.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if out.gathered.len() >= GATHERED_MAX {
            out.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n: usize = parts.iter().map(|part| part.len()).sum();
        if out.gathered.capacity() == 0 {
            out.gathered = Buffer::fitting(n);
        }
        parts.iter().for_each(|part| out.gathered.append(part));
        self.sent.set(self.sent.get() + n as u64);
        Poll::Ready(Ok(n))
    }

    fn poll_come(&self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refused.get() {
            return Poll::Pending;
        }
        let mut incoming = self.incoming.borrow_mut();
        if incoming.bytes.is_empty() {
            let n = ready!(self.poll_fill(cx, &mut incoming))?;
            let Incoming { look, bytes, .. } = &mut *incoming;
            if n > 0 && !look(bytes.data(), self.sent.take()) {
                self.refused.set(true);
                return Poll::Pending;
            }
        }
        let n = incoming.bytes.len().min(to.remaining());
        to.put_slice(&incoming.bytes.data()[..n]);
        incoming.bytes.consume(n);
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&self, cx: &mut Context<'_>, incoming: &mut Incoming) -> Poll<io::Result<usize>> {
        let pending = incoming.pending.get_or_insert_with(|| {
            let buffer = if incoming.large { Buffer::medium() } else { Buffer::small() };
            let stream = self.stream.clone();
            incoming.bytes = Buffer::empty();
            Box::pin(async move { (*stream).as_ref().read(buffer).await })
        });
        let (result, buffer) = ready!(pending.as_mut().poll(cx));
        incoming.pending = None;
        incoming.large = buffer.is_full();
        incoming.bytes = buffer;
        self.last_come_ns.set(super::clock::now_ns());
        self.has_come.set(true);
        Poll::Ready(result)
    }
}

/// The end of a [`Wire`] that the machine holds.
pub struct WireEnd(Rc<Wire>);

impl AsyncRead for WireEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_come(cx, to)
    }
}

impl AsyncWrite for WireEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.gather(cx, &[bytes])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut slices: [&[u8]; 4] = [&[]; 4];
        let n = parts.len().min(slices.len());
        slices.iter_mut().zip(parts).for_each(|(slice, part)| *slice = part);
        self.0.gather(cx, &slices[..n])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing waits for the machine to flush: see [`Wire::poll_turn`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = ready!(self.0.poll_sent(cx));
        (*self.0.stream).as_ref().shut_write();
        Poll::Ready(sent)
    }
}
