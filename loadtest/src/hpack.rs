//! Header blocks of HTTP/2 (RFC 7541): as much as it takes to know an answer's fields, whatever way
//! a proxy writes them, and to write requests as browsers do.

use std::collections::VecDeque;

/// Room for fields that are referred to later: the default of both sides (RFC 9113 section 6.5.2).
pub const TABLE_SIZE: usize = 4096;

/// What a field costs in the table beside its bytes (RFC 7541 section 4.1).
const ENTRY_OVERHEAD: usize = 32;
/// The static table's last index.
const STATIC_LAST: usize = 61;
/// The names in the static table that anybody here asks for; others are read as empty.
const STATIC_NAMES: [(usize, &[u8]); 5] = [
    (8, b":status"),
    (28, b"content-length"),
    (31, b"content-type"),
    (33, b"date"),
    (54, b"server"),
];
/// `:status` from index 8 on.
const STATIC_STATUS: [&[u8]; 7] = [b"200", b"204", b"206", b"304", b"400", b"404", b"500"];

/// The Huffman code (RFC 7541 appendix B) is canonical: its lengths and their symbols in order say
/// all. What is not printable has codes of 19 bits and more, which no field here needs.
const CODE: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// A table's size is 0 from here on.
const FORGET: u8 = 0x20;

/// A block that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// A string as it is written: plain, or in Huffman's code.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    coded: bool,
}

impl Text<'_> {
    /// Whether it says `plain`.
    pub fn is(&self, plain: &[u8]) -> bool {
        if !self.coded {
            return self.bytes == plain;
        }
        let mut rest = plain.iter();
        let whole = decode(self.bytes, |byte| rest.next() == Some(&byte));
        whole == Ok(true) && rest.next().is_none()
    }

    /// What it says.
    pub fn plain(&self) -> Result<Vec<u8>, Unreadable> {
        let mut plain = self.bytes.to_vec();
        if self.coded {
            plain.clear();
            decode(self.bytes, |byte| {
                plain.push(byte);
                true
            })?;
        }
        Ok(plain)
    }
}

/// One side's reader: it remembers what the other refers to.
#[derive(Debug, Default)]
pub struct Reader {
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    used: usize,
}

impl Reader {
    /// Reads a whole block and hands each field to `take`.
    pub fn read(
        &mut self,
        mut block: &[u8],
        mut take: impl FnMut(Text, Text),
    ) -> Result<(), Unreadable> {
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    let (name, value) = self.at(index)?;
                    take(plainly(name), plainly(value));
                }
                // Keeping what the other side forgets does no harm: its indexes count from the newest.
                0x20..0x40 if integer(&mut block, 5)? > TABLE_SIZE => return Err(Unreadable),
                0x20..0x40 => {}
                _ => self.literal(first, &mut block, &mut take)?,
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        first: u8,
        block: &mut &[u8],
        take: &mut impl FnMut(Text, Text),
    ) -> Result<(), Unreadable> {
        let kept = first >= 0x40;
        let index = integer(block, if kept { 6 } else { 4 })?;
        let known: Vec<u8>;
        let name = if index == 0 {
            string(block)?
        } else if kept {
            // The table changes below, so that nothing may be borrowed from it.
            known = self.at(index)?.0.to_vec();
            plainly(&known)
        } else {
            let value = string(block)?;
            take(plainly(self.at(index)?.0), value);
            return Ok(());
        };
        let value = string(block)?;
        take(name, value);
        if kept {
            self.keep(name.plain()?, value.plain()?);
        }
        Ok(())
    }

    fn at(&self, index: usize) -> Result<(&[u8], &[u8]), Unreadable> {
        if index > STATIC_LAST {
            let (name, value) = self.entries.get(index - STATIC_LAST - 1).ok_or(Unreadable)?;
            return Ok((name, value));
        }
        match index {
            0 => Err(Unreadable),
            8..15 => Ok((b":status", STATIC_STATUS[index - 8])),
            _ => {
                let known = STATIC_NAMES.iter().find(|(at, _)| *at == index);
                Ok((known.map_or(b"", |(_, name)| name), b""))
            }
        }
    }

    fn keep(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.used += name.len() + value.len() + ENTRY_OVERHEAD;
        self.entries.push_front((name, value));
        while self.used > TABLE_SIZE {
            let Some((name, value)) = self.entries.pop_back() else { return };
            self.used -= name.len() + value.len() + ENTRY_OVERHEAD;
        }
    }
}

fn plainly(bytes: &[u8]) -> Text<'_> {
    Text { bytes, coded: false }
}

/// An integer with a prefix of `bits` (RFC 7541 section 5.1).
fn integer(block: &mut &[u8], bits: u32) -> Result<usize, Unreadable> {
    let (&first, mut rest) = block.split_first().ok_or(Unreadable)?;
    let most = (1 << bits) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        for shift in [0, 7, 14, 21] {
            let (&byte, behind) = rest.split_first().ok_or(Unreadable)?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                *block = rest;
                return Ok(value);
            }
        }
        return Err(Unreadable);
    }
    *block = rest;
    Ok(value)
}

/// A string (RFC 7541 section 5.2).
fn string<'a>(block: &mut &'a [u8]) -> Result<Text<'a>, Unreadable> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    if length > block.len() {
        return Err(Unreadable);
    }
    let (bytes, rest) = block.split_at(length);
    *block = rest;
    Ok(Text { bytes, coded })
}

/// Decodes Huffman's code, a byte at a time into `take` until that says no.
fn decode(bytes: &[u8], mut take: impl FnMut(u8) -> bool) -> Result<bool, Unreadable> {
    let (mut bits, mut held) = (0u64, 0u32);
    let mut coming = bytes.iter();
    loop {
        while held <= 32
            && let Some(&byte) = coming.next()
        {
            bits = bits << 8 | u64::from(byte);
            held += 8;
        }
        match symbol(bits, held) {
            Some((byte, length)) => {
                held -= length;
                bits &= (1 << held) - 1;
                if !take(byte) {
                    return Ok(false);
                }
            }
            // What is left is padding: fewer than eight bits, all ones.
            None if held < 8 && bits == (1 << held) - 1 => return Ok(true),
            None => return Err(Unreadable),
        }
    }
}

/// The symbol that the topmost of `held` bits begin with, and its length.
fn symbol(bits: u64, held: u32) -> Option<(u8, u32)> {
    let (mut first, mut before) = (0u64, 0u32);
    for (length, symbols) in CODE {
        if length > held {
            return None;
        }
        first <<= length - before;
        before = length;
        let place = (bits >> (held - length)).wrapping_sub(first);
        if let Some(&byte) = usize::try_from(place).ok().and_then(|place| symbols.get(place)) {
            return Some((byte, length));
        }
        first += symbols.len() as u64;
    }
    None
}

/// A field to write.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// All of it stands in the static table.
    Known(u8),
    /// The name stands there, or, with 0, is `name`; the reader shall remember it.
    Kept(u8, &'a str, &'a str),
    /// The same, and it will not be referred to.
    Passing(u8, &'a str, &'a str),
}

/// A block that is sent again and again: what it is at first, what it is when the reader remembers
/// its fields, and what it is for readers that shall remember nothing.
#[derive(Debug, Default)]
pub struct Block {
    first: Vec<u8>,
    again: Vec<u8>,
    alone: Vec<u8>,
    /// The same, behind the word that nothing will be kept (RFC 7541 section 4.2).
    alone_first: Vec<u8>,
}

/// One side's writer of the same block on a connection.
#[derive(Debug, Default)]
pub struct Writer {
    keeps_nothing: bool,
    wrote: bool,
}

impl Writer {
    /// Heeds the other side's SETTINGS_HEADER_TABLE_SIZE. Less than the default is not used at all.
    pub fn heed(&mut self, size: u32) {
        self.keeps_nothing = (size as usize) < TABLE_SIZE;
    }

    /// What `block` is this time.
    pub fn write<'b>(&mut self, block: &'b Block) -> &'b [u8] {
        let first = !std::mem::replace(&mut self.wrote, true);
        match (self.keeps_nothing, first) {
            (false, true) => &block.first,
            (false, false) => &block.again,
            (true, true) => &block.alone_first,
            (true, false) => &block.alone,
        }
    }
}

impl Block {
    /// From its fields.
    pub fn new(fields: &[Field]) -> Self {
        let mut block = Self::default();
        let mut unwritten = fields.iter().filter(|field| matches!(field, Field::Kept(..))).count();
        for field in fields {
            match *field {
                Field::Known(index) => {
                    let all = [&mut block.first, &mut block.again, &mut block.alone];
                    all.into_iter().for_each(|block| block.push(0x80 | index));
                }
                Field::Kept(index, name, value) => {
                    unwritten -= 1;
                    block.first.push(0x40 | index);
                    write_literal(&mut block.first, index, name, value);
                    block.again.push(0x80 | (STATIC_LAST + 1 + unwritten) as u8);
                    write_passing(&mut block.alone, index, name, value);
                }
                Field::Passing(index, name, value) => {
                    let all = [&mut block.first, &mut block.again, &mut block.alone];
                    all.into_iter().for_each(|block| write_passing(block, index, name, value));
                }
            }
        }
        block.alone_first = [&[FORGET][..], &block.alone].concat();
        block
    }

    /// What it is where none of its fields is kept.
    pub fn alone(&self) -> &[u8] {
        &self.alone
    }
}

fn write_passing(block: &mut Vec<u8>, index: u8, name: &str, value: &str) {
    // An index beyond 14 does not fit the prefix.
    match index {
        15.. => block.extend([0x0f, index - 15]),
        _ => block.push(index),
    }
    write_literal(block, index, name, value);
}

fn write_literal(block: &mut Vec<u8>, index: u8, name: &str, value: &str) {
    if index == 0 {
        write_string(block, name);
    }
    write_string(block, value);
}

fn write_string(block: &mut Vec<u8>, plain: &str) {
    let (mut coded, mut bits, mut held) = (Vec::new(), 0u64, 0u32);
    for byte in plain.bytes() {
        let (code, length) = code_of(byte);
        bits = bits << length | code;
        held += length;
        while held >= 8 {
            held -= 8;
            coded.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        coded.push((bits << (8 - held)) as u8 | (0xff >> held));
    }
    assert!(coded.len() < 127, "fields here are short");
    block.push(0x80 | coded.len() as u8);
    block.extend(coded);
}

fn code_of(byte: u8) -> (u64, u32) {
    let (mut first, mut before) = (0u64, 0u32);
    for (length, symbols) in CODE {
        first <<= length - before;
        before = length;
        if let Some(place) = symbols.iter().position(|&symbol| symbol == byte) {
            return (first + place as u64, length);
        }
        first += symbols.len() as u64;
    }
    panic!("fields here are printable");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(reader: &mut Reader, block: &[u8]) -> Result<Vec<(String, String)>, Unreadable> {
        let mut found = Vec::new();
        let text = |text: Text| String::from_utf8(text.plain().unwrap_or_default()).unwrap();
        reader.read(block, |name, value| found.push((text(name), text(value))))?;
        Ok(found)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn strings_are_coded_as_the_rfc_does() {
        // RFC 7541 appendices C.4.1 and C.4.3.
        let mut block = Vec::new();
        write_string(&mut block, "www.example.com");
        let example = b"\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(block, example);
        block.clear();
        write_string(&mut block, "custom-value");
        assert_eq!(block, b"\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf");
    }

    #[test]
    fn every_symbol_comes_back() {
        for (_, symbols) in CODE {
            let plain = String::from_utf8(symbols.to_vec()).unwrap();
            let mut block = Vec::new();
            write_string(&mut block, &plain);
            let text = string(&mut &block[..]).unwrap();
            assert_eq!(text.plain().unwrap(), symbols);
            assert!(text.is(symbols) && !text.is(&symbols[1..]) && !text.is(b"0"));
        }
    }

    #[test]
    fn the_rfcs_answers_are_read() {
        // RFC 7541 appendix C.5.1: four literals that are kept; then references to them.
        let block = b"\x48\x03302\x58\x07private\x61\x1dMon, 21 Oct 2013 20:13:21 GMT\
            \x6e\x17https://www.example.com";
        let mut reader = Reader::default();
        let first = fields(&mut reader, block).unwrap();
        assert_eq!(first[0], pair(":status", "302"));
        assert_eq!(first[2], pair("date", "Mon, 21 Oct 2013 20:13:21 GMT"));
        let second = fields(&mut reader, b"\x88\xc0\xbf\xbe").unwrap();
        assert_eq!(second[0], pair(":status", "200"));
        assert_eq!(second[1].1, "private");
        assert_eq!(fields(&mut reader, b"\xc2"), Err(Unreadable));
    }

    #[test]
    fn coded_answers_are_read() {
        // RFC 7541 appendix C.6.1, its first two fields.
        let block = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b";
        let found = fields(&mut Reader::default(), block).unwrap();
        assert_eq!((&found[0], found[1].1.as_str()), (&pair(":status", "302"), "private"));
    }

    #[test]
    fn what_is_written_is_read() {
        let block = Block::new(&[
            Field::Known(8),
            Field::Kept(31, "", "text/plain"),
            Field::Passing(28, "", "1024"),
            Field::Kept(0, "grpc-status", "0"),
        ]);
        let wanted = [
            pair(":status", "200"),
            pair("content-type", "text/plain"),
            pair("content-length", "1024"),
            pair("grpc-status", "0"),
        ];
        for size in [4096, 100] {
            let (mut writer, mut reader) = (Writer::default(), Reader::default());
            writer.heed(size);
            for _ in 0..3 {
                assert_eq!(fields(&mut reader, writer.write(&block)).unwrap(), wanted);
            }
            assert_eq!(reader.entries.len(), if size == 100 { 0 } else { 2 });
        }
        assert!(block.again.len() < block.first.len());
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in [
            &b"\x80"[..],
            b"\x48\x05ab",
            b"\x48\x81\xff",
            b"\x7f\xff\xff\xff\xff\xff",
            b"\x3f\xff\x7f",
        ] {
            assert_eq!(fields(&mut Reader::default(), block), Err(Unreadable), "{block:02x?}");
        }
    }

    #[test]
    fn old_entries_make_room() {
        let mut reader = Reader::default();
        for n in 0..200 {
            let block = Block::new(&[Field::Kept(0, "x-a", &format!("{n:03}"))]);
            fields(&mut reader, &block.first).unwrap();
        }
        assert!(reader.used <= TABLE_SIZE && reader.entries.len() == TABLE_SIZE / 38);
    }
}
