//! Checking a response's head as cheaply as honesty allows.

use crate::backend::find;

/// What a response head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Bytes of the head.
    pub bytes: usize,
    /// Content-Length; `None`: not given.
    pub length: Option<usize>,
    /// Whether the proxy will close the connection.
    pub close: bool,
}

/// Reads a head; `None` while it is incomplete.
pub fn read_head(bytes: &[u8]) -> Option<Head> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let digits = bytes.get(9..12).filter(|_| bytes.starts_with(b"HTTP/1.1 ")).unwrap_or(b"000");
    let status = digits.iter().fold(0, |status, byte| status * 10 + u16::from(byte & 0x0f));
    let mut head = Head { status, bytes: end, length: None, close: false };
    let mut at = 0;
    // Lines start behind each line end; only the two fields that matter here begin with a c.
    while at < end - 4 {
        let line_end = at + find(&bytes[at..end], b"\r\n")?;
        let line = &bytes[at..line_end];
        at = line_end + 2;
        if !matches!(line.first(), Some(b'c' | b'C')) {
            continue;
        }
        if let Some(value) = value_of(line, b"content-length:") {
            head.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        } else if let Some(value) = value_of(line, b"connection:") {
            head.close = value.eq_ignore_ascii_case(b"close");
        }
    }
    Some(head)
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let named = line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
    named.then(|| line[name.len()..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_in_any_case_are_read() {
        let bytes = b"HTTP/1.1 429 Too Many\r\ncontent-LENGTH: 77\r\nConnection: close\r\n\r\nbody";
        let head = read_head(bytes).unwrap();
        let end = bytes.len() - 4;
        assert_eq!(head, Head { status: 429, bytes: end, length: Some(77), close: true });
        assert_eq!(read_head(&bytes[..end - 1]), None);
    }

    #[test]
    fn no_length_is_not_zero() {
        let head = read_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert_eq!(head.length, None);
    }
}
