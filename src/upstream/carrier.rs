//! What carries one exchange to a target: a connection of its own for as long, or a stream.

use super::h2::TargetStream;
use super::pool::Connection;
use crate::io::{Expiry, Guard};

/// What carries one exchange.
pub enum Carrier {
    /// HTTP/1.1: a connection, lent.
    Connection(Connection),
    /// HTTP/2: a stream. Boxed, since it is the larger one, and the other is moved with every request.
    Stream(Box<TargetStream>),
}

impl Carrier {
    /// Its deadline.
    pub fn guard(&self) -> &Guard {
        match self {
            Self::Connection(connection) => &connection.guard,
            Self::Stream(stream) => &stream.guard,
        }
    }

    /// What a deadline does to what waits for the target.
    pub fn expiry(&self) -> Expiry {
        match self {
            Self::Connection(_) => Expiry::ShutBoth,
            Self::Stream(_) => Expiry::Wake,
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
