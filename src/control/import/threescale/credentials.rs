//! Where 3scale looks for credentials, and what its policies do.

use crate::config::file::Product;
use crate::control::import::findings::Findings;
use crate::control::import::source::At;

/// Where a credential of this name is; `basic`: what it is with HTTP Basic.
fn place(location: Option<&str>, name: String, basic: &str) -> String {
    match location {
        Some("headers") => format!("header:{name}"),
        Some("authorization") => basic.to_owned(),
        // 3scale's default.
        _ => format!("query:{name}"),
    }
}

/// A single key.
pub(super) fn user_key(location: Option<&str>, name: Option<String>, product: &mut Product) {
    let name = name.unwrap_or_else(|| "user_key".to_owned());
    product.authentication.any_of = vec!["user_key".to_owned()];
    product.credentials.user_key = vec![place(location, name, "basic_user")];
}

/// An app_id with one of its keys.
pub(super) fn app_key(
    location: Option<&str>,
    id: Option<String>,
    key: Option<String>,
    product: &mut Product,
) {
    let (id, key) =
        (id.unwrap_or_else(|| "app_id".to_owned()), key.unwrap_or_else(|| "app_key".to_owned()));
    product.authentication.any_of = vec!["app_key".to_owned()];
    product.credentials.app_id = vec![place(location, id, "basic_user")];
    product.credentials.app_key = vec![place(location, key, "basic_password")];
}

/// Tokens of an issuer. What there is to know of it stands elsewhere; its URL may hold a secret.
pub(super) fn token(at: &At<'_>, name: &str, product: &mut Product, findings: &mut Findings) {
    product.authentication.any_of = vec![format!("jwt:{name}")];
    let message = format!("tokens are verified by what [jwt.{name}] says, which is to be written");
    findings.warning(at, message, "3scale's claim with the application's id is `azp` by default");
}

/// `deployment` of a resource.
pub(super) fn of_resource(
    spec: &At<'_>,
    name: &str,
    product: &mut Product,
    findings: &mut Findings,
) {
    user_key(None, None, product);
    for (kind, at) in findings.entries(spec, "deployment") {
        if !["apicastHosted", "apicastSelfManaged"].contains(&kind) {
            findings.warning(&at, format!("{kind:?} has no counterpart"), "");
            continue;
        }
        for (key, value) in at.entries() {
            match key {
                "authentication" => {}
                "stagingPublicBaseURL" | "productionPublicBaseURL" => {
                    let help = "write it as the `host` of routes of this product";
                    findings.warning(&value, "a product has no address of its own", help);
                }
                _ => findings.warning(&value, format!("`{key}` has no counterpart"), ""),
            }
        }
        for (kind, at) in findings.entries(&at, "authentication") {
            authentication(kind, &at, name, product, findings);
        }
    }
}

fn authentication(
    kind: &str,
    at: &At<'_>,
    name: &str,
    product: &mut Product,
    findings: &mut Findings,
) {
    let location = findings.text(at, "credentials");
    let location = location.as_deref();
    match kind {
        "userkey" => {
            let key = findings.text(at, "authUserKey");
            user_key(location, key, product);
            findings.others(at, &["credentials", "authUserKey", "security"]);
        }
        "appKeyAppID" => {
            let (id, key) = (findings.text(at, "appID"), findings.text(at, "appKey"));
            app_key(location, id, key, product);
            findings.others(at, &["credentials", "appID", "appKey", "security"]);
        }
        "oidc" => {
            token(at, name, product, findings);
            findings.others(at, &["credentials", "security"]);
        }
        _ => findings.warning(at, format!("{kind:?} has no counterpart"), ""),
    }
    let Some(security) = findings.table(at, "security") else { return };
    for (key, value) in security.entries() {
        match key {
            "secretToken" => findings.warning(&value, SECRET.0, SECRET.1),
            "hostHeader" => findings.warning(&value, HOST.0, HOST.1),
            _ => findings.warning(&value, format!("`{key}` has no counterpart"), ""),
        }
    }
}

/// Of the secret that upstreams are shown.
pub(super) const SECRET: (&str, &str) = (
    "a product's secret is made here, not written",
    "upstreams find it in X-Tollgate-Secret instead of X-3scale-proxy-secret-token",
);

/// Of the host that upstreams are shown.
pub(super) const HOST: (&str, &str) =
    ("a product has no host for upstreams", "write it as the `host_policy` of its routes");

/// What a chain of policies does is for routes to do.
pub(super) fn policies(of: &At<'_>, key: &str, findings: &mut Findings) {
    for policy in findings.items(of, key) {
        let name = findings.text(&policy, "name").unwrap_or_default();
        let off = policy.key("enabled").is_some_and(|enabled| enabled.value == false);
        // The first is the gateway itself.
        if name == "apicast" || off {
            continue;
        }
        let help = match name.as_str() {
            "ip_check" => "see `allow` and `deny` of routes",
            "rate_limit" => "see `limits` of routes and plans",
            "headers" => "see `request_headers` and `response_headers` of routes",
            "url_rewriting" => "see `rewrite` and `strip_prefix` of routes",
            "upstream" | "routing" => "see `upstream` of routes, and how they match",
            "upstream_connection" => "see `timeouts` of routes",
            "retry" => "see `retries` of upstreams",
            "anonymous_access" | "default_credentials" => "see `anonymous_plan`",
            _ => "",
        };
        findings.warning(&policy, format!("the policy {name:?} is not taken over"), help);
    }
}
