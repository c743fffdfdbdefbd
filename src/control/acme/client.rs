//! HTTP to an ACME server, with bounds on time and size.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;

use crate::limits::{ACME_ANSWER_MAX, ACME_REQUEST};

type Sends = Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// A client of one server.
#[derive(Clone)]
pub(super) struct Http {
    sends: Sends,
    heard: Arc<Mutex<Heard>>,
}

/// What the last answer said, beside what the protocol's library makes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Its status; `None`: no answer came.
    pub(super) status: Option<u16>,
    /// How long not to ask again, of an answer that was an error.
    pub(super) retry_after: Option<Duration>,
}

impl Http {
    /// With this TLS.
    pub(super) fn new(tls: &ClientConfig) -> Self {
        let mut tls = tls.clone();
        // The connector says itself what it speaks.
        tls.alpn_protocols.clear();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        let connector = connector.enable_http1().build();
        let sends = Client::builder(TokioExecutor::new()).build(connector);
        Self { sends, heard: Arc::default() }
    }

    /// What was heard last.
    pub(super) fn heard(&self) -> Heard {
        *lock(&self.heard)
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (answer, heard) = (self.sends.request(request), self.heard.clone());
        Box::pin(async move {
            *lock(&heard) = Heard::default();
            let answer = tokio::time::timeout(ACME_REQUEST, async {
                let (parts, body) = answer.await.map_err(other)?.into_parts();
                let status = parts.status;
                let failed = status.is_client_error() || status.is_server_error();
                let retry_after = failed.then(|| retry_after(&parts.headers)).flatten();
                *lock(&heard) = Heard { status: Some(status.as_u16()), retry_after };
                let body = Limited::new(body, ACME_ANSWER_MAX).collect().await;
                let body = body.map_err(Error::Other)?.to_bytes();
                if failed && !is_problem(&parts.headers) {
                    return Err(other(format!("the server answered {status}")));
                }
                Ok(BytesResponse { parts, body: Box::new(body) })
            });
            let late = |_| other(format!("no answer within {} s", ACME_REQUEST.as_secs()));
            answer.await.map_err(late)?
        })
    }
}

fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Other(error.into())
}

/// Whether an error is told as RFC 8555 section 6.7 says.
fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(hyper::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("json"))
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}
