//! Services that are asked whether requests may pass, from what the configuration names to what workers
//! ask with.
//!
//! Invariant: a service that stays the same keeps its answers over a reload; one that is asked by other
//! rules starts anew.

mod ask;
mod load;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{ForwardAuth, Settings};
use crate::policy::auth::Service;
use crate::policy::auth::forward_auth::Gatekeeper;

pub use load::{Loaded, load};

/// What settings are made into.
#[derive(Clone, Default)]
pub struct Gatekeepers {
    by_name: BTreeMap<String, Arc<Gatekeeper>>,
    /// The same for the same files.
    identities: BTreeMap<String, u64>,
}

impl Gatekeepers {
    /// What these settings are made into, for so many workers; of what is in force that which stays the
    /// same.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn make(
        &self,
        settings: &Settings,
        loaded: &BTreeMap<String, Loaded>,
        workers: usize,
    ) -> Result<Self, String> {
        let mut made = Self::default();
        for (name, rules) in &settings.forward_auth {
            let Some(loaded) = loaded.get(name) else { continue };
            let keeper = match self.same(name, rules, loaded) {
                Some(same) => same.clone(),
                None => Arc::new(ask::gatekeeper(name, rules, loaded, workers)?),
            };
            made.by_name.insert(name.clone(), keeper);
            made.identities.insert(name.clone(), loaded.identity);
        }
        Ok(made)
    }

    fn same(&self, name: &str, rules: &ForwardAuth, loaded: &Loaded) -> Option<&Arc<Gatekeeper>> {
        let before = self.by_name.get(name)?;
        let same = self.identities.get(name) == Some(&loaded.identity) && *before.rules == *rules;
        same.then_some(before)
    }

    /// By their names.
    pub fn by_name(&self) -> &BTreeMap<String, Arc<Gatekeeper>> {
        &self.by_name
    }

    /// The services.
    pub fn services(&self) -> impl Iterator<Item = Arc<Service>> {
        self.by_name.values().map(|keeper| keeper.service.clone())
    }
}
