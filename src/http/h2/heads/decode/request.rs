//! Requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::block::fields;
use crate::config::HttpBounds;
use crate::http::Bad;
use crate::http::h1::fields::Presence;
use crate::http::h1::request::read_written;
use crate::http::h1::{Scan, encode, parse_request};
use crate::http::h2::heads::collect::{Request, Tunnel};
use crate::http::h2::heads::wrong::Wrong;
use crate::http::h2::hpack::Decoder;
use crate::http::head::{Framing, RequestHead, Version};

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
    if let Err(wrong) = request.lines.verdict() {
        // Of a part of them nobody should make anything.
        request.found.fields.clear();
        return Err(wrong);
    }
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

#[cfg(test)]
mod tests {
    use super::super::block::{nothing, written as block};
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
