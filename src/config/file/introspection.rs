//! `[introspection.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMore;
use crate::config::units::{HumanDuration, Size};
use crate::limits;

/// A server that knows tokens (RFC 7662), for `introspection:NAME` in `authentication`. It is asked once
/// for a token, however many requests show it at that moment, and what it said is remembered: that a
/// token is active until its `exp`, but no longer than `ceiling`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Introspection {
    /// Where it is asked: a URL (`https`, or `http` within your own network).
    #[schemars(required, extend("x-required" = true))]
    pub url: Option<String>,
    /// Authorities by which the server is known, PEM.
    #[schemars(extend("x-default" = "those of the system"))]
    pub roots: Option<String>,
    /// Who asks, by HTTP Basic (RFC 6749 section 2.3.1), with `client_secret`.
    #[schemars(extend("x-default" = "nobody in particular"))]
    pub client_id: Option<String>,
    /// Its secret. Keep it out of the file: `"${CLIENT_SECRET}"`.
    #[schemars(extend("x-default" = "—"))]
    pub client_secret: Option<String>,
    /// How long a question may take.
    pub timeout: HumanDuration,
    /// Who made the token: `iss` of the answer is one of these.
    #[schemars(extend("x-default" = "whoever the server knows"))]
    pub issuer: Option<OneOrMore>,
    /// Whom it is for: `aud` of the answer holds one of these.
    #[schemars(extend("x-default" = "anybody"))]
    pub audience: Option<OneOrMore>,
    /// Scopes that a token must all have; else 403.
    #[schemars(extend("x-default" = "none"))]
    pub scopes: Vec<String>,
    /// What else the answer must say, as in `[jwt.NAME]`; else 403.
    #[schemars(extend("x-default" = "none"))]
    pub claims: BTreeMap<String, OneOrMore>,
    /// What of the answer says which application calls, where a product asks.
    #[schemars(extend("x-default" = "`client_id`, or `azp` where that is missing"))]
    pub application_claim: Option<String>,
    /// Answers that each worker remembers, a quarter of it for tokens that are not taken; `"0B"`: none.
    pub cache: Size,
    /// How long an answer is believed at most that a token is active: so long may one that was revoked
    /// still pass. `"0s"`: each request is asked about.
    pub ceiling: HumanDuration,
    /// How long an answer is believed that a token is not active, or not good enough.
    pub negative: HumanDuration,
    /// What becomes of requests while the server can't be reached, is too slow or answers what can't be
    /// understood: `refuse` (503), or `allow`: they pass without an identity, to a product by its
    /// `anonymous_plan` if there is one. What it said before is believed for its time either way.
    pub on_error: OnError,
}

/// What becomes of requests while who should be asked fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// They get 503.
    #[default]
    Refuse,
    /// They pass.
    Allow,
}

impl Default for Introspection {
    fn default() -> Self {
        Self {
            url: None,
            roots: None,
            client_id: None,
            client_secret: None,
            timeout: HumanDuration(limits::INTROSPECTION_TIMEOUT),
            issuer: None,
            audience: None,
            scopes: Vec::new(),
            claims: BTreeMap::new(),
            application_claim: None,
            cache: Size(limits::JWT_CACHE),
            ceiling: HumanDuration(limits::INTROSPECTION_CEILING),
            negative: HumanDuration(limits::INTROSPECTION_NEGATIVE),
            on_error: OnError::Refuse,
        }
    }
}
