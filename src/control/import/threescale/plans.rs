//! Application plans.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::file::{Method, Period, Plan, Price, Quota, UnitPrice};
use crate::config::units::HumanDuration;
use crate::control::import::findings::{self, Findings, slug};
use crate::control::import::source::At;
use crate::limits::PRODUCT_NAME_MAX;

const KEYS: [&str; 7] = [
    "name",
    "appsRequireApproval",
    "trialPeriod",
    "costMonth",
    "pricingRules",
    "limits",
    "published",
];

/// What a metric of a backend is called.
pub(super) fn metric_name(backend: Option<&str>, system_name: &str) -> String {
    match backend {
        Some(backend) => format!("{backend}.{system_name}"),
        None => system_name.to_owned(),
    }
}

/// Plans by name; `methods` are those of the product.
pub(super) fn read(
    spec: &At<'_>,
    methods: &mut [Method],
    findings: &mut Findings,
) -> BTreeMap<String, Plan> {
    let mut plans = BTreeMap::new();
    for (system_name, at) in findings.entries(spec, "applicationPlans") {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = slug(system_name, fits, PRODUCT_NAME_MAX);
        if name != system_name {
            findings.warning(&at, format!("the plan {system_name:?} is called {name:?}"), "");
        }
        let plan = plan(&at, methods, findings);
        if plans.insert(name, plan).is_some() {
            findings.error(&at, "another plan is called the same", "give one another name");
        }
    }
    plans
}

fn plan(at: &At<'_>, methods: &[Method], findings: &mut Findings) -> Plan {
    let title = findings.text(at, "name");
    let days = findings.number(at, "trialPeriod").unwrap_or(0).min(36_500);
    let trial = (days > 0).then(|| HumanDuration(Duration::from_secs(days * 24 * 3600)));
    if at.key("published").is_some_and(|published| published.value == false) {
        let help = "whoever signs somebody up names the plan";
        findings.warning(at, "plans are not hidden", help);
    }
    let fee = findings.text(at, "setupFee").is_some_and(|fee| !is_zero(&fee));
    let known = KEYS.iter().copied().chain((!fee).then_some("setupFee"));
    findings.others(at, &known.collect::<Vec<_>>());
    let mut plan = Plan {
        title: title.map(|title| findings::title(&title)),
        approval_required: findings.flag(at, "appsRequireApproval"),
        trial,
        price: price(at, findings),
        ..Plan::default()
    };
    for limit in findings.items(at, "limits") {
        self::limit(&limit, methods, &mut plan, findings);
    }
    plan
}

/// 3scale's limits count by the calendar: they are quotas. One of nothing for ever switches a method
/// off.
fn limit(at: &At<'_>, methods: &[Method], plan: &mut Plan, findings: &mut Findings) {
    findings.others(at, &["period", "value", "metricMethodRef"]);
    let metric = metric(at, findings);
    let max = findings.number(at, "value");
    let word = findings.text(at, "period").unwrap_or_default();
    let period = match word.as_str() {
        "minute" => Period::Minute,
        "hour" => Period::Hour,
        "day" => Period::Day,
        "week" => Period::Week,
        "month" => Period::Month,
        "year" => Period::Year,
        "eternity" if max == Some(0) && methods.iter().any(|method| method.name == metric) => {
            let all = || methods.iter().map(|method| method.name.clone()).collect();
            plan.methods.get_or_insert_with(all).retain(|method| *method != metric);
            return;
        }
        "eternity" => {
            let message = format!("a limit of {metric:?} for ever has no counterpart");
            findings.warning(at, message, "write a quota of a year");
            return;
        }
        _ => {
            findings.error(at, format!("{word:?} is no period"), "");
            return;
        }
    };
    plan.quotas.push(Quota { metric, period: Some(period), max, soft: false });
}

fn metric(of: &At<'_>, findings: &mut Findings) -> String {
    let Some(reference) = findings.table(of, "metricMethodRef") else {
        findings.error(of, "the key `metricMethodRef` is missing", "");
        return String::new();
    };
    let backend = findings.text(&reference, "backend");
    let system_name = findings.text(&reference, "systemName").unwrap_or_default();
    metric_name(backend.as_deref(), &system_name)
}

fn price(at: &At<'_>, findings: &mut Findings) -> Option<Price> {
    let fixed = findings.text(at, "costMonth").filter(|cost| !is_zero(cost));
    let units = units(at, findings);
    if fixed.is_none() && units.is_empty() {
        return None;
    }
    findings.warning(at, "3scale's files name no currency: it is written as USD", "");
    Some(Price { currency: "USD".to_owned(), fixed, units })
}

fn is_zero(amount: &str) -> bool {
    amount.bytes().all(|b| b"0.".contains(&b))
}

/// A range of units, from its first to its last, and what each costs.
struct Range<'v> {
    at: At<'v>,
    from: u64,
    to: Option<u64>,
    price: String,
}

/// Ranges as tiers: where 3scale has none, units are free.
fn units(of: &At<'_>, findings: &mut Findings) -> Vec<UnitPrice> {
    let mut ranges: BTreeMap<String, Vec<Range<'_>>> = BTreeMap::new();
    for at in findings.items(of, "pricingRules") {
        findings.others(&at, &["from", "to", "metricMethodRef", "pricePerUnit"]);
        let metric = metric(&at, findings);
        let from = findings.number(&at, "from").unwrap_or(1).max(1);
        let to = findings.number(&at, "to");
        let price = findings.text(&at, "pricePerUnit").unwrap_or_default();
        ranges.entry(metric).or_default().push(Range { at, from, to, price });
    }
    let mut tiers = Vec::new();
    for (metric, mut ranges) in ranges {
        ranges.sort_by_key(|range| range.from);
        let tier =
            |from, price: &str| UnitPrice { metric: metric.clone(), from, price: price.to_owned() };
        // Units that have a price so far; `None`: all.
        let mut end = Some(0);
        for range in ranges {
            let start = range.from - 1;
            if end.is_none_or(|end| start < end) {
                findings.error(&range.at, format!("two prices of {metric:?} overlap"), "");
                continue;
            }
            if end.is_some_and(|end| 0 < end && end < start) {
                tiers.push(tier(end.unwrap_or_default(), "0"));
            }
            tiers.push(tier(start, &range.price));
            end = range.to;
        }
        tiers.extend(end.filter(|end| *end > 0).map(|end| tier(end, "0")));
    }
    tiers
}
