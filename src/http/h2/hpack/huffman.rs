//! HPACK's Huffman code (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: of codes of one length the values rise with the symbols, and from one length to
//! the next they go on where they stopped. So the lengths say all of it.

/// Bits of each byte's code. The code of the end, which no string may hold, has 30 too and is the last.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Bits of the longest code.
const LONGEST: usize = 30;
/// Codes of at most so many bits are found in one step: all of digits, of letters, and of what is usual
/// beside them.
const SHORT: usize = 8;

struct Code {
    /// By the next [`SHORT`] bits: the symbol, and how many bits its code has; 0 where it is longer.
    short: [(u8, u8); 1 << SHORT],
    /// By length: what the next 32 bits must be below for the code to be of that length at most.
    limits: [u32; LONGEST + 1],
    /// By length: the code's first value.
    firsts: [u32; LONGEST + 1],
    /// By length: where its symbols begin.
    places: [u16; LONGEST + 1],
    /// Symbols in the order of their codes.
    symbols: [u8; 256],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            short: [(0, 0); 1 << SHORT],
            limits: [0; LONGEST + 1],
            firsts: [0; LONGEST + 1],
            places: [0; LONGEST + 1],
            symbols: [0; 256],
        };
        let (mut length, mut value, mut place) = (1, 0u32, 0);
        while length <= LONGEST {
            value <<= 1;
            code.firsts[length] = value;
            code.places[length] = place as u16;
            let mut symbol = 0;
            while symbol < 256 {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[place] = symbol as u8;
                    code.spread(symbol as u8, value, length);
                    place += 1;
                    value += 1;
                }
                symbol += 1;
            }
            code.limits[length] = value << (32 - length);
            length += 1;
        }
        // What is left is the end's.
        assert!(place == 256 && value == (1 << LONGEST) - 1);
        code
    }

    /// Enters a code for whatever follows it in the bits that are looked at.
    const fn spread(&mut self, symbol: u8, value: u32, length: usize) {
        if length > SHORT {
            return;
        }
        let from = (value as usize) << (SHORT - length);
        let mut at = from;
        while at < from + (1 << (SHORT - length)) {
            self.short[at] = (symbol, length as u8);
            at += 1;
        }
    }

    /// The symbol that these bits begin with, and how many they are. None: the end.
    #[inline(always)]
    fn first(&self, bits: u64) -> Option<(u8, u32)> {
        let (symbol, length) = self.short[(bits >> (64 - SHORT)) as usize];
        if length != 0 { Some((symbol, u32::from(length))) } else { self.first_long(bits) }
    }

    #[inline(never)]
    fn first_long(&self, bits: u64) -> Option<(u8, u32)> {
        let word = (bits >> 32) as u32;
        let length = (SHORT + 1..=LONGEST).find(|length| word < self.limits[*length])?;
        let value = word >> (32 - length);
        let place = usize::from(self.places[length]) + (value - self.firsts[length]) as usize;
        Some((self.symbols[place], length as u32))
    }
}

/// Appends what `coded` stands for. None: it has the end in it, or is not padded with less than a byte of
/// the end's first bits.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let before = out.len();
    // The shortest code has five bits.
    out.resize(before + coded.len() * 8 / 5, 0);
    let len = decode_into(coded, &mut out[before..])?;
    out.truncate(before + len);
    Some(())
}

/// The same to the front of `room`; gives how many bytes.
fn decode_into(coded: &[u8], room: &mut [u8]) -> Option<usize> {
    let all = room.len();
    let mut places = room.iter_mut();
    // The next bits, from the highest on; how many of them count. Others behind them come once more.
    let (mut bits, mut count) = (0u64, 0u32);
    let mut rest = coded;
    loop {
        if let Some(word) = rest.first_chunk::<8>() {
            bits |= u64::from_be_bytes(*word) >> count;
            let whole = (63 - count) / 8;
            rest = &rest[whole as usize..];
            count += 8 * whole;
        } else {
            while count <= 56
                && let [byte, behind @ ..] = rest
            {
                bits |= u64::from(*byte) << (56 - count);
                count += 8;
                rest = behind;
            }
        }
        // Few only where nothing follows: then the bits behind them are zeros.
        let few = count < LONGEST as u32;
        while count >= LONGEST as u32 || few && !is_padding(bits, count) {
            let (symbol, length) = CODE.first(bits)?;
            count = count.checked_sub(length)?;
            *places.next()? = symbol;
            bits <<= length;
        }
        if few {
            return Some(all - places.len());
        }
    }
}

/// Whether these last bits are the first of the end's code, and less than a byte.
fn is_padding(bits: u64, count: u32) -> bool {
    count == 0 || count < 8 && bits == u64::MAX << (64 - count)
}

/// The other way, for tests: what is sent goes as it is.
#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u64, 0u32);
    for byte in text {
        let length = usize::from(LENGTHS[usize::from(*byte)]);
        let before = LENGTHS[..usize::from(*byte)].iter().filter(|l| **l as usize == length);
        let value = u64::from(CODE.firsts[length]) + before.count() as u64;
        bits |= value << (64 - count - length as u32);
        count += length as u32;
        while count >= 8 {
            out.push((bits >> 56) as u8);
            bits <<= 8;
            count -= 8;
        }
    }
    if count > 0 {
        out.push((bits >> 56) as u8 | (0xff >> count));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    /// RFC 7541 appendix C.4 and C.6.
    const EXAMPLES: [(&[u8], &[u8]); 6] = [
        (b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", b"www.example.com"),
        (b"\xa8\xeb\x10\x64\x9c\xbf", b"no-cache"),
        (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", b"custom-value"),
        (
            b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
            b"Mon, 21 Oct 2013 20:13:21 GMT",
        ),
        (
            b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
            b"https://www.example.com",
        ),
        (
            b"\x94\xe7\x82\x1d\xd7\xf2\xe6\xc7\xb3\x35\xdf\xdf\xcd\x5b\x39\x60\xd5\xaf\x27\x08\
              \x7f\x36\x72\xc1\xab\x27\x0f\xb5\x29\x1f\x95\x87\x31\x60\x65\xc0\x03\xed\x4e\xe5\
              \xb1\x06\x3d\x50\x07",
            b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ),
    ];

    #[test]
    fn the_examples_of_the_rfc() {
        for (coded, text) in EXAMPLES {
            assert_eq!(decoded(coded).as_deref(), Some(text), "{}", text.escape_ascii());
            assert_eq!(encode(text), coded);
        }
        assert_eq!(decoded(b""), Some(Vec::new()));
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encode(&all)), Some(all.clone()));
        for from in 0..256 {
            let some: Vec<u8> = (0..10).map(|n| all[(from + n * 37) % 256]).collect();
            assert_eq!(decoded(&encode(&some)), Some(some));
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        // `0` and `a` have the codes 00000 and 00011.
        assert_eq!(decoded(&[0b0000_0111]), Some(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0011]), None);
        assert_eq!(decoded(&[0b0000_0110]), None);
        assert_eq!(decoded(&[0b0000_0111, 0xff]), None);
        for len in 1..12 {
            assert_eq!(decoded(&vec![0xff; len]), None, "{len}");
        }
    }

    #[test]
    fn the_end_is_no_part_of_a_string() {
        // `0`, the end, `0`, padding.
        assert_eq!(decoded(&[0b0000_0111, 0xff, 0xff, 0xff, 0b1110_0000, 0x7f]), None);
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0b1111_1100, 0, 0, 0, 0, 0, 0]), None);
    }
}
