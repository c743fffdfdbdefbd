//! Random values: from the system.

use rusqlite::{Connection, OptionalExtension, params};

use crate::policy::auth::Digest;
use crate::store::{ErrorKind, StoreError};

/// What the store's digests are keyed with; made where there is none yet.
pub(in crate::store) fn secret(connection: &Connection) -> Result<Digest, StoreError> {
    let read = "SELECT value FROM secrets WHERE name = 'digests'";
    let find = || connection.query_row(read, [], |row| row.get(0)).optional();
    if let Some(found) = find()? {
        return Ok(found);
    }
    let mut made = [0; 32];
    fill(&mut made)?;
    // Another process may make one at the same time: the first one stays.
    let query = "INSERT OR IGNORE INTO secrets (name, value) VALUES ('digests', ?1)";
    connection.execute(query, params![made])?;
    find()?.ok_or_else(|| StoreError::new(ErrorKind::Corrupt, "the store has lost its secret"))
}

/// So many random letters and digits behind a prefix: six bits each, less a little.
///
/// # Errors
/// Where the system has no randomness to give.
pub fn random_text(prefix: &str, length: usize) -> Result<String, StoreError> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = prefix.to_owned();
    while text.len() < prefix.len() + length {
        let mut bytes = [0; 64];
        fill(&mut bytes)?;
        // The last 8 values would make some letters likelier.
        let even = bytes.iter().filter(|byte| **byte < 248);
        let missing = prefix.len() + length - text.len();
        text.extend(even.take(missing).map(|byte| char::from(LETTERS[usize::from(byte % 62)])));
    }
    Ok(text)
}

fn fill(bytes: &mut [u8]) -> Result<(), StoreError> {
    aws_lc_rs::rand::fill(bytes)
        .map_err(|_| StoreError::new(ErrorKind::Other, "the system gives no random bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_texts_have_their_length_and_every_letter() {
        let text = random_text("tg_", 10_000).expect("random");
        assert_eq!((text.len(), &text[..3]), (10_003, "tg_"));
        let seen: std::collections::BTreeSet<char> = text[3..].chars().collect();
        assert_eq!(seen.len(), 62);
        assert!(seen.iter().all(char::is_ascii_alphanumeric));
        assert_ne!(random_text("", 40), random_text("", 40));
    }
}
