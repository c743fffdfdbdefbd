//! How a service is asked.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use super::load::Loaded;
use crate::config::ForwardAuth;
use crate::control::outside::{Bounds, Client, service};
use crate::limits::{FORWARD_AUTH_CONTENT, SERVICE_AT_ONCE};
use crate::policy::auth::forward_auth::{Answer, Ask, Gatekeeper};

/// A service as workers know it.
pub(super) fn gatekeeper(
    name: &str,
    rules: &ForwardAuth,
    loaded: &Loaded,
    workers: usize,
) -> Result<Gatekeeper, String> {
    let service = service(&format!("forward_auth:{name}"), rules.timeout, workers)?;
    let rules = Arc::new(rules.clone());
    let bounds = Bounds {
        timeout: rules.timeout,
        content: FORWARD_AUTH_CONTENT,
        kept: SERVICE_AT_ONCE,
        cut_refusals: true,
    };
    let client = Arc::new(Client::new(&loaded.tls, bounds));
    Ok(Gatekeeper::new(service, &rules, ask(client, rules.clone())))
}

fn ask(client: Arc<Client>, rules: Arc<ForwardAuth>) -> Ask {
    Box::new(move |lines, number| {
        let (client, rules, question) =
            (client.clone(), rules.clone(), question(&rules.url, lines));
        Box::pin(async move {
            let answer = client.ask(question?).await?;
            let status = answer.status().as_u16();
            let fields = answer.headers().iter();
            let fields: Vec<_> =
                fields.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            Answer::new(&rules, number, (status, answer.body()), &fields).map_err(|why| why.text())
        })
    })
}

/// A GET without content. Values come from a head that was parsed, and hold no line ends.
fn question(url: &str, lines: &[u8]) -> Result<Request<Bytes>, String> {
    let mut question = Request::get(url).body(Bytes::new()).map_err(|error| error.to_string())?;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = memchr::memmem::find(line, b": ").ok_or("a field has no value")?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|error| error.to_string())?;
        let value =
            HeaderValue::from_bytes(&line[colon + 2..]).map_err(|error| error.to_string())?;
        question.headers_mut().append(name, value);
    }
    Ok(question)
}
