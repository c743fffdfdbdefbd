//! Clients that speak HTTP/2: a connection, and the streams that it has. Each stream's request goes
//! the same way as one of HTTP/1.1 ([`super::request`]).

mod connection;
mod stream;

pub(super) use connection::serve;
pub(super) use stream::ClientStream;
