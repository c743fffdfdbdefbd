//! Checked settings of ACME: whom certificates are asked of, and how names are proved.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom certificates are asked of, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// URL of the server's directory.
    pub directory: String,
    /// URLs that the server may write to (`mailto:`).
    pub contact: Vec<String>,
    /// How names are proved.
    pub challenge: Challenge,
    /// By whom the server is known, PEM; `None`: those whom the system trusts.
    pub roots: Option<PathBuf>,
    /// What the account is bound to.
    pub external_account: Option<ExternalAccount>,
}

/// An account at the authority (RFC 8555 section 7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Which.
    pub key_id: String,
    /// Key of its HMAC.
    pub key: Vec<u8>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// How control over a name is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Challenge {
    /// The server asks for a file at port 80, which every listener without TLS answers before any
    /// route.
    #[serde(rename = "http-01")]
    Http01,
    /// The server makes a TLS handshake at port 443 (RFC 8737), which every listener with TLS
    /// answers.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Challenge {
    /// Its name in the protocol, and in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}
