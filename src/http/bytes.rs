//! Which bytes may stand where, as tables, and the scanners built on them.

/// Bytes of a token (RFC 9110 section 5.6.2): methods, field names, connection options.
const TOKEN: [bool; 256] = marked(b"!#$%&'*+-.^_`|~", true);

/// Bytes of a registered host name as DNS knows them. RFC 3986 section 3.2.2 also allows
/// sub-delimiters and percent-encoding; no name in use has them and some parsers split on them.
const HOST: [bool; 256] = marked(b"-._", true);

/// Ends a target or is refused in one.
pub(crate) const TARGET_STOP: u8 = 1;
/// `?`
pub(crate) const TARGET_QUERY: u8 = 2;
/// `%` or `.`: the path may not be canonical.
pub(crate) const TARGET_WORK: u8 = 4;

/// Classes of target bytes. Stopped at: controls, space, DEL, everything beyond ASCII, `\`
/// (some servers take it for a slash) and `#`. The other bytes RFC 3986 leaves out
/// (`"<>^{|}` and the backtick) are passed on as NGINX does: clients send them unencoded, no
/// server gives them a meaning, and encoding them would make the path longer.
const TARGET: [u8; 256] = {
    let mut table = [TARGET_STOP; 256];
    let mut b = 0x21;
    while b < 0x7f {
        table[b] = 0;
        b += 1;
    }
    table[b'\\' as usize] = TARGET_STOP;
    table[b'#' as usize] = TARGET_STOP;
    table[b'?' as usize] = TARGET_QUERY;
    table[b'%' as usize] = TARGET_WORK;
    table[b'.' as usize] = TARGET_WORK;
    table
};

const fn marked(others: &[u8], alphanumeric: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = alphanumeric && (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
}

/// Class bits of a target byte.
#[inline(always)]
pub(crate) fn target_class(byte: u8) -> u8 {
    TARGET[byte as usize]
}

/// Whether a byte may stand in a host name.
#[inline(always)]
pub(crate) fn is_host(byte: u8) -> bool {
    HOST[byte as usize]
}

/// Whether all bytes are token bytes and there is one.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_end(bytes, 0) == bytes.len()
}

/// Where the token that starts at `at` ends.
#[inline(always)]
pub(crate) fn token_end(buf: &[u8], mut at: usize) -> usize {
    while at < buf.len() && TOKEN[buf[at] as usize] {
        at += 1;
    }
    at
}

/// The first byte from `at` on that may not stand in a field value (RFC 9110 section 5.5): a
/// control other than HTAB, or DEL. Bytes beyond ASCII are let through.
#[inline(always)]
pub(crate) fn value_end(buf: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    while let Some(chunk) = buf[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        let delete = word ^ (ONES * 0x7f);
        let delete = delete.wrapping_sub(ONES) & !delete;
        // A borrow can only add false hits above the first true one.
        let hits = (below_space | delete) & HIGH;
        if hits == 0 {
            at += 8;
            continue;
        }
        at += (hits.trailing_zeros() / 8) as usize;
        if buf[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    while at < buf.len() && is_value(buf[at]) {
        at += 1;
    }
    at
}

/// Whether a byte may stand in a field value.
#[inline(always)]
pub(crate) fn is_value(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// Space or HTAB: the white space of field lines (RFC 9110 section 5.6.3).
#[inline(always)]
pub(crate) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without surrounding white space.
pub(crate) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The value of a hexadecimal digit.
#[inline(always)]
pub(crate) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_scanner_agrees_with_the_rule_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut buf = [b'a'; 24];
                buf[3] = 0xff;
                buf[5] = b'\t';
                buf[place] = byte;
                let wanted = buf.iter().position(|b| !is_value(*b)).unwrap_or(buf.len());
                assert_eq!(value_end(&buf, 0), wanted, "byte {byte} at {place}");
            }
        }
    }

    #[test]
    fn tokens_are_those_of_the_rfc() {
        let tokens: Vec<u8> = (0..=255).filter(|b| is_token(&[*b])).collect();
        assert_eq!(tokens.len(), 26 * 2 + 10 + 15);
        assert!(!is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && is_token(b"x-a"));
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_only() {
        assert_eq!(trimmed(b" \t a b\t "), b"a b");
        assert_eq!(trimmed(b" \t"), b"");
        assert_eq!(trimmed(b"\x0ba"), b"\x0ba");
    }
}
