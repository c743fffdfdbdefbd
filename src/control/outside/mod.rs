//! Questions to services outside, over HTTP: issuers that show keys, servers that know tokens, services
//! that judge requests.
//!
//! Invariants:
//! - Each question has a bound on time, and each answer one on size, its head included.
//! - Redirections are not followed: who is asked stands in the configuration, and what is told to them
//!   is for nobody else.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::limits::{OUTSIDE_HEAD_MAX, OUTSIDE_IDLE};
use crate::policy::auth::Service;

/// A service as workers know it, with a secret that nobody knows.
///
/// # Errors
/// Where the system has no random numbers.
pub fn service(name: &str, timeout: Duration, workers: usize) -> Result<Arc<Service>, String> {
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| "the system has no random numbers")?;
    Ok(Arc::new(Service::new(name, timeout, secret, workers)))
}

/// What holds for all questions of a client.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long one may take, from connecting to the answer's last byte.
    pub timeout: Duration,
    /// Bytes of an answer's content at most.
    pub content: usize,
    /// Connections that are kept open while there is nothing to ask.
    pub kept: usize,
    /// Whether an answer 3xx or 4xx counts also where its content is too long, which is left out then.
    pub cut_refusals: bool,
}

/// Asks one service.
pub struct Client {
    sends: Pooled<HttpsConnector<HttpConnector>, Full<Bytes>>,
    bounds: Bounds,
}

impl Client {
    /// Asks over TLS where a URL says so, this way.
    pub fn new(tls: &Arc<ClientConfig>, bounds: Bounds) -> Self {
        let mut tls = ClientConfig::clone(tls);
        // The connector says itself what it speaks.
        tls.alpn_protocols.clear();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = connector.enable_http1().wrap_connector(tcp);
        let sends = Pooled::builder(TokioExecutor::new())
            .pool_max_idle_per_host(bounds.kept)
            .pool_idle_timeout(OUTSIDE_IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(OUTSIDE_HEAD_MAX)
            .build(connector);
        Self { sends, bounds }
    }

    /// Asks once; on a fresh connection again, where a kept one was closed before it took the question.
    ///
    /// # Errors
    /// Why there is no whole answer within the bounds, for people.
    pub async fn ask(&self, question: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let timeout = self.bounds.timeout;
        let answer = tokio::time::timeout(timeout, self.answer(question)).await;
        answer.map_err(|_| format!("no answer within {} ms", timeout.as_millis()))?
    }

    async fn answer(&self, question: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let mut question = question.map(Full::new);
        let us = HeaderValue::from_static("tollgate");
        question.headers_mut().entry(USER_AGENT).or_insert(us);
        let answer = self.sends.request(question).await.map_err(|error| causes(&error))?;
        let (head, content) = answer.into_parts();
        let cut = self.bounds.cut_refusals && (300..500).contains(&head.status.as_u16());
        let content = match Limited::new(content, self.bounds.content).collect().await {
            Ok(content) => content.to_bytes(),
            Err(error) if cut && error.is::<LengthLimitError>() => Bytes::new(),
            Err(error) => return Err(causes(&*error)),
        };
        Ok(Response::from_parts(head, content))
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

#[cfg(test)]
mod tests;
