//! One question to an issuer, with bounds on time and size.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AGE, CACHE_CONTROL, USER_AGENT};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use crate::limits::JWKS_MAX;

/// A client of one issuer.
pub(super) struct Http {
    sends: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    url: String,
    timeout: Duration,
}

/// What an issuer answered.
pub(super) struct Answer {
    pub(super) text: Bytes,
    /// For how long it says that this holds.
    pub(super) fresh: Option<Duration>,
}

impl Http {
    pub(super) fn new(url: &str, timeout: Duration, tls: &Arc<ClientConfig>) -> Self {
        let mut tls = ClientConfig::clone(tls);
        // The connector says itself what it speaks.
        tls.alpn_protocols.clear();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = connector.enable_http1().build();
        // Questions are an hour apart: a connection that is kept is dead by then.
        let sends =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { sends, url: url.to_owned(), timeout }
    }

    /// Asks once. Redirections are not followed: whose keys count stands in the configuration.
    pub(super) async fn ask(&self) -> Result<Answer, String> {
        let answer = tokio::time::timeout(self.timeout, self.answer()).await;
        answer.map_err(|_| format!("no answer within {} ms", self.timeout.as_millis()))?
    }

    async fn answer(&self) -> Result<Answer, String> {
        let request = Request::get(&self.url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, "tollgate")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let answer = self.sends.request(request).await.map_err(|error| causes(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the issuer answered {}", answer.status()));
        }
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, JWKS_MAX).collect().await;
        let text = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { text, fresh: fresh(&parts.headers) })
    }
}

/// An error with those that caused it: the first only says that there was one.
fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
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
