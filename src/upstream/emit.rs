//! The request head that goes upstream, emitted from the parsed form.

use crate::http::grpc::{Call, Dialect, write_timeout};
use crate::http::h1::encode;
use crate::http::{Field, Framing, Known, RequestHead, max_forwards};
use crate::policy::auth::Told;
use crate::policy::auth::present::is_ours;
use crate::policy::transform::{Edits, Forward, Hop, Values};

/// A request as it goes upstream.
pub struct Outgoing<'a, 'v> {
    /// The client's head. Its query goes as the values have it.
    pub head: &'a RequestHead,
    /// The bytes its spans stand for.
    pub buf: &'a [u8],
    /// Canonical path, rewritten where the route says so.
    pub path: &'a [u8],
    /// Whether it goes out in HTTP/2.
    pub http2: bool,
    /// The protocol that it asks to switch to.
    pub upgrade: Option<&'a str>,
    /// The gRPC call that it is.
    pub grpc: Option<Call>,
    /// Nanoseconds that are left for it; `None`: no bound.
    pub timeout_ns: Option<u64>,
    /// Value of Host.
    pub host: &'a [u8],
    /// Edits of fields.
    pub edits: Option<&'a Edits>,
    /// What edits may name.
    pub values: &'a Values<'v>,
    /// Who calls.
    pub told: Told<'a>,
    /// Forwarding fields.
    pub forward: &'a Forward,
    /// Where the request came from.
    pub hop: &'a Hop<'a>,
}

impl Outgoing<'_, '_> {
    /// gRPC's servers refuse requests that do not say so.
    fn takes_trailers(&self) -> bool {
        if self.is_translated() {
            return true;
        }
        let mut said = self.head.fields.iter().filter(|field| field.known == Known::Te);
        said.any(|field| {
            let mut codings = field.value.of(self.buf).split(|b| *b == b',');
            codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        })
    }

    /// Whether it came as gRPC-Web.
    fn is_translated(&self) -> bool {
        self.grpc.is_some_and(|call| call.asked.is_web())
    }

    /// Whether a field of a call goes out as something else, or not at all.
    fn retells(&self, field: &Field, out: &mut Vec<u8>) -> bool {
        let name = field.name.of(self.buf);
        if self.is_translated() && name.eq_ignore_ascii_case(b"content-type") {
            let told = Dialect::Plain.retell(field.value.of(self.buf)).unwrap_or_default();
            encode::field(out, b"Content-Type", &told);
            return true;
        }
        name.eq_ignore_ascii_case(b"grpc-timeout")
    }

    /// What tells who calls is the gateway's to say, on every route; credentials are nobody else's.
    fn withholds(&self, field: &Field) -> bool {
        let name = field.name.of(self.buf);
        field.known == Known::Other && is_ours(name) || self.told.withholds(name)
    }

    /// What is left of a call's time, unless an edit has the say on it.
    fn encode_timeout(&self, out: &mut Vec<u8>) {
        const NAME: &[u8] = b"grpc-timeout";
        let Some(ns) = self.timeout_ns.filter(|_| self.grpc.is_some()) else { return };
        if !self.edits.is_some_and(|edits| edits.removes_name(NAME)) {
            out.extend_from_slice(NAME);
            out.extend_from_slice(b": ");
            write_timeout(ns, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the head, the blank line included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let method = self.head.method_span.of(self.buf);
        encode::request_line(out, method, self.path, self.values.query);
        encode::field(out, b"Host", self.host);
        match self.head.framing {
            // Base64 is longer than what it stands for.
            Framing::Length(_) if self.is_translated() => {}
            Framing::Length(n) => encode::content_length(out, n),
            Framing::Chunked => out.extend_from_slice(encode::CHUNKED),
            Framing::None | Framing::UntilClose => {}
        }
        if let Some(protocol) = self.upgrade {
            encode::upgrade(out, protocol);
        }
        if self.http2 && self.takes_trailers() {
            encode::field(out, b"TE", b"trailers");
        }
        let max_forwards = max_forwards(self.head, self.buf);
        if let Some(left) = max_forwards {
            encode::field(out, b"Max-Forwards", left.saturating_sub(1).to_string().as_bytes());
        }
        for field in &self.head.fields {
            if field.known == Known::MaxForwards && max_forwards.is_some() {
                continue;
            }
            let framing = matches!(field.known, Known::Host | Known::ContentLength);
            // What any value but 1 means is not for everybody clear (RFC 8470 section 5.1).
            let outdated = field.known == Known::EarlyData && self.hop.early;
            if framing
                || outdated
                || field.hop
                || self.forward.replaces(field.known, self.hop.trust)
            {
                continue;
            }
            if self.edits.is_some_and(|e| e.removes(field, self.buf)) || self.withholds(field) {
                continue;
            }
            if self.grpc.is_none() || !self.retells(field, out) {
                encode::field(out, field.name.of(self.buf), field.value.of(self.buf));
            }
        }
        self.encode_timeout(out);
        self.forward.append(self.head, self.buf, self.hop, out);
        self.told.append(self.edits, out);
        if let Some(edits) = self.edits {
            edits.append(self.values, out);
        }
        out.extend_from_slice(encode::END);
    }
}
