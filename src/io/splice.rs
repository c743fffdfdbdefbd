//! Large content from socket to socket without copying it through this process (splice(2)).
//!
//! The ring's own splice operation always goes to a kernel thread, so the calls are made here,
//! without blocking, and only the waiting is the driver's.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::limits::{PIPE_BYTES, PIPES_POOLED};

thread_local! {
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe: what was taken from one socket and not yet given to the other.
pub struct Pipe {
    write: OwnedFd,
    read: OwnedFd,
    held: usize,
}

impl Pipe {
    /// One from this core's store, or a new one.
    ///
    /// # Errors
    /// Without descriptors.
    pub fn take() -> io::Result<Self> {
        if let Some(pipe) = PIPES.with(|p| p.borrow_mut().pop()) {
            return Ok(pipe);
        }
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: two fresh descriptors that nothing else owns; a size that is refused leaves the
        // pipe as it is.
        let (read, write) = unsafe {
            libc::fcntl(ends[1], libc::F_SETPIPE_SZ, PIPE_BYTES as libc::c_int);
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        Ok(Self { write, read, held: 0 })
    }

    /// Gives it back; one that still holds bytes is closed with them.
    pub fn give_back(self) {
        PIPES.with(|p| {
            let mut pipes = p.borrow_mut();
            if self.held == 0 && pipes.len() < PIPES_POOLED {
                pipes.push(self);
            }
        });
    }

    /// Bytes it holds.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes up to `max` bytes from a socket. 0 is end of file.
    ///
    /// # Errors
    /// `WouldBlock` where the socket has none (or the pipe no room).
    pub fn fill(&mut self, from: RawFd, max: usize) -> io::Result<usize> {
        let n = splice(from, self.write.as_raw_fd(), max, 0)?;
        self.held += n;
        Ok(n)
    }

    /// Gives what it holds to a socket; `more`: further bytes will follow soon.
    ///
    /// # Errors
    /// `WouldBlock` where the socket takes none; else what send(2) says.
    pub fn empty(&mut self, to: RawFd, more: bool) -> io::Result<usize> {
        let flags = if more { libc::SPLICE_F_MORE } else { 0 };
        let n = splice(self.read.as_raw_fd(), to, self.held, flags)?;
        self.held -= n;
        Ok(n)
    }
}

fn splice(from: RawFd, to: RawFd, max: usize, flags: libc::c_uint) -> io::Result<usize> {
    let flags = flags | libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: descriptors and a length; no offsets.
    let n =
        unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), max, flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Keeps sockets from blocking while it lives: splice(2) asks the socket's own flag. The ring's
/// operations that are begun meanwhile see it too, and end with `WouldBlock` instead of waiting.
pub struct Nonblocking([RawFd; 2]);

impl Nonblocking {
    /// Sets both.
    pub fn set(sockets: [RawFd; 2]) -> Self {
        let guard = Self(sockets);
        guard.apply(true);
        guard
    }

    fn apply(&self, on: bool) {
        let on = libc::c_int::from(on);
        for fd in self.0 {
            // SAFETY: the argument is an int; a descriptor that is closed has no mode to mind.
            unsafe { libc::ioctl(fd, libc::FIONBIO, &raw const on) };
        }
    }
}

impl Drop for Nonblocking {
    fn drop(&mut self) {
        self.apply(false);
    }
}

/// Whether this driver gains by it: epoll's sockets never block, and its readiness is not told of
/// calls made past it.
pub fn is_useful() -> bool {
    !monoio::utils::is_legacy()
}
