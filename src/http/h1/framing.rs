//! How long content is (RFC 9112 section 6.3): one answer, or the message is refused.

use super::Bad;
use super::fields::{Presence, value};
use crate::http::bytes::{is_token, trimmed};
use crate::http::head::{Field, Framing, Known, Version};

/// What the framing fields of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// Neither field.
    Nothing,
    /// Content-Length.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Announced {
    /// As a request's framing: without a word about it there is no content.
    pub(super) fn of_request(self) -> Framing {
        match self {
            Self::Nothing => Framing::None,
            Self::Length(length) => Framing::Length(length),
            Self::Chunked => Framing::Chunked,
        }
    }
}

/// Reads Transfer-Encoding and Content-Length.
pub(super) fn announced(
    buf: &[u8],
    fields: &[Field],
    presence: &Presence,
    version: Version,
) -> Result<Announced, Bad> {
    let coded = presence.once.contains(Known::TransferEncoding);
    let sized = presence.once.contains(Known::ContentLength);
    match (coded, sized) {
        (false, false) => Ok(Announced::Nothing),
        (true, true) => Err(Bad::BothFramings),
        (true, false) => transfer_coding(buf, fields, version),
        (false, true) if presence.repeated.contains(Known::ContentLength) => {
            Err(Bad::RepeatedContentLength)
        }
        (false, true) => {
            content_length(value(fields, buf, Known::ContentLength)).map(Announced::Length)
        }
    }
}

/// Only `chunked`, once, is accepted; the rest finds out what to call the refusal.
fn transfer_coding(buf: &[u8], fields: &[Field], version: Version) -> Result<Announced, Bad> {
    if version == Version::Http10 {
        return Err(Bad::OldTransferEncoding);
    }
    let (mut codings, mut chunked, mut ends_in_chunked) = (0, 0, false);
    for field in fields.iter().filter(|f| f.known == Known::TransferEncoding) {
        for coding in field.value.of(buf).split(|b| *b == b',').map(trimmed) {
            if !is_token(coding) {
                return Err(Bad::BadTransferEncoding);
            }
            ends_in_chunked = coding.eq_ignore_ascii_case(b"chunked");
            chunked += u32::from(ends_in_chunked);
            codings += 1;
        }
    }
    match (codings, chunked) {
        (1, 1) => Ok(Announced::Chunked),
        (_, 2..) => Err(Bad::RepeatedChunked),
        _ if ends_in_chunked => Err(Bad::UnknownTransferCoding),
        _ => Err(Bad::ChunkedNotLast),
    }
}

/// 1*DIGIT (RFC 9110 section 8.6), below 2^63 so that sums of lengths cannot overflow.
fn content_length(value: &[u8]) -> Result<u64, Bad> {
    let mut length = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(length_refused(value));
        }
        let digit = u64::from(byte - b'0');
        length = length
            .checked_mul(10)
            .and_then(|n| n.checked_add(digit))
            .filter(|n| *n <= i64::MAX as u64)
            .ok_or(Bad::ContentLengthOverflow)?;
    }
    if value.is_empty() { Err(Bad::BadContentLength) } else { Ok(length) }
}

#[cold]
fn length_refused(value: &[u8]) -> Bad {
    match value.first() {
        _ if value.contains(&b',') => Bad::ListedContentLength,
        Some(b'+' | b'-') => Bad::SignedContentLength,
        _ => Bad::BadContentLength,
    }
}
