//! What credentials are known by.

use crate::config::file::CredentialKind;

/// What a credential is known by, keyed and hashed (BLAKE3).
pub type Digest = [u8; 32];

/// The digest of what a credential of this kind is known by: of a `user_key` the key, of an
/// `app_key` app_id and key, of `basic` the user, of a `certificate` its fingerprint or subject, of a
/// `jwt` the verifier's name and the claim's value. Of several parts each is told from the next.
pub fn digest(secret: &Digest, kind: CredentialKind, parts: &[&[u8]]) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&[kind as u8]);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
