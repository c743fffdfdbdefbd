//! One certificate with its key: read, held against each other, and against the clock.

use std::time::{Duration, UNIX_EPOCH};

use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::provider;
use super::staple::{self, Answer};
use super::validity::Validity;

/// Which of a certificate's files is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Certificate,
    Key,
    Ocsp,
}

impl Part {
    /// The key of the configuration that names it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Ocsp => "ocsp",
        }
    }
}

/// What is wrong with a certificate, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) part: Part,
    pub(super) message: String,
    pub(super) help: &'static str,
}

impl Fault {
    fn new(part: Part, message: impl Into<String>, help: &'static str) -> Self {
        Self { part, message: message.into(), help }
    }
}

/// The content of a certificate's files.
pub(super) struct Written {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) ocsp: Option<Vec<u8>>,
}

/// A certificate that can be shown.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) key: CertifiedKey,
    /// DNS names, lower case, with `*.` where they stand for any one label.
    pub(super) hosts: Vec<String>,
    pub(super) validity: Validity,
    /// Why its OCSP response is not stapled.
    pub(super) unstapled: Option<String>,
}

/// What a certificate says.
struct Meaning {
    hosts: Vec<String>,
    validity: Validity,
    serial: Vec<u8>,
}

const PASSPHRASE: &str = "a key must have no passphrase; `openssl pkey` removes one";

/// Reads and checks a certificate; `now` in seconds since 1970.
pub(super) fn certificate(written: Written, now: i64) -> Result<Certificate, Fault> {
    let certificate = read(written, now)?;
    in_time(&certificate.validity, now)?;
    Ok(certificate)
}

/// The same of one that staples nothing, be it ever so old.
pub(super) fn timeless(written: Written) -> Result<Certificate, Fault> {
    read(Written { ocsp: None, ..written }, 0)
}

/// `now` is when its OCSP response must be good.
fn read(written: Written, now: i64) -> Result<Certificate, Fault> {
    let chain = chain(&written.chain)?;
    let Meaning { hosts, mut validity, serial } = meaning(&chain[0])?;
    let key = private_key(&written.key)?;
    let mut key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InvalidCertificate(_)) => {
            let message = "its first certificate is malformed";
            return Err(Fault::new(Part::Certificate, message, "ask for a new one"));
        }
        Err(_) => {
            let help = "name the key that the certificate was asked for with; the certificate itself \
                        must stand first in its file";
            return Err(Fault::new(Part::Key, "the key is not that of the certificate", help));
        }
    }
    let staple = written.ocsp.map(|response| staple(response, &serial, now)).transpose()?;
    let Staple { response, until, refused } = staple.unwrap_or_default();
    key.ocsp = response;
    validity.ocsp_until = until;
    Ok(Certificate { key, hosts, validity, unstapled: refused })
}

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let fault = |message: String| {
        let help = "a certificate in PEM begins with -----BEGIN CERTIFICATE-----";
        Fault::new(Part::Certificate, message, help)
    };
    match chain {
        Ok(chain) if chain.is_empty() => Err(fault("there is no certificate in it".into())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(fault(unreadable(&error))),
    }
}

/// The library's own words show lines of the file as numbers.
pub(super) fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it ends within a section".into(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".into(),
        pem::Error::Base64Decode(_) => "its base64 is malformed".into(),
        other => other.to_string(),
    }
}

fn private_key(text: &[u8]) -> Result<std::sync::Arc<dyn rustls::sign::SigningKey>, Fault> {
    let fault = |message: String, help| Fault::new(Part::Key, message, help);
    let der = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let sealed = memchr::memmem::find(text, b"BEGIN ENCRYPTED PRIVATE KEY").is_some();
            let message = if sealed { "the key is encrypted" } else { "there is no key in it" };
            fault(message.into(), PASSPHRASE)
        }
        error => fault(unreadable(&error), PASSPHRASE),
    })?;
    // The error would say no more than that it is none; a key's bytes stay out of messages.
    let key = provider().key_provider.load_private_key(der);
    key.map_err(|_| {
        let message = "this kind of key can't be used, or it is damaged";
        fault(
            message.into(),
            "use an ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 to 8192) key",
        )
    })
}

fn meaning(der: &CertificateDer<'_>) -> Result<Meaning, Fault> {
    let fault = |message: &str, help| Fault::new(Part::Certificate, message, help);
    let (_, parsed) = X509Certificate::from_der(der)
        .map_err(|_| fault("its first certificate is malformed", "ask for a new one"))?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut hosts = Vec::new();
    let mut all = Vec::new();
    for name in names {
        match name {
            GeneralName::DNSName(host) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                hosts.push(host.clone());
                all.push(host);
            }
            GeneralName::IPAddress(bytes) => all.extend(address(bytes)),
            _ => {}
        }
    }
    if all.is_empty() {
        let help = "clients look at names in the extension subjectAltName only";
        return Err(fault("it names no host", help));
    }
    let times = parsed.validity();
    let (not_before, not_after) = (times.not_before.timestamp(), times.not_after.timestamp());
    let validity = Validity { names: all, not_before, not_after, ocsp_until: None };
    Ok(Meaning { hosts, validity, serial: parsed.raw_serial().to_vec() })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

fn in_time(validity: &Validity, now: i64) -> Result<(), Fault> {
    let (message, help) = if now > validity.not_after {
        (format!("it expired on {}", date(validity.not_after)), "renew it")
    } else if now < validity.not_before {
        let message = format!("it is not valid before {}", date(validity.not_before));
        (message, "wait, or set this machine's clock")
    } else {
        return Ok(());
    };
    Err(Fault::new(Part::Certificate, message, help))
}

/// A time as HTTP writes it; the farthest that can be shown for those beyond.
pub(super) fn date(seconds: i64) -> String {
    const YEAR_9999: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(YEAR_9999);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// What is stapled, and until when it is good.
#[derive(Default)]
struct Staple {
    response: Option<Vec<u8>>,
    until: Option<i64>,
    /// Why nothing is.
    refused: Option<String>,
}

/// A response that is too old, or about another certificate (which a renewal leaves behind), is no
/// mistake to stop at, but must not be stapled: clients would.
fn staple(response: Vec<u8>, serial: &[u8], now: i64) -> Result<Staple, Fault> {
    let refused = match staple::read(&response, serial) {
        Some(Answer::This { until: Some(until) }) if until < now => {
            format!("it was good until {}", date(until))
        }
        Some(Answer::This { until }) => {
            return Ok(Staple { response: Some(response), until, refused: None });
        }
        Some(Answer::Other) => "it is about another certificate".to_owned(),
        Some(Answer::Refusal) => {
            let message = "the responder answered with an error";
            return Err(Fault::new(Part::Ocsp, message, "ask it again"));
        }
        None => {
            let help = "write the answer as `openssl ocsp -respout` does (DER)";
            return Err(Fault::new(Part::Ocsp, "this is no OCSP response", help));
        }
    };
    Ok(Staple { refused: Some(refused), ..Staple::default() })
}
