//! Heads of HTTP/2 (RFC 9113) as those of HTTP/1.1, and back.
//!
//! A head that came in fields is written out as lines, and read by the one parser that decides what
//! a request or an answer is: so what HTTP/1.1 refuses is refused here too, and nothing that an
//! HTTP/1.1 server behind could read in another way gets that far. A head that goes out is composed
//! as lines, whatever the version, and taken apart again into fields.
//!
//! Frames, HPACK, the states of streams and their flow control are the `h2` crate's. It refuses what
//! is malformed by section 8.2 and 8.3 before it comes here: names in upper case, repeated, unknown
//! and misplaced pseudo-header fields, connection-specific fields, a length that is not that of the
//! content.

pub mod decode;
pub mod encode;
pub mod frames;
pub mod heads;
pub mod hpack;
mod kinds;
mod rules;
