//! Answers that the gateway makes itself: fixed responses, redirects and failures, the latter as gRPC
//! has them, too.

use crate::http::grpc::{self, Code, Dialect};
use crate::http::h1::encode;
use crate::http::{Field, Known, Method, Version, values};

use super::failure::{Failure, Meaning};

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

/// The answer to a gRPC call that comes to nothing: a head that has the trailers in it, and no content
/// ("gRPC over HTTP/2", Trailers-Only).
pub struct TrailersOnly<'a> {
    /// Which form of gRPC the client reads.
    pub dialect: Dialect,
    /// Status code.
    pub code: Code,
    /// What it says to people.
    pub message: &'a str,
    /// Further field lines, each with its CRLF.
    pub fields: &'a [u8],
}

impl TrailersOnly<'_> {
    /// Appends the whole message. Its HTTP status is 200, whatever failed.
    pub fn encode(&self, manner: &Manner<'_>, out: &mut Vec<u8>) {
        encode::status_line(out, 200, b"");
        encode::field(out, b"Date", manner.date.as_bytes());
        encode::field(out, b"Content-Type", self.dialect.content_type());
        encode::field(out, b"grpc-status", self.code.number().to_string().as_bytes());
        if !self.message.is_empty() {
            encode::field(out, b"grpc-message", grpc::escaped(self.message).as_bytes());
        }
        if manner.version != Version::Http2 {
            encode::content_length(out, 0);
        }
        out.extend_from_slice(self.fields);
        connection(out, manner.version, manner.close);
        out.extend_from_slice(encode::END);
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
    /// The form of gRPC that it speaks, where it does: then it gets that and nothing else.
    pub grpc: Option<Dialect>,
    /// The limit that refused the request, and seconds until it has a token.
    pub limited_by: Option<(&'a str, u64)>,
    /// The request's id; empty where there is none yet.
    pub request_id: &'a [u8],
    /// This gateway's name in Proxy-Status.
    pub gateway: &'a str,
}

/// Appends a failure's answer: a short text, problem details (RFC 9457) or gRPC's status, and
/// Proxy-Status (RFC 9209). `fields` are further field lines (Allow, Retry-After).
pub fn failure(
    failure: Failure,
    asker: &Asker<'_>,
    manner: &Manner<'_>,
    fields: &[u8],
    out: &mut Vec<u8>,
) {
    let meaning = failure.meaning();
    let mut all = Vec::with_capacity(160 + fields.len());
    let proxy_status = format!("{}; error={}", asker.gateway, meaning.proxy_status);
    encode::field(&mut all, b"Proxy-Status", proxy_status.as_bytes());
    if !asker.request_id.is_empty() {
        encode::field(&mut all, b"X-Request-Id", asker.request_id);
    }
    encode::field(&mut all, b"Cache-Control", b"no-store");
    all.extend_from_slice(fields);
    if let Some(dialect) = asker.grpc {
        let (code, message) = (failure.grpc(), meaning.title);
        return TrailersOnly { dialect, code, message, fields: &all }.encode(manner, out);
    }
    let (content_type, body) = text(&meaning, asker);
    Own { status: meaning.status, content_type, body: body.as_bytes(), fields: &all }
        .encode(manner, out);
}

/// A failure in words, and their Content-Type.
fn text(meaning: &Meaning, asker: &Asker<'_>) -> (&'static str, String) {
    let Meaning { status, title, .. } = meaning;
    let id = String::from_utf8_lossy(asker.request_id);
    if asker.takes_json {
        let mut problem = serde_json::json!({
            "type": format!("urn:tollgate:{}", meaning.name),
            "title": title,
            "status": status,
            "request_id": id,
        });
        if let Some((limit, seconds)) = asker.limited_by {
            problem["limit"] = limit.into();
            problem["resets_in"] = seconds.into();
        }
        return ("application/problem+json", format!("{problem}\n"));
    }
    let reason = encode::reason(*status);
    let limit = match asker.limited_by {
        Some((limit, seconds)) => format!("limit: {limit}, resets in {seconds} s\n"),
        None => String::new(),
    };
    let text = format!("{status} {reason}\n{title}\n{limit}request id: {id}\n");
    ("text/plain; charset=utf-8", text)
}

/// Whether a request accepts JSON: it says so, or it does not say. Of the ranges that are for it the most
/// specific counts (RFC 9110 section 12.5.1), and one of weight 0 refuses it.
pub fn takes_json(fields: &[Field], buf: &[u8]) -> bool {
    if !fields.iter().any(|f| f.known == Known::Accept) {
        return true;
    }
    let mut found = [None; RANGES.len()];
    for range in values(fields, buf, b"accept").flat_map(|value| value.split(|&b| b == b',')) {
        let mut parts = range.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let media = parts.next().unwrap_or_default();
        if let Some(at) = RANGES.iter().position(|known| media.eq_ignore_ascii_case(known)) {
            found[at] = Some(found[at] == Some(true) || !parts.any(is_zero_weight));
        }
    }
    found.into_iter().flatten().next().unwrap_or_default()
}

/// The ranges that are for problem details, the most specific first. (A client that reads JSON and has
/// not heard of problem details can read them.)
const RANGES: [&[u8]; 4] =
    [b"application/problem+json", b"application/json", b"application/*", b"*/*"];

/// `q=0` with as many zeros behind the point as may be (RFC 9110 section 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let [name, b'=', weight @ ..] = parameter else { return false };
    name.eq_ignore_ascii_case(&b'q')
        && weight.first() == Some(&b'0')
        && weight[1..].iter().all(|b| matches!(b, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Span;

    fn takes(accept: &str) -> bool {
        let line = format!("Accept{accept}");
        let field = Field {
            name: Span::new(0, 6),
            value: Span::new(6, line.len()),
            known: Known::Accept,
            hop: false,
        };
        takes_json(&[field], line.as_bytes())
    }

    #[test]
    fn json_goes_to_who_accepts_it() {
        assert!(takes_json(&[], b""));
        for accept in [
            "*/*",
            "application/*",
            "Application/JSON",
            "text/html, application/problem+json;q=0.1",
            "application/json;q=0, application/problem+json",
            "*/*;q=0, application/json",
            "application/problem+json; q=0.001",
            "application/json; version=0",
        ] {
            assert!(takes(accept), "{accept}");
        }
        for accept in [
            "",
            "text/html",
            "application/problem+json;q=0",
            "application/problem+json; q=0.000, */*",
            "*/*;q=0",
            "text/plain, */*;Q=0",
            "application/*;q=0, */*",
        ] {
            assert!(!takes(accept), "{accept}");
        }
    }
}
