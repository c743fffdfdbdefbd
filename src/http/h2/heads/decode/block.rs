//! All fields of a block, one after the other.

use crate::http::bytes::{is_token, value_end};
use crate::http::h2::heads::wrong::Wrong;
use crate::http::h2::hpack::Decoder;
use crate::limits::H2_BOMB_FACTOR;

/// Decodes a whole block, as all that come must be. `most`: bytes of lines that are taken of it.
pub(super) fn fields(
    decoder: &mut Decoder,
    block: &[u8],
    most: usize,
    mut field: impl FnMut(&[u8], &[u8]),
) -> Result<(), Wrong> {
    let mut fits = true;
    // What the table has was looked at when it came, and was the connection's end where it did not fit.
    let each = |name: &[u8], value: &[u8], new: bool| {
        fits &= !new || is_http(name, value);
        if fits {
            field(name, value);
        }
    };
    decoder.decode(block, most.saturating_mul(H2_BOMB_FACTOR), each)?;
    if fits { Ok(()) } else { Err(Wrong::NotHttp) }
}

/// Whether a regular field can be one, in lower case (RFC 9113 section 8.2.1).
#[inline]
fn is_http(name: &[u8], value: &[u8]) -> bool {
    let pseudo = name.first() == Some(&b':');
    let named = || is_token(name) && !name.iter().any(u8::is_ascii_uppercase);
    pseudo || named() && value_end(value, 0) == value.len()
}

/// Decodes a block that nobody wants any more, since the next one may refer to its fields.
///
/// # Errors
/// The connection must end.
pub fn nothing(decoder: &mut Decoder, block: &[u8], most: usize) -> Result<(), Wrong> {
    fields(decoder, block, most, |_, _| {})
}

/// A block of these fields, as they are.
#[cfg(test)]
pub(super) fn written(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        // The encoder would write a name in lower case.
        let (name, value) = (name.as_bytes(), value.as_bytes());
        out.extend([&[0, name.len() as u8], name].concat());
        if value.len() < 127 {
            out.push(value.len() as u8);
        } else {
            let rest = value.len() - 127;
            out.extend([127, rest as u8 | 0x80, (rest >> 7) as u8]);
        }
        out.extend(value);
    }
    out
}
