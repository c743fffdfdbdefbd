//! gRPC, as far as a gateway has to know it: what a call is, how long it may take, and what failed
//! ones are told ("gRPC over HTTP/2", "HTTP to gRPC Status Code Mapping"; both in the gRPC project's
//! own documents). Messages pass unread.
//!
//! [`web`] is the form in which browsers speak it.

mod code;
mod timeout;
pub mod web;

pub use code::{Code, escaped};
pub use timeout::{timeout, write_timeout};

use super::head::{Field, Method, RequestHead, values};

/// Which form of gRPC a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// gRPC itself: its status stands in trailers.
    Plain,
    /// gRPC-Web: the trailers are the content's last frame.
    Web,
    /// The same in base64.
    WebText,
}

/// The longest beginnings first.
const DIALECTS: [(&[u8], Dialect); 3] = [
    (b"application/grpc-web-text", Dialect::WebText),
    (b"application/grpc-web", Dialect::Web),
    (b"application/grpc", Dialect::Plain),
];

impl Dialect {
    /// The form that a Content-Type names; `None`: it is not gRPC's. What follows may name the
    /// messages' own form (`+proto`). All implementations write it in lower case, and compare it so.
    pub fn named(content_type: &[u8]) -> Option<Self> {
        split(content_type).map(|(dialect, _)| dialect)
    }

    /// Whether it is one of gRPC-Web's.
    pub fn is_web(self) -> bool {
        self != Self::Plain
    }

    /// The same Content-Type in this form; `None`: it is not gRPC's.
    pub fn retell(self, content_type: &[u8]) -> Option<Vec<u8>> {
        split(content_type).map(|(_, rest)| [self.media_type(), rest].concat())
    }

    /// The Content-Type of answers of the gateway's own.
    pub fn content_type(self) -> &'static [u8] {
        match self {
            Self::Plain => b"application/grpc",
            Self::Web => b"application/grpc-web+proto",
            Self::WebText => b"application/grpc-web-text+proto",
        }
    }

    fn media_type(self) -> &'static [u8] {
        DIALECTS.into_iter().find(|(_, dialect)| *dialect == self).map_or(&[], |(text, _)| text)
    }
}

/// A Content-Type's form, and what follows the name of that.
fn split(content_type: &[u8]) -> Option<(Dialect, &[u8])> {
    let (dialect, rest) = DIALECTS
        .into_iter()
        .find_map(|(text, dialect)| content_type.strip_prefix(text).map(|rest| (dialect, rest)))?;
    matches!(rest.first(), None | Some(b'+' | b';' | b' ')).then_some((dialect, rest))
}

/// What makes a request a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The request's form.
    pub asked: Dialect,
    /// The form of its answer.
    pub answered: Dialect,
}

impl Call {
    /// Whether a request is a call: a POST with content of gRPC's.
    pub fn of(head: &RequestHead, buf: &[u8]) -> Option<Self> {
        if head.method != Method::Post {
            return None;
        }
        let asked = Dialect::named(content_type(&head.fields, buf)?)?;
        let mut accepted = values(&head.fields, buf, b"accept");
        let text = accepted.any(|value| Dialect::named(value) == Some(Dialect::WebText));
        Some(Self {
            asked,
            answered: if asked.is_web() && text { Dialect::WebText } else { asked },
        })
    }
}

/// A message's Content-Type.
pub fn content_type<'a>(fields: &'a [Field], buf: &'a [u8]) -> Option<&'a [u8]> {
    values(fields, buf, b"content-type").next()
}

/// The status that a head or trailers tell; `None`: none, or no number.
pub fn status(fields: &[Field], buf: &[u8]) -> Option<u16> {
    let value = values(fields, buf, b"grpc-status").next()?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EncodedSlash, HttpBounds};
    use crate::http::h1::{Scan, parse_request};

    /// What a request with these lines is.
    pub(super) fn head(lines: &str) -> (RequestHead, Vec<u8>) {
        let bounds = HttpBounds {
            max_head: 4096,
            max_fields: 20,
            max_uri: 100,
            max_chunk_extension: 10,
            encoded_slash: EncodedSlash::Keep,
            underscores_in_headers: false,
        };
        let mut buf = format!("{lines}\r\nHost: a\r\n\r\n").into_bytes();
        let mut head = RequestHead::default();
        let whole = parse_request(&mut buf, &mut Scan::default(), &bounds, &mut head);
        assert_eq!(whole, Ok(true), "{lines}");
        (head, buf)
    }

    fn call(lines: &str) -> Option<(Dialect, Dialect)> {
        let (head, buf) = head(lines);
        Call::of(&head, &buf).map(|call| (call.asked, call.answered))
    }

    #[test]
    fn a_call_is_a_post_with_content_of_grpc() {
        use Dialect::{Plain, Web, WebText};
        let post = |lines: &str| call(&format!("POST /s/m HTTP/1.1\r\n{lines}"));
        assert_eq!(post("Content-Type: application/grpc"), Some((Plain, Plain)));
        assert_eq!(post("content-type: application/grpc+proto"), Some((Plain, Plain)));
        assert_eq!(post("content-type: application/grpc;a=b"), Some((Plain, Plain)));
        assert_eq!(post("content-type: application/grpc-web+json"), Some((Web, Web)));
        assert_eq!(post("content-type: application/grpc-web-text"), Some((WebText, WebText)));
        let accept = "\r\nAccept: application/grpc-web-text";
        assert_eq!(
            post(&format!("content-type: application/grpc-web{accept}")),
            Some((Web, WebText))
        );
        assert_eq!(post(&format!("content-type: application/grpc{accept}")), Some((Plain, Plain)));
        for other in
            ["application/grpcx", "application/grpc-webs", "application/json", "text/plain"]
        {
            assert_eq!(post(&format!("content-type: {other}")), None, "{other}");
        }
        assert_eq!(post("x: y"), None);
        assert_eq!(call("PUT /s/m HTTP/1.1\r\ncontent-type: application/grpc"), None);
    }

    #[test]
    fn a_content_type_keeps_what_it_says_of_messages() {
        let retold = |dialect: Dialect, text: &str| {
            dialect.retell(text.as_bytes()).map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        let wanted = |text: &str| Some(text.to_owned());
        assert_eq!(
            retold(Dialect::Plain, "application/grpc-web-text+proto"),
            wanted("application/grpc+proto")
        );
        assert_eq!(retold(Dialect::Plain, "application/grpc-web"), wanted("application/grpc"));
        assert_eq!(
            retold(Dialect::WebText, "application/grpc+json"),
            wanted("application/grpc-web-text+json")
        );
        assert_eq!(retold(Dialect::Web, "text/html"), None);
    }

    #[test]
    fn a_status_is_a_number() {
        let told = |value: &str| {
            let (head, buf) = head(&format!("GET / HTTP/1.1\r\nGrpc-Status: {value}"));
            status(&head.fields, &buf)
        };
        assert_eq!(told("0"), Some(0));
        assert_eq!(told("14"), Some(14));
        assert_eq!(told("99999"), None);
        assert_eq!(told("OK"), None);
    }
}
