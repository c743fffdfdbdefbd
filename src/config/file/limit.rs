//! `limits = [{ … }]` on the file's top level, on listeners and on routes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::Rate;

/// A rate limit: a token bucket (GCRA). A request takes a token; where there is none it gets 429
/// with Retry-After. Of several limits all must have a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Name in the RateLimit-Policy field, logs and stats. A limit that keeps its name and scope
    /// keeps its state over a reload.
    #[schemars(extend("x-default" = "the route's or listener's name (`global` on the top level), with `-2`, `-3` … where there are several"))]
    pub name: Option<String>,
    /// Requests in a period: `"100/s"`, `"1000/m"`, `"5000/h"`, `"10/500ms"`.
    #[schemars(required, extend("x-required" = true))]
    pub rate: Option<Rate>,
    /// Bucket size: requests that may come at once after silence.
    #[schemars(range(min = 1, max = 1000000000), extend("x-default" = "the rate's number"))]
    pub burst: Option<u64>,
    /// What a bucket is kept for: `client_ip` (IPv6 by `server.ipv6_prefix`), `header:NAME`,
    /// `query:NAME`, `path:NAME` (a path parameter; on routes only), `client_certificate` (the
    /// certificate that the client showed, by its fingerprint), `client_certificate:subject` (its
    /// subject), `application` (the one that calls, or the client address where none does), `claim:NAME`
    /// (what the token says that was shown; a name that begins with `/` leads into objects, as in
    /// `[jwt.NAME]`), or `route` (one bucket for the whole route, listener or gateway). `application` and
    /// `claim:NAME` are for routes only, and asked after authentication. Requests without the field, query
    /// parameter, certificate or claim share one bucket.
    pub key: String,
}

impl Default for Limit {
    fn default() -> Self {
        Self { name: None, rate: None, burst: None, key: "route".to_owned() }
    }
}
