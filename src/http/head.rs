//! The one message type: heads whose parts are ranges into the buffer they arrived in.
//!
//! Version-neutral: HTTP/2 has its fields written into such a buffer too. Policies, routing,
//! logging and emission know these types only.

/// A range of bytes in the message's buffer. Heads are bounded far below 4 GiB (`limits.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span from byte offsets.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes it stands for.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Field names the gateway acts on. Everything else is `Other` and compared by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Known {
    Other,
    Accept,
    ClientCert,
    ClientCertChain,
    Connection,
    ContentLength,
    ContentLocation,
    Cookie,
    Date,
    EarlyData,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    Link,
    Location,
    MaxForwards,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    ProxyStatus,
    Referer,
    Refresh,
    Server,
    SetCookie,
    Te,
    Traceparent,
    Tracestate,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRequestId,
}

/// One field line: name as received, value without surrounding white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: Span,
    /// Value.
    pub value: Span,
    /// Which known name it is, found once by the parser.
    pub known: Known,
    /// Named by this message's Connection field (or hop-by-hop by RFC 9110 section 7.6.1): it
    /// must not be forwarded.
    pub hop: bool,
}

impl Field {
    /// One of our own that is none of the known, whose name and value are appended to `buf`.
    pub fn unknown(name: &[u8], value: &[u8], buf: &mut Vec<u8>) -> Self {
        let mut append = |text: &[u8]| {
            let start = buf.len();
            buf.extend_from_slice(text);
            Span::new(start, buf.len())
        };
        Self { name: append(name), value: append(value), known: Known::Other, hop: false }
    }
}

/// HTTP versions spoken downstream and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// Request methods. `Other` keeps its text in [`RequestHead::method_span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[allow(missing_docs)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    Other,
}

impl Method {
    /// Safe by RFC 9110 section 9.2.1.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Idempotent by RFC 9110 section 9.2.2.
    pub fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace
        )
    }
}

/// How a message's content ends (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// No content.
    #[default]
    None,
    /// That many bytes (0 is possible where Content-Length said so).
    Length(u64),
    /// Of unknown length, and its end is told apart from a cut: chunked, ended by the last chunk and
    /// trailers (or the content of a stream of HTTP/2, RFC 9113 section 8.1).
    Chunked,
    /// Ends with the connection; responses only.
    UntilClose,
}

/// The form of a request target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `*` (OPTIONS)
    Asterisk,
    /// `host:port` (CONNECT)
    Authority,
}

/// A parsed request head.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Method.
    pub method: Method,
    /// The method's text.
    pub method_span: Span,
    /// Form of the target.
    pub form: TargetForm,
    /// The canonical path (begins with `/`; `*` for the asterisk form), canonicalised in place.
    pub path: Span,
    /// The query without `?`; `None` where there is no `?`.
    pub query: Option<Span>,
    /// Host without port, lower-cased in place, IPv6 brackets kept; empty only for HTTP/1.0
    /// requests that name none.
    pub host: Span,
    /// The authority as it goes upstream with `host_policy = "preserve"`: host and port.
    pub authority: Span,
    /// Version.
    pub version: Version,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// How the content ends.
    pub framing: Framing,
    /// Whether the client wants the connection kept (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// An Upgrade field is there; what it comes to, [`super::upgrade::asked`] says.
    pub upgrade: bool,
    /// Bytes of the head, the blank line included.
    pub len: usize,
}

impl RequestHead {
    /// Forgets the request, keeping memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

/// A parsed response head.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// Status code, 100 to 599.
    pub status: u16,
    /// Reason phrase.
    pub reason: Span,
    /// Version.
    pub version: Version,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// How the content ends (given the request's method).
    pub framing: Framing,
    /// Content-Length as given, also where there is no content (HEAD, 304).
    pub content_length: Option<u64>,
    /// Whether the target keeps the connection.
    pub keep_alive: bool,
    /// Bytes of the head, the blank line included.
    pub len: usize,
}

/// How often a TRACE or OPTIONS request may still be forwarded, where it says so (RFC 9110 section
/// 7.6.2; on other methods the field means nothing). What is no number counts as absent.
pub fn max_forwards(head: &RequestHead, buf: &[u8]) -> Option<u64> {
    if !matches!(head.method, Method::Trace | Method::Options) {
        return None;
    }
    let value = first(&head.fields, Known::MaxForwards)?.value.of(buf);
    let number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let add = |n: u64, digit: &u8| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    number.then(|| value.iter().fold(0, add))
}

/// The first field of a known name.
pub fn first(fields: &[Field], known: Known) -> Option<&Field> {
    fields.iter().find(|f| f.known == known)
}

/// The values of all fields of `name` (any case), in order.
pub fn values<'a, 'n>(
    fields: &'a [Field],
    buf: &'a [u8],
    name: &'n [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    fields
        .iter()
        .filter(move |f| f.name.of(buf).eq_ignore_ascii_case(name))
        .map(move |f| f.value.of(buf))
}
