//! Stage 5: a target answers. Owns the choice of a target, the idle connections to it and its
//! health as this core sees it; knows nothing of routes or of what a client is told.
//!
//! Invariants:
//! - A connection is lent to one exchange at a time, and comes back only when both messages on it
//!   were consumed whole.
//! - One of HTTP/2 is lent to as many as it has streams for ([`h2`]).
//! - One that began with a PROXY header is its client's alone ([`introduced`]).
//! - Before it is lent again it must be quiet: bytes or an end of file there mean it is discarded.

pub mod balance;
pub mod carrier;
pub mod cause;
pub mod connect;
pub mod emit;
pub mod group;
pub mod h2;
pub mod health;
pub mod introduced;
pub mod key;
pub mod maglev;
pub mod open;
pub mod pool;
pub mod retry;

pub use carrier::Carrier;
pub use cause::Cause;
pub use connect::Upstreams;
pub use group::{Address, Group, Target};
pub use h2::TargetStream;
pub use open::{ConnectError, ConnectTime};
pub use pool::Connection;
