//! What carries one exchange to a target: a connection of its own for as long, or a stream.

use super::pool::Connection;
use super::stream::TargetStream;
use crate::io::Guard;

/// What carries one exchange.
pub enum Carrier {
    /// HTTP/1.1: a connection, lent.
    Connection(Connection),
    /// HTTP/2: a stream.
    Stream(TargetStream),
}

impl Carrier {
    /// Its deadline.
    pub fn guard(&self) -> &Guard {
        match self {
            Self::Connection(connection) => &connection.guard,
            Self::Stream(stream) => &stream.guard,
        }
    }

    /// Whether its connection carried others before.
    pub fn reused(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.reused,
            Self::Stream(stream) => stream.reused,
        }
    }
}
