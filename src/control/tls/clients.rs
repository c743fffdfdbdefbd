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
use crate::limits::TLS_BUNDLE_MAX;

/// How clients' certificates are checked.
pub(super) struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The same for the same mode, authorities and lists.
    pub(super) identity: Asked,
    /// A list that should have been replaced, and when.
    pub(super) stale: Option<String>,
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
    let stale = lists.iter().find_map(|list| stale(list, now));
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = builder.with_crls(lists);
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
    Ok(Clients { verifier, identity, stale })
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

/// A list behind its time still revokes what it names; that it is old is the operator's to know.
fn stale(list: &CertificateRevocationListDer<'_>, now: i64) -> Option<String> {
    let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
    let next = parsed.next_update()?.timestamp();
    (next < now).then(|| format!("a newer list was due on {}", date(next)))
}
