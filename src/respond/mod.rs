//! The respond room.

pub mod access_log;
