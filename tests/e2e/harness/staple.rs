//! OCSP responses made for a test, and a client that notes what it is shown.

use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};

use super::tls::{Signer, provider};

/// id-pkix-ocsp-basic.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// id-sha1.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// ecdsa-with-SHA256.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// That the certificate with this serial number is good, until 2099 (RFC 6960 section 4.2.1). Its
/// signature is nobody's: neither a gateway nor a client here looks at it.
pub fn good(serial: &[u8]) -> Vec<u8> {
    let [hash, signed_by] = [SHA1, ECDSA].map(|name| element(0x30, &[&element(6, &[name])]));
    let digest = element(4, &[&[7; 20]]);
    let id = element(0x30, &[&hash, &digest, &digest, &element(2, &[serial])]);
    let this = element(0x18, &[b"20260101000000Z"]);
    let next = element(0xa0, &[&element(0x18, &[b"20991231235959Z"])]);
    let one = element(0x30, &[&id, &element(0x80, &[]), &this, &next]);
    let responder = element(0xa2, &[&digest]);
    let about = element(0x30, &[&responder, &this, &element(0x30, &[&one])]);
    let basic = element(0x30, &[&about, &signed_by, &element(3, &[b"\0signature"])]);
    let bytes = element(0x30, &[&element(6, &[BASIC]), &element(4, &[&basic])]);
    element(0x30, &[&element(10, &[&[0]]), &element(0xa0, &[&bytes])])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match u8::try_from(content.len()).expect("a short response") {
        short @ 0..0x80 => vec![short],
        long => vec![0x81, long],
    };
    [vec![tag], length, content].concat()
}

/// The last response that servers showed.
pub type Shown = Arc<Mutex<Vec<u8>>>;

/// A client that trusts this authority.
pub fn client(
    signer: &Signer,
    versions: &[&'static SupportedProtocolVersion],
) -> (Arc<ClientConfig>, Shown) {
    let roots = Arc::new(signer.roots());
    let verifies = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let shown = Shown::default();
    let notes = Notes { verifies: verifies.expect("a verifier"), shown: shown.clone() };
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).expect("versions").dangerous();
    let config = builder.with_custom_certificate_verifier(Arc::new(notes)).with_no_client_auth();
    (config.into(), shown)
}

#[derive(Debug)]
struct Notes {
    verifies: Arc<WebPkiServerVerifier>,
    shown: Shown,
}

impl ServerCertVerifier for Notes {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.shown.lock().expect("no panic") = ocsp.to_vec();
        self.verifies.verify_server_cert(own, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifies.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifies.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifies.supported_verify_schemes()
    }
}
