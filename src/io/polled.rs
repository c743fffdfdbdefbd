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
use super::clock;
use super::deadline::{Expiry, Guard, Watch};
use super::stream::Stream;
use crate::limits::{AWAKE_NS, BUFFER_SMALL, GATHERED_MAX};

type Operation<T> = Pin<Box<dyn Future<Output = (io::Result<T>, Buffer)>>>;

/// Looks at what has come before anybody else does, and is told how many bytes were handed over to be
/// sent since the last time. Gives how much of it is to be heeded; less than all: nothing more is read.
pub type Look = Box<dyn FnMut(&[u8], u64) -> usize>;

/// How slowly a peer may take what is sent to it.
#[derive(Debug, Clone, Copy)]
pub struct Slowest {
    /// Longest time without any progress, nanoseconds.
    pub idle_ns: u64,
    /// Bytes a second; 0: as slow as it likes.
    pub rate: u64,
    /// And so long on top, nanoseconds.
    pub grace_ns: u64,
}

impl Slowest {
    /// When so many bytes must be gone.
    fn gone_at(&self, now_ns: u64, bytes: usize) -> u64 {
        let each = (bytes as u64).saturating_mul(1_000_000_000).checked_div(self.rate);
        each.map_or(u64::MAX, |ns| now_ns.saturating_add(self.grace_ns).saturating_add(ns))
    }
}

/// A connection whose reads and writes are polled.
pub struct Wire {
    stream: Rc<dyn AsRef<Stream>>,
    /// The deadline of writes.
    guard: Guard,
    /// Ends a read that has waited for long, so that its buffer goes.
    pause: Rc<Guard>,
    slowest: Slowest,
    incoming: RefCell<Incoming>,
    outgoing: RefCell<Outgoing>,
    refused: Cell<bool>,
    /// When something came last, and how many bytes were gathered since.
    last_come_ns: Cell<u64>,
    /// When something went out last.
    last_gone_ns: Cell<u64>,
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
    /// A connection that nothing was read from yet. Writes are not slower than `slowest`; `look`
    /// sees all that comes.
    pub fn new(
        stream: Rc<dyn AsRef<Stream>>,
        watch: &Rc<Watch>,
        slowest: Slowest,
        look: Look,
    ) -> Rc<Self> {
        let fd = (*stream).as_ref().fd();
        let incoming = Incoming { pending: None, bytes: Buffer::empty(), large: false, look };
        Rc::new(Self {
            stream,
            guard: watch.guard(fd),
            pause: Rc::new(watch.guard(fd)),
            slowest,
            incoming: RefCell::new(incoming),
            outgoing: RefCell::default(),
            refused: Cell::new(false),
            last_come_ns: Cell::new(clock::coarse_ns()),
            last_gone_ns: Cell::new(clock::coarse_ns()),
            has_come: Cell::new(false),
            sent: Cell::new(0),
        })
    }

    /// What the machine reads from and writes to.
    pub fn end(self: &Rc<Self>) -> WireEnd {
        WireEnd(self.clone())
    }

    /// Whether the look refused some of what came, and the machine has had all before that.
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

    /// When the last write had gone out, nanoseconds.
    pub fn last_gone_ns(&self) -> u64 {
        self.last_gone_ns.get()
    }

    /// Puts bytes that were read already in front of what comes.
    pub fn begin_with(&self, early: Buffer) {
        let mut incoming = self.incoming.borrow_mut();
        incoming.bytes = early;
        self.look(&mut incoming, 0);
    }

    fn look(&self, incoming: &mut Incoming, sent: u64) {
        let Incoming { look, bytes, .. } = incoming;
        if bytes.is_empty() {
            return;
        }
        let heeded = look(bytes.data(), sent);
        self.refused.set(heeded < bytes.len());
        bytes.truncate(heeded);
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
                self.last_gone_ns.set(clock::coarse_ns());
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
            let now = clock::coarse_ns();
            let Slowest { idle_ns, .. } = self.slowest;
            let gone_at = self.slowest.gone_at(now, buffer.len());
            self.guard.arm_write(now.saturating_add(idle_ns), idle_ns, gone_at);
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
        let mut incoming = self.incoming.borrow_mut();
        if incoming.bytes.is_empty() && !self.refused.get() {
            ready!(self.poll_fill(cx, &mut incoming))?;
            self.look(&mut incoming, self.sent.take());
        }
        if incoming.bytes.is_empty() && self.refused.get() {
            // Its driver looks whether this is so.
            return Poll::Pending;
        }
        let n = incoming.bytes.len().min(to.remaining());
        to.put_slice(&incoming.bytes.data()[..n]);
        incoming.bytes.consume(n);
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&self, cx: &mut Context<'_>, incoming: &mut Incoming) -> Poll<io::Result<usize>> {
        let pending = incoming.pending.get_or_insert_with(|| {
            incoming.bytes = Buffer::empty();
            Box::pin(come(self.stream.clone(), self.pause.clone(), incoming.large))
        });
        let (result, buffer) = ready!(pending.as_mut().poll(cx));
        incoming.pending = None;
        incoming.large = buffer.is_full();
        incoming.bytes = buffer;
        self.last_come_ns.set(clock::now_ns());
        self.has_come.set(true);
        Poll::Ready(result)
    }
}

/// Reads once; after some silence it goes on waiting without a buffer.
async fn come(
    stream: Rc<dyn AsRef<Stream>>,
    pause: Rc<Guard>,
    mut large: bool,
) -> (io::Result<usize>, Buffer) {
    let stream = (*stream).as_ref();
    loop {
        let buffer = if large { Buffer::medium() } else { Buffer::small() };
        pause.arm(clock::coarse_ns().saturating_add(AWAKE_NS), Expiry::PauseRead);
        let (result, buffer) = stream.read_or_cancel(buffer, &pause).await;
        pause.disarm();
        if !matches!(&result, Err(e) if e.raw_os_error() == Some(libc::ECANCELED)) {
            return (result, buffer);
        }
        drop(buffer);
        large = false;
        pause.forget_canceller();
        if let Err(error) = stream.readable().await {
            return (Err(error), Buffer::empty());
        }
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
