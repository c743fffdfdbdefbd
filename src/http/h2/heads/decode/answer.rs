//! Answers, and trailers of either side.

use super::block::fields;
use crate::http::Bad;
use crate::http::h1::{Asked, Scan, encode, parse_response};
use crate::http::h2::heads::collect::{Answer, Lines};
use crate::http::h2::heads::wrong::Wrong;
use crate::http::h2::hpack::Decoder;
use crate::http::head::{Framing, ResponseHead, Version};
use crate::limits::MAX_TRAILERS;

/// An answer's head that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Its status: below 200 another head follows.
    pub status: u16,
    /// Its content-length, where it has one, and that is a number.
    pub length: Option<u64>,
}

/// Writes an answer out to `lines`, which is empty. `most`: bytes of them.
///
/// # Errors
/// What is wrong with it.
pub fn answer(
    decoder: &mut Decoder,
    block: &[u8],
    most: usize,
    lines: &mut Vec<u8>,
) -> Result<Arrived, Wrong> {
    debug_assert!(lines.is_empty(), "lines begin a buffer");
    let mut answer = Answer::new(Lines::new(lines, most));
    fields(decoder, block, most, |name, value| answer.take(name, value))?;
    let status = answer.end()?;
    let length = answer.lines.length();
    lines.extend_from_slice(encode::END);
    Ok(Arrived { status, length })
}

/// The switch that a request asked a target for.
#[derive(Debug)]
pub struct Switch<'a> {
    /// The protocol.
    pub protocol: &'a str,
    /// What answers the request's Sec-WebSocket-Key, where it has one: a target of HTTP/2 does not
    /// know it.
    pub accept: Option<String>,
}

/// Reads an answer's lines (see [`answer`]), which `buf` has. `ended`: no content follows. `switch`: the
/// request asked for a tunnel, and a 2xx grants it.
///
/// # Errors
/// What is wrong with it.
pub fn response(
    ended: bool,
    max_head: usize,
    to: Asked,
    switch: Option<&Switch<'_>>,
    buf: &mut Vec<u8>,
    head: &mut ResponseHead,
) -> Result<(), Bad> {
    let status = buf.get(9..12).ok_or(Bad::BadStatusLine)?;
    if status == b"101" {
        // There is none in HTTP/2 (RFC 9113 section 8.6).
        return Err(Bad::UnexpectedUpgrade);
    }
    if let Some(switch) = switch.filter(|_| status[0] == b'2') {
        grant(switch, buf);
    }
    let whole = parse_response(buf, &mut Scan::default(), max_head, to, head)?;
    if !whole || head.len != buf.len() {
        return Err(Bad::BadStatusLine);
    }
    head.version = Version::Http2;
    head.keep_alive = true;
    head.framing = match head.framing {
        Framing::None => Framing::None,
        Framing::Length(0) if ended => Framing::Length(0),
        Framing::Length(n) if !ended => Framing::Length(n),
        Framing::Length(_) => return Err(Bad::Truncated),
        _ if ended => Framing::Length(0),
        _ => Framing::Chunked,
    };
    Ok(())
}

/// Makes a 2xx the 101 that it stands for.
fn grant(switch: &Switch<'_>, buf: &mut Vec<u8>) {
    buf[9..12].copy_from_slice(b"101");
    buf.truncate(buf.len() - encode::END.len());
    encode::upgrade(buf, switch.protocol);
    if let Some(accept) = &switch.accept {
        encode::field(buf, b"sec-websocket-accept", accept.as_bytes());
    }
    buf.extend_from_slice(encode::END);
}

/// Writes trailers out to `lines`, which is empty, as a trailer section, its end included. `most`: bytes
/// that a head may have. Of trailers that are too large a section comes that is refused for that.
///
/// # Errors
/// What is wrong with them.
pub fn trailers(
    decoder: &mut Decoder,
    block: &[u8],
    most: usize,
    lines: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let mut section = Lines::new(lines, MAX_TRAILERS);
    fields(decoder, block, most, |name, value| match name.first() {
        Some(b':') => section.note(Wrong::NotHttp),
        _ => section.field(name, value),
    })?;
    match section.verdict() {
        Err(Wrong::Bad(_)) => lines.resize(MAX_TRAILERS + 1, b'x'),
        verdict => {
            verdict?;
            lines.extend_from_slice(encode::END);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::block::written as block;
    use super::*;
    use crate::http::Method;
    use crate::http::h2::hpack::TABLE_SIZE;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn answered(
        status: &str,
        fields: Fields<'_>,
        ended: bool,
    ) -> Result<(Arrived, ResponseHead), Wrong> {
        let all = [&[(":status", status)], fields].concat();
        let (mut buf, mut head) = (Vec::new(), ResponseHead::default());
        let arrived = answer(&mut Decoder::new(TABLE_SIZE), &block(&all), 512, &mut buf)?;
        let to = Asked::from(Method::Get);
        response(ended, 512, to, None, &mut buf, &mut head).map_err(Wrong::Bad)?;
        Ok((arrived, head))
    }

    /// They are only lost: gRPC servers send them in `grpc-message`, whose encoding leaves them.
    #[test]
    fn values_may_have_blanks_around_them() {
        for value in [" a", "a ", "\ta", "a \t", " "] {
            assert!(answered("200", &[("x", value)], true).is_ok());
        }
    }

    #[test]
    fn a_2xx_grants_what_was_asked_for() {
        let to = Asked { method: Method::Get, upgrade: true };
        for (status, read) in [("200", 101), ("403", 403)] {
            let switch = Switch { protocol: "raw", accept: Some("x".into()) };
            let (mut buf, mut head) = (Vec::new(), ResponseHead::default());
            let block = block(&[(":status", status), ("a", "b")]);
            answer(&mut Decoder::new(TABLE_SIZE), &block, 512, &mut buf).expect("an answer");
            response(false, 512, to, Some(&switch), &mut buf, &mut head).expect("a head");
            assert_eq!(head.status, read);
            assert_eq!(head.fields.len(), if read == 101 { 4 } else { 1 });
        }
    }

    #[test]
    fn answers_end_with_their_stream() {
        let framing = |fields, ended| answered("200", fields, ended).map(|(_, head)| head.framing);
        assert_eq!(framing(&[], false), Ok(Framing::Chunked));
        assert_eq!(framing(&[], true), Ok(Framing::Length(0)));
        assert_eq!(framing(&[("content-length", "2")], false), Ok(Framing::Length(2)));
        let short = framing(&[("content-length", "2")], true);
        assert_eq!(short, Err(Wrong::Bad(Bad::Truncated)));
        let switch = answered("101", &[], false).map(|(_, head)| head.framing);
        assert_eq!(switch, Err(Wrong::Bad(Bad::UnexpectedUpgrade)));
        let (arrived, head) = answered("204", &[], true).expect("an answer");
        assert_eq!((arrived, head.framing), (Arrived { status: 204, length: None }, Framing::None));
    }

    #[test]
    fn what_the_machine_is_told_of_an_answer() {
        let arrived = |status: &str, fields: Fields<'_>| {
            answered(status, fields, false).map(|(arrived, _)| arrived)
        };
        let length = ("content-length", "5");
        assert_eq!(arrived("206", &[length]), Ok(Arrived { status: 206, length: Some(5) }));
        let mut lines = Vec::new();
        let twice = block(&[(":status", "200"), length, length]);
        let twice = answer(&mut Decoder::new(TABLE_SIZE), &twice, 512, &mut lines);
        assert_eq!(twice, Ok(Arrived { status: 200, length: None }));
        let large = "x".repeat(600);
        assert_eq!(arrived("200", &[("x", &large)]), Err(Wrong::Bad(Bad::HeadTooLarge)));
        assert_eq!(arrived("600", &[]), Err(Wrong::Bad(Bad::BadStatusCode)));
        for status in ["abc", "20", "2000", "099", ""] {
            assert_eq!(arrived(status, &[]), Err(Wrong::NotHttp), "{status}");
        }
        for fields in [("connection", "x"), (":path", "/"), (":status", "200"), ("te", "gzip")] {
            assert_eq!(arrived("200", &[fields]), Err(Wrong::Malformed));
        }
        for fields in [("X-Upper", "x"), (":x", "/"), ("a", "\0")] {
            assert_eq!(arrived("200", &[fields]), Err(Wrong::NotHttp));
        }
        let none =
            answer(&mut Decoder::new(TABLE_SIZE), &block(&[("a", "b")]), 512, &mut Vec::new());
        assert_eq!(none, Err(Wrong::Malformed));
    }

    fn trailing(fields: Fields<'_>) -> Result<String, Wrong> {
        let mut lines = Vec::new();
        trailers(&mut Decoder::new(TABLE_SIZE), &block(fields), 8192, &mut lines)?;
        Ok(String::from_utf8(lines).expect("text"))
    }

    #[test]
    fn trailers_are_a_section() {
        let fields = [("grpc-status", "0"), ("x", "")];
        assert_eq!(trailing(&fields), Ok("grpc-status: 0\r\nx: \r\n\r\n".into()));
        assert_eq!(trailing(&[]), Ok("\r\n".into()));
        for name in [":path", ":status", ":z", "X"] {
            assert_eq!(trailing(&[(name, "x")]), Err(Wrong::NotHttp), "{name}");
        }
        assert_eq!(trailing(&[("transfer-encoding", "chunked")]), Err(Wrong::Malformed));
        assert_eq!(trailing(&[("x", "a\r\nb: c")]), Err(Wrong::NotHttp));
        let large = "x".repeat(4000);
        let section = trailing(&[("a", &large), ("b", &large), ("c", &large)]).expect("a section");
        let mut reader = crate::http::h1::BodyReader::streamed();
        assert_eq!(reader.take_trailers(section.as_bytes()), Err(Bad::TrailersTooLarge));
    }
}
