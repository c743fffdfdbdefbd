//! From a certificate request to a certificate.

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, GeneralName};

use crate::harness::Signer;

/// The key that a request is for.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Days from now from which, and to which, a certificate is good.
pub const GOOD: (i64, i64) = (-1, 90);
/// Those of one that is over.
pub const OVER: (i64, i64) = (-90, -1);

/// A certificate for this name, where the request is for it and nothing else and
/// was signed by its key.
pub fn sign(
    authority: &Signer,
    request: &[u8],
    name: &str,
    days: (i64, i64),
) -> Result<String, String> {
    let (_, request) = X509CertificationRequest::from_der(request).map_err(|e| e.to_string())?;
    let mut names = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(asked) = extension {
            names.extend(asked.general_names.iter().cloned());
        }
    }
    if names != [GeneralName::DNSName(name)] {
        return Err(format!("{names:?} is not {name} alone"));
    }
    let info = &request.certification_request_info;
    let key = info.subject_pki.subject_public_key.data.to_vec();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key)
        .verify(info.raw, &request.signature_value.data)
        .map_err(|_| "the request is not signed by its key".to_owned())?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(|e| e.to_string())?;
    params.use_authority_key_identifier_extension = true;
    params.not_before = day(days.0).into();
    params.not_after = day(days.1).into();
    let signed =
        params.signed_by(&Requested(key), authority.issuer()).map_err(|e| e.to_string())?;
    Ok(signed.pem() + &authority.pem())
}

fn day(from_now: i64) -> SystemTime {
    let days = Duration::from_secs(from_now.unsigned_abs() * 86_400);
    let now = SystemTime::now();
    if from_now < 0 { now - days } else { now + days }
}
