//! HTTP/2 (RFC 9113).
//!
//! [`machine`] is a connection: frames, streams, flow control, and what a peer may not do. [`hpack`] are
//! its fields, [`heads`] are heads: one that came in fields is written out as lines, and read by the one
//! parser that decides what a request or an answer is; one that goes out is composed as lines, whatever
//! the version, and becomes fields again.

pub mod code;
pub mod heads;
pub mod hpack;
mod kinds;
pub mod machine;
