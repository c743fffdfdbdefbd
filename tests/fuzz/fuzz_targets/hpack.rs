//! Field blocks of HTTP/2: any bytes are decoded within bounds or refused; what was decoded, encoded again
//! with a table of any size, is decoded to the same; what is taken for a head has host and path, and of
//! its lines none is longer than what was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::h1::Asked;
use tollgate::http::h2::heads::{Wrong, decode, encode};
use tollgate::http::h2::hpack::{Decoder, Encoder, TABLE_SIZE};
use tollgate::http::{Method, RequestHead, ResponseHead};

const BOUNDS: HttpBounds = HttpBounds {
    max_head: 4096,
    max_fields: 32,
    max_uri: 1024,
    max_chunk_extension: 16,
    encoded_slash: EncodedSlash::Keep,
    underscores_in_headers: true,
};
const MOST: usize = 32 * 1024;

fuzz_target!(|data: &[u8]| {
    tables(data);
    heads(data);
});

/// Pieces of the data, each of which says how long it is.
fn blocks(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (len, rest) = data.split_first()?;
        let (block, behind) = rest.split_at(rest.len().min(usize::from(*len)));
        data = behind;
        Some((*len, block))
    })
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut fields, mut size) = (Vec::new(), 0);
    let done = decoder.decode(block, MOST, |name, value, _| {
        size += name.len() + value.len() + 32;
        fields.push((name.to_ascii_lowercase(), value.to_vec()));
    });
    assert!(size <= MOST);
    done.is_ok().then_some(fields)
}

fn tables(data: &[u8]) {
    let (mut decoder, mut other) = (Decoder::new(TABLE_SIZE), Decoder::new(TABLE_SIZE));
    let mut encoder = Encoder::new();
    for (size, block) in blocks(data) {
        let Some(fields) = decoded(&mut decoder, block) else { return };
        if size % 8 == 0 {
            encoder.set_max_table(usize::from(size) * 32);
        }
        let mut out = Vec::new();
        encoder.begin(&mut out);
        fields.iter().for_each(|(name, value)| encoder.field(name, value, &mut out));
        assert_eq!(decoded(&mut other, &out), Some(fields));
    }
}

/// The connection goes on.
fn goes_on<T>(taken: &Result<T, Wrong>) -> bool {
    matches!(taken, Ok(_) | Err(Wrong::Bad(_) | Wrong::Malformed))
}

fn heads(data: &[u8]) {
    let mut decoder = Decoder::new(TABLE_SIZE);
    let mut encoder = Encoder::new();
    for (kind, block) in blocks(data) {
        let mut lines = Vec::new();
        let on = match kind % 3 {
            0 => request(&mut decoder, &mut encoder, block, kind & 4 != 0),
            1 => answer(&mut decoder, &mut encoder, block, kind & 4 != 0),
            _ => goes_on(&decode::trailers(&mut decoder, block, BOUNDS.max_head, &mut lines)),
        };
        if !on {
            return;
        }
    }
}

fn request(decoder: &mut Decoder, encoder: &mut Encoder, block: &[u8], ended: bool) -> bool {
    let (mut buf, mut head) = (Vec::new(), RequestHead::default());
    let taken = decode::request(decoder, block, ended, [0; 16], &BOUNDS, &mut buf, &mut head);
    if taken.is_ok() {
        assert!(head.len == buf.len() && buf.len() <= BOUNDS.max_head);
        assert!(!head.host.of(&buf).is_empty() && head.fields.len() <= BOUNDS.max_fields);
        let path = head.path.of(&buf);
        assert!(path.starts_with(b"/") || path == b"*" || head.method == Method::Connect);
        for field in &head.fields {
            let (name, value) = (field.name.of(&buf), field.value.of(&buf));
            assert!(!name.is_empty() && !name.iter().any(|b| b":\r\n ".contains(b)));
            assert!(!value.iter().any(|b| b"\r\n\0".contains(b)));
        }
        let mut out = Vec::new();
        let _ = encode::request(&buf, ended, None, encoder, &mut out);
    }
    goes_on(&taken)
}

fn answer(decoder: &mut Decoder, encoder: &mut Encoder, block: &[u8], ended: bool) -> bool {
    let (mut lines, mut head) = (Vec::new(), ResponseHead::default());
    let arrived = decode::answer(decoder, block, BOUNDS.max_head, &mut lines);
    if let Ok(arrived) = arrived {
        let mut out = Vec::new();
        assert_eq!(encode::response(&lines, encoder, &mut out), Ok(()));
        let to = Asked::from(Method::Get);
        if decode::response(ended, BOUNDS.max_head, to, None, &mut lines, &mut head).is_ok() {
            assert!(head.status == arrived.status && head.len == lines.len());
            assert!(arrived.length.is_none() || head.content_length == arrived.length);
        }
    }
    goes_on(&arrived)
}
