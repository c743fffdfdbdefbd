//! `[products.NAME]`, and what the admin API is sent in the same words.

mod callers;
mod fields;
mod mapping;
mod notes;
mod plan;
mod pricing;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::jwt::Takers;
use super::words::{self, Refusal};
use crate::config::diagnostic::{Report, Severity};
use crate::config::document::Place;
use crate::config::file::{CredentialPlaces, Lifecycle, Product};
use crate::config::remark::{Remark, Step};
use crate::config::settings::Route;
use crate::config::suggest;
use crate::limits::{
    PRODUCT_DESCRIPTION_MAX, PRODUCT_METRICS_MAX, PRODUCT_NAME_MAX, PRODUCT_PLANS_MAX,
    PRODUCT_TITLE_MAX,
};
pub(super) use fields::free_refusal as field_refusal;
use notes::Notes;

/// The metric that every product has.
const HITS: &str = "hits";

/// Products as they stand in the file.
pub(super) fn products(
    written: BTreeMap<String, Product>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<String, Product> {
    for (name, product) in &written {
        if let Some((message, help)) = name_refusal(name) {
            report.error(&place.name(name), message, help);
        }
        let place = place.key(name);
        // What is missing or no value at all, the walk has told already.
        let is_new =
            |remark: &Remark| remark.severity == Severity::Warning || is_given(&place, &remark.at);
        let (new, told): (Vec<_>, Vec<_>) = body_mistakes(product).into_iter().partition(is_new);
        new.into_iter().for_each(|remark| remark.tell(&place, report));
        if !report.has_errors() {
            // It has not, which is not expected; but never lose a mistake.
            told.into_iter().for_each(|remark| remark.tell(&place, report));
        }
    }
    written
}

/// Ways to prove who one is whose `[jwt.NAME]` or `[introspection.NAME]` is not there.
pub(super) fn verified(
    products: &BTreeMap<String, Product>,
    takers: Takers<'_>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    for (name, product) in products {
        let place = place.key(name);
        let place = place.key("authentication");
        let authentication = &product.authentication;
        for (key, ways) in [("any_of", &authentication.any_of), ("all_of", &authentication.all_of)]
        {
            for (position, way) in ways.iter().enumerate() {
                let Some((kind, name)) = way.split_once(':') else { continue };
                let Some(known) = takers.of(kind).filter(|_| !name.is_empty()) else { continue };
                if !known.contains(&name) {
                    let message = format!("there is no [{kind}.{name}]");
                    let help = match suggest::nearest(name, known.into_iter()) {
                        Some(near) => format!("write \"{kind}:{near}\""),
                        None => format!("write a table [{kind}.{name}]"),
                    };
                    report.error(&place.key(key).item(position).trail, message, help);
                }
            }
        }
    }
}

/// Whether a value stands in the file.
fn is_given(place: &Place<'_>, way: &[Step]) -> bool {
    match way {
        [] => place.given(),
        [Step::Key(key), rest @ ..] => is_given(&place.key(key), rest),
        [Step::Name(name), rest @ ..] => is_given(&place.key(name), rest),
        [Step::Item(position), rest @ ..] => is_given(&place.item(*position), rest),
    }
}

/// Products that no route is of, and routes whose product is not declared beside others.
pub(super) fn routed(
    products: &BTreeMap<String, Product>,
    routes: &[(usize, Route)],
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    // A route that was left out for its mistakes may have named it.
    if report.has_errors() {
        return;
    }
    let named: HashSet<&str> = routes.iter().filter_map(|(_, r)| r.product.as_deref()).collect();
    let place = top.key("products");
    for name in products.keys().filter(|name| !named.contains(name.as_str())) {
        let help = "name it as a route's `product`, or remove it";
        report.warning(&place.name(name), "no route is of this product", help);
    }
    let place = top.key("routes");
    for (position, route) in routes {
        let Some(name) = route.product.as_deref() else { continue };
        if products.is_empty() || products.contains_key(name) || report.is_full() {
            continue;
        }
        let message = format!("no product is declared as {name:?}: there may be one in the store");
        let help = match suggest::nearest(name, products.keys().map(String::as_str)) {
            Some(near) => format!("write {near:?}, or make it by the admin API"),
            None => format!("write a table [products.{name}], or make it by the admin API"),
        };
        report.warning(&place.item(*position).key("product").trail, message, help);
    }
}

/// What is wrong with a product of this name, and what is hardly meant. The ways begin at the
/// product, so that they are JSON pointers into a body ([`crate::config::pointer`]); what is said of
/// its name stands at the top.
pub fn mistakes(name: &str, product: &Product) -> Vec<Remark> {
    let of_name = name_refusal(name).map(|(message, help)| Remark {
        severity: Severity::Error,
        at: Vec::new(),
        message,
        help,
    });
    of_name.into_iter().chain(body_mistakes(product)).collect()
}

/// What is wrong with fields that upstreams get, which look for credentials there; the ways begin
/// with `attributes`.
pub fn attribute_mistakes(
    attributes: &BTreeMap<String, String>,
    credentials: &[&CredentialPlaces],
) -> Vec<Remark> {
    let mut notes = Notes::default();
    plan::attributes(attributes, credentials, &mut notes);
    notes.into_remarks()
}

fn body_mistakes(product: &Product) -> Vec<Remark> {
    let mut notes = Notes::default();
    texts(product, &mut notes);
    dates(product, &mut notes);
    let names = Names::of(product, &mut notes);
    callers::check(product, &mut notes);
    mapping::check(&product.mapping_rules, &names, &mut notes);
    notes.at_most("plans", product.plans.len(), PRODUCT_PLANS_MAX, "plans");
    notes.within("plans", |notes| {
        for (name, plan) in &product.plans {
            notes.refuse(name, plan_name_refusal(name));
            notes.within(name, |notes| plan::check(plan, &names, &product.credentials, notes));
        }
    });
    notes.into_remarks()
}

/// What is wrong with a product's name.
pub(super) fn name_refusal(name: &str) -> Option<Refusal> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    plain_name_refusal(name, "a product's name", "lower-case letters, digits, `-` and `_`", fits)
}

fn plan_name_refusal(name: &str) -> Option<Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    plain_name_refusal(name, "a plan's name", "letters, digits, `-`, `_` and `.`", fits)
}

/// Names that stand in paths of the admin API.
fn plain_name_refusal(
    name: &str,
    what: &str,
    signs: &str,
    fits: impl Fn(char) -> bool,
) -> Option<Refusal> {
    if name.is_empty() {
        return Some((format!("{what} is empty"), format!("write {signs}")));
    }
    if name.len() > PRODUCT_NAME_MAX {
        let message = format!("{what} of {} bytes is too long", name.len());
        return Some((message, format!("write at most {PRODUCT_NAME_MAX}")));
    }
    if name.chars().all(&fits) {
        return None;
    }
    let lower = name.to_lowercase();
    let near = if name.to_ascii_uppercase().chars().all(&fits) { name } else { &lower };
    let near: String = near.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    Some((format!("{what} holds {signs}"), format!("write {near:?}")))
}

fn texts(product: &Product, notes: &mut Notes) {
    title(product.title.as_deref(), notes);
    let version = product.version.as_deref().unwrap_or_default();
    notes.refuse("version", line_refusal(version));
    let description = longer(&product.description, PRODUCT_DESCRIPTION_MAX)
        .or_else(|| control(&product.description, "\n\r\t"));
    notes.refuse("description", description);
}

/// A title, wherever there is one.
fn title(text: Option<&str>, notes: &mut Notes) {
    notes.refuse("title", line_refusal(text.unwrap_or_default()));
}

/// What is wrong with a title and the like.
fn line_refusal(text: &str) -> Option<Refusal> {
    longer(text, PRODUCT_TITLE_MAX).or_else(|| control(text, ""))
}

/// A text goes to terminals, tables and pages of others, which do what control characters say.
fn control(text: &str, fit: &str) -> Option<Refusal> {
    let odd = text.chars().find(|c| c.is_control() && !fit.contains(*c))?;
    let message = format!("a text has the control character U+{:04X}", u32::from(odd));
    Some((message, "remove it".to_owned()))
}

fn longer(text: &str, most: usize) -> Option<Refusal> {
    let message = || format!("a text of {} bytes is too long", text.len());
    (text.len() > most).then(|| (message(), format!("write at most {most} bytes")))
}

fn dates(product: &Product, notes: &mut Notes) {
    let mut date = |key: &'static str, text: Option<&str>| {
        let at = text.map(|text| timestamp(text).filter(|at| at.as_second() >= 0));
        if at == Some(None) {
            let message = format!("{:?} is not a date and time", text.unwrap_or_default());
            notes.error(key, message, "write one like \"2026-07-01T00:00:00Z\" (RFC 3339)");
        }
        at.flatten()
    };
    let deprecated = date("deprecated_at", product.deprecated_at.as_deref());
    let sunset = date("sunset", product.sunset.as_deref());
    if let (Some(deprecated), Some(sunset)) = (deprecated, sunset)
        && sunset < deprecated
    {
        let message = "it stops before it is deprecated (RFC 8594, RFC 9745)";
        notes.error("sunset", message, "write a date after `deprecated_at`");
    }
    if product.state == Lifecycle::Deprecated && product.deprecated_at.is_none() {
        let help = "write `deprecated_at`: clients are told (RFC 9745)";
        notes.error("state", "a deprecated product says since when it is", help);
    }
    if matches!(product.state, Lifecycle::Draft | Lifecycle::Published) {
        for (key, date) in [("deprecated_at", deprecated), ("sunset", sunset)] {
            if date.is_some() {
                let message = "nobody is told of it: the product is not deprecated";
                notes.warning(key, message, "write state = \"deprecated\", or remove it");
            }
        }
    }
}

/// RFC 3339: what the library reads beyond it (zones in brackets, no seconds) is left to it.
fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let zone = shape.strip_prefix("0000-00-00T00:00:00")?;
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches('0'),
        None => zone,
    };
    if !matches!(zone, "Z" | "+00:00" | "-00:00") {
        return None;
    }
    text.parse().ok()
}

/// What a product counts by.
struct Names<'p> {
    /// Metrics, `hits` among them.
    metrics: HashSet<&'p str>,
    /// Methods.
    methods: HashSet<&'p str>,
    /// The most that a mapping rule adds to each at once.
    increments: HashMap<&'p str, u32>,
}

impl<'p> Names<'p> {
    fn of(product: &'p Product, notes: &mut Notes) -> Self {
        let count = product.metrics.len() + product.methods.len();
        let key = if product.methods.is_empty() { "metrics" } else { "methods" };
        notes.at_most(key, count, PRODUCT_METRICS_MAX, "metrics and methods");
        let mut first = HashMap::from([(HITS, "every product has it")]);
        let mut metrics = HashSet::from([HITS]);
        notes.within("metrics", |notes| {
            for (position, metric) in product.metrics.iter().enumerate() {
                notes.within(position, |notes| {
                    name(&metric.name, "a metric has this name", &mut first, notes);
                    title(Some(&metric.title), notes);
                    notes.refuse("unit", line_refusal(&metric.unit));
                    if let Some(field) = &metric.response_header {
                        notes.refuse("response_header", fields::response_refusal(field));
                    }
                });
                metrics.insert(metric.name.as_str());
            }
        });
        let mut methods = HashSet::new();
        notes.within("methods", |notes| {
            for (position, method) in product.methods.iter().enumerate() {
                notes.within(position, |notes| {
                    name(&method.name, "a method has this name", &mut first, notes);
                    title(Some(&method.title), notes);
                });
                methods.insert(method.name.as_str());
            }
        });
        let mut increments = HashMap::new();
        for rule in &product.mapping_rules {
            let most = increments.entry(rule.metric.as_str()).or_insert(rule.increment);
            *most = rule.increment.max(*most);
        }
        let names = Self { metrics, methods, increments };
        notes.within("methods", |notes| {
            for (position, method) in product.methods.iter().enumerate() {
                notes.within(position, |notes| names.parent(method.metric.as_deref(), notes));
            }
        });
        names
    }

    fn parent(&self, metric: Option<&str>, notes: &mut Notes) {
        let Some(metric) = metric.filter(|metric| !self.metrics.contains(metric)) else { return };
        if self.methods.contains(metric) {
            let message = format!("{metric:?} is a method, and has a metric of its own");
            notes.error("metric", message, "write a metric");
        } else {
            notes.unknown("metric", "metric", metric, self.metrics.iter().copied());
        }
    }

    /// A metric or method is named.
    fn counted(&self, name: &str, notes: &mut Notes) {
        if !self.metrics.contains(name) && !self.methods.contains(name) {
            let known = self.metrics.iter().chain(&self.methods).copied();
            notes.unknown("metric", "metric or method", name, known);
        }
    }
}

/// The name of a metric or method, which is the only one.
fn name<'p>(
    name: &'p str,
    kind: &'static str,
    first: &mut HashMap<&'p str, &'static str>,
    notes: &mut Notes,
) {
    if let Some((message, help)) = words::name_refusal(name) {
        notes.error("name", message, help);
    } else if let Some(other) = first.insert(name, kind) {
        let message = format!("{name:?} is there already: {other}");
        notes.error("name", message, "give each metric and method a name of its own");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::{MappingRule, Method, Plan, PlanLimit};
    use crate::config::pointer;

    fn said(remarks: &[Remark]) -> Vec<String> {
        remarks
            .iter()
            .map(|remark| format!("{}: {}", pointer(&remark.at), remark.message))
            .collect()
    }

    fn of_json(text: &str) -> Vec<String> {
        said(&mistakes("orders", &serde_json::from_str(text).expect("a product")))
    }

    #[test]
    fn a_product_without_a_word_is_right() {
        assert_eq!(of_json("{}"), [""; 0]);
        assert_eq!(
            said(&mistakes("Orders", &Product::default())),
            [": a product's name holds lower-case letters, digits, `-` and `_`"]
        );
    }

    #[test]
    fn a_body_is_told_what_it_lacks() {
        let text = r#"{
        "metrics": [{}],
        "mapping_rules": [{"metric": "hit", "increment": 1000001}],
        "plans": {"a/b": {"limits": [{"burst": 0}], "quotas": [{}], "price": {"units": [{}]}}}
    }"#;
        assert_eq!(
            of_json(text),
            [
                "/metrics/0/name: a name is empty",
                "/mapping_rules/0/method: \"\" is not a method",
                "/mapping_rules/0/pattern: \"\" does not begin with `/`",
                "/mapping_rules/0/metric: there is no metric or method \"hit\"",
                "/mapping_rules/0/increment: 1000001 is out of range",
                "/plans/a~1b: a plan's name holds letters, digits, `-`, `_` and `.`",
                "/plans/a~1b/limits/0/rate: a limit has a rate",
                "/plans/a~1b/quotas/0/period: a quota has a period",
                "/plans/a~1b/quotas/0/max: a quota has a `max`",
                "/plans/a~1b/price/currency: \"\" is no code of a currency (ISO 4217)",
                "/plans/a~1b/price/units/0/price: \"\" is no decimal number of at least 0",
            ]
        );
    }

    #[test]
    fn much_of_anything_is_refused_in_time() {
        let method = |n: usize| Method { name: format!("m{n}"), ..Method::default() };
        let mut product = Product {
            methods: (0..=PRODUCT_METRICS_MAX).map(method).collect(),
            ..Product::default()
        };
        let limit = PlanLimit { metric: "nothing".into(), ..PlanLimit::default() };
        let limits = vec![limit; 2000];
        product.plans.insert("a".into(), Plan { limits, ..Plan::default() });
        let remarks = mistakes("orders", &product);
        assert!(remarks.len() <= crate::limits::CONFIG_MAX_DIAGNOSTICS, "{}", remarks.len());
        assert!(remarks[0].message.contains("are too many"), "{:?}", remarks[0]);
    }

    #[test]
    fn warnings_do_not_crowd_out_a_mistake() {
        let rule = |pattern: &str| MappingRule {
            method: "GET".into(),
            pattern: pattern.into(),
            ..Default::default()
        };
        let mut mapping_rules = vec![rule("/*"); 600];
        mapping_rules.push(rule("wrong"));
        let product = Product { mapping_rules, ..Product::default() };
        let remarks = mistakes("orders", &product);
        assert!(remarks.iter().any(|remark| remark.severity == Severity::Error));
    }

    #[test]
    fn dates_are_those_of_rfc_3339() {
        for text in
            ["2026-07-01T00:00:00Z", "2026-07-01T00:00:00.5+02:00", "2024-02-29T23:59:59-05:30"]
        {
            assert!(timestamp(text).is_some(), "{text}");
        }
        for text in [
            "2026-07-01",
            "2026-07-01T00:00Z",
            "2026-07-01 00:00:00Z",
            "2026-07-01T00:00:00",
            "2026-07-01T00:00:00[UTC]",
            "2026-02-29T00:00:00Z",
            "+002026-07-01T00:00:00Z",
        ] {
            assert!(timestamp(text).is_none(), "{text}");
        }
    }
}
