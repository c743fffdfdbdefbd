//! Fields that products name: those that are free to be named.

use crate::config::check::words::{self, Refusal};
use crate::config::file::CredentialPlaces;

/// Fields of one connection, or that frame a message or say where it goes.
const OF_MESSAGE: [&str; 17] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "sec-websocket-key",
];

/// Fields that the gateway writes itself.
const OWN: [&str; 11] = [
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "traceparent",
    "tracestate",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "early-data",
];

/// Fields that clients send, by RFC 9110 and 9111, by other standards, by custom and by default here.
const OF_CLIENTS: [&str; 41] = [
    "a-im",
    "accept",
    "alt-used",
    "app-id",
    "app-key",
    "authorization",
    "baggage",
    "cache-control",
    "cdn-loop",
    "cookie",
    "depth",
    "destination",
    "dnt",
    "dpop",
    "from",
    "idempotency-key",
    "if",
    "last-event-id",
    "link",
    "lock-token",
    "max-forwards",
    "origin",
    "overwrite",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "save-data",
    "signature",
    "signature-input",
    "soapaction",
    "timeout",
    "upgrade-insecure-requests",
    "user-agent",
    "x-api-key",
    "x-csrf-token",
    "x-grpc-web",
    "x-http-method-override",
    "x-real-ip",
    "x-requested-with",
];

/// Names that begin so are of fields that clients, or those before them, send.
const OF_CLIENTS_PREFIXES: [&str; 9] = [
    "accept-",
    "access-control-",
    "content-",
    "grpc-",
    "if-",
    "proxy-",
    "sec-",
    "want-",
    "x-forwarded-",
];

/// Names that begin so are the gateway's own.
const OWN_PREFIX: &str = "x-tollgate-";

/// What is wrong with the name of a field in which credentials are looked for.
pub(super) fn credential_refusal(name: &str) -> Option<Refusal> {
    free_refusal(name).or_else(|| match name.to_ascii_lowercase().as_str() {
        "authorization" => {
            let message = "Authorization holds a scheme and what belongs to it";
            let help = "write \"bearer\", \"basic_user\" or \"basic_password\"";
            Some((message.to_owned(), help.to_owned()))
        }
        "cookie" => {
            let message = "Cookie holds many things for upstreams";
            Some((message.to_owned(), "write another field".to_owned()))
        }
        _ => None,
    })
}

/// What is wrong with the name of a field of an upstream's answer that says a number.
pub(super) fn response_refusal(name: &str) -> Option<Refusal> {
    free_refusal(name).or_else(|| {
        let kept = ["set-cookie", "location", "www-authenticate", "cache-control", "etag", "vary"];
        let lower = name.to_ascii_lowercase();
        kept.contains(&lower.as_str()).then(|| {
            let message = format!("{name:?} has a meaning for clients, which do not get the field");
            (message, "write a field of your own, like \"X-Cost\"".to_owned())
        })
    })
}

/// What is wrong with the name of an attribute: no client's field of this name goes upstream any
/// more, of whatever product. `credentials`: where products of its upstreams look for those.
pub(super) fn attribute_refusal(name: &str, credentials: &[&CredentialPlaces]) -> Option<Refusal> {
    let hyphens = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    free_refusal(name).or_else(|| {
        let plain = hyphens(name);
        let holds =
            |places: &&CredentialPlaces| places.fields().any(|field| hyphens(field) == plain);
        let message = if credentials.iter().any(holds) {
            format!("{name:?} is where a product's credentials are looked for")
        } else if OF_CLIENTS.contains(&plain.as_str())
            || OF_CLIENTS_PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
        {
            format!("clients send {name:?}, and an attribute takes it from all of them")
        } else {
            return None;
        };
        Some((message, "write a field of your own, like \"X-Tier\"".to_owned()))
    })
}

/// What is wrong with the name of a field that upstreams get, or anybody.
pub(in crate::config::check) fn free_refusal(name: &str) -> Option<Refusal> {
    if let Some(refusal) = words::field_name_refusal(name) {
        return Some(refusal);
    }
    let lower = name.to_ascii_lowercase();
    if OF_MESSAGE.contains(&lower.as_str()) {
        let message = format!("{name:?} belongs to the message, or to one connection");
        return Some((message, "write another field".to_owned()));
    }
    // What is spelled with underscores is the same to many upstreams.
    let hyphens = lower.replace('_', "-");
    if OWN.contains(&hyphens.as_str()) || hyphens.starts_with(OWN_PREFIX) {
        let message = format!("the gateway writes {name:?} itself");
        return Some((message, "write another field".to_owned()));
    }
    None
}
