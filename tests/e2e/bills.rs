//! What was used, as the admin API, the commands and bills tell it.

use serde_json::{Value, json};

use crate::admin_api::{Api, CONFIG, used, value};
use crate::harness::{Driver, Upstream};

both_drivers!(
    a_customer_s_name_is_no_formula_in_a_bill,
    a_window_within_an_hour_is_that_hour,
    products_and_exports_are_told_by_their_names,
    tables_hold_words,
    usage_is_billed_by_the_plan_that_let_it_in,
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

fn usage_is_billed_by_the_plan_that_let_it_in(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let config = format!(
        "[store]\npath = \"store.db\"\n[upstreams.app]\ntargets = [\"{}\"]\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nproduct = \"orders\"\nupstream = \"app\"\n",
        upstream.address
    );
    let api = Api::with(driver, &config);
    let plan = json!({ "quotas": [{ "period": "year", "max": 1000 }] });
    let definition =
        json!({ "state": "published", "plans": { "bronze": plan, "gold": plan, "free": {} } });
    api.make("/products", &json!({ "name": "orders", "definition": definition }));
    let (_, application, signed) = api.signed_up("acme", "bronze");
    let key = signed["credential"]["key"].as_str().expect("a key").to_owned();
    let head = format!("GET / HTTP/1.1\r\nHost: test.example\r\nX-API-Key: {key}\r\n\r\n");
    let ask = |times| (0..times).for_each(|_| drop(api.gateway.once(&head).expect(200)));
    let path = format!("/applications/{application}");
    ask(3);
    api.ask("PATCH", &path, &json!({ "plan": "gold" })).expect(200);
    ask(2);
    // Neither the plan that it has when the bill is made matters, nor whether others are still there.
    api.ask("PATCH", &path, &json!({ "plan": "free" })).expect(200);
    let less = json!({ "plans": { "bronze": null } });
    api.ask("PATCH", "/products/orders", &json!({ "definition": less })).expect(200);
    let month = jiff::Timestamp::now().strftime("%Y-%m").to_string();
    let window = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    crate::harness::eventually("it is committed", || {
        let rows = api.get(&format!("/usage?{window}&by=application,metric"));
        rows["items"][0]["count"] == 5 && rows["items"].as_array().map(Vec::len) == Some(1)
    });
    let made = api.make("/exports", &json!({ "month": month }));
    let export = made["cursor"].as_str().expect("a name");
    let csv = api.cli_ok(&["bill", "rows", export]);
    let rows: Vec<_> = csv.lines().skip(1).collect();
    let ends = |row: &str, end: &str| row.ends_with(&format!(",2xx,{end}"));
    assert!(rows[0].contains(",orders,bronze,") && ends(rows[0], "3"), "{csv}");
    assert!(rows[1].contains(",orders,gold,") && ends(rows[1], "2"), "{csv}");
    assert_eq!(rows.len(), 2, "{csv}");
    let lines = api.cli_ok(&["bill", "rows", export, "--format", "jsonl"]);
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let plans: Vec<_> = lines.iter().map(|row| (&row["plan"], &row["count"])).collect();
    assert_eq!(plans, [(&json!("bronze"), &json!(3)), (&json!("gold"), &json!(2))]);
}
