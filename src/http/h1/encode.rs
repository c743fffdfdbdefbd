//! Messages as bytes, appended to a buffer. Only from typed or checked parts: none may hold a
//! CR, LF or NUL.

use crate::http::head::Field;

/// The field that announces chunked content, with its line end.
pub const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
/// A line end: also ends a head after its fields, and a chunk after its payload.
pub const END: &[u8] = b"\r\n";
/// Bytes of the longest chunk-size line.
pub const CHUNK_PREFIX_MAX: usize = 18;

/// `METHOD path?query HTTP/1.1`.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], path: &[u8], query: Option<&[u8]>) {
    debug_assert!(is_clean(method) && is_clean(path) && is_clean(query.unwrap_or_default()));
    out.reserve(method.len() + path.len() + query.map_or(0, <[u8]>::len) + 13);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(path);
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `HTTP/1.1 status reason`; an empty reason means the standard one.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    debug_assert!((100..600).contains(&status) && is_clean(reason));
    let reason = if reason.is_empty() { self::reason(status).as_bytes() } else { reason };
    let digit = |n: u16| b'0' + (n % 10) as u8;
    let code = [digit(status / 100), digit(status / 10), digit(status)];
    out.reserve(reason.len() + 15);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&code);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(END);
}

/// The switch to a protocol, as a request asks for it and an answer grants it.
pub fn upgrade(out: &mut Vec<u8>, protocol: &str) {
    field(out, b"Connection", b"Upgrade");
    field(out, b"Upgrade", protocol.as_bytes());
}

/// `name: value`.
#[inline]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(!name.is_empty() && is_clean(name) && is_clean(value));
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(END);
}

/// `Content-Length: n`.
pub fn content_length(out: &mut Vec<u8>, n: u64) {
    field(out, b"Content-Length", itoa::Buffer::new().format(n).as_bytes());
}

/// Writes the size line of a chunk of `len` bytes at the very end of `room`, which stands just
/// before the payload; returns the line's length. `room` has [`CHUNK_PREFIX_MAX`] bytes or more.
pub fn chunk_prefix(room: &mut [u8], len: usize) -> usize {
    debug_assert!(len > 0 && room.len() >= CHUNK_PREFIX_MAX);
    let end = room.len();
    room[end - 2..].copy_from_slice(END);
    let (mut at, mut rest) = (end - 2, len);
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            return end - at;
        }
    }
}

/// The last chunk, the trailer fields, and the end of the message.
pub fn last_chunk(out: &mut Vec<u8>, trailers: &[Field], buf: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    for trailer in trailers {
        field(out, trailer.name.of(buf), trailer.value.of(buf));
    }
    out.extend_from_slice(END);
}

/// The standard reason phrase; empty for codes without one.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Whether bytes cannot end a line early.
fn is_clean(bytes: &[u8]) -> bool {
    !bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines() {
        assert_eq!(written(|o| request_line(o, b"GET", b"/a", None)), "GET /a HTTP/1.1\r\n");
        assert_eq!(written(|o| request_line(o, b"A", b"/", Some(b""))), "A /? HTTP/1.1\r\n");
        assert_eq!(written(|o| status_line(o, 200, b"")), "HTTP/1.1 200 OK\r\n");
        assert_eq!(written(|o| status_line(o, 404, b"Gone?")), "HTTP/1.1 404 Gone?\r\n");
        assert_eq!(written(|o| status_line(o, 599, b"")), "HTTP/1.1 599 \r\n");
        assert_eq!(written(|o| field(o, b"A", b"b c")), "A: b c\r\n");
        assert_eq!(written(|o| content_length(o, 10_240)), "Content-Length: 10240\r\n");
        assert_eq!(written(|o| last_chunk(o, &[], b"")), "0\r\n\r\n");
    }

    #[test]
    fn chunk_prefixes_stand_right_before_the_payload() {
        for (len, wanted) in [
            (1, "1\r\n"),
            (0x10, "10\r\n"),
            (0xabc, "abc\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ] {
            let mut room = [b'.'; CHUNK_PREFIX_MAX + 2];
            let written = chunk_prefix(&mut room, len);
            assert_eq!(&room[room.len() - written..], wanted.as_bytes());
            assert!(room[..room.len() - written].iter().all(|b| *b == b'.'));
        }
    }

    #[test]
    #[should_panic(expected = "is_clean")]
    #[cfg(debug_assertions)]
    fn a_line_end_in_a_value_is_a_bug() {
        field(&mut Vec::new(), b"a", b"b\r\nc: d");
    }
}
