//! Tokens that a server outside knows (RFC 7662): how it is asked, what it says, and for how long that
//! is believed. Pure: control asks.
//!
//! What the server says of a token becomes the same as what a signed one says of itself
//! ([`Verified`]): whatever is asked of those is asked of these.

mod answer;
mod cache;

use std::pin::Pin;
use std::sync::Arc;

use super::digest::Digest;
use super::jwt::{Refusal, Verified};
use super::service::Service;
use crate::config::Introspection;
use crate::limits::{JWT_LEEWAY, JWT_MAX};

pub use answer::{Said, authorization, question};
pub use cache::Cache;

/// A server that knows tokens, as workers see it.
pub struct Introspector {
    /// Its name.
    pub name: Arc<str>,
    /// What is believed of what it says.
    pub rules: Arc<Introspection>,
    /// Questions to it.
    pub service: Arc<Service>,
    /// Asks about a token, by control.
    pub asks: Asks,
}

/// Asks about a token once it is polled, by whoever may wait; or says, for the log, why there is no
/// answer.
pub type Asks = Box<dyn Fn(Box<[u8]>) -> Asking + Send + Sync>;

/// A question under way.
pub type Asking = Pin<Box<dyn Future<Output = Result<Arc<Said>, String>> + Send>>;

/// What is known of a token, until a second of 1970.
pub type Known = (Result<Verified, Refusal>, u64);

impl Introspector {
    /// What the question about a token is known by. A token that none could be is not asked about.
    ///
    /// # Errors
    /// It is longer than any, empty, or holds what no token may (RFC 6749 appendix A.12).
    pub fn digest(&self, token: &[u8]) -> Result<Digest, Refusal> {
        if token.len() > JWT_MAX {
            return Err(Refusal::TooLong);
        }
        match !token.is_empty() && token.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            true => Ok(self.service.digest(&[token])),
            false => Err(Refusal::Malformed),
        }
    }

    /// Whether a token is to be believed of which the server said this at `now`, seconds since 1970, and
    /// until when that is known: that it is no longer than its `exp` and the ceiling.
    pub fn judge(&self, said: &Said, now: u64) -> Known {
        let Introspection { says, ceiling, negative, .. } = &*self.rules;
        let believed = now.saturating_add(ceiling.as_secs());
        let judged = match said {
            Said::Inactive => Err(Refusal::Inactive),
            // The server's clock is as good as ours.
            Said::Active(claims) => Verified::of(says, claims.clone(), JWT_LEEWAY, now, |exp| {
                Ok(exp.map_or(believed, |exp| believed.min(exp as u64)))
            }),
        };
        let until = match &judged {
            Ok(token) => token.ends_at,
            Err(_) => now.saturating_add(negative.as_secs()),
        };
        (judged, until)
    }
}

/// All of a configuration, sorted by name. Indices hold as long as the configuration does.
#[derive(Default, Clone)]
pub struct Introspectors(Vec<Arc<Introspector>>);

impl Introspectors {
    /// These.
    pub fn new(mut all: Vec<Arc<Introspector>>) -> Self {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Self(all)
    }

    /// The index of a name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|one| (*one.name).cmp(name)).ok()
    }

    /// The one at an index.
    pub fn at(&self, index: usize) -> Option<&Arc<Introspector>> {
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests;
