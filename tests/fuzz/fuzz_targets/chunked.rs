//! Chunked content: any cut gives the same payload, trailers and verdict.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::http::h1::BodyReader;
use tollgate::http::{Bad, Framing};

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// Decodes in reads of `step` bytes: payload, bytes consumed, whether done, trailers.
fn decode(text: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool, Lines), Bad> {
    let mut reader = BodyReader::new(Framing::Chunked, 64);
    let (mut payload, mut at) = (Vec::new(), 0);
    while at < text.len() && !reader.done() {
        let mut buf = text[at..text.len().min(at + step)].to_vec();
        let decoded = reader.decode(&mut buf)?;
        assert!(decoded.data <= decoded.consumed && decoded.consumed <= buf.len());
        assert!(decoded.done || decoded.consumed == buf.len());
        payload.extend_from_slice(&buf[..decoded.data]);
        at += decoded.consumed;
    }
    let (fields, buf) = reader.trailers();
    let lines = fields.iter().map(|f| (f.name.of(buf).to_vec(), f.value.of(buf).to_vec()));
    Ok((payload, at, reader.done(), lines.collect()))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let whole = decode(text, text.len().max(1));
    assert_eq!(decode(text, 1), whole);
    assert_eq!(decode(text, usize::from(*first).max(1)), whole);
});
