//! `[forward_auth.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::forward_auth::OnError;
use crate::config::units::HumanDuration;
use crate::limits;

/// A service that is asked whether a request may pass, for routes with `forward_auth = "NAME"`. It gets
/// a GET without content, with `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For` of the request
/// and the fields of `request_headers`; a client's own copies of the first never reach it. Where it
/// answers 2xx, the request passes, and nothing of the answer but `response_headers` is used. Where it
/// answers 3xx or 4xx, that is the client's answer: its status, `WWW-Authenticate`, `Location`,
/// `Set-Cookie`, `Retry-After`, `Cache-Control`, its content and what describes that. Redirections are
/// not followed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardAuth {
    /// URL (`https`, or `http` within your own network) that is asked, the same for each request.
    #[schemars(required, extend("x-required" = true))]
    pub url: Option<String>,
    /// Authorities by which the service is known, PEM.
    #[schemars(extend("x-default" = "those of the system"))]
    pub roots: Option<String>,
    /// How long a question may take.
    pub timeout: HumanDuration,
    /// The client's fields that the service gets.
    pub request_headers: Vec<String>,
    /// Fields of the service's 2xx answer that the upstream gets. A client's own copies of them never
    /// pass, also where the answer lacks them.
    #[schemars(extend("x-default" = "none"))]
    pub response_headers: Vec<String>,
    /// Remember answers for a while; without it each request asks.
    pub cache: Option<ForwardAuthCache>,
    /// What becomes of a request while the service gives no answer in time, one that is no HTTP or too
    /// large (a refusal stays one), or 5xx: `"refuse"` it with 503, or `"allow"` it, unasked.
    pub on_error: OnError,
}

impl Default for ForwardAuth {
    fn default() -> Self {
        Self {
            url: None,
            roots: None,
            timeout: HumanDuration(limits::FORWARD_AUTH_TIMEOUT),
            request_headers: vec!["Authorization".to_owned(), "Cookie".to_owned()],
            response_headers: Vec::new(),
            cache: None,
            on_error: OnError::Refuse,
        }
    }
}

/// Which answers are remembered, by each worker, and for which requests they count. An answer with
/// `Cache-Control: no-store` or `private`, or with `Set-Cookie`, is for one request only; `max-age`
/// shortens the time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardAuthCache {
    /// What must be the same for an answer to count for another request: `"header:NAME"`,
    /// `"cookie:NAME"`, `"method"`, `"path"`, `"query"`, `"host"`, `"client_ip"`. Each of
    /// `request_headers` must be among them, so that nobody gets another one's answer. Where cookies are
    /// named, the service gets only these.
    #[schemars(required, extend("x-required" = true))]
    pub key: Option<Vec<String>>,
    /// How long an answer holds that let a request pass.
    #[serde(rename = "for")]
    pub allowed_for: HumanDuration,
    /// How long one holds that refused it; `"0s"`: not at all.
    pub denied_for: HumanDuration,
}

impl Default for ForwardAuthCache {
    fn default() -> Self {
        Self {
            key: None,
            allowed_for: HumanDuration(limits::FORWARD_AUTH_FOR),
            denied_for: HumanDuration(limits::FORWARD_AUTH_DENIED_FOR),
        }
    }
}
