//! Looks for the proof of a name, as an ACME server does.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::harness::tls::TlsLink;
use crate::harness::{BOTH, Client, PATIENCE};

/// RFC 8555 section 8.3: at this address, what is answered for the token.
pub fn http_01(
    address: SocketAddr,
    name: &str,
    token: &str,
    authorization: &str,
) -> Result<(), String> {
    let path = format!("/.well-known/acme-challenge/{token}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    let answer = Client::once(address, &request);
    if answer.status != 200 {
        return Err(format!("{path}: status {}", answer.status));
    }
    match answer.text().trim_end() == authorization {
        true => Ok(()),
        false => Err(format!("{path}: {:?} is not {authorization:?}", answer.text())),
    }
}

/// RFC 8737 section 3: at this address, the certificate that is shown for the name, and nothing else.
pub fn tls_alpn_01(address: SocketAddr, name: &str, authorization: &str) -> Result<(), String> {
    let socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let mut link = TlsLink::client(socket, &asking(&[b"acme-tls/1"]), name)
        .map_err(|e| format!("handshake: {e}"))?;
    if link.connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("acme-tls/1 was not agreed on".into());
    }
    let shown = link.connection.peer_certificates().and_then(|all| all.first().cloned());
    check(&shown.ok_or("no certificate")?, name, authorization)?;
    let mut more = Vec::new();
    link.say_end().map_err(|e| e.to_string())?;
    // However it ends, nothing may have been said.
    let _ = link.read_to_end(&mut more);
    if more.is_empty() { Ok(()) } else { Err("more than a handshake".into()) }
}

fn check(shown: &CertificateDer<'_>, name: &str, authorization: &str) -> Result<(), String> {
    let (_, shown) = X509Certificate::from_der(shown).map_err(|e| e.to_string())?;
    let names = shown.subject_alternative_name().map_err(|e| e.to_string())?.ok_or("no names")?;
    let [GeneralName::DNSName(shown_name)] = names.value.general_names[..] else {
        return Err("not one name".into());
    };
    if shown_name != name {
        return Err(format!("shown for {shown_name}"));
    }
    let proof = shown.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let proof = proof.ok_or("no acmeIdentifier")?;
    let digest = digest(&SHA256, authorization.as_bytes());
    let wanted = [&[0x04, 0x20], digest.as_ref()].concat();
    match proof.critical && proof.value == wanted {
        true => Ok(()),
        false => Err("the proof is not critical, or another".into()),
    }
}

/// A client that offers these protocols and takes any certificate.
pub fn asking(protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(BOTH).expect("versions").dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.into()
}

/// Takes any certificate, from who holds its key.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 was expected".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Whoever checks chains does not know the critical extension, so this is done by hand.
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        let key = certificate.public_key().subject_public_key.data.to_vec();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify(message, signed.signature())
            .map(|()| HandshakeSignatureValid::assertion())
            .map_err(|_| rustls::Error::General("not signed by its key".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
