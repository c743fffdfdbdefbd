//! A service as the admin portal's API has it, and as the gateway of 3scale reads it (with its proxy).

use std::collections::BTreeSet;

use super::Named;
use super::credentials::{self, HOST, SECRET};
use super::resource::{any_method, increment};
use crate::config::file::{MappingRule, Method, Product};
use crate::control::import::findings::{self, Findings, product_name};
use crate::control::import::source::At;

/// What is taken over, and what only says where 3scale keeps it.
const KEYS: [&str; 17] = [
    "name",
    "system_name",
    "description",
    "backend_version",
    "proxy",
    "id",
    "account_id",
    "tenant_id",
    "created_at",
    "updated_at",
    "links",
    "state",
    "deployment_option",
    "backend_authentication_type",
    "backend_authentication_value",
    "proxiable?",
    "preview_version",
];

const PROXY_KEYS: [&str; 22] = [
    "auth_user_key",
    "auth_app_id",
    "auth_app_key",
    "credentials_location",
    "proxy_rules",
    "policy_chain",
    "id",
    "tenant_id",
    "service_id",
    "created_at",
    "updated_at",
    "deployed_at",
    "lock_version",
    "links",
    "valid?",
    "backend",
    "service_backend_version",
    "authentication_method",
    "backend_authentication_type",
    "backend_authentication_value",
    "production_domain",
    "staging_domain",
];

pub(super) fn read(service: &At<'_>, findings: &mut Findings) -> Named {
    let title = findings.text(service, "name").unwrap_or_default();
    let name = product_name(&findings.text(service, "system_name").unwrap_or(title.clone()));
    let description = findings.text(service, "description").unwrap_or_default();
    let mut product = Product {
        title: (!title.is_empty()).then(|| findings::title(&title)),
        description: findings::description(&description),
        ..Product::default()
    };
    findings.others(service, &KEYS);
    let proxy = findings.table(service, "proxy");
    let word = |key: &str, findings: &mut Findings| match &proxy {
        Some(proxy) => findings.text(proxy, key),
        None => None,
    };
    let location = word("credentials_location", findings);
    let location = location.as_deref();
    match findings.text(service, "backend_version").as_deref() {
        Some("1") | None => {
            credentials::user_key(location, word("auth_user_key", findings), &mut product);
        }
        Some("2") => {
            let (id, key) = (word("auth_app_id", findings), word("auth_app_key", findings));
            credentials::app_key(location, id, key, &mut product);
        }
        Some("oidc" | "oauth") => credentials::token(service, &name, &mut product, findings),
        Some(other) => {
            findings.error(service, format!("{other:?} is no `backend_version` that is known"), "");
        }
    }
    match proxy {
        Some(proxy) => self::proxy(&proxy, &mut product, findings),
        None => {
            let help = "export the product (`3scale product export`) for them, and for plans";
            findings.warning(service, "there are no mapping rules in the file", help);
        }
    }
    (name, product)
}

fn proxy(proxy: &At<'_>, product: &mut Product, findings: &mut Findings) {
    rules(proxy, product, findings);
    credentials::policies(proxy, "policy_chain", findings);
    let mut known: Vec<&str> = PROXY_KEYS.to_vec();
    for (key, at) in proxy.entries().filter(|(_, at)| !at.value.is_null() && at.value != "") {
        let (message, help) = match key {
            "api_backend" => ("this is where requests lead", "write it as an upstream and a route"),
            "hosts" | "endpoint" | "sandbox_endpoint" => {
                let help = "write it as the `host` of routes of this product";
                ("a product has no address of its own", help)
            }
            "secret_token" => SECRET,
            "hostname_rewrite" => HOST,
            _ if key.starts_with("error_") => {
                ("refusals have texts and statuses of the gateway's own", "")
            }
            _ => continue,
        };
        known.push(key);
        findings.warning(&at, message, help);
    }
    findings.others(proxy, &known);
}

fn rules(proxy: &At<'_>, product: &mut Product, findings: &mut Findings) {
    const KEYS: [&str; 16] = [
        "http_method",
        "pattern",
        "metric_system_name",
        "delta",
        "last",
        "position",
        // Parts of the pattern.
        "parameters",
        "querystring_parameters",
        "id",
        "proxy_id",
        "metric_id",
        "owner_id",
        "owner_type",
        "tenant_id",
        "created_at",
        "updated_at",
    ];
    let mut methods = BTreeSet::new();
    for at in findings.items(proxy, "proxy_rules") {
        findings.others(&at, &KEYS);
        let metric = findings.text(&at, "metric_system_name").unwrap_or_else(|| "hits".to_owned());
        if metric != "hits" && methods.insert(metric.clone()) {
            let method = Method { name: metric.clone(), ..Method::default() };
            product.methods.push(method);
        }
        let method = findings.text(&at, "http_method").unwrap_or_default();
        product.mapping_rules.push(MappingRule {
            method: any_method(method),
            pattern: findings.text(&at, "pattern").unwrap_or_default(),
            metric,
            increment: increment(&at, "delta", findings),
            last: findings.flag(&at, "last"),
        });
    }
    if !methods.is_empty() {
        let message = "the file does not tell metrics from methods: all are taken for methods";
        findings.warning(proxy, message, "");
    }
}
