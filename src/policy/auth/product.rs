//! A product compiled for requests.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::file::Lifecycle;
use crate::policy::limit::Rule;
use crate::policy::quota::Quota;

/// A product.
pub struct Product {
    /// Id in the store.
    pub id: u64,
    /// Name.
    pub name: Box<str>,
    /// Where it is in its life.
    pub state: Lifecycle,
    /// Field lines of answers: Deprecation and Sunset, each with its CRLF.
    pub notice: Box<[u8]>,
    /// Metrics and methods; `hits` is the first.
    pub metrics: Vec<Metric>,
    /// Plans by id.
    pub plans: HashMap<u32, Arc<Plan>>,
    /// The id of the plan of requests without credentials.
    pub anonymous_plan: Option<u32>,
    /// The line that tells the upstream who forwards, with its CRLF; empty: none.
    pub secret_line: Box<[u8]>,
}

/// A metric or method.
pub struct Metric {
    /// Id in the store; the same in every generation.
    pub id: u32,
    /// Name.
    pub name: Box<str>,
    /// Index of the metric that a method counts into as well.
    pub parent: Option<usize>,
    /// Lower-case name of the response field by which it grows.
    pub response_header: Option<Box<str>>,
}

/// A plan.
pub struct Plan {
    /// Id in the store; the same in every generation.
    pub id: u32,
    /// Name.
    pub name: Box<str>,
    /// Of each metric of the product, in its order.
    pub metrics: Vec<Terms>,
    /// Whether counts are on the disk before a request goes upstream.
    pub strict: bool,
    /// Field lines that upstreams get (attributes), each with its CRLF.
    pub lines: Box<[u8]>,
}

/// What a plan says of a metric.
#[derive(Default)]
pub struct Terms {
    /// A method that is off.
    pub off: bool,
    /// Rate limits, kept for each application.
    pub limits: Vec<Rule>,
    /// Quotas.
    pub quotas: Vec<Quota>,
}
