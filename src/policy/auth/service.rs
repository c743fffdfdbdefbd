//! Services outside that say who calls, or whether they may, as workers know them: control asks.

use std::sync::Arc;
use std::time::Duration;

use super::digest::Digest;
use crate::stats::Counter;

/// A service outside.
pub struct Service {
    /// What it is called in logs and stats: `introspection:main`.
    pub name: Arc<str>,
    /// How long one question may take.
    pub timeout: Duration,
    /// What its questions are known by is keyed with it.
    secret: Digest,
    remembered: Box<[OwnLine]>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Too many are asked about.
    Overloaded,
    /// None came in time.
    Late,
    /// Who should know did not say.
    Failed,
}

/// One worker's, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct OwnLine(Counter);

impl Service {
    /// One that so many workers ask. The secret is nobody's else: no question to another service, or to
    /// this one by other rules, is known by the same, and no client can choose where one lies.
    pub fn new(name: &str, timeout: Duration, secret: Digest, workers: usize) -> Self {
        let remembered = (0..workers).map(|_| OwnLine::default()).collect();
        Self { name: name.into(), timeout, secret, remembered }
    }

    /// What a question of these parts is known by.
    pub fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Whether both ask the same in the same words: what one said the other would.
    pub fn is(&self, other: &Self) -> bool {
        self.secret == other.secret
    }

    /// How long a request waits for an answer: as long in line as for the service itself.
    pub fn patience(&self) -> Duration {
        self.timeout * 2
    }

    /// Counts a request of this worker, whose answer it remembered. Only that worker may say so.
    pub fn was_remembered(&self, worker: usize) {
        if let Some(line) = self.remembered.get(worker) {
            line.0.up();
        }
    }

    /// How many requests needed no question.
    pub fn remembered(&self) -> u64 {
        self.remembered.iter().map(|line| line.0.value()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_apart_by_service_and_parts() {
        let service = |secret| Service::new("a", Duration::from_secs(1), [secret; 32], 2);
        let (one, other) = (service(1), service(2));
        assert_eq!(one.digest(&[b"a", b"b"]), service(1).digest(&[b"a", b"b"]));
        assert_ne!(one.digest(&[b"a", b"b"]), one.digest(&[b"ab", b""]));
        assert_ne!(one.digest(&[b"a"]), other.digest(&[b"a"]));
        assert!(one.is(&service(1)) && !one.is(&other));
        one.was_remembered(1);
        one.was_remembered(0);
        one.was_remembered(2);
        assert_eq!(one.remembered(), 2);
    }
}
