//! Connections that carry many streams: the protocol's machine ([`crate::http::h2::machine`]) on a
//! connection, and the content of one stream, in and out. What heads say is not known here.
//!
//! One task drives a connection: it reads what comes, and writes what was gathered when it has had its
//! turn, so that the answers of many streams go out in one write. The tasks of streams talk to the machine
//! themselves, and wake the driver once.

mod content;
mod link;
mod wire;

pub use content::{Held, Inbound, Outbound};
pub use link::{Link, Takes};
pub use wire::Slowest;
