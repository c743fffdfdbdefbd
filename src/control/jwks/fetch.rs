//! One question to an issuer, with bounds on time and size.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{ACCEPT, AGE, CACHE_CONTROL};
use hyper::{HeaderMap, Request, StatusCode};
use rustls::ClientConfig;

use crate::control::outside::{Bounds, Client};
use crate::limits::JWKS_MAX;

/// A client of one issuer.
pub(super) struct Http {
    client: Client,
    url: String,
}

/// What an issuer answered.
pub(super) struct Answer {
    pub(super) text: Bytes,
    /// For how long it says that this holds.
    pub(super) fresh: Option<Duration>,
}

impl Http {
    pub(super) fn new(url: &str, timeout: Duration, tls: &Arc<ClientConfig>) -> Self {
        // Questions are an hour apart: a connection that is kept is dead by then.
        let bounds = Bounds { timeout, content: JWKS_MAX, kept: 0, cut_refusals: false };
        Self { client: Client::new(tls, bounds), url: url.to_owned() }
    }

    /// Asks once.
    pub(super) async fn ask(&self) -> Result<Answer, String> {
        let question = Request::get(&self.url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let answer = self.client.ask(question).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the issuer answered {}", answer.status()));
        }
        let fresh = fresh(answer.headers());
        Ok(Answer { text: answer.into_body(), fresh })
    }
}

/// How long an answer is fresh: `max-age` (RFC 9111 section 5.2.2.1) less the time it lay in caches.
/// An answer that is not to be kept says nothing of how long a key is good.
fn fresh(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    for directive in texts.flat_map(|text| text.split(',')) {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return None;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            max_age = seconds.trim_matches('"').parse::<u64>().ok();
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
    max_age.map(|seconds| Duration::from_secs(seconds.saturating_sub(age.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_max_age_less_age() {
        let of = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            fresh(&headers).map(|time| time.as_secs())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("cache-control", "public, Max-Age=600")]), Some(600));
        assert_eq!(of(&[("cache-control", "max-age=600"), ("age", "100")]), Some(500));
        assert_eq!(of(&[("cache-control", "max-age=60"), ("age", "100")]), Some(0));
        assert_eq!(of(&[("cache-control", "no-store, max-age=600")]), None);
        assert_eq!(of(&[("cache-control", "max-age=many")]), None);
        assert_eq!(of(&[("cache-control", "public"), ("cache-control", "max-age=5")]), Some(5));
    }
}
