//! What was used, as the admin API, the commands and bills tell it.

use serde_json::{Value, json};

use crate::admin_api::{Api, CONFIG, used, value};
use crate::harness::Driver;

both_drivers!(a_customer_s_name_is_no_formula_in_a_bill,);

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
