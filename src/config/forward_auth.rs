//! Checked settings of services that are asked whether a request may pass.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardAuth {
    /// Its URL, `http` or `https`.
    pub url: String,
    /// Authorities by which it is known, PEM; `None`: those of the system.
    pub roots: Option<PathBuf>,
    /// How long a question may take.
    pub timeout: Duration,
    /// The client's fields that it gets; lower-case names.
    pub request_headers: Vec<String>,
    /// Fields of its answer that the upstream gets, as they were written.
    pub response_headers: Vec<String>,
    /// Which answers are remembered; `None`: none.
    pub cache: Option<AnswerCache>,
    /// What becomes of requests while it gives no answer.
    pub on_error: OnError,
}

/// Which answers are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerCache {
    /// What must be the same.
    pub key: Vec<Input>,
    /// How long an answer holds that let a request pass.
    pub allowed_for: Duration,
    /// How long one holds that refused it.
    pub denied_for: Duration,
}

/// A part of a request that an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A field (lower-case name), all of its lines.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The method.
    Method,
    /// The canonical path.
    Path,
    /// The query.
    Query,
    /// The host and port that the client asked for.
    Host,
    /// The client's address.
    ClientIp,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Method => f.write_str("method"),
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query"),
            Self::Host => f.write_str("host"),
            Self::ClientIp => f.write_str("client_ip"),
        }
    }
}

/// What becomes of a request that nobody answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It gets 503.
    Refuse,
    /// It passes.
    Allow,
}
