//! Answers that the gateway makes itself: fixed responses, redirects and failures.

use crate::http::h1::encode;
use crate::http::{Field, Known, Method, Version, values};

use super::failure::Failure;

/// An answer of the gateway's own.
pub struct Own<'a> {
    /// Status code.
    pub status: u16,
    /// Content-Type; empty: none is sent.
    pub content_type: &'a str,
    /// Content.
    pub body: &'a [u8],
    /// Further field lines, each with its CRLF.
    pub fields: &'a [u8],
}

/// What the connection demands of an answer's head.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// The request's method: HEAD gets no content.
    pub method: Method,
    /// The request's version: HTTP/1.0 is told where the connection is kept.
    pub version: Version,
    /// Whether this is the connection's last answer.
    pub close: bool,
    /// Value of Date.
    pub date: &'a str,
}

impl Own<'_> {
    /// Appends the whole message.
    pub fn encode(&self, manner: &Manner<'_>, out: &mut Vec<u8>) {
        encode::status_line(out, self.status, b"");
        encode::field(out, b"Date", manner.date.as_bytes());
        let has_content = !matches!(self.status, 100..=199 | 204 | 304);
        if has_content {
            if !self.content_type.is_empty() {
                encode::field(out, b"Content-Type", self.content_type.as_bytes());
            }
            encode::content_length(out, self.body.len() as u64);
        }
        out.extend_from_slice(self.fields);
        connection(out, manner.version, manner.close);
        out.extend_from_slice(encode::END);
        if has_content && manner.method != Method::Head {
            out.extend_from_slice(self.body);
        }
    }
}

/// Appends Connection where this version does not imply it (RFC 9112 section 9.3).
pub fn connection(out: &mut Vec<u8>, version: Version, close: bool) {
    match (version, close) {
        (Version::Http11, true) => encode::field(out, b"Connection", b"close"),
        (Version::Http10, false) => encode::field(out, b"Connection", b"keep-alive"),
        _ => {}
    }
}

/// Bytes of content in a message that [`Own::encode`] made.
pub fn content_len(message: &[u8]) -> usize {
    let head = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    message.len() - head
}

/// Who asks, for the content of a failure's answer.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Whether problem details may be sent.
    pub takes_json: bool,
    /// The request's id; empty where there is none yet.
    pub request_id: &'a [u8],
    /// This gateway's name in Proxy-Status.
    pub gateway: &'a str,
}

/// Appends a failure's answer: a short text, or problem details (RFC 9457), and Proxy-Status
/// (RFC 9209). `fields` are further field lines (Allow, Retry-After).
pub fn failure(
    failure: Failure,
    asker: &Asker<'_>,
    manner: &Manner<'_>,
    fields: &[u8],
    out: &mut Vec<u8>,
) {
    let meaning = failure.meaning();
    let id = String::from_utf8_lossy(asker.request_id);
    let reason = encode::reason(meaning.status);
    let (content_type, body) = if asker.takes_json {
        let problem = serde_json::json!({
            "type": format!("urn:tollgate:{}", meaning.name),
            "title": meaning.title,
            "status": meaning.status,
            "request_id": id,
        });
        ("application/problem+json", format!("{problem}\n"))
    } else {
        let status = meaning.status;
        let title = meaning.title;
        ("text/plain; charset=utf-8", format!("{status} {reason}\n{title}\nrequest id: {id}\n"))
    };
    let mut all = Vec::with_capacity(160 + fields.len());
    let proxy_status = format!("{}; error={}", asker.gateway, meaning.proxy_status);
    encode::field(&mut all, b"Proxy-Status", proxy_status.as_bytes());
    if !asker.request_id.is_empty() {
        encode::field(&mut all, b"X-Request-Id", asker.request_id);
    }
    encode::field(&mut all, b"Cache-Control", b"no-store");
    all.extend_from_slice(fields);
    Own { status: meaning.status, content_type, body: body.as_bytes(), fields: &all }
        .encode(manner, out);
}

/// Whether a request accepts JSON: it says so, or it does not say.
pub fn takes_json(fields: &[Field], buf: &[u8]) -> bool {
    if !fields.iter().any(|f| f.known == Known::Accept) {
        return true;
    }
    values(fields, buf, b"accept").any(|value| {
        value.split(|&b| b == b',').any(|range| {
            let media = range.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            media == b"*/*"
                || media.eq_ignore_ascii_case(b"application/*")
                || media.eq_ignore_ascii_case(b"application/json")
                || media.eq_ignore_ascii_case(b"application/problem+json")
        })
    })
}
