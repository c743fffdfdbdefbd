//! Request heads: what is accepted and what it means, and each reason to refuse one by its name.

use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::h1::{Scan, parse_request};
use tollgate::http::{Bad, Framing, Method, RequestHead, Span, TargetForm, Version, values};
use tollgate::limits::MAX_METHOD;

const BOUNDS: HttpBounds = HttpBounds {
    max_head: 512,
    max_fields: 8,
    max_uri: 64,
    max_chunk_extension: 16,
    encoded_slash: EncodedSlash::Keep,
    underscores_in_headers: true,
};

fn parse(text: &str) -> Result<(RequestHead, Vec<u8>), Bad> {
    let mut buf = text.as_bytes().to_vec();
    let mut head = RequestHead::default();
    match parse_request(&mut buf, &mut Scan::default(), &BOUNDS, &mut head) {
        Ok(true) => Ok((head, buf)),
        Ok(false) => panic!("incomplete: {text:?}"),
        Err(bad) => Err(bad),
    }
}

/// Whole and byte by byte.
fn refused(text: &str, why: Bad) {
    assert_eq!(parse(text).map(|_| ()), Err(why), "{text:?}");
    let mut buf = text.as_bytes().to_vec();
    let (mut scan, mut head) = (Scan::default(), RequestHead::default());
    let last = (0..=buf.len())
        .map(|len| parse_request(&mut buf[..len], &mut scan, &BOUNDS, &mut head))
        .find(|result| *result != Ok(false));
    assert_eq!(last, Some(Err(why)), "{text:?} byte by byte");
}

fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

fn parsed(text: &str) -> (RequestHead, Vec<u8>) {
    parse(text).unwrap_or_else(|bad| panic!("{bad:?}: {text:?}"))
}

fn text(span: Span, buf: &[u8]) -> String {
    String::from_utf8(span.of(buf).to_vec()).unwrap()
}

fn target(line: &str) -> Result<(TargetForm, String, Option<String>, String, String), Bad> {
    let (head, buf) = parse(&format!("{line} HTTP/1.1\r\nHost: Example.com\r\n\r\n"))?;
    let query = head.query.map(|q| text(q, &buf));
    let (host, authority) = (text(head.host, &buf), text(head.authority, &buf));
    Ok((head.form, text(head.path, &buf), query, host, authority))
}

fn target_is(line: &str, form: TargetForm, path: &str, query: Option<&str>) {
    let host = "example.com".to_string();
    let wanted = (form, path.to_string(), query.map(str::to_string), host.clone(), host);
    assert_eq!(target(line), Ok(wanted), "{line}");
}

fn target_refused(line: &str, why: Bad) {
    refused(&format!("{line} HTTP/1.1\r\nHost: example.com\r\n\r\n"), why);
}

#[test]
fn a_browser_request() {
    let (head, buf) = parsed(
        "GET /a/%7Eb/../c?d=%2e HTTP/1.1\r\nHost: WWW.Example.com:8080\r\nAccept: */*\r\n\
         Cookie: a=b; c=d\r\n\r\nrest",
    );
    assert_eq!((head.method, head.version), (Method::Get, Version::Http11));
    assert_eq!(text(head.method_span, &buf), "GET");
    assert_eq!(text(head.path, &buf), "/a/c");
    assert_eq!(text(head.query.unwrap(), &buf), "d=%2e");
    assert_eq!(text(head.host, &buf), "www.example.com");
    assert_eq!(text(head.authority, &buf), "www.example.com:8080");
    assert_eq!(head.framing, Framing::None);
    assert!(head.keep_alive && !head.expect_continue);
    assert_eq!(head.fields.len(), 3);
    assert_eq!(values(&head.fields, &buf, b"cookie").collect::<Vec<_>>(), [b"a=b; c=d"]);
    assert_eq!(&buf[head.len..], b"rest");
}

#[test]
fn a_head_is_reused() {
    let mut head = parsed(&with("Content-Length: 5\r\nExpect: 100-continue")).0;
    let mut buf = b"GET / HTTP/1.0\r\n\r\n".to_vec();
    assert_eq!(parse_request(&mut buf, &mut Scan::default(), &BOUNDS, &mut head), Ok(true));
    assert!(head.fields.is_empty() && head.host.is_empty() && head.query.is_none());
    assert!(!head.keep_alive && !head.expect_continue);
    assert_eq!((head.framing, head.version), (Framing::None, Version::Http10));
}

#[test]
fn leading_blank_lines() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for blank in ["", "\r\n", "\r\n\r\n"] {
        let (head, buf) = parsed(&format!("{blank}{request}"));
        assert_eq!((head.len, text(head.method_span, &buf)), (buf.len(), "GET".to_string()));
    }
    refused(&format!("\r\n\r\n\r\n{request}"), Bad::LeadingBlankLines);
    refused(&format!("\n{request}"), Bad::BareLf);
    refused(&format!("\r{request}"), Bad::BareCr);
}

#[test]
fn methods() {
    for (name, method) in [
        ("HEAD", Method::Head),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("TRACE", Method::Trace),
        ("get", Method::Other),
        ("M-SEARCH", Method::Other),
    ] {
        let (head, buf) = parsed(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((head.method, text(head.method_span, &buf)), (method, name.to_string()));
    }
}

#[test]
fn bad_method() {
    target_refused("G(T /", Bad::BadMethod);
    target_refused("\x16\x03\x01 /", Bad::BadMethod);
    target_refused("G\u{e9}T /", Bad::BadMethod);
}

#[test]
fn method_too_long() {
    let longest = "A".repeat(MAX_METHOD);
    target_is(&format!("{longest} /"), TargetForm::Origin, "/", None);
    target_refused(&format!("{longest}A /"), Bad::MethodTooLong);
}

/// The byte at a bound decides, also when it is the first of a line end.
#[test]
fn line_end_right_after_the_longest_method_or_target() {
    refused(&format!("{}\r\n\r\n", "A".repeat(MAX_METHOD)), Bad::BadRequestLine);
    refused(&format!("GET /{}\r\n\r\n", "a".repeat(BOUNDS.max_uri - 1)), Bad::MissingVersion);
}

#[test]
fn bad_request_line() {
    for line in [
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.1.1",
        "GET / HTTP/1.10",
        "GET / HTTPS/1.1",
        "GET",
        "GET ",
        "GET / a HTTP/1.1",
        "GET / HTTP/a.b",
        "GET / HTTP/1.1\t",
    ] {
        refused(&format!("{line}\r\nHost: a\r\n\r\n"), Bad::BadRequestLine);
    }
}

#[test]
fn missing_version() {
    refused("GET /\r\n\r\n", Bad::MissingVersion);
}

#[test]
fn unsupported_version() {
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/3.0", "HTTP/9.9"] {
        refused(&format!("GET / {version}\r\nHost: a\r\n\r\n"), Bad::UnsupportedVersion);
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Bad::UnsupportedVersion);
}

#[test]
fn bare_line_ends_and_nul_in_the_request_line() {
    refused("GET / HTTP/1.1\nHost: a\r\n\r\n", Bad::BareLf);
    refused("GET /\nHost: a\r\n\r\n", Bad::BareLf);
    refused("GET\n", Bad::BareLf);
    refused("GET / HTTP/1.1\rHost: a\r\n\r\n", Bad::BareCr);
    refused("GET /\rHTTP/1.1\r\n\r\n", Bad::BareCr);
    refused("GET /\0 HTTP/1.1\r\n\r\n", Bad::NulByte);
    refused("GE\0T / HTTP/1.1\r\n\r\n", Bad::NulByte);
}

#[test]
fn bad_line_end_is_refused_as_soon_as_seen() {
    let mut buf = b"GET / HTTP/1.1\r\nHost: a\nA: b".to_vec();
    let (mut scan, mut head) = (Scan::default(), RequestHead::default());
    for len in 0..24 {
        assert_eq!(parse_request(&mut buf[..len], &mut scan, &BOUNDS, &mut head), Ok(false));
    }
    let result = parse_request(&mut buf[..24], &mut scan, &BOUNDS, &mut head);
    assert_eq!(result, Err(Bad::BareLf));
}

#[test]
fn targets() {
    target_is("GET /", TargetForm::Origin, "/", None);
    target_is("GET /a?", TargetForm::Origin, "/a", Some(""));
    target_is("GET /a?b?c/..", TargetForm::Origin, "/a", Some("b?c/.."));
    target_is("GET /a{b}|\"<>^`", TargetForm::Origin, "/a{b}|\"<>^`", None);
    target_is("GET //a//", TargetForm::Origin, "//a//", None);
    target_is("GET http://example.com/a/./b?c", TargetForm::Absolute, "/a/b", Some("c"));
    target_is("GET HTTP://EXAMPLE.com", TargetForm::Absolute, "/", None);
    target_is("GET http://example.com?a", TargetForm::Absolute, "/", Some("a"));
    target_is("GET https://example.com/?a://b", TargetForm::Absolute, "/", Some("a://b"));
    target_is("OPTIONS *", TargetForm::Asterisk, "*", None);
    target_is("OPTIONS http://example.com", TargetForm::Asterisk, "*", None);
    target_is("OPTIONS http://example.com/", TargetForm::Absolute, "/", None);
    target_is("OPTIONS http://example.com?a", TargetForm::Absolute, "/", Some("a"));
}

#[test]
fn connect_has_an_authority() {
    let (head, buf) = parsed("CONNECT A.com:443 HTTP/1.1\r\nHost: a.com:443\r\n\r\n");
    assert_eq!((head.method, head.form), (Method::Connect, TargetForm::Authority));
    assert_eq!(text(head.authority, &buf), "a.com:443");
    assert!(head.path.is_empty());
}

#[test]
fn bad_connect_target() {
    for line in ["CONNECT /", "CONNECT example.com", "CONNECT http://example.com:1/", "CONNECT *"] {
        target_refused(line, Bad::BadConnectTarget);
    }
}

#[test]
fn asterisk_method() {
    target_refused("GET *", Bad::AsteriskMethod);
}

#[test]
fn bad_target_form() {
    for line in ["GET a", "GET *a", "GET ?a", "GET http:/a", "GET a?b://c/", "GET example.com:80"] {
        target_refused(line, Bad::BadTargetForm);
    }
}

#[test]
fn bad_scheme() {
    for line in ["GET ftp://example.com/", "GET ://example.com/", "GET /://"] {
        match line {
            "GET /://" => target_is(line, TargetForm::Origin, "/://", None),
            line => target_refused(line, Bad::BadScheme),
        }
    }
}

#[test]
fn target_fragment() {
    target_refused("GET /a#b", Bad::TargetFragment);
    target_refused("GET /a?b#c", Bad::TargetFragment);
}

#[test]
fn bad_target_byte() {
    for line in ["GET /\u{e9}", "GET /a\\b", "GET /?a\\b", "GET /\x7f", "GET /\x01", "GET /?\u{e9}"]
    {
        target_refused(line, Bad::BadTargetByte);
    }
}

#[test]
fn bad_paths() {
    target_refused("GET /%zz", Bad::BadPercent);
    target_refused("GET /%00", Bad::EncodedNul);
    target_refused("GET /../a", Bad::PathAboveRoot);
    target_refused("GET http://example.com/..", Bad::PathAboveRoot);
    let bounds = HttpBounds { encoded_slash: EncodedSlash::Reject, ..BOUNDS };
    let mut buf = b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let mut head = RequestHead::default();
    let result = parse_request(&mut buf, &mut Scan::default(), &bounds, &mut head);
    assert_eq!(result, Err(Bad::EncodedSlash));
}

#[test]
fn uri_too_long() {
    let path = format!("/{}", "a".repeat(BOUNDS.max_uri - 1));
    target_is(&format!("GET {path}"), TargetForm::Origin, &path, None);
    target_refused(&format!("GET {path}a"), Bad::UriTooLong);
    target_refused(&format!("GET /?{path}"), Bad::UriTooLong);
}

#[test]
fn uri_too_long_before_its_end() {
    let mut buf = format!("GET /{}", "a".repeat(BOUNDS.max_uri)).into_bytes();
    let mut head = RequestHead::default();
    let result = parse_request(&mut buf, &mut Scan::default(), &BOUNDS, &mut head);
    assert_eq!(result, Err(Bad::UriTooLong));
}

#[test]
fn head_too_large() {
    let pad = BOUNDS.max_head - with("a: ").len();
    assert_eq!(parsed(&with(&format!("a: {}", "b".repeat(pad)))).0.len, BOUNDS.max_head);
    refused(&with(&format!("a: {}", "b".repeat(pad + 1))), Bad::HeadTooLarge);
    refused(&with(&format!("a: {}", "b".repeat(9000))), Bad::HeadTooLarge);
}

#[test]
fn too_many_fields() {
    assert!(parse(&with(&["a: b"; 7].join("\r\n"))).is_ok());
    refused(&with(&["a: b"; 8].join("\r\n")), Bad::TooManyFields);
}

#[test]
fn missing_host() {
    refused("GET / HTTP/1.1\r\n\r\n", Bad::MissingHost);
    refused("GET http://a/ HTTP/1.1\r\n\r\n", Bad::MissingHost);
    assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
}

#[test]
fn repeated_host() {
    refused(&with("Host: a"), Bad::RepeatedHost);
    refused("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", Bad::RepeatedHost);
}

#[test]
fn bad_hosts() {
    for (host, why) in [
        ("", Bad::EmptyHost),
        ("a@b", Bad::HostUserinfo),
        ("a b", Bad::BadHost),
        ("a, b", Bad::BadHost),
        ("a:", Bad::BadHostPort),
        ("[::1", Bad::BadHostLiteral),
    ] {
        refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), why);
    }
    target_refused("GET http://a@example.com/", Bad::HostUserinfo);
    target_refused("GET http:///a", Bad::EmptyHost);
}

#[test]
fn host_mismatch() {
    let request =
        |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a/", "a:8080"),
        ("http://a:8080/", "a"),
        ("https://a/", "a:80"),
    ] {
        refused(&request(target, host), Bad::HostMismatch);
    }
    for (target, host) in [
        ("http://a/", "A:80"),
        ("http://a:80/", "a"),
        ("https://a/", "a.:443"),
        ("http://a:1", "a:1"),
    ] {
        assert!(parse(&request(target, host)).is_ok(), "{target} {host}");
    }
    refused("CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", Bad::HostMismatch);
}

#[test]
fn hosts_are_lower_cased_and_lose_port_and_final_dot() {
    for (given, host, authority) in [
        ("EXAMPLE.com.", "example.com", "example.com."),
        ("A.B:81", "a.b", "a.b:81"),
        ("[2001:DB8::A]:81", "[2001:db8::a]", "[2001:db8::a]:81"),
    ] {
        let (head, buf) = parsed(&format!("GET / HTTP/1.1\r\nHost: {given}\r\n\r\n"));
        assert_eq!(text(head.host, &buf), host);
        assert_eq!(text(head.authority, &buf), authority);
    }
}

#[test]
fn persistence() {
    for (version, field, wanted) in [
        ("1.1", "A: b", true),
        ("1.1", "Connection: close", false),
        ("1.1", "Connection: Keep-Alive, CLOSE", false),
        ("1.1", "Connection: x\r\nConnection: close", false),
        ("1.1", "Connection: ,, x", true),
        ("1.0", "A: b", false),
        ("1.0", "Connection: keep-alive", true),
        ("1.0", "Connection: keep-alive, close", false),
        ("1.0", "Proxy-Connection: keep-alive", false),
    ] {
        let (head, _) = parsed(&format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n"));
        assert_eq!(head.keep_alive, wanted, "{version} {field}");
    }
}

#[test]
fn hop_by_hop_fields_are_marked() {
    let (head, buf) = parsed(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-mine, host, Authorization\r\nX-Mine: 1\r\n\
         TE: trailers\r\nAuthorization: b\r\nUpgrade: c\r\nTrailer: d\r\n\r\n",
    );
    let hop: Vec<_> = head.fields.iter().filter(|f| f.hop).map(|f| text(f.name, &buf)).collect();
    assert_eq!(hop, ["Connection", "X-Mine", "TE", "Upgrade"]);
}

#[test]
fn bad_connection_option() {
    refused(&with("Connection: a b"), Bad::BadConnectionOption);
    refused(&with("Connection: \"close\""), Bad::BadConnectionOption);
}

#[test]
fn too_many_connection_options() {
    refused(&with(&format!("Connection: {}", "a,".repeat(64))), Bad::TooManyConnectionOptions);
}

#[test]
fn unknown_expectation() {
    assert!(parsed(&with("Expect: 100-Continue")).0.expect_continue);
    refused(&with("Expect: 200-ok"), Bad::UnknownExpectation);
    refused(&with("Expect: 100-continue, a"), Bad::UnknownExpectation);
    refused(&with("Expect: 100-continue\r\nExpect: 100-continue"), Bad::UnknownExpectation);
    let (head, _) = parsed("GET / HTTP/1.0\r\nExpect: a\r\n\r\n");
    assert!(!head.expect_continue);
}

#[test]
fn framings() {
    assert_eq!(parsed(&with("A: b")).0.framing, Framing::None);
    assert_eq!(parsed(&with("Content-Length: 0")).0.framing, Framing::Length(0));
    assert_eq!(parsed(&with("Content-Length: 007")).0.framing, Framing::Length(7));
    assert_eq!(parsed(&with("Transfer-Encoding: Chunked")).0.framing, Framing::Chunked);
}

#[test]
fn both_framings() {
    refused(&with("Content-Length: 5\r\nTransfer-Encoding: chunked"), Bad::BothFramings);
    refused(&with("Transfer-Encoding: x\r\nContent-Length: x"), Bad::BothFramings);
}

#[test]
fn repeated_content_length() {
    refused(&with("Content-Length: 5\r\nContent-Length: 6"), Bad::RepeatedContentLength);
    refused(&with("Content-Length: 5\r\ncontent-length: 5"), Bad::RepeatedContentLength);
}

#[test]
fn listed_content_length() {
    refused(&with("Content-Length: 5, 5"), Bad::ListedContentLength);
    refused(&with("Content-Length: 5,"), Bad::ListedContentLength);
}

#[test]
fn signed_content_length() {
    refused(&with("Content-Length: +5"), Bad::SignedContentLength);
    refused(&with("Content-Length: -5"), Bad::SignedContentLength);
}

#[test]
fn bad_content_length() {
    for value in ["", "a", "5a", "0x5", "5 5", "5.0", "1e3", "\u{664}"] {
        refused(&with(&format!("Content-Length: {value}")), Bad::BadContentLength);
    }
}

#[test]
fn content_length_overflow() {
    let at_most = with("Content-Length: 9223372036854775807");
    assert_eq!(parsed(&at_most).0.framing, Framing::Length(i64::MAX as u64));
    for value in ["9223372036854775808", "18446744073709551616", "99999999999999999999999"] {
        refused(&with(&format!("Content-Length: {value}")), Bad::ContentLengthOverflow);
    }
}

#[test]
fn old_transfer_encoding() {
    let text = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(text, Bad::OldTransferEncoding);
}

#[test]
fn bad_transfer_encoding() {
    for value in ["", "chunked;a=b", "\"chunked\"", "chunked,", ",chunked", "chun ked"] {
        refused(&with(&format!("Transfer-Encoding: {value}")), Bad::BadTransferEncoding);
    }
    refused(&with("Transfer-Encoding: \x0bchunked"), Bad::ControlByte);
}

#[test]
fn repeated_chunked() {
    refused(&with("Transfer-Encoding: chunked, chunked"), Bad::RepeatedChunked);
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked";
    refused(&with(twice), Bad::RepeatedChunked);
}

#[test]
fn chunked_not_last() {
    for value in
        ["gzip", "identity", "xchunked", "chunked, gzip", "chunked\r\nTransfer-Encoding: x"]
    {
        refused(&with(&format!("Transfer-Encoding: {value}")), Bad::ChunkedNotLast);
    }
}

#[test]
fn unknown_transfer_coding() {
    refused(&with("Transfer-Encoding: gzip, chunked"), Bad::UnknownTransferCoding);
    assert_eq!(Bad::UnknownTransferCoding.status(), 400);
}
