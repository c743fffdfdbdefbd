//! A connection that began with a PROXY header: it was introduced as one client connection's and
//! carries nobody else's requests. So no pool has it; it is kept with that client connection.

use super::group::Target;
use super::pool::Connection;

/// What such a connection was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose<'a> {
    /// The snapshot's generation: ids of targets hold within one only.
    pub generation: u64,
    /// The host name in its header; another one needs another connection.
    pub authority: Option<&'a str>,
}

/// A connection of one client's, kept for its next request.
pub struct Introduced {
    connection: Connection,
    generation: u64,
    authority: Option<Box<str>>,
    until_ns: u64,
}

impl Introduced {
    /// Keeps a connection whose last exchange was consumed whole.
    pub fn new(mut connection: Connection, purpose: Purpose<'_>, until_ns: u64) -> Self {
        connection.reused = true;
        connection.guard.disarm();
        let Purpose { generation, authority } = purpose;
        Self { connection, generation, authority: authority.map(Box::from), until_ns }
    }

    /// The connection, where it serves this purpose; the caller checks that it is quiet.
    pub fn take(self, target: &Target, purpose: Purpose<'_>, now_ns: u64) -> Option<Connection> {
        let made = Purpose { generation: self.generation, authority: self.authority.as_deref() };
        let fits = self.connection.target == target.id && made == purpose && self.until_ns > now_ns;
        fits.then_some(self.connection)
    }
}
