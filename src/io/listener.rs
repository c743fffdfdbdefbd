//! Listening sockets: bound by control, accepted from by a worker.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use monoio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use super::raw::RawStream;
use super::socket::shut_down;
use super::stream::Stream;

/// Binds a socket with SO_REUSEPORT; each worker gets one of its own for the same address. It
/// takes no connections before [`listen`].
///
/// # Errors
/// What bind(2) says.
pub fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
    let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Inherited by accepted sockets, which saves a call a connection.
    socket.set_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has a bound socket take connections, or changes the length of its queue.
///
/// # Errors
/// What listen(2) says: `AddrInUse` where another process listens on the address.
pub fn listen(socket: &OwnedFd, backlog: u32) -> io::Result<()> {
    let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: plain integers.
    match unsafe { libc::listen(socket.as_raw_fd(), backlog) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The address a socket is bound to.
///
/// # Errors
/// What getsockname(2) says.
pub fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let socket = Socket::from(socket.try_clone()?);
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// A worker's end of a listener.
pub struct Listener {
    inner: TcpListener,
    fd: i32,
}

impl Listener {
    /// Takes a duplicate of a bound socket.
    ///
    /// # Errors
    /// `EMFILE`, or what registering with the driver says.
    pub fn new(socket: &OwnedFd, nonblocking: bool) -> io::Result<Self> {
        let socket = std::net::TcpListener::from(socket.try_clone()?);
        // io_uring waits for a connection only on a blocking socket.
        socket.set_nonblocking(nonblocking)?;
        let fd = socket.as_raw_fd();
        Ok(Self { inner: TcpListener::from_std(socket)?, fd })
    }

    /// Waits for a connection. Some of these are pending for the listener's whole life; they are
    /// never cancelled, since a cancelled accept can lose a connection.
    ///
    /// # Errors
    /// What accept(2) says; `InvalidInput` after [`close_accepts`].
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, address) = self.inner.accept().await?;
        Ok((Stream::plain(RawStream::tcp(stream)), address))
    }

    /// The descriptor, by which another task ends the accepting.
    pub fn fd(&self) -> i32 {
        self.fd
    }
}

/// Takes the connections that wait on a listener that is about to be closed, at most `max`.
///
/// The socket does not block from here on: the accept that is pending may take a connection
/// between a look and the taking.
pub fn drain(fd: i32, max: usize) -> Vec<(Stream, SocketAddr)> {
    let mut taken = Vec::new();
    // SAFETY: plain integers; where it fails nothing is taken.
    if unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
        return taken;
    }
    while taken.len() < max {
        let Ok(socket) = accept_waiting(fd) else { break };
        let stream = std::net::TcpStream::from(socket);
        let Ok(peer) = stream.peer_addr() else { continue };
        if let Ok(stream) = Stream::from_std(stream) {
            taken.push((stream, peer));
        }
    }
    taken
}

/// Takes a connection that is waiting already, without blocking.
///
/// # Errors
/// `WouldBlock` where none is; else what accept(2) says.
pub fn accept_waiting(fd: i32) -> io::Result<OwnedFd> {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, no waiting.
    if unsafe { libc::poll(&mut poll, 1, 0) } <= 0 || poll.revents & libc::POLLIN == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: null address and length are allowed.
    let new = unsafe {
        libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
    };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Ends the pending accept of a listening socket. What is still queued is reset, so take it first
/// (the accept completes as long as connections wait).
pub fn close_accepts(fd: i32) {
    shut_down(fd, libc::SHUT_RDWR);
}
