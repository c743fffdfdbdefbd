//! A fast hash for fixed tables. It has no key: what clients send is only looked up, never
//! inserted, and a match is always confirmed by comparing the text.

const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xd6e8_feb8_6659_fd93;

/// Hash of some text.
pub(super) fn of(text: &[u8]) -> u64 {
    let seed = FIRST ^ text.len() as u64;
    if text.len() <= 16 {
        let (a, b) = short(text);
        return fold(a ^ SECOND, b ^ seed);
    }
    let mut state = seed;
    let mut rest = text;
    while let Some((chunk, tail)) = rest.split_first_chunk::<16>() {
        state = absorb(state, chunk);
        rest = tail;
    }
    match text.last_chunk::<16>() {
        Some(last) if !rest.is_empty() => absorb(state, last),
        _ => state,
    }
}

/// Two hashes, or a hash and a number, made one; the order matters.
pub(super) fn join(scope: u64, hash: u64) -> u64 {
    fold(scope.rotate_left(32) ^ SECOND, hash ^ FIRST)
}

fn absorb(state: u64, chunk: &[u8; 16]) -> u64 {
    let (a, b) = chunk.split_at(8);
    fold(word(a) ^ SECOND, word(b) ^ state)
}

/// Up to 16 bytes as two words; they overlap where there are fewer.
fn short(text: &[u8]) -> (u64, u64) {
    if let (Some(a), Some(b)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (u64::from_le_bytes(*a), u64::from_le_bytes(*b))
    } else if let (Some(a), Some(b)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (u32::from_le_bytes(*a).into(), u32::from_le_bytes(*b).into())
    } else {
        match *text {
            [] => (0, 0),
            [a] => (a.into(), 0),
            [a, b] => (a.into(), b.into()),
            [a, b, c, ..] => (a.into(), u64::from(b) << 8 | u64::from(c)),
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// Both halves of the product, made one: each bit of either number counts in most of the result's.
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_that_look_alike_hash_apart() {
        let mut seen = HashSet::new();
        for len in 0..70 {
            assert!(seen.insert(of(&vec![b'a'; len])), "length {len}");
            assert!(seen.insert(of(&vec![0; len + 1])), "zeros {len}");
        }
        for n in 0..100_000 {
            assert!(seen.insert(of(format!("/orders/{n}/items").as_bytes())), "{n}");
        }
    }

    #[test]
    fn every_byte_counts() {
        for len in 1..64 {
            let text = vec![b'x'; len];
            for at in 0..len {
                let mut other = text.clone();
                other[at] = b'y';
                assert_ne!(of(&text), of(&other), "byte {at} of {len}");
            }
        }
    }

    #[test]
    fn joined_hashes_depend_on_the_order() {
        assert_ne!(join(1, 2), join(2, 1));
        assert_ne!(join(1, 2), join(1, 3));
    }
}
