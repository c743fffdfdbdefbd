//! The header comes in: looked at where it lies in the socket and taken off it exactly, so that the
//! next layer finds its own first byte.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::{Addresses, Bad, Header, parse};
use crate::accept::peer::{Introduction, Peer};
use crate::config::AcceptProxyProtocol;
use crate::io::{Expiry, Guard, Stream};
use crate::limits::PROXY_HEADER_MAX;

/// Why a connection is closed before its first byte was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It may send no header.
    Untrusted,
    /// It sent no good one.
    Bad(Bad),
    /// The header was not whole in time.
    TimedOut,
    /// The connection ended within it.
    Ended,
    /// The connection ended before its first byte, as a load balancer's look at the port does.
    NeverSpoke,
}

impl Refused {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Untrusted => "its peer is no trusted proxy",
            Self::Bad(bad) => bad.reason(),
            Self::TimedOut => "a PROXY header that was not whole in time",
            Self::Ended => "a PROXY header that was cut off",
            Self::NeverSpoke => "closed without a byte",
        }
    }
}

/// Waits for the header and takes it. `transport` is the proxy's address.
///
/// # Errors
/// Where no good header came until `until_ns`; the connection is then to be closed.
pub async fn receive(
    stream: &Stream,
    guard: &Guard,
    accept: AcceptProxyProtocol,
    until_ns: u64,
    transport: SocketAddr,
) -> Result<Peer, Refused> {
    let mut taken = Vec::new();
    loop {
        if let Some(peer) = step(stream, accept, &mut taken, transport)? {
            guard.disarm();
            return Ok(peer);
        }
        // One that has sent nothing yet need not be waited for when the gateway drains.
        let expiry = if taken.is_empty() { Expiry::CloseIdle } else { Expiry::ShutRead };
        guard.arm(until_ns, expiry);
        let ready = stream.readable().await;
        if guard.expired().is_some() {
            return Err(Refused::TimedOut);
        }
        ready.map_err(|_| Refused::ended(&taken))?;
    }
}

/// Looks at what has come. All of a header that is not whole is its own, so that is taken off the
/// socket into `taken`: left there, it would end every wait for more at once.
fn step(
    stream: &Stream,
    accept: AcceptProxyProtocol,
    taken: &mut Vec<u8>,
    transport: SocketAddr,
) -> Result<Option<Peer>, Refused> {
    let mut window = [0; PROXY_HEADER_MAX];
    let had = taken.len();
    window[..had].copy_from_slice(taken);
    let came = match stream.peek(&mut window[had..]) {
        Ok(0) => return Err(Refused::ended(taken)),
        Ok(came) => came,
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(_) => return Err(Refused::ended(taken)),
    };
    let header = parse(&window[..had + came], accept).map_err(Refused::Bad)?;
    let peer = header.map(|header| (header.len, introduced(&header, transport)));
    let end = peer.as_ref().map_or(had + came, |(len, _)| *len);
    let own = &mut window[had..end];
    // They lie there: less would be a socket that is no stream.
    if stream.take(own).ok() != Some(own.len()) {
        return Err(Refused::Ended);
    }
    taken.extend_from_slice(own);
    Ok(peer.map(|(_, peer)| peer))
}

impl Refused {
    fn ended(taken: &[u8]) -> Self {
        if taken.is_empty() { Self::NeverSpoke } else { Self::Ended }
    }
}

fn introduced(header: &Header<'_>, transport: SocketAddr) -> Peer {
    let (address, destination) = match header.addresses {
        Addresses::Transport | Addresses::Unnamed => (transport, None),
        Addresses::Proxied { source, destination } => (source, Some(destination)),
    };
    let introduction = Introduction {
        proxy: transport,
        destination,
        authority: header.tlvs.authority.map(Box::from),
        tls: header.tlvs.tls.is_some_and(|tls| tls.used),
        named: header.addresses != Addresses::Unnamed,
    };
    Peer { address, introduction: Some(Box::new(introduction)) }
}
