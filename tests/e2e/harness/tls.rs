//! Certificates made for a test, and the TLS of its clients and upstreams.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    Stream, SupportedProtocolVersion, version,
};

use super::certificates::owned;

/// Both versions of TLS.
pub const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// An authority that signs certificates.
pub struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub struct Made {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    der: CertificateDer<'static>,
    key_der: PrivateKeyDer<'static>,
}

impl Signer {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Test Authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for these names, of servers and clients.
    pub fn certify(&self, names: &[&str]) -> Made {
        self.certify_with(names, |_| {})
    }

    /// The same, changed before it is signed.
    pub fn certify_with(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Made {
        let mut params = CertificateParams::new(owned(names)).expect("names");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Made {
            certificate: signed.pem(),
            key: key.serialize_pem(),
            der: signed.der().clone(),
            key_der: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What signs.
    pub fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// A list that revokes nothing, PEM.
    pub fn empty_list(&self) -> String {
        self.list(&[], SystemTime::now() + Duration::from_secs(86_400))
    }

    /// A list that revokes certificates of these serial numbers, and is to be replaced then. PEM.
    pub fn list(&self, revoked: &[u64], next: SystemTime) -> String {
        let began = SystemTime::now() - Duration::from_secs(86_400);
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: began.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: began.into(),
            next_update: next.into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list");
        list.pem().expect("PEM")
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts it.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(versions).expect("versions");
        builder.with_root_certificates(self.roots()).with_no_client_auth().into()
    }

    /// The same, with a certificate to show.
    pub fn client_with(&self, own: &Made) -> Arc<ClientConfig> {
        self.client_with_versions(own, BOTH)
    }

    /// The same, in these versions.
    pub fn client_with_versions(
        &self,
        own: &Made,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        self.showing(own, vec![own.der.clone()], versions)
    }

    /// A client that shows with its certificate whose signature that bears.
    pub fn client_with_chain(&self, own: &Made) -> Arc<ClientConfig> {
        self.showing(own, vec![own.der.clone(), self.certificate.der().clone()], BOTH)
    }

    fn showing(
        &self,
        own: &Made,
        chain: Vec<CertificateDer<'static>>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(versions).expect("versions");
        builder
            .with_root_certificates(self.roots())
            .with_client_auth_cert(chain, own.key_der.clone_key())
            .expect("a key that fits")
            .into()
    }

    /// Its certificate as a field has it (RFC 9440).
    pub fn byte_sequence(&self) -> String {
        byte_sequence(self.certificate.der())
    }

    /// A server with this certificate.
    pub fn server(&self, own: &Made) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(BOTH).expect("versions");
        builder
            .with_no_client_auth()
            .with_single_cert(vec![own.der.clone()], own.key_der.clone_key())
            .expect("a key that fits")
            .into()
    }

    /// A server that wants a certificate of its clients, of this authority.
    pub fn strict_server(&self, own: &Made) -> Arc<ServerConfig> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider());
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(BOTH).expect("versions");
        builder
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(vec![own.der.clone()], own.key_der.clone_key())
            .expect("a key that fits")
            .into()
    }
}

impl Made {
    /// Its certificate as a field has it (RFC 9440).
    pub fn byte_sequence(&self) -> String {
        byte_sequence(&self.der)
    }

    /// SHA-256 of its certificate, hex.
    pub fn fingerprint(&self) -> String {
        self.digest().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same as tokens name it (`x5t#S256`, RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> String {
        super::issuer::coded(self.digest())
    }

    fn digest(&self) -> aws_lc_rs::digest::Digest {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der)
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.certificate).expect("a file");
        std::fs::write(folder.join(format!("{name}.key")), &self.key).expect("a file");
    }
}

fn byte_sequence(der: &[u8]) -> String {
    format!(":{}:", base64::engine::general_purpose::STANDARD.encode(der))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A socket with TLS on it.
#[derive(Debug)]
pub struct TlsLink {
    pub connection: Connection,
    pub socket: TcpStream,
}

impl TlsLink {
    pub fn client(socket: TcpStream, tls: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        Self { connection: connection.into(), socket }.shake()
    }

    pub fn server(socket: TcpStream, tls: &Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
        Self { connection: connection.into(), socket }.shake()
    }

    /// Says that no more content comes.
    pub fn say_end(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.connection.write_tls(&mut self.socket).map(drop)
    }

    /// Bytes that stand for this content, not sent.
    pub fn record(&mut self, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.connection.writer().write_all(content).expect("room");
        self.connection.write_tls(&mut bytes).expect("memory");
        bytes
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn shake(mut self) -> io::Result<Self> {
        while self.connection.is_handshaking() {
            self.connection.complete_io(&mut self.socket)?;
        }
        Ok(self)
    }
}

impl Read for TlsLink {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.connection {
            Connection::Client(c) => Stream::new(c, &mut self.socket).read(into),
            Connection::Server(c) => Stream::new(c, &mut self.socket).read(into),
        }
    }
}

impl Write for TlsLink {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match &mut self.connection {
            Connection::Client(c) => Stream::new(c, &mut self.socket).write(from),
            Connection::Server(c) => Stream::new(c, &mut self.socket).write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.connection {
            Connection::Client(c) => Stream::new(c, &mut self.socket).flush(),
            Connection::Server(c) => Stream::new(c, &mut self.socket).flush(),
        }
    }
}
