//! A Product of 3scale's operator, with the Backends that it uses.

use super::Named;
use super::credentials;
use super::plans;
use crate::config::file::{MappingRule, Method, Metric, Product};
use crate::control::import::findings::{self, Findings, product_name};
use crate::control::import::source::At;

const KEYS: [&str; 11] = [
    "name",
    "systemName",
    "description",
    "deployment",
    "mappingRules",
    "backendUsages",
    "metrics",
    "methods",
    "applicationPlans",
    "policies",
    // Where the operator finds 3scale.
    "providerAccountRef",
];

const BACKEND_KEYS: [&str; 8] = [
    "name",
    "systemName",
    "description",
    "privateBaseURL",
    "mappingRules",
    "metrics",
    "methods",
    "providerAccountRef",
];

pub(super) fn read(
    resource: &At<'_>,
    backends: &[At<'_>],
    findings: &mut Findings,
) -> Option<Named> {
    let Some(spec) = findings.table(resource, "spec") else {
        findings.error(resource, "the key `spec` is missing", "");
        return None;
    };
    let title = findings.text(&spec, "name").unwrap_or_default();
    let name = product_name(&findings.text(&spec, "systemName").unwrap_or(title.clone()));
    let description = findings.text(&spec, "description").unwrap_or_default();
    let mut product = Product {
        title: (!title.is_empty()).then(|| findings::title(&title)),
        description: findings::description(&description),
        ..Product::default()
    };
    findings.others(&spec, &KEYS);
    credentials::of_resource(&spec, &name, &mut product, findings);
    counted(&spec, &Part::default(), &mut product, findings);
    for (system_name, usage) in findings.entries(&spec, "backendUsages") {
        let path = findings.text(&usage, "path").unwrap_or_default();
        let part = Part { backend: Some(system_name), path: path.trim_matches('/').to_owned() };
        backend(&usage, &part, backends, &mut product, findings);
    }
    product.plans = plans::read(&spec, &mut product.methods, findings);
    credentials::policies(&spec, "policies", findings);
    Some((name, product))
}

/// A backend is an upstream here; what is counted by it is part of the product.
fn backend(
    usage: &At<'_>,
    part: &Part<'_>,
    backends: &[At<'_>],
    product: &mut Product,
    findings: &mut Findings,
) {
    let system_name = part.backend.unwrap_or_default();
    let found = backends.iter().filter_map(|backend| backend.key("spec")).find(|spec| {
        let named = spec.key("systemName").or_else(|| spec.key("name"));
        named.is_some_and(|named| named.value == system_name)
    });
    let Some(spec) = found else {
        let message = format!("the backend {system_name:?} is not in the file");
        let help = "what it counts is left out: export the product with its backends";
        findings.warning(usage, message, help);
        return;
    };
    if let Some(url) = spec.key("privateBaseURL") {
        let help = "write it as an upstream, and a route of this product with its path";
        findings.warning(&url, format!("this is where \"/{}\" leads", part.path), help);
    }
    findings.others(&spec, &BACKEND_KEYS);
    counted(&spec, part, product, findings);
}

/// Whose metrics they are.
#[derive(Default)]
struct Part<'p> {
    /// A backend's name; `None`: the product itself.
    backend: Option<&'p str>,
    /// Where its paths begin, without slashes around it.
    path: String,
}

impl Part<'_> {
    fn name(&self, system_name: &str) -> String {
        plans::metric_name(self.backend, system_name)
    }
}

/// Metrics, methods and mapping rules.
fn counted(spec: &At<'_>, part: &Part<'_>, product: &mut Product, findings: &mut Findings) {
    for (system_name, at) in findings.entries(spec, "metrics") {
        let title = findings.text(&at, "friendlyName").unwrap_or_default();
        let unit = findings.text(&at, "unit").unwrap_or_default();
        described(&at, &title, &["friendlyName", "unit"], findings);
        // Every product has its hits.
        if part.backend.is_some() || system_name != "hits" {
            let name = part.name(system_name);
            let (title, unit) = (findings::title(&title), findings::title(&unit));
            product.metrics.push(Metric { name, title, unit, response_header: None });
        }
    }
    let own = part.name("hits");
    let parent = part.backend.map(|_| own.clone());
    for (system_name, at) in findings.entries(spec, "methods") {
        let title = findings.text(&at, "friendlyName").unwrap_or_default();
        described(&at, &title, &["friendlyName"], findings);
        let (name, metric) = (part.name(system_name), parent.clone());
        let title = findings::title(&title);
        product.methods.push(Method { name, title, metric });
    }
    for at in findings.items(spec, "mappingRules") {
        let keys = ["httpMethod", "pattern", "metricMethodRef", "increment", "last"];
        findings.others(&at, &keys);
        let method = findings.text(&at, "httpMethod").unwrap_or_default();
        let pattern = findings.text(&at, "pattern").unwrap_or_default();
        let metric = findings.text(&at, "metricMethodRef").unwrap_or_else(|| "hits".to_owned());
        let increment = increment(&at, "increment", findings);
        product.mapping_rules.push(MappingRule {
            method: any_method(method),
            pattern: below(&part.path, &pattern),
            metric: part.name(&metric),
            increment,
            last: findings.flag(&at, "last"),
        });
    }
}

/// 3scale keeps a description beside a title.
fn described(at: &At<'_>, title: &str, known: &[&str], findings: &mut Findings) {
    let same = at.key("description").is_some_and(|text| text.value == title);
    let known: Vec<&str> = known.iter().copied().chain(same.then_some("description")).collect();
    findings.others(at, &known);
}

/// What a rule adds; by default one.
pub(super) fn increment(at: &At<'_>, key: &str, findings: &mut Findings) -> u32 {
    let written = findings.number(at, key).unwrap_or(1);
    u32::try_from(written).unwrap_or(u32::MAX)
}

/// 3scale's word for any method.
pub(super) fn any_method(method: String) -> String {
    if method.eq_ignore_ascii_case("any") { "*".to_owned() } else { method }
}

fn below(path: &str, pattern: &str) -> String {
    if path.is_empty() { pattern.to_owned() } else { format!("/{path}{pattern}") }
}
