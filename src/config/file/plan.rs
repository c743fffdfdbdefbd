//! `[products.NAME.plans.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::units::{HumanDuration, Rate};

/// A plan: what an application may do, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Title for people.
    #[schemars(extend("x-default" = "its name"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Methods that are on; calls of others get 403.
    #[schemars(extend("x-default" = "all"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Rate limits of each application.
    #[schemars(extend("x-default" = "none"))]
    pub limits: Vec<PlanLimit>,
    /// Quotas of each application.
    #[schemars(extend("x-default" = "none"))]
    pub quotas: Vec<Quota>,
    /// Time zone (IANA) in which calendar periods begin.
    #[schemars(extend("x-default" = "`UTC`"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Whether new applications wait (`pending`) until somebody lets them in.
    pub approval_required: bool,
    /// Price facts do not count for so long after an application's beginning.
    #[schemars(extend("x-default" = "none"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trial: Option<HumanDuration>,
    /// An application ends so long after its beginning: then its calls get 403.
    #[schemars(extend("x-default" = "never"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires_after: Option<HumanDuration>,
    /// What a request is charged to quotas is on the disk before it goes upstream, in batches: slower,
    /// and a crash forgets none of it.
    pub strict: bool,
    /// What it costs: facts for a bill that others write.
    #[schemars(extend("x-default" = "none"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Fields that upstreams get with each request of an application of this plan. A client's own
    /// never pass: names that clients send (`Authorization`, `Accept`) are refused.
    #[schemars(extend("x-default" = "none"))]
    pub attributes: BTreeMap<String, String>,
}

/// A rate limit of each application: a token bucket. Beyond it, 429.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanLimit {
    /// Metric or method.
    #[schemars(extend("x-default" = "`hits`"))]
    pub metric: String,
    /// How much in a period: `"100/m"`. Answers call the limit `METRIC-per-PERIOD`: `hits-per-minute`.
    #[schemars(required, extend("x-required" = true))]
    #[schema(value_type = Option<String>)]
    pub rate: Option<Rate>,
    /// Bucket size: how much may come at once after silence.
    #[schemars(range(min = 1, max = 1000000000), extend("x-default" = "the rate's number"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
}

impl Default for PlanLimit {
    fn default() -> Self {
        Self { metric: "hits".into(), rate: None, burst: None }
    }
}

/// A quota of each application, counted by the calendar. Beyond it, 429.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Metric or method.
    #[schemars(extend("x-default" = "`hits`"))]
    pub metric: String,
    /// `minute`, `hour`, `day`, `week` (from Monday), `month` or `year`. Answers call the quota
    /// `METRIC-PERIOD`: `hits-month`.
    #[schemars(required, extend("x-required" = true))]
    pub period: Option<Period>,
    /// How much.
    #[schemars(required, range(min = 0, max = 1000000000000u64), extend("x-required" = true))]
    pub max: Option<u64>,
    /// Beyond a soft one requests go on; it is told in fields, usage and events.
    pub soft: bool,
}

impl Default for Quota {
    fn default() -> Self {
        Self { metric: "hits".into(), period: None, max: None, soft: false }
    }
}

/// A calendar period.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Period {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// What a plan costs, per month.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// Currency (ISO 4217).
    #[schemars(extend("x-required" = true))]
    pub currency: String,
    /// What each month costs, a decimal number: `"49.00"`.
    #[schemars(extend("x-default" = "`0`"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// What usage costs.
    #[schemars(extend("x-default" = "none"))]
    pub units: Vec<UnitPrice>,
}

/// What each unit of a metric costs; several with one metric make tiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnitPrice {
    /// Metric or method.
    #[schemars(extend("x-default" = "`hits`"))]
    pub metric: String,
    /// Units of a month before this price holds.
    pub from: u64,
    /// A decimal number: `"0.002"`.
    #[schemars(extend("x-required" = true))]
    pub price: String,
}

impl Default for UnitPrice {
    fn default() -> Self {
        Self { metric: "hits".into(), from: 0, price: String::new() }
    }
}
