//! What RFC 9113 has a code of its own for, and the protocol's machine would call by the general one:
//! frames of a wrong length (section 4.2), a window too large to begin with (6.5.2), frames on a stream
//! that the client ended before (5.1). Beside them pseudo-header fields in trailers (8.1), which the
//! machine overlooks: where they are named plainly or by the static table, which is where they would be
//! found, as the dynamic one is the machine's.

use h2::Reason;

use super::kinds::{
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITIZED, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};

/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;
/// The last pseudo-header field of HPACK's static table (RFC 7541 appendix A), from 1.
const LAST_PSEUDO: u8 = 14;
/// The first byte of a name in Huffman's code that begins with a colon, without its last bit.
const COLON: u8 = 0b101_1100;

/// What is looked for in the payload that comes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sought {
    #[default]
    Nothing,
    /// The values of settings; the number of the one that comes.
    Setting(u16),
    /// The first field of trailers, behind so many bytes.
    Trailer(u8),
    /// How long its name is, which follows.
    NameLength,
    /// The first byte of its name, in Huffman's code or not.
    Name(bool),
}

/// Holds a client's frames against the rules.
#[derive(Debug, Default)]
pub(super) struct Rules {
    newest: u32,
    /// Which of the newest streams the client has ended; the newest is the lowest bit.
    ended: u128,
    sought: Sought,
}

impl Rules {
    /// A frame with this header comes. Gives the error that it is.
    pub(super) fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        len: usize,
    ) -> Result<(), Reason> {
        if !has_its_length(kind, flags, len) {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        self.sought = match kind {
            SETTINGS => Sought::Setting(0),
            HEADERS if stream <= self.newest => Sought::Trailer(fields_at(flags)),
            _ => Sought::Nothing,
        };
        match kind {
            HEADERS | DATA if self.has_ended(stream) => return Err(Reason::STREAM_CLOSED),
            HEADERS => self.begin(stream),
            _ => {}
        }
        if kind == RST_STREAM || matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            self.ended |= self.bit(stream);
        }
        Ok(())
    }

    /// A part of its payload, of which `left` bytes are still to come with it.
    pub(super) fn payload(&mut self, bytes: &[u8], left: usize) -> Result<(), Reason> {
        for (byte, left) in bytes.iter().zip((0..=left).rev()) {
            if self.sought == Sought::Nothing {
                break;
            }
            self.sought = next(self.sought, *byte, left)?;
        }
        Ok(())
    }

    fn begin(&mut self, stream: u32) {
        if stream > self.newest {
            self.ended = self.ended.checked_shl((stream - self.newest) / 2).unwrap_or(0);
            self.newest = stream;
        }
    }

    /// A stream's place; none for one that is idle or long past.
    fn bit(&self, stream: u32) -> u128 {
        let back = self.newest.checked_sub(stream).map(|n| n / 2);
        back.and_then(|n| 1u128.checked_shl(n)).unwrap_or(0)
    }

    fn has_ended(&self, stream: u32) -> bool {
        self.ended & self.bit(stream) != 0
    }
}

/// Whether a frame of that kind can have that length.
fn has_its_length(kind: u8, flags: u8, len: usize) -> bool {
    match kind {
        PRIORITY => len == 5,
        RST_STREAM | WINDOW_UPDATE => len == 4,
        SETTINGS if flags & ACK != 0 => len == 0,
        SETTINGS => len.is_multiple_of(6),
        PING => len == 8,
        GOAWAY => len >= 8,
        _ => true,
    }
}

/// Bytes in front of the fields of a HEADERS frame.
fn fields_at(flags: u8) -> u8 {
    let padded = u8::from(flags & PADDED != 0);
    let prioritized = u8::from(flags & PRIORITIZED != 0);
    padded + 5 * prioritized
}

/// What is looked for behind a byte. `left`: bytes of the payload from this one on.
fn next(sought: Sought, byte: u8, left: usize) -> Result<Sought, Reason> {
    Ok(match sought {
        Sought::Setting(number) => match left % 6 {
            0 | 5 => Sought::Setting(number << 8 | u16::from(byte)),
            4 if number == INITIAL_WINDOW && byte >= 0x80 => {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            _ => sought,
        },
        Sought::Trailer(0) => match field_index(byte) {
            Some(0) => Sought::NameLength,
            Some(1..=LAST_PSEUDO) => return Err(Reason::PROTOCOL_ERROR),
            _ => Sought::Nothing,
        },
        Sought::Trailer(n) => Sought::Trailer(n - 1),
        Sought::NameLength => Sought::Name(byte & 0x80 != 0),
        Sought::Name(false) if byte == b':' => return Err(Reason::PROTOCOL_ERROR),
        Sought::Name(true) if byte >> 1 == COLON => return Err(Reason::PROTOCOL_ERROR),
        Sought::Name(_) | Sought::Nothing => Sought::Nothing,
    })
}

/// Where in the tables a field's name is, by the first byte of its representation (RFC 7541 section 6);
/// 0: in none.
fn field_index(byte: u8) -> Option<u8> {
    match byte {
        0x80.. => Some(byte & 0x7f),
        0x40.. => Some(byte & 0x3f),
        // A new size of the table.
        0x20.. => None,
        _ => Some(byte & 0x0f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAILERS: u8 = END_STREAM;

    /// What these frames (kind, flags, stream, payload) come to, one after the other.
    fn told(frames: &[(u8, u8, u32, &[u8])]) -> Result<(), Reason> {
        let mut rules = Rules::default();
        frames.iter().try_for_each(|(kind, flags, stream, payload)| {
            rules.frame(*kind, *flags, *stream, payload.len())?;
            let all = payload.len();
            (0..all).try_for_each(|at| rules.payload(&payload[at..=at], all - at))
        })
    }

    #[test]
    fn lengths_that_a_kind_has_not() {
        for (kind, flags, bad, good) in [
            (PRIORITY, 0, 4, 5),
            (RST_STREAM, 0, 3, 4),
            (WINDOW_UPDATE, 0, 3, 4),
            (SETTINGS, 0, 3, 12),
            (SETTINGS, ACK, 6, 0),
            (PING, 0, 6, 8),
            (GOAWAY, 0, 7, 9),
        ] {
            let some = [0; 12];
            assert_eq!(told(&[(kind, flags, 0, &some[..bad])]), Err(Reason::FRAME_SIZE_ERROR));
            assert_eq!(told(&[(kind, flags, 0, &some[..good])]), Ok(()));
        }
    }

    #[test]
    fn a_first_window_that_is_too_large() {
        let settings =
            |first: [u8; 6], second: [u8; 6]| told(&[(SETTINGS, 0, 0, &[first, second].concat())]);
        let (large, most) = ([0, 4, 0x80, 0, 0, 0], [0, 4, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(settings(most, most), Ok(()));
        assert_eq!(settings([0, 3, 0xff, 0, 4, 0x80], most), Ok(()));
        assert_eq!(settings(most, large), Err(Reason::FLOW_CONTROL_ERROR));
        assert_eq!(settings(large, most), Err(Reason::FLOW_CONTROL_ERROR));
    }

    #[test]
    fn what_comes_behind_the_end() {
        let closed = Err(Reason::STREAM_CLOSED);
        for (kind, flags) in [(HEADERS, END_STREAM), (DATA, END_STREAM), (RST_STREAM, 0)] {
            let begun = (HEADERS, if kind == HEADERS { flags } else { 0 }, 5, &[0x88][..]);
            let end = (kind, flags, 5, &[0x88, 0, 0, 0][..]);
            let frames = if kind == HEADERS { vec![begun] } else { vec![begun, end] };
            let with = |more: (u8, u8, u32, &[u8])| {
                told(&[&frames[..], &[(HEADERS, 0, 7, &[0x82][..]), more]].concat())
            };
            assert_eq!(with((DATA, 0, 5, b"x")), closed);
            assert_eq!(with((HEADERS, 0, 5, b"x")), closed);
            assert_eq!(with((WINDOW_UPDATE, 0, 5, &[0; 4])), Ok(()));
            assert_eq!(with((RST_STREAM, 0, 5, &[0; 4])), Ok(()));
            assert_eq!(with((DATA, 0, 7, b"x")), Ok(()));
            // Idle ones are the machine's.
            assert_eq!(with((DATA, 0, 9, b"x")), Ok(()));
            assert_eq!(with((DATA, 0, 3, b"x")), Ok(()));
        }
    }

    #[test]
    fn streams_long_past_are_the_machines() {
        let mut rules = Rules::default();
        let mut frame = |kind, stream| rules.frame(kind, END_STREAM, stream, 1);
        assert!((0..1000).all(|n| frame(HEADERS, 2 * n + 1).is_ok()));
        assert_eq!(frame(DATA, 1999), Err(Reason::STREAM_CLOSED));
        assert_eq!(frame(DATA, 1999 - 2 * 127), Err(Reason::STREAM_CLOSED));
        assert_eq!(frame(DATA, 1999 - 2 * 128), Ok(()));
        assert_eq!(frame(HEADERS, u32::MAX >> 1), Ok(()));
    }

    #[test]
    fn pseudo_header_fields_in_trailers() {
        let trailers = |flags, block: &[u8]| {
            told(&[(HEADERS, 0, 1, &[0x83]), (HEADERS, TRAILERS | flags, 1, block)])
        };
        let wrong = Err(Reason::PROTOCOL_ERROR);
        for block in [
            &[0x83][..],
            b"\x44\x02/x",
            b"\x04\x02/x",
            b"\x14\x02/x",
            b"\x00\x05:path\x02/x",
            b"\x40\x05:path\x02/x",
            b"\x10\x84\xb9\x58\xd3\x3f\x02/x",
        ] {
            assert_eq!(trailers(0, block), wrong, "{block:x?}");
            let padded = [&[2][..], block, &[0; 2]].concat();
            assert_eq!(trailers(PADDED, &padded), wrong);
            let both = [&[0; 6][..], block].concat();
            assert_eq!(trailers(PADDED | PRIORITIZED, &both), wrong);
        }
        for block in [&b"\x00\x01x\x01y"[..], &[0x8f], &[0xbe], &[0x4f, 1, b'x'], &[0x0f, 0], &[]] {
            assert_eq!(trailers(0, block), Ok(()), "{block:x?}");
        }
    }
}
