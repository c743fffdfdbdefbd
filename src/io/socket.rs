//! What is asked of a socket past the driver: looks that take nothing, and shutting it down.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};

use socket2::SockRef;

/// Looks for bytes without waiting and without taking them: 1 where some are there, 0 at the end
/// of file.
///
/// # Errors
/// `WouldBlock` where nothing has come; else what recv(2) says.
pub(super) fn peek(fd: RawFd) -> io::Result<usize> {
    receive(fd, &mut [0], libc::MSG_PEEK)
}

/// Receives what has come, as much as there is room for, without waiting; 0 at the end of file.
///
/// # Errors
/// `WouldBlock` where nothing has come; else what recv(2) says.
pub(super) fn receive(fd: RawFd, into: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the memory is valid for its length.
    let n = unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Whether bytes wait to be read.
pub(super) fn has_unread(fd: RawFd) -> bool {
    peek(fd).is_ok_and(|n| n > 0)
}

/// The address that a socket is bound to; `None` where it has none of IP.
pub(super) fn local_address(fd: RawFd) -> Option<SocketAddr> {
    // SAFETY: the descriptor is its stream's, which is borrowed by whoever asks.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    SockRef::from(&fd).local_addr().ok()?.as_socket()
}

/// Ends one side of a connection, or both, or a listener's accepting.
pub(super) fn shut_down(fd: RawFd, how: libc::c_int) {
    // SAFETY: shutdown(2) takes plain integers; a wrong descriptor is an error, which means that
    // the connection is gone already.
    unsafe { libc::shutdown(fd, how) };
}

/// Takes what has come, without waiting: how many bytes of `room` it filled, from its start; 0 at the
/// end of file.
///
/// # Errors
/// `WouldBlock` where nothing has come; else what recv(2) says.
pub(super) fn receive_now(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: the memory is ours to write, and as long as is said; the flag makes it not wait.
    let n = unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Sends what the socket takes without waiting; what it does not take, and errors, are forgotten.
pub(super) fn send_now(fd: RawFd, bytes: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: memory that is valid to read, and its length.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
}
