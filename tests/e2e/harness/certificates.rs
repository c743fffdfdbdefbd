//! Certificates made for a test.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair};

/// A certificate and its key, PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// For these names, signed by itself, for so many days from now and half a day, so that the
    /// number of whole days does not hang on the second.
    pub fn for_days(names: &[&str], days: u64) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(owned(names)).expect("names");
        params.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400 + 43_200)).into();
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// For these names, signed by itself.
    pub fn new(names: &[&str]) -> Self {
        Self::for_days(names, 90)
    }
}

/// Signs clients' certificates.
pub struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages =
            vec![rcgen::KeyUsagePurpose::CrlSign, rcgen::KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A list that revokes nothing.
    pub fn empty_list(&self) -> String {
        let list = rcgen::CertificateRevocationListParams {
            this_update: SystemTime::now().into(),
            next_update: (SystemTime::now() + Duration::from_secs(86_400)).into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list");
        list.pem().expect("PEM")
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
