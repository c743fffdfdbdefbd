//! Certificates made for a test.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

/// A certificate and its key, PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// For these names, with the serial number 1, signed by itself, for so many days from now and half a day, so that the
    /// number of whole days does not hang on the second.
    pub fn for_days(names: &[&str], days: u64) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(owned(names)).expect("names");
        params.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400 + 43_200)).into();
        params.serial_number = Some(1.into());
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// For these names, signed by itself.
    pub fn new(names: &[&str]) -> Self {
        Self::for_days(names, 90)
    }
}

pub fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
