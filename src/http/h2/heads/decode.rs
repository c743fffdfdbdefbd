//! Field blocks become heads.
//!
//! A tunnel is begun by an extended CONNECT (RFC 8441) and granted by a 2xx. Both are written out as
//! what they stand for, the GET with Upgrade and its 101, so that one place judges all of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::collect::{Answer, Lines, Request, Tunnel};
use crate::config::HttpBounds;
use crate::http::Bad;
use crate::http::bytes::{is_token, value_end};
use crate::http::h1::{Asked, Presence, Scan, encode, parse_request, parse_response, read_written};
use crate::http::h2::hpack::{Broken, Decoder};
use crate::http::head::{Framing, RequestHead, ResponseHead, Version};
use crate::limits::{H2_BOMB_FACTOR, MAX_TRAILERS};

/// What is wrong with a field block, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The message: a client gets an answer of ours, a target's answer is a 502.
    Bad(Bad),
    /// The stream: a message that is malformed (RFC 9113 section 8.1.1), PROTOCOL_ERROR.
    Malformed,
    /// The connection: a name or value that HTTP does not have, or a pseudo-header field that nobody
    /// defined or that trailers have, PROTOCOL_ERROR (section 5.4.2 leaves that open).
    NotHttp,
    /// The connection: no field block, COMPRESSION_ERROR.
    Broken,
    /// The connection: a block that stands for far more than is taken, ENHANCE_YOUR_CALM.
    TooLarge,
}

impl From<Broken> for Wrong {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Malformed => Self::Broken,
            Broken::TooLarge => Self::TooLarge,
        }
    }
}

/// Decodes a whole block, as all that come must be. `most`: bytes of lines that are taken of it.
fn fields(
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

/// Writes a request out to `buf`, which is empty, and reads it. `ended`: no content follows. Where it
/// asks for a WebSocket, `key` becomes its Sec-WebSocket-Key: HTTP/2 has none, HTTP/1.1 needs one.
///
/// # Errors
/// What is wrong with it.
pub fn request(
    decoder: &mut Decoder,
    block: &[u8],
    ended: bool,
    key: [u8; 16],
    bounds: &HttpBounds,
    buf: &mut Vec<u8>,
    head: &mut RequestHead,
) -> Result<(), Wrong> {
    debug_assert!(buf.is_empty(), "lines begin a buffer");
    let mut request = Request::new(buf, &mut head.fields, bounds);
    fields(decoder, block, bounds.max_head, |name, value| request.take(name, value))?;
    request.end();
    request.lines.verdict()?;
    let (tunnel, found) = (request.tunnel, request.found);
    let presence = Some(found.presence).filter(|_| found.whole);
    if tunnel == Tunnel::Websocket {
        encode::field(buf, b"sec-websocket-key", STANDARD.encode(key).as_bytes());
    }
    buf.extend_from_slice(encode::END);
    read_request(tunnel, ended, presence, bounds, buf, head).map_err(Wrong::Bad)
}

/// Reads a request's lines. `presence`: of its fields, if they are in `head`.
fn read_request(
    tunnel: Tunnel,
    ended: bool,
    presence: Option<Presence>,
    bounds: &HttpBounds,
    buf: &mut [u8],
    head: &mut RequestHead,
) -> Result<(), Bad> {
    if tunnel != Tunnel::None && ended {
        return Err(Bad::BadConnectTarget);
    }
    match presence {
        Some(_) if buf.len() > bounds.max_head => return Err(Bad::HeadTooLarge),
        Some(presence) => read_written(buf, presence, bounds, head)?,
        None => {
            let whole = parse_request(buf, &mut Scan::default(), bounds, head)?;
            if !whole || head.len != buf.len() {
                return Err(Bad::BadRequestLine);
            }
        }
    }
    head.version = Version::Http2;
    head.keep_alive = true;
    head.framing = match head.framing {
        // What follows is the tunnel's, if there will be one.
        Framing::None if tunnel != Tunnel::None => Framing::None,
        _ if tunnel != Tunnel::None => return Err(Bad::UnexpectedFraming),
        Framing::Length(n) if n > 0 && ended => return Err(Bad::Truncated),
        Framing::Length(n) => Framing::Length(n),
        _ if ended => Framing::None,
        _ => Framing::Chunked,
    };
    Ok(())
}

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
    use super::*;
    use crate::config::EncodedSlash;
    use crate::http::h2::hpack::TABLE_SIZE;
    use crate::http::head::TargetForm;
    use crate::http::{Method, values};
    use proptest::prelude::*;
    use proptest::sample::select;

    const BOUNDS: HttpBounds = HttpBounds {
        max_head: 512,
        max_fields: 5,
        max_uri: 100,
        max_chunk_extension: 10,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: false,
    };

    type Fields<'a> = &'a [(&'a str, &'a str)];

    const GOOD: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];

    fn block(fields: Fields<'_>) -> Vec<u8> {
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

    fn read(fields: Fields<'_>, ended: bool) -> Result<(RequestHead, Vec<u8>), Wrong> {
        let (mut buf, mut head) = (Vec::new(), RequestHead::default());
        let decoder = &mut Decoder::new(TABLE_SIZE);
        request(decoder, &block(fields), ended, [0; 16], &BOUNDS, &mut buf, &mut head)?;
        Ok((head, buf))
    }

    fn with<'a>(more: Fields<'a>) -> Vec<(&'a str, &'a str)> {
        GOOD.iter().chain(more).copied().collect()
    }

    fn but<'a>(name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        let change = |(n, v): (&'a str, &'a str)| (n, if n == name { value } else { v });
        GOOD.into_iter().map(change).collect()
    }

    fn without(name: &str) -> Vec<(&'static str, &'static str)> {
        GOOD.into_iter().filter(|(n, _)| *n != name).collect()
    }

    #[track_caller]
    fn refused(fields: Fields<'_>, why: Bad) {
        wrong(fields, Wrong::Bad(why));
    }

    #[track_caller]
    fn wrong(fields: Fields<'_>, why: Wrong) {
        assert_eq!(read(fields, true).map(|(_, buf)| buf), Err(why), "{fields:?}");
    }

    fn connect(protocol: &str, fields: Fields<'_>, ended: bool) -> Result<String, Wrong> {
        let mut all = but(":method", "CONNECT");
        all.push((":protocol", protocol));
        all.extend(fields);
        let (head, buf) = read(&all, ended)?;
        let asked = crate::http::upgrade::asked(&head, &buf).map(<[u8]>::to_vec);
        assert_eq!((head.method, head.framing), (Method::Get, Framing::None));
        if protocol == "websocket" {
            crate::http::upgrade::check_websocket(&head, &buf).map_err(Wrong::Bad)?;
        }
        Ok(String::from_utf8(asked.unwrap_or_default()).expect("a token"))
    }

    #[test]
    fn an_extended_connect_is_the_get_that_it_stands_for() {
        let version = ("sec-websocket-version", "13");
        let bad = |bad| Err(Wrong::Bad(bad));
        assert_eq!(connect("websocket", &[version], false), Ok("websocket".into()));
        assert_eq!(connect("websocket", &[], false), bad(Bad::BadWebsocketVersion));
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(connect("websocket", &[version, key], false), bad(Bad::BadWebsocketKey));
        let length = ("content-length", "0");
        assert_eq!(connect("raw", &[length], false), bad(Bad::UnexpectedFraming));
        assert_eq!(connect("raw", &[], true), bad(Bad::BadConnectTarget));
        assert_eq!(connect("ra w", &[], false), bad(Bad::BadConnectTarget));
        assert_eq!(connect("", &[], false), bad(Bad::BadConnectTarget));
        assert_eq!(connect("raw", &[], false), Ok("raw".into()));
    }

    #[test]
    fn a_request_is_read_as_one_of_http_1_1() {
        let fields = [
            (":path", "/a/../b?c"),
            (":authority", "A.example:8443"),
            (":scheme", "https"),
            (":method", "GET"),
            ("x-y", "z"),
            ("te", "trailers"),
        ];
        let (head, buf) = read(&fields, true).expect("a head");
        assert_eq!(head.host.of(&buf), b"a.example");
        assert_eq!(head.authority.of(&buf), b"a.example:8443");
        assert_eq!(head.path.of(&buf), b"/b");
        assert_eq!(head.query.map(|q| q.of(&buf)), Some(&b"c"[..]));
        assert_eq!((head.form, head.version), (TargetForm::Origin, Version::Http2));
        assert_eq!(head.framing, Framing::None);
        assert_eq!(values(&head.fields, &buf, b"x-y").next(), Some(&b"z"[..]));
        let length = with(&[("content-length", "3")]);
        assert_eq!(read(&length, false).map(|(head, _)| head.framing), Ok(Framing::Length(3)));
        assert_eq!(read(&length, true).err(), Some(Wrong::Bad(Bad::Truncated)));
        assert_eq!(read(&GOOD, false).map(|(head, _)| head.framing), Ok(Framing::Chunked));
        let options = [&[(":method", "OPTIONS")], &but(":path", "*")[1..]].concat();
        assert_eq!(read(&options, true).map(|(head, _)| head.form), Ok(TargetForm::Asterisk));
    }

    #[test]
    fn host_must_agree_with_the_authority() {
        for host in ["a", "A", "a:443"] {
            let (head, buf) = read(&with(&[("host", host)]), true).expect("a head");
            assert_eq!(head.authority.of(&buf), b"a");
        }
        for host in ["b", "a:80", "a.b"] {
            refused(&with(&[("host", host)]), Bad::HostMismatch);
        }
        refused(&with(&[("host", "")]), Bad::EmptyHost);
        refused(&with(&[("host", "a"), ("host", "a")]), Bad::RepeatedHost);
        refused(&without(":authority"), Bad::MissingHost);
        let named = [&without(":authority")[..], &[("host", "a")]].concat();
        let (head, buf) = read(&named, true).expect("a head");
        assert_eq!(head.host.of(&buf), b"a");
        refused(&[&named[..], &[("host", "a")]].concat(), Bad::RepeatedHost);
    }

    #[test]
    fn the_bounds_are_those_of_http_1_1() {
        let long = format!("/{}", "x".repeat(100));
        refused(&but(":path", &long), Bad::UriTooLong);
        let longer = format!("/{}", "x".repeat(1000));
        refused(&but(":path", &longer), Bad::UriTooLong);
        let large = "x".repeat(600);
        refused(&with(&[("x", &large)]), Bad::HeadTooLarge);
        refused(&with(&[("cookie", "x"), ("cookie", &large)]), Bad::HeadTooLarge);
        refused(&but(":authority", &large), Bad::HeadTooLarge);
        let almost = "x".repeat(480);
        assert_eq!(read(&with(&[("x", &almost)]), true).map(|(head, _)| head.len), Ok(512));
        refused(&with(&[("xx", &almost)]), Bad::HeadTooLarge);
        refused(
            &with(&[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")]),
            Bad::TooManyFields,
        );
        refused(&but(":authority", "u@a"), Bad::HostUserinfo);
        refused(&but(":path", "/%zz"), Bad::BadPercent);
        refused(&but(":path", "/a#b"), Bad::TargetFragment);
        refused(&but(":path", "/\u{e4}"), Bad::BadTargetByte);
        refused(&but(":path", "a"), Bad::BadTargetForm);
        refused(&but(":path", "http://b/"), Bad::BadTargetForm);
        refused(&but(":path", "*"), Bad::AsteriskMethod);
        refused(&but(":scheme", "ftp"), Bad::BadScheme);
        refused(&but(":method", &"A".repeat(33)), Bad::MethodTooLong);
    }

    #[test]
    fn what_is_malformed_ends_the_stream() {
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
            (":status", "200"),
            (":protocol", "websocket"),
            (":method", "GET"),
        ] {
            wrong(&with(&[(name, value)]), Wrong::Malformed);
        }
        for (name, value) in [
            (":path", ""),
            (":path", "/a b"),
            (":path", "/ HTTP/1.1\r\nx: y"),
            (":path", "/\u{7f}"),
            (":authority", "a b"),
            (":authority", " a"),
            (":authority", "a\r\nx: y"),
            (":authority", "\u{e4}"),
            (":scheme", "ht tp"),
            (":method", "CONNECT"),
        ] {
            wrong(&but(name, value), Wrong::Malformed);
        }
        for (name, value) in GOOD {
            wrong(&with(&[(name, value)]), Wrong::Malformed);
            if name != ":authority" {
                wrong(&without(name), Wrong::Malformed);
            }
            let late = [&without(name)[..], &[("host", "a"), (name, value)]].concat();
            wrong(&late, Wrong::Malformed);
        }
        wrong(&[], Wrong::Malformed);
        // Whatever else there is.
        let large = "x".repeat(600);
        wrong(&with(&[("x", &large), ("upgrade", "x")]), Wrong::Malformed);
    }

    #[test]
    fn what_http_does_not_have_ends_the_connection() {
        for name in ["X", "", "a b", "a\r\nb", "a:b", ":x", ":", "a\0", "\u{e4}", "a\u{7f}"] {
            wrong(&with(&[(name, "v"), ("upgrade", "x")]), Wrong::NotHttp);
        }
        for value in ["a\r\nb", "\n", "a\0", "\u{7f}", "\u{1}"] {
            wrong(&with(&[("x", value)]), Wrong::NotHttp);
            wrong(&with(&[("upgrade", ""), ("host", value)]), Wrong::NotHttp);
        }
        for method in ["", "G T", "GET\r\n"] {
            wrong(&but(":method", method), Wrong::NotHttp);
        }
    }

    #[test]
    fn a_plain_connect_names_host_and_port() {
        let asked = |authority| [(":method", "CONNECT"), (":authority", authority)];
        let (head, buf) = read(&asked("a:443"), false).expect("a head");
        assert_eq!((head.method, head.form), (Method::Connect, TargetForm::Authority));
        assert_eq!(head.authority.of(&buf), b"a:443");
        refused(&asked("a"), Bad::BadConnectTarget);
        refused(&asked(""), Bad::BadConnectTarget);
        refused(&[(":method", "CONNECT")], Bad::BadConnectTarget);
        wrong(&[(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")], Wrong::Malformed);
    }

    #[test]
    fn values_have_no_blanks_around_them() {
        for value in [" a", "a ", "\ta", "a \t", " "] {
            refused(&with(&[("x", value)]), Bad::BlankAroundValue);
            assert!(answered("200", &[("x", value)], true).is_ok());
        }
        assert!(read(&with(&[("x", "a b"), ("y", "")]), true).is_ok());
    }

    #[test]
    fn lengths_are_those_of_http_1_1() {
        for (value, why) in [
            ("1, 1", Bad::ListedContentLength),
            ("+1", Bad::SignedContentLength),
            ("x", Bad::BadContentLength),
        ] {
            refused(&with(&[("content-length", value)]), why);
        }
        let twice = [("content-length", "1"), ("content-length", "1")];
        refused(&with(&twice), Bad::RepeatedContentLength);
    }

    #[test]
    fn crumbs_of_a_cookie_are_put_together() {
        let cookie = |fields: Fields<'_>| {
            let (head, buf) = read(&with(fields), true).expect("a head");
            assert_eq!(
                values(&head.fields, &buf, b"x").collect::<Vec<_>>().len(),
                fields.len() - 3
            );
            let all: Vec<_> = values(&head.fields, &buf, b"cookie").collect();
            assert_eq!(all, [b"a=1; b=2; c=3"]);
        };
        let [a, b, c, x] = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3"), ("x", "y")];
        cookie(&[a, b, c]);
        cookie(&[a, x, b, c]);
        cookie(&[a, x, b, x, c]);
        cookie(&[x, a, b, x, c]);
    }

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

    #[test]
    fn the_table_stays_right_whatever_becomes_of_a_block() {
        let decoder = &mut Decoder::new(TABLE_SIZE);
        let (mut buf, mut head) = (Vec::new(), RequestHead::default());
        let mut take = |block: &[u8]| {
            buf.clear();
            let taken = request(decoder, block, true, [0; 16], &BOUNDS, &mut buf, &mut head);
            taken.map(|()| String::from_utf8(buf.clone()).expect("text"))
        };
        assert_eq!(
            take(b"\x82\x86\x84\x41\x01a\x40\x02te\x01y\x40\x01b\x01c"),
            Err(Wrong::Malformed)
        );
        let large = [b"\x82\x86\x84\xc0\x40\x01d\x7f\xd9\x03", &[b'x'; 600][..], b"\x40\x01e\x01f"];
        assert_eq!(take(&large.concat()), Err(Wrong::Bad(Bad::HeadTooLarge)));
        let lines = "GET / HTTP/1.1\r\nhost: a\r\ne: f\r\nb: c\r\n\r\n";
        assert_eq!(take(b"\x82\x86\x84\xc2\xbe\xc0"), Ok(lines.into()));
        assert_eq!(take(&[0xbf; 10]), Err(Wrong::TooLarge));
        // It does come again, in the same block.
        assert_eq!(take(b"\x82\x86\x84\xc2\x40\x01g\x01\n\xbe"), Err(Wrong::NotHttp));
        assert_eq!(nothing(decoder, &[0xc0; 10], 512), Err(Wrong::TooLarge));
        assert_eq!(nothing(decoder, &[0x80], 512), Err(Wrong::Broken));
        assert_eq!(nothing(decoder, b"\x40\x01g\x01h", 512), Ok(()));
        // Or it could come again, from the table.
        assert_eq!(nothing(decoder, b"\x40\x01g\x01\n", 512), Err(Wrong::NotHttp));
    }

    fn some_field() -> impl Strategy<Value = (String, String)> {
        let names = [
            "host",
            "cookie",
            "content-length",
            "expect",
            "x_b",
            "x_forwarded_for",
            "te",
            "via",
            "x",
        ];
        let values = ["a", "A:443", "5", "100-continue", "trailers", "", "b c"];
        (select(names.to_vec()), select(values.to_vec()))
            .prop_map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    proptest! {
        /// Fields that are noted as they are written are those that the parser finds.
        #[test]
        fn a_head_is_the_same_as_the_parsers(
            fields in proptest::collection::vec(some_field(), 0..6),
            (authority, underscores) in any::<(bool, bool)>(),
            path in select(vec!["/", "/a/../b%41?c", "/%2e%2e", "*", "/a?"]),
        ) {
            let bounds = HttpBounds { underscores_in_headers: underscores, ..BOUNDS };
            let (mut buf, mut noted) = (Vec::new(), RequestHead::default());
            let mut request = Request::new(&mut buf, &mut noted.fields, &bounds);
            let pseudos = if authority { but(":path", path) } else { without(":authority") };
            let fields = fields.iter().map(|(name, value)| (&name[..], &value[..]));
            for (name, value) in pseudos.into_iter().chain(fields) {
                request.take(name.as_bytes(), value.as_bytes());
            }
            request.end();
            prop_assume!(request.lines.verdict().is_ok() && request.found.whole);
            let presence = Some(request.found.presence);
            buf.extend_from_slice(encode::END);
            let (mut other, mut parsed) = (buf.clone(), RequestHead::default());
            let none = Tunnel::None;
            let one = read_request(none, false, presence, &bounds, &mut buf, &mut noted);
            let two = read_request(none, false, None, &bounds, &mut other, &mut parsed);
            prop_assert_eq!(one, two);
            if one.is_ok() {
                prop_assert_eq!(format!("{noted:?}"), format!("{parsed:?}"));
                prop_assert_eq!(buf, other);
            }
        }
    }
}
