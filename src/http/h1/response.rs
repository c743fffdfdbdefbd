//! Response heads (RFC 9112 sections 4 and 6.3).

use super::connection;
use super::fields::{Presence, Underscores, parse_fields};
use super::framing::{Announced, announced};
use super::scan::{FirstLine, Scan};
use super::stop::{Stop, line_end};
use super::{Bad, parse_when_ripe};
use crate::http::bytes::value_end;
use crate::http::head::{Framing, Known, Method, ResponseHead, Span, Version};
use crate::limits::MAX_RESPONSE_FIELDS;

/// What a response answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The request's method.
    pub method: Method,
    /// Whether it went out with an Upgrade field.
    pub upgrade: bool,
}

impl From<Method> for Asked {
    fn from(method: Method) -> Self {
        Self { method, upgrade: false }
    }
}

/// Parses the response head at the start of `buf`, the answer to a request as `to` says.
/// `Ok(false)`: more bytes are needed.
///
/// Called again with the same `scan` as `buf` grows; `scan` starts as its default with each
/// message. `head` is overwritten, and means something after `Ok(true)` only. Interim (1xx)
/// responses parse as any other; a 101 that was not asked for is refused, and one that was is still
/// to be held against its request ([`crate::http::upgrade::check_answer`]).
pub fn parse_response(
    buf: &mut [u8],
    scan: &mut Scan,
    max_head: usize,
    to: impl Into<Asked>,
    head: &mut ResponseHead,
) -> Result<bool, Bad> {
    let to = to.into();
    let first = FirstLine { max_blank: 0, max_len: usize::MAX };
    parse_when_ripe(buf, scan, max_head, first, |buf| attempt(buf, to, head))
}

fn attempt(buf: &[u8], to: Asked, head: &mut ResponseHead) -> Result<(), Stop> {
    let reason_end = parse_status_line(buf, head)?;
    head.fields.clear();
    let (len, presence) = parse_fields(
        buf,
        reason_end + 2,
        MAX_RESPONSE_FIELDS,
        Underscores::Keep,
        &mut head.fields,
    )?;
    head.len = len;
    Ok(conclude(buf, to, presence, head)?)
}

fn conclude(buf: &[u8], to: Asked, presence: Presence, head: &mut ResponseHead) -> Result<(), Bad> {
    let announced = announced(buf, &head.fields, &presence, head.version)?;
    head.content_length = match announced {
        Announced::Length(length) => Some(length),
        _ => None,
    };
    head.framing = framing(head.status, to, announced)?;
    head.keep_alive = match presence.once.contains(Known::Connection) {
        true => connection::apply(buf, &mut head.fields, head.version)?,
        false => head.version == Version::Http11,
    };
    head.keep_alive &= head.framing != Framing::UntilClose;
    Ok(())
}

/// RFC 9112 section 6.3. Tunnels by CONNECT are never asked for, so none can be granted.
fn framing(status: u16, to: Asked, announced: Announced) -> Result<Framing, Bad> {
    let unasked = match status {
        101 => !to.upgrade,
        200..300 => to.method == Method::Connect,
        _ => false,
    };
    if unasked {
        return Err(Bad::UnexpectedUpgrade);
    }
    match (status, announced) {
        // Of a length of 0 one side could think that it ends something.
        (101, Announced::Length(0)) => Err(Bad::UnexpectedFraming),
        (100..=199 | 204, Announced::Nothing | Announced::Length(0)) => Ok(Framing::None),
        (100..=199 | 204, _) => Err(Bad::UnexpectedFraming),
        (304, _) => Ok(Framing::None),
        _ if to.method == Method::Head => Ok(Framing::None),
        (_, Announced::Chunked) => Ok(Framing::Chunked),
        (_, Announced::Length(length)) => Ok(Framing::Length(length)),
        (_, Announced::Nothing) => Ok(Framing::UntilClose),
    }
}

/// Reads version, code and reason; returns where the line's CRLF stands.
#[inline]
fn parse_status_line(buf: &[u8], head: &mut ResponseHead) -> Result<usize, Stop> {
    let (version, code) = match buf.first_chunk::<12>() {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', code @ ..]) => {
            (Version::Http11, code)
        }
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', code @ ..]) => {
            (Version::Http10, code)
        }
        _ => return Err(status_line_refused(buf)),
    };
    if !code.iter().all(u8::is_ascii_digit) {
        return Err(status_line_refused(buf));
    }
    let status = code.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    if !(100..600).contains(&status) {
        return Err(Bad::BadStatusCode.into());
    }
    let start = match buf.get(12) {
        None => return Err(Stop::Incomplete),
        Some(b' ') => 13,
        Some(byte) if *byte > b' ' || *byte == b'\t' => return Err(Bad::BadStatusLine.into()),
        Some(_) => 12,
    };
    let end = value_end(buf, start);
    line_end(buf, end)?;
    head.status = status;
    head.version = version;
    head.reason = Span::new(start, end);
    Ok(end)
}

/// Says what is wrong with a status line up to its code, byte by byte, since more may come.
#[cold]
fn status_line_refused(buf: &[u8]) -> Stop {
    for (i, wanted) in b"HTTP/d.d ddd".iter().enumerate() {
        let Some(byte) = buf.get(i) else { return Stop::Incomplete };
        let fits = match wanted {
            b'd' => byte.is_ascii_digit(),
            wanted => byte == wanted,
        };
        match byte {
            _ if fits => {}
            b'\n' => return Bad::BareLf.into(),
            0 => return Bad::NulByte.into(),
            _ if i > 8 => return Bad::BadStatusCode.into(),
            _ => return Bad::BadStatusLine.into(),
        }
        if i == 7 && !matches!(&buf[5..8], b"1.0" | b"1.1") {
            return Bad::UnsupportedVersion.into();
        }
    }
    Bad::BadStatusLine.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_HEAD: usize = 512;

    fn parse(text: &str, to: Method) -> Result<(ResponseHead, Vec<u8>), Bad> {
        let mut buf = text.as_bytes().to_vec();
        let mut head = ResponseHead::default();
        match parse_response(&mut buf, &mut Scan::default(), MAX_HEAD, to, &mut head) {
            Ok(true) => Ok((head, buf)),
            Ok(false) => panic!("incomplete: {text:?}"),
            Err(bad) => Err(bad),
        }
    }

    /// Whole and byte by byte.
    fn refused(text: &str, why: Bad) {
        assert_eq!(parse(text, Method::Get).map(|_| ()), Err(why), "{text:?}");
        let mut buf = text.as_bytes().to_vec();
        let (mut scan, mut head) = (Scan::default(), ResponseHead::default());
        let last = (0..=buf.len())
            .map(|len| parse_response(&mut buf[..len], &mut scan, MAX_HEAD, Method::Get, &mut head))
            .find(|result| *result != Ok(false));
        assert_eq!(last, Some(Err(why)), "{text:?} byte by byte");
    }

    fn framed(line: &str, to: Method) -> Framing {
        parse(&format!("HTTP/1.1 {line}\r\n\r\n"), to).unwrap().0.framing
    }

    #[test]
    fn status_lines() {
        for (line, status, reason, version) in [
            ("HTTP/1.1 200 OK", 200, "OK", Version::Http11),
            ("HTTP/1.0 404 Not Found", 404, "Not Found", Version::Http10),
            ("HTTP/1.1 200", 200, "", Version::Http11),
            ("HTTP/1.1 200 ", 200, "", Version::Http11),
            ("HTTP/1.1 599 a\tb  c", 599, "a\tb  c", Version::Http11),
        ] {
            let (head, buf) =
                parse(&format!("{line}\r\nContent-Length: 5\r\n\r\n"), Method::Get).unwrap();
            assert_eq!((head.status, head.version), (status, version));
            assert_eq!(head.reason.of(&buf), reason.as_bytes());
            assert_eq!((head.framing, head.content_length), (Framing::Length(5), Some(5)));
            assert_eq!(head.len, buf.len());
        }
    }

    #[test]
    fn bad_status_line() {
        for line in [
            "HTTP/1.1  200 OK",
            "HTTP/1.1\t200 OK",
            " HTTP/1.1 200 OK",
            "http/1.1 200 OK",
            "ICY 200 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 200\tOK",
            "HTTP/1.10 200 OK",
            "<html>",
        ] {
            let why = match line {
                "HTTP/1.1  200 OK" => Bad::BadStatusCode,
                _ => Bad::BadStatusLine,
            };
            refused(&format!("{line}\r\n\r\n"), why);
        }
        refused("\r\nHTTP/1.1 200 OK\r\n\r\n", Bad::BadStatusLine);
    }

    #[test]
    fn bad_status_code() {
        for code in ["099", "000", "600", "999", "20x", "-20", "+20", "2 0", "0x2"] {
            refused(&format!("HTTP/1.1 {code} OK\r\n\r\n"), Bad::BadStatusCode);
        }
    }

    #[test]
    fn unsupported_version() {
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2"] {
            refused(&format!("{version} 200 OK\r\n\r\n"), Bad::UnsupportedVersion);
        }
    }

    #[test]
    fn line_ends_and_bytes() {
        refused("HTTP/1.1 200 OK\n\r\n", Bad::BareLf);
        refused("HTTP/1.1 200\n\r\n", Bad::BareLf);
        refused("HTTP/1.1 \n", Bad::BareLf);
        refused("HTTP/1.1 200 OK\rx\r\n\r\n", Bad::BareCr);
        refused("HTTP/1.1 200 O\0K\r\n\r\n", Bad::NulByte);
        refused("HTTP/1.1 200 O\x1bK\r\n\r\n", Bad::ControlByte);
        refused("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Bad::WhitespaceBeforeColon);
        refused("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Bad::ObsFold);
    }

    #[test]
    fn head_too_large_and_too_many_fields() {
        refused(&format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(600)), Bad::HeadTooLarge);
        let mut buf =
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\r\n".repeat(MAX_RESPONSE_FIELDS + 1))
                .into_bytes();
        let mut head = ResponseHead::default();
        let result =
            parse_response(&mut buf, &mut Scan::default(), 1 << 20, Method::Get, &mut head);
        assert_eq!(result, Err(Bad::TooManyFields));
    }

    #[test]
    fn framing_by_method_and_status() {
        assert_eq!(framed("200 OK\r\nContent-Length: 5", Method::Get), Framing::Length(5));
        assert_eq!(framed("200 OK\r\nTransfer-Encoding: chunked", Method::Get), Framing::Chunked);
        assert_eq!(framed("200 OK", Method::Get), Framing::UntilClose);
        assert_eq!(framed("200 OK\r\nContent-Length: 5", Method::Head), Framing::None);
        assert_eq!(framed("200 OK\r\nTransfer-Encoding: chunked", Method::Head), Framing::None);
        assert_eq!(framed("200 OK", Method::Head), Framing::None);
        assert_eq!(framed("304 Not Modified\r\nContent-Length: 5", Method::Get), Framing::None);
        assert_eq!(framed("204 No Content", Method::Get), Framing::None);
        assert_eq!(framed("204 No Content\r\nContent-Length: 0", Method::Get), Framing::None);
        assert_eq!(framed("100 Continue", Method::Post), Framing::None);
        assert_eq!(framed("103 Early Hints\r\nLink: </a>", Method::Get), Framing::None);
        assert_eq!(
            framed("205 Reset Content\r\nContent-Length: 0", Method::Get),
            Framing::Length(0)
        );
        assert_eq!(framed("405 No\r\nContent-Length: 1", Method::Connect), Framing::Length(1));
        let (head, _) =
            parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head).unwrap();
        assert_eq!(head.content_length, Some(5));
    }

    #[test]
    fn unexpected_framing() {
        for line in [
            "204 No Content\r\nContent-Length: 5",
            "204 No Content\r\nTransfer-Encoding: chunked",
            "100 Continue\r\nContent-Length: 5",
            "103 Early Hints\r\nTransfer-Encoding: chunked",
        ] {
            refused(&format!("HTTP/1.1 {line}\r\n\r\n"), Bad::UnexpectedFraming);
        }
    }

    #[test]
    fn unexpected_upgrade() {
        let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        refused(text, Bad::UnexpectedUpgrade);
        let result = parse("HTTP/1.1 200 OK\r\n\r\n", Method::Connect).map(|_| ());
        assert_eq!(result, Err(Bad::UnexpectedUpgrade));
    }

    #[test]
    fn ambiguous_framing() {
        for (fields, why) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Bad::BothFramings),
            ("Content-Length: 5\r\nContent-Length: 5", Bad::RepeatedContentLength),
            ("Content-Length: 5, 5", Bad::ListedContentLength),
            ("Content-Length: +5", Bad::SignedContentLength),
            ("Transfer-Encoding: gzip, chunked", Bad::UnknownTransferCoding),
            ("Transfer-Encoding: gzip", Bad::ChunkedNotLast),
        ] {
            refused(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"), why);
        }
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        refused(old, Bad::OldTransferEncoding);
    }

    #[test]
    fn persistence() {
        for (text, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close", false),
            ("HTTP/1.1 200 OK", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive", true),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive", false),
            ("HTTP/1.1 204 No Content", true),
        ] {
            let (head, _) = parse(&format!("{text}\r\n\r\n"), Method::Get).unwrap();
            assert_eq!(head.keep_alive, wanted, "{text}");
        }
    }
}
