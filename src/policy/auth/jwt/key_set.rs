//! The keys of an issuer (RFC 7517 section 5).

use super::json::Json;
use super::key::{Key, Unfit};
use super::refusal::Refusal;
use crate::config::JwtAlgorithm as Algorithm;
use crate::limits::{JWKS_MAX, JWKS_MAX_KEYS};

/// The keys of an issuer.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Ids of keys that were left out, with the reason.
    left_out: Vec<(Box<str>, Unfit)>,
}

/// Why there is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKeySet {
    /// Longer than any set may be, or of more keys.
    TooLong,
    /// Not a JSON object with an array `keys`.
    Malformed,
    /// None of its keys can be used.
    Empty,
}

impl NoKeySet {
    /// What the log says.
    pub fn text(self) -> &'static str {
        match self {
            Self::TooLong => "the set of keys is too long",
            Self::Malformed => "this is no JWK set",
            Self::Empty => "none of its keys can be used",
        }
    }
}

impl KeySet {
    /// The one secret.
    pub fn of_secret(key: Key) -> Self {
        Self { keys: vec![key], left_out: Vec::new() }
    }

    /// Reads a JWK set, keeping the keys that verify by one of these algorithms.
    ///
    /// # Errors
    /// It is none, or holds no key that can be used.
    pub fn read(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Self, NoKeySet> {
        if bytes.len() > JWKS_MAX {
            return Err(NoKeySet::TooLong);
        }
        let set = Json::object(bytes).ok_or(NoKeySet::Malformed)?;
        let Some(Json::Array(jwks)) = set.member("keys") else { return Err(NoKeySet::Malformed) };
        if jwks.len() > JWKS_MAX_KEYS {
            return Err(NoKeySet::TooLong);
        }
        let mut read = Self::default();
        for jwk in jwks {
            read.add(jwk, algorithms);
        }
        if read.keys.is_empty() { Err(NoKeySet::Empty) } else { Ok(read) }
    }

    fn add(&mut self, jwk: &Json, algorithms: &[Algorithm]) {
        let key = Key::of_jwk(jwk, algorithms);
        let taken = |key: &Key| {
            key.id().is_some() && self.keys.iter().any(|k| k.id() == key.id() && k.meets(key))
        };
        match key {
            Ok(key) if taken(&key) => self.leave_out(jwk, Unfit::Duplicate),
            Ok(key) => self.keys.push(key),
            Err(unfit) => self.leave_out(jwk, unfit),
        }
    }

    fn leave_out(&mut self, jwk: &Json, unfit: Unfit) {
        let id = jwk.member("kid").and_then(Json::text).unwrap_or("without an id");
        self.left_out.push((id.into(), unfit));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none (yet).
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Ids of keys that were left out, with the reason.
    pub fn left_out(&self) -> &[(Box<str>, Unfit)] {
        &self.left_out
    }

    /// The key of this id that is for the algorithm; without an id the only key that is.
    pub(super) fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Refusal> {
        if self.is_empty() {
            return Err(Refusal::NoKeys);
        }
        let mut named = self.keys.iter().filter(|key| id.is_none() || key.id() == id).peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let mut fitting = named.filter(|key| key.is_for(algorithm));
        match (fitting.next(), fitting.next()) {
            // There is such a key, but it is for another algorithm.
            (None, _) => Err(Refusal::Algorithm),
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(Refusal::AmbiguousKey),
        }
    }
}
