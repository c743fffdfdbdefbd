//! Field blocks go out (RFC 7541 section 6): cheap before small.
//!
//! Strings go as they are, without Huffman's code. What makes blocks small are fields that come again: a
//! field is put into the table when it is there for the second time, so that what never repeats (lengths
//! of content, request ids, traces) costs neither end a place in it, and nobody has to know which
//! fields those are.

use super::statics::{self, STATIC_LEN};
use super::table::{Name, Table, size};
use super::{TABLE_SIZE, full};

/// Slots for what is in the table, and for what was there once: some times the entries of a table.
const SLOTS: usize = 256;
/// Larger fields would throw too much else out of the table.
const LARGEST: usize = TABLE_SIZE / 4;

/// Longer names are written out.
const NAME_MAX: usize = 64;

/// First bits and length of the prefix of each representation.
const INDEXED: (u8, u32) = (0x80, 7);
const REMEMBERED: (u8, u32) = (0x40, 6);
const SIZE: (u8, u32) = (0x20, 5);
const NEVER: (u8, u32) = (0x10, 4);
const PASSING: (u8, u32) = (0x00, 4);

/// Encodes the blocks of one end of a connection.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// What the table may have, of what the peer allows.
    most: usize,
    /// The least that this was since the last block, if it has changed.
    least: Option<usize>,
    index: Option<Box<Index>>,
}

/// Where fields are, by their hash. What it says is only a hint.
#[derive(Debug)]
struct Index {
    /// Serials in the table, modulo 2^16; a field has two slots.
    serials: [u16; SLOTS],
    /// Marks of fields that were there once.
    seen: [u16; SLOTS],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// For a peer that has said nothing of its table yet.
    pub fn new() -> Self {
        Self { table: Table::new(TABLE_SIZE), most: TABLE_SIZE, least: None, index: None }
    }

    /// What the peer's SETTINGS_HEADER_TABLE_SIZE is. Holds from the next block on.
    pub fn set_max_table(&mut self, most: usize) {
        let most = most.min(TABLE_SIZE);
        if most != self.most {
            self.least = Some(self.least.unwrap_or(self.most).min(most));
            self.most = most;
        }
    }

    /// A block that was begun will not be sent: the next one has the peer forget what it knows, too.
    pub(in crate::http::h2) fn abandon(&mut self) {
        self.least = Some(0);
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(least) = self.least.take() else { return };
        self.resize(least, out);
        if least != self.most {
            self.resize(self.most, out);
        }
    }

    fn resize(&mut self, max: usize, out: &mut Vec<u8>) {
        integer(SIZE, max, out);
        self.table.resize(max);
    }

    /// Appends a field, whose name may be in any case.
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let mut lower = [0; NAME_MAX];
        let Some(place) = lower.get_mut(..name.len()) else {
            literal(PASSING, None, name, value, out);
            return;
        };
        place.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.lower_field(&lower, name.len(), value, out);
    }

    /// The same where the name is the first `len` bytes, in lower case.
    #[inline]
    fn lower_field(
        &mut self,
        padded: &[u8; NAME_MAX],
        len: usize,
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let name = &padded[..len];
        let number = statics::number_of(name);
        if let Some(both) = number.and_then(|first| statics::number_with(first, value)) {
            return integer(INDEXED, both, out);
        }
        if is_secret(number, name) {
            return literal(NEVER, number, name, value, out);
        }
        if size(len, value.len()) > LARGEST.min(self.table.max()) {
            return literal(PASSING, number, name, value, out);
        }
        let hash = hash(number, padded, len, value);
        let index = self.index.get_or_insert_with(Index::new);
        if let Some(number) = index.find(&self.table, hash, name, value) {
            return integer(INDEXED, STATIC_LEN + 1 + number, out);
        }
        if !index.is_seen(hash) {
            return literal(PASSING, number, name, value, out);
        }
        literal(REMEMBERED, number, name, value, out);
        if let Some(serial) = self.table.insert(Name::Text(name), value) {
            index.note(&self.table, hash, serial);
        }
    }
}

impl Index {
    fn new() -> Box<Self> {
        Box::new(Self { serials: [0; SLOTS], seen: [0; SLOTS] })
    }

    fn slots(hash: u32) -> [usize; 2] {
        let slot = hash as usize % SLOTS;
        [slot, slot ^ 1]
    }

    #[inline]
    fn find(&self, table: &Table, hash: u32, name: &[u8], value: &[u8]) -> Option<usize> {
        Self::slots(hash).into_iter().find_map(|slot| {
            let number = table.number_of(self.serials[slot])?;
            let (known, had) = table.get(number)?;
            (known == name && had == value).then_some(number)
        })
    }

    /// Whether the field was there before; from now on it was.
    fn is_seen(&mut self, hash: u32) -> bool {
        let mark = (hash >> 16) as u16 | 1;
        std::mem::replace(&mut self.seen[(hash >> 8) as usize % SLOTS], mark) == mark
    }

    fn note(&mut self, table: &Table, hash: u32, serial: u16) {
        let [slot, other] = Self::slots(hash);
        let is_taken = table.number_of(self.serials[slot]).is_some();
        self.serials[if is_taken { other } else { slot }] = serial;
    }
}

/// Whether a field is a credential, whose length must not tell who guesses what it is (RFC 7541 section
/// 7.1): `authorization`, `cookie`, `proxy-authorization` and `set-cookie`, by their static numbers.
fn is_secret(number: Option<usize>, name: &[u8]) -> bool {
    match number {
        Some(number) => matches!(number, 23 | 32 | 49 | 55),
        None => name == b"x-api-key",
    }
}

/// Appends a literal, whose name is that of an entry of the static table or written out.
#[inline]
fn literal(kind: (u8, u32), number: Option<usize>, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    integer(kind, number.unwrap_or(0), out);
    if number.is_none() {
        integer((0, 7), name.len(), out);
        let at = out.len();
        out.extend_from_slice(name);
        out[at..].make_ascii_lowercase();
    }
    integer((0, 7), value.len(), out);
    out.extend_from_slice(value);
}

/// Appends an integer behind the first bits of a representation (section 5.1).
#[inline(always)]
fn integer((bits, prefix): (u8, u32), value: usize, out: &mut Vec<u8>) {
    let full = full(prefix);
    match value < usize::from(full) {
        true => out.push(bits | value as u8),
        false => long_integer(bits | full, value - usize::from(full), out),
    }
}

fn long_integer(first: u8, mut rest: usize, out: &mut Vec<u8>) {
    out.push(first);
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Of a field whose name has that number in the static table, or is the first `len` bytes, zeros behind it.
#[inline]
fn hash(number: Option<usize>, padded: &[u8; NAME_MAX], len: usize, value: &[u8]) -> u32 {
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut hash = mix(number.unwrap_or(0) as u64, value.len() as u64);
    let words = if number.is_none() { len.div_ceil(8) } else { 0 };
    for word in &padded.as_chunks::<8>().0[..words] {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let (whole, rest) = value.as_chunks::<8>();
    for word in whole {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        hash = mix(hash, last_word(value));
    }
    (hash >> 32) as u32
}

/// Up to eight bytes at the end, some of which may be in it twice.
#[inline]
fn last_word(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::super::Decoder;
    use super::*;
    use proptest::prelude::*;

    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    fn encode(encoder: &mut Encoder, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        fields.iter().for_each(|(name, value)| encoder.field(name, value, &mut out));
        out
    }

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Fields {
        let mut fields = Fields::new();
        let decoded =
            decoder.decode(block, usize::MAX, |n, v, _| fields.push((n.into(), v.into())));
        assert_eq!(decoded, Ok(()), "{block:x?}");
        fields
    }

    #[test]
    fn what_the_static_table_has_takes_a_byte() {
        let fields: [(&[u8], &[u8]); 6] = [
            (b":method", b"GET"),
            (b":method", b"POST"),
            (b":path", b"/"),
            (b":scheme", b"https"),
            (b":status", b"404"),
            (b"Accept-Encoding", b"gzip, deflate"),
        ];
        assert_eq!(encode(&mut Encoder::new(), &fields), [0x82, 0x83, 0x84, 0x87, 0x8d, 0x90]);
    }

    #[test]
    fn what_comes_again_is_remembered() {
        let mut encoder = Encoder::new();
        let fields: [(&[u8], &[u8]); 3] = [(b"Server", b"x"), (b"X-A", b"y"), (b"date", b"1")];
        let first = encode(&mut encoder, &fields);
        assert_eq!(first, b"\x0f\x27\x01x\x00\x03x-a\x01y\x0f\x12\x011");
        let second = encode(&mut encoder, &fields);
        assert_eq!(second, b"\x76\x01x\x40\x03x-a\x01y\x61\x011");
        assert_eq!(encode(&mut encoder, &fields), [0xc0, 0xbf, 0xbe]);
        assert_eq!(encode(&mut encoder, &[(b"x-a", b"z")]), b"\x00\x03x-a\x01z");
    }

    #[test]
    fn credentials_are_never_remembered() {
        let mut encoder = Encoder::new();
        for name in ["authorization", "Cookie", "proxy-authorization", "set-cookie", "X-Api-Key"] {
            for _ in 0..3 {
                let block = encode(&mut encoder, &[(name.as_bytes(), b"x")]);
                assert_eq!(block[0] & 0xf0, 0x10, "{name}");
            }
        }
    }

    #[test]
    fn a_peers_table_is_not_outgrown() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
        let fields: [(&[u8], &[u8]); 2] = [(b"server", b"x"), (b"x-a", b"y")];
        let mut told = |encoder: &mut Encoder| {
            let block = encode(encoder, &fields);
            let decoded = decode(&mut decoder, &block);
            assert_eq!(decoded.len(), 2);
            block
        };
        for _ in 0..3 {
            told(&mut encoder);
        }
        encoder.set_max_table(0);
        encoder.set_max_table(1 << 20);
        assert!(told(&mut encoder).starts_with(b"\x20\x3f\xe1\x1f\x76"));
        assert_eq!(told(&mut encoder), [0xbf, 0xbe]);
        encoder.set_max_table(0);
        assert!(told(&mut encoder).starts_with(b"\x20\x0f"));
        assert!(told(&mut encoder).starts_with(b"\x0f"));
        encoder.set_max_table(40);
        assert!(told(&mut encoder).starts_with(b"\x20\x3f\x09\x76"));
        encoder.abandon();
        assert!(told(&mut encoder).starts_with(b"\x20\x3f\x09"));
    }

    fn a_field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let some = proptest::sample::select(vec![
            "a",
            "x-b",
            "cookie",
            "date",
            ":path",
            ":status",
            "content-length",
            "accept-encoding",
        ]);
        let name = prop_oneof![
            3 => some.prop_map(|name| name.as_bytes().to_vec()),
            1 => proptest::collection::vec(b'a'..=b'z', 0..40),
        ];
        let value = prop_oneof![
            3 => proptest::sample::select(vec!["", "1", "/", "200", "gzip, deflate"])
                .prop_map(|value| value.as_bytes().to_vec()),
            2 => proptest::collection::vec(any::<u8>(), 0..100),
            1 => proptest::collection::vec(any::<u8>(), 900..2000),
        ];
        (name, value)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            blocks in proptest::collection::vec(
                (proptest::collection::vec(a_field(), 0..12), proptest::option::of(0..6000usize)),
                0..60,
            ),
        ) {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
            for (fields, size) in blocks {
                if let Some(size) = size {
                    encoder.set_max_table(size);
                }
                let mut out = Vec::new();
                encoder.begin(&mut out);
                for (name, value) in &fields {
                    encoder.field(name, value, &mut out);
                }
                prop_assert_eq!(decode(&mut decoder, &out), fields);
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4),
        ) {
            let mut decoder = Decoder::new(TABLE_SIZE);
            for block in blocks {
                let mut count = 0;
                let decoded = decoder.decode(&block, 2000, |name, value, _| {
                    count += size(name.len(), value.len());
                });
                prop_assert!(count <= 2000);
                if decoded.is_err() {
                    break;
                }
            }
        }
    }
}
