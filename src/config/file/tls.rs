//! `[listeners.tls]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::tls::{ClientCertificateMode, TlsVersion, UnknownName};
use crate::config::units::HumanDuration;
use crate::limits;

/// TLS on a listener: certificates, and what is asked of clients. Relative file names are looked up
/// beside the configuration file. Files that change are loaded again like the configuration itself;
/// one that can't be used leaves everything as it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates. A client gets the one for the host it names (SNI): an exact name before a
    /// wildcard, which stands for one label. Where several are for one name, the first whose kind
    /// of key the client takes, ECDSA before RSA.
    #[schemars(extend("x-default" = "none"))]
    pub certificates: Vec<Certificate>,
    /// A folder of further certificates: `NAME.crt` or `NAME.pem` with the chain, `NAME.key` with
    /// the key, and where there is one `NAME.ocsp` with the response to staple.
    #[schemars(extend("x-default" = "none"))]
    pub certificate_directory: Option<String>,
    /// Names to get certificates for by `[acme]`, one for each. Until the first has come, such a name
    /// is unknown. A certificate above for the same name counts more.
    #[schemars(extend("x-default" = "none"))]
    pub acme_names: Vec<String>,
    /// Oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// What a client gets that names a host no certificate is for, or names none.
    pub unknown_name: UnknownName,
    /// Whether the host of each request must be the one that the client named in the handshake
    /// (SNI), where it named one; else 421.
    pub strict_host: bool,
    /// From the connection to the end of the handshake.
    pub handshake_timeout: HumanDuration,
    /// Whether clients keep their sessions in tickets, so that resuming costs no memory here. The
    /// keys are changed every six hours, and die with the process.
    pub session_tickets: bool,
    /// Ask clients for certificates.
    #[schemars(extend("x-default" = "none"))]
    pub client_certificates: Option<ClientCertificates>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            certificate_directory: None,
            acme_names: Vec::new(),
            min_version: TlsVersion::Tls12,
            unknown_name: UnknownName::Default,
            strict_host: true,
            handshake_timeout: HumanDuration(limits::HANDSHAKE_TIMEOUT),
            session_tickets: true,
            client_certificates: None,
        }
    }
}

/// The files of one certificate.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Certificate {
    /// The certificate and the chain of those that signed it, PEM, the certificate first.
    #[schemars(required, extend("x-required" = true))]
    pub certificate: Option<String>,
    /// Its private key, PEM: PKCS#8, PKCS#1 (RSA) or SEC1 (ECDSA), without a passphrase.
    #[schemars(required, extend("x-required" = true))]
    pub key: Option<String>,
    /// An OCSP response to staple, DER, as `openssl ocsp -respout` writes it.
    #[schemars(extend("x-default" = "none"))]
    pub ocsp: Option<String>,
}

/// Which certificates clients show.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificates {
    /// What becomes of a client without one.
    pub mode: ClientCertificateMode,
    /// The authorities whose certificates count, PEM.
    #[schemars(required, extend("x-required" = true))]
    pub ca: Option<String>,
    /// Lists of revoked certificates, PEM: one of each authority in the chain of a client's
    /// certificate, else it is refused.
    #[schemars(extend("x-default" = "none"))]
    pub crl: Option<String>,
}

impl Default for ClientCertificates {
    fn default() -> Self {
        Self { mode: ClientCertificateMode::Required, ca: None, crl: None }
    }
}
