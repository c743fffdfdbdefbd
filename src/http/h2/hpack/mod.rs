//! HPACK (RFC 7541): fields as short references to tables that both ends keep alike.
//!
//! The tables are a connection's: blocks must be decoded in the order in which they came, and sent in
//! the order in which they were encoded, whatever becomes of their streams.

mod decode;
mod encode;
mod huffman;
mod statics;
mod table;

pub use decode::{Broken, Decoder};
pub use encode::Encoder;

/// Bytes of a dynamic table, by section 4.1's count: what either end starts with, and the most that we
/// make use of.
pub const TABLE_SIZE: usize = 4096;

/// What an entry takes in a table beside its name and value (RFC 7541 section 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// A prefix of so many bits, all set (RFC 7541 section 5.1).
const fn full(prefix: u32) -> u8 {
    (1u16 << prefix).wrapping_sub(1) as u8
}
