//! `tollgate demo`: a small API built into the binary, and a gateway in front of it.

use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, Uri};
use axum::response::Json;
use axum::routing::{any, get};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::tls::Files;
use crate::limits::DEMO_CERTIFICATE;

/// Starts the demo API on a free loopback port, on a thread of its own.
///
/// # Errors
/// Where no port or thread can be had.
pub fn start_api() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-api".into()).spawn(move || {
        runtime.block_on(async {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let _ = axum::serve(listener, api()).await;
            }
        });
    })?;
    Ok(address)
}

fn api() -> Router {
    Router::new()
        .route("/orders/{id}", get(order))
        .route("/health", get(|| async { "ok\n" }))
        .fallback(any(echo))
}

async fn order(Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "order": id, "state": "shipped", "items": 3 }))
}

/// Shows what came, so that one can see what a gateway did to it.
async fn echo(uri: Uri, headers: HeaderMap) -> Json<Value> {
    let fields: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        })
        .collect();
    Json(json!({ "path": uri.to_string(), "headers": fields }))
}

/// The certificate that the configuration names: made anew at each start and kept in memory, signed
/// by nobody but itself.
///
/// # Errors
/// Where the system has no random numbers.
pub fn certificate(listen: SocketAddr) -> Result<Files, rcgen::Error> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), listen.ip().to_string()];
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.not_before = SystemTime::now().into();
    params.not_after = (SystemTime::now() + DEMO_CERTIFICATE).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let files = [("demo.crt", certificate.pem()), ("demo.key", key.serialize_pem())];
    Ok(Files::memory(files.map(|(name, text)| (name, text.into_bytes()))))
}

/// Where the demo can be reached.
pub struct Places {
    /// The gateway.
    pub listen: SocketAddr,
    /// The gateway, by https.
    pub listen_tls: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

/// The gateway's configuration in front of the API.
pub fn configuration(api: SocketAddr, places: &Places) -> String {
    let Places { listen, listen_tls, admin } = places;
    format!(
        r#"# What `tollgate demo` runs.
[admin]
listen = "{admin}"

[[listeners]]
name = "web"
listen = "{listen}"

[[listeners]]
name = "secure"
listen = "{listen_tls}"

# In memory, and new at each start.
[listeners.tls]
certificates = [{{ certificate = "demo.crt", key = "demo.key" }}]

[upstreams.demo]
targets = ["{api}"]

[[routes]]
name = "orders"
path = "/orders/{{id}}"
methods = ["GET"]
upstream = "demo"

[[routes]]
name = "limited"
path = "/limited/*"
upstream = "demo"
limits = [{{ rate = "2/m", burst = 2, key = "client_ip" }}]

[[routes]]
name = "rest"
path = "/*"
upstream = "demo"
"#
    )
}

/// What to try, given the addresses the gateway listens on.
pub fn what_to_try(lines: &[String]) -> String {
    let address = |what: &str| {
        let line = lines.iter().find(|line| line.starts_with(what));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("?").to_owned()
    };
    let (web, secure) = (address("listening web"), address("listening secure"));
    let admin = address("admin");
    format!(
        "
A demo API is behind the gateway. In another terminal, try:

  a routed request           curl -i http://{web}/orders/42
  the same by https          curl -i -k https://{secure}/orders/42
  what the upstream sees     curl -s 'http://{web}/anything?x=1'
  a 429 with its fields      for i in 1 2 3; do curl -i http://{web}/limited/; done
  the numbers                curl -s http://{admin}/stats
  the live page              http://{admin}/ (in a browser)

Ctrl-C ends it.
"
    )
}
