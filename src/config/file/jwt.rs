//! `[jwt.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMore;
use crate::config::jwt::{Dpop, JwtAlgorithm};
use crate::config::units::{HumanDuration, Size};
use crate::limits;

/// JSON web tokens (RFC 7519) that are taken for `jwt:NAME` in `authentication`: whose they are and what
/// they must say. Exactly one of `jwks_url`, `jwks_file` and `secret` says what they are signed with.
/// Without `exp` a token is never taken, nor with `typ` other than `JWT` and `at+jwt`, unless
/// `token_type` says so.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// Who makes them: `iss` is one of these.
    #[schemars(extend("x-default" = "anybody who has a key"))]
    pub issuer: Option<OneOrMore>,
    /// Whom they are for: `aud` holds one of these.
    #[schemars(extend("x-default" = "anybody"))]
    pub audience: Option<OneOrMore>,
    /// URL (`https`, or `http` within your own network) of the issuer's keys, a JWK set (RFC 7517).
    /// They are fetched at the start and again as its Cache-Control says, or `refresh`. While the
    /// issuer can't be reached, the last ones hold; before the first came every token is refused.
    #[schemars(extend("x-default" = "—"))]
    pub jwks_url: Option<String>,
    /// Authorities by which the issuer's server is known, PEM.
    #[schemars(extend("x-default" = "those of the system"))]
    pub jwks_roots: Option<String>,
    /// File with the keys, a JWK set. A relative name is beside this file.
    #[schemars(extend("x-default" = "—"))]
    pub jwks_file: Option<String>,
    /// Secret that the issuer shares, for HS256, HS384 and HS512: as many bytes as the hash at least.
    /// Keep it out of the file: `"${JWT_SECRET}"`.
    #[schemars(extend("x-default" = "—"))]
    pub secret: Option<String>,
    /// Algorithms that are taken, where the token's key is for them: `RS256`, `RS384`, `RS512`,
    /// `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `ES512`, `EdDSA` (Ed25519) with public keys, or `HS256`,
    /// `HS384`, `HS512` with a secret.
    #[schemars(extend("x-default" = "all with public keys, or `[\"HS256\"]`"))]
    pub algorithms: Option<Vec<JwtAlgorithm>>,
    /// By how much the issuer's clock may differ.
    pub leeway: HumanDuration,
    /// What `typ` must be: `"at+jwt"` for access tokens of RFC 9068 and nothing else.
    #[schemars(extend("x-default" = "none, `JWT` or `at+jwt`"))]
    pub token_type: Option<String>,
    /// Scopes that a token must all have, in `scope` or `scp`; else 403.
    #[schemars(extend("x-default" = "none"))]
    pub scopes: Vec<String>,
    /// Claims and what each must be, a value or an array of values of which one must be the claim's or
    /// among the claim's; else 403. A name that begins with `/` leads into objects (RFC 6901):
    /// `{ tenant = "a", "/realm_access/roles" = ["admin", "support"] }`.
    #[schemars(extend("x-default" = "none"))]
    pub claims: BTreeMap<String, OneOrMore>,
    /// The claim that says which application calls, where a product asks.
    #[schemars(extend("x-default" = "`client_id`, or `azp` where that is missing"))]
    pub application_claim: Option<String>,
    /// Proofs of possession (DPoP, RFC 9449): `optional`, a token that is bound to a key (`cnf.jkt`) comes as
    /// `Authorization: DPoP` with a proof of the request in the field DPoP, others as Bearer; `required`, only
    /// bound tokens are taken; `off`, bound tokens are refused.
    pub dpop: Dpop,
    /// How long keys hold where the issuer does not say; it is never believed more than a day.
    pub refresh: HumanDuration,
    /// How long after one question the next may come because a token names a key that is not known.
    pub refetch: HumanDuration,
    /// How long a question may take.
    pub timeout: HumanDuration,
    /// Verified tokens that each worker remembers until they end; `"0B"`: none.
    pub cache: Size,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_url: None,
            jwks_roots: None,
            jwks_file: None,
            secret: None,
            algorithms: None,
            leeway: HumanDuration(limits::JWT_LEEWAY),
            token_type: None,
            scopes: Vec::new(),
            claims: BTreeMap::new(),
            application_claim: None,
            dpop: Dpop::Off,
            refresh: HumanDuration(limits::JWKS_REFRESH),
            refetch: HumanDuration(limits::JWKS_REFETCH),
            timeout: HumanDuration(limits::JWKS_TIMEOUT),
            cache: Size(limits::JWT_CACHE),
        }
    }
}
