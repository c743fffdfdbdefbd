//! Keys of those who make tokens, from what the configuration names to the verifiers in a snapshot.
//!
//! [`load`] reads files, [`fetch`] asks an issuer once, [`keeper`] is a task for each issuer that asks
//! again in time, [`told`] what people see of it. [`Jwks`] is the gateway's side.
//!
//! Invariants:
//! - The last good keys hold, whatever fails, as long as the configuration names the same issuer in the
//!   same words.
//! - What was verified with other keys or rules counts no more: a verifier's epoch is another then.
//! - However many unknown keys clients name, an issuer is asked once in `refetch`.

mod fetch;
mod keeper;
mod load;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{Jwt, Settings};
use crate::policy::auth::jwt::{KeySet, Verifier, Verifiers};

use keeper::Keeper;

pub use keeper::News;
pub use load::{Loaded, load};
pub use told::{IssuerTold, Told};

/// The gateway's side.
pub struct Jwks {
    news: mpsc::Sender<News>,
    in_force: Made,
    epochs: u64,
    told: Told,
}

/// What settings are made into.
#[derive(Clone, Default)]
pub struct Made(BTreeMap<String, One>);

/// One of `[jwt.NAME]`.
#[derive(Clone)]
struct One {
    /// The same for the same files.
    identity: u64,
    verifier: Arc<Verifier>,
    /// Asks for keys as long as it lives.
    keeper: Option<Arc<Keeper>>,
}

impl Made {
    /// Their verifiers.
    pub fn verifiers(&self) -> Arc<Verifiers> {
        Arc::new(Verifiers::new(self.0.values().map(|one| one.verifier.clone()).collect()))
    }
}

impl Jwks {
    /// Nothing yet; keys that come are told by `news`.
    pub fn new(news: mpsc::Sender<News>) -> Self {
        Self { news, in_force: Made::default(), epochs: 0, told: Told::default() }
    }

    /// What these settings are made into; of what is in force that which stays the same.
    pub fn make(&mut self, settings: &Settings, loaded: &BTreeMap<String, Loaded>) -> Made {
        let each = settings.jwt.iter().filter_map(|(name, rules)| {
            let loaded = loaded.get(name)?;
            Some((name.clone(), self.one(name, rules, loaded)))
        });
        Made(each.collect::<Vec<_>>().into_iter().collect())
    }

    fn one(&mut self, name: &str, rules: &Jwt, loaded: &Loaded) -> One {
        let before = self.in_force.0.get(name).filter(|one| one.identity == loaded.identity());
        if let Some(same) = before.filter(|one| *one.verifier.rules == *rules) {
            return same.clone();
        }
        let issuer_stays = before.filter(|one| {
            one.verifier.rules.keys == rules.keys
                && one.verifier.rules.algorithms == rules.algorithms
        });
        let (keys, keeper) = match (loaded, issuer_stays) {
            (_, Some(before)) => (before.verifier.keys.clone(), before.keeper.clone()),
            (Loaded::Keys(keys, _), None) => (keys.clone(), None),
            (Loaded::Issuer(tls, _), None) => {
                let keeper = Keeper::new(name, rules, tls.clone());
                (Arc::new(KeySet::default()), keeper.map(Arc::new))
            }
        };
        self.epochs += 1;
        let verifier = Verifier {
            name: name.into(),
            rules: Arc::new(rules.clone()),
            keys,
            epoch: self.epochs,
            asking: keeper.as_ref().map(|keeper| keeper.asking.clone()),
        };
        One { identity: loaded.identity(), verifier: Arc::new(verifier), keeper }
    }

    /// Puts them in force: issuers that are new are asked, those that are gone no more.
    pub fn apply(&mut self, made: Made) {
        self.told.keep(made.0.iter().filter(|(_, one)| one.keeper.is_some()).map(|(name, _)| name));
        for keeper in made.0.values().filter_map(|one| one.keeper.as_ref()) {
            keeper.start(&self.news, &self.told);
        }
        self.in_force = made;
    }

    /// Takes keys that came; the verifiers with them, unless nobody asks that issuer any more.
    pub fn take(&mut self, news: &News) -> Option<Arc<Verifiers>> {
        let one = self.in_force.0.get_mut(&*news.name)?;
        if !one.keeper.as_ref().is_some_and(|keeper| Arc::ptr_eq(&keeper.asking, &news.asking)) {
            return None;
        }
        self.epochs += 1;
        one.verifier = Arc::new(Verifier {
            name: one.verifier.name.clone(),
            rules: one.verifier.rules.clone(),
            keys: news.keys.clone(),
            epoch: self.epochs,
            asking: one.verifier.asking.clone(),
        });
        Some(self.in_force.verifiers())
    }

    /// The verifiers in force.
    pub fn verifiers(&self) -> Arc<Verifiers> {
        self.in_force.verifiers()
    }

    /// What people see.
    pub fn told(&self) -> Told {
        self.told.clone()
    }
}
