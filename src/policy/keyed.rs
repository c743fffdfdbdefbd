//! A quick hash for keys made of numbers that nobody outside chooses: ids of the store, hours.
//!
//! Multiplying two 64-bit numbers and adding both halves of the product mixes as well as such tables
//! need in a few instructions, where SipHash, which also withstands keys that were chosen to collide,
//! takes some 20 ns a key. The factors are random numbers of this process.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::route::hash::fold;

/// Makes hashers with the same two random factors.
#[derive(Debug, Clone)]
pub struct Keyed {
    first: u64,
    factor: u64,
}

impl Default for Keyed {
    fn default() -> Self {
        let random = RandomState::new();
        // Odd, so that a product loses none of the other's bits.
        Self { first: random.hash_one(1u8), factor: random.hash_one(2u8) | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.first, factor: self.factor }
    }
}

/// What was hashed so far.
#[derive(Debug)]
pub struct KeyedHasher {
    state: u64,
    factor: u64,
}

impl Hasher for KeyedHasher {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.state = fold(self.state ^ number, self.factor);
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..piece.len()].copy_from_slice(piece);
            self.write_u64(u64::from_le_bytes(number));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        fold(self.state, self.factor.rotate_left(32))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn neighbours_are_spread_over_all_bits() {
        let keyed = Keyed::default();
        let hashes: Vec<u64> = (0..65_536u64).map(|id| keyed.hash_one((id, 7u32, 2u8))).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        for bit in 0..64 {
            let set = hashes.iter().filter(|hash| **hash >> bit & 1 == 1).count();
            assert!((24_000..42_000).contains(&set), "bit {bit}: {set} of {}", hashes.len());
        }
    }

    #[test]
    fn each_process_hashes_otherwise() {
        assert_ne!(Keyed::default().hash_one(1u64), Keyed::default().hash_one(1u64));
    }
}
