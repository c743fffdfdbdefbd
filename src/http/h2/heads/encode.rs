//! A composed head, in lines, becomes a field block. Of what stands in the lines the connection's own
//! (Connection, Transfer-Encoding and their like) is left out: streams have their own ways.

use crate::http::Bad;
use crate::http::h2::hpack::Encoder;
use crate::http::head::{Field, Known};
use crate::http::known::{HOP_BY_HOP, known};

/// Appends the block of an answer's head, whose lines begin with the status line.
///
/// # Errors
/// It can't be told in HTTP/2. Then `out` is as before, and `encoder` as the peer will know it.
pub fn response(text: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Bad> {
    let first = line_end(text, 0)?;
    let code = text.get(9..12).filter(|code| code.iter().all(u8::is_ascii_digit));
    let code = code.ok_or(Bad::BadStatusCode)?;
    block(encoder, out, |encoder, out| {
        encoder.field(b":status", code, out);
        fields(text, first + 2, |_, _| false, encoder, out)
    })
}

/// Appends the block of a request's head, whose lines begin with the request line. `secure`: it goes over
/// TLS. With a protocol to switch to it is an extended CONNECT (RFC 8441).
///
/// # Errors
/// It can't be told in HTTP/2. Then `out` is as before, and `encoder` as the peer will know it.
pub fn request(
    text: &[u8],
    secure: bool,
    upgrade: Option<&str>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) -> Result<(), Bad> {
    let end = line_end(text, 0)?;
    let line = &text[..end];
    let method_end = memchr::memchr(b' ', line).ok_or(Bad::BadRequestLine)?;
    let target_end = memchr::memrchr(b' ', line).ok_or(Bad::BadRequestLine)?;
    let target = line.get(method_end + 1..target_end).filter(|target| !target.is_empty());
    let target = target.ok_or(Bad::BadRequestLine)?;
    let host = host(text, end + 2)?;
    let method = if upgrade.is_some() { b"CONNECT" } else { &line[..method_end] };
    let scheme: &[u8] = if secure { b"https" } else { b"http" };
    // Of the switch nothing but the protocol is told.
    let takes = |known, name: &[u8]| {
        known == Known::Host || upgrade.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key")
    };
    block(encoder, out, |encoder, out| {
        encoder.field(b":method", method, out);
        encoder.field(b":scheme", scheme, out);
        encoder.field(b":authority", host, out);
        encoder.field(b":path", target, out);
        if let Some(protocol) = upgrade {
            encoder.field(b":protocol", protocol.as_bytes(), out);
        }
        fields(text, end + 2, takes, encoder, out)
    })
}

/// Appends the block of trailers.
pub fn trailers(trailers: &[Field], buf: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    for field in trailers.iter().filter(|field| !HOP_BY_HOP.contains(field.known)) {
        encoder.field(field.name.of(buf), field.value.of(buf), out);
    }
}

/// A whole block, or nothing of it.
fn block(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), Bad>,
) -> Result<(), Bad> {
    let before = out.len();
    encoder.begin(out);
    write(encoder, out).inspect_err(|_| {
        encoder.abandon();
        out.truncate(before);
    })
}

fn fields(
    text: &[u8],
    mut at: usize,
    takes: impl Fn(Known, &[u8]) -> bool,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) -> Result<(), Bad> {
    while let Some((name, value, next)) = line(text, at)? {
        at = next;
        let known = known(name);
        if takes(known, name) {
            continue;
        }
        if !HOP_BY_HOP.contains(known) {
            encoder.field(name, value, out);
        } else if known == Known::Te && value.eq_ignore_ascii_case(b"trailers") {
            // That they are taken may be said in HTTP/2 too (RFC 9113 section 8.2.2).
            encoder.field(b"te", b"trailers", out);
        }
    }
    Ok(())
}

/// The first Host, which most often is the first line.
fn host(text: &[u8], mut at: usize) -> Result<&[u8], Bad> {
    while let Some((name, value, next)) = line(text, at)? {
        if known(name) == Known::Host {
            return if value.is_empty() { Err(Bad::BadHost) } else { Ok(value) };
        }
        at = next;
    }
    Err(Bad::BadHost)
}

/// A name, a value, and where the next line begins.
type Line<'a> = (&'a [u8], &'a [u8], usize);

/// The field whose line begins there.
#[inline]
fn line(text: &[u8], at: usize) -> Result<Option<Line<'_>>, Bad> {
    let end = line_end(text, at)?;
    if end == at {
        return Ok(None);
    }
    let line = &text[at..end];
    // Names are short: a search by words would not begin.
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Bad::MissingColon)?;
    // Behind the colon and the space that the encoders write.
    let value = line.get(colon + 2..).unwrap_or_default();
    Ok(Some((&line[..colon], value, end + 2)))
}

#[inline]
fn line_end(text: &[u8], at: usize) -> Result<usize, Bad> {
    // No line that was composed holds a CR.
    let rest = text.get(at..).ok_or(Bad::Truncated)?;
    memchr::memchr(b'\r', rest).map(|n| at + n).ok_or(Bad::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h2::hpack::{Decoder, TABLE_SIZE};
    use crate::http::head::Span;

    fn shown(block: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let decoded = Decoder::new(TABLE_SIZE).decode(block, 10_000, |name, value, _| {
            all.push(format!("{}={}", text(name), text(value)));
        });
        assert_eq!(decoded, Ok(()));
        all
    }

    fn answer(text: &[u8]) -> Result<Vec<String>, Bad> {
        let mut out = Vec::new();
        response(text, &mut Encoder::new(), &mut out)?;
        Ok(shown(&out))
    }

    fn asked(text: &[u8], secure: bool, upgrade: Option<&str>) -> Result<Vec<String>, Bad> {
        let mut out = Vec::new();
        request(text, secure, upgrade, &mut Encoder::new(), &mut out)?;
        Ok(shown(&out))
    }

    #[test]
    fn an_answers_lines_become_fields() {
        let text = b"HTTP/1.1 207 Whatever\r\nX-A: b: c\r\nTransfer-Encoding: chunked\r\n\
            Connection: close\r\nX-A: d\r\nEmpty: \r\n\r\nbody";
        assert_eq!(
            answer(text).expect("an answer"),
            [":status=207", "x-a=b: c", "x-a=d", "empty="]
        );
    }

    #[test]
    fn a_requests_lines_become_fields() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: a.example:81\r\nTE: Trailers\r\nX: y\r\n\r\n";
        let wanted = [":method=POST", ":scheme=http", ":authority=a.example:81", ":path=/a?b"];
        let all = asked(text, false, None).expect("a request");
        assert_eq!(
            (&all[..4], &all[4..]),
            (&wanted.map(String::from)[..], &["te=trailers".into(), "x=y".into()][..])
        );
        let text = b"GET / HTTP/1.1\r\nTE: gzip\r\nHost: a\r\n\r\n";
        let all = asked(text, true, None).expect("a request");
        assert_eq!(all, [":method=GET", ":scheme=https", ":authority=a", ":path=/"]);
    }

    #[test]
    fn an_upgrade_becomes_an_extended_connect() {
        let text =
            b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let all = asked(text, true, Some("websocket")).expect("a request");
        assert_eq!(all[..2], [":method=CONNECT", ":scheme=https"]);
        assert_eq!(
            all[2..],
            [":authority=a", ":path=/chat", ":protocol=websocket", "sec-websocket-version=13"]
        );
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        assert_eq!(asked(b"GET\r\n\r\n", false, None), Err(Bad::BadRequestLine));
        assert_eq!(asked(b"GET  HTTP/1.1\r\n\r\n", false, None), Err(Bad::BadRequestLine));
        assert_eq!(asked(b"GET / HTTP/1.1\r\nHost: \r\n\r\n", false, None), Err(Bad::BadHost));
        assert_eq!(asked(b"GET / HTTP/1.1\r\n\r\n", false, None), Err(Bad::BadHost));
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nX\r\n\r\n"), Err(Bad::MissingColon));
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\n"), Err(Bad::Truncated));
        assert_eq!(answer(b"HTTP/1.1 x00 OK\r\n\r\n"), Err(Bad::BadStatusCode));
    }

    /// Fields of a head that was not sent may have been put into the table.
    #[test]
    fn what_is_refused_leaves_the_peers_table_right() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
        let good = b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-B: c\r\n\r\n";
        let mut out = b"before".to_vec();
        for bad in [false, false, false, true, false, true, false] {
            if bad {
                let text = b"HTTP/1.1 200 OK\r\nX-C: d\r\nX-D: e\r\nX\r\n\r\n";
                assert_eq!(response(text, &mut encoder, &mut out), Err(Bad::MissingColon));
                assert_eq!(out, b"before");
                continue;
            }
            response(good, &mut encoder, &mut out).expect("an answer");
            let mut fields = 0;
            decoder.decode(&out[6..], 1000, |_, _, _| fields += 1).expect("a block");
            assert_eq!(fields, 3);
            out.truncate(6);
        }
    }

    #[test]
    fn trailers_are_fields() {
        let buf = b"Grpc-Status0";
        let field = Field {
            name: Span::new(0, 11),
            value: Span::new(11, 12),
            known: Known::Other,
            hop: false,
        };
        let mut out = Vec::new();
        trailers(&[field], buf, &mut Encoder::new(), &mut out);
        assert_eq!(shown(&out), ["grpc-status=0"]);
    }
}
