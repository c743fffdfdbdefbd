//! Fields become lines, and lines a head.
//!
//! A tunnel is begun by an extended CONNECT (RFC 8441) and granted by a 2xx. Both are written out as
//! what they stand for, the GET with Upgrade and its 101, so that one place judges all of them.

use ::http::request::Parts;
use ::http::{HeaderMap, Uri, header, response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;

use crate::config::HttpBounds;
use crate::http::Bad;
use crate::http::bytes::is_token;
use crate::http::h1::{Asked, Scan, encode, parse_request, parse_response};
use crate::http::head::{Framing, RequestHead, ResponseHead, TargetForm, Version};
use crate::http::upgrade::WEBSOCKET;

/// Writes a request out to `buf`, which is empty, and reads it. `ended`: no content follows. Where it
/// asks for a WebSocket, `key` becomes its Sec-WebSocket-Key: HTTP/2 has none, HTTP/1.1 needs one.
///
/// # Errors
/// What is wrong with it.
pub fn request(
    parts: &Parts,
    ended: bool,
    key: [u8; 16],
    bounds: &HttpBounds,
    buf: &mut Vec<u8>,
    head: &mut RequestHead,
) -> Result<(), Bad> {
    check_size(&parts.headers, bounds)?;
    check_values(&parts.headers)?;
    let protocol = parts.extensions.get::<Protocol>().map(Protocol::as_str);
    request_line(parts, protocol.is_some(), buf)?;
    host_line(parts, buf)?;
    if let Some(protocol) = protocol {
        upgrade_lines(protocol, ended, &parts.headers, key, buf)?;
    }
    field_lines(&parts.headers, buf);
    let whole = parse_request(buf, &mut Scan::default(), bounds, head)?;
    if !whole || head.len != buf.len() {
        return Err(Bad::BadRequestLine);
    }
    if head.form == TargetForm::Absolute {
        head.form = TargetForm::Origin;
    }
    head.version = Version::Http2;
    head.keep_alive = true;
    head.framing = match head.framing {
        // What follows is the tunnel's, if there will be one.
        Framing::None if protocol.is_some() => Framing::None,
        _ if protocol.is_some() => return Err(Bad::UnexpectedFraming),
        Framing::Length(n) => Framing::Length(n),
        _ if ended => Framing::None,
        _ => Framing::Chunked,
    };
    Ok(())
}

fn upgrade_lines(
    protocol: &str,
    ended: bool,
    fields: &HeaderMap,
    key: [u8; 16],
    buf: &mut Vec<u8>,
) -> Result<(), Bad> {
    if !is_token(protocol.as_bytes()) || ended {
        return Err(Bad::BadConnectTarget);
    }
    if fields.contains_key(header::SEC_WEBSOCKET_KEY) {
        return Err(Bad::BadWebsocketKey);
    }
    encode::upgrade(buf, protocol);
    if protocol.eq_ignore_ascii_case(WEBSOCKET) {
        encode::field(buf, b"sec-websocket-key", STANDARD.encode(key).as_bytes());
    }
    Ok(())
}

/// How many bytes fields take in lines.
pub fn lines_len(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Before any of it is copied.
fn check_size(fields: &HeaderMap, bounds: &HttpBounds) -> Result<(), Bad> {
    if fields.len() > bounds.max_fields {
        return Err(Bad::TooManyFields);
    }
    if lines_len(fields) > bounds.max_head { Err(Bad::HeadTooLarge) } else { Ok(()) }
}

/// Lines would have lost these blanks, which HTTP/2 does not allow (RFC 9113 section 8.2.1). Of answers
/// they are only lost: gRPC servers send them in `grpc-message`, whose encoding leaves them.
fn check_values(fields: &HeaderMap) -> Result<(), Bad> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let around = |value: &[u8]| blank(value.first()) || blank(value.last());
    match fields.values().any(|value| around(value.as_bytes())) {
        true => Err(Bad::BlankAroundValue),
        false => Ok(()),
    }
}

/// The target has its authority in it where one was given, so that Host must agree with it.
fn request_line(parts: &Parts, upgrades: bool, buf: &mut Vec<u8>) -> Result<(), Bad> {
    let connect = parts.method == ::http::Method::CONNECT && !upgrades;
    let method = if upgrades { "GET" } else { parts.method.as_str() };
    buf.extend_from_slice(method.as_bytes());
    buf.push(b' ');
    target(&parts.uri, connect, buf)?;
    buf.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

fn target(uri: &Uri, connect: bool, buf: &mut Vec<u8>) -> Result<(), Bad> {
    let authority = uri.authority().map(|authority| authority.as_str());
    let path = uri.path_and_query().map(|path| path.as_str());
    if connect {
        buf.extend_from_slice(authority.ok_or(Bad::BadConnectTarget)?.as_bytes());
        return Ok(());
    }
    let path = path.filter(|path| !path.is_empty()).ok_or(Bad::BadTargetForm)?;
    if path == "*" {
        buf.push(b'*');
        return Ok(());
    }
    if !path.starts_with('/') {
        return Err(Bad::BadTargetForm);
    }
    if let Some(authority) = authority {
        let scheme = uri.scheme_str().unwrap_or("https");
        for part in [scheme, "://", authority] {
            buf.extend_from_slice(part.as_bytes());
        }
    }
    buf.extend_from_slice(path.as_bytes());
    Ok(())
}

/// What the authority says stands for a Host that is not there (RFC 9113 section 8.3.1).
fn host_line(parts: &Parts, buf: &mut Vec<u8>) -> Result<(), Bad> {
    if parts.headers.contains_key(header::HOST) {
        return Ok(());
    }
    let authority = parts.uri.authority().ok_or(Bad::MissingHost)?;
    encode::field(buf, b"host", authority.as_str().as_bytes());
    Ok(())
}

/// Writes an answer out to `buf`, which is empty, and reads it. `ended`: no content follows.
/// `switch`: the request asked for a tunnel, and a 2xx grants it.
///
/// # Errors
/// What is wrong with it.
pub fn response(
    parts: &response::Parts,
    ended: bool,
    max_head: usize,
    to: Asked,
    switch: Option<&Switch<'_>>,
    buf: &mut Vec<u8>,
    head: &mut ResponseHead,
) -> Result<(), Bad> {
    if parts.status.as_u16() == 101 {
        // There is none in HTTP/2 (RFC 9113 section 8.6).
        return Err(Bad::UnexpectedUpgrade);
    }
    let granted = switch.filter(|_| parts.status.is_success());
    buf.extend_from_slice(b"HTTP/1.1 ");
    buf.extend_from_slice(granted.map_or(parts.status.as_str(), |_| "101").as_bytes());
    buf.extend_from_slice(b" \r\n");
    if let Some(switch) = granted {
        encode::upgrade(buf, switch.protocol);
        if let Some(accept) = &switch.accept {
            encode::field(buf, b"sec-websocket-accept", accept.as_bytes());
        }
    }
    field_lines(&parts.headers, buf);
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

/// The switch that a request asked a target for.
#[derive(Debug)]
pub struct Switch<'a> {
    /// The protocol.
    pub protocol: &'a str,
    /// What answers the request's Sec-WebSocket-Key, where it has one: a target of HTTP/2 does not
    /// know it.
    pub accept: Option<String>,
}

/// Writes trailers as a trailer section, its end included.
pub fn trailers(fields: &HeaderMap, buf: &mut Vec<u8>) {
    field_lines(fields, buf);
}

/// Cookies that came in crumbs are one field again: an HTTP/1.1 server may look at one only (RFC 9113
/// section 8.2.3).
fn field_lines(fields: &HeaderMap, buf: &mut Vec<u8>) {
    let crumbs = fields.get_all(header::COOKIE).iter().count();
    for (name, value) in fields {
        if crumbs < 2 || name != header::COOKIE {
            encode::field(buf, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if crumbs > 1 {
        let all: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(|c| c.as_bytes()).collect();
        encode::field(buf, b"cookie", &all.join(&b"; "[..]));
    }
    buf.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EncodedSlash;
    use crate::http::Method;

    const BOUNDS: HttpBounds = HttpBounds {
        max_head: 512,
        max_fields: 5,
        max_uri: 100,
        max_chunk_extension: 10,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: false,
    };

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn read(uri: &str, fields: Fields<'_>, ended: bool) -> Result<(RequestHead, Vec<u8>), Bad> {
        let mut request = ::http::Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        read_parts(&parts, ended)
    }

    fn read_parts(parts: &Parts, ended: bool) -> Result<(RequestHead, Vec<u8>), Bad> {
        let (mut buf, mut head) = (Vec::new(), RequestHead::default());
        super::request(parts, ended, [0; 16], &BOUNDS, &mut buf, &mut head).map(|()| (head, buf))
    }

    fn connect(protocol: &'static str, fields: Fields<'_>, ended: bool) -> Result<String, Bad> {
        let mut request = ::http::Request::connect("https://a/chat");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.extension(Protocol::from_static(protocol)).body(());
        let (head, buf) = read_parts(&request.expect("a request").into_parts().0, ended)?;
        let asked = crate::http::upgrade::asked(&head, &buf).map(<[u8]>::to_vec);
        assert_eq!((head.method, head.framing), (Method::Get, Framing::None));
        if protocol == "websocket" {
            crate::http::upgrade::check_websocket(&head, &buf)?;
        }
        Ok(String::from_utf8(asked.unwrap_or_default()).expect("a token"))
    }

    #[test]
    fn an_extended_connect_is_the_get_that_it_stands_for() {
        let version = ("sec-websocket-version", "13");
        assert_eq!(connect("websocket", &[version], false), Ok("websocket".into()));
        assert_eq!(connect("websocket", &[], false), Err(Bad::BadWebsocketVersion));
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(connect("websocket", &[version, key], false), Err(Bad::BadWebsocketKey));
        let length = ("content-length", "0");
        assert_eq!(connect("raw", &[length], false), Err(Bad::UnexpectedFraming));
        assert_eq!(connect("raw", &[], true), Err(Bad::BadConnectTarget));
        assert_eq!(connect("ra w", &[], false), Err(Bad::BadConnectTarget));
        assert_eq!(connect("raw", &[], false), Ok("raw".into()));
    }

    fn refused(uri: &str, fields: Fields<'_>) -> Option<Bad> {
        read(uri, fields, true).err()
    }

    #[test]
    fn a_request_is_read_as_one_of_http_1_1() {
        let (head, buf) =
            read("https://A.example:8443/a/../b?c", &[("x-y", "z")], true).expect("a head");
        assert_eq!(head.host.of(&buf), b"a.example");
        assert_eq!(head.authority.of(&buf), b"a.example:8443");
        assert_eq!(head.path.of(&buf), b"/b");
        assert_eq!(head.query.map(|q| q.of(&buf)), Some(&b"c"[..]));
        assert_eq!((head.form, head.version), (TargetForm::Origin, Version::Http2));
        assert_eq!(head.framing, Framing::None);
        let (head, _) = read("https://a/", &[("content-length", "3")], false).expect("a head");
        assert_eq!(head.framing, Framing::Length(3));
        let (head, _) = read("https://a/", &[], false).expect("a head");
        assert_eq!(head.framing, Framing::Chunked);
    }

    #[test]
    fn host_must_agree_with_the_authority() {
        assert!(read("https://a/", &[("host", "A:443")], true).is_ok());
        assert_eq!(refused("https://a/", &[("host", "b")]), Some(Bad::HostMismatch));
        assert_eq!(refused("https://a/", &[("host", "a"), ("host", "a")]), Some(Bad::RepeatedHost));
        assert_eq!(refused("/", &[]), Some(Bad::MissingHost));
        let (head, buf) = read("/", &[("host", "a")], true).expect("a head");
        assert_eq!(head.host.of(&buf), b"a");
    }

    #[test]
    fn the_bounds_are_those_of_http_1_1() {
        let long = format!("https://a/{}", "x".repeat(100));
        assert_eq!(refused(&long, &[]), Some(Bad::UriTooLong));
        let large = "x".repeat(600);
        assert_eq!(refused("https://a/", &[("x", &large)]), Some(Bad::HeadTooLarge));
        let many = [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")];
        assert_eq!(refused("https://a/", &many), Some(Bad::TooManyFields));
        assert_eq!(refused("https://u@a/", &[]), Some(Bad::HostUserinfo));
        assert_eq!(refused("https://a/%zz", &[]), Some(Bad::BadPercent));
        assert_eq!(refused("ftp://a/", &[]), Some(Bad::BadScheme));
    }

    #[test]
    fn values_have_no_blanks_around_them() {
        for value in [" a", "a ", "\ta", "a \t", " "] {
            assert_eq!(refused("https://a/", &[("x", value)]), Some(Bad::BlankAroundValue));
            assert!(answer(200, &[("x", value)], true).is_ok());
        }
        assert!(read("https://a/", &[("x", "a b"), ("y", "")], true).is_ok());
    }

    #[test]
    fn lengths_are_those_of_http_1_1() {
        for (value, why) in [
            ("1, 1", Bad::ListedContentLength),
            ("+1", Bad::SignedContentLength),
            ("x", Bad::BadContentLength),
        ] {
            assert_eq!(refused("https://a/", &[("content-length", value)]), Some(why));
        }
    }

    #[test]
    fn crumbs_of_a_cookie_are_put_together() {
        let fields = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")];
        let (head, buf) = read("https://a/", &fields, true).expect("a head");
        let values: Vec<_> = crate::http::values(&head.fields, &buf, b"cookie").collect();
        assert_eq!(values, [b"a=1; b=2"]);
    }

    fn answer(status: u16, fields: Fields<'_>, ended: bool) -> Result<ResponseHead, Bad> {
        let mut response = ::http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let (parts, ()) = response.body(()).expect("a response").into_parts();
        let (mut buf, mut head) = (Vec::new(), ResponseHead::default());
        let to = Asked::from(Method::Get);
        super::response(&parts, ended, 512, to, None, &mut buf, &mut head).map(|()| head)
    }

    #[test]
    fn a_2xx_grants_what_was_asked_for() {
        let switch = Switch { protocol: "raw", accept: None };
        let to = Asked { method: Method::Get, upgrade: true };
        for (status, read) in [(200, 101), (403, 403)] {
            let response = ::http::Response::builder().status(status).body(());
            let (parts, ()) = response.expect("a response").into_parts();
            let (mut buf, mut head) = (Vec::new(), ResponseHead::default());
            super::response(&parts, false, 512, to, Some(&switch), &mut buf, &mut head)
                .expect("a head");
            assert_eq!(head.status, read);
        }
    }

    #[test]
    fn answers_end_with_their_stream() {
        let framing = |fields, ended| answer(200, fields, ended).map(|head| head.framing);
        assert_eq!(framing(&[], false), Ok(Framing::Chunked));
        assert_eq!(framing(&[], true), Ok(Framing::Length(0)));
        assert_eq!(framing(&[("content-length", "2")], false), Ok(Framing::Length(2)));
        assert_eq!(framing(&[("content-length", "2")], true), Err(Bad::Truncated));
        assert_eq!(answer(101, &[], false).map(|_| ()), Err(Bad::UnexpectedUpgrade));
        assert_eq!(answer(204, &[], true).map(|head| head.framing), Ok(Framing::None));
    }
}
