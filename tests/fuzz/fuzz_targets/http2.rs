//! HTTP/2: the account of frames is the same for any cut and stops before the same frame; a request's
//! fields give a head, or a refusal, and what is emitted of it is read the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::{Method, RequestHead};
use tollgate::http::h2::decode;
use tollgate::http::h2::frames::Frames;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else { return };
    account(usize::from(cut) + 1, bytes);
    fields(bytes);
});

fn account(step: usize, bytes: &[u8]) {
    let mut whole = Frames::new(24, 0);
    let heeded = whole.take(bytes, 0, 0);
    assert!(heeded <= bytes.len());
    let mut cut = Frames::new(24, 0);
    let mut taken = 0;
    for piece in bytes.chunks(step) {
        let n = cut.take(piece, 0, 0);
        taken += n;
        if n < piece.len() {
            break;
        }
    }
    // A frame's header that was cut may have been let through in part.
    assert!(taken >= heeded && taken < heeded + 9, "{taken} and {heeded}");
    if heeded == bytes.len() {
        assert_eq!(whole.is_within(), cut.is_within());
    }
}

fn fields(bytes: &[u8]) {
    let mut lines = bytes.split(|&b| b == b'\n');
    let mut request = http::Request::builder().method(lines.next().unwrap_or_default());
    request = request.uri(lines.next().unwrap_or_default());
    for line in lines {
        let at = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        request = request.header(name, value.get(1..).unwrap_or_default());
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let bounds = HttpBounds {
        max_head: 4096,
        max_fields: 32,
        max_uri: 1024,
        max_chunk_extension: 16,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: true,
    };
    for ended in [true, false] {
        let (mut buf, mut head) = (Vec::new(), RequestHead::default());
        if decode::request(&parts, ended, [0; 16], &bounds, &mut buf, &mut head).is_ok() {
            assert!(head.len == buf.len() && !head.host.of(&buf).is_empty());
            let path = head.path.of(&buf);
            assert!(path.starts_with(b"/") || path == b"*" || head.method == Method::Connect);
        }
    }
}
