//! `[listeners.tls]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::tls::{
    ClientCertificateForward, ClientCertificateMode, TlsVersion, UnknownName,
};
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
    /// Whether clients keep their sessions in tickets, so that resuming costs no memory here. Without
    /// `session_ticket_keys` the keys are changed every six hours, and die with the process.
    pub session_tickets: bool,
    /// Files with keys of session tickets, so that nodes which have the same files resume each other's
    /// sessions: 48 or 80 random bytes each (`openssl rand -out FILE 80`), read by nobody but the
    /// gateway. The first makes tickets, all open them; changed files are taken up by themselves. Put a
    /// new key second, then first, then drop the old one, each on all nodes before the next step.
    #[schemars(extend("x-default" = "keys of the process"))]
    pub session_ticket_keys: Vec<String>,
    /// Whether a client that resumes a session of TLS 1.3 may send requests along with its first words
    /// (0-RTT, RFC 8470), a round trip sooner. Needs `session_tickets = false`, so that each session is
    /// resumed once and nothing can be replayed here. GET, HEAD and OPTIONS without content are
    /// served at once, and go upstream with `Early-Data: 1`, so that a service may answer 425; all
    /// others wait for the end of the handshake. Only where no GET changes anything.
    pub early_data: bool,
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
            session_ticket_keys: Vec::new(),
            early_data: false,
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
    /// certificate, not past its time (`nextUpdate`), else it is refused.
    #[schemars(extend("x-default" = "none"))]
    pub crl: Option<String>,
    /// What upstreams are told of a client's certificate (RFC 9440), as it was shown: nothing, the
    /// certificate itself in Client-Cert, or with it those that signed it in Client-Cert-Chain. What
    /// a client writes into these fields by itself never goes upstream, on no listener.
    pub forward: ClientCertificateForward,
}

impl Default for ClientCertificates {
    fn default() -> Self {
        let forward = ClientCertificateForward::Off;
        Self { mode: ClientCertificateMode::Required, ca: None, crl: None, forward }
    }
}
