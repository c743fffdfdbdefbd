//! A connection's bytes: what is read, and what is written, each one operation at a time.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::io::{Buffer, Expiry, Guard, Stream, Watch, clock};
use crate::limits::{AWAKE_NS, BUFFER_LARGE, BUFFER_SMALL};

type Operation<T> = Pin<Box<dyn Future<Output = (io::Result<T>, Buffer)>>>;

/// Bytes beyond a whole frame that a buffer needs to be read into.
const SPARE: usize = 32;

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
pub(super) struct Wire {
    stream: Rc<dyn AsRef<Stream>>,
    /// The deadline of writes.
    guard: Guard,
    /// Ends a read that has waited for long, so that its buffer goes.
    pause: Rc<Guard>,
    slowest: Slowest,
    reading: RefCell<Option<Operation<usize>>>,
    writing: RefCell<Option<Operation<()>>>,
    failed: Cell<Option<io::ErrorKind>>,
    /// The last read filled its buffer.
    large: Cell<bool>,
    /// When something came last.
    pub(super) last_come_ns: Cell<u64>,
    /// When something went out last.
    pub(super) last_gone_ns: Cell<u64>,
}

impl Wire {
    pub(super) fn new(stream: Rc<dyn AsRef<Stream>>, watch: &Rc<Watch>, slowest: Slowest) -> Self {
        let fd = (*stream).as_ref().fd();
        Self {
            stream,
            guard: watch.guard(fd),
            pause: Rc::new(watch.guard(fd)),
            slowest,
            reading: RefCell::default(),
            writing: RefCell::default(),
            failed: Cell::new(None),
            large: Cell::new(false),
            last_come_ns: Cell::new(clock::coarse_ns()),
            last_gone_ns: Cell::new(clock::coarse_ns()),
        }
    }

    /// Reads behind what is in `bytes`, of which `whole` bytes are wanted at least; 0 is the end.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut Buffer,
        whole: usize,
    ) -> Poll<io::Result<usize>> {
        let mut reading = self.reading.borrow_mut();
        let pending = reading.get_or_insert_with(|| self.begin_read(std::mem::take(bytes), whole));
        let (result, buffer) = ready!(pending.as_mut().poll(cx));
        *reading = None;
        self.large.set(buffer.is_full());
        *bytes = buffer;
        self.last_come_ns.set(clock::now_ns());
        Poll::Ready(result)
    }

    fn begin_read(&self, rest: Buffer, whole: usize) -> Operation<usize> {
        let stream = self.stream.clone();
        if rest.is_empty() {
            return Box::pin(come(stream, self.pause.clone(), self.large.get()));
        }
        let mut buffer = rest;
        if buffer.capacity() < whole + SPARE {
            let larger = match self.large.get() {
                true => Buffer::at_most(BUFFER_LARGE),
                false => Buffer::fitting(whole),
            };
            let rest = std::mem::replace(&mut buffer, larger);
            buffer.append(rest.data());
        }
        buffer.reserve(whole.saturating_sub(buffer.len()) + SPARE);
        Box::pin(async move { (*stream).as_ref().read(buffer).await })
    }

    /// Whether a write is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.borrow().is_some()
    }

    /// Sends what was gathered; ready when all has gone out.
    pub(super) fn poll_sent(
        &self,
        cx: &mut Context<'_>,
        gathered: &RefCell<Buffer>,
    ) -> Poll<io::Result<()>> {
        let mut writing = self.writing.borrow_mut();
        loop {
            if let Some(pending) = writing.as_mut() {
                let (result, buffer) = ready!(pending.as_mut().poll(cx));
                *writing = None;
                self.guard.disarm();
                self.note_gone(result, buffer, gathered);
            }
            let mut gathered = gathered.borrow_mut();
            if let Some(kind) = self.failed.get() {
                *gathered = Buffer::empty();
                return Poll::Ready(Err(kind.into()));
            }
            // An idle connection holds no buffer.
            let buffer = std::mem::take(&mut *gathered);
            if buffer.is_empty() {
                return Poll::Ready(Ok(()));
            }
            *writing = Some(self.begin_write(buffer));
        }
    }

    fn note_gone(&self, result: io::Result<()>, mut buffer: Buffer, gathered: &RefCell<Buffer>) {
        self.failed.set(result.err().map(|error| error.kind()));
        self.last_gone_ns.set(clock::coarse_ns());
        buffer.clear();
        let mut gathered = gathered.borrow_mut();
        if gathered.capacity() == 0 && buffer.capacity() > BUFFER_SMALL {
            *gathered = buffer;
        }
    }

    fn begin_write(&self, buffer: Buffer) -> Operation<()> {
        let stream = self.stream.clone();
        let now = clock::coarse_ns();
        let Slowest { idle_ns, .. } = self.slowest;
        let gone_at = self.slowest.gone_at(now, buffer.len());
        self.guard.arm_write(now.saturating_add(idle_ns), idle_ns, gone_at);
        Box::pin(async move { (*stream).as_ref().write_all(buffer).await })
    }

    /// Ends our side.
    pub(super) fn shut(&self) {
        (*self.stream).as_ref().shut_write();
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
