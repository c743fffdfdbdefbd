//! Where a request came from, and where its answer goes.

use crate::io::{Expiry, Guard, Partner};

use super::client::Connection;
use super::h2::ClientStream;
use super::pump::{Inlet, Outlet};

/// Where a request came from, and where its answer goes.
#[derive(Clone, Copy)]
pub(super) enum Downstream<'a> {
    /// A connection that has one request at a time.
    Connection(&'a Connection),
    /// One stream of a connection that has many.
    Stream(&'a ClientStream),
}

impl<'a> Downstream<'a> {
    /// Its deadline.
    pub(super) fn guard(self) -> &'a Guard {
        match self {
            Self::Connection(connection) => &connection.guard,
            Self::Stream(stream) => &stream.guard,
        }
    }

    /// What a deadline does to what waits for the client's bytes.
    pub(super) fn expiry_of_reading(self) -> Expiry {
        match self {
            Self::Connection(_) => Expiry::ShutRead,
            Self::Stream(_) => Expiry::Wake,
        }
    }

    /// What a deadline does to what waits for the client to take bytes.
    pub(super) fn expiry_of_writing(self) -> Expiry {
        match self {
            Self::Connection(_) => Expiry::ShutBoth,
            Self::Stream(_) => Expiry::Wake,
        }
    }

    /// What is lost when the client goes.
    pub(super) fn partner(self) -> Partner {
        match self {
            Self::Connection(connection) => Partner::Socket(connection.stream.fd()),
            Self::Stream(stream) => stream.partner(),
        }
    }

    /// Where the answer's content goes; `None`: to a stream whose head was not sent.
    pub(super) fn outlet(self) -> Option<Outlet<'a>> {
        match self {
            Self::Connection(connection) => Some(Outlet::Socket(&connection.stream)),
            Self::Stream(stream) => stream.answer().map(Outlet::Stream),
        }
    }

    /// Where the request's content comes from.
    pub(super) fn inlet(self) -> Inlet<'a> {
        match self {
            Self::Connection(connection) => Inlet::Socket(&connection.stream),
            Self::Stream(stream) => Inlet::Stream(&stream.content),
        }
    }
}
