//! A composed head, in lines, becomes fields. Of what stands in the lines the connection's own
//! (Connection, Transfer-Encoding and their like) is left out: streams have their own ways.

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{Method, Request, Response, StatusCode, Uri, Version, header};
use bytes::Bytes;
use h2::ext::Protocol;

use crate::http::Bad;
use crate::http::head::{Field, Known};
use crate::http::known::{HOP_BY_HOP, known};

/// An answer's head out of its lines, the status line first.
///
/// # Errors
/// A part that can't be told in HTTP/2.
pub fn response(text: &[u8]) -> Result<Response<()>, Bad> {
    let text = Bytes::copy_from_slice(text);
    let code = text.get(9..12).and_then(|code| StatusCode::from_bytes(code).ok());
    let mut response = Response::new(());
    *response.version_mut() = Version::HTTP_2;
    *response.status_mut() = code.ok_or(Bad::BadStatusCode)?;
    let first = line_end(&text, 0)?;
    fields(&text, first + 2, |_, _| false, response.headers_mut())?;
    Ok(response)
}

/// A request's head out of its lines, the request line first. `secure`: it goes over TLS. With a
/// protocol to switch to it is an extended CONNECT (RFC 8441).
///
/// # Errors
/// A part that can't be told in HTTP/2.
pub fn request(text: &[u8], secure: bool, upgrade: Option<&str>) -> Result<Request<()>, Bad> {
    let text = Bytes::copy_from_slice(text);
    let end = line_end(&text, 0)?;
    let method_end = memchr::memchr(b' ', &text[..end]).ok_or(Bad::BadRequestLine)?;
    let target_end = memchr::memrchr(b' ', &text[..end]).ok_or(Bad::BadRequestLine)?;
    if target_end <= method_end {
        return Err(Bad::BadRequestLine);
    }
    let method = Method::from_bytes(&text[..method_end]).map_err(|_| Bad::BadMethod)?;
    let path = PathAndQuery::from_maybe_shared(text.slice(method_end + 1..target_end))
        .map_err(|_| Bad::BadTargetByte)?;
    let mut request = Request::new(());
    let mut host = Bytes::new();
    let is_host = |known, value: &Bytes| {
        let is = known == Known::Host;
        if is {
            host = value.clone();
        }
        is
    };
    fields(&text, end + 2, is_host, request.headers_mut())?;
    let mut uri = ::http::uri::Parts::default();
    uri.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::from_maybe_shared(host).map_err(|_| Bad::BadHost)?);
    uri.path_and_query = Some(path);
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Bad::BadTargetForm)?;
    *request.method_mut() = method;
    if let Some(protocol) = upgrade {
        *request.method_mut() = Method::CONNECT;
        request.headers_mut().remove(header::SEC_WEBSOCKET_KEY);
        request.extensions_mut().insert(Protocol::from(protocol));
    }
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Trailers out of their fields.
///
/// # Errors
/// A part that can't be told in HTTP/2.
pub fn trailers(trailers: &[Field], buf: &[u8]) -> Result<HeaderMap, Bad> {
    let mut map = HeaderMap::with_capacity(trailers.len());
    for field in trailers {
        let name = HeaderName::from_bytes(field.name.of(buf)).map_err(|_| Bad::BadFieldName)?;
        let value = HeaderValue::from_bytes(field.value.of(buf)).map_err(|_| Bad::ControlByte)?;
        map.try_append(name, value).map_err(|_| Bad::TooManyFields)?;
    }
    Ok(map)
}

fn fields(
    text: &Bytes,
    mut at: usize,
    mut takes: impl FnMut(Known, &Bytes) -> bool,
    map: &mut HeaderMap,
) -> Result<(), Bad> {
    loop {
        let end = line_end(text, at)?;
        if end == at {
            return Ok(());
        }
        let colon = memchr::memchr(b':', &text[at..end]).ok_or(Bad::MissingColon)? + at;
        let name = &text[at..colon];
        let known = known(name);
        // Behind the colon and the space that the encoders write.
        let value = text.slice((colon + 2).min(end)..end);
        at = end + 2;
        if takes(known, &value) || HOP_BY_HOP.contains(known) && !keeps(known, &value) {
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Bad::BadFieldName)?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Bad::ControlByte)?;
        map.try_append(name, value).map_err(|_| Bad::TooManyFields)?;
    }
}

/// That trailers are taken may be said in HTTP/2 too (RFC 9113 section 8.2.2).
fn keeps(known: Known, value: &[u8]) -> bool {
    known == Known::Te && value.eq_ignore_ascii_case(b"trailers")
}

fn line_end(text: &[u8], at: usize) -> Result<usize, Bad> {
    // No line that was composed holds a CR.
    let found = memchr::memchr(b'\r', &text[at..]);
    found.map(|n| at + n).ok_or(Bad::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Span;

    #[test]
    fn an_answers_lines_become_fields() {
        let text = b"HTTP/1.1 207 Whatever\r\nX-A: b: c\r\nTransfer-Encoding: chunked\r\n\
            Connection: close\r\nX-A: d\r\nEmpty: \r\n\r\nbody";
        let response = response(text).expect("an answer");
        assert_eq!(response.status(), 207);
        let all: Vec<_> = response.headers().iter().map(|(n, v)| (n.as_str(), v)).collect();
        let value = HeaderValue::from_static;
        assert_eq!(all, [("x-a", &value("b: c")), ("x-a", &value("d")), ("empty", &value(""))]);
    }

    #[test]
    fn a_requests_lines_become_fields() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: a.example:81\r\nTE: trailers\r\nX: y\r\n\r\n";
        let request = request(text, false, None).expect("a request");
        assert_eq!(request.uri(), "http://a.example:81/a?b");
        assert_eq!(request.method(), Method::POST);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["te", "x"]);
    }

    #[test]
    fn an_upgrade_becomes_an_extended_connect() {
        let text =
            b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let request = request(text, true, Some("websocket")).expect("a request");
        assert_eq!((request.method(), request.uri().path()), (&Method::CONNECT, "/chat"));
        let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
        assert_eq!(protocol, Some("websocket"));
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["sec-websocket-version"]);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        assert_eq!(
            request(b"GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", false, None).err(),
            Some(Bad::BadTargetByte)
        );
        assert_eq!(request(b"GET\r\n\r\n", false, None).err(), Some(Bad::BadRequestLine));
        assert_eq!(response(b"HTTP/1.1 200 OK\r\nX\r\n\r\n").err(), Some(Bad::MissingColon));
        assert_eq!(response(b"HTTP/1.1 200 OK\r\n").err(), Some(Bad::Truncated));
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
        let map = trailers(&[field], buf).expect("trailers");
        assert_eq!(map.get("grpc-status"), Some(&HeaderValue::from_static("0")));
    }
}
