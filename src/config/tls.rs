//! Checked settings of a listener that speaks TLS: which files, and what is asked of clients.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a listener speaks TLS. The files are named here and read by control.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Certificates, each a file with its chain and a file with its key; as many as the file lists.
    pub certificates: Vec<CertificateFiles>,
    /// Where further pairs are.
    pub certificate_directory: Option<PathBuf>,
    /// Names to get certificates for by ACME, lower case.
    pub acme_names: Vec<String>,
    /// Oldest version that is spoken.
    pub min_version: TlsVersion,
    /// What a client gets that names no known host.
    pub unknown_name: UnknownName,
    /// Whether SNI and Host must agree, else 421.
    pub strict_host: bool,
    /// For the whole handshake.
    pub handshake_timeout: Duration,
    /// Whether sessions are kept by the client, in tickets.
    pub session_tickets: bool,
    /// Files with their keys, the one that makes them first; none: keys of the process.
    pub session_ticket_keys: Vec<PathBuf>,
    /// Whether requests are taken before the end of the handshake.
    pub early_data: bool,
    /// Which certificates clients show, where they are asked for one.
    pub client_certificates: Option<ClientCertificates>,
}

/// The files of one certificate. An empty path stands for one that was refused already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The OCSP response that is stapled, DER.
    pub ocsp: Option<PathBuf>,
}

/// What is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Whether a client without one may go on.
    pub mode: ClientCertificateMode,
    /// Who signs them, PEM.
    pub ca: PathBuf,
    /// Which are revoked, PEM.
    pub crl: Option<PathBuf>,
    /// What upstreams are told.
    pub forward: ClientCertificateForward,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246) and later.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446) only.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a client gets that names a host no certificate is for, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownName {
    /// The first certificate.
    Default,
    /// The handshake ends.
    Refuse,
}

/// What upstreams are told of a client's certificate (RFC 9440).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificateForward {
    /// Nothing.
    #[default]
    Off,
    /// The certificate, in Client-Cert.
    Certificate,
    /// And those that it came with, in Client-Cert-Chain.
    Chain,
}

/// Whether a client without a certificate may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificateMode {
    /// It may; one that is shown must be good.
    Optional,
    /// The handshake ends.
    Required,
}
