//! What HTTP/2 must refuse so that nothing of it reaches a target of HTTP/1.1 in another reading
//! (RFC 9113 sections 8.2, 8.3 and 10.3): each rule by name, frame by frame. The connection lives on
//! for its other streams.

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PROTOCOL_ERROR,
    RST_STREAM, block,
};
use crate::harness::{Driver, Gateway, Keys, Origin, Version, Versions};

/// RFC 9113 section 7.
const COMPRESSION_ERROR: u32 = 9;

type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

/// A request without fault.
const GOOD: [(&[u8], &[u8]); 4] =
    [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")];

/// The good one with further fields.
fn good_with<'a>(more: Fields<'a>) -> Vec<(&'a [u8], &'a [u8])> {
    GOOD.iter().chain(more).copied().collect()
}

/// The good one with another value of a pseudo-header field.
fn good_but<'a>(name: &[u8], value: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let change = |(n, v): &(&'a [u8], &'a [u8])| if *n == name { (*n, value) } else { (*n, *v) };
    GOOD.iter().map(change).collect()
}

/// The good one without one of its pseudo-header fields.
fn good_without(name: &[u8]) -> Vec<(&'static [u8], &'static [u8])> {
    GOOD.iter().filter(|(n, _)| *n != name).copied().collect()
}

struct Stage {
    origin: Origin,
    gateway: Gateway,
}

fn stage(driver: Driver) -> Stage {
    let origin = Origin::new(Version::Http1, |turn| {
        // A content that breaks off is what some tests want.
        if turn.content().is_ok() {
            turn.answer(200, &[], "ok");
        }
    });
    let versions = Versions { down: Version::Http2, up: Version::Http1 };
    let gateway = Gateway::start(driver, versions.config(&[&origin.address], Keys::default()));
    Stage { origin, gateway }
}

/// How a request was refused.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// By an answer.
    Answer,
    /// By a reset of its stream.
    Stream(u32),
    /// By the end of its connection.
    Connection(u32),
}

impl Refused {
    /// Whether that is what a malformed request leads to (RFC 9113 section 8.1.1). A name or value that
    /// is none at all ends the connection, which section 5.4.2 leaves open.
    fn by_rule(&self) -> bool {
        matches!(
            self,
            Self::Answer | Self::Stream(PROTOCOL_ERROR) | Self::Connection(PROTOCOL_ERROR)
        )
    }
}

/// Waits for what becomes of stream 1. The gateway's only other answer would be the target's.
#[track_caller]
fn fate(frames: &mut Frames) -> Refused {
    loop {
        match frames.next() {
            Ok(frame) if frame.kind == RST_STREAM && frame.stream == 1 => {
                return Refused::Stream(frame.code());
            }
            Ok(frame) if frame.kind == GOAWAY => return Refused::Connection(frame.code()),
            Ok(frame) if frame.kind == HEADERS && frame.stream == 1 => return Refused::Answer,
            Ok(_) => {}
            Err(broken) => panic!("neither an answer nor a reset: {broken:?}"),
        }
    }
}

impl Stage {
    /// Sends these frames of stream 1, which must lead nowhere, and then a good request on the same
    /// connection, which must be served where that goes on.
    #[track_caller]
    fn refuses(&self, sent: &[Frame]) -> Refused {
        let before = self.origin.requests().len();
        let mut frames = Frames::connect(self.gateway.web());
        sent.iter().for_each(|frame| frames.send(frame));
        let refused = fate(&mut frames);
        assert_eq!(self.origin.requests().len(), before, "the target saw it");
        if !matches!(refused, Refused::Connection(_)) {
            frames.send(&Frame::headers(3, END_STREAM, &GOOD));
            let served = frames.until("an answer", |f| f.kind == HEADERS && f.stream == 3);
            assert_eq!(served.payload[0], 0x88, ":status 200");
            assert_eq!(self.origin.requests().len(), before + 1, "only the good one");
        }
        refused
    }

    /// The same of a head alone.
    #[track_caller]
    fn refuses_head(&self, fields: Fields<'_>) {
        for flags in [END_STREAM, 0] {
            let shown = fields.iter().map(|(n, v)| (n.escape_ascii(), v.escape_ascii()));
            let shown: Vec<_> = shown.map(|(n, v)| format!("{n}: {v}")).collect();
            let refused = self.refuses(&[Frame::headers(1, flags, fields)]);
            assert!(refused.by_rule(), "{refused:?}: {shown:?}");
        }
    }

    /// A head that ends its stream.
    #[track_caller]
    fn refuses_ended(&self, fields: Fields<'_>) {
        let refused = self.refuses(&[Frame::headers(1, END_STREAM, fields)]);
        assert!(
            matches!(refused, Refused::Answer | Refused::Stream(PROTOCOL_ERROR)),
            "{refused:?}"
        );
    }

    /// A head that is announced as complete and then contradicted never makes a whole request.
    #[track_caller]
    fn cuts(&self, sent: &[Frame]) {
        let mut frames = Frames::connect(self.gateway.web());
        sent.iter().for_each(|frame| frames.send(frame));
        let refused = fate(&mut frames);
        assert_ne!(refused, Refused::Connection(0), "refused");
        frames.send(&Frame::headers(3, END_STREAM, &good_but(b":path", b"/good")));
        if !matches!(refused, Refused::Connection(_)) {
            frames.until("an answer", |f| f.kind == HEADERS && f.stream == 3);
        }
        for seen in self.origin.requests() {
            // The target may have seen the head; its content never ended.
            assert!(seen.target() == "/good" || seen.body.is_empty(), "{seen:?}");
        }
    }
}

both_drivers!(
    content_length_above_the_content,
    content_length_below_the_content,
    content_length_with_no_content,
    content_length_twice,
    content_length_that_is_no_number,
    connection,
    keep_alive,
    proxy_connection,
    transfer_encoding,
    upgrade,
    te_other_than_trailers,
    line_breaks_in_a_value,
    nul_in_a_value,
    blanks_around_a_value,
    controls_and_blanks_in_a_name,
    upper_case_in_a_name,
    a_colon_in_a_name,
    an_empty_name,
    blanks_and_controls_in_the_method,
    blanks_and_controls_in_the_path,
    blanks_and_controls_in_the_authority,
    blanks_and_controls_in_the_scheme,
    a_path_that_is_none,
    a_fragment_goes_no_further,
    userinfo_in_the_authority,
    host_against_authority,
    host_twice,
    no_host_at_all,
    repeated_pseudo_headers,
    unknown_pseudo_headers,
    pseudo_headers_of_an_answer,
    pseudo_headers_behind_fields,
    missing_pseudo_headers,
    connect_has_no_way,
    pseudo_headers_in_trailers,
    connection_specific_fields_in_trailers,
    line_breaks_in_trailers,
    content_behind_the_end,
    a_head_in_pieces_is_one,
    frames_between_the_pieces_of_a_head,
    a_block_that_does_not_decode,
    a_stream_of_an_even_number,
    cookies_in_crumbs_are_one,
);

fn lying(driver: Driver, length: &[u8], content: &[u8]) {
    let stage = stage(driver);
    let length: Fields<'_> = &[(b"content-length", length)];
    let fields = good_with(length);
    let head = Frame::headers(1, 0, &fields);
    stage.cuts(&[head, Frame::new(DATA, END_STREAM, 1, content)]);
}

fn content_length_above_the_content(driver: Driver) {
    lying(driver, b"5", b"1234");
}

fn content_length_below_the_content(driver: Driver) {
    lying(driver, b"3", b"1234GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
}

fn content_length_with_no_content(driver: Driver) {
    stage(driver).refuses_ended(&good_with(&[(b"content-length", b"5")]));
}

fn content_length_twice(driver: Driver) {
    let stage = stage(driver);
    for second in [b"1", b"2"] {
        stage.refuses_head(&good_with(&[(b"content-length", b"1"), (b"content-length", second)]));
    }
}

fn content_length_that_is_no_number(driver: Driver) {
    let stage = stage(driver);
    for value in [&b"+1"[..], b"1, 1", b"0x1", b"-1", b"", b"1 ", b"99999999999999999999999"] {
        stage.refuses_head(&good_with(&[(b"content-length", value)]));
    }
}

fn refuses_field(driver: Driver, name: &[u8], values: &[&[u8]]) {
    let stage = stage(driver);
    for value in values {
        stage.refuses_head(&good_with(&[(name, value)]));
    }
}

fn connection(driver: Driver) {
    refuses_field(driver, b"connection", &[b"close", b"keep-alive", b"x"]);
}

fn keep_alive(driver: Driver) {
    refuses_field(driver, b"keep-alive", &[b"timeout=5"]);
}

fn proxy_connection(driver: Driver) {
    refuses_field(driver, b"proxy-connection", &[b"keep-alive"]);
}

fn transfer_encoding(driver: Driver) {
    refuses_field(driver, b"transfer-encoding", &[b"chunked", b"identity", b"x"]);
}

fn upgrade(driver: Driver) {
    refuses_field(driver, b"upgrade", &[b"websocket", b"h2c"]);
}

fn te_other_than_trailers(driver: Driver) {
    refuses_field(driver, b"te", &[b"gzip", b"trailers, gzip", b"chunked"]);
}

const SMUGGLED: &[u8] = b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn line_breaks_in_a_value(driver: Driver) {
    refuses_field(driver, b"x", &[SMUGGLED, b"a\nb", b"a\rb", b"\r", b"\n", b"a\r\n b"]);
}

fn nul_in_a_value(driver: Driver) {
    refuses_field(driver, b"x", &[b"a\0b", b"\0"]);
}

fn blanks_around_a_value(driver: Driver) {
    refuses_field(driver, b"x", &[b" a", b"a ", b"\ta", b"a \t", b" "]);
}

fn refuses_names(driver: Driver, names: &[&[u8]]) {
    let stage = stage(driver);
    for name in names {
        stage.refuses_head(&good_with(&[(name, b"v")]));
    }
}

fn controls_and_blanks_in_a_name(driver: Driver) {
    refuses_names(driver, &[b"a b", b"a\r\nb", b"a\0", b"a\n", b" a", b"a ", b"a\x7f", b"\xe4"]);
}

fn upper_case_in_a_name(driver: Driver) {
    refuses_names(driver, &[b"X", b"content-Length", b"Transfer-Encoding"]);
}

fn a_colon_in_a_name(driver: Driver) {
    refuses_names(driver, &[b"x:y", b"host: b\r\nx", b"transfer-encoding: chunked"]);
}

fn an_empty_name(driver: Driver) {
    refuses_names(driver, &[b""]);
}

fn refuses_pseudo(driver: Driver, name: &[u8], values: &[&[u8]]) {
    let stage = stage(driver);
    for value in values {
        stage.refuses_head(&good_but(name, value));
    }
}

fn blanks_and_controls_in_the_method(driver: Driver) {
    let smuggled = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
    refuses_pseudo(driver, b":method", &[b"GET /x", b"GET\r\n", b"GET\0", b"", b" GET", smuggled]);
}

fn blanks_and_controls_in_the_path(driver: Driver) {
    let smuggled = b"/ HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled";
    let values: [&[u8]; 8] =
        [b"/a b", b"/a\r\nb", b"/a\nb", b"/a\0", b"/a\tb", b" /", b"/ HTTP/1.1", smuggled];
    refuses_pseudo(driver, b":path", &values);
}

fn blanks_and_controls_in_the_authority(driver: Driver) {
    let values: [&[u8]; 7] = [b"a b", b"a\r\nx: y", b"a\0", b" a", b"a/b", b"a\\b", b"a:80:81"];
    refuses_pseudo(driver, b":authority", &values);
}

fn blanks_and_controls_in_the_scheme(driver: Driver) {
    refuses_pseudo(driver, b":scheme", &[b"ht tp", b"http\r\n", b"", b"ftp", b"http://b"]);
}

fn a_path_that_is_none(driver: Driver) {
    refuses_pseudo(driver, b":path", &[b"", b"a", b"http://b/", b"?a", b"/%zz", b"/%00"]);
}

fn a_fragment_goes_no_further(driver: Driver) {
    let stage = stage(driver);
    let mut frames = Frames::connect(stage.gateway.web());
    frames.send(&Frame::headers(1, END_STREAM, &good_but(b":path", b"/a#b")));
    frames.until("an answer", |f| f.kind == HEADERS && f.stream == 1);
    assert!(stage.origin.requests().iter().all(|seen| seen.target() == "/a"));
}

fn userinfo_in_the_authority(driver: Driver) {
    refuses_pseudo(driver, b":authority", &[b"u@a.example", b"u:p@a.example"]);
}

fn host_against_authority(driver: Driver) {
    refuses_field(driver, b"host", &[b"b.example", b"a.example:81", b"", b"a.example, b.example"]);
}

fn host_twice(driver: Driver) {
    let stage = stage(driver);
    for second in [&b"a.example"[..], b"b.example"] {
        stage.refuses_head(&good_with(&[(b"host", b"a.example"), (b"host", second)]));
    }
}

fn no_host_at_all(driver: Driver) {
    stage(driver).refuses_head(&good_without(b":authority"));
}

fn repeated_pseudo_headers(driver: Driver) {
    let stage = stage(driver);
    for again in GOOD {
        let fields: Vec<_> = GOOD.iter().chain([&again]).copied().collect();
        stage.refuses_head(&fields);
    }
}

fn unknown_pseudo_headers(driver: Driver) {
    let stage = stage(driver);
    for name in [&b":x"[..], b":protocol", b":host", b":"] {
        let fields: Vec<_> = GOOD.iter().chain([&(name, &b"v"[..])]).copied().collect();
        stage.refuses_head(&fields);
    }
}

fn pseudo_headers_of_an_answer(driver: Driver) {
    stage(driver).refuses_head(&good_with(&[(b":status", b"200")]));
}

fn pseudo_headers_behind_fields(driver: Driver) {
    let stage = stage(driver);
    for late in GOOD {
        let mut fields = good_without(late.0);
        fields.extend([(&b"x"[..], &b"y"[..]), late]);
        stage.refuses_head(&fields);
    }
}

fn missing_pseudo_headers(driver: Driver) {
    let stage = stage(driver);
    for name in [&b":method"[..], b":path", b":scheme"] {
        stage.refuses_head(&good_without(name));
    }
}

fn connect_has_no_way(driver: Driver) {
    let stage = stage(driver);
    stage.refuses_head(&[(b":method", b"CONNECT"), (b":authority", b"a.example:443")]);
    stage.refuses_head(&good_but(b":method", b"CONNECT"));
    stage.refuses_head(&good_with(&[(b":protocol", b"websocket")]));
}

fn refuses_trailers(driver: Driver, trailers: &[Fields<'_>]) {
    let stage = stage(driver);
    for fields in trailers {
        let head = Frame::headers(1, 0, &GOOD);
        let some = Frame::new(DATA, 0, 1, *b"some");
        stage.cuts(&[head, some, Frame::headers(1, END_STREAM, fields)]);
    }
}

fn pseudo_headers_in_trailers(driver: Driver) {
    let stage = stage(driver);
    let plain = |name: &[u8]| block(&[(name, b"x"), (b"y", b"z")]);
    let listed = vec![0x83];
    for fields in [plain(b":path"), plain(b":method"), plain(b":status"), plain(b":z"), listed] {
        let mut frames = Frames::connect(stage.gateway.web());
        frames.send(&Frame::headers(1, 0, &GOOD));
        frames.send(&Frame::new(DATA, 0, 1, *b"some"));
        frames.send(&Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, fields));
        assert_eq!(fate(&mut frames), Refused::Connection(PROTOCOL_ERROR));
        let seen = stage.origin.requests();
        assert!(seen.iter().all(|seen| seen.body.is_empty()), "{seen:?}");
    }
}

fn connection_specific_fields_in_trailers(driver: Driver) {
    let names: [Fields<'_>; 2] = [&[(b"transfer-encoding", b"chunked")], &[(b"connection", b"x")]];
    refuses_trailers(driver, &names);
}

fn line_breaks_in_trailers(driver: Driver) {
    refuses_trailers(driver, &[&[(b"x", SMUGGLED)], &[(b"x\r\ny", b"z")], &[(b"x", b"\0")]]);
}

fn content_behind_the_end(driver: Driver) {
    let stage = stage(driver);
    let mut frames = Frames::connect(stage.gateway.web());
    frames.send(&Frame::headers(1, END_STREAM, &GOOD));
    frames.send(&Frame::new(DATA, END_STREAM, 1, *b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
    // The request was whole before; what came behind it is refused.
    frames.until("a refusal", |f| f.kind == RST_STREAM || f.kind == GOAWAY);
    assert!(stage.origin.requests().iter().all(|seen| seen.target() == "/"));
}

fn a_head_in_pieces_is_one(driver: Driver) {
    let stage = stage(driver);
    let whole = block(&good_with(&[(b"x", b"y")]));
    let mut frames = Frames::connect(stage.gateway.web());
    frames.send(&Frame::new(HEADERS, END_STREAM, 1, &whole[..10]));
    frames.send(&Frame::new(CONTINUATION, 0, 1, &whole[10..20]));
    frames.send(&Frame::new(CONTINUATION, END_HEADERS, 1, &whole[20..]));
    frames.until("an answer", |f| f.kind == HEADERS && f.stream == 1);
    assert_eq!(stage.origin.only_request().value("x"), Some("y"));
}

fn frames_between_the_pieces_of_a_head(driver: Driver) {
    let stage = stage(driver);
    let whole = block(&GOOD);
    let refused = stage.refuses(&[
        Frame::new(HEADERS, END_STREAM, 1, &whole[..10]),
        Frame::headers(3, END_STREAM, &GOOD),
        Frame::new(CONTINUATION, END_HEADERS, 1, &whole[10..]),
    ]);
    assert_eq!(refused, Refused::Connection(PROTOCOL_ERROR));
}

fn a_block_that_does_not_decode(driver: Driver) {
    let stage = stage(driver);
    let refused =
        stage.refuses(&[Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, [0xff, 0xff, 0xff])]);
    // The tables of both ends no longer agree.
    assert_eq!(refused, Refused::Connection(COMPRESSION_ERROR));
}

fn a_stream_of_an_even_number(driver: Driver) {
    let stage = stage(driver);
    let refused = stage.refuses(&[Frame::headers(2, END_STREAM, &GOOD)]);
    assert_eq!(refused, Refused::Connection(PROTOCOL_ERROR));
}

fn cookies_in_crumbs_are_one(driver: Driver) {
    let stage = stage(driver);
    let mut frames = Frames::connect(stage.gateway.web());
    let fields = good_with(&[(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")]);
    frames.send(&Frame::headers(1, END_STREAM, &fields));
    frames.until("an answer", |f| f.kind == HEADERS && f.stream == 1);
    assert_eq!(stage.origin.only_request().head.values("cookie"), ["a=1; b=2"]);
}
