//! Keys and tokens: made once, shown once, and known by their digests from then on.

use super::problem::{Problem, rules};
use crate::policy::auth::Digest;
use crate::store::catalog::random_text;

/// What keys of applications begin with.
const KEY: &str = "tg_";
/// What tokens of the admin API begin with.
pub(super) const TOKEN: &str = "tgt_";
/// Characters after that: 62^40 is more than 2^238.
const LENGTH: usize = 40;
/// Characters of a secret by which its owner knows it again: three after its beginning.
const SHOWN: usize = 3;

/// A new key of an application.
pub(super) fn key() -> Result<String, Problem> {
    Ok(random_text(KEY, LENGTH)?)
}

/// A new token of the admin API.
pub(super) fn token() -> Result<String, Problem> {
    Ok(random_text(TOKEN, LENGTH)?)
}

/// A new app_id: public, and told apart from all others.
pub(super) fn app_id() -> Result<String, Problem> {
    let bytes: [u8; 8] = random()?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// The beginning of a secret, for people.
pub(super) fn hint(secret: &str) -> String {
    let from = [TOKEN, KEY].iter().find(|from| secret.starts_with(**from)).map_or(0, |f| f.len());
    let shown: String = secret.chars().take(from + SHOWN).collect();
    format!("{shown}…")
}

/// The same of one that somebody chose, of which no more than a quarter is shown.
pub(super) fn hint_of_chosen(secret: &str) -> String {
    let shown: String = secret.chars().take(SHOWN.min(secret.len() / 4)).collect();
    format!("{shown}…")
}

/// The digest of a token. No kind of credential has the number 0, so that a key is never a token.
pub(super) fn token_digest(secret: &Digest, token: &str) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&[0]);
    hasher.update(token.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let none = |_| Problem::new(rules::INTERNAL, "the system gives no random bytes");
    aws_lc_rs::rand::fill(&mut bytes).map_err(none)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_their_form_and_no_two_are_the_same() {
        let (one, other) = (key().unwrap(), key().unwrap());
        assert_ne!(one, other);
        let rest = one.strip_prefix("tg_").unwrap();
        assert!(rest.len() == 40 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(app_id().unwrap().len(), 16);
        assert!(token().unwrap().starts_with("tgt_"));
    }

    #[test]
    fn a_hint_tells_little() {
        assert_eq!(hint("tg_abcdefgh"), "tg_abc…");
        assert_eq!(hint("tgt_abcdefgh"), "tgt_abc…");
        assert_eq!(hint("alice"), "ali…");
        assert_eq!(hint_of_chosen("12345678"), "12…");
        assert_eq!(hint_of_chosen("tg_1234567890123"), "tg_…");
    }

    #[test]
    fn a_token_is_no_key() {
        let secret = [7; 32];
        let kind = crate::config::file::CredentialKind::UserKey;
        let key = crate::policy::auth::digest(&secret, (1, kind), &[b"tgt_x"]);
        assert_ne!(token_digest(&secret, "tgt_x"), key);
    }
}
