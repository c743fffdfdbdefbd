//! What one core remembers of tokens that it asked about.

use std::rc::Rc;
use std::sync::Arc;

use super::Introspector;
use crate::policy::auth::jwt::{Refusal, Verified};
use crate::policy::auth::{Digest, Remembered, Service};

/// Of all introspectors, by their index.
#[derive(Default)]
pub struct Cache(Vec<Option<Kept>>);

/// Of one. Those that are refused have a room of their own: many of them never drive out a good one.
struct Kept {
    service: Arc<Service>,
    good: Remembered<Rc<Verified>>,
    bad: Remembered<Refusal>,
}

/// Bytes that an entry takes beside its token.
const ENTRY: usize = 96;

impl Cache {
    /// What is known of the token with this digest at `now`, seconds since 1970.
    pub fn token(
        &mut self,
        (index, introspector): (usize, &Introspector),
        digest: &Digest,
        now: u64,
    ) -> Option<Result<Rc<Verified>, Refusal>> {
        let (good, bad) = rooms(introspector);
        let kept = self.of(index, introspector);
        match kept.good.get(digest, now, good) {
            Some(token) => Some(Ok(token)),
            None => kept.bad.get(digest, now, bad).map(Err),
        }
    }

    /// Remembers what is known of a token until then.
    pub fn keep(
        &mut self,
        (index, introspector): (usize, &Introspector),
        digest: Digest,
        known: &Result<Rc<Verified>, Refusal>,
        until: u64,
    ) {
        let (good, bad) = rooms(introspector);
        let kept = self.of(index, introspector);
        match known {
            Ok(token) => {
                kept.good.put(digest, (token.clone(), ENTRY + token.weight()), until, good)
            }
            Err(refusal) => kept.bad.put(digest, (*refusal, ENTRY), until, bad),
        }
    }

    /// What one said; nothing that it said to other questions, or that was judged by other rules.
    fn of(&mut self, index: usize, introspector: &Introspector) -> &mut Kept {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        let service = &introspector.service;
        let place = &mut self.0[index];
        if place.as_ref().is_some_and(|kept| !kept.service.is(service)) {
            *place = None;
        }
        place.get_or_insert_with(|| Kept {
            service: service.clone(),
            good: Remembered::default(),
            bad: Remembered::default(),
        })
    }
}

/// Bytes for those that are believed and for others.
fn rooms(introspector: &Introspector) -> (usize, usize) {
    let bad = introspector.rules.cache / 4;
    (introspector.rules.cache - bad, bad)
}
