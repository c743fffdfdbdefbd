//! TLS of the load: a certificate for the proxies, and clients that ask all of them for the same
//! arithmetic (TLS 1.3, X25519, AES-128-GCM).

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, NamedGroup, RootCertStore,
    SignatureScheme,
};

/// The name in the certificate.
const NAME: &str = "api.example.com";
/// More tickets than connections open at once keep; the oldest make room.
const MAX_TICKETS: usize = 1024;

/// The proxies' certificate, on disk and in hand.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub both: PathBuf,
    der: CertificateDer<'static>,
}

impl Identity {
    /// Makes a P-256 certificate and writes it to `dir`.
    pub fn make(dir: &Path) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let made = made.map_err(|error| format!("certificate: {error}"))?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(path)
        };
        Ok(Self {
            certificate: write("proxy.crt", &certificate)?,
            key: write("proxy.key", &key)?,
            both: write("proxy.pem", &format!("{certificate}{key}"))?,
            der: made.cert.der().clone(),
        })
    }
}

/// What a handshake must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever comes: before anything is measured.
    Any,
    /// With certificate and signature.
    Full,
    /// With a ticket of an earlier one.
    Resumed,
}

impl Wanted {
    /// Whether a handshake was of this kind.
    pub fn is(self, kind: Option<HandshakeKind>) -> bool {
        match self {
            Self::Any => kind.is_some(),
            Self::Full => kind == Some(HandshakeKind::Full),
            Self::Resumed => kind == Some(HandshakeKind::Resumed),
        }
    }
}

/// How the clients of one proxy speak TLS.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// Who is asked for.
    pub name: ServerName<'static>,
    /// What each handshake must be.
    pub wanted: Wanted,
}

impl Speaker {
    /// One that verifies all there is to verify, for the first connection to a proxy.
    pub fn careful(identity: &Identity, protocol: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(identity.der.clone()).map_err(|error| format!("certificate: {error}"))?;
        let config = builder()?.with_root_certificates(roots).with_no_client_auth();
        Self::new(config, protocol, Resumption::disabled(), Wanted::Full)
    }

    /// One that only looks whether the certificate is the right one: checking its signatures again
    /// with each handshake would cost the load core more than the proxies.
    pub fn quick(identity: &Identity, protocol: &str) -> Result<Self, String> {
        let resumption = Resumption::disabled();
        Self::new(pinned(identity)?, protocol, resumption, Wanted::Full)
    }

    /// The same, and it continues sessions.
    pub fn resuming(identity: &Identity, protocol: &str) -> Result<Self, String> {
        let resumption = Resumption::store(Arc::new(Tickets::default()));
        Self::new(pinned(identity)?, protocol, resumption, Wanted::Resumed)
    }

    /// The same, with the same tickets, and content with any handshake.
    pub fn lenient(&self) -> Self {
        Self { wanted: Wanted::Any, ..self.clone() }
    }

    fn new(
        mut config: ClientConfig,
        protocol: &str,
        resumption: Resumption,
        wanted: Wanted,
    ) -> Result<Self, String> {
        config.resumption = resumption;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from(NAME).map_err(|error| error.to_string())?;
        Ok(Self { config: Arc::new(config), name, wanted })
    }
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| format!("TLS: {error}"))
}

fn pinned(identity: &Identity) -> Result<ClientConfig, String> {
    let verifier = Arc::new(Pinned(identity.der.clone()));
    let builder = builder()?.dangerous().with_custom_certificate_verifier(verifier);
    Ok(builder.with_no_client_auth())
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General("another certificate than the load's".into()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// One proxy's tickets, of which each is used once.
#[derive(Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let Ok(mut tickets) = self.0.lock() else { return };
        if tickets.len() == MAX_TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().ok()?.pop_back()
    }
}
