//! What was used, as the admin API, the commands and bills tell it.

use serde_json::{Value, json};

use crate::admin_api::{Api, CONFIG, used, value};
use crate::harness::Driver;

both_drivers!(
    a_customer_s_name_is_no_formula_in_a_bill,
    a_window_within_an_hour_is_that_hour,
    products_and_exports_are_told_by_their_names,
    tables_hold_words,
);

/// A gateway with the product `orders`.
fn shop(driver: Driver) -> Api {
    let api = Api::with(driver, CONFIG);
    api.product();
    api
}

fn a_customer_s_name_is_no_formula_in_a_bill(driver: Driver) {
    let api = shop(driver);
    let (account, application, _) = api.signed_up("acme", "bronze");
    let own = api.token("account", Some(account));
    let formula = "{\"name\":\"=HYPERLINK(\\\"http://evil.example\\\")\"}";
    let path = format!("/applications/{application}");
    api.ask_as(&own, "PATCH", &path, "", formula).expect(200);
    used(&api, application, 3);
    api.make("/exports", &json!({ "month": "2026-11" }));
    let csv = api.cli_ok(&["bill", "rows", "2026-11.1"]);
    assert!(csv.contains(",\"'=HYPERLINK(\"\"http://evil.example\"\")\",orders,"), "{csv}");
    let lines = api.ask("GET", "/exports/2026-11.1/rows?format=jsonl", &Value::Null).expect(200);
    assert_eq!(value(&lines)["application_name"], "=HYPERLINK(\"http://evil.example\")");
}

fn a_window_within_an_hour_is_that_hour(driver: Driver) {
    let api = shop(driver);
    let (_, application, _) = api.signed_up("acme", "bronze");
    used(&api, application, 3);
    let count = |from: &str, to: &str| {
        let found = api.get(&format!("/usage?from=2026-11-01T{from}Z&to=2026-11-01T{to}Z"));
        found["items"]
            .as_array()
            .expect("a list")
            .first()
            .map_or(0, |row| row["count"].as_u64().expect("a count"))
    };
    assert_eq!(count("00:00:00", "01:00:00"), 3);
    assert_eq!(count("00:30:00", "00:31:00"), 3);
    assert_eq!(count("00:59:59", "02:00:00"), 3);
    assert_eq!(count("01:00:00", "02:00:00"), 0);
    let window = ["--from", "2026-11-01T00:10:00Z", "--to", "2026-11-01T00:20:00Z"];
    let told = |class: &str| {
        let told = api.cli_ok(&[&["usage", "--json", "--class", class][..], &window].concat());
        serde_json::from_str::<Value>(&told).expect("JSON")
    };
    assert_eq!(told("2")[0]["count"], 3);
    assert_eq!(told("5"), json!([]));
}

fn products_and_exports_are_told_by_their_names(driver: Driver) {
    let api = shop(driver);
    let (_, application, _) = api.signed_up("acme", "bronze");
    used(&api, application, 3);
    let from = "from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z";
    let rows = api.get(&format!("/usage?{from}&by=product"));
    assert_eq!(rows["items"][0]["product"], "orders");
    api.make("/exports", &json!({ "month": "2026-11" }));
    let noted = api.get("/audit?kind=export")["items"][0].clone();
    assert_eq!(noted["name"], "2026-11.1");
    assert_eq!(noted.get("object"), None);
    let table = api.cli_ok(&["audit", "--kind", "export"]);
    let row: Vec<_> = table.lines().nth(1).expect("a row").split_whitespace().collect();
    assert!(row.ends_with(&["export", "export", "2026-11.1"]), "{table}");
    assert_eq!(api.get("/audit?kind=account")["items"][0]["name"], "acme");
}

fn tables_hold_words(driver: Driver) {
    let api = shop(driver);
    let mut signup = vec!["signup", "--account", "acme", "--app", "shop", "--product", "orders"];
    signup.extend(["--plan", "bronze"]);
    let signed = api.cli_ok(&signup);
    let product = api.cli_ok(&["products", "show", "orders"]);
    let plans = api.cli_ok(&["plans", "list", "orders"]);
    for told in [&signed, &product, &plans] {
        assert!(!told.contains(['{', '"', '[']), "{told}");
    }
    let has = |table: &str, name: &str, value: &str| {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(table.lines().any(|line| words(line) == [name, value]), "{name} {value}: {table}");
    };
    has(&signed, "account.name", "acme");
    has(&signed, "application.plan", "bronze");
    assert!(signed.contains("credential.key") && signed.contains(" tg_"), "{signed}");
    has(&product, "definition.methods", "list");
    assert!(product.contains("bronze, gold"), "{product}");
    assert!(plans.contains("rate 100/m"), "{plans}");
}
