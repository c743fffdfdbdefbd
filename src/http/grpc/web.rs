//! gRPC-Web, told as gRPC and back ("PROTOCOL-WEB" of the gRPC project). Requests have the same
//! frames in both; an answer's trailers, which browsers do not show, become its last frame. The text
//! form is the same in base64: a text, or several behind one another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::Bad;
use crate::http::head::Field;

/// The flag of the frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// A message's content, told in the other form a piece at a time.
pub struct Translation {
    way: Way,
    /// Bytes that it has become.
    told: u64,
}

enum Way {
    /// A request out of its text.
    FromText(Groups),
    /// An answer with its trailers in it.
    Answer { text: bool },
}

impl Translation {
    /// Of a request that comes in base64.
    pub fn from_text() -> Self {
        Self { way: Way::FromText(Groups::default()), told: 0 }
    }

    /// Of an answer. `text`: it goes out in base64.
    pub fn of_answer(text: bool) -> Self {
        Self { way: Way::Answer { text }, told: 0 }
    }

    /// Bytes that the content has become so far.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// What a piece of the content becomes. Each goes out whole: no message waits for another.
    ///
    /// # Errors
    /// It is not base64.
    pub fn piece(&mut self, piece: &[u8]) -> Result<Vec<u8>, Bad> {
        let mut out = Vec::new();
        match &mut self.way {
            Way::FromText(groups) => groups.take(piece, &mut out)?,
            Way::Answer { text } => append(*text, piece, &mut out),
        }
        self.told += out.len() as u64;
        Ok(out)
    }

    /// What follows the last piece.
    ///
    /// # Errors
    /// The base64 is cut off.
    pub fn end(&mut self, trailers: &[Field], buf: &[u8]) -> Result<Vec<u8>, Bad> {
        let mut out = Vec::new();
        match &self.way {
            Way::FromText(groups) => groups.end()?,
            Way::Answer { text } if !trailers.is_empty() => {
                append(*text, &frame(trailers, buf), &mut out);
            }
            Way::Answer { .. } => {}
        }
        self.told += out.len() as u64;
        Ok(out)
    }
}

fn append(text: bool, bytes: &[u8], out: &mut Vec<u8>) {
    match text {
        true => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        false => out.extend_from_slice(bytes),
    }
}

/// Trailers as a frame: names in lower case, a line each. They are bounded far below 4 GiB.
fn frame(trailers: &[Field], buf: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for field in trailers {
        lines.extend(field.name.of(buf).to_ascii_lowercase());
        for part in [b": ", field.value.of(buf), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    let mut frame = vec![TRAILERS];
    frame.extend_from_slice(&(lines.len() as u32).to_be_bytes());
    frame.append(&mut lines);
    frame
}

/// Base64 that comes in pieces: groups of four, any of which may end a text by its padding.
#[derive(Default)]
struct Groups {
    cut: [u8; 4],
    have: usize,
}

impl Groups {
    fn take(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
        if self.have > 0 {
            let n = (4 - self.have).min(piece.len());
            self.cut[self.have..self.have + n].copy_from_slice(&piece[..n]);
            self.have += n;
            piece = &piece[n..];
            if self.have < 4 {
                return Ok(());
            }
            decode(&self.cut, out)?;
        }
        let (mut groups, rest) = piece.split_at(piece.len() / 4 * 4);
        while !groups.is_empty() {
            let padded = memchr::memchr(b'=', groups).map(|at| (at / 4 + 1) * 4);
            let (text, others) = groups.split_at(padded.unwrap_or(groups.len()));
            decode(text, out)?;
            groups = others;
        }
        self.cut[..rest.len()].copy_from_slice(rest);
        self.have = rest.len();
        Ok(())
    }

    fn end(&self) -> Result<(), Bad> {
        if self.have == 0 { Ok(()) } else { Err(Bad::BadBase64) }
    }
}

fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
    STANDARD.decode_vec(text, out).map_err(|_| Bad::BadBase64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Known, Span};
    use proptest::prelude::*;

    fn decoded(text: &[u8], step: usize) -> Result<Vec<u8>, Bad> {
        let mut translation = Translation::from_text();
        let mut out = Vec::new();
        for piece in text.chunks(step) {
            out.extend(translation.piece(piece)?);
        }
        out.extend(translation.end(&[], &[])?);
        assert_eq!(translation.told(), out.len() as u64);
        Ok(out)
    }

    #[test]
    fn texts_may_stand_behind_one_another() {
        for step in 1..20 {
            assert_eq!(decoded(b"YQ==YmM=ZGVm", step), Ok(b"abcdef".to_vec()));
            assert_eq!(decoded(b"", step), Ok(vec![]));
        }
    }

    #[test]
    fn bad_base64() {
        for text in
            ["YQ", "YQ=", "Y===", "====", "YQ==Y", "Y!==", "YWJj\r\n", "YQ=a", "YR==", "-_-_"]
        {
            for step in 1..10 {
                assert_eq!(decoded(text.as_bytes(), step), Err(Bad::BadBase64), "{text}");
            }
        }
    }

    fn trailers() -> ([Field; 2], &'static [u8]) {
        let field = |name: (usize, usize), value: (usize, usize)| Field {
            name: Span::new(name.0, name.1),
            value: Span::new(value.0, value.1),
            known: Known::Other,
            hop: false,
        };
        ([field((0, 11), (13, 14)), field((16, 17), (19, 20))], b"Grpc-Status: 0\r\nx: y\r\n")
    }

    #[test]
    fn trailers_are_the_last_frame() {
        let (fields, buf) = trailers();
        let mut translation = Translation::of_answer(false);
        assert_eq!(translation.piece(b"\0\0\0\0\x01m"), Ok(b"\0\0\0\0\x01m".to_vec()));
        let end = translation.end(&fields, buf);
        assert_eq!(end, Ok(b"\x80\0\0\0\x16grpc-status: 0\r\nx: y\r\n".to_vec()));
        assert_eq!(Translation::of_answer(false).end(&[], &[]), Ok(vec![]));
    }

    #[test]
    fn each_piece_of_an_answer_is_a_text() {
        let mut translation = Translation::of_answer(true);
        assert_eq!(translation.piece(b"a"), Ok(b"YQ==".to_vec()));
        assert_eq!(translation.piece(b""), Ok(vec![]));
        let (fields, buf) = trailers();
        let end = translation.end(&fields, buf).expect("a frame");
        assert!(STANDARD.decode(end).is_ok_and(|frame| frame[0] == TRAILERS));
    }

    proptest! {
        #[test]
        fn text_is_read_however_it_is_cut(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            step in 1usize..50,
        ) {
            let text: String = texts.iter().map(|bytes| STANDARD.encode(bytes)).collect();
            prop_assert_eq!(decoded(text.as_bytes(), step), Ok(texts.concat()));
        }
    }
}
