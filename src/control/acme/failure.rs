//! What goes wrong between us and an ACME server, and who can do something about it.

use std::time::Duration;

use instant_acme::Error;

use super::client::Heard;
use crate::store::StoreError;

/// Kinds of failures, as metrics and `/stats` name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server was not reached.
    Network,
    /// It failed itself, or answered with something that makes no sense.
    Server,
    /// It has had enough for now.
    RateLimited,
    /// It does not want to: the account, the name, the order.
    Refused,
    /// It did not find the proof of a name.
    Challenge,
    /// The certificate that came can't be used.
    Certificate,
    /// Our own store.
    Store,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Server => "server",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Challenge => "challenge",
            Self::Certificate => "certificate",
            Self::Store => "store",
        }
    }
}

/// A failure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// For people.
    pub(super) why: String,
    /// How long the server wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The server knows no such account.
    pub(super) account_is_gone: bool,
}

impl Failure {
    pub(super) fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), retry_after: None, account_is_gone: false }
    }

    /// Of an error, by what was heard of the server last.
    pub(super) fn of(error: &Error, heard: &Heard) -> Self {
        let problem = problem_type(error);
        let kind = match error {
            _ if heard.status == Some(429) || problem == Some("rateLimited") => Kind::RateLimited,
            _ if heard.status.is_some_and(|status| status >= 500) => Kind::Server,
            Error::Api(_) if matches!(problem, Some("serverInternal" | "badNonce")) => Kind::Server,
            Error::Api(_) => Kind::Refused,
            Error::Other(_) if heard.status.is_none() => Kind::Network,
            _ => Kind::Server,
        };
        Self {
            kind,
            why: reason(error),
            retry_after: heard.retry_after,
            account_is_gone: problem == Some("accountDoesNotExist"),
        }
    }
}

/// The last word of a problem's type (RFC 8555 section 6.7).
fn problem_type(error: &Error) -> Option<&str> {
    let Error::Api(problem) = error else { return None };
    problem.r#type.as_deref()?.strip_prefix("urn:ietf:params:acme:error:")
}

/// The error with what it stems from: the outermost says little.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(cause) = inner {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = cause.source();
    }
    text
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Kind::Store, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use instant_acme::Problem;

    use super::*;

    fn api(kind: &str) -> Error {
        let problem = format!("{{\"type\":\"urn:ietf:params:acme:error:{kind}\"}}");
        Error::Api(serde_json::from_str::<Problem>(&problem).expect("a problem"))
    }

    #[test]
    fn a_failure_says_who_can_do_something_about_it() {
        let heard = |status| Heard { status, retry_after: None };
        let other = || Error::Other("broken".into());
        let cases = [
            (other(), None, Kind::Network),
            (other(), Some(503), Kind::Server),
            (other(), Some(200), Kind::Server),
            (api("serverInternal"), Some(400), Kind::Server),
            (api("badNonce"), Some(400), Kind::Server),
            (api("rateLimited"), Some(403), Kind::RateLimited),
            (api("unauthorized"), Some(429), Kind::RateLimited),
            (api("rejectedIdentifier"), Some(400), Kind::Refused),
            (Error::Timeout(None), Some(200), Kind::Server),
        ];
        for (error, status, kind) in cases {
            assert_eq!(Failure::of(&error, &heard(status)).kind, kind, "{error} {status:?}");
        }
        let gone = Failure::of(&api("accountDoesNotExist"), &heard(Some(400)));
        assert!(gone.account_is_gone && gone.kind == Kind::Refused);
    }
}
