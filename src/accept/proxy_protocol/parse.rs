//! Bytes to a header, as they come.

use super::{Bad, Header, SIGNATURE, v1, v2};
use crate::config::AcceptProxyProtocol as Accept;

/// Reads the header at the front of `bytes`; `None` where more of it is to come, and then every byte
/// belongs to it.
///
/// # Errors
/// Where the bytes are no header that `accept` takes; more of them would not make them one.
pub fn parse(bytes: &[u8], accept: Accept) -> Result<Option<Header<'_>>, Bad> {
    if bytes.is_empty() {
        Ok(None)
    } else if matches!(accept, Accept::V1 | Accept::Any) && begins(bytes, v1::PREFIX) {
        v1::parse(bytes)
    } else if matches!(accept, Accept::V2 | Accept::Any) && begins(bytes, &SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(Bad::Missing)
    }
}

/// Whether the bytes begin with `mark`, as far as they go.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    let both = bytes.len().min(mark.len());
    bytes[..both] == mark[..both]
}

#[cfg(test)]
mod tests {
    use super::super::{Addresses, Tlvs};
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Header<'_>>, Bad> {
        parse(bytes, Accept::Any)
    }

    #[test]
    fn what_begins_otherwise_is_no_header() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"PROXy ", b"PR0", b"\r\n\r\nX"]
        {
            assert_eq!(read(bytes), Err(Bad::Missing), "{bytes:?}");
        }
        for start in [&b""[..], b"P", b"PROXY", b"\r\n", b"\r\n\r\n\0\r\nQUIT"] {
            assert_eq!(read(start), Ok(None), "{start:?}");
        }
    }

    #[test]
    fn a_listener_may_take_one_version_only() {
        assert_eq!(parse(b"P", Accept::V2), Err(Bad::Missing));
        assert_eq!(parse(b"\r", Accept::V1), Err(Bad::Missing));
        let header = Header { addresses: Addresses::Unnamed, tlvs: Tlvs::default(), len: 15 };
        assert_eq!(parse(b"PROXY UNKNOWN\r\n", Accept::V1), Ok(Some(header)));
    }
}
