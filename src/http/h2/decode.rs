//! Fields become lines, and lines a head.

use ::http::request::Parts;
use ::http::{HeaderMap, Uri, header, response};

use crate::config::HttpBounds;
use crate::http::Bad;
use crate::http::h1::{Asked, Scan, parse_request, parse_response};
use crate::http::head::{Framing, RequestHead, ResponseHead, TargetForm, Version};

/// Writes a request out to `buf`, which is empty, and reads it. `ended`: no content follows.
///
/// # Errors
/// What is wrong with it.
pub fn request(
    parts: &Parts,
    ended: bool,
    bounds: &HttpBounds,
    buf: &mut Vec<u8>,
    head: &mut RequestHead,
) -> Result<(), Bad> {
    check_size(&parts.headers, bounds)?;
    request_line(parts, buf)?;
    host_line(parts, buf)?;
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
        Framing::Length(n) => Framing::Length(n),
        _ if ended => Framing::None,
        _ => Framing::Chunked,
    };
    Ok(())
}

/// Before any of it is copied.
fn check_size(fields: &HeaderMap, bounds: &HttpBounds) -> Result<(), Bad> {
    if fields.len() > bounds.max_fields {
        return Err(Bad::TooManyFields);
    }
    let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        name.as_str().len() + value.len() + 4
    };
    let size: usize = fields.iter().map(line).sum();
    if size > bounds.max_head { Err(Bad::HeadTooLarge) } else { Ok(()) }
}

/// The target has its authority in it where one was given, so that Host must agree with it.
fn request_line(parts: &Parts, buf: &mut Vec<u8>) -> Result<(), Bad> {
    buf.extend_from_slice(parts.method.as_str().as_bytes());
    buf.push(b' ');
    target(&parts.uri, parts.method == ::http::Method::CONNECT, buf)?;
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
    line(b"host", authority.as_str().as_bytes(), buf);
    Ok(())
}

/// Writes an answer out to `buf`, which is empty, and reads it. `ended`: no content follows.
///
/// # Errors
/// What is wrong with it.
pub fn response(
    parts: &response::Parts,
    ended: bool,
    max_head: usize,
    to: Asked,
    buf: &mut Vec<u8>,
    head: &mut ResponseHead,
) -> Result<(), Bad> {
    buf.extend_from_slice(b"HTTP/1.1 ");
    buf.extend_from_slice(parts.status.as_str().as_bytes());
    buf.extend_from_slice(b" \r\n");
    field_lines(&parts.headers, buf);
    if parts.status.as_u16() == 101 {
        // There is none in HTTP/2 (RFC 9113 section 8.6).
        return Err(Bad::UnexpectedUpgrade);
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
            line(name.as_str().as_bytes(), value.as_bytes(), buf);
        }
    }
    if crumbs > 1 {
        let all: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(|c| c.as_bytes()).collect();
        line(b"cookie", &all.join(&b"; "[..]), buf);
    }
    buf.extend_from_slice(b"\r\n");
}

fn line(name: &[u8], value: &[u8], buf: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        buf.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EncodedSlash;
    use crate::http::Method;

    const BOUNDS: HttpBounds = HttpBounds {
        max_head: 512,
        max_fields: 4,
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
        let (mut buf, mut head) = (Vec::new(), RequestHead::default());
        super::request(&parts, ended, &BOUNDS, &mut buf, &mut head).map(|()| (head, buf))
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
        super::response(&parts, ended, 512, to, &mut buf, &mut head).map(|()| head)
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
