//! The response head that goes to the client, emitted from the target's parsed one.

use crate::http::grpc::Dialect;
use crate::http::h1::encode;
use crate::http::{Field, Framing, Known, ResponseHead, Version};
use crate::policy::transform::naming::{conceal, may_name_target};
use crate::policy::transform::{Edits, FieldNames, Forward, LocationContext, Values};

use super::own::connection;

/// How the content is framed for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// There is none; `Some`: the length that Content-Length still names (HEAD, 304).
    None(Option<u64>),
    /// That many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection is closed (HTTP/1.0 clients).
    UntilClose,
    /// Until its stream ends (HTTP/2).
    Streamed,
}

impl Content {
    /// Whether the head is all there is.
    pub fn is_none(self) -> bool {
        matches!(self, Self::None(_))
    }

    /// The framing for a client of `version` (RFC 9112 section 6.3).
    pub fn of(head: &ResponseHead, version: Version) -> Self {
        match (head.framing, version) {
            // RFC 9110 section 8.6: no length in a 204.
            (Framing::None, _) if head.status == 204 => Self::None(None),
            (Framing::None, _) => Self::None(head.content_length),
            // The end of the stream says it.
            (Framing::Length(0), Version::Http2) => Self::None(head.content_length),
            (Framing::Length(n), _) => Self::Length(n),
            (_, version) => Self::open(version),
        }
    }

    /// The framing of content whose length is not known.
    pub fn open(version: Version) -> Self {
        match version {
            Version::Http11 => Self::Chunked,
            Version::Http10 => Self::UntilClose,
            Version::Http2 => Self::Streamed,
        }
    }
}

/// A response as it goes to the client.
pub struct Outgoing<'a, 'v> {
    /// The target's head.
    pub head: &'a ResponseHead,
    /// The bytes its spans stand for.
    pub buf: &'a [u8],
    /// Framing of its content.
    pub content: Content,
    /// The request's version.
    pub version: Version,
    /// The protocol that this answer switches to.
    pub upgrade: Option<&'a str>,
    /// The form of gRPC-Web that its content is told in.
    pub grpc_web: Option<Dialect>,
    /// Whether this is the connection's last answer.
    pub close: bool,
    /// Edits of fields.
    pub edits: Option<&'a Edits>,
    /// What edits may name.
    pub values: &'a Values<'v>,
    /// What must not be named.
    pub location: &'a LocationContext<'a>,
    /// Value of Date, where the target gave none (RFC 9110 section 6.6.1).
    pub date: Option<&'a str>,
    /// Fields that were for the gateway.
    pub hidden: Option<&'a FieldNames>,
    /// Whose Via line is added, where the request was forwarded with one.
    pub forward: &'a Forward,
    /// Further field lines.
    pub fields: &'a [u8],
}

impl Outgoing<'_, '_> {
    /// Appends the head, the blank line included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::status_line(out, self.head.status, self.head.reason.of(self.buf));
        for field in &self.head.fields {
            if field.hop || field.known == Known::ContentLength {
                continue;
            }
            if self.edits.is_some_and(|e| e.removes(field, self.buf)) {
                continue;
            }
            let name = field.name.of(self.buf);
            let value = field.value.of(self.buf);
            if self.hidden.is_some_and(|hidden| hidden.has(name)) {
                continue;
            }
            if may_name_target(field.known) {
                concealed(field, self.buf, self.location, out);
            } else if let Some(told) = self.retold(name, value) {
                encode::field(out, name, &told);
            } else {
                encode::field(out, name, value);
            }
        }
        match self.content {
            Content::None(None) | Content::UntilClose | Content::Streamed => {}
            Content::None(Some(n)) | Content::Length(n) => encode::content_length(out, n),
            Content::Chunked => out.extend_from_slice(encode::CHUNKED),
        }
        if let Some(date) = self.date {
            encode::field(out, b"Date", date.as_bytes());
        }
        self.forward.append_via(self.head.version, out);
        out.extend_from_slice(self.fields);
        if let Some(edits) = self.edits {
            edits.append(self.values, out);
        }
        match self.upgrade {
            Some(protocol) => encode::upgrade(out, protocol),
            None => connection(out, self.version, self.close),
        }
        out.extend_from_slice(encode::END);
    }

    /// A Content-Type of gRPC-Web for one of gRPC.
    fn retold(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let dialect = self.grpc_web?;
        name.eq_ignore_ascii_case(b"content-type").then(|| dialect.retell(value))?
    }
}

/// A field that may name a target, so that it names none.
fn concealed(field: &Field, buf: &[u8], context: &LocationContext<'_>, out: &mut Vec<u8>) {
    let value = field.value.of(buf);
    out.extend_from_slice(field.name.of(buf));
    out.extend_from_slice(b": ");
    if !conceal(field.known, value, context, out) {
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim (1xx) response: status and end-to-end fields, but for those that the route
/// removes.
pub fn interim(
    head: &ResponseHead,
    buf: &[u8],
    edits: Option<&Edits>,
    context: &LocationContext<'_>,
    out: &mut Vec<u8>,
) {
    encode::status_line(out, head.status, head.reason.of(buf));
    let removed = |f: &Field| edits.is_some_and(|e| e.removes(f, buf));
    let passes = |f: &&Field| !f.hop && f.known != Known::ContentLength && !removed(f);
    for field in head.fields.iter().filter(passes) {
        match may_name_target(field.known) {
            true => concealed(field, buf, context, out),
            false => encode::field(out, field.name.of(buf), field.value.of(buf)),
        }
    }
    out.extend_from_slice(encode::END);
}
