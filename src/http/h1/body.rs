//! Content as it comes in: by length, chunked (RFC 9112 section 7.1), or to the end.

use super::Bad;
use super::trailers::Trailers;
use crate::http::bytes::{hex, is_value};
use crate::http::head::{Field, Framing};
use crate::limits::MAX_CHUNK_EXTENSION_EXCESS;

/// What one call to [`BodyReader::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of payload, now at the front of the buffer.
    pub data: usize,
    /// Bytes of the buffer that are dealt with, payload included.
    pub consumed: usize,
    /// Whether the content is whole; what follows `consumed` is the next message.
    pub done: bool,
}

/// Reads one message's content, however it is cut into reads.
#[derive(Debug, Clone)]
pub struct BodyReader {
    state: State,
    /// Bytes left of the content or of the chunk; the size so far within a size line.
    left: u64,
    /// Bytes of extensions on this size line.
    extension: usize,
    /// Bytes of extensions not yet outweighed by payload.
    excess: usize,
    max_extension: usize,
    trailers: Option<Box<Trailers>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length,
    UntilClose,
    /// In a chunk size after that many digits.
    Size(u8),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of the trailer section, which is nearly always empty.
    TrailersStart,
    Trailers,
    LastLf,
    Done,
}

/// Digits of a chunk size: those of a 64-bit number, leading zeros counted.
const MAX_SIZE_DIGITS: u8 = 16;

impl BodyReader {
    /// A reader at the start of the content.
    pub fn new(framing: Framing, max_chunk_extension: usize) -> Self {
        let (state, left) = match framing {
            Framing::None | Framing::Length(0) => (State::Done, 0),
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::Size(0), 0),
            Framing::UntilClose => (State::UntilClose, 0),
        };
        let max_extension = max_chunk_extension;
        Self { state, left, extension: 0, excess: 0, max_extension, trailers: None }
    }

    /// A reader of content that comes without framing of its own, as in a stream of HTTP/2.
    pub fn streamed() -> Self {
        Self::new(Framing::UntilClose, 0)
    }

    /// Takes a whole trailer section that came apart from the content.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take_trailers(&mut self, section: &[u8]) -> Result<(), Bad> {
        let trailers = self.trailers.get_or_insert_default();
        for byte in section {
            trailers.push(*byte)?;
        }
        Ok(())
    }

    /// Takes content from the front of `buf` and moves its payload to the front.
    ///
    /// All of `buf` is consumed unless the content ends before; `buf[..data]` is payload.
    pub fn decode(&mut self, buf: &mut [u8]) -> Result<Decoded, Bad> {
        let (data, consumed) = match self.state {
            State::Done => (0, 0),
            State::UntilClose => (buf.len(), buf.len()),
            State::Length => {
                let taken = self.take(buf.len());
                if self.left == 0 {
                    self.state = State::Done;
                }
                (taken, taken)
            }
            _ => self.decode_chunked(buf)?,
        };
        Ok(Decoded { data, consumed, done: self.done() })
    }

    /// Whether the content is whole.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes known to be left where the length was given, 0 elsewhere.
    pub fn left(&self) -> u64 {
        if self.state == State::Length { self.left } else { 0 }
    }

    /// The trailer fields and the bytes they stand in; complete once [`Self::done`].
    ///
    /// Fields that must not be trailers (RFC 9110 section 6.5.1) are left out.
    pub fn trailers(&self) -> (&[Field], &[u8]) {
        self.trailers.as_ref().map_or((&[], &[]), |trailers| trailers.fields())
    }

    /// Leaves out trailers whose name is withheld.
    pub fn withhold(&mut self, withheld: impl Fn(&[u8]) -> bool) {
        if let Some(trailers) = &mut self.trailers {
            trailers.withhold(withheld);
        }
    }

    /// The peer will send no more: right after the content, or where that is how it ends.
    pub fn end_of_stream(&mut self) -> Result<(), Bad> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Bad::Truncated),
        }
    }

    fn take(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(available);
        self.left -= taken as u64;
        taken
    }

    fn decode_chunked(&mut self, buf: &mut [u8]) -> Result<(usize, usize), Bad> {
        let (mut read, mut write) = (0, 0);
        while read < buf.len() && self.state != State::Done {
            if self.state == State::Data {
                let taken = self.take(buf.len() - read);
                if read != write {
                    buf.copy_within(read..read + taken, write);
                }
                self.excess = self.excess.saturating_sub(taken);
                (read, write) = (read + taken, write + taken);
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(buf[read])?;
                read += 1;
            }
        }
        Ok((write, read))
    }

    /// Takes one byte that is not payload.
    fn step(&mut self, byte: u8) -> Result<State, Bad> {
        match (self.state, byte) {
            (State::Size(digits), byte) => self.step_size(digits, byte),
            (State::Extension, byte) => self.step_extension(byte),
            (State::SizeLf, b'\n') if self.left == 0 => Ok(State::TrailersStart),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataCr, b'\n') => Err(Bad::BareLf),
            (State::DataCr, _) => Err(Bad::BadChunkEnd),
            (State::DataLf, b'\n') => Ok(State::Size(0)),
            (State::TrailersStart, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::SizeLf | State::DataLf | State::LastLf, _) => Err(Bad::BareCr),
            (State::TrailersStart | State::Trailers, byte) => self.step_trailers(byte),
            (State::Length | State::UntilClose | State::Data | State::Done, _) => Ok(self.state),
        }
    }

    /// No white space is allowed around the size, though RFC 9112 has it before an extension:
    /// implementations differ in what they take for it.
    fn step_size(&mut self, digits: u8, byte: u8) -> Result<State, Bad> {
        if let Some(digit) = hex(byte) {
            let size = if digits == 0 { 0 } else { self.left };
            if digits == MAX_SIZE_DIGITS || size > (i64::MAX as u64) >> 4 {
                return Err(Bad::ChunkSizeOverflow);
            }
            self.left = size << 4 | u64::from(digit);
            return Ok(State::Size(digits + 1));
        }
        match byte {
            b'\n' => Err(Bad::BareLf),
            _ if digits == 0 => Err(Bad::BadChunkSize),
            b'\r' => Ok(State::SizeLf),
            b';' => {
                self.extension = 0;
                self.step_extension(byte)
            }
            _ => Err(Bad::BadChunkSize),
        }
    }

    /// Extensions are checked for bytes and length, and dropped: nobody uses their meaning.
    fn step_extension(&mut self, byte: u8) -> Result<State, Bad> {
        match byte {
            b'\r' => return Ok(State::SizeLf),
            b'\n' => return Err(Bad::BareLf),
            0 => return Err(Bad::NulByte),
            byte if !is_value(byte) => return Err(Bad::ControlByte),
            _ => {}
        }
        self.extension += 1;
        self.excess += 1;
        if self.extension > self.max_extension || self.excess > MAX_CHUNK_EXTENSION_EXCESS {
            return Err(Bad::ChunkExtensionTooLong);
        }
        Ok(State::Extension)
    }

    fn step_trailers(&mut self, byte: u8) -> Result<State, Bad> {
        let ended = self.trailers.get_or_insert_default().push(byte)?;
        Ok(if ended { State::Done } else { State::Trailers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_EXTENSION: usize = 32;

    /// Decodes in pieces of `step` bytes: payload, and what is left over.
    fn decode(reader: &mut BodyReader, text: &[u8], step: usize) -> Result<(Vec<u8>, usize), Bad> {
        let (mut payload, mut consumed) = (Vec::new(), 0);
        while consumed < text.len() && !reader.done() {
            let mut piece = text[consumed..text.len().min(consumed + step)].to_vec();
            let decoded = reader.decode(&mut piece)?;
            assert!(decoded.done || decoded.consumed == piece.len());
            payload.extend_from_slice(&piece[..decoded.data]);
            consumed += decoded.consumed;
        }
        Ok((payload, text.len() - consumed))
    }

    fn check(text: &[u8], wanted: &[u8], left_over: usize) {
        for step in 1..=text.len() {
            let mut reader = BodyReader::new(Framing::Chunked, MAX_EXTENSION);
            let result = decode(&mut reader, text, step);
            assert_eq!(result, Ok((wanted.to_vec(), left_over)), "{}", text.escape_ascii());
            assert!(reader.done());
        }
    }

    fn refused(text: &[u8], why: Bad) {
        for step in 1..=text.len() {
            let mut reader = BodyReader::new(Framing::Chunked, MAX_EXTENSION);
            assert_eq!(decode(&mut reader, text, step), Err(why), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn chunks_in_any_pieces() {
        check(b"0\r\n\r\n", b"", 0);
        check(b"5\r\nhello\r\n0\r\n\r\nGET", b"hello", 3);
        check(b"5\r\nhello\r\nB\r\n, big world\r\n00\r\n\r\n", b"hello, big world", 0);
        check(b"000000000000000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", 0);
        check(b"1;a=b; c=\"d;e\"\r\nx\r\n0;last\r\n\r\n", b"x", 0);
        check(b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", 0);
    }

    #[test]
    fn by_length_to_the_end_and_none() {
        let mut reader = BodyReader::new(Framing::Length(5), 0);
        assert_eq!(decode(&mut reader, b"helloGET", 3), Ok((b"hello".to_vec(), 3)));
        let mut reader = BodyReader::new(Framing::UntilClose, 0);
        assert_eq!(decode(&mut reader, b"hello", 3), Ok((b"hello".to_vec(), 0)));
        assert!(!reader.done());
        assert_eq!(reader.end_of_stream(), Ok(()));
        assert!(reader.done());
        for framing in [Framing::None, Framing::Length(0)] {
            let mut reader = BodyReader::new(framing, 0);
            assert!(reader.done());
            let decoded = reader.decode(&mut [b'x']);
            assert_eq!(decoded, Ok(Decoded { data: 0, consumed: 0, done: true }));
        }
    }

    #[test]
    fn truncated() {
        let mut reader = BodyReader::new(Framing::Length(5), 0);
        let decoded = reader.decode(&mut b"hell".to_vec());
        assert_eq!(decoded, Ok(Decoded { data: 4, consumed: 4, done: false }));
        assert_eq!((reader.left(), reader.end_of_stream()), (1, Err(Bad::Truncated)));
        let text = b"1\r\nx\r\n0\r\na: b\r\n\r\n";
        for len in 0..text.len() {
            let mut reader = BodyReader::new(Framing::Chunked, 0);
            assert!(reader.decode(&mut text[..len].to_vec()).is_ok());
            assert_eq!(reader.end_of_stream(), Err(Bad::Truncated), "{len}");
        }
    }

    #[test]
    fn bad_chunk_size() {
        for text in [
            "\r\n", ";a\r\n", "0x5\r\n", "+5\r\n", "-5\r\n", " 5\r\n", "5 \r\n", "5 ;a\r\n",
            "5\t\r\n", "g\r\n", "5,5\r\n", "5_0\r\n", "\0\r\n",
        ] {
            refused(text.as_bytes(), Bad::BadChunkSize);
        }
        refused(b"1\r\nx\r\n\r\n", Bad::BadChunkSize);
    }

    #[test]
    fn chunk_size_overflow() {
        refused(b"00000000000000001\r\n", Bad::ChunkSizeOverflow);
        refused(b"ffffffffffffffff\r\n", Bad::ChunkSizeOverflow);
        refused(b"8000000000000000\r\n", Bad::ChunkSizeOverflow);
        refused(b"10000000000000000\r\n", Bad::ChunkSizeOverflow);
        let mut reader = BodyReader::new(Framing::Chunked, 0);
        assert!(reader.decode(&mut b"7fffffffffffffff\r\n".to_vec()).is_ok());
    }

    #[test]
    fn bad_chunk_end() {
        refused(b"1\r\nxy\r\n", Bad::BadChunkEnd);
        refused(b"5\r\nhello0\r\n\r\n", Bad::BadChunkEnd);
    }

    #[test]
    fn bare_lf_in_chunk_framing() {
        refused(b"5\nhello", Bad::BareLf);
        refused(b"\n", Bad::BareLf);
        refused(b"1\r\nx\n", Bad::BareLf);
        refused(b"1;a\n", Bad::BareLf);
        refused(b"0\r\n\n", Bad::BareLf);
        refused(b"0\r\na: b\n", Bad::BareLf);
    }

    #[test]
    fn bare_cr_in_chunk_framing() {
        refused(b"5\rh", Bad::BareCr);
        refused(b"1\r\nx\rx", Bad::BareCr);
        refused(b"1;a\rb\r\n", Bad::BareCr);
        refused(b"0\r\n\rx", Bad::BareCr);
        refused(b"0\r\na: b\rc", Bad::BareCr);
    }

    #[test]
    fn control_byte_in_extension() {
        refused(b"1;a\x01\r\n", Bad::ControlByte);
        refused(b"1;a\0\r\n", Bad::NulByte);
    }

    #[test]
    fn chunk_extension_too_long() {
        let line = |n: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(n - 1));
        check(line(MAX_EXTENSION).as_bytes(), b"x", 0);
        refused(line(MAX_EXTENSION + 1).as_bytes(), Bad::ChunkExtensionTooLong);
    }

    #[test]
    fn chunk_extensions_may_not_outweigh_the_payload_for_ever() {
        let chunk = format!("1;{}\r\nx\r\n", "a".repeat(MAX_EXTENSION - 1));
        let mut text = chunk.repeat(MAX_CHUNK_EXTENSION_EXCESS / (MAX_EXTENSION - 1) + 2);
        let mut reader = BodyReader::new(Framing::Chunked, MAX_EXTENSION);
        let result = reader.decode(&mut text.as_bytes().to_vec());
        assert_eq!(result, Err(Bad::ChunkExtensionTooLong));
        text =
            format!("40;{}\r\n{}\r\n", "a".repeat(MAX_EXTENSION - 1), "x".repeat(64)).repeat(2000);
        let mut reader = BodyReader::new(Framing::Chunked, MAX_EXTENSION);
        assert!(reader.decode(&mut text.into_bytes()).is_ok());
    }

    #[test]
    fn trailers_are_fields() {
        let text = b"0\r\nX-Sum: 1\r\nGrpc-Status:  0 \r\n\r\nnext";
        for step in 1..=text.len() {
            let mut reader = BodyReader::new(Framing::Chunked, 0);
            assert_eq!(decode(&mut reader, text, step), Ok((vec![], 4)));
            let (fields, buf) = reader.trailers();
            let texts: Vec<_> = fields.iter().map(|f| (f.name.of(buf), f.value.of(buf))).collect();
            assert_eq!(texts, [(&b"X-Sum"[..], &b"1"[..]), (b"Grpc-Status", b"0")]);
        }
    }

    #[test]
    fn trailers_that_would_change_the_message_are_dropped() {
        for name in [
            "Content-Length",
            "Transfer-Encoding",
            "Host",
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "Content-Type",
            "Connection",
            "Trailer",
            "Cache-Control",
            "X-Forwarded-For",
            "If-Match",
        ] {
            let mut reader = BodyReader::new(Framing::Chunked, 0);
            let text = format!("0\r\n{name}: 1\r\nX-Kept: 2\r\n\r\n");
            assert!(reader.decode(&mut text.into_bytes()).is_ok_and(|d| d.done));
            let (fields, buf) = reader.trailers();
            assert_eq!(fields.len(), 1, "{name}");
            assert_eq!(fields[0].name.of(buf), b"X-Kept");
        }
    }

    #[test]
    fn malformed_trailers() {
        refused(b"0\r\n a: b\r\n\r\n", Bad::WhitespaceBeforeFields);
        refused(b"0\r\na: b\r\n c\r\n\r\n", Bad::ObsFold);
        refused(b"0\r\na : b\r\n\r\n", Bad::WhitespaceBeforeColon);
        refused(b"0\r\na: \0\r\n\r\n", Bad::NulByte);
    }

    #[test]
    fn trailers_too_large() {
        let text = format!("0\r\na: {}", "b".repeat(crate::limits::MAX_TRAILERS));
        let mut reader = BodyReader::new(Framing::Chunked, 0);
        assert_eq!(reader.decode(&mut text.into_bytes()), Err(Bad::TrailersTooLarge));
    }

    #[test]
    fn too_many_trailers() {
        let text = format!("0\r\n{}\r\n", "a:\r\n".repeat(crate::limits::MAX_TRAILER_FIELDS + 1));
        let mut reader = BodyReader::new(Framing::Chunked, 0);
        assert_eq!(reader.decode(&mut text.into_bytes()), Err(Bad::TooManyTrailers));
    }
}
