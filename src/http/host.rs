//! Host names and authorities (RFC 9110 section 7.2, RFC 3986 section 3.2).
//!
//! Stricter than the grammar: names as DNS has them, no user information, no empty port.

use super::bad::Bad;
use super::bytes::is_host;
use crate::limits::MAX_HOST_NAME;
use std::net::Ipv6Addr;

/// An authority's parts, as lengths and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Bytes of the host from the start: brackets included, a final dot left out.
    pub(crate) host_len: usize,
    /// The port, where one is given.
    pub(crate) port: Option<u16>,
}

/// Parses `host[:port]`.
pub(crate) fn parse_authority(bytes: &[u8]) -> Result<Authority, Bad> {
    let end = match bytes.first() {
        None => return Err(Bad::EmptyHost),
        Some(b'[') => literal_end(bytes)?,
        Some(_) => name_end(bytes)?,
    };
    let port = match &bytes[end..] {
        [] => None,
        [b':', digits @ ..] => Some(parse_port(digits)?),
        _ => return Err(Bad::BadHost),
    };
    let host_len = if bytes[end - 1] == b'.' { end - 1 } else { end };
    if host_len == 0 { Err(Bad::EmptyHost) } else { Ok(Authority { host_len, port }) }
}

fn name_end(bytes: &[u8]) -> Result<usize, Bad> {
    // Stands for the dot before the first label.
    let mut previous = b'.';
    let mut end = 0;
    for byte in bytes {
        if !is_host(*byte) {
            break;
        }
        if *byte == b'.' && previous == b'.' {
            return Err(if bytes.len() == 1 { Bad::EmptyHost } else { Bad::BadHost });
        }
        previous = *byte;
        end += 1;
    }
    match bytes.get(end) {
        _ if end > MAX_HOST_NAME => Err(Bad::BadHost),
        None => Ok(end),
        Some(_) if bytes[end..].contains(&b'@') => Err(Bad::HostUserinfo),
        Some(b':') if end == 0 => Err(Bad::EmptyHost),
        Some(b':') => Ok(end),
        Some(_) => Err(Bad::BadHost),
    }
}

/// Zones (RFC 6874) and future versions (RFC 3986) are refused with the rest.
fn literal_end(bytes: &[u8]) -> Result<usize, Bad> {
    let close = bytes.iter().position(|b| *b == b']').ok_or(Bad::BadHostLiteral)?;
    let inside = str::from_utf8(&bytes[1..close]).map_err(|_| Bad::BadHostLiteral)?;
    inside.parse::<Ipv6Addr>().map_err(|_| Bad::BadHostLiteral)?;
    Ok(close + 1)
}

/// 1 to 65535 without leading zeros.
fn parse_port(digits: &[u8]) -> Result<u16, Bad> {
    if digits.is_empty() || digits.len() > 5 || digits[0] == b'0' {
        return Err(Bad::BadHostPort);
    }
    let mut port = 0u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Bad::BadHostPort);
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).map_err(|_| Bad::BadHostPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: &str, port: Option<u16>) {
        let parsed = parse_authority(text.as_bytes());
        assert_eq!(parsed, Ok(Authority { host_len: host.len(), port }), "{text}");
        assert!(text.starts_with(host));
    }

    fn refused(text: &str, why: Bad) {
        assert_eq!(parse_authority(text.as_bytes()), Err(why), "{text}");
    }

    #[test]
    fn names_and_addresses() {
        check("example.com", "example.com", None);
        check("Example.com:8080", "Example.com", Some(8080));
        check("example.com.", "example.com", None);
        check("example.com.:80", "example.com", Some(80));
        check("my_host", "my_host", None);
        check("127.0.0.1:1", "127.0.0.1", Some(1));
        check("[::1]", "[::1]", None);
        check("[2001:DB8::1]:65535", "[2001:DB8::1]", Some(65535));
    }

    #[test]
    fn empty_host() {
        for text in ["", ":80", "."] {
            refused(text, Bad::EmptyHost);
        }
    }

    #[test]
    fn host_userinfo() {
        for text in ["user@example.com", "user:pass@example.com", "a@b@c"] {
            refused(text, Bad::HostUserinfo);
        }
    }

    #[test]
    fn bad_host() {
        for text in [
            "a b", "a,b", "a/b", "a\\b", "a..b", ".a", "a%41", "a?b", "é", "a;b", "a\tb", "::1",
            "a]",
        ] {
            let why = parse_authority(text.as_bytes());
            let wanted = if text == "::1" { Bad::EmptyHost } else { Bad::BadHost };
            assert_eq!(why, Err(wanted), "{text}");
        }
        refused(&"a".repeat(255), Bad::BadHost);
    }

    #[test]
    fn bad_host_port() {
        for text in
            ["a:", "a:0", "a:080", "a:65536", "a:99999", "a:123456", "a:-1", "a:8 ", "a:1:2", "a:x"]
        {
            refused(text, Bad::BadHostPort);
        }
    }

    #[test]
    fn bad_host_literal() {
        for text in
            ["[", "[]", "[::1", "[::g]", "[fe80::1%eth0]", "[v1.a]", "[1.2.3.4]", "[\u{e9}]"]
        {
            refused(text, Bad::BadHostLiteral);
        }
        refused("[::1]x", Bad::BadHost);
    }
}
