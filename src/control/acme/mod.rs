//! Certificates by ACME (RFC 8555), from the names that listeners list to what they show.
//!
//! [`Acme`] is the gateway's side: what is in the store, and what proves names at the moment.
//! [`keeper`] is a task of its own that looks after one name at a time: [`order`] gets a certificate,
//! [`proof`] and [`publish`] have the name proved, [`account`] is who asks, [`client`] speaks HTTP,
//! [`renewal`] says when, [`failure`] what went wrong, [`told`] what people see of it.
//!
//! Invariants:
//! - A certificate is in the store before it is shown; the last good one is shown until there is a
//!   better one, whatever fails.
//! - The server is told to look for a proof only when every worker has it.
//! - No failure is repeated before its pause is over, except after a reload.

mod account;
mod client;
mod failure;
mod keeper;
mod order;
mod proof;
mod publish;
mod renewal;
mod told;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};

use super::tls::{Given, Issued};
use crate::config::{self, Settings};
use crate::control::store_file::StoreFile;
use crate::store::Store;

pub use proof::Proofs;
pub use publish::Wish;
pub use told::{NameTold, Told};

/// What the configuration in force wants of an ACME server.
#[derive(Clone)]
pub struct Wanted {
    settings: config::acme::Acme,
    /// Names of all listeners.
    names: BTreeSet<String>,
    /// How TLS is spoken to the server.
    tls: Arc<ClientConfig>,
    store: Arc<Store>,
}

/// The gateway's side.
pub struct Acme {
    wanted: watch::Sender<Option<Wanted>>,
    proofs: Proofs,
    told: Told,
}

impl Acme {
    /// Starts the task that looks after certificates; its wishes come by `wishes`.
    pub fn start(wishes: mpsc::Sender<Wish>) -> Self {
        let (wanted, changes) = watch::channel(None);
        let told = Told::default();
        tokio::spawn(keeper::keep(changes, wishes, told.clone()));
        Self { wanted, proofs: Proofs::default(), told }
    }

    /// What these settings want; `None`: nothing. Opens the store where it is needed first.
    ///
    /// # Errors
    /// Where the store can't be used.
    pub fn want(
        &self,
        settings: &Settings,
        store: &mut StoreFile,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Option<Wanted>, String> {
        let listeners = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let names: BTreeSet<_> = listeners.flat_map(|tls| tls.acme_names.clone()).collect();
        let (Some(acme), Some(tls)) = (&settings.acme, tls) else { return Ok(None) };
        if names.is_empty() {
            return Ok(None);
        }
        let store = store.open(&settings.store.path)?;
        Ok(Some(Wanted { settings: acme.clone(), names, tls, store }))
    }

    /// What listeners show beside files: what the store has, and what proves names at the moment.
    pub fn issued(&self, wanted: Option<&Wanted>) -> Issued {
        let stored = |wanted: &Wanted| {
            let each = wanted.names.iter();
            each.filter_map(|name| Some((name.clone(), wanted.stored(name)?))).collect()
        };
        let given: HashMap<_, _> = wanted.map(stored).unwrap_or_default();
        Issued { given: Arc::new(given), proofs: self.proofs.certificates.clone() }
    }

    /// What proves names at the moment.
    pub fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    /// Takes what proves names from now on.
    pub fn set_proofs(&mut self, proofs: Proofs) {
        self.proofs = proofs;
    }

    /// What is in force.
    pub fn in_force(&self) -> Option<Wanted> {
        self.wanted.borrow().clone()
    }

    /// Puts wishes in force; every name is looked at anew.
    pub fn apply(&self, wanted: Option<Wanted>) {
        self.wanted.send_replace(wanted);
    }

    /// What people see.
    pub fn told(&self) -> Told {
        self.told.clone()
    }
}

impl Wanted {
    /// The certificate that the store has for a name, where it can be used.
    fn stored(&self, name: &str) -> Option<Given> {
        let found = match self.store.acme_certificate(&self.settings.directory, name) {
            Ok(found) => found?,
            Err(why) => {
                tracing::error!(name, %why, "a certificate can't be read from the store");
                return None;
            }
        };
        match Given::kept(&found.chain, &found.key) {
            Ok(given) => Some(given),
            Err(why) => {
                tracing::error!(name, %why, "a certificate of the store can't be used");
                None
            }
        }
    }
}
