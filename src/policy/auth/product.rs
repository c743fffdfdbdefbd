//! A product compiled for requests.

use std::collections::HashMap;
use std::sync::Arc;

use super::mapping::Mapping;
use super::places::{Place, Secrets};
use crate::config::file::Lifecycle;
use crate::http::head::{Field, values};
use crate::limits::METRIC_GROWTH_MAX;
use crate::policy::keyed::Keyed;
use crate::policy::limit::Rule;
use crate::policy::quota::Quota;
use crate::policy::transform::FieldNames;

/// A product.
#[derive(Debug)]
pub struct Product {
    /// Id in the store.
    pub id: u64,
    /// Name.
    pub name: Box<str>,
    /// Where it is in its life.
    pub state: Lifecycle,
    /// Field lines of answers: Deprecation and Sunset, each with its CRLF.
    pub notice: Box<[u8]>,
    /// How clients prove who they are.
    pub ways: Vec<Way>,
    /// Whether all of these must succeed, or the first that does is enough.
    pub all_ways: bool,
    /// Those who take tokens, as credentials name them: of `[jwt.NAME]` the name, else
    /// `introspection:NAME`.
    pub verifiers: Vec<Box<str>>,
    /// Where credentials are looked for.
    pub places: Places,
    /// The same places, to be kept from upstreams and logs.
    pub secrets: Secrets,
    /// Whether upstreams may see credentials after all.
    pub forward: bool,
    /// WWW-Authenticate of an answer to a request without a credential, each line with its CRLF.
    pub challenge: Box<[u8]>,
    /// The same to one with a bad credential (RFC 6750 section 3.1).
    pub challenge_bad: Box<[u8]>,
    /// Which requests count as what.
    pub mapping: Mapping,
    /// Metrics and methods; `hits` is the first.
    pub metrics: Vec<Metric>,
    /// Response fields by which metrics grow, with the metrics' indices.
    pub counted_fields: Vec<(Box<[u8]>, u16)>,
    /// The names of these.
    pub counted_names: FieldNames,
    /// Plans by id.
    pub plans: Plans,
    /// The id of the plan of requests without credentials.
    pub anonymous_plan: Option<u32>,
    /// The line that tells the upstream who forwards, with its CRLF; empty: none.
    pub secret_line: Box<[u8]>,
    /// Fields of its plans' attributes: a client's own never pass.
    pub attributes: FieldNames,
}

impl Product {
    /// Reads by how much metrics grow, from a response's fields; what is no whole number says nothing.
    pub fn read_amounts(&self, fields: &[Field], buf: &[u8], grown: &mut Vec<(u16, u64)>) {
        for (name, metric) in &self.counted_fields {
            let amounts = values(fields, buf, name).filter_map(|value| {
                let digits = value.iter().all(u8::is_ascii_digit).then_some(value)?;
                std::str::from_utf8(digits).ok()?.parse().ok()
            });
            let bounded = amounts.map(|amount: u64| amount.min(METRIC_GROWTH_MAX));
            grown.extend(bounded.filter(|amount| *amount > 0).map(|amount| (*metric, amount)));
        }
    }
}

/// A way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A single key.
    UserKey,
    /// An app_id with one of its keys.
    AppKey,
    /// A user with a password (RFC 7617).
    Basic,
    /// A verified client certificate, by its fingerprint or else its subject.
    Certificate,
    /// A token that this verifier takes, an index into [`Product::verifiers`].
    Jwt(u16),
    /// A token that this server knows, an index there as well.
    Introspection(u16),
}

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // As in the configuration.
pub struct Places {
    pub user_key: Vec<Place>,
    pub app_id: Vec<Place>,
    pub app_key: Vec<Place>,
    pub token: Vec<Place>,
}

impl Places {
    /// Whether keys are shown in the words of tokens.
    pub fn has_bearer_keys(&self) -> bool {
        [&self.user_key, &self.app_key].into_iter().flatten().any(|place| *place == Place::Bearer)
    }
}

/// A metric or method.
#[derive(Debug)]
pub struct Metric {
    /// Id in the store; the same in every generation.
    pub id: u32,
    /// Name.
    pub name: Box<str>,
    /// Index of the metric that a method counts into as well.
    pub parent: Option<u16>,
}

/// Plans by their ids in the store.
pub type Plans = HashMap<u32, Arc<Plan>, Keyed>;

/// A plan.
#[derive(Debug)]
pub struct Plan {
    /// Id in the store; the same in every generation.
    pub id: u32,
    /// Name.
    pub name: Box<str>,
    /// Of each metric of the product, in its order.
    pub metrics: Vec<Terms>,
    /// Whether counts are on the disk before a request goes upstream.
    pub strict: bool,
    /// Field lines that upstreams get (its name, attributes), each with its CRLF.
    pub lines: Box<[u8]>,
}

impl Plan {
    /// Rate limits of a metric, by its index.
    pub fn limits(&self, metric: u16) -> &[Rule] {
        self.metrics.get(usize::from(metric)).map_or(&[], |terms| &terms.limits)
    }

    /// Quotas of a metric, by its index.
    pub fn quotas(&self, metric: u16) -> &[Quota] {
        self.metrics.get(usize::from(metric)).map_or(&[], |terms| &terms.quotas)
    }
}

/// What a plan says of a metric.
#[derive(Debug, Default)]
pub struct Terms {
    /// A method that is off.
    pub off: bool,
    /// Rate limits, kept for each application.
    pub limits: Vec<Rule>,
    /// Quotas.
    pub quotas: Vec<Quota>,
}
