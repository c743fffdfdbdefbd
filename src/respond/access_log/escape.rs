//! Client-chosen bytes as part of a log line.

use crate::limits::MAX_LOGGED_VALUE;

/// Appends text between the quotes of a JSON string. Bytes that are not UTF-8 are written as the
/// character of the same number, so that they can still be told apart.
pub(super) fn json_value(value: &[u8], out: &mut Vec<u8>) {
    let value = cut(value);
    let plain = plain_start(value);
    out.extend_from_slice(&value[..plain]);
    if plain < value.len() {
        json_rest(&value[plain..], out);
    }
}

#[cold]
fn json_rest(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..b' ' => unicode_escape(byte, out),
                _ => out.push(byte),
            }
        }
        for byte in chunk.invalid() {
            unicode_escape(*byte, out);
        }
    }
}

fn unicode_escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u00");
    hex(byte, out);
}

/// Appends text for the combined format: what is not printable ASCII, quotes and backslashes as
/// `\xHH`.
pub(super) fn combined_value(value: &[u8], out: &mut Vec<u8>) {
    let value = cut(value);
    let plain = plain_start(value);
    out.extend_from_slice(&value[..plain]);
    for byte in value[plain..].iter().copied() {
        match byte {
            b' '..0x7f if !matches!(byte, b'"' | b'\\') => out.push(byte),
            _ => {
                out.extend_from_slice(b"\\x");
                hex(byte, out);
            }
        }
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn cut(value: &[u8]) -> &[u8] {
    &value[..value.len().min(MAX_LOGGED_VALUE)]
}

/// Length of the start of a text that needs no escape in any format, eight bytes at a time; may
/// stop up to seven bytes early.
fn plain_start(value: &[u8]) -> usize {
    let words = value.chunks_exact(8);
    let rest = words.remainder();
    let mut length = 0;
    for word in words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        if has_special(u64::from_le_bytes(bytes)) {
            return length;
        }
        length += 8;
    }
    let special = |byte: &u8| !(b' '..0x7f).contains(byte) || matches!(byte, b'"' | b'\\');
    length + rest.iter().position(special).unwrap_or(rest.len())
}

/// Whether one of eight bytes is below a space, above `~`, a quote or a backslash. May also say so
/// of a word that holds none: then it only costs time.
fn has_special(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let below = |limit: u8| word.wrapping_sub(ONES * u64::from(limit));
    let equal = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    let above = word.wrapping_add(ONES);
    (word | above | below(b' ') | equal(b'"') | equal(b'\\')) & HIGH != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(value: &[u8]) -> String {
        let mut out = Vec::new();
        json_value(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn combined(value: &[u8]) -> String {
        let mut out = Vec::new();
        combined_value(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_escapes_what_it_must() {
        assert_eq!(
            json(b"plain text of some length, with spaces"),
            "plain text of some length, with spaces"
        );
        assert_eq!(json(b"a\"b\\c"), r#"a\"b\\c"#);
        assert_eq!(json(b"a\r\nb\0\x7f"), "a\\u000D\\u000Ab\\u0000\x7f");
        assert_eq!(json("é→".as_bytes()), "é→");
        assert_eq!(json(b"\xff\xc3"), "\\u00FF\\u00C3");
    }

    #[test]
    fn combined_escapes_all_but_printable_ascii() {
        assert_eq!(combined(b"a\"b\\c\n\x7f"), r"a\x22b\x5Cc\x0A\x7F");
        assert_eq!(combined("é".as_bytes()), r"\xC3\xA9");
    }

    #[test]
    fn a_character_cut_in_two_stays_valid() {
        let value = [vec![b'a'; MAX_LOGGED_VALUE - 1], "é".into()].concat();
        assert!(json(&value).ends_with("a\\u00C3"));
    }

    #[test]
    fn every_special_byte_is_seen_in_every_place() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut word = *b"abcdefgh";
                word[place] = byte;
                let plain = (b' '..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\');
                assert_eq!(!has_special(u64::from_le_bytes(word)), plain, "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_special_is_taken_for_plain(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let plain = &value[..plain_start(&value)];
            prop_assert!(plain.iter().all(|b| b.is_ascii_graphic() || *b == b' '));
            prop_assert!(!plain.contains(&b'"') && !plain.contains(&b'\\'));
        }
    }
}
