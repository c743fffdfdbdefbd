//! What a call comes to: a status, a resource with its version, and where a new one is.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::{Problem, rules};

/// An answer. Kept, sealed, for calls that come again; so it holds all that is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    status: u16,
    version: Option<u64>,
    location: Option<String>,
    body: Option<Value>,
}

impl Answer {
    /// 200 with a resource.
    pub(super) fn shown(body: &impl Serialize, version: Option<u64>) -> Result<Self, Problem> {
        let body = serde_json::to_value(body);
        let body = body.map_err(|why| Problem::new(rules::INTERNAL, why.to_string()))?;
        Ok(Self { status: 200, version, location: None, body: Some(body) })
    }

    /// 201 with a new resource, which is found there.
    pub(super) fn made(
        body: &impl Serialize,
        version: Option<u64>,
        location: String,
    ) -> Result<Self, Problem> {
        Ok(Self { status: 201, location: Some(location), ..Self::shown(body, version)? })
    }

    /// 204: it is gone.
    pub(super) fn gone() -> Self {
        Self { status: 204, version: None, location: None, body: None }
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The answer to a call that brings these fields: 304 where it has this version already.
    pub(super) fn unless_known(self, asked: &HeaderMap) -> Response {
        let known = asked.get(header::IF_NONE_MATCH).and_then(|field| field.to_str().ok());
        let etag = self.version.map(etag);
        match (known, etag) {
            (Some(known), Some(etag)) if lists(known, &etag, true) => {
                (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response()
            }
            _ => self.into_response(),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = match self.body {
            Some(body) => (status, format!("{body}\n")).into_response(),
            None => status.into_response(),
        };
        let fields = response.headers_mut();
        if self.status != 204 {
            let json = HeaderValue::from_static("application/json");
            fields.insert(header::CONTENT_TYPE, json);
        }
        let location = self.location.and_then(|location| location.try_into().ok());
        let etag = self.version.and_then(|version| etag(version).try_into().ok());
        for (name, value) in [(header::LOCATION, location), (header::ETAG, etag)] {
            if let Some(value) = value {
                fields.insert(name, value);
            }
        }
        response
    }
}

/// The version that a call expects (If-Match): each of these; `None`: any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected(Option<String>);

impl Expected {
    /// Of a call's fields. Several lines are one list.
    pub(super) fn of(fields: &HeaderMap) -> Self {
        let lines = fields.get_all(header::IF_MATCH).iter().map(|line| line.to_str());
        // What is no text matches nothing.
        let lines: Vec<_> = lines.map(Result::unwrap_or_default).collect();
        let list = (!lines.is_empty()).then(|| lines.join(","));
        Self(list.filter(|list| list.trim() != "*"))
    }

    /// Refuses where what there is has another version.
    pub(super) fn check(&self, version: u64) -> Result<(), Problem> {
        match &self.0 {
            Some(list) if !lists(list, &etag(version), false) => {
                let detail = format!("its ETag is {} now: read it again", etag(version));
                Err(Problem::new(rules::STALE, detail))
            }
            _ => Ok(()),
        }
    }
}

impl Expected {
    /// Refuses where one was expected and there is none.
    pub(super) fn none_there(&self) -> Result<(), Problem> {
        match &self.0 {
            Some(_) => Err(Problem::new(rules::STALE, "it is not there any more")),
            None => Ok(()),
        }
    }
}

/// The entity tag of a version.
fn etag(version: u64) -> String {
    format!("\"v{version}\"")
}

/// Whether a list of entity tags holds this one; weakly compared, `W/` does not matter (RFC 9110,
/// 8.8.3.2).
fn lists(list: &str, etag: &str, weakly: bool) -> bool {
    list.split(',').map(str::trim).any(|one| {
        let bare = if weakly { one.strip_prefix("W/").unwrap_or(one) } else { one };
        bare == etag || (weakly && one == "*")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(lines: &[&str]) -> Expected {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(header::IF_MATCH, line.parse().unwrap());
        }
        Expected::of(&fields)
    }

    #[test]
    fn a_change_goes_on_where_the_version_is_the_one_expected() {
        for good in [&[][..], &["*"], &["\"v7\""], &["\"v1\", \"v7\""], &["\"v1\"", "\"v7\""]] {
            assert_eq!(expected(good).check(7), Ok(()), "{good:?}");
        }
        for stale in [&["\"v6\""][..], &["W/\"v7\""], &["v7"], &[""]] {
            assert_eq!(expected(stale).check(7).unwrap_err().status(), 412, "{stale:?}");
        }
    }

    #[test]
    fn who_has_a_version_already_gets_304() {
        let answer = Answer::shown(&"x", Some(7)).unwrap();
        let ask = |known: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            answer.clone().unless_known(&fields).status()
        };
        assert_eq!((ask("W/\"v7\""), ask("\"v6\"")), (StatusCode::NOT_MODIFIED, StatusCode::OK));
    }

    #[test]
    fn an_answer_that_was_kept_is_the_same() {
        let made = Answer::made(&serde_json::json!({ "b": 1, "a": 2 }), Some(1), "/x".into());
        let text = serde_json::to_string(made.as_ref().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).ok(), made.ok());
        assert!(text.contains("{\"b\":1,\"a\":2}"));
    }
}
