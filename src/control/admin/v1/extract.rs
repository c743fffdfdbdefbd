//! Reading a call: its path, its query, its body; each mistake with its place.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query as AxumQuery, path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Segment, Track};
use tokio::time::timeout;

use super::problem::{Flaw, Problem, rules};
use super::strict::Strict;
use crate::limits::{ADMIN_BODY_MAX, ADMIN_BODY_TIMEOUT};

/// Names and ids of the path.
pub(super) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| match rejection {
            // An id that is no number is the id of nothing.
            PathRejection::FailedToDeserializePathParams(why)
                if !matches!(why.kind(), path::ErrorKind::InvalidUtf8InPathParam { .. }) =>
            {
                Problem::not_found("resource")
            }
            other => Problem::new(rules::BAD_REQUEST, other.body_text()),
        })
    }
}

/// What a list is asked for.
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = AxumQuery::<T>::from_request_parts(parts, state).await;
        let wrong = |why: QueryRejection| Problem::new(rules::BAD_REQUEST, why.body_text());
        read.map(|AxumQuery(value)| Self(value)).map_err(wrong)
    }
}

/// An id in a query: what no row can have is a mistake.
pub(super) fn id<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let id = u64::deserialize(from)?;
    let known = i64::try_from(id).is_ok().then_some(Some(id));
    known.ok_or_else(|| serde::de::Error::custom("no id is so large"))
}

/// The bytes of a body, bounded in size and time.
pub(super) async fn bytes(fields: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("a body has at most {ADMIN_BODY_MAX} bytes");
        Problem::new(rules::TOO_LARGE, detail)
    };
    let told = fields.get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse().ok());
    if told.is_some_and(|length: usize| length > ADMIN_BODY_MAX) {
        return Err(too_large());
    }
    let reading = Limited::new(body, ADMIN_BODY_MAX).collect();
    match timeout(ADMIN_BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(why)) => Err(Problem::new(rules::BAD_REQUEST, why.to_string())),
        Err(_) => Err(Problem::new(rules::SLOW_BODY, "it was not there in time")),
    }
}

/// Refuses bodies that don't say that they are JSON: so no page can have a browser send one unasked.
pub(super) fn must_be_json(fields: &HeaderMap) -> Result<(), Problem> {
    let said = fields.get(header::CONTENT_TYPE).and_then(|said| said.to_str().ok()).unwrap_or("");
    let media = said.split(';').next().unwrap_or("").trim();
    let known = ["application/json", "application/merge-patch+json"];
    match known.iter().any(|one| media.eq_ignore_ascii_case(one)) {
        true => Ok(()),
        false => Err(Problem::new(rules::NOT_JSON, "Content-Type: application/json is needed")),
    }
}

/// A body's value. A member that is not known is a mistake, and told by its JSON pointer.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = pointed(&mut json, |why: &serde_json::Error| why.to_string())?;
    let no_end = |why: serde_json::Error| Problem::invalid("", why.to_string());
    json.end().map_err(no_end)?;
    // The text knows of names that come twice, the value of lists in an object's place.
    self::value::<T>(serde_json::from_slice(body).map_err(no_end)?)?;
    Ok(value)
}

/// The same of a value that was read already.
pub(super) fn value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Problem> {
    pointed(Strict(value), |why: &serde_json::Error| why.to_string())
}

fn pointed<'de, T, D>(from: D, text: impl FnOnce(&D::Error) -> String) -> Result<T, Problem>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    let mut track = Track::new();
    let read = T::deserialize(serde_path_to_error::Deserializer::new(from, &mut track));
    read.map_err(|why| {
        let flaw = Flaw { pointer: pointer(&track.path()), detail: text(&why) };
        Problem::flaws(vec![flaw])
    })
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        Segment::Enum { variant } => format!("/{}", escaped(variant)),
        Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

/// A name as a step of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Product;

    fn flaw(body: &str) -> (String, String) {
        let problem = json::<Product>(body.as_bytes()).unwrap_err();
        let json = serde_json::to_value(&problem).unwrap();
        let text = |key: &str| json["errors"][0][key].as_str().unwrap().to_owned();
        (text("pointer"), text("detail"))
    }

    #[test]
    fn a_mistake_is_told_by_its_place() {
        let (pointer, detail) = flaw(r#"{"plans":{"a/b":{"limits":[{"rat":"1/s"}]}}}"#);
        assert_eq!(pointer, "/plans/a~1b/limits/0/rat", "{detail}");
        assert_eq!(flaw(r#"{"titel":"x"}"#).0, "/titel");
        assert_eq!(flaw(r#"{"state":"gone"}"#).0, "/state");
        assert_eq!(flaw(r#"{"plans":{"a":{"strict":1}}}"#).0, "/plans/a/strict");
        assert_eq!(flaw(r#"{"plans":{"a":{"strict":true,"strict":true}}}"#).0, "/plans/a");
        assert_eq!(flaw(r#"{"plans":{"a":[null,null]}}"#).0, "/plans/a");
        assert_eq!(
            flaw(r#"[]"#),
            (String::new(), "invalid type: sequence, expected an object".into())
        );
        assert_eq!(flaw("{").0, "");
        assert_eq!(flaw("{} {}").0, "");
    }

    #[test]
    fn a_body_says_that_it_is_json() {
        let ask = |said: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(header::CONTENT_TYPE, said.parse().unwrap());
            must_be_json(&fields).is_ok()
        };
        assert!(ask("application/json; charset=utf-8") && ask("Application/Merge-Patch+JSON"));
        assert!(!ask("text/plain") && !ask("application/x-www-form-urlencoded"));
        assert!(must_be_json(&HeaderMap::new()).is_err());
    }
}
