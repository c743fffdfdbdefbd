//! `[[routes]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::config::units::{HumanDuration, Size};
use crate::limits;

/// What is done with the requests that match. All conditions must hold. Exactly one of
/// `upstream`, `redirect` and `respond` says what happens.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Name in logs and stats; unique among routes.
    #[schemars(required, extend("x-required" = true))]
    pub name: Option<String>,
    /// Host, without port: `"api.example.com"`, or `"*.example.com"` for everything below it.
    #[schemars(extend("x-default" = "any host"))]
    pub host: Option<String>,
    /// Path pattern, segment by segment: text, `{name}` for one segment of any text, and, last,
    /// `*` for all the rest: `"/orders/{id}"`, `"/static/*"`, `"/*"`. Exactly one of `path` and
    /// `path_regex`.
    #[schemars(extend("x-default" = "—"))]
    pub path: Option<String>,
    /// Regular expression that the whole path must match: `"/v[0-9]+/users"`. Tried after all
    /// patterns; slower than a pattern. Its named groups, `(?<name>…)`, are path parameters.
    #[schemars(extend("x-default" = "—"))]
    pub path_regex: Option<String>,
    /// Methods.
    #[schemars(extend("x-default" = "any method"))]
    pub methods: Vec<String>,
    /// Request fields: a string must equal the value; a table holds one of `exact`, `prefix`,
    /// `regex` and `present`.
    #[schemars(extend("x-default" = "none"))]
    pub headers: BTreeMap<String, ValueMatch>,
    /// Query parameters, tested as `headers` are.
    #[schemars(extend("x-default" = "none"))]
    pub query: BTreeMap<String, ValueMatch>,
    /// The gRPC calls of a service, or of one method of it: instead of `path` or `path_regex`.
    pub grpc: Option<GrpcMatch>,
    /// What the certificate must say that the client showed, and that was verified
    /// (`[listeners.tls.client_certificates]`). A client without one never matches.
    #[schemars(extend("x-default" = "none"))]
    pub client_certificate: Option<ClientCertificateMatch>,
    /// What the token must say that the route's `authentication`, or its product, asks for: claims with a
    /// value or an array of values, written as in `[jwt.NAME]`. Where all else matches, the token is
    /// verified and decides; a request without one, or with one that is not taken, does not match.
    #[schemars(extend("x-default" = "none"))]
    pub claims: BTreeMap<String, OneOrMore>,
    /// Name of the upstream that requests are forwarded to.
    #[schemars(extend("x-default" = "—"))]
    pub upstream: Option<String>,
    /// Answer with a redirect.
    pub redirect: Option<Redirect>,
    /// Answer with a fixed response.
    pub respond: Option<Respond>,
    /// Whose tokens are taken: without one the answer is 401.
    #[schemars(extend("x-default" = "none is asked for"))]
    pub authentication: Option<RouteAuthentication>,
    /// Name of the service that is asked whether a request may pass (`[forward_auth.NAME]`), before
    /// `authentication` and what the `product` asks for, which hold beside it.
    #[schemars(extend("x-default" = "—"))]
    pub forward_auth: Option<String>,
    /// Name of the product that the route is part of: calls need a credential of one of its
    /// applications, are held to a plan and are counted. Declared in `[products.NAME]` or made by the
    /// admin API; while there is none of that name, or only a draft, the route answers 404. Only with
    /// `upstream`.
    #[schemars(extend("x-default" = "—"))]
    pub product: Option<String>,
    /// Networks that client addresses must be of: `["10.0.0.0/8", "2001:db8::7"]`; else 403. Behind a
    /// trusted proxy it is the address that the proxy tells.
    #[schemars(extend("x-default" = "every address"))]
    pub allow: Vec<String>,
    /// Networks that client addresses must not be of, whatever `allow` says; else 403.
    #[schemars(extend("x-default" = "none"))]
    pub deny: Vec<String>,
    /// Leading segments that are removed from the path before it goes upstream.
    #[schemars(extend("x-default" = "—"))]
    pub strip_prefix: Option<String>,
    /// Path that goes upstream: text with `{name}` for a path parameter, `{*}` for what the `*`
    /// matched, `{path}` for the whole path. Not together with `strip_prefix`.
    #[schemars(extend("x-default" = "—"))]
    pub rewrite: Option<String>,
    /// Edits of the request's fields on the way upstream.
    pub request_headers: HeaderEdits,
    /// Edits of the response's fields on the way to the client.
    pub response_headers: HeaderEdits,
    /// Which Host the upstream sees: `preserve` (the client's), `target` (the target's address or
    /// name), or a literal host.
    #[schemars(extend("x-default" = "`preserve`"))]
    pub host_policy: Option<String>,
    /// How long an exchange with the upstream may take.
    pub timeouts: Timeouts,
    /// Largest request body; else 413.
    #[schemars(extend("x-default" = "no bound"))]
    pub max_body: Option<Size>,
    /// Protocols that a request may switch its connection to (`Upgrade`): `websocket`, whose
    /// handshake is checked on both sides, or another token. `[]` switches upgrades off: the field is
    /// left out, and the request goes on as a plain one. Only a GET without content asks for an
    /// upgrade, or over HTTP/2 an extended CONNECT (RFC 8441), which gets a 501 where it is not
    /// allowed. Protocols that carry HTTP (`h2c`, `tls`) are
    /// refused: no rule would see the requests in them.
    #[schemars(extend("x-default" = "`[\"websocket\"]`"))]
    pub upgrades: Option<Vec<String>>,
    /// Tell gRPC-Web (binary or text, over HTTP/1.1 or HTTP/2) as gRPC to the upstream, which must
    /// have `protocol = "h2"`, and its answers back. Questions of browsers before a call (CORS) are
    /// for a route of their own.
    pub grpc_web: bool,
    /// Rate limits.
    #[schemars(extend("x-default" = "none"))]
    pub limits: Vec<Limit>,
    /// Requests in flight on this route at once, over all workers; else 503.
    #[schemars(range(min = 1, max = 4294967295u64), extend("x-default" = "no bound"))]
    pub max_concurrent: Option<u32>,
    /// Requests in flight on this route at once from one client address; else 429.
    #[schemars(range(min = 1, max = 4294967295u64), extend("x-default" = "no bound"))]
    pub max_concurrent_per_client: Option<u32>,
}

/// Who may call a route: whoever shows a token (`Authorization: Bearer`, RFC 6750). The upstream gets
/// the token too.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteAuthentication {
    /// Ways of which one must succeed: `jwt:NAME`, a token that `[jwt.NAME]` takes, and
    /// `introspection:NAME`, one that the server of `[introspection.NAME]` knows. Servers are asked in
    /// turn, about tokens that no `jwt:NAME` knows as its issuer's, by their signature or by the `issuer` that they name.
    #[schemars(extend("x-default" = "—"))]
    pub any_of: Option<Vec<String>>,
    /// Such ways that must all take the token, in place of `any_of`.
    #[schemars(extend("x-default" = "—"))]
    pub all_of: Option<Vec<String>>,
    /// Whether requests without a token pass too. A wrong one never does.
    pub optional: bool,
}

/// Calls of gRPC, and of gRPC-Web: POST with their Content-Type. The method called is the path
/// parameter `method`, where it is not fixed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcMatch {
    /// The service, with its package: `"shop.v1.Orders"`.
    #[schemars(required, extend("x-required" = true))]
    pub service: Option<String>,
    /// The method, as the service's definition has it: `"Get"`.
    #[schemars(extend("x-default" = "any method"))]
    pub method: Option<String>,
}

/// What a value must be: a string (equal), or a table with one test.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ValueMatch {
    /// Equal.
    Exact(String),
    /// One test.
    Test(ValueTests),
}

/// A test of a value; exactly one key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValueTests {
    /// Equal, byte for byte.
    #[schemars(extend("x-default" = "—"))]
    pub exact: Option<String>,
    /// Begins with.
    #[schemars(extend("x-default" = "—"))]
    pub prefix: Option<String>,
    /// The whole value matches this regular expression.
    #[schemars(extend("x-default" = "—"))]
    pub regex: Option<String>,
    /// Is there, whatever its value; `false`: is not there.
    #[schemars(extend("x-default" = "—"))]
    pub present: Option<bool>,
}

/// What a client's certificate must say; all keys that are written must hold. A value or an array of
/// values, of which one must be the certificate's, exactly and in the form that the access log shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificateMatch {
    /// SHA-256 of the certificate in hex, with or without colons.
    #[schemars(extend("x-default" = "—"))]
    pub fingerprint: Option<OneOrMore>,
    /// Subject (RFC 4514): `"CN=client,O=Example,C=DE"`. What is not printable ASCII is written in
    /// hex: `\C3\AB`.
    #[schemars(extend("x-default" = "—"))]
    pub subject: Option<OneOrMore>,
    /// DNS name of subjectAltName.
    #[schemars(extend("x-default" = "—"))]
    pub san_dns: Option<OneOrMore>,
    /// URI of subjectAltName: `"spiffe://example.com/orders"`.
    #[schemars(extend("x-default" = "—"))]
    pub san_uri: Option<OneOrMore>,
    /// Mail address of subjectAltName.
    #[schemars(extend("x-default" = "—"))]
    pub san_email: Option<OneOrMore>,
    /// IP address of subjectAltName.
    #[schemars(extend("x-default" = "—"))]
    pub san_ip: Option<OneOrMore>,
}

/// Answer with a redirect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redirect {
    /// Where to: text with `{host}`, `{path}`, `{query}` (the query without `?`), path parameters
    /// and `{*}`.
    #[schemars(required, extend("x-required" = true))]
    pub to: Option<String>,
    /// 301, 302, 303, 307 or 308. 307 and 308 keep the method; 301 and 308 are kept by caches.
    #[schemars(range(min = 301, max = 308))]
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { to: None, status: limits::REDIRECT_STATUS }
    }
}

/// Answer with a fixed response.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Respond {
    /// Status code of a final response.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Body.
    pub body: String,
    /// Content-Type of the body.
    pub content_type: String,
}

impl Default for Respond {
    fn default() -> Self {
        let content_type = limits::RESPOND_CONTENT_TYPE.to_owned();
        Self { status: 200, body: String::new(), content_type }
    }
}

/// Edits of fields, in this order: remove, set, add.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Names of fields to remove.
    #[schemars(extend("x-default" = "none"))]
    pub remove: Vec<String>,
    /// Fields to set: others of that name go. Values may name `{client_ip}`, `{host}`, `{method}`,
    /// `{path}`, `{query}`, `{request_id}`, `{route}`, `{scheme}`, path parameters, and of a client's
    /// verified certificate `{client_cert_fingerprint}`, `{client_cert_subject}`,
    /// `{client_cert_serial}`, `{client_cert_san_dns}`, `{client_cert_san_uri}`,
    /// `{client_cert_san_email}`, `{client_cert_san_ip}`, which are empty where there is none. `{claim:sub}` is
    /// what the token says that was shown, `{claim:/realm/tenant}` leads into objects (RFC 6901); items of
    /// an array are joined by commas. It is empty where the token has none, and where a field can't say it:
    /// an object, other than printable ASCII, a space at an end, an item with a comma. `{{` and `}}` stand for
    /// plain braces: `'{{"ip":"{client_ip}"}}'`.
    #[schemars(extend("x-default" = "none"))]
    pub set: BTreeMap<String, String>,
    /// Fields to add beside others of that name: a value, or an array of values, written as in `set`.
    #[schemars(extend("x-default" = "none"))]
    pub add: BTreeMap<String, OneOrMore>,
}

/// A value or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One value.
    One(String),
    /// Several values, in order.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::More(values) => values,
        }
    }
}

/// How long an exchange with the upstream may take; else 504.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Connecting to a target.
    #[schemars(extend("x-default" = "the upstream's `connect_timeout`"))]
    pub connect: Option<HumanDuration>,
    /// From the request sent to the first byte of the response. Where `total` is shorter and this
    /// key is left out, `total` holds.
    pub first_byte: HumanDuration,
    /// Between two pieces of a body, in either direction.
    pub idle: HumanDuration,
    /// The whole exchange; of an upgrade, up to the answer that grants it.
    #[schemars(extend("x-default" = "no bound"))]
    pub total: Option<HumanDuration>,
    /// Silence of an upgraded connection (WebSocket), both directions together; then it is closed.
    pub tunnel: HumanDuration,
    /// Life of an upgraded connection.
    #[schemars(extend("x-default" = "no bound"))]
    pub tunnel_total: Option<HumanDuration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: None,
            first_byte: HumanDuration(limits::FIRST_BYTE_TIMEOUT),
            idle: HumanDuration(limits::BODY_IDLE_TIMEOUT),
            total: None,
            tunnel: HumanDuration(limits::TUNNEL_TIMEOUT),
            tunnel_total: None,
        }
    }
}
