//! `[products.NAME]`. The admin API takes and gives products in the same words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::Plan;

/// A product: a bundle of routes (those that name it) with what its usage is counted by, and the
/// plans under which applications may use it. Without one that is published, its routes answer 404.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Product {
    /// Title for people.
    #[schemars(extend("x-default" = "its name"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for, for people.
    pub description: String,
    /// Version of the API, for people.
    #[schemars(extend("x-default" = "—"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `draft` (404), `published`, `deprecated` (served, with Deprecation and Sunset fields) or
    /// `retired` (410).
    pub state: Lifecycle,
    /// Since when it is deprecated (RFC 3339): the Deprecation field (RFC 9745).
    #[schemars(extend("x-default" = "—"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated_at: Option<String>,
    /// When it stops (RFC 3339): the Sunset field (RFC 8594).
    #[schemars(extend("x-default" = "—"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset: Option<String>,
    /// Who may call.
    pub authentication: Authentication,
    /// Where credentials are looked for.
    pub credentials: CredentialPlaces,
    /// Metrics beside `hits`, which every product has and every method counts into.
    #[schemars(extend("x-default" = "none"))]
    pub metrics: Vec<Metric>,
    /// Methods: named things a client can do.
    #[schemars(extend("x-default" = "none"))]
    pub methods: Vec<Method>,
    /// Which requests count as what, in order. A request that no rule matches is refused with 404;
    /// with no rules at all each request counts one hit.
    #[schemars(extend("x-default" = "none"))]
    pub mapping_rules: Vec<MappingRule>,
    /// Plans by name.
    #[schemars(extend("x-default" = "none"))]
    pub plans: BTreeMap<String, Plan>,
}

/// Where a product is in its life.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Not to be called yet: 404.
    Draft,
    /// To be called.
    #[default]
    Published,
    /// To be called, but no longer to be built on.
    Deprecated,
    /// No longer to be called: 410.
    Retired,
}

/// Who may call. Ways to prove who one is: `user_key` (a single key), `app_key` (an app_id with one
/// of its keys), `basic` (RFC 7617), `certificate` (a verified client certificate), `jwt:NAME` (a
/// token that `[jwt.NAME]` takes), `introspection:NAME` (a token that the server of
/// `[introspection.NAME]` knows).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Authentication {
    /// Ways of which one must succeed, where there is no `all_of`. They are tried in this order; the first
    /// that proves somebody says which application calls.
    #[schemars(extend("x-default" = "`[\"user_key\"]`"))]
    pub any_of: Vec<String>,
    /// Ways that must all succeed; the first says which application calls.
    #[schemars(extend("x-default" = "none"))]
    pub all_of: Vec<String>,
    /// Plan of requests that carry no credential of these ways; limits and quotas are then kept for the client
    /// address. Without it they get 401.
    #[schemars(extend("x-default" = "—"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_plan: Option<String>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self { any_of: vec!["user_key".into()], all_of: Vec::new(), anonymous_plan: None }
    }
}

/// Where credentials are looked for: `header:NAME`, `query:NAME`, `bearer` (Authorization: Bearer),
/// `basic_user` and `basic_password` (Authorization: Basic). Of several places the first that holds
/// something counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CredentialPlaces {
    /// Of single keys.
    #[schemars(extend("x-default" = "`[\"header:X-API-Key\"]`"))]
    pub user_key: Vec<String>,
    /// Of app_ids.
    #[schemars(extend("x-default" = "`[\"header:App-Id\"]`"))]
    pub app_id: Vec<String>,
    /// Of app_keys.
    #[schemars(extend("x-default" = "`[\"header:App-Key\"]`"))]
    pub app_key: Vec<String>,
    /// Of JSON Web Tokens.
    #[schemars(extend("x-default" = "`[\"bearer\"]`"))]
    pub token: Vec<String>,
    /// Whether the upstream sees them. Otherwise everything that was looked at is taken out.
    pub forward: bool,
}

impl CredentialPlaces {
    /// Names of fields among them.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let all = [&self.user_key, &self.app_id, &self.app_key, &self.token];
        all.into_iter().flatten().filter_map(|place| place.strip_prefix("header:"))
    }
}

impl Default for CredentialPlaces {
    fn default() -> Self {
        let one = |place: &str| vec![place.to_owned()];
        Self {
            user_key: one("header:X-API-Key"),
            app_id: one("header:App-Id"),
            app_key: one("header:App-Key"),
            token: one("bearer"),
            forward: false,
        }
    }
}

/// A metric: something that is counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metric {
    /// Name, unique among the product's metrics and methods.
    #[schemars(extend("x-required" = true))]
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Unit for people and bills.
    #[schemars(extend("x-default" = "none"))]
    pub unit: String,
    /// Response field by whose number (a whole one, at least 0) the metric grows too, so that costly
    /// calls cost more. The field does not go on to the client.
    #[schemars(extend("x-default" = "—"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header: Option<String>,
}

/// A method: a metric that counts into a parent, and that plans can leave out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Method {
    /// Name, unique among the product's metrics and methods.
    #[schemars(extend("x-required" = true))]
    pub name: String,
    /// Title for people.
    pub title: String,
    /// The metric it counts into as well.
    #[schemars(extend("x-default" = "`hits`"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
}

/// Which requests count as what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MappingRule {
    /// HTTP method; `*`: any.
    #[schemars(extend("x-required" = true))]
    pub method: String,
    /// Beginning of the path that the client asked for, as 3scale has it: `{name}` stands for one
    /// segment or part of one, a `$` at the end anchors it there, and `?name=value&other={x}` asks
    /// for query parameters, a value or any: `"/orders/{id}$"`, `"/search?kind=book"`,
    /// `"/search$?kind={any}"`.
    #[schemars(extend("x-required" = true))]
    pub pattern: String,
    /// The metric or method that grows.
    #[schemars(extend("x-default" = "`hits`"))]
    pub metric: String,
    /// By how much.
    #[schemars(range(min = 1, max = 1000000))]
    pub increment: u32,
    /// Where it matches, no rule after it is asked.
    pub last: bool,
}

impl Default for MappingRule {
    fn default() -> Self {
        Self {
            method: String::new(),
            pattern: String::new(),
            metric: "hits".into(),
            increment: 1,
            last: false,
        }
    }
}

/// How an application proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A single key.
    UserKey = 1,
    /// A key that comes with the application's app_id.
    AppKey = 2,
    /// User and password (RFC 7617).
    Basic = 3,
    /// A client certificate, by its SHA-256 fingerprint or its subject.
    Certificate = 4,
    /// A claim of a JSON Web Token.
    Jwt = 5,
}

impl CredentialKind {
    /// Whether the gateway draws what it is known by, which is then nobody else's. What is said of somebody
    /// (a user, a certificate, a claim) can be said in each product.
    pub fn is_drawn(self) -> bool {
        matches!(self, Self::UserKey | Self::AppKey)
    }
}
