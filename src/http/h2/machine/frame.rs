//! The nine bytes in front of every frame (RFC 9113 section 4.1).

use super::super::kinds::{
    ACK, GOAWAY, PADDED, PING, PRIORITIZED, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::http::h2::code::{Code, Fault, WRONG};

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 9;
/// Longest payload that either side takes: what everybody must (section 4.2).
pub(super) const PAYLOAD_MAX: usize = 16_384;

/// A frame's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    /// The header at the front; `None`: it is not whole yet.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, d, e, f, g] = bytes.first_chunk::<HEADER>()?;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes([d, e, f, g]) & (u32::MAX >> 1);
        Some(Self { len, kind, flags, stream })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a frame of that kind can have that length (section 4.2 and those of each kind).
    pub(super) fn check_length(self) -> Result<(), Fault> {
        let fits = match self.kind {
            _ if self.len > PAYLOAD_MAX => false,
            PRIORITY => self.len == 5,
            RST_STREAM | WINDOW_UPDATE => self.len == 4,
            SETTINGS if self.has(ACK) => self.len == 0,
            SETTINGS => self.len.is_multiple_of(6),
            PING => self.len == 8,
            GOAWAY => self.len >= 8,
            _ => true,
        };
        if fits { Ok(()) } else { Err(Fault(Code::FRAME_SIZE_ERROR)) }
    }

    /// What a DATA or HEADERS frame carries between its padding and, of HEADERS, its priority.
    pub(super) fn unpadded(self, mut payload: &[u8]) -> Result<&[u8], Fault> {
        if self.has(PADDED) {
            let (&padding, rest) = payload.split_first().ok_or(WRONG)?;
            let end = rest.len().checked_sub(usize::from(padding)).ok_or(WRONG)?;
            payload = &rest[..end];
        }
        match self.kind {
            super::super::kinds::HEADERS if self.has(PRIORITIZED) => payload.get(5..).ok_or(WRONG),
            _ => Ok(payload),
        }
    }
}

/// A frame's header in bytes.
pub(super) fn header(len: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEADER] {
    let [_, a, b, c] = (len as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// The four bytes at `at` as a number.
pub(super) fn number(payload: &[u8], at: usize) -> u32 {
    let bytes = payload.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
