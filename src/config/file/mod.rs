//! The file as written: one struct a table, one field a key.
//!
//! The comments here are the reference: docs/CONFIG.md and the JSON schema are made from them.
//! What must be there is an `Option` marked [`REQUIRED`], so that a file with mistakes can still
//! be read and checked for others.

mod acme;
mod forward;
mod forward_auth;
mod introspection;
mod jwt;
mod limit;
mod listener;
mod plan;
mod process;
mod product;
mod route;
mod store;
mod tls;
mod upstream;
mod upstream_tls;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use acme::{Acme, ExternalAccount};
pub use forward::Forward;
pub use forward_auth::{ForwardAuth, ForwardAuthCache};
pub use introspection::{Introspection, OnError};
pub use jwt::Jwt;
pub use limit::Limit;
pub use listener::{Http, Listener};
pub use plan::{Period, Plan, PlanLimit, Price, Quota, UnitPrice};
pub use process::{AccessLog, Admin, Forwarding, Log, Server};
pub use product::{
    Authentication, CredentialKind, CredentialPlaces, Lifecycle, MappingRule, Method, Metric,
    Product,
};
pub use route::{
    ClientCertificateMatch, GrpcMatch, HeaderEdits, OneOrMore, Redirect, Respond, Route,
    RouteAuthentication, Timeouts, ValueMatch, ValueTests,
};
pub use store::Store;
pub use tls::{Certificate, ClientCertificates, Tls};
pub use upstream::{BalanceName, Target, Upstream, WeightedTarget};
pub use upstream_tls::UpstreamTls;

use super::settings::RateLimitFields;

/// Schema extension: the key must be there.
pub const REQUIRED: &str = "x-required";

/// Schema extension: the default in words, where it is no constant.
pub const DEFAULT: &str = "x-default";

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The process.
    pub server: Server,
    /// The admin listener: stats, metrics, health, reload and a page for people.
    pub admin: Admin,
    /// One record a request.
    pub access_log: AccessLog,
    /// The gateway's own log, to standard error.
    pub log: Log,
    /// What must outlive the process.
    pub store: Store,
    /// Certificates by ACME.
    #[schemars(extend("x-default" = "none"))]
    pub acme: Option<Acme>,
    /// Fields that tell upstreams about the client. At the trust boundary they are replaced;
    /// behind a trusted proxy they are appended to.
    pub forwarding: Forwarding,
    /// Which response fields tell a client about its rate limits.
    pub rate_limit_fields: RateLimitFields,
    /// Limits for every request, whatever its listener or route. They are checked before a
    /// listener's and a route's.
    #[schemars(extend("x-default" = "none"))]
    pub limits: Vec<Limit>,
    /// Addresses that clients connect to; at least one.
    #[schemars(extend("x-required" = true))]
    pub listeners: Vec<Listener>,
    /// Groups of targets by name.
    #[schemars(extend("x-default" = "none"))]
    pub upstreams: BTreeMap<String, Upstream>,
    /// JSON web tokens that are taken, by name.
    #[schemars(extend("x-default" = "none"))]
    pub jwt: BTreeMap<String, Jwt>,
    /// Servers that are asked about tokens, by name.
    #[schemars(extend("x-default" = "none"))]
    pub introspection: BTreeMap<String, Introspection>,
    /// Services that are asked whether a request may pass, by name.
    #[schemars(extend("x-default" = "none"))]
    pub forward_auth: BTreeMap<String, ForwardAuth>,
    /// Products by name: what routes with a `product` offer to applications. A name has lower-case
    /// letters, digits, `-` and `_`. Those that stand here can only be read by way of the admin API.
    #[schemars(extend("x-default" = "none"))]
    pub products: BTreeMap<String, Product>,
    /// What is done with requests. A request that no route matches gets 404, or 405 where only
    /// its method differs.
    #[schemars(extend("x-default" = "none"))]
    pub routes: Vec<Route>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            server: Server::default(),
            admin: Admin::default(),
            access_log: AccessLog::default(),
            log: Log::default(),
            store: Store::default(),
            acme: None,
            forwarding: Forwarding::default(),
            rate_limit_fields: RateLimitFields::Draft,
            limits: Vec::new(),
            listeners: Vec::new(),
            upstreams: BTreeMap::new(),
            jwt: BTreeMap::new(),
            introspection: BTreeMap::new(),
            forward_auth: BTreeMap::new(),
            products: BTreeMap::new(),
            routes: Vec::new(),
        }
    }
}
