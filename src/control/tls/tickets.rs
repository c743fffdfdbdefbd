//! Session tickets under keys from files, so that nodes which share the files resume each other's
//! sessions.
//!
//! A ticket is the name of its key (16 bytes), the second it was made in (8), a salt (32), and the
//! session under AES-256-GCM. Each ticket has a key of its own, derived from the file's and the salt,
//! so that no number of nodes and tickets wears out a nonce.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

use super::files::Files;
use crate::limits::{TLS_FILE_MAX, TLS_TICKET_LIFETIME};

/// Bytes of a file: those that NGINX takes, who has them already.
const SIZES: [usize; 2] = [48, 80];
const NAME: usize = 16;
const SALT: usize = 32;
/// Name, time and salt: in clear, but bound to the session by its tag.
const HEAD: usize = NAME + size_of::<u64>() + SALT;
/// Keeps keys of this use apart from whatever else is derived from a file.
const PURPOSE: &[u8] = b"tollgate session tickets 1";

/// What is wrong with a file, and what to do about it.
type Refused = (String, &'static str);

/// The content of a file.
struct Key {
    name: [u8; NAME],
    secret: Vec<u8>,
}

/// The keys of a listener's tickets: the first makes them, all open them.
pub(super) struct TicketKeys(Vec<Key>);

impl TicketKeys {
    /// Reads the files; what is wrong is told with their place in the list.
    pub(super) fn read<'p>(
        paths: impl Iterator<Item = &'p Path>,
        files: &mut Files,
    ) -> Result<Self, Vec<(usize, Refused)>> {
        let (mut keys, mut wrong) = (Vec::<Key>::new(), Vec::new());
        for (position, path) in paths.enumerate() {
            match key(path, files) {
                Ok(key) if keys.iter().any(|other| other.name == key.name) => {
                    let message = "another file of this list holds this key".to_owned();
                    wrong.push((position, (message, "list each key once")));
                }
                Ok(key) => keys.push(key),
                Err(refused) => wrong.push((position, refused)),
            }
        }
        if wrong.is_empty() { Ok(Self(keys)) } else { Err(wrong) }
    }

    /// What makes and opens tickets of clients of whom that is asked: none is good where something
    /// else is.
    pub(super) fn ticketer(&self, asked: Option<&[u8]>) -> Arc<dyn ProducesTickets> {
        Arc::new(self.tickets(asked))
    }

    fn tickets(&self, asked: Option<&[u8]>) -> Tickets {
        let purpose = Salt::new(HKDF_SHA256, PURPOSE);
        let derived = self.0.iter().map(|key| {
            let secret = [&key.secret, asked.unwrap_or_default()].concat();
            (key.name, purpose.extract(&secret))
        });
        Tickets(derived.collect())
    }
}

fn key(path: &Path, files: &mut Files) -> Result<Key, Refused> {
    const MAKE: &str = "make one with `openssl rand -out FILE 80`";
    const READABLE: &str = "the gateway must be allowed to read it";
    let text = files.read(path, TLS_FILE_MAX).map_err(|why| (why, READABLE))?;
    if !SIZES.contains(&text.len()) {
        let message = format!("a key has 48 or 80 bytes, not {}", text.len());
        return Err((message, MAKE));
    }
    if text[NAME..].iter().all(|byte| *byte == text[NAME]) {
        return Err(("this is no random key".to_owned(), MAKE));
    }
    if files.is_open_to_all(path) {
        let message = "everybody on this machine can read it".to_owned();
        return Err((message, "take that away: `chmod o= FILE`"));
    }
    let (name, secret) = text.split_at(NAME);
    Ok(Key { name: name.try_into().unwrap_or_default(), secret: secret.to_vec() })
}

/// Makes and opens tickets. The first key makes them.
struct Tickets(Vec<([u8; NAME], Prk)>);

impl Tickets {
    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, prk) = self.0.first()?;
        let mut ticket = Vec::with_capacity(HEAD + session.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&now.to_be_bytes());
        let mut salt = [0; SALT];
        rand::fill(&mut salt).ok()?;
        ticket.extend_from_slice(&salt);
        let mut sealed = session.to_vec();
        let key = own_key(prk, &salt)?;
        key.seal_in_place_append_tag(nonce(), Aad::from(ticket.as_slice()), &mut sealed).ok()?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(HEAD)?;
        let (name, rest) = head.split_first_chunk::<NAME>()?;
        let (made, salt) = rest.split_first_chunk::<8>()?;
        // Clocks of nodes differ, so one of the future is as good.
        if now.abs_diff(u64::from_be_bytes(*made)) > u64::from(TLS_TICKET_LIFETIME) {
            return None;
        }
        let (_, prk) = self.0.iter().find(|(known, _)| known == name)?;
        let mut session = sealed.to_vec();
        let opened = own_key(prk, salt)?.open_in_place(nonce(), Aad::from(head), &mut session);
        let len = opened.ok()?.len();
        session.truncate(len);
        Some(session)
    }
}

/// The key of one ticket.
fn own_key(prk: &Prk, salt: &[u8]) -> Option<LessSafeKey> {
    let key = UnboundKey::from(prk.expand(&[salt], &AES_256_GCM).ok()?);
    Some(LessSafeKey::new(key))
}

/// Its key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TLS_TICKET_LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("keys", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(seeds: &[u8], asked: Option<&[u8]>) -> Tickets {
        let key = |seed: &u8| Key { name: [*seed; NAME], secret: vec![*seed; 32] };
        TicketKeys(seeds.iter().map(key).collect()).tickets(asked)
    }

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn the_first_key_makes_and_all_open() {
        let (before, after) = (tickets(&[1], None), tickets(&[2, 1], None));
        let ticket = before.seal(b"a session", NOW).unwrap();
        assert_eq!(after.open(&ticket, NOW).unwrap(), b"a session");
        let ticket = after.seal(b"another", NOW).unwrap();
        assert_eq!(before.open(&ticket, NOW), None);
        assert_eq!(tickets(&[2], None).open(&ticket, NOW).unwrap(), b"another");
    }

    #[test]
    fn a_ticket_is_good_for_what_was_asked_when_it_was_made() {
        let ticket = tickets(&[1], Some(b"required")).seal(b"a session", NOW).unwrap();
        assert!(tickets(&[1], Some(b"required")).open(&ticket, NOW).is_some());
        assert_eq!(tickets(&[1], None).open(&ticket, NOW), None);
        assert_eq!(tickets(&[1], Some(b"optional")).open(&ticket, NOW), None);
    }

    #[test]
    fn a_ticket_has_its_time() {
        let tickets = tickets(&[1], None);
        let ticket = tickets.seal(b"a session", NOW).unwrap();
        let lifetime = u64::from(TLS_TICKET_LIFETIME);
        assert!(tickets.open(&ticket, NOW + lifetime).is_some());
        assert_eq!(tickets.open(&ticket, NOW + lifetime + 1), None);
        assert_eq!(tickets.open(&ticket, NOW - lifetime - 1), None);
    }

    #[test]
    fn no_byte_of_a_ticket_may_change() {
        let tickets = tickets(&[1], None);
        let ticket = tickets.seal(b"a session", NOW).unwrap();
        assert_ne!(ticket, tickets.seal(b"a session", NOW).unwrap());
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets.open(&other, NOW), None, "{at}");
            assert_eq!(tickets.open(&ticket[..at], NOW), None, "{at}");
        }
        assert_eq!(tickets.open(&[], NOW), None);
    }
}
