//! Sockets and epoll, as thin as they can be: the load core must not be the bottleneck.

use std::ffi::c_void;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

fn address(ip: Ipv4Addr, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    }
}

const ADDRESS_LEN: u32 = size_of::<libc::sockaddr_in>() as u32;

fn set(fd: RawFd, level: i32, option: i32, value: i32) {
    // SAFETY: the value outlives the call. A refused option costs speed only, so no error.
    unsafe {
        libc::setsockopt(fd, level, option, (&raw const value).cast(), size_of::<i32>() as u32);
    }
}

/// A non-blocking TCP socket or listener.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    fn new() -> io::Result<Self> {
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: plain system call; the descriptor is new and owned here.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET, kind, 0))?) };
        Ok(Self(fd))
    }

    /// Listens on a loopback port; 0: any free one.
    pub fn listen(port: u16) -> io::Result<Self> {
        let socket = Self::new()?;
        set(socket.fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
        let at = address(Ipv4Addr::LOCALHOST, port);
        // SAFETY: `at` outlives both calls.
        unsafe {
            check(libc::bind(socket.fd(), (&raw const at).cast(), ADDRESS_LEN))?;
            check(libc::listen(socket.fd(), 16_384))?;
        }
        Ok(socket)
    }

    /// Begins to connect from loopback address `source` to a loopback port.
    pub fn connect(source: Ipv4Addr, port: u16) -> io::Result<Self> {
        let socket = Self::new()?;
        let fd = socket.fd();
        set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
        let (from, to) = (address(source, 0), address(Ipv4Addr::LOCALHOST, port));
        // SAFETY: both addresses outlive the calls.
        unsafe {
            check(libc::bind(fd, (&raw const from).cast(), ADDRESS_LEN))?;
            if libc::connect(fd, (&raw const to).cast(), ADDRESS_LEN) < 0 {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EINPROGRESS) {
                    return Err(error);
                }
            }
        }
        Ok(socket)
    }

    /// Accepts one connection, if one waits.
    pub fn accept(&self) -> io::Result<Self> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let none = std::ptr::null_mut();
        // SAFETY: no address is asked for; the descriptor is new and owned here.
        let fd = unsafe {
            OwnedFd::from_raw_fd(check(libc::accept4(self.fd(), none, none.cast(), flags))?)
        };
        set(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        Ok(Self(fd))
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The local port.
    pub fn port(&self) -> io::Result<u16> {
        let mut at = address(Ipv4Addr::UNSPECIFIED, 0);
        let mut len = ADDRESS_LEN;
        // SAFETY: `at` has room for `len` bytes.
        unsafe { check(libc::getsockname(self.fd(), (&raw mut at).cast(), &mut len))? };
        Ok(u16::from_be(at.sin_port))
    }

    /// Receives into `buf`; 0 is end-of-file.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buf` is writable for its length.
        check_size(unsafe { libc::recv(self.fd(), buf.as_mut_ptr().cast(), buf.len(), 0) })
    }

    /// Takes up to `len` bytes off the stream without copying them anywhere.
    pub fn discard(&self, len: usize) -> io::Result<usize> {
        let nowhere: *mut c_void = std::ptr::null_mut();
        // SAFETY: with MSG_TRUNC a TCP socket drops the bytes and writes nowhere (tcp(7)).
        check_size(unsafe { libc::recv(self.fd(), nowhere, len, libc::MSG_TRUNC) })
    }

    /// Sends what fits.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: `bytes` is readable for its length.
        check_size(unsafe {
            libc::send(self.fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
        })
    }

    /// Sends up to `len` bytes of `file` from `offset` without copying them through this process.
    pub fn send_file(&self, file: RawFd, offset: u64, len: usize) -> io::Result<usize> {
        let mut offset = offset as i64;
        // SAFETY: `offset` outlives the call.
        check_size(unsafe { libc::sendfile(self.fd(), file, &mut offset, len) })
    }
}

/// Whether an error only means "not now".
pub fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// An epoll instance; everything is registered edge-triggered, for both directions, once.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// One event.
pub type Event = libc::epoll_event;

impl Epoll {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain system call; the descriptor is new and owned here.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) }))
    }

    /// Watches a socket, with `token` in its events.
    pub fn add(&self, socket: &Socket, token: u64) -> io::Result<()> {
        let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = Event { events: interest as u32, u64: token };
        // SAFETY: `event` outlives the call.
        unsafe {
            check(libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                socket.fd(),
                &mut event,
            ))?;
        }
        Ok(())
    }

    /// Fills `events` with what happened, waiting at most `timeout_ms`.
    pub fn wait(&self, events: &mut [Event], timeout_ms: i32) -> usize {
        // SAFETY: `events` has room for its length. An interrupted wait is an empty one.
        let n = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                timeout_ms,
            )
        };
        n.max(0) as usize
    }
}

/// Which loopback port below the ephemeral range is free, searching from `from`.
pub fn free_port(from: u16) -> io::Result<u16> {
    (from..32_000)
        .find(|&port| Socket::listen(port).is_ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port below 32000"))
}
