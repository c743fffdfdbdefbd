use super::*;
use crate::config::file::Period;
use crate::config::{pointer, product_mistakes};

fn said(remarks: &[Remark]) -> Vec<String> {
    remarks.iter().map(|remark| format!("{}: {}", pointer(&remark.at), remark.message)).collect()
}

fn product() -> Imported {
    let bytes = include_bytes!("../../../../tests/imports/threescale_product.yaml");
    from_threescale(bytes).expect("a product")
}

#[test]
fn what_a_product_counts() {
    let Imported { name, product, .. } = product();
    assert_eq!(name, "shop_orders");
    assert_eq!(product_mistakes(&name, &product), []);
    assert_eq!(product.title.as_deref(), Some("Shop Orders"));
    let metrics: Vec<_> =
        product.metrics.iter().map(|m| (m.name.as_str(), m.unit.as_str())).collect();
    assert_eq!(metrics, [("volume", "MB"), ("stock.hits", "hit")]);
    let methods: Vec<_> =
        product.methods.iter().map(|m| (m.name.as_str(), m.metric.as_deref())).collect();
    assert_eq!(methods, [("list", None), ("place", None), ("stock.look", Some("stock.hits"))]);
    let rules: Vec<String> = product
        .mapping_rules
        .iter()
        .map(|r| format!("{} {} {} {} {}", r.method, r.pattern, r.metric, r.increment, r.last))
        .collect();
    assert_eq!(
        rules,
        [
            "GET /orders$ list 1 true",
            "* /orders?express={how} volume 10 false",
            "POST /orders place 1 false",
            "GET /stock/{item}$ stock.look 2 false",
        ]
    );
    assert_eq!(product.authentication.any_of, ["app_key"]);
    assert_eq!(product.credentials.app_id, ["header:id"]);
    assert_eq!(product.credentials.app_key, ["header:app_key"]);
}

#[test]
fn what_a_plan_lets_through_and_costs() {
    let plans = product().product.plans;
    assert_eq!(plans.keys().collect::<Vec<_>>(), ["basic", "no-limits"]);
    let plan = &plans["basic"];
    assert!(plan.approval_required);
    assert_eq!(plan.trial.map(|trial| trial.to_string()).as_deref(), Some("30d"));
    let on = ["list".to_owned(), "stock.look".to_owned()];
    assert_eq!(plan.methods.as_deref(), Some(on.as_slice()));
    let quotas: Vec<_> = plan.quotas.iter().map(|q| (q.metric.as_str(), q.period, q.max)).collect();
    assert_eq!(
        quotas,
        [
            ("hits", Some(Period::Minute), Some(100)),
            ("stock.hits", Some(Period::Month), Some(10_000)),
        ]
    );
    let price = plan.price.as_ref().expect("a price");
    assert_eq!((price.currency.as_str(), price.fixed.as_deref()), ("USD", Some("49.00")));
    let tiers: Vec<_> =
        price.units.iter().map(|u| (u.metric.as_str(), u.from, u.price.as_str())).collect();
    assert_eq!(
        tiers,
        [
            ("hits", 0, "0.00"),
            ("hits", 1000, "0.02"),
            ("hits", 5000, "0"),
            ("hits", 6000, "0.01"),
            ("volume", 0, "2.50"),
            ("volume", 9, "0"),
        ]
    );
    assert_eq!(plans["no-limits"].price, None);
}

#[test]
fn what_has_no_counterpart_is_told() {
    let remarks = product().remarks;
    assert_eq!(
        said(&remarks),
        [
            "/items/0/spec/deployment/apicastSelfManaged/productionPublicBaseURL: \
             a product has no address of its own",
            "/items/0/spec/deployment/apicastSelfManaged/authentication/appKeyAppID/gatewayResponse: \
             `gatewayResponse` has no counterpart",
            "/items/0/spec/deployment/apicastSelfManaged/authentication/appKeyAppID/security/secretToken: \
             a product's secret is made here, not written",
            "/items/0/spec/deployment/apicastSelfManaged/authentication/appKeyAppID/security/hostHeader: \
             a product has no host for upstreams",
            "/items/0/spec/metrics/hits/description: `description` has no counterpart",
            "/items/1/spec/privateBaseURL: this is where \"/stock\" leads",
            "/items/0/spec/backendUsages/billing: the backend \"billing\" is not in the file",
            "/items/0/spec/applicationPlans/basic/setupFee: `setupFee` has no counterpart",
            "/items/0/spec/applicationPlans/basic: \
             3scale's files name no currency: it is written as USD",
            "/items/0/spec/applicationPlans/basic/limits/3: \
             a limit of \"volume\" for ever has no counterpart",
            "/items/0/spec/applicationPlans/no limits!: the plan \"no limits!\" is called \"no-limits\"",
            "/items/0/spec/applicationPlans/no limits!: plans are not hidden",
            "/items/0/spec/policies/1: the policy \"ip_check\" is not taken over",
        ]
    );
    assert!(!format!("{remarks:?}").contains("5ecret"));
}

#[test]
fn a_proxy_configuration() {
    let bytes = include_bytes!("../../../../tests/imports/threescale_proxy_config.json");
    let Imported { name, product, remarks } = from_threescale(bytes).expect("a product");
    assert_eq!(name, "echo");
    assert_eq!(product_mistakes(&name, &product), []);
    assert_eq!(product.credentials.user_key, ["basic_user"]);
    let rules: Vec<_> =
        product.mapping_rules.iter().map(|r| (r.metric.as_str(), r.increment, r.last)).collect();
    assert_eq!(rules, [("hits", 1, false), ("say", 3, true)]);
    let said = said(&remarks);
    for part in [
        "/support_email: ",
        "/buyers_manage_apps: ",
        "/proxy/api_backend: ",
        "/proxy/hosts: ",
        "/proxy/error_auth_failed: ",
        "/proxy/secret_token: ",
        "/proxy/proxy_rules/1/redirect_url: ",
        "/proxy: the file does not tell metrics from methods",
    ] {
        let way = format!("/proxy_config/content{part}");
        assert_eq!(
            said.iter().filter(|said| said.starts_with(&way)).count(),
            1,
            "{part} {said:#?}"
        );
    }
    assert_eq!(said.len(), 8, "{said:#?}");
    assert!(!format!("{remarks:?}").contains("5ecret"));
}

#[test]
fn a_service_without_its_proxy() {
    let text = r#"{"service": {"id": 7, "name": "Echo", "backend_version": "oidc"}}"#;
    let read = from_threescale(text.as_bytes()).expect("a product");
    assert_eq!(read.product.authentication.any_of, ["jwt:echo"]);
    assert_eq!(product_mistakes(&read.name, &read.product), []);
    assert!(said(&read.remarks)[0].contains("[jwt.echo]"));
    assert!(said(&read.remarks)[1].contains("no mapping rules"));
}

#[test]
fn what_is_no_export_is_refused() {
    for (text, why) in [
        ("{}", ": this is no export of 3scale"),
        ("kind: Service", ": \"Service\" is no kind"),
        ("kind: Product", ": the key `spec` is missing"),
        ("kind: List\nitems: []", ": one product is wanted, and there are 0"),
        (
            "kind: Product\nspec: { metrics: [], applicationPlans: { a: { limits: [{ period: age }] } } }",
            "/spec/metrics: an object is wanted here",
        ),
        (
            "kind: Product\nspec: { applicationPlans: { a: { limits: [{ period: age, \
             metricMethodRef: { systemName: a } }] } } }",
            "/spec/applicationPlans/a/limits/0: \"age\" is no period",
        ),
        ("service: { backend_version: 9 }", "/service: \"9\" is no `backend_version`"),
    ] {
        let said = said(&from_threescale(text.as_bytes()).expect_err(why));
        assert!(said.iter().any(|said| said.starts_with(why)), "{text}: {said:#?}");
    }
}
