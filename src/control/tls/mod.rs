//! TLS of the listeners, from the files that the settings name to what a worker needs.
//!
//! [`files`] reads, [`certificate`] checks one certificate with its key, [`clients`] what clients
//! show, [`staple`] an OCSP response, [`load`] puts together what a listener has and says what is wrong
//! with it, [`resolve`] chooses by name, [`issued`] is what ACME servers gave, [`tickets`] lets clients
//! resume on other nodes, [`server`] makes rustls's configuration of it, [`validity`] is what is told of
//! certificates in force.
//!
//! Invariants:
//! - One provider for the whole binary, named each time: nothing hangs on a process-wide default.
//! - What a session may be resumed into depends on what was asked of its client: listeners share
//!   tickets and sessions only where they ask the same.

mod certificate;
mod clients;
mod files;
mod issued;
mod load;
mod resolve;
mod server;
mod staple;
mod targets;
#[cfg(test)]
mod tests;
mod tickets;
mod validity;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use files::Files;
pub use issued::{Given, Issued};
pub use load::{Loaded, load};
pub use server::{Resumption, SnapshotTls};
pub use targets::{Targets, acme_server, issuer, of_file, targets};
pub use validity::{ListenerCertificates, Validities, Validity};

/// What the files in force were made into.
#[derive(Clone)]
pub struct InForce {
    /// Of the listeners, in their order.
    pub listeners: Vec<Option<SnapshotTls>>,
    /// Of the upstreams.
    pub targets: Targets,
    /// What is answered to an ACME server.
    pub acme_tokens: Arc<HashMap<Box<str>, Box<str>>>,
}

/// The cryptography of the whole binary, made once.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}
