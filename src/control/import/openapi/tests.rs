use super::*;
use crate::config::file::Authentication;
use crate::config::{Severity, pointer, product_mistakes};

fn said(remarks: &[Remark]) -> Vec<String> {
    remarks.iter().map(|remark| format!("{}: {}", pointer(&remark.at), remark.message)).collect()
}

#[test]
fn a_product_of_an_openapi_file() {
    let read = from_openapi(include_bytes!("../../../../tests/imports/orders.yaml"));
    let Imported { name, product, remarks } = read.expect("a product");
    assert_eq!(name, "shop-orders");
    assert_eq!(product_mistakes(&name, &product), []);
    assert_eq!(product.title.as_deref(), Some("Shop Orders"));
    assert_eq!(product.version.as_deref(), Some("1.2"));
    assert_eq!(product.description, "Orders of a shop.");
    assert_eq!(product.state, Lifecycle::Published);
    let methods: Vec<&str> = product.methods.iter().map(|method| method.name.as_str()).collect();
    let names = [
        "readOrder",
        "delete-orders-id",
        "search/orders",
        "readOrder-2",
        "placeOrder",
        "status-page",
    ];
    assert_eq!(methods, names);
    assert_eq!(product.methods[0].title, "Read an order");
    let rules: Vec<String> = product
        .mapping_rules
        .iter()
        .map(|rule| {
            assert!(rule.last && rule.increment == 1, "{rule:?}");
            format!("{} {} {}", rule.method, rule.pattern, rule.metric)
        })
        .collect();
    let place = |rule: &str| rules.iter().position(|known| known == rule).expect(rule);
    assert_eq!(rules.len(), 11, "{rules:#?}");
    for base in ["", "/v1"] {
        let place = |rule: &str| {
            let (method, rest) = rule.split_once(' ').expect("a method");
            place(&format!("{method} {base}{rest}"))
        };
        let search = place("GET /orders/search$ search/orders");
        let json = place("GET /orders/{id}.json$ readOrder-2");
        let one = place("GET /orders/{id}$ readOrder");
        assert!(search < json && json < one, "{rules:#?}");
        place("POST /orders$ placeOrder");
        place("DELETE /orders/{id}$ delete-orders-id");
    }
    place("GET /status$ status-page");
    let want = Authentication {
        any_of: vec!["user_key".into(), "app_key".into()],
        ..Authentication::default()
    };
    assert_eq!(product.authentication, want);
    assert_eq!(product.credentials.user_key, ["header:X-Shop-Key"]);
    assert_eq!(product.credentials.app_id, ["query:app_id"]);
    assert_eq!(product.credentials.app_key, ["query:app_key"]);
    assert_eq!(
        said(&remarks),
        [
            "/paths/~1orders~1{id}/delete: this operation is deprecated",
            ": some operations are open to everybody",
            "/paths/~1orders~1{id}.json/get: the operation \"readOrder\" is called \"readOrder-2\"",
            "/paths/~1status/get: the operation \"status page\" is called \"status-page\"",
        ]
    );
}

#[test]
fn every_mistake_has_its_pointer() {
    let read = from_openapi(include_bytes!("../../../../tests/imports/broken_openapi.json"));
    let remarks = read.expect_err("mistakes");
    let errors = remarks.into_iter().filter(|remark| remark.severity == Severity::Error);
    assert_eq!(
        said(&errors.collect::<Vec<_>>()),
        [
            "/info/title: a string is wanted here",
            "/servers/0: \"https://api.example.com/?v=1\" is no URL of a server",
            "/paths/~1orders/fetch: \"fetch\" is no operation that is understood",
            "/paths/~1orders/get/deprecated: true or false is wanted here",
            "/paths/~1a: \"other.yaml#/a\" is in another file",
            "/paths/~1b: references go round in a circle",
            "/paths/~1c: \"#/nowhere\" leads nowhere",
            "/security/0: there is no security scheme \"Missing\"",
            "/paths/orders/get: \"orders\": a path begins with `/`",
        ]
    );
}

#[test]
fn other_versions_are_refused() {
    for (text, why) in [
        ("swagger: '2.0'", "Swagger 2.0 is not understood"),
        ("openapi: 4.0.0", "OpenAPI 4.0.0 is not understood"),
        ("kind: Product", "the key `openapi` is missing"),
    ] {
        let remarks = from_openapi(text.as_bytes()).expect_err(why);
        assert!(remarks.iter().any(|remark| remark.message.contains(why)), "{remarks:?}");
    }
}

#[test]
fn an_api_of_deprecated_operations_is_deprecated() {
    let text = "openapi: 3.0.0\npaths: { /a: { get: { deprecated: true } } }";
    let read = from_openapi(text.as_bytes()).expect("a product");
    assert_eq!((read.name.as_str(), read.product.state), ("api", Lifecycle::Deprecated));
}

#[test]
fn tokens_want_a_decision() {
    let text = "openapi: 3.0.0\nsecurity: [{ a: [] }, { b: [] }]\ncomponents:\n  securitySchemes:\n    \
                a: { type: http, scheme: bearer }\n    b: { type: http, scheme: Basic }\n";
    let read = from_openapi(text.as_bytes()).expect("a product");
    assert_eq!(read.product.authentication.any_of, ["basic"]);
    assert!(said(&read.remarks).iter().any(|text| text.contains("verifies tokens")));
}
