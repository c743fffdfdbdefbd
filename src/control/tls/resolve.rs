//! Which certificate a client is shown.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::certificate::Certificate;
use crate::config::UnknownName;
use crate::io::tls::PROVES_NAME;

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

    /// The certificates whose wildcard stands for this host.
    fn wildcard(&self, host: &str) -> Option<&Choices> {
        self.wildcard.get(host.split_once('.')?.1)
    }
}

/// All that a listener has to show.
#[derive(Debug)]
pub(super) struct Shown {
    /// From files; they count more.
    pub(super) files: Arc<Names>,
    /// From an ACME server.
    pub(super) issued: Names,
    /// What proves names to an ACME server (RFC 8737).
    pub(super) proofs: Arc<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

impl Shown {
    /// The certificates for a host: by its very name, and only then by a wildcard.
    fn known(&self, host: &str) -> Option<&Choices> {
        let host = lower_case(host.trim_end_matches('.'));
        let issued = || self.issued.exact.get(host.as_ref());
        let wildcard = || self.files.wildcard(&host);
        self.files.exact.get(host.as_ref()).or_else(issued).or_else(wildcard)
    }

    /// The certificate for a host and a client that takes these signatures.
    pub(super) fn choose(
        &self,
        host: Option<&str>,
        takes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let unknown = [&self.files.unknown, &self.issued.unknown];
        let unknown = || unknown.into_iter().find(|some| !some.is_empty());
        let choices = host.and_then(|host| self.known(host)).or_else(unknown)?;
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

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whoever looks for a proof offers nothing else (RFC 8737 section 3).
        if hello.alpn().is_some_and(|mut offered| {
            offered.next() == Some(PROVES_NAME) && offered.next().is_none()
        }) {
            return self.proofs.get(lower_case(hello.server_name()?).as_ref()).cloned();
        }
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}
