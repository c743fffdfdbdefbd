//! Checked settings of token introspection (RFC 7662): who is asked about tokens, and what is believed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::file::OnError;
use super::jwt::TokenRules;

/// A server that is asked about tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Introspection {
    /// Where it is asked, `http` or `https`.
    pub url: String,
    /// Authorities by which it is known, PEM; `None`: those of the system.
    pub roots: Option<PathBuf>,
    /// Who asks: client id and secret, for HTTP Basic.
    pub client: Option<(String, String)>,
    /// How long a question may take.
    pub timeout: Duration,
    /// What an active token must say.
    pub says: TokenRules,
    /// Bytes of answers that each worker remembers.
    pub cache: usize,
    /// How long an answer is believed at most that a token is active.
    pub ceiling: Duration,
    /// How long one is believed that it is not.
    pub negative: Duration,
    /// What becomes of requests while the server fails.
    pub on_error: OnError,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("url", &self.url).finish_non_exhaustive()
    }
}
