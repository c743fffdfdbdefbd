//! What came of an ACME server, for the listeners that asked for it.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, Fault, Written, certificate, timeless};
use super::resolve::Names;
use super::validity::Validity;
use crate::config::Tls;

/// A certificate that an ACME server gave, ready to be shown.
#[derive(Debug, Clone)]
pub struct Given(Certificate);

/// All that is shown beside the certificates of files.
#[derive(Debug, Clone, Default)]
pub struct Issued {
    /// Certificates by the name that they were asked for.
    pub given: Arc<HashMap<String, Given>>,
    /// What proves names, by name (RFC 8737).
    pub proofs: Arc<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

impl Given {
    /// A new certificate: chain and key in PEM, for this name, good at `now` (seconds since 1970).
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn fresh(chain: &str, key: &str, name: &str, now: i64) -> Result<Self, String> {
        let given = certificate(written(chain, key), now).map_err(why)?;
        match given.hosts.iter().any(|host| host == name) {
            true => Ok(Self(given)),
            false => Err(format!("it is not for {name}")),
        }
    }

    /// One that was fresh once: an old certificate tells clients more than none.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn kept(chain: &str, key: &str) -> Result<Self, String> {
        timeless(written(chain, key)).map(Self).map_err(why)
    }

    /// Its names and times.
    pub fn validity(&self) -> &Validity {
        &self.0.validity
    }

    /// The certificate itself, DER.
    pub fn der(&self) -> Option<&rustls_pki_types::CertificateDer<'static>> {
        self.0.key.cert.first()
    }
}

fn written(chain: &str, key: &str) -> Written {
    Written { chain: chain.into(), key: key.into(), ocsp: None }
}

fn why(fault: Fault) -> String {
    fault.message
}

impl Issued {
    fn of<'a>(&'a self, tls: &'a Tls) -> impl Iterator<Item = &'a Given> {
        tls.acme_names.iter().filter_map(|name| self.given.get(name))
    }

    /// Those that a listener asked for, in its order.
    pub(super) fn names(&self, tls: &Tls) -> Names {
        let all = self.of(tls).map(|Given(certificate)| certificate.clone());
        Names::new(all.collect(), tls.unknown_name)
    }

    /// Names and times of those that a listener asked for.
    pub fn validities(&self, tls: &Tls) -> Vec<Validity> {
        self.of(tls).map(|given| given.validity().clone()).collect()
    }
}
