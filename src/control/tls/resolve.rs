//! Which certificate a client is shown.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::certificate::Certificate;
use crate::config::UnknownName;

/// The certificates for one name, of different kinds of keys as a rule.
type Choices = Vec<Arc<CertifiedKey>>;

/// Certificates by name. An exact name counts more than a wildcard, which stands for exactly one
/// label (RFC 9525 section 6.3).
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Choices>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Choices>,
    /// For clients that name no known host.
    unknown: Choices,
}

impl Names {
    /// From certificates, of which the first counts for unknown names, and with it those others
    /// that have the same names.
    pub(super) fn new(certificates: Vec<Certificate>, unknown: UnknownName) -> Self {
        let first = certificates.first().map(|first| first.validity.names.clone());
        let mut names =
            Self { exact: HashMap::new(), wildcard: HashMap::new(), unknown: Vec::new() };
        for Certificate { key, hosts, validity, .. } in certificates {
            let key = Arc::new(key);
            if unknown == UnknownName::Default && first.as_ref() == Some(&validity.names) {
                names.unknown.push(key.clone());
            }
            for host in hosts {
                let (table, name) = match host.strip_prefix("*.") {
                    Some(behind) => (&mut names.wildcard, behind),
                    None => (&mut names.exact, host.as_str()),
                };
                table.entry(name.into()).or_default().push(key.clone());
            }
        }
        let tables = names.exact.values_mut().chain(names.wildcard.values_mut());
        // The sort is stable: of one kind the first of the file stays first.
        tables.for_each(|choices| choices.sort_by_key(cost));
        names.unknown.sort_by_key(cost);
        names
    }

    /// The certificates for a host; `None`: the client named none.
    fn choices(&self, host: Option<&str>) -> &Choices {
        let known = host.and_then(|host| {
            let host = lower_case(host.trim_end_matches('.'));
            let wildcard = || self.wildcard.get(host.split_once('.')?.1);
            self.exact.get(host.as_ref()).or_else(wildcard)
        });
        known.unwrap_or(&self.unknown)
    }

    /// The certificate for a host and a client that takes these signatures.
    pub(super) fn choose(
        &self,
        host: Option<&str>,
        takes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let choices = self.choices(host);
        let fits = choices.iter().find(|key| key.key.choose_scheme(takes).is_some());
        fits.or(choices.first()).cloned()
    }
}

/// Names in a handshake are lower case already, as a rule.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

/// An RSA signature costs the gateway some twenty times an ECDSA one.
fn cost(key: &Arc<CertifiedKey>) -> u8 {
    u8::from(key.key.algorithm() == SignatureAlgorithm::RSA)
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}
