//! `[acme]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::acme::Challenge;
use crate::limits;

/// Certificates by ACME (RFC 8555) for the names in `tls.acme_names` of the listeners: one for each
/// name, asked for when it is missing and renewed when the server says (RFC 9773) or at two thirds of
/// its life. Account and certificates are in `[store]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// URL of the server's directory. To try things out without using up the limits of Let's
    /// Encrypt: `"https://acme-staging-v02.api.letsencrypt.org/directory"`.
    pub directory: String,
    /// Whether you agree to the terms of service of that server; must be `true`.
    #[schemars(extend("x-required" = true))]
    pub agree_to_terms: Option<bool>,
    /// Mail addresses that the server may write to about the account.
    #[schemars(extend("x-default" = "none"))]
    pub contact: Vec<String>,
    /// How control over a name is proved.
    pub challenge: Challenge,
    /// The authorities by which the server itself is known, PEM.
    #[schemars(extend("x-default" = "those of the system"))]
    pub roots: Option<String>,
    /// The account at the authority that the ACME account is bound to, where the server wants one.
    #[schemars(extend("x-default" = "none"))]
    pub external_account: Option<ExternalAccount>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: limits::ACME_DIRECTORY.to_owned(),
            agree_to_terms: None,
            contact: Vec::new(),
            challenge: Challenge::Http01,
            roots: None,
            external_account: None,
        }
    }
}

/// An account at the authority, as it gave it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalAccount {
    /// Which account.
    #[schemars(required, extend("x-required" = true))]
    pub key_id: Option<String>,
    /// Its HMAC key, base64url. Keep it out of the file: `"${ACME_HMAC}"`.
    #[schemars(required, extend("x-required" = true))]
    pub key: Option<String>,
}
