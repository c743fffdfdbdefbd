//! Verifies passwords (argon2, RFC 9106) on threads that may be kept busy: a few at once, others in a
//! bounded queue.

use std::collections::VecDeque;

use argon2::{Argon2, PasswordVerifier};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::limits::{PASSWORD_QUEUE, PASSWORD_THREADS};
use crate::policy::auth::{Digest, PasswordQuestion};

/// A hash of nobody's password, with the parameters that the gateway makes hashes with: who is not
/// known takes as long as who is.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBzYWx0IQ\
                       $bm9ib2R5IGhhcyB0aGlzIHBhc3N3b3JkLCBuZXZlci4";

/// Whether a question was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    No,
}

/// What was found out: the question's digest, and whether the password is right.
pub(super) type Verdict = (Digest, bool);

pub(super) struct Passwords {
    verdicts: mpsc::Sender<Verdict>,
    running: usize,
    queue: VecDeque<Box<PasswordQuestion>>,
}

impl Passwords {
    pub(super) fn new(verdicts: mpsc::Sender<Verdict>) -> Self {
        Self { verdicts, running: 0, queue: VecDeque::new() }
    }

    pub(super) fn ask(&mut self, question: Box<PasswordQuestion>) -> Taken {
        if self.running < PASSWORD_THREADS {
            self.begin(question);
        } else if self.queue.len() < PASSWORD_QUEUE {
            self.queue.push_back(question);
        } else {
            return Taken::No;
        }
        Taken::Yes
    }

    /// One is done: the next may begin.
    pub(super) fn next(&mut self) {
        self.running -= 1;
        if let Some(question) = self.queue.pop_front() {
            self.begin(question);
        }
    }

    fn begin(&mut self, question: Box<PasswordQuestion>) {
        self.running += 1;
        let verdicts = self.verdicts.clone();
        tokio::spawn(async move {
            let digest = question.digest;
            let verdict = spawn_blocking(move || is_right(&question)).await;
            // One that could not be verified is not right.
            let _ = verdicts.send((digest, verdict.unwrap_or(false))).await;
        });
    }
}

fn is_right(question: &PasswordQuestion) -> bool {
    let hash = question.hash.as_deref().unwrap_or(NOBODYS);
    let verified = Argon2::default().verify_password(&question.password, hash);
    if let Err(why) = &verified
        && *why != argon2::password_hash::Error::PasswordInvalid
    {
        tracing::error!("a password's hash in the store is not understood: {why}");
    }
    verified.is_ok() && question.hash.is_some()
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, phc::PasswordHash};

    use super::*;

    fn question(password: &str, hash: Option<&str>) -> Box<PasswordQuestion> {
        let password = password.as_bytes().into();
        Box::new(PasswordQuestion { digest: [0; 32], password, hash: hash.map(Into::into) })
    }

    #[test]
    fn a_hash_is_of_one_password_and_nobody_has_one() {
        let salt = b"0123456789abcdef";
        let hash = Argon2::default().hash_password_with_salt(b"secret", salt).unwrap().to_string();
        assert!(is_right(&question("secret", Some(&hash))));
        assert!(!is_right(&question("Secret", Some(&hash))));
        assert!(!is_right(&question("secret", Some("no hash"))));
        assert!(!is_right(&question("secret", None)));
        // Nobody's is made as others are.
        let parameters = |hash: &str| hash.rsplitn(3, '$').last().unwrap().to_owned();
        assert_eq!(parameters(NOBODYS), parameters(&hash));
        let [nobodys, known] = [NOBODYS, &hash].map(|hash| PasswordHash::new(hash).unwrap());
        assert_eq!(nobodys.hash.unwrap().len(), known.hash.unwrap().len());
        assert_eq!(nobodys.salt.unwrap().len(), known.salt.unwrap().len());
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let (verdicts, mut heard) = mpsc::channel(PASSWORD_THREADS + PASSWORD_QUEUE);
        let mut passwords = Passwords::new(verdicts);
        let mut ask = || passwords.ask(question("a", Some("no hash")));
        for _ in 0..PASSWORD_THREADS + PASSWORD_QUEUE {
            assert_eq!(ask(), Taken::Yes);
        }
        assert_eq!(ask(), Taken::No);
        heard.recv().await.unwrap();
        passwords.next();
        assert_eq!(passwords.ask(question("a", Some("no hash"))), Taken::Yes);
    }
}
