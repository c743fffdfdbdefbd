//! The way to a running gateway's admin listener.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::Failure;
use crate::limits::{CLI_ANSWER_MAX, CLI_TIMEOUT};

/// A call of the admin API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// Method.
    pub method: Method,
    /// Path, its names escaped.
    pub path: String,
    /// Parameters of the query.
    pub query: Vec<(&'static str, String)>,
    /// Body.
    pub body: Option<Value>,
}

impl Call {
    /// A call without a query and body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }

    /// With a body.
    pub(super) fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn target(&self) -> String {
        let mut target = self.path.clone();
        for (index, (name, value)) in self.query.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            target.push_str(&format!("{mark}{name}={}", escaped(value)));
        }
        target
    }
}

/// Where the admin listener is, and who asks.
pub(super) struct Client {
    authority: String,
    token: String,
}

impl Client {
    /// For `http://HOST:PORT`.
    ///
    /// # Errors
    /// Where the address can't be one, or the token can't be sent.
    pub(super) fn new(admin: &str, token: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Usage(format!("--admin: http://HOST:PORT is needed, not {admin}"));
        let uri: Uri = admin.parse().map_err(|_| wrong())?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
        let authority = uri.authority().filter(|_| plain && uri.query().is_none());
        let authority = authority.ok_or_else(wrong)?;
        let port = authority.port_u16().unwrap_or(80);
        let sendable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !sendable {
            return Err(Failure::Usage("the token has characters that no token has".into()));
        }
        Ok(Self { authority: format!("{}:{port}", authority.host()), token: token.to_owned() })
    }

    /// Asks, and waits for the whole answer: its JSON, `Null` where it has none.
    ///
    /// # Errors
    /// Where the listener can't be reached, or refuses.
    pub(super) fn ask(&self, call: &Call) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.text(call)?).unwrap_or(Value::Null))
    }

    /// The same of an answer that need not be JSON.
    ///
    /// # Errors
    /// As there.
    pub(super) fn text(&self, call: &Call) -> Result<String, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let asked = runtime.block_on(async { timeout(CLI_TIMEOUT, self.exchange(call)).await });
        let late = |_| self.unreachable(&format!("no answer within {}", shown(CLI_TIMEOUT)));
        let (status, text) = asked.map_err(late)??;
        match status {
            200..300 => Ok(text),
            _ => {
                let problem = serde_json::from_str(&text).unwrap_or(Value::Null);
                Err(Failure::Refused { status, problem })
            }
        }
    }

    async fn exchange(&self, call: &Call) -> Result<(u16, String), Failure> {
        let lost = |error: &dyn std::fmt::Display| self.unreachable(&error.to_string());
        let stream = TcpStream::connect(&self.authority).await.map_err(|e| lost(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| lost(&e))?;
        let driving = tokio::spawn(connection);
        let request = self.request(call).map_err(|e| lost(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| lost(&e))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), CLI_ANSWER_MAX).collect().await;
        let bytes = body.map_err(|e| lost(&e))?.to_bytes();
        driving.abort();
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let body = call.body.as_ref().map(Value::to_string);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.target())
            .header(header::HOST, &self.authority)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(Bytes::from(body.unwrap_or_default())))
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::Unreachable(format!("{} can't be asked: {why}", self.authority))
    }
}

fn shown(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

/// A name as a part of a path or a query (RFC 3986, 2.1).
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_s_target_is_escaped() {
        let mut call = Call::new(Method::GET, format!("/v1/products/{}", escaped("a/b")));
        call.query = vec![("name", "x y&z".into()), ("limit", "7".into())];
        assert_eq!(call.target(), "/v1/products/a%2Fb?name=x%20y%26z&limit=7");
    }

    #[test]
    fn only_a_plain_address_is_one() {
        assert_eq!(
            Client::new("http://127.0.0.1:9900", "t").ok().unwrap().authority,
            "127.0.0.1:9900"
        );
        assert_eq!(Client::new("http://[::1]:1/", "t").ok().unwrap().authority, "[::1]:1");
        for bad in ["127.0.0.1:9900", "https://a", "http://a/b", "http://a/?x", ""] {
            assert!(Client::new(bad, "t").is_err(), "{bad}");
        }
        assert!(Client::new("http://a", "t\r\nx: y").is_err());
    }
}
