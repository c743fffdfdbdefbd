//! Field blocks come in (RFC 7541 sections 3.2 and 6).

use super::statics::{self, STATIC_LEN};
use super::table::{Name, Table, size};
use super::{full, huffman};

/// Most bytes of an integer, its prefix included: with them it can't overflow.
const INTEGER_MAX: usize = 5;
/// What is kept of the room for decoded strings between blocks: names and values are shorter most often.
const KEPT: usize = 512;

/// Why a block can't be decoded. The tables of both ends may no longer agree: the connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It is no field block.
    Malformed,
    /// It stands for more than was allowed.
    TooLarge,
}

/// Decodes the blocks of one end of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// What the table may be set to.
    allowed: usize,
    /// The strings of one field that came in Huffman's code.
    text: Vec<u8>,
}

/// A string: a part of the block, or of the decoded text.
#[derive(Debug, Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    Decoded(usize, usize),
}

impl Text<'_> {
    fn of<'b>(&'b self, text: &'b [u8]) -> &'b [u8] {
        match self {
            Self::Plain(plain) => plain,
            Self::Decoded(from, to) => &text[*from..*to],
        }
    }
}

impl Decoder {
    /// `max_table`: what we said of our table, or [`super::TABLE_SIZE`] where nothing was said.
    pub fn new(max_table: usize) -> Self {
        Self { table: Table::new(max_table), allowed: max_table, text: Vec::new() }
    }

    /// Decodes a whole field block and hands over each field in order: its name, its value, and whether
    /// it is new. One that is not stands in the table, and was new before. `most`: what the fields may
    /// come to, as entries of a table are counted.
    ///
    /// # Errors
    /// Fields before the mistake were handed over.
    pub fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        mut field: impl FnMut(&[u8], &[u8], bool),
    ) -> Result<(), Broken> {
        let mut rest = self.take_sizes(block)?;
        let mut left = most;
        let mut hand_over = |name: &[u8], value: &[u8], new: bool| {
            left = left.checked_sub(size(name.len(), value.len())).ok_or(Broken::TooLarge)?;
            field(name, value, new);
            Ok(())
        };
        while let Some(first) = rest.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                let (name, value) = self.entry(index).ok_or(Broken::Malformed)?;
                hand_over(name, value, false)?;
            } else {
                self.literal(&mut rest, *first, &mut hand_over)?;
            }
        }
        if self.text.capacity() > KEPT {
            self.text = Vec::new();
        }
        Ok(())
    }

    /// Sizes come first or not at all (section 4.2).
    fn take_sizes<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], Broken> {
        let mut rest = block;
        while rest.first().is_some_and(|first| first & 0xe0 == 0x20) {
            let max = integer(&mut rest, 5)?;
            if max > self.allowed {
                return Err(Broken::Malformed);
            }
            self.table.resize(max);
        }
        Ok(rest)
    }

    /// A literal (section 6.2), which `first` begins.
    #[inline]
    fn literal(
        &mut self,
        rest: &mut &[u8],
        first: u8,
        hand_over: &mut impl FnMut(&[u8], &[u8], bool) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let indexed = first & 0x40 != 0;
        if !indexed && first & 0x20 != 0 {
            // A size behind a field.
            return Err(Broken::Malformed);
        }
        self.text.clear();
        let index = integer(rest, if indexed { 6 } else { 4 })?;
        let named = if index == 0 { Some(self.string(rest)?) } else { None };
        let value = self.string(rest)?;
        let name = match &named {
            Some(name) => name.of(&self.text),
            None => self.entry(index).ok_or(Broken::Malformed)?.0,
        };
        let value = value.of(&self.text);
        hand_over(name, value, true)?;
        if indexed {
            let name = match index.checked_sub(STATIC_LEN + 1) {
                Some(number) => Name::Of(number),
                None => Name::Text(match &named {
                    Some(name) => name.of(&self.text),
                    None => statics::entry(index).ok_or(Broken::Malformed)?.0,
                }),
            };
            self.table.insert(name, value);
        }
        Ok(())
    }

    /// The entry of either table that has this index (section 2.3.3).
    #[inline]
    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        match index.checked_sub(STATIC_LEN + 1) {
            Some(number) => self.table.get(number),
            None => statics::entry(index),
        }
    }

    /// A string (section 5.2).
    #[inline]
    fn string<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Text<'a>, Broken> {
        let coded = rest.first().ok_or(Broken::Malformed)? & 0x80 != 0;
        let len = integer(rest, 7)?;
        let (plain, behind) = rest.split_at_checked(len).ok_or(Broken::Malformed)?;
        *rest = behind;
        if !coded {
            return Ok(Text::Plain(plain));
        }
        let from = self.text.len();
        huffman::decode(plain, &mut self.text).ok_or(Broken::Malformed)?;
        Ok(Text::Decoded(from, self.text.len()))
    }
}

/// An integer with a prefix of so many bits (section 5.1).
#[inline(always)]
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Broken> {
    let (first, behind) = rest.split_first().ok_or(Broken::Malformed)?;
    let value = first & full(prefix);
    *rest = behind;
    if value < full(prefix) { Ok(usize::from(value)) } else { long_integer(rest, prefix) }
}

#[cold]
fn long_integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Broken> {
    let mut value = usize::from(full(prefix));
    for at in 0..INTEGER_MAX - 1 {
        let byte = *rest.get(at).ok_or(Broken::Malformed)?;
        value += usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Ok(value);
        }
    }
    Err(Broken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::TABLE_SIZE;
    use super::*;

    type Fields = Vec<(String, String)>;

    fn all(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Broken> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        decoder.decode(block, 10_000, |n, v, _| fields.push((text(n), text(v))))?;
        Ok(fields)
    }

    fn decoded(block: &[u8]) -> Result<Fields, Broken> {
        all(&mut Decoder::new(TABLE_SIZE), block)
    }

    fn fields(lines: &[&str]) -> Fields {
        let pair = |line: &&str| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned()));
        lines.iter().map(|line| pair(line).expect("a field")).collect()
    }

    fn table(decoder: &Decoder) -> Fields {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        (0..).map_while(|n| decoder.table.get(n)).map(|(n, v)| (text(n), text(v))).collect()
    }

    /// Blocks of one connection, what they stand for, and the table behind them.
    type Example<'a> = (&'a [u8], &'a [&'a str], &'a [&'a str]);

    #[track_caller]
    fn check(max: usize, examples: &[Example<'_>]) {
        let mut decoder = Decoder::new(max);
        for (block, wanted, entries) in examples {
            assert_eq!(all(&mut decoder, block), Ok(fields(wanted)));
            assert_eq!(table(&decoder), fields(entries));
        }
    }

    #[test]
    fn representations_of_the_rfc() {
        let custom = ["custom-key: custom-header"];
        check(
            TABLE_SIZE,
            &[
                (b"\x40\x0acustom-key\x0dcustom-header", &custom, &custom),
                (b"\x04\x0c/sample/path", &[":path: /sample/path"], &custom),
                (b"\x10\x08password\x06secret", &["password: secret"], &custom),
                (b"\x82", &[":method: GET"], &custom),
            ],
        );
    }

    const GET: &[&str] =
        &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    const GET_AGAIN: &[&str] = &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ];
    const GET_OTHER: &[&str] = &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ];
    const AUTHORITY: &str = ":authority: www.example.com";
    const NO_CACHE: &str = "cache-control: no-cache";

    /// RFC 7541 appendix C.3 and C.4.
    #[test]
    fn requests_of_the_rfc() {
        let entries: [&[&str]; 3] = [
            &[AUTHORITY],
            &[NO_CACHE, AUTHORITY],
            &["custom-key: custom-value", NO_CACHE, AUTHORITY],
        ];
        check(
            TABLE_SIZE,
            &[
                (b"\x82\x86\x84\x41\x0fwww.example.com", GET, entries[0]),
                (b"\x82\x86\x84\xbe\x58\x08no-cache", GET_AGAIN, entries[1]),
                (b"\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value", GET_OTHER, entries[2]),
            ],
        );
        check(
            TABLE_SIZE,
            &[
                (b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", GET, entries[0]),
                (b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf", GET_AGAIN, entries[1]),
                (
                    b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
                    GET_OTHER,
                    entries[2],
                ),
            ],
        );
    }

    const FIRST: &str = "date: Mon, 21 Oct 2013 20:13:21 GMT";
    const SECOND: &str = "date: Mon, 21 Oct 2013 20:13:22 GMT";
    const LOCATION: &str = "location: https://www.example.com";
    const PRIVATE: &str = "cache-control: private";
    const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

    /// RFC 7541 appendix C.5 and C.6, with a table that is too small for all of it.
    #[test]
    fn answers_of_the_rfc() {
        let (found, other, fine) = (":status: 302", ":status: 307", ":status: 200");
        let (zipped, entries) = (
            "content-encoding: gzip",
            [
                &[LOCATION, FIRST, PRIVATE, found][..],
                &[other, LOCATION, FIRST, PRIVATE],
                &[COOKIE, "content-encoding: gzip", SECOND],
            ],
        );
        let wanted = [
            &[found, PRIVATE, FIRST, LOCATION][..],
            &[other, PRIVATE, FIRST, LOCATION],
            &[fine, PRIVATE, SECOND, LOCATION, zipped, COOKIE],
        ];
        check(
            256,
            &[
                (
                    b"\x48\x03302\x58\x07private\x61\x1dMon, 21 Oct 2013 20:13:21 GMT\
                  \x6e\x17https://www.example.com",
                    wanted[0],
                    entries[0],
                ),
                (b"\x48\x03307\xc1\xc0\xbf", wanted[1], entries[1]),
                (
                    b"\x88\xc1\x61\x1dMon, 21 Oct 2013 20:13:22 GMT\xc0\x5a\x04gzip\x77\x38\
                  foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
                    wanted[2],
                    entries[2],
                ),
            ],
        );
        check(256, &[
            (
                b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\
                  \x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\
                  \x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                wanted[0],
                entries[0],
            ),
            (b"\x48\x83\x64\x0e\xff\xc1\xc0\xbf", wanted[1], entries[1]),
            (
                b"\x88\xc1\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\
                  \xe0\x84\xa6\x2d\x1b\xff\xc0\x5a\x83\x9b\xd9\xab\x77\xad\x94\xe7\x82\x1d\xd7\xf2\
                  \xe6\xc7\xb3\x35\xdf\xdf\xcd\x5b\x39\x60\xd5\xaf\x27\x08\x7f\x36\x72\xc1\xab\x27\
                  \x0f\xb5\x29\x1f\x95\x87\x31\x60\x65\xc0\x03\xed\x4e\xe5\xb1\x06\x3d\x50\x07",
                wanted[2],
                entries[2],
            ),
        ]);
    }

    #[test]
    fn integers_of_the_rfc() {
        for (bytes, prefix, wanted) in [
            (&b"\xea"[..], 5, 10),
            (b"\x1f\x9a\x0a", 5, 1337),
            (b"\x2a", 8, 42),
            (b"\x7f\x00", 7, 127),
        ] {
            let mut rest = &[bytes, b"x"].concat()[..];
            assert_eq!(integer(&mut rest, prefix), Ok(wanted));
            assert_eq!(rest, b"x");
        }
        for bytes in
            [&b""[..], b"\x1f", b"\x1f\x80", b"\x1f\x80\x80\x80\x80\x00", b"\x1f\xff\xff\xff\xff"]
        {
            assert_eq!(integer(&mut &bytes[..], 5), Err(Broken::Malformed), "{bytes:x?}");
        }
        let mut most = &b"\xff\xff\xff\xff\x7f"[..];
        assert_eq!(integer(&mut most, 8), Ok(255 + (1 << 28) - 1));
    }

    #[test]
    fn what_is_no_block() {
        for block in [
            &b"\x80"[..],
            b"\xbe",
            b"\xff\xff\xff\xff\xff",
            b"\x7f\x00\x01x",
            b"\x40",
            b"\x40\x01",
            b"\x40\x01x",
            b"\x40\x01x\x02y",
            b"\x00\x01x\x81\x00",
            b"\x0f",
            b"\x82\x20",
            b"\x3f\xe2\x1f",
            b"\x3f",
        ] {
            assert_eq!(decoded(block), Err(Broken::Malformed), "{block:x?}");
        }
        assert_eq!(decoded(b""), Ok(Vec::new()));
    }

    #[test]
    fn the_table_is_what_its_end_says() {
        let mut decoder = Decoder::new(TABLE_SIZE);
        assert_eq!(all(&mut decoder, b"\x40\x01a\x01b\xbe"), Ok(fields(&["a: b", "a: b"])));
        assert_eq!(all(&mut decoder, b"\x3f\xe1\x1f\xbe"), Ok(fields(&["a: b"])));
        assert_eq!(all(&mut decoder, b"\x20\x3f\xe1\x1f\xbe"), Err(Broken::Malformed));
        assert_eq!(all(&mut decoder, b"\x20\x40\x01a\x01b"), Ok(fields(&["a: b"])));
        assert_eq!(all(&mut decoder, b"\xbe"), Err(Broken::Malformed));
    }

    #[test]
    fn what_a_block_stands_for_is_bounded() {
        let mut decoder = Decoder::new(TABLE_SIZE);
        let size = size(1, 1);
        for (most, wanted) in [(3 * size, Ok(())), (3 * size - 1, Err(Broken::TooLarge))] {
            assert_eq!(decoder.decode(b"\x40\x01a\x01b\xbe\xbe", most, |_, _, _| {}), wanted);
        }
    }

    #[test]
    fn little_memory_is_kept() {
        let mut decoder = Decoder::new(TABLE_SIZE);
        let large = huffman::encode(&[b'x'; 1000]);
        let block = [b"\x00\x01x\xff", &[(large.len() - 127) as u8 & 0x7f | 0x80][..]].concat();
        let block = [&block[..], &[((large.len() - 127) >> 7) as u8], &large].concat();
        assert_eq!(all(&mut decoder, &block).map(|f| f[0].1.len()), Ok(1000));
        assert!(decoder.text.capacity() <= KEPT && decoder.table.get(0).is_none());
    }
}
