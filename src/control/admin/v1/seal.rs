//! Answers that are kept for calls that may come again.
//!
//! An answer may hold a key, which is nowhere kept in clear: it is sealed with a key derived from the
//! caller's token (BLAKE3's key derivation, AES-256-GCM), which is not kept either. Whoever has the
//! store without the token can't read it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::problem::{Problem, rules};
use super::secret;

/// What the derived key is for, and nothing else (BLAKE3's context string).
const CONTEXT: &str = "tollgate 2026-11 answers kept for repeated calls";

/// Seals for the bearer of this token; `place` is where it is kept, so that it opens only there.
pub(super) fn seal(token: &str, place: &str, answer: &str) -> Result<Vec<u8>, Problem> {
    let nonce: [u8; NONCE_LEN] = secret::random()?;
    let mut sealed = answer.as_bytes().to_vec();
    let place = Aad::from(place.as_bytes());
    key(token)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut sealed)
        .map_err(|_| broken())?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal`] made.
pub(super) fn open(token: &str, place: &str, sealed: &[u8]) -> Result<String, Problem> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
    let mut sealed = sealed.to_vec();
    let place = Aad::from(place.as_bytes());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let answer = key(token)?.open_in_place(nonce, place, &mut sealed).map_err(|_| broken())?;
    String::from_utf8(answer.to_vec()).map_err(|_| broken())
}

fn key(token: &str) -> Result<LessSafeKey, Problem> {
    let key = blake3::derive_key(CONTEXT, token.as_bytes());
    UnboundKey::new(&AES_256_GCM, &key).map(LessSafeKey::new).map_err(|_| broken())
}

fn broken() -> Problem {
    Problem::new(rules::INTERNAL, "the answer that was kept can't be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_token_in_its_place_only() {
        let sealed = seal("tgt_a", "1 order-7", "{\"key\":\"tg_x\"}").unwrap();
        assert!(!sealed.windows(4).any(|bytes| bytes == b"tg_x"));
        assert_eq!(open("tgt_a", "1 order-7", &sealed).unwrap(), "{\"key\":\"tg_x\"}");
        assert!(open("tgt_b", "1 order-7", &sealed).is_err());
        assert!(open("tgt_a", "1 order-8", &sealed).is_err());
        assert!(open("tgt_a", "1 order-7", &sealed[1..]).is_err());
        assert!(open("tgt_a", "1 order-7", b"").is_err());
    }
}
