//! Checked settings of JSON web tokens: whose are taken, and what they must say.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A claim (its name, or a pointer into objects, RFC 6901) and the values of which it must have one.
pub type ClaimTest = (String, Vec<String>);

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// Where the keys are.
    pub keys: JwtKeys,
    /// What they must say.
    pub says: TokenRules,
    /// Algorithms that are taken, where the key allows them.
    pub algorithms: Vec<JwtAlgorithm>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// `typ` must be this, lower-case and without `application/`; `None`: a plain or access token's.
    pub token_type: Option<String>,
    /// Whether a client proves that a token is its own (RFC 9449).
    pub dpop: Dpop,
    /// Bytes of verified tokens that each worker remembers.
    pub cache: usize,
}

/// Whose tokens a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteAuthentication {
    /// Names in `[jwt.NAME]` of which one must take the token.
    pub jwt: Vec<String>,
    /// Names in `[introspection.NAME]` that are asked in turn where none of these does.
    pub introspection: Vec<String>,
    /// Whether all of them must take it.
    pub all: bool,
    /// Whether requests without a token pass.
    pub optional: bool,
}

/// What a token must say, whoever says that it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// `iss` must be one of them; empty: whatever it is.
    pub issuers: Vec<String>,
    /// `aud` must hold one of them; empty: whatever it is.
    pub audiences: Vec<String>,
    /// Scopes that a token must have.
    pub scopes: Vec<String>,
    /// Claims and the values of which each must have one.
    pub claims: Vec<ClaimTest>,
    /// The claim that says which application calls; `None`: `client_id`, else `azp`.
    pub application_claim: Option<String>,
}

/// Whether clients prove that they have the key that a token is bound to (RFC 9449). The strictest is the last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Dpop {
    /// Nobody is asked, and tokens that are bound to a key are refused.
    #[default]
    Off,
    /// Those whose token is bound to a key must.
    Optional,
    /// No other tokens are taken.
    Required,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtKeys {
    /// A JWK set that the issuer serves.
    Url(JwtUrl),
    /// A file with a JWK set.
    File(PathBuf),
    /// A secret that issuer and gateway share.
    Secret(Vec<u8>),
}

/// A JWK set that the issuer serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtUrl {
    /// Its URL, `http` or `https`.
    pub url: String,
    /// Authorities by which the issuer is known, PEM; `None`: those of the system.
    pub roots: Option<PathBuf>,
    /// How long a set holds where the issuer does not say.
    pub refresh: Duration,
    /// How long after one question the next may come for the sake of an unknown key.
    pub refetch: Duration,
    /// How long a question may take.
    pub timeout: Duration,
}

/// An algorithm of signatures (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum JwtAlgorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "RS384")]
    Rs384,
    #[serde(rename = "RS512")]
    Rs512,
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "PS384")]
    Ps384,
    #[serde(rename = "PS512")]
    Ps512,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "ES384")]
    Es384,
    #[serde(rename = "ES512")]
    Es512,
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "HS384")]
    Hs384,
    #[serde(rename = "HS512")]
    Hs512,
}

impl JwtAlgorithm {
    /// Those with a public key.
    pub const WITH_PUBLIC_KEY: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// Bytes that a shared secret must have at least (RFC 7518 section 3.2); `None`: it has none.
    pub fn secret_length(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Secret(_) => f.write_str("Secret"),
        }
    }
}
