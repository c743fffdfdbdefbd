//! The control room.

pub mod admin;
pub mod log_writer;
pub mod resolve;
pub mod watch;
