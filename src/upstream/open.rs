//! A connection to a target is made.

use std::io;
use std::time::Duration;

use super::cause::Cause;
use super::group::{Address, Destination};
use crate::io::tls::HandshakeError;
use crate::io::{Buffer, Stream, clock, timeout};

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectTime {
    /// As it is configured: a target that takes longer has failed.
    pub most: Duration,
    /// What the request has left of its time for all, which its client may have chosen: that it is over
    /// says nothing about the target.
    pub left: Duration,
}

impl ConnectTime {
    /// Whichever is shorter.
    pub fn shorter(self) -> Duration {
        self.most.min(self.left)
    }

    /// Whether it is the target's failure that there is no connection.
    pub(super) fn blames_target(self, error: ConnectError) -> bool {
        match error {
            ConnectError::NoDescriptors(_) => false,
            ConnectError::TimedOut => self.left >= self.most,
            _ => true,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// Refused, unreachable, or no such socket.
    Unreached(Cause),
    /// It ended the connection before anything could be asked.
    Failed,
    /// Not in time.
    TimedOut,
    /// No descriptor or local port left.
    NoDescriptors(Cause),
    /// Its certificate is not one that it may have.
    BadCertificate(Cause),
    /// No TLS could be agreed on.
    NoTls(Cause),
    /// It does not speak HTTP/2.
    NoHttp2,
}

/// Connects, and begins TLS where that is spoken, all within the time.
pub(super) async fn open(
    to: &Destination,
    preface: Buffer,
    within: Duration,
) -> Result<Stream, ConnectError> {
    let began = clock::now_ns();
    let mut stream = match &to.address {
        Address::Socket(address) => Stream::connect(*address, within).await,
        Address::Unix(path) => Stream::connect_unix(path, within).await,
    }
    .map_err(|error| ConnectError::of(&error))?;
    if let Some((config, name)) = &to.tls {
        let left = within.saturating_sub(Duration::from_nanos(clock::now_ns() - began));
        let begins = async {
            stream.write_all(preface).await.0?;
            stream.begin_tls(config.clone(), name.clone()).await
        };
        let began = timeout(left, Box::pin(begins)).await.ok_or(ConnectError::TimedOut)?;
        began.map_err(|error| ConnectError::of_tls(&error))?;
    }
    Ok(stream)
}

impl ConnectError {
    fn of_tls(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::Protocol(why @ rustls::Error::InvalidCertificate(_)) => {
                Self::BadCertificate(Cause::of_tls(why))
            }
            HandshakeError::Protocol(
                rustls::Error::NoApplicationProtocol
                | rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol),
            ) => Self::NoHttp2,
            HandshakeError::Protocol(why) => Self::NoTls(Cause::of_tls(why)),
            HandshakeError::NotTls => Self::NoTls(Cause::NO_TLS),
            HandshakeError::Io(why) => Self::Unreached(Cause::of(why)),
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL | libc::ENOBUFS) => {
                Self::NoDescriptors(Cause::of(error))
            }
            Some(libc::ETIMEDOUT) => Self::TimedOut,
            _ if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Unreached(Cause::of(error)),
        }
    }
}
