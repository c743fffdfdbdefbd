//! Tokens that one core has verified, so that it checks a signature once and not at every request.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

use super::verifier::{Verified, Verifier};
use crate::policy::auth::Digest;
use crate::policy::auth::digest::FirstBytes;

type Tokens = HashMap<Digest, Rc<Verified>, BuildHasherDefault<FirstBytes>>;

/// Verified tokens of all verifiers, by their index.
#[derive(Default)]
pub struct Cache(Vec<Kept>);

/// Those of one verifier, in two generations: when the young have half of the memory, they become the
/// old, and the old ones that nobody asked for meanwhile are forgotten.
#[derive(Default)]
struct Kept {
    epoch: u64,
    young: Tokens,
    young_weight: usize,
    old: Tokens,
}

/// Bytes that an entry takes beside its token.
const ENTRY: usize = 64;

impl Cache {
    /// The token with this digest, where this verifier has taken it, as it is now, and it has not ended
    /// by `now`, seconds since 1970.
    pub fn token(
        &mut self,
        (index, verifier): (usize, &Verifier),
        digest: &Digest,
        now: u64,
    ) -> Option<Rc<Verified>> {
        let kept = self.of(index, verifier)?;
        let token = match kept.young.get(digest) {
            Some(token) => token.clone(),
            None => kept.grown_young(digest, verifier.rules.cache)?,
        };
        if token.ends_at > now {
            return Some(token);
        }
        if kept.young.remove(digest).is_some() {
            kept.young_weight -= ENTRY + token.weight();
        }
        None
    }

    /// Remembers a token.
    pub fn keep(
        &mut self,
        (index, verifier): (usize, &Verifier),
        digest: Digest,
        token: &Rc<Verified>,
    ) {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Kept::default);
        }
        if let Some(kept) = self.of(index, verifier) {
            kept.add(digest, token.clone(), verifier.rules.cache);
        }
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|kept| kept.young.len() + kept.old.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a verifier has taken; nothing that it took with other keys or rules.
    fn of(&mut self, index: usize, verifier: &Verifier) -> Option<&mut Kept> {
        let kept = self.0.get_mut(index)?;
        if kept.epoch != verifier.epoch {
            *kept = Kept { epoch: verifier.epoch, ..Kept::default() };
        }
        Some(kept)
    }
}

impl Kept {
    fn add(&mut self, digest: Digest, token: Rc<Verified>, bound: usize) {
        let weight = ENTRY + token.weight();
        // Each generation has half of the bound.
        if weight > bound / 2 {
            return;
        }
        if self.young_weight + weight > bound / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        if self.young.insert(digest, token).is_none() {
            self.young_weight += weight;
        }
    }

    /// A token of the old generation that is asked for stays.
    fn grown_young(&mut self, digest: &Digest, bound: usize) -> Option<Rc<Verified>> {
        let token = self.old.remove(digest)?;
        self.add(*digest, token.clone(), bound);
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{plain_rules, verifier};
    use super::super::{Json, KeySet};
    use super::*;

    fn token(ends_at: u64) -> Rc<Verified> {
        let claims = Json::Object(vec![("x".into(), Json::Text("y".repeat(100).into()))]);
        Rc::new(Verified { claims, ends_at, application: None, bound: None })
    }

    fn digest(n: u64) -> Digest {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    fn with_room(cache: usize) -> Verifier {
        let rules = crate::config::Jwt { cache, ..plain_rules() };
        verifier(rules, KeySet::default())
    }

    #[test]
    fn a_token_is_known_until_it_ends() {
        let (mut cache, verifier) = (Cache::default(), with_room(10_000));
        assert!(cache.token((0, &verifier), &digest(1), 10).is_none());
        cache.keep((0, &verifier), digest(1), &token(11));
        assert!(cache.token((0, &verifier), &digest(1), 10).is_some());
        assert!(cache.token((1, &verifier), &digest(1), 10).is_none());
        assert!(cache.token((0, &verifier), &digest(2), 10).is_none());
        assert!(cache.token((0, &verifier), &digest(1), 11).is_none());
        assert!(cache.is_empty());
    }

    #[test]
    fn other_keys_or_rules_forget_what_was_taken() {
        let (mut cache, mut verifier) = (Cache::default(), with_room(10_000));
        cache.keep((3, &verifier), digest(1), &token(11));
        verifier.epoch += 1;
        assert!(cache.token((3, &verifier), &digest(1), 10).is_none());
        assert!(cache.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let (mut cache, verifier) = (Cache::default(), with_room(100_000));
        let one = ENTRY + token(11).weight();
        cache.keep((0, &verifier), digest(0), &token(11));
        for n in 1..10_000 {
            cache.keep((0, &verifier), digest(n), &token(11));
            assert!(cache.token((0, &verifier), &digest(0), 10).is_some(), "{n}");
            assert!(cache.len() * one <= 100_000, "{} of {one} bytes", cache.len());
        }
        assert!(cache.len() * one > 40_000);
        let none = with_room(0);
        let mut cache = Cache::default();
        cache.keep((0, &none), digest(0), &token(11));
        assert!(cache.is_empty());
        assert_eq!(Arc::strong_count(&none.keys), 1);
    }
}
