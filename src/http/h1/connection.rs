//! The Connection field (RFC 9110 section 7.6.1): persistence, and which fields stay here.

use super::Bad;
use crate::http::bytes::{is_token, trimmed};
use crate::http::head::{Field, Known, Version};
use crate::http::known::is_end_to_end;
use crate::limits::MAX_CONNECTION_OPTIONS;

/// Reads all Connection fields: marks the fields they name as hop-by-hop, and says whether the
/// sender keeps the connection (RFC 9112 section 9.3; `close` wins).
///
/// Options that name a field meant for all recipients are ignored.
pub(super) fn apply(buf: &[u8], fields: &mut [Field], version: Version) -> Result<bool, Bad> {
    let (mut close, mut keep_alive) = (false, false);
    let mut options = 0;
    for at in 0..fields.len() {
        if fields[at].known != Known::Connection {
            continue;
        }
        for option in fields[at].value.of(buf).split(|b| *b == b',').map(trimmed) {
            options += 1;
            if options > MAX_CONNECTION_OPTIONS {
                return Err(Bad::TooManyConnectionOptions);
            }
            if option.is_empty() {
                continue;
            }
            if option.eq_ignore_ascii_case(b"keep-alive") {
                keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                close = true;
            } else if !is_token(option) {
                return Err(Bad::BadConnectionOption);
            } else {
                mark(buf, fields, option);
            }
        }
    }
    Ok(!close && (keep_alive || version == Version::Http11))
}

fn mark(buf: &[u8], fields: &mut [Field], option: &[u8]) {
    for field in fields {
        let name = field.name.of(buf);
        if name.eq_ignore_ascii_case(option) && !is_end_to_end(field.known, name) {
            field.hop = true;
        }
    }
}
