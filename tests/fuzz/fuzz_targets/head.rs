//! Request heads: whole and byte by byte alike, and stable once written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::h1::{Scan, encode, parse_request};
use tollgate::http::{Bad, RequestHead, Span, TargetForm, Version};

const BOUNDS: HttpBounds = HttpBounds {
    max_head: 2048,
    max_fields: 32,
    max_uri: 512,
    max_chunk_extension: 64,
    encoded_slash: EncodedSlash::Keep,
    underscores_in_headers: true,
};

fn parse(buf: &mut [u8], scan: &mut Scan) -> Option<Result<RequestHead, Bad>> {
    let mut head = RequestHead::default();
    match parse_request(buf, scan, &BOUNDS, &mut head) {
        Ok(true) => Some(Ok(head)),
        Ok(false) => None,
        Err(bad) => Some(Err(bad)),
    }
}

fn byte_by_byte(text: &[u8]) -> Option<(Result<RequestHead, Bad>, Vec<u8>)> {
    let mut scan = Scan::default();
    (0..=text.len()).find_map(|len| {
        let mut buf = text[..len].to_vec();
        parse(&mut buf, &mut scan).map(|result| (result, buf))
    })
}

fn write(head: &RequestHead, buf: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let query = head.query.map(|q| q.of(buf));
    encode::request_line(&mut out, head.method_span.of(buf), head.path.of(buf), query);
    for field in &head.fields {
        encode::field(&mut out, field.name.of(buf), field.value.of(buf));
    }
    out.extend_from_slice(encode::END);
    out
}

fuzz_target!(|data: &[u8]| {
    // Ends any head, so that a trickle comes to a verdict too.
    let text = [data, b"\r\n\r\n"].concat();
    let mut buf = text.clone();
    let whole = parse(&mut buf, &mut Scan::default());
    let trickled = byte_by_byte(&text);
    let (Some(Ok(head)), Some((Ok(slow), slow_buf))) = (&whole, &trickled) else {
        assert_eq!(whole.map(|r| r.map(|_| ())), trickled.map(|(r, _)| r.map(|_| ())));
        return;
    };
    let said = |head: &RequestHead, buf: &[u8]| {
        let text = |span: Span| span.of(&buf[..head.len]).to_vec();
        (text(head.method_span), text(head.path), head.query.map(text), text(head.host))
    };
    assert_eq!(said(head, &buf), said(slow, slow_buf));
    assert_eq!(head.fields, slow.fields);
    assert_eq!((head.framing, head.len), (slow.framing, slow.len));

    if head.form != TargetForm::Origin || head.version == Version::Http10 {
        return;
    }
    let again = write(head, &buf);
    let mut copy = again.clone();
    match parse(&mut copy, &mut Scan::default()) {
        // A space after each colon may be a byte too many.
        Some(Err(Bad::HeadTooLarge)) => {}
        Some(Ok(second)) => {
            assert_eq!(said(&second, &copy), said(head, &buf));
            assert_eq!(second.framing, head.framing);
            assert_eq!(copy, again);
        }
        other => panic!("accepted, then {:?}", other.map(|r| r.map(|_| ()))),
    }
});
