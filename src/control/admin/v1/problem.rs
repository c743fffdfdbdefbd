//! Why a call is refused: problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{Remark, Severity, pointer};
use crate::control::catalog::NotDone;
use crate::store::{ErrorKind, StoreError};

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:tollgate:` and the rule's name.
    #[serde(rename = "type")]
    kind: String,
    /// The rule.
    title: &'static str,
    /// The answer's status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this call.
    detail: String,
    /// Where the body is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Flaw>,
}

/// Something wrong in a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Flaw {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What, and what to write instead.
    pub detail: String,
}

/// A rule: its name, what it says, and the status of answers to calls that break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule(pub &'static str, pub &'static str, pub u16);

/// The rules. docs/ADMIN_API.md lists them too.
#[rustfmt::skip]
pub(super) mod rules {
    use super::Rule;

    pub(crate) const BAD_REQUEST: Rule = Rule("bad_request", "The call can't be understood", 400);
    pub(crate) const INVALID: Rule = Rule("invalid", "The body says what can't be", 400);
    pub(crate) const NO_TOKEN: Rule = Rule("no_token", "A token is needed", 401);
    pub(crate) const BAD_TOKEN: Rule = Rule("bad_token", "The token is not valid", 401);
    pub(crate) const SCOPE: Rule = Rule("scope", "The token may not do this", 403);
    pub(crate) const NOT_FOUND: Rule = Rule("not_found", "There is no such thing", 404);
    pub(crate) const METHOD: Rule = Rule("method", "Another method is needed", 405);
    pub(crate) const SLOW_BODY: Rule = Rule("slow_body", "The body took too long", 408);
    pub(crate) const CONFLICT: Rule = Rule("conflict", "What there is stands against it", 409);
    pub(crate) const DECLARED: Rule = Rule("declared", "It is declared in the configuration", 409);
    pub(crate) const TOO_MANY: Rule = Rule("too_many", "There are as many as there may be", 409);
    pub(crate) const STALE: Rule = Rule("stale", "It has changed since", 412);
    pub(crate) const TOO_LARGE: Rule = Rule("too_large", "The body is too large", 413);
    pub(crate) const NOT_JSON: Rule = Rule("not_json", "The body must be JSON", 415);
    pub(crate) const KEY_REUSED: Rule = Rule("key_reused", "The Idempotency-Key belongs to another call", 422);
    pub(crate) const INTERNAL: Rule = Rule("internal", "Something went wrong here", 500);
    pub(crate) const NO_STORE: Rule = Rule("no_store", "The store can't be used", 503);
    pub(crate) const NOT_IN_FORCE: Rule = Rule("not_in_force", "The change is not in force everywhere yet", 503);
}

impl Problem {
    /// A broken rule.
    pub(super) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        let Rule(name, title, status) = rule;
        let kind = format!("urn:tollgate:{name}");
        Self { kind, title, status, detail: detail.into(), errors: Vec::new() }
    }

    /// Something wrong at a place of the body.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::flaws(vec![Flaw { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Several things wrong in the body; there is at least one.
    pub fn flaws(errors: Vec<Flaw>) -> Self {
        let detail = errors.first().map(|first| first.detail.clone()).unwrap_or_default();
        Self { errors, ..Self::new(rules::INVALID, detail) }
    }

    /// The mistakes among these remarks, whose ways begin at a place of the body.
    pub fn of_remarks(at: &str, remarks: Vec<Remark>) -> Result<(), Self> {
        let mistakes = remarks.into_iter().filter(|remark| remark.severity == Severity::Error);
        let flaw = |remark: Remark| {
            let join = if remark.help.is_empty() { "" } else { ": " };
            let detail = format!("{}{join}{}", remark.message, remark.help);
            Flaw { pointer: format!("{at}{}", pointer(&remark.at)), detail }
        };
        let flaws: Vec<Flaw> = mistakes.map(flaw).collect();
        if flaws.is_empty() { Ok(()) } else { Err(Self::flaws(flaws)) }
    }

    /// With pointers that begin elsewhere.
    pub fn moved(mut self, from: &str, to: &str) -> Self {
        for flaw in &mut self.errors {
            if let Some(rest) = flaw.pointer.strip_prefix(from) {
                flaw.pointer = format!("{to}{rest}");
            }
        }
        self
    }

    /// What was asked for is not there, or not for this caller.
    pub fn not_found(what: &str) -> Self {
        Self::new(rules::NOT_FOUND, format!("there is no {what} of this name or id"))
    }

    /// What is wrong with this call.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let rule = match error.kind() {
            ErrorKind::Changed => rules::STALE,
            ErrorKind::NotFound => rules::NOT_FOUND,
            ErrorKind::Duplicate | ErrorKind::Referenced => rules::CONFLICT,
            ErrorKind::Declared => rules::DECLARED,
            ErrorKind::TooMany => rules::TOO_MANY,
            _ => {
                // What is wrong with a disk or a file is the operator's business.
                tracing::error!(%error, "the store did not do what the admin API asked");
                rules::NO_STORE
            }
        };
        Self::new(rule, error.to_string())
    }
}

impl From<NotDone> for Problem {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::NoStore => {
                Self::new(rules::NO_STORE, "make one with `tollgate init`, then reload")
            }
            NotDone::NotInForce => Self::new(
                rules::NOT_IN_FORCE,
                "it is stored, but not every worker has taken it up in time",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Text and numbers only: it can always be written.
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (self.status(), format!("{body}\n")).into_response();
        let fields = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        fields.insert(header::CONTENT_TYPE, json);
        if self.status == 401 {
            fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_which_rule_and_where() {
        let problem = Problem::invalid("/plans/gold/limits/0/rate", "a rate is needed");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:tollgate:invalid");
        assert_eq!(json["status"], 400);
        assert_eq!(json["errors"][0]["pointer"], "/plans/gold/limits/0/rate");
        let json = serde_json::to_value(Problem::not_found("account")).unwrap();
        assert_eq!(json.get("errors"), None);
    }

    #[test]
    fn who_is_not_known_is_told_how_to_say_it() {
        let response = Problem::new(rules::NO_TOKEN, "").into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
