//! What proves control over names while a server looks for it.

use std::collections::HashMap;
use std::sync::Arc;

use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::failure::{Failure, Kind};
use crate::control::tls;

/// All proofs at one moment.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    /// What is answered for a token (RFC 8555 section 8.3).
    pub tokens: Arc<HashMap<Box<str>, Box<str>>>,
    /// What is shown for a name (RFC 8737).
    pub certificates: Arc<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

impl Proofs {
    /// For `http-01`.
    pub(super) fn token(token: &str, authorization: &KeyAuthorization) -> Self {
        let tokens = HashMap::from([(token.into(), authorization.as_str().into())]);
        Self { tokens: Arc::new(tokens), ..Self::default() }
    }

    /// For `tls-alpn-01`.
    pub(super) fn certificate(
        name: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Self, Failure> {
        let failed = |why: String| Failure::new(Kind::Certificate, why);
        let key = KeyPair::generate().map_err(|e| failed(e.to_string()))?;
        let mut params =
            CertificateParams::new([name.to_owned()]).map_err(|e| failed(e.to_string()))?;
        params.distinguished_name = DistinguishedName::new();
        let digest = authorization.digest();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let signed = params.self_signed(&key).map_err(|e| failed(e.to_string()))?;
        let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = tls::provider().key_provider.load_private_key(der);
        let key =
            CertifiedKey::new(vec![signed.der().clone()], key.map_err(|e| failed(e.to_string()))?);
        let certificates = HashMap::from([(name.into(), Arc::new(key))]);
        Ok(Self { certificates: Arc::new(certificates), ..Self::default() })
    }
}
