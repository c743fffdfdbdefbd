//! The PROXY protocol, versions 1 and 2, as HAProxy's `proxy-protocol.txt` has it: a header in front
//! of a connection's bytes by which a proxy says for whom it opened the connection.
//!
//! Pure but for [`receive`]. Invariants:
//! - A header has one reading or none: what the text does not allow is refused.
//! - Any cut of the bytes comes to the same verdict, and no byte behind the header is looked at.

mod crc32c;
mod emit;
mod parse;
pub mod receive;
mod tlv;
mod v1;
mod v2;

pub use emit::{emit_v1, emit_v2};
pub use parse::parse;
pub use tlv::{Tls, Tlvs};

use std::net::SocketAddr;

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Whose connection it is.
    pub addresses: Addresses,
    /// What version 2 may say beside that.
    pub tlvs: Tlvs<'a>,
    /// Its bytes; what follows is the connection's own.
    pub len: usize,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// The proxy's own (LOCAL, a health check): the transport's addresses count.
    Transport,
    /// One that the proxy cannot name (UNKNOWN, or a client that has no IP address). The transport's
    /// addresses count, but it is not the proxy that speaks.
    Unnamed,
    /// A client's.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// What it connected to.
        destination: SocketAddr,
    },
}

/// Why bytes are no header that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// They begin as no header does, or as one of a version that is not taken.
    Missing,
    /// Longer than any header may be.
    TooLong,
    /// A line that version 1 does not know.
    Line,
    /// A version or command that version 2 does not know.
    Command,
    /// A family or transport that version 2 does not know.
    Family,
    /// Version 2: no room for the addresses of its family.
    Addresses,
    /// Version 2: TLVs that do not fit, are not what they should be, or stand there twice.
    Tlv,
    /// Version 2: the checksum is another.
    Checksum,
}

impl Bad {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "no PROXY header, or one of a version that is not taken",
            Self::TooLong => "a PROXY header that is too long",
            Self::Line => "a bad line of version 1",
            Self::Command => "an unknown version or command",
            Self::Family => "an unknown address family or transport",
            Self::Addresses => "addresses cut short",
            Self::Tlv => "a bad TLV",
            Self::Checksum => "a wrong checksum",
        }
    }
}

/// The first bytes of version 2, which no protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Type bytes of version 2's TLVs.
mod kind {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_CN: u8 = 0x22;
}
