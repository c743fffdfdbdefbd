//! One connected socket, TCP or Unix, and what the runtime does with it.

use std::cell::{Cell, UnsafeCell};
use std::future::poll_fn;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
use monoio::net::{TcpStream, UnixStream};

use super::buffer::{Buffer, Room, Unsent};
use super::deadline::Guard;
use super::socket::{has_unread, peek, receive_now, send_now, shut_down};
use crate::limits::INLINE_MAX;

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connected socket. Reads and writes take `&self`, so that one task can drive both directions;
/// at most one read and one write may be pending at a time.
pub(super) struct RawStream {
    kind: UnsafeCell<ManuallyDrop<Kind>>,
    fd: RawFd,
    /// Operations that were begun and not awaited to their end: they hold the descriptor too.
    pending: Cell<u32>,
    /// Operations that completed one after another without waiting.
    inline: Cell<u32>,
}

impl RawStream {
    fn new(fd: RawFd, kind: Kind) -> Self {
        let kind = UnsafeCell::new(ManuallyDrop::new(kind));
        Self { kind, fd, pending: Cell::new(0), inline: Cell::new(0) }
    }

    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self::new(stream.as_raw_fd(), Kind::Tcp(stream))
    }

    /// Takes over an accepted socket.
    ///
    /// # Errors
    /// What setting its mode or registering it with the driver says.
    pub(super) fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(monoio::utils::is_legacy())?;
        Ok(Self::tcp(TcpStream::from_std(stream)?))
    }

    /// Takes over a connected Unix socket, whose mode was set.
    ///
    /// # Errors
    /// What registering it with the driver says.
    pub(super) fn from_unix(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self::new(stream.as_raw_fd(), Kind::Unix(UnixStream::from_std(stream)?)))
    }

    // The streams' own operations take `&mut self` but use only their descriptor, which is why
    // monoio's split halves share a stream in the same way.
    #[allow(clippy::mut_from_ref)]
    fn kind(&self) -> &mut Kind {
        // SAFETY: the value never leaves this thread (UnsafeCell is not Sync), and the operations
        // only clone the descriptor out of it before they first suspend.
        unsafe { &mut *self.kind.get() }
    }

    /// Connects to a TCP address.
    ///
    /// # Errors
    /// What connect(2) says, or `TimedOut`.
    pub(super) async fn connect(address: SocketAddr, within: Duration) -> io::Result<Self> {
        let stream = timeout(within, TcpStream::connect_addr(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self::tcp(stream))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// What connect(2) says, or `TimedOut`.
    pub(super) async fn connect_unix(path: &Path, within: Duration) -> io::Result<Self> {
        let stream = timeout(within, UnixStream::connect(path)).await?;
        Ok(Self::new(stream.as_raw_fd(), Kind::Unix(stream)))
    }

    /// The descriptor, for deadlines.
    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    /// Reads behind the buffer's data, as much as it has room for. 0 is end of file.
    pub(super) async fn read(&self, mut buffer: Buffer) -> (io::Result<usize>, Buffer) {
        loop {
            let room = Room(buffer);
            let (result, room) = match self.kind() {
                Kind::Tcp(s) => self.paced(s.read(room)).await,
                Kind::Unix(s) => self.paced(s.read(room)).await,
            };
            // Nobody cancels this read. On epoll the mark of a cancellation that came too late for
            // the read it was meant for stays behind, and shows once.
            if !is_cancelled(&result) {
                return (result, room.0);
            }
            buffer = room.0;
        }
    }

    /// The same, where `guard`'s deadline may cancel the read without harm to the connection.
    pub(super) async fn read_or_cancel(
        &self,
        buffer: Buffer,
        guard: &Guard,
    ) -> (io::Result<usize>, Buffer) {
        let room = Room(buffer);
        let handle = guard.cancel_handle();
        let (result, room) = match self.kind() {
            Kind::Tcp(s) => self.paced(s.cancelable_read(room, handle)).await,
            Kind::Unix(s) => self.paced(s.cancelable_read(room, handle)).await,
        };
        (result, room.0)
    }

    /// Writes all the buffer's data and gives the buffer back as it was.
    ///
    /// # Errors
    /// What send(2) says; `WriteZero` where the peer takes nothing.
    pub(super) async fn write_all(&self, buffer: Buffer) -> (io::Result<()>, Buffer) {
        let mut unsent = Unsent { buffer, sent: 0 };
        while unsent.sent < unsent.buffer.len() {
            let (result, back) = match self.kind() {
                Kind::Tcp(s) => self.paced(s.write(unsent)).await,
                Kind::Unix(s) => self.paced(s.write(unsent)).await,
            };
            unsent = back;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), unsent.buffer),
                Ok(n) => unsent.sent += n,
                Err(e) => return (Err(e), unsent.buffer),
            }
        }
        (Ok(()), unsent.buffer)
    }

    /// Writes some of the buffer's data, and takes that off it.
    ///
    /// # Errors
    /// What send(2) says; `WriteZero` where the peer takes nothing.
    pub(super) async fn write(&self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        let unsent = Unsent { buffer, sent: 0 };
        let (result, Unsent { mut buffer, .. }) = match self.kind() {
            Kind::Tcp(s) => self.paced(s.write(unsent)).await,
            Kind::Unix(s) => self.paced(s.write(unsent)).await,
        };
        match result {
            Ok(0) => (Err(io::ErrorKind::WriteZero.into()), buffer),
            Ok(n) => {
                buffer.consume(n);
                (Ok(n), buffer)
            }
            Err(e) => (Err(e), buffer),
        }
    }

    /// Runs an operation, and counts it as pending until it has ended: for ever, if it is dropped.
    async fn counted<T>(&self, operation: impl Future<Output = T>) -> T {
        self.pending.set(self.pending.get() + 1);
        let output = operation.await;
        self.pending.set(self.pending.get() - 1);
        output
    }

    /// Runs an operation. On the epoll driver one that need not wait completes at once, so a peer
    /// that is faster than we are would keep its task running for ever: after some of those in a
    /// row the task pauses, and the others, and the tick, have their turn.
    async fn paced<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        let mut waited = false;
        let polled = poll_fn(|cx| {
            let poll = operation.as_mut().poll(cx);
            waited |= poll.is_pending();
            poll
        });
        let output = self.counted(polled).await;
        let inline = if waited { 0 } else { self.inline.get() + 1 };
        self.inline.set(inline);
        if inline >= INLINE_MAX {
            self.inline.set(0);
            super::sleep_ms(1).await;
        }
        output
    }

    /// Waits until a write would not block.
    ///
    /// # Errors
    /// What the driver says; the connection is then of no more use.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self.kind() {
            Kind::Tcp(s) => self.counted(s.writable(false)).await,
            Kind::Unix(s) => self.counted(s.writable(false)).await,
        }
    }

    /// Waits until a read would not block, holding no buffer.
    ///
    /// # Errors
    /// What the driver says; the connection is then of no more use.
    pub(super) async fn readable(&self) -> io::Result<()> {
        loop {
            let result = match self.kind() {
                Kind::Tcp(s) => self.counted(s.readable(false)).await,
                Kind::Unix(s) => self.counted(s.readable(false)).await,
            };
            if !is_cancelled(&result) {
                return result;
            }
        }
    }

    /// Whether a connection that should be silent is: no bytes, no end of file, no error. One
    /// non-blocking look that takes nothing from the socket.
    pub(super) fn is_quiet(&self) -> bool {
        peek(self.fd).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the peer sent bytes that nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        has_unread(self.fd)
    }

    /// Tells the peer that no more bytes come.
    pub(super) fn shut_write(&self) {
        shut_down(self.fd, libc::SHUT_WR);
    }

    /// Makes closing send a reset instead of an orderly end, so that the peer can't take a
    /// truncated message for a whole one.
    pub(super) fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the option's value and its length are right.
        unsafe {
            libc::setsockopt(
                self.fd,
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }
}

impl RawStream {
    /// Takes what has come, without waiting.
    pub(super) fn receive_now(&self, buffer: &mut Buffer) -> io::Result<usize> {
        let n = receive_now(self.fd, buffer.free_mut())?;
        // SAFETY: the call wrote so many bytes there.
        unsafe { buffer.received(n) };
        Ok(n)
    }

    /// Sends what the socket takes at once, of bytes that nobody will miss.
    pub(super) fn send_now(&self, bytes: &[u8]) {
        send_now(self.fd, bytes);
    }
}

impl Drop for RawStream {
    /// Closes the descriptor. Left to itself the runtime does that by two operations of the ring,
    /// the closing and a cancellation of it, which together cost more than the call. But where an
    /// operation may still be pending in the kernel, the descriptor is the runtime's to close.
    fn drop(&mut self) {
        // SAFETY: taken once, and not used after.
        let kind = unsafe { ManuallyDrop::take(self.kind.get_mut()) };
        if self.pending.get() > 0 || monoio::utils::is_legacy() {
            return drop(kind);
        }
        let fd = match kind {
            Kind::Tcp(s) => s.into_raw_fd(),
            Kind::Unix(s) => s.into_raw_fd(),
        };
        // SAFETY: nobody else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

fn is_cancelled<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ECANCELED))
}

/// A plain timeout: only for what is thrown away when it passes.
async fn timeout<T>(within: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    super::timeout(within, work).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}
