//! TLS to upstreams: whose certificates count, and what is shown to targets.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier, client,
};
use rustls_pki_types::pem::PemObject;

use super::clients::roots;
use super::files::Files;
use super::provider;
use crate::config::upstream_tls::UpstreamTls;
use crate::config::{HttpProtocol, Remark, Settings, Severity, Step};
use crate::limits::{TLS_BUNDLE_MAX, TLS_FILE_MAX};

/// How TLS is spoken to the targets of each upstream that speaks it, by its name.
#[derive(Clone, Default)]
pub struct Targets(BTreeMap<String, One>);

#[derive(Clone)]
struct One {
    /// The same for the same settings and files.
    identity: u64,
    config: Arc<ClientConfig>,
}

impl Targets {
    /// That of one upstream.
    pub fn of(&self, upstream: &str) -> Option<&Arc<ClientConfig>> {
        self.0.get(upstream).map(|one| &one.config)
    }

    /// Keeps of `before` what is the same: connections made with it may be used on.
    pub fn keeping(mut self, before: &Self) -> Self {
        for (name, one) in &mut self.0 {
            if let Some(old) = before.0.get(name).filter(|old| old.identity == one.identity) {
                one.clone_from(old);
            }
        }
        self
    }
}

/// The key that is to blame, and why.
type Refused = (&'static str, String);

/// Reads what the upstreams need, and says what is wrong with it.
pub fn targets(settings: &Settings, files: &mut Files) -> (Targets, Vec<Remark>) {
    let mut targets = BTreeMap::new();
    let mut remarks = Vec::new();
    for (name, upstream) in &settings.upstreams {
        let Some(tls) = &upstream.tls else { continue };
        let mut remark = |severity, key, message, help: &str| {
            let at = vec![Step::Key("upstreams"), Step::Name(name.clone()), Step::Key("tls")];
            let at = at.into_iter().chain([Step::Key(key)]).collect();
            remarks.push(Remark { severity, at, message, help: help.to_owned() });
        };
        if tls.danger_skip_verification {
            let message = "anybody can pass for this upstream's targets: danger_skip_verification";
            let help = "write `roots` instead, with the authority that signed their certificates";
            remark(Severity::Warning, "danger_skip_verification", message.to_owned(), help);
        }
        match one(tls, upstream.protocol, files) {
            Ok(one) => {
                targets.insert(name.clone(), one);
            }
            Err((key, why)) => remark(Severity::Error, key, why, "write the name of a PEM file"),
        }
    }
    (Targets(targets), remarks)
}

fn one(tls: &UpstreamTls, protocol: HttpProtocol, files: &mut Files) -> Result<One, Refused> {
    let mut hasher = DefaultHasher::new();
    (tls.danger_skip_verification, &tls.server_name, protocol.name()).hash(&mut hasher);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| ("roots", e.to_string()))?;
    let builder = verified(builder, tls, files, &mut hasher)?;
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let read = |files: &mut Files, part, path: &_| {
                files.read(path, TLS_FILE_MAX).map_err(|why| (part, of_file(path, &why)))
            };
            let (chain, key) = (read(files, "certificate", chain)?, read(files, "key", key)?);
            (&chain, &key).hash(&mut hasher);
            let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|e| ("certificate", e.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| ("key", e.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| ("certificate", e.to_string()))?
        }
    };
    config.alpn_protocols = vec![protocol.name().into()];
    Ok(One { identity: hasher.finish(), config: Arc::new(config) })
}

/// How TLS is spoken to the server that certificates are asked of, where there is one.
pub fn acme_server(
    settings: &Settings,
    files: &mut Files,
) -> (Option<Arc<ClientConfig>>, Vec<Remark>) {
    let Some(acme) = &settings.acme else { return (None, Vec::new()) };
    let roots = acme.roots.clone().filter(|path| !path.as_os_str().is_empty());
    let tls = UpstreamTls { roots, ..UpstreamTls::default() };
    match one(&tls, HttpProtocol::Http1, files) {
        Ok(one) => (Some(one.config), Vec::new()),
        Err((key, message)) => {
            let at = vec![Step::Key("acme"), Step::Key(key)];
            let help = "write the name of a PEM file".to_owned();
            (None, vec![Remark { severity: Severity::Error, at, message, help }])
        }
    }
}

/// How TLS is spoken to who has keys of tokens, with a number that is the same for the same files. Where
/// none is spoken, nobody is trusted.
///
/// # Errors
/// Why the authorities can't be had.
pub fn issuer(
    roots: Option<&Path>,
    is_spoken: bool,
    files: &mut Files,
) -> Result<(Arc<ClientConfig>, u64), String> {
    if !is_spoken {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let nobody = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        return Ok((Arc::new(nobody), 0));
    }
    let roots = roots.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned);
    let tls = UpstreamTls { roots, ..UpstreamTls::default() };
    let one = one(&tls, HttpProtocol::Http1, files).map_err(|(_, why)| why)?;
    Ok((one.config, one.identity))
}

type Builder<S> = rustls::ConfigBuilder<ClientConfig, S>;

fn verified(
    builder: Builder<WantsVerifier>,
    tls: &UpstreamTls,
    files: &mut Files,
    hasher: &mut DefaultHasher,
) -> Result<Builder<client::WantsClientCert>, Refused> {
    if tls.danger_skip_verification {
        let anybody = Arc::new(Anybody(provider()));
        return Ok(builder.dangerous().with_custom_certificate_verifier(anybody));
    }
    let trusted = match &tls.roots {
        Some(path) => {
            let refused = |why: String| ("roots", of_file(path, &why));
            let text = files.read(path, TLS_BUNDLE_MAX).map_err(refused)?;
            text.hash(hasher);
            roots(&text).map_err(refused)?
        }
        None => system_roots()?,
    };
    Ok(builder.with_root_certificates(trusted))
}

/// What is wrong, with the file's name.
pub fn of_file(path: &Path, why: &str) -> String {
    format!("{}: {why}", path.display())
}

/// Those whom the system trusts.
fn system_roots() -> Result<RootCertStore, Refused> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(
            || "the system trusts no authority".to_owned(),
            |error| format!("the system's authorities: {error}"),
        );
        return Err(("roots", why));
    }
    Ok(roots)
}

/// Takes any certificate, from whoever holds its key.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
