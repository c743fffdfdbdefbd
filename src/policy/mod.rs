//! Stage 4: the route's rules give a verdict.
//!
//! Owns who the client is ([`client`]), which application calls ([`auth`]), how much it may have
//! ([`limit`] by rate, [`quota`] by the calendar), what is changed in a message on its way through
//! ([`transform`]), and the one door upstream ([`judge`]). Never does I/O and reads no clock: bytes
//! and `now` are arguments.

pub mod auth;
pub mod client;
mod few;
mod judge;
pub(crate) mod keyed;
pub mod limit;
mod query;
pub mod quota;
mod table;
pub mod transform;

pub use judge::{Concurrency, Denied, Passed, Permit, enter, judge, judge_rates};
