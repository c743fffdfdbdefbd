//! The static table (RFC 7541 appendix A).

/// Entries of the static table; the dynamic one is numbered on from there.
pub(super) const STATIC_LEN: usize = 61;

/// No entry behind it has a value.
const LAST_WITH_VALUE: usize = 16;

type Pair = (&'static [u8], &'static [u8]);

/// Number 1 is the first.
static TABLE: [Pair; STATIC_LEN] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Slots of the names' table, a power of two.
const SLOTS: usize = 256;

/// Numbers by the hash of their name, the first of those of one name, in the first free slot from there.
static NUMBERS: [u8; SLOTS] = {
    let mut slots = [0; SLOTS];
    let mut number = 1;
    while number <= STATIC_LEN {
        if number == 1 || !same(TABLE[number - 1].0, TABLE[number - 2].0) {
            let mut slot = hash(TABLE[number - 1].0) as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = number as u8;
        }
        number += 1;
    }
    slots
};

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Of a name, by its length, its first bytes and its last, which tell static names apart.
#[inline(always)]
const fn hash(name: &[u8]) -> u32 {
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let (first, middle, last) = (name[0], name[len / 2], name[len - 1]);
    let word = u32::from_le_bytes([first, middle, last, len as u8]);
    word.wrapping_mul(0x9e37_79b1) >> 20
}

/// The entry of that number.
#[inline]
pub(super) fn entry(number: usize) -> Option<Pair> {
    TABLE.get(number.wrapping_sub(1)).copied()
}

/// The first number of a name.
#[inline]
pub(super) fn number_of(name: &[u8]) -> Option<usize> {
    let mut slot = hash(name) as usize % SLOTS;
    loop {
        let number = usize::from(NUMBERS[slot]);
        let (known, _) = entry(number)?;
        if known == name {
            return Some(number);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// The number of a whole field, whose name has its first at `first`.
#[inline]
pub(super) fn number_with(first: usize, value: &[u8]) -> Option<usize> {
    if first > LAST_WITH_VALUE {
        return None;
    }
    let (name, _) = entry(first)?;
    let mut alike = TABLE[first - 1..].iter().take_while(|(other, _)| *other == name);
    // An empty value in the table stands for none in particular.
    let found = alike.position(|(_, v)| !v.is_empty() && *v == value);
    found.map(|at| first + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        for (at, (name, value)) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|(n, _)| n == name).map(|n| n + 1);
            assert_eq!(number_of(name), first);
            if !value.is_empty() {
                assert_eq!(first.and_then(|first| number_with(first, value)), Some(at + 1));
            }
            assert_eq!(entry(at + 1), Some((*name, *value)));
        }
        assert_eq!((entry(0), entry(62)), (None, None));
        for name in [&b""[..], b"x", b":", b"x-request-id", b"hosts", b"dat\x05"] {
            assert_eq!(number_of(name), None, "{}", name.escape_ascii());
        }
        assert_eq!(number_with(8, b"201"), None);
        assert_eq!(number_with(1, b""), None);
    }
}
