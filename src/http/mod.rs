//! Bytes become a message and back. Pure: no I/O, no clock.

pub mod h1;
pub mod head;

pub use head::*;
