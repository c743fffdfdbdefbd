//! The policy room.

pub mod transform;
//! 4. The route's rules give a verdict.
//!
//! Owns: who the client is ([`client`]), how much it may have ([`limit`]).
//! Never does I/O and reads no clock: bytes and `now` are arguments.

pub mod client;
pub mod limit;
