//! What clients' certificates are held against.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::certificate::{date, unreadable};
use super::files::Files;
use super::provider;
use crate::config::{ClientCertificateMode, ClientCertificates};
use crate::limits::{TLS_BUNDLE_MAX, TLS_LIST_SOON, TLS_LIST_SOON_PART};

/// How clients' certificates are checked.
pub(super) struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The same for the same mode, authorities and lists.
    pub(super) identity: Asked,
    /// What is to be told of a list that was or is soon to be replaced.
    pub(super) stale: Option<String>,
    /// When the first of the lists is to be replaced, seconds since 1970; `None`: there are none, or
    /// they don't say. From then on who is of its authority is refused.
    pub(super) lists_until: Option<i64>,
}

/// A digest of all that clients' certificates are held against: the same on every node with the same
/// files.
pub(super) type Asked = [u8; SHA256_OUTPUT_LEN];

/// The key that is to blame, and why.
type Refused = (&'static str, String);

pub(super) fn clients(
    asked: &ClientCertificates,
    files: &mut Files,
    now: i64,
) -> Result<Clients, Refused> {
    let ca = files.read(&asked.ca, TLS_BUNDLE_MAX).map_err(|why| ("ca", why))?;
    let crl = match &asked.crl {
        Some(crl) => Some(files.read(crl, TLS_BUNDLE_MAX).map_err(|why| ("crl", why))?),
        None => None,
    };
    let roots = roots(&ca).map_err(|why| ("ca", why))?;
    let lists = match &crl {
        Some(text) => lists(text).map_err(|why| ("crl", why))?,
        None => Vec::new(),
    };
    let first = lists.iter().filter_map(Times::of).min_by_key(|times| times.next);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    // A list behind its time says nothing of who was revoked since.
    let builder = builder.with_crls(lists).enforce_revocation_expiration();
    let builder = match asked.mode {
        ClientCertificateMode::Optional => builder.allow_unauthenticated(),
        ClientCertificateMode::Required => builder,
    };
    let verifier = builder.build().map_err(|error| match error {
        rustls::server::VerifierBuilderError::InvalidCrl(_) => {
            ("crl", "a revocation list in it is malformed".to_string())
        }
        _ => ("ca", "there is no authority in it".to_string()),
    })?;
    let identity = identity(asked.mode, &ca, crl.as_deref());
    let stale = first.as_ref().and_then(|times| times.told(now));
    Ok(Clients { verifier, identity, stale, lists_until: first.map(|times| times.next) })
}

fn identity(mode: ClientCertificateMode, ca: &[u8], crl: Option<&[u8]>) -> Asked {
    let mut digest = Context::new(&SHA256);
    digest.update(&[u8::from(mode == ClientCertificateMode::Required), u8::from(crl.is_some())]);
    digest.update(&(ca.len() as u64).to_be_bytes());
    digest.update(ca);
    digest.update(crl.unwrap_or_default());
    digest.finish().as_ref().try_into().unwrap_or_default()
}

pub(super) fn roots(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|_| "a certificate in it is malformed")?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".into());
    }
    Ok(roots)
}

fn lists(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    match lists {
        Ok(lists) if lists.is_empty() => Err("there is no revocation list in it".into()),
        Ok(lists) => Ok(lists),
        Err(error) => Err(unreadable(&error)),
    }
}

/// When a list was made and when the next one is due (RFC 5280 section 5.1.2), seconds since 1970.
struct Times {
    this: i64,
    next: i64,
}

impl Times {
    fn of(list: &CertificateRevocationListDer<'_>) -> Option<Self> {
        let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
        let next = parsed.next_update()?.timestamp();
        Some(Self { this: parsed.last_update().timestamp(), next })
    }

    fn told(&self, now: i64) -> Option<String> {
        let due = date(self.next);
        if self.next <= now {
            return Some(format!(
                "a newer list was due on {due}: until it is here, clients of its authority are refused"
            ));
        }
        let soon = (self.next - self.this) / TLS_LIST_SOON_PART;
        let is_soon = self.next - now < soon.min(TLS_LIST_SOON);
        is_soon
            .then(|| format!("a newer list is due on {due}, and clients are refused from then on"))
    }
}
