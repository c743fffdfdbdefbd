//! What credentials are known by.

use std::hash::Hasher;

use crate::config::file::CredentialKind;

/// What a credential is known by, keyed and hashed (BLAKE3).
pub type Digest = [u8; 32];

/// The digest of what a credential of this kind is known by to the product of this id: of a `user_key` the key,
/// of an `app_key` app_id and key, of `basic` the user, of a `certificate` its fingerprint or subject, of a
/// `jwt` the verifier's name (or `introspection:NAME`) and the claim's value. Of several parts each is
/// told from the next. Keys that are drawn have the same one whatever the product.
pub fn digest(secret: &Digest, known: (u64, CredentialKind), parts: &[&[u8]]) -> Digest {
    let mut length = 0;
    each(known, parts, &mut |bytes| length += bytes.len());
    let mut short = [0; SHORT];
    match short.get_mut(..length) {
        // At once, without the state of long inputs, which is large.
        Some(whole) => {
            let mut rest = &mut *whole;
            let mut write = |bytes: &[u8]| {
                let (here, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
                here.copy_from_slice(bytes);
                rest = behind;
            };
            each(known, parts, &mut write);
            *blake3::keyed_hash(secret, whole).as_bytes()
        }
        None => {
            let mut hasher = blake3::Hasher::new_keyed(secret);
            each(known, parts, &mut |bytes| {
                hasher.update(bytes);
            });
            *hasher.finalize().as_bytes()
        }
    }
}

/// Bytes of inputs that are put together before they are hashed.
const SHORT: usize = 192;

/// What is hashed.
fn each((product, kind): (u64, CredentialKind), parts: &[&[u8]], write: &mut dyn FnMut(&[u8])) {
    write(&[kind as u8]);
    if !kind.is_drawn() {
        write(&product.to_le_bytes());
    }
    for part in parts {
        write(&(part.len() as u64).to_le_bytes());
        write(part);
    }
}

/// Digests are evenly spread already: their first bytes are hash enough.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The length that is written before an array's bytes says nothing.
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_inputs_and_long_ones_are_hashed_alike() {
        let secret = [7; 32];
        for length in 0..SHORT {
            let (first, second) = (vec![b'a'; length], b"key".as_slice());
            let mut hasher = blake3::Hasher::new_keyed(&secret);
            let known = (1, CredentialKind::AppKey);
            each(known, &[&first, second], &mut |bytes| {
                hasher.update(bytes);
            });
            let expected = *hasher.finalize().as_bytes();
            assert_eq!(digest(&secret, known, &[&first, second]), expected, "{length}");
        }
    }

    #[test]
    fn what_is_said_of_somebody_is_each_products_and_a_key_is_itself() {
        let of = |product, kind| digest(&[7; 32], (product, kind), &[b"ann"]);
        for kind in [CredentialKind::Basic, CredentialKind::Certificate, CredentialKind::Jwt] {
            assert_ne!(of(1, kind), of(2, kind), "{kind:?}");
        }
        for kind in [CredentialKind::UserKey, CredentialKind::AppKey] {
            assert_eq!(of(1, kind), of(2, kind), "{kind:?}");
        }
    }
}
