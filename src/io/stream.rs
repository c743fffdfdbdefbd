//! One connection, plain or by TLS: what the rest of the gateway reads from and writes to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::buffer::Buffer;
use super::deadline::Guard;
use super::raw::RawStream;
use super::socket::{local_address, receive, shut_down};
use super::tls::{HandshakeError, Tls};

/// A connection. Reads and writes take `&self`, so that one task can drive both directions; at
/// most one read and one write may be pending at a time.
pub struct Stream {
    raw: RawStream,
    tls: Option<Box<Tls>>,
}

impl Stream {
    pub(super) fn plain(raw: RawStream) -> Self {
        Self { raw, tls: None }
    }

    /// Takes over an accepted socket.
    ///
    /// # Errors
    /// What setting its mode or registering it with the driver says.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        RawStream::from_std(stream).map(Self::plain)
    }

    /// Connects to a TCP address.
    ///
    /// # Errors
    /// What connect(2) says, or `TimedOut`.
    pub async fn connect(address: SocketAddr, within: Duration) -> io::Result<Self> {
        RawStream::connect(address, within).await.map(Self::plain)
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// What connect(2) says, or `TimedOut`.
    pub async fn connect_unix(path: &Path, within: Duration) -> io::Result<Self> {
        RawStream::connect_unix(path, within).await.map(Self::plain)
    }

    /// Lets the client begin TLS (RFC 8446, RFC 5246) and takes part in its handshake, of which `early`
    /// was read already. From then on what is read and written is the content.
    ///
    /// # Errors
    /// Why there is no TLS; the client has been told by an alert, where TLS has one for it.
    pub async fn accept_tls(
        &mut self,
        config: Arc<rustls::ServerConfig>,
        early: Buffer,
    ) -> Result<(), HandshakeError> {
        let tls = Box::new(Tls::server(config, early)?);
        tls.handshake(&self.raw).await?;
        self.tls = Some(tls);
        Ok(())
    }

    /// Takes part in a handshake of which [`Stream::accept_tls`] has left the end to come, since
    /// there was early data (RFC 8446 section 2.3).
    ///
    /// # Errors
    /// Why there is no end of it; the connection is then of no more use.
    pub async fn end_handshake(&self) -> Result<(), HandshakeError> {
        match &self.tls {
            None => Ok(()),
            Some(tls) => tls.end_handshake(&self.raw).await,
        }
    }

    /// Begins TLS with the peer, whose certificate must be for `name` as `config` has it.
    ///
    /// # Errors
    /// Why there is no TLS.
    pub async fn begin_tls(
        &mut self,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<(), HandshakeError> {
        let tls = Box::new(Tls::client(config, name)?);
        tls.handshake(&self.raw).await?;
        self.tls = Some(tls);
        Ok(())
    }

    /// What TLS has agreed on; `None` on a plain connection.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// The descriptor, for deadlines.
    pub fn fd(&self) -> RawFd {
        self.raw.fd()
    }

    /// Reads behind the buffer's data, as much as it has room for. 0 is end of file.
    ///
    /// # Errors
    /// What recv(2) says; with TLS also `InvalidData`, and `UnexpectedEof` where the connection ended
    /// without saying so.
    pub async fn read(&self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        match &self.tls {
            None => self.raw.read(buffer).await,
            Some(tls) => tls.read(&self.raw, buffer, None).await,
        }
    }

    /// The same, where `guard`'s deadline may cancel the read without harm to the connection.
    pub async fn read_or_cancel(
        &self,
        buffer: Buffer,
        guard: &Guard,
    ) -> (io::Result<usize>, Buffer) {
        match &self.tls {
            None => self.raw.read_or_cancel(buffer, guard).await,
            Some(tls) => tls.read(&self.raw, buffer, Some(guard)).await,
        }
    }

    /// Reads what comes and forgets it, without looking into it: for a connection whose content
    /// nobody wants any more. 0 is end of file.
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn discard(&self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        self.raw.read(buffer).await
    }

    /// Writes all the buffer's data and gives the buffer back as it was.
    ///
    /// # Errors
    /// What send(2) says; `WriteZero` where the peer takes nothing.
    pub async fn write_all(&self, buffer: Buffer) -> (io::Result<()>, Buffer) {
        match &self.tls {
            None => self.raw.write_all(buffer).await,
            Some(tls) => {
                let result = tls.write_all(&self.raw, buffer.data()).await;
                (result, buffer)
            }
        }
    }

    /// Writes some of the buffer's data, and takes that off it. Gives how many bytes moved on the
    /// wire: more or less than were taken off, with TLS. Some of those may still be owed when the
    /// buffer is empty ([`Stream::owes`]).
    ///
    /// # Errors
    /// What send(2) says; `WriteZero` where the peer takes nothing.
    pub async fn write(&self, mut buffer: Buffer) -> (io::Result<usize>, Buffer) {
        match &self.tls {
            None => self.raw.write(buffer).await,
            Some(tls) => {
                let result = tls.write(&self.raw, &mut buffer).await;
                (result, buffer)
            }
        }
    }

    /// Whether bytes that a write took are yet to be sent by another.
    pub fn owes(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.owes())
    }

    /// Waits until a write would not block. Plain connections only: with TLS more may be owed.
    ///
    /// # Errors
    /// What the driver says; the connection is then of no more use.
    pub async fn writable(&self) -> io::Result<()> {
        self.raw.writable().await
    }

    /// Waits until a read would not block, holding no buffer. With TLS it may block all the same:
    /// what came need not be content.
    ///
    /// # Errors
    /// What the driver says; the connection is then of no more use.
    pub async fn readable(&self) -> io::Result<()> {
        if self.tls.as_ref().is_some_and(|tls| tls.has_content()) {
            return Ok(());
        }
        self.raw.readable().await
    }

    /// Our own address; `None` for a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        local_address(self.fd())
    }

    /// Looks at what has come without taking it and without waiting; 0 is end of file. Before TLS
    /// begins, like [`Self::take`].
    ///
    /// # Errors
    /// `WouldBlock` where nothing has come: wait for [`Self::readable`]; else what recv(2) says.
    pub fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        receive(self.fd(), into, libc::MSG_PEEK)
    }

    /// Takes what has come, without waiting; else as [`Self::peek`].
    ///
    /// # Errors
    /// The same.
    pub fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        receive(self.fd(), into, 0)
    }

    /// Whether a connection that should be silent is: no content, no end of file, no error. One
    /// non-blocking look; with TLS it takes what is there, since tickets come unasked.
    pub fn is_quiet(&self) -> bool {
        match &self.tls {
            None => self.raw.is_quiet(),
            Some(tls) => tls.is_quiet(&self.raw),
        }
    }

    /// Whether the peer sent bytes that nobody has read.
    pub fn has_unread(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_content()) || self.raw.has_unread()
    }

    /// Tells the peer that no more content comes: with TLS by the alert that tells an end from a
    /// cut (RFC 8446 section 6.1), as far as the socket takes it at once.
    pub fn say_end(&self) {
        if let Some(tls) = &self.tls {
            tls.say_end(&self.raw);
        }
    }

    /// The same, and ends our side of the connection.
    pub fn shut_write(&self) {
        self.say_end();
        self.raw.shut_write();
    }

    /// Ends reading here: what is pending sees the end. The peer learns nothing of it.
    pub fn shut_read(&self) {
        shut_down(self.fd(), libc::SHUT_RD);
    }

    /// Makes closing send a reset instead of an orderly end, so that the peer can't take a
    /// truncated message for a whole one.
    pub fn reset_on_close(&self) {
        self.raw.reset_on_close();
    }
}
