//! Who a connection is from.

use std::net::SocketAddr;

/// Who a connection is from.
pub struct Peer {
    /// Its client, as far as the connection tells: the PROXY header's word, else the transport's.
    pub address: SocketAddr,
    /// What a PROXY header said beside that, where one came.
    pub introduction: Option<Box<Introduction>>,
}

/// A connection that a proxy opened for somebody, and said so.
pub struct Introduction {
    /// The proxy.
    pub proxy: SocketAddr,
    /// What the client connected to, where it was told.
    pub destination: Option<SocketAddr>,
    /// The host name that the client asked the proxy for.
    pub authority: Option<Box<str>>,
    /// The client spoke TLS to the proxy.
    pub tls: bool,
    /// The proxy said whose connection it is: if its own, then its forwarding fields are its own too.
    pub named: bool,
}

impl From<SocketAddr> for Peer {
    /// The one that opened the connection.
    fn from(address: SocketAddr) -> Self {
        Self { address, introduction: None }
    }
}
