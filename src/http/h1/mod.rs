//! HTTP/1.1 (RFC 9112).
//!
//! A head is parsed in one pass when it arrives whole, which is nearly always. When it does not,
//! [`scan`] follows its line ends as bytes come and has the parser run again only when the head
//! is complete or something in it is wrong. The parser itself goes strictly from left to right,
//! so that what it says about a message does not depend on how much of it was there.

pub mod body;
mod connection;
pub mod encode;
pub(in crate::http) mod fields;
mod framing;
pub mod request;
pub mod response;
mod scan;
mod stop;
mod target;
mod trailers;

pub use body::{BodyReader, Decoded};
pub use request::parse_request;
pub use response::{Asked, parse_response};
pub use scan::Scan;

use super::bad::Bad;
use scan::{FirstLine, Sight};
use stop::Stop;

/// Parses a head that may not be whole: `attempt` is made at once, and again when `scan` sees the
/// end or something wrong. `Ok(false)`: more bytes are needed.
///
/// At most `max_head` bytes are looked at; a first line out of bounds is put to `attempt` before
/// the head ends.
#[inline(always)]
fn parse_when_ripe(
    buf: &mut [u8],
    scan: &mut Scan,
    max_head: usize,
    first: FirstLine,
    mut attempt: impl FnMut(&mut [u8]) -> Result<(), Stop>,
) -> Result<bool, Bad> {
    let full = buf.len() >= max_head;
    let window = buf.len().min(max_head);
    let buf = &mut buf[..window];
    if scan.first_look() {
        match attempt(buf) {
            Ok(()) => return Ok(true),
            Err(Stop::Bad(bad)) => return Err(bad),
            Err(Stop::Incomplete) => {}
        }
    }
    let sight = scan.advance(buf, first);
    if sight == Sight::Open && !full {
        return Ok(false);
    }
    match (attempt(buf), sight) {
        (Ok(()), _) => Ok(true),
        (Err(Stop::Bad(bad)), _) | (Err(Stop::Incomplete), Sight::Wrong(bad)) => Err(bad),
        (Err(Stop::Incomplete), _) if full => Err(Bad::HeadTooLarge),
        (Err(Stop::Incomplete), _) => Ok(false),
    }
}
