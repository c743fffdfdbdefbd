//! Who may call: products, plans and keys, as clients and upstreams see them. What is known stands in
//! the store before the gateway starts.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tollgate::config::file::{self, CredentialKind};
use tollgate::policy::auth::digest;
use tollgate::store::catalog::{
    Attributes, NewAccount, NewApplication, NewCredential, Origin, State,
};
use tollgate::store::{Store, StoreError};

use crate::harness::{Client, Driver, Gateway, Response, Upstream};

const PLANS: &str = r#"
methods = [{ name = "list" }, { name = "create" }]
mapping_rules = [
    { method = "*", pattern = "/orders", metric = "list" },
    { method = "POST", pattern = "/orders$", metric = "create", increment = 4 },
]

[plans.bronze]
methods = ["list"]
limits = [{ rate = "3/h" }]

[plans.gold]
limits = [{ rate = "1000/h" }, { metric = "create", rate = "10/h" }]
attributes = { "X-Tier" = "gold" }
"#;

/// An application with one key.
pub struct App {
    pub key: &'static str,
    pub plan: &'static str,
    pub state: State,
    pub ends_at: Option<i64>,
    pub region: Option<&'static str>,
}

pub const BRONZE: App =
    App { key: "tg_bronze", plan: "bronze", state: State::Live, ends_at: None, region: None };
pub const GOLD: App = App { key: "tg_gold", plan: "gold", region: Some("eu"), ..BRONZE };

impl App {
    /// A live one of a plan.
    pub const fn of(key: &'static str, plan: &'static str) -> Self {
        Self { key, plan, ..BRONZE }
    }
}

/// Puts the product `shop` and its applications into a new store.
pub fn seed(folder: &Path, words: &str, apps: &[App]) {
    let store = Store::open(&folder.join("store.db")).expect("a store");
    let definition: file::Product = toml::from_str(words).expect("a product");
    let secret = *store.secret();
    let seeded = store.write(|records| {
        let product = records.put_product("shop", Origin::Api, &definition, None, 1)?;
        let account = NewAccount {
            name: "acme".into(),
            attributes: Attributes::from([("X-Org".to_owned(), "acme".to_owned())]),
            ..NewAccount::default()
        };
        let account = records.insert_account(&account, 1)?.id;
        for app in apps {
            let region = app.region.map(|region| ("X-Region".to_owned(), region.to_owned()));
            let application = records.insert_application(
                &NewApplication {
                    account,
                    product: product.id,
                    plan: product.plans[app.plan],
                    app_id: app.key.replace("tg_", "app-"),
                    name: app.key.into(),
                    description: String::new(),
                    state: app.state,
                    attributes: region.into_iter().collect::<Attributes>(),
                    trial_ends_at: None,
                    ends_at: app.ends_at,
                },
                1,
            )?;
            records.insert_credential(
                &NewCredential {
                    application: application.id,
                    kind: CredentialKind::UserKey,
                    digest: digest(
                        &secret,
                        (product.id, CredentialKind::UserKey),
                        &[app.key.as_bytes()],
                    ),
                    hint: String::new(),
                    password: None,
                    label: String::new(),
                    ends_at: None,
                },
                1,
            )?;
        }
        Ok::<_, StoreError>(())
    });
    seeded.expect("the store takes them");
}

/// A gateway whose only route is the product's; further keys of the route, and sections.
fn shop(
    driver: Driver,
    upstream: &Upstream,
    (words, apps): (&str, &[App]),
    (route, sections): (&str, &str),
) -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    seed(folder.path(), words, apps);
    let (path, target) = (folder.path().join("store.db"), &upstream.address);
    let text = format!(
        "{sections}\n[store]\npath = {path:?}\n[upstreams.app]\ntargets = [\"{target}\"]\n\
         [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n{route}\n"
    );
    (Gateway::start(driver, text), folder)
}

fn plain(driver: Driver, upstream: &Upstream, words: &str, apps: &[App]) -> (Gateway, TempDir) {
    shop(driver, upstream, (words, apps), ("", ""))
}

fn ask(gateway: &Gateway, line: &str, fields: &str) -> Response {
    gateway.once(&format!("{line} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n"))
}

fn problem(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("problem details")
}

both_drivers!(
    upstreams_are_told_who_calls,
    what_clients_say_of_callers_does_not_pass,
    an_accounts_attributes_are_told_and_not_forged,
    attributes_that_nobody_has_any_more_are_not_forged,
    what_clients_say_of_callers_in_trailers_stays_here,
    keys_of_products_that_are_not_served_are_not_logged,
    credentials_reach_no_upstream,
    a_product_may_forward_credentials,
    each_refusal_has_its_answer,
    no_answer_tells_of_keys,
    a_draft_or_missing_product_is_no_route,
    a_retired_product_is_gone,
    a_deprecated_product_says_so,
    a_plans_limit_holds_for_all_of_an_applications_requests,
    costly_requests_take_more_of_a_limit,
    a_routes_limit_may_be_kept_for_applications,
    addresses_are_asked_first,
    the_log_names_the_application_and_no_key,
    what_answers_count_is_not_told_to_clients,
    anonymous_calls_have_a_plan_of_their_own,
    a_grpc_call_without_a_key_is_unauthenticated,
);

fn an_accounts_attributes_are_told_and_not_forged(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) = plain(driver, &upstream, PLANS, &[GOLD]);
    ask(&gateway, "GET /orders/1", "X-API-Key: tg_gold\r\nX-Org: forged\r\n").expect(200);
    let request = upstream.only_request();
    assert_eq!(request.head.values("x-org"), ["acme"]);
}

fn attributes_that_nobody_has_any_more_are_not_forged(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let folder = tempfile::tempdir().expect("a folder");
    seed(folder.path(), PLANS, &[GOLD, BRONZE]);
    let path = folder.path().join("store.db");
    let words = PLANS.replace("attributes = { \"X-Tier\" = \"gold\" }", "");
    let definition: file::Product = toml::from_str(&words).expect("a product");
    let changed = Store::open(&path).expect("the store").write(|records| {
        records.delete_application(1, None)?;
        records.put_product("shop", Origin::Api, &definition, None, 2)
    });
    changed.map(drop).unwrap_or_else(|error: StoreError| panic!("{error}"));
    let target = &upstream.address;
    let gateway = Gateway::start(
        driver,
        format!(
            "[store]\npath = {path:?}\n[upstreams.app]\ntargets = [\"{target}\"]\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n"
        ),
    );
    let forged = "X-API-Key: tg_bronze\r\nX-Tier: gold\r\nx-region: eu\r\nX-Else: 1\r\n";
    ask(&gateway, "GET /orders/1", forged).expect(200);
    let request = upstream.only_request();
    for (name, values) in [("x-tier", 0), ("x-region", 0), ("x-else", 1)] {
        assert_eq!(request.head.values(name).len(), values, "{name}");
    }
}

fn what_clients_say_of_callers_in_trailers_stays_here(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) = plain(driver, &upstream, PLANS, &[GOLD]);
    let trailers = "X-Tier: forged\r\nX-Tollgate-Plan: forged\r\nX-API-Key: k\r\nX-Sum: 1\r\n";
    let fields = "X-API-Key: tg_gold\r\nTransfer-Encoding: chunked\r\n";
    gateway
        .once(&format!(
            "POST /orders HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n2\r\nab\r\n0\r\n{trailers}\r\n"
        ))
        .expect(200);
    let request = upstream.only_request();
    let names: Vec<_> =
        request.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["x-sum"]);
}

fn keys_of_products_that_are_not_served_are_not_logged(driver: Driver) {
    let upstream = Upstream::saying("ok");
    for state in ["draft", "retired"] {
        let words = format!("state = \"{state}\"\ncredentials.user_key = [\"query:key\"]\n{PLANS}");
        let log = "[access_log]\nformat = \"json\"";
        let (gateway, _store) = shop(driver, &upstream, (&words, &[GOLD]), ("", log));
        ask(&gateway, "GET /orders/1?a=1&key=tg_gold", "");
        let log = gateway.wait_output("a record", |text| text.contains("\"path\":\"/orders/1\""));
        assert!(!log.contains("tg_gold"), "{state}: {log}");
    }
}

fn upstreams_are_told_who_calls(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) = plain(driver, &upstream, PLANS, &[GOLD]);
    ask(&gateway, "GET /orders/1", "X-API-Key: tg_gold\r\n").expect(200);
    let request = upstream.only_request();
    for (name, value) in [
        ("x-tollgate-application", "app-gold"),
        ("x-tollgate-plan", "gold"),
        ("x-tier", "gold"),
        ("x-region", "eu"),
    ] {
        assert_eq!(request.value(name), Some(value), "{name}");
    }
    assert!(request.value("x-tollgate-secret").is_some_and(|secret| secret.len() >= 32));
    assert!(request.value("x-tollgate-account").is_some());
}

fn what_clients_say_of_callers_does_not_pass(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let apps = [App { plan: "bronze", ..BRONZE }, GOLD];
    let underscores = "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
                       http = { underscores_in_headers = true }";
    let (gateway, _store) = shop(driver, &upstream, (PLANS, &apps), ("", underscores));
    let lies = "X-API-Key: tg_bronze\r\nX-Tollgate-Plan: gold\r\nX_Tollgate_Secret: s\r\n\
                X-Tollgate-Else: 1\r\nConnection: X-Tollgate-Application, X-Tier\r\n\
                X-Tier: gold\r\nX_Tier: gold\r\nX-Region: us\r\nx_region: us\r\nX-Other: 1\r\n";
    ask(&gateway, "GET /orders", lies).expect(200);
    let request = upstream.only_request();
    let plans = request.head.values("x-tollgate-plan");
    assert_eq!(plans, ["bronze"]);
    assert_eq!(request.value("x-tollgate-application"), Some("app-bronze"));
    for name in ["x_tollgate_secret", "x-tollgate-else", "x-tier", "x_tier", "x-region", "x_region"]
    {
        assert_eq!(request.value(name), None, "{name}");
    }
    assert_eq!(request.value("x-other"), Some("1"));
}

fn credentials_reach_no_upstream(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let places = "credentials.user_key = [\"header:X-API-Key\", \"query:key\", \"bearer\"]\n";
    let (gateway, _store) = plain(driver, &upstream, &format!("{places}{PLANS}"), &[GOLD]);
    ask(&gateway, "GET /orders?a=1&k%65y=tg_gold&b=2", "").expect(200);
    ask(&gateway, "GET /orders?key=tg_gold", "").expect(200);
    let both = "authorization: bearer tg_gold\r\nx-api-key: tg_gold\r\n";
    ask(&gateway, "GET /orders?a=1", both).expect(200);
    let requests = upstream.requests();
    let targets: Vec<_> = requests.iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/orders?a=1&b=2", "/orders", "/orders?a=1"]);
    for request in &requests {
        assert!(!String::from_utf8_lossy(&request.head.raw).contains("tg_gold"));
    }
}

fn a_product_may_forward_credentials(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let places =
        "credentials = { user_key = [\"query:key\", \"header:X-API-Key\"], forward = true }\n";
    let (gateway, _store) = plain(driver, &upstream, &format!("{places}{PLANS}"), &[GOLD]);
    ask(&gateway, "GET /orders?key=tg_gold&a=1", "X-API-Key: tg_gold\r\n").expect(200);
    let request = upstream.only_request();
    assert_eq!(request.target(), "/orders?key=tg_gold&a=1");
    assert_eq!(request.value("x-api-key"), Some("tg_gold"));
}

fn each_refusal_has_its_answer(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let apps = [
        BRONZE,
        App { key: "tg_pending", state: State::Pending, ..BRONZE },
        App { key: "tg_suspended", state: State::Suspended, ..BRONZE },
        App { key: "tg_ended", ends_at: Some(2), ..BRONZE },
    ];
    let (gateway, _store) = plain(driver, &upstream, PLANS, &apps);
    for (line, key, status, name) in [
        ("GET /orders", "", 401, "no_credential"),
        ("GET /orders", "X-API-Key:\r\n", 401, "no_credential"),
        ("GET /orders", "X-API-Key: tg_bronzE\r\n", 401, "bad_credential"),
        ("GET /orders", "X-API-Key: tg_pending\r\n", 403, "application_suspended"),
        ("GET /orders", "X-API-Key: tg_suspended\r\n", 403, "application_suspended"),
        ("GET /orders", "X-API-Key: tg_ended\r\n", 403, "application_expired"),
        ("GET /other", "X-API-Key: tg_bronze\r\n", 404, "no_mapping_rule"),
        (
            "POST /orders",
            "Content-Length: 0\r\nX-API-Key: tg_bronze\r\n",
            403,
            "method_not_in_plan",
        ),
    ] {
        let response = ask(&gateway, line, key).expect_failure(status);
        assert_eq!(problem(&response)["type"], format!("urn:tollgate:{name}"), "{line} {key}");
        let challenge = (status == 401).then_some("ApiKey realm=\"shop\", header=\"x-api-key\"");
        assert_eq!(response.value("www-authenticate"), challenge);
    }
    upstream.expect_untouched();
}

fn no_answer_tells_of_keys(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let places = "credentials.user_key = [\"bearer\"]\n";
    let (gateway, _store) = plain(driver, &upstream, &format!("{places}{PLANS}"), &[BRONZE]);
    let absent = ask(&gateway, "GET /orders", "").expect_failure(401);
    assert_eq!(absent.value("www-authenticate"), Some("Bearer realm=\"shop\""));
    for key in ["tg_unknown", "tg_bronze2", "tg_bronz"] {
        let fields = format!("Authorization: Bearer {key}\r\n");
        let bad = ask(&gateway, "GET /orders", &fields).expect_failure(401);
        let challenge = "Bearer realm=\"shop\", error=\"invalid_token\"";
        assert_eq!(bad.value("www-authenticate"), Some(challenge));
        assert!(!bad.text().contains(key));
        assert_eq!(problem(&bad)["title"], "The credential is not valid");
    }
}

fn a_draft_or_missing_product_is_no_route(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) =
        plain(driver, &upstream, &format!("state = \"draft\"\n{PLANS}"), &[BRONZE]);
    let response = ask(&gateway, "GET /orders", "X-API-Key: tg_bronze\r\n").expect_failure(404);
    assert_eq!(problem(&response)["type"], "urn:tollgate:no_route");
    let missing = format!(
        "[store]\npath = \"store.db\"\n[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\n\
         name = \"all\"\npath = \"/*\"\nproduct = \"other\"\nupstream = \"app\"\n",
        upstream.address
    );
    let gateway = Gateway::start(driver, missing);
    let response = ask(&gateway, "GET /orders", "X-API-Key: tg_bronze\r\n").expect_failure(404);
    assert_eq!(problem(&response)["type"], "urn:tollgate:no_route");
    upstream.expect_untouched();
}

fn a_retired_product_is_gone(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) =
        plain(driver, &upstream, &format!("state = \"retired\"\n{PLANS}"), &[BRONZE]);
    let response = ask(&gateway, "GET /orders", "X-API-Key: tg_bronze\r\n").expect_failure(410);
    assert_eq!(problem(&response)["type"], "urn:tollgate:product_retired");
    upstream.expect_untouched();
}

fn a_deprecated_product_says_so(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let words = "state = \"deprecated\"\ndeprecated_at = \"2026-01-01T00:00:00Z\"\n\
                 sunset = \"2030-01-01T00:00:00Z\"\n";
    let (gateway, _store) = plain(driver, &upstream, &format!("{words}{PLANS}"), &[BRONZE]);
    for (key, status) in [("X-API-Key: tg_bronze\r\n", 200), ("", 401)] {
        let response = ask(&gateway, "GET /orders", key).expect(status);
        assert_eq!(response.value("deprecation"), Some("@1767225600"));
        assert_eq!(response.value("sunset"), Some("Tue, 01 Jan 2030 00:00:00 GMT"));
    }
}

fn a_plans_limit_holds_for_all_of_an_applications_requests(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) = plain(driver, &upstream, PLANS, &[BRONZE, GOLD]);
    let bronze = "X-API-Key: tg_bronze\r\n";
    for left in ["2", "1", "0"] {
        let response = ask(&gateway, "GET /orders", bronze).expect(200);
        assert_eq!(response.value("ratelimit-policy"), Some("\"hits-per-hour\";q=3;w=3600"));
        let standing = response.value("ratelimit").expect("a standing");
        assert!(standing.starts_with(&format!("\"hits-per-hour\";r={left};")), "{standing}");
    }
    let refused = ask(&gateway, "GET /orders", bronze).expect_failure(429);
    let problem = problem(&refused);
    assert_eq!(
        (&problem["type"], &problem["limit"]),
        (&"urn:tollgate:rate_limited".into(), &"hits-per-hour".into())
    );
    assert!((1..=1200).contains(&problem["resets_in"].as_u64().expect("seconds")), "{problem}");
    assert!(refused.value("retry-after").is_some());
    ask(&gateway, "GET /orders", "X-API-Key: tg_gold\r\n").expect(200);
    assert_eq!(upstream.count(), 4);
}

fn costly_requests_take_more_of_a_limit(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) = plain(driver, &upstream, PLANS, &[GOLD]);
    let post = || ask(&gateway, "POST /orders", "Content-Length: 0\r\nX-API-Key: tg_gold\r\n");
    // Each counts four of `create`, of which there are ten.
    let first = post().expect(200);
    let standing = first.value("ratelimit").expect("a standing");
    assert!(standing.starts_with("\"create-per-hour\";r=6;"), "{standing}");
    post().expect(200);
    let refused = post().expect_failure(429);
    assert_eq!(problem(&refused)["limit"], "create-per-hour");
    ask(&gateway, "GET /orders", "X-API-Key: tg_gold\r\n").expect(200);
}

fn a_routes_limit_may_be_kept_for_applications(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let limit = "limits = [{ name = \"each\", rate = \"2/h\", key = \"application\" }]";
    let (gateway, _store) = shop(driver, &upstream, (PLANS, &[BRONZE, GOLD]), (limit, ""));
    for key in ["X-API-Key: tg_bronze\r\n", "X-API-Key: tg_gold\r\n"] {
        ask(&gateway, "GET /orders", key).expect(200);
        ask(&gateway, "GET /orders", key).expect(200);
        let refused = ask(&gateway, "GET /orders", key).expect_failure(429);
        assert_eq!(problem(&refused)["limit"], "each");
    }
}

fn addresses_are_asked_first(driver: Driver) {
    let upstream = Upstream::saying("ok");
    for (keys, status) in [
        ("allow = [\"192.0.2.0/24\"]", 403),
        ("allow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.1\"]", 403),
        ("allow = [\"127.0.0.0/8\"]\ndeny = [\"192.0.2.1\"]", 401),
    ] {
        let (gateway, _store) = shop(driver, &upstream, (PLANS, &[BRONZE]), (keys, ""));
        let response = ask(&gateway, "GET /orders", "").expect_failure(status);
        let name = if status == 403 { "address_denied" } else { "no_credential" };
        assert_eq!(problem(&response)["type"], format!("urn:tollgate:{name}"), "{keys}");
    }
    let open = format!(
        "[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\nname = \"all\"\npath = \"/*\"\n\
         upstream = \"app\"\ndeny = [\"127.0.0.1\"]\n",
        upstream.address
    );
    ask(&Gateway::start(driver, open), "GET /", "").expect_failure(403);
    upstream.expect_untouched();
}

fn the_log_names_the_application_and_no_key(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let places = "credentials.user_key = [\"query:key\"]\n";
    let words = format!("{places}{PLANS}");
    let log = "[access_log]\nformat = \"json\"\n[log]\nlevel = \"debug\"\n";
    let (gateway, _store) = shop(driver, &upstream, (&words, &[GOLD]), ("", log));
    ask(&gateway, "GET /orders?a=1&key=tg_gold", "").expect(200);
    ask(&gateway, "GET /orders?b=1&key=tg_wrong", "").expect(401);
    ask(&gateway, "GET /other?key=tg_gold", "").expect(404);
    let line = gateway.wait_output("a record", |line| line.contains("\"query\":\"a=1\""));
    let record: Value = serde_json::from_str(&line).expect("JSON");
    for (key, value) in [("product", "shop"), ("application", "app-gold"), ("plan", "gold")] {
        assert_eq!(record[key], value, "{key} in {line}");
    }
    let line = gateway.wait_output("a record", |line| line.contains("bad_credential"));
    let record: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&record["query"], &record["product"]), (&"b=1".into(), &"shop".into()));
    assert_eq!(record.get("application"), None);
    gateway.wait_output("a record", |line| line.contains("no_mapping_rule"));
    for told in [gateway.output(), gateway.log()] {
        assert!(!told.contains("tg_"), "{told}");
    }
}

fn what_answers_count_is_not_told_to_clients(driver: Driver) {
    let answer = "HTTP/1.1 200 OK\r\nX-Tokens: 42\r\nX-Else: 1\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::answering(answer);
    let words =
        "metrics = [{ name = \"tokens\", response_header = \"X-Tokens\" }]\nplans.bronze = {}";
    let (gateway, _store) = plain(driver, &upstream, words, &[BRONZE]);
    let response = ask(&gateway, "GET /", "X-API-Key: tg_bronze\r\n").expect(200);
    assert_eq!((response.value("x-tokens"), response.value("x-else")), (None, Some("1")));
}

fn anonymous_calls_have_a_plan_of_their_own(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let words = "authentication.anonymous_plan = \"free\"\nplans.free.limits = [{ rate = \"1/h\" }]\n\
                 plans.bronze = {}";
    let (gateway, _store) = plain(driver, &upstream, words, &[BRONZE]);
    ask(&gateway, "GET /", "").expect(200);
    let request = upstream.only_request();
    assert_eq!(request.value("x-tollgate-plan"), Some("free"));
    assert_eq!(request.value("x-tollgate-application"), None);
    ask(&gateway, "GET /", "").expect_failure(429);
    ask(&gateway, "GET /", "X-API-Key: tg_bronze\r\n").expect(200);
    ask(&gateway, "GET /", "X-API-Key: tg_wrong\r\n").expect_failure(401);
}

fn a_grpc_call_without_a_key_is_unauthenticated(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let (gateway, _store) = plain(driver, &upstream, PLANS, &[BRONZE]);
    let mut client = Client::connect(gateway.web());
    let call = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\
                Content-Length: 0\r\n";
    let response = client.ask(&format!("{call}\r\n")).expect(200);
    assert_eq!(response.value("grpc-status"), Some("16"));
    let response = client.ask(&format!("{call}X-API-Key: tg_bronze\r\n\r\n")).expect(200);
    assert_eq!(response.value("grpc-status"), Some("7"));
}
