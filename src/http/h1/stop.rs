//! Where and why reading a head stops short.

use crate::http::bad::Bad;

/// Why a parser stopped before the end of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes ended, and all of them may begin a good head.
    Incomplete,
    /// No bytes that follow could make it good.
    Bad(Bad),
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

/// Steps over the line end at `at`, where a byte that is not text was found.
#[inline]
pub(super) fn line_end(buf: &[u8], at: usize) -> Result<usize, Stop> {
    match (buf.get(at), buf.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(at + 2),
        (None, _) | (Some(b'\r'), None) => Err(Stop::Incomplete),
        (Some(b'\r'), Some(_)) => Err(Bad::BareCr.into()),
        (Some(b'\n'), _) => Err(Bad::BareLf.into()),
        (Some(0), _) => Err(Bad::NulByte.into()),
        (Some(_), _) => Err(Bad::ControlByte.into()),
    }
}
