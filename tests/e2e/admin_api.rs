//! The admin API under /v1 and the commands that speak it: each rule by its name.
//!
//! None of this goes through the data plane, so that one driver is enough.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tollgate::store::Store;
use tollgate::store::usage::{Batch, Used};

use crate::harness::{BINARY, Client, Driver, Gateway, Response};

/// A gateway with a store, and its first token.
pub struct Api {
    pub gateway: Gateway,
    pub token: String,
}

pub const CONFIG: &str = "[store]\npath = \"store.db\"\n\
     [[routes]]\nname = \"all\"\npath = \"/*\"\nrespond = { status = 200, body = \"ok\" }\n";

impl Api {
    #[track_caller]
    fn start() -> Self {
        Self::with(Driver::Epoll, CONFIG)
    }

    /// With another configuration, in whose folder the store is.
    #[track_caller]
    pub fn with(driver: Driver, config: &str) -> Self {
        let gateway = Gateway::start(driver, config);
        let token = init(&gateway, &[]);
        gateway.reload(config);
        Self { gateway, token }
    }

    /// Asks with this token; `fields` are lines with their ends.
    pub fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        fields: &str,
        body: &str,
    ) -> Response {
        let mut request = format!("{method} /v1{path} HTTP/1.1\r\nHost: localhost\r\n{fields}");
        if !token.is_empty() {
            write!(request, "Authorization: Bearer {token}\r\n").expect("a text");
        }
        if !body.is_empty() {
            let length = body.len();
            let json = "Content-Type: application/json";
            write!(request, "{json}\r\nContent-Length: {length}\r\n").expect("a text");
        } else if method != "GET" {
            request.push_str("Content-Length: 0\r\n");
        }
        Client::once(self.gateway.admin(), &format!("{request}Connection: close\r\n\r\n{body}"))
    }

    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask_as(&self.token, method, path, "", &body)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        value(&self.ask("GET", path, &Value::Null).expect(200))
    }

    #[track_caller]
    pub fn make(&self, path: &str, body: &Value) -> Value {
        value(&self.ask("POST", path, body).expect(201))
    }

    /// A product with a plan for all and one that wants approval.
    #[track_caller]
    pub fn product(&self) {
        let definition = json!({
            "methods": [{ "name": "list" }],
            "mapping_rules": [{ "method": "GET", "pattern": "/orders$", "metric": "list" }],
            "plans": {
                "bronze": { "limits": [{ "rate": "100/m" }] },
                "gold": { "approval_required": true },
            },
        });
        self.make("/products", &json!({ "name": "orders", "definition": definition }));
    }

    /// Signs somebody up; ids of account and application, and the answer.
    #[track_caller]
    pub fn signed_up(&self, name: &str, plan: &str) -> (u64, u64, Value) {
        let answer = self.make("/signups", &signup(name, plan, "user_key"));
        let id = |what: &str| answer[what]["id"].as_u64().expect("an id");
        (id("account"), id("application"), answer.clone())
    }

    /// A token with this scope.
    #[track_caller]
    pub fn token(&self, scope: &str, account: Option<u64>) -> String {
        let mut body = json!({ "label": scope, "scope": scope });
        if let Some(account) = account {
            body["account"] = account.into();
        }
        self.make("/tokens", &body)["token"].as_str().expect("a token").to_owned()
    }

    /// Runs a command against it.
    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(self.gateway.folder());
        command.env("TOLLGATE_TOKEN", &self.token);
        command.env("TOLLGATE_ADMIN", format!("http://{}", self.gateway.admin()));
        command.output().expect("the binary runs")
    }

    #[track_caller]
    pub fn cli_ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {why}");
        String::from_utf8(output.stdout).expect("a text")
    }
}

#[track_caller]
fn init(gateway: &Gateway, more: &[&str]) -> String {
    let output = try_init(gateway, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text").trim().to_owned()
}

fn try_init(gateway: &Gateway, more: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["init", "-c"]).arg(gateway.config()).args(more);
    command.output().expect("the binary runs")
}

pub fn signup(name: &str, plan: &str, kind: &str) -> Value {
    json!({
        "account": { "name": name, "email": format!("ops@{name}.example") },
        "application": { "name": "shop", "product": "orders", "plan": plan },
        "credential": { "kind": kind },
    })
}

#[track_caller]
pub fn value(response: &Response) -> Value {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|why| panic!("{why}: {}", response.text()))
}

/// The rule that an answer names.
#[track_caller]
fn rule(response: &Response) -> String {
    assert_eq!(response.value("content-type"), Some("application/problem+json"));
    let problem = value(response);
    assert_eq!(problem["status"], response.status);
    problem["type"].as_str().expect("a type").replace("urn:tollgate:", "")
}

#[track_caller]
pub fn refused(response: Response, status: u16, name: &str) -> Value {
    let response = response.expect(status);
    assert_eq!(rule(&response), name, "{}", response.text());
    value(&response)
}

#[test]
fn without_a_store_there_is_nothing() {
    let gateway = Gateway::start(Driver::Epoll, CONFIG);
    let api = Api { gateway, token: "tgt_x".into() };
    refused(api.ask("GET", "/accounts", &Value::Null), 503, "no_store");
    // What there was before needs none, and no token.
    api.gateway.admin_get("/stats").expect(200);
}

#[test]
fn the_first_token_is_made_once() {
    let api = Api::start();
    assert!(api.token.starts_with("tgt_") && api.token.len() == 44, "{}", api.token);
    let second = try_init(&api.gateway, &[]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("--again"));
    let other = init(&api.gateway, &["--again", "--label", "spare"]);
    assert_ne!(other, api.token);
    // A token needs no reload.
    api.ask_as(&other, "GET", "/accounts", "", "").expect(200);
    let audit = api.get("/audit?kind=token");
    assert_eq!(audit["items"][0]["actor"], "cli");
    assert_eq!(audit["items"][0]["after"]["label"], "spare");
}

#[test]
fn no_token_no_answer() {
    let api = Api::start();
    for path in ["/accounts", "/openapi.json", "/nothing", "/products/x/plans"] {
        let answer = api.ask_as("", "GET", path, "", "");
        assert_eq!(answer.value("www-authenticate"), Some("Bearer"));
        refused(answer, 401, "no_token");
    }
    let basic = "Authorization: Basic YTpi\r\n";
    refused(api.ask_as("", "GET", "/accounts", basic, ""), 401, "no_token");
    let wrong = format!("{}x", api.token);
    refused(api.ask_as(&wrong, "GET", "/accounts", "", ""), 401, "bad_token");
    refused(api.ask_as(&api.token, "GET", "/nothing", "", ""), 404, "not_found");
    refused(api.ask_as(&api.token, "PUT", "/accounts", "", ""), 405, "method");
}

#[test]
fn a_revoked_token_is_none() {
    let api = Api::start();
    let token = api.token("read", None);
    api.ask_as(&token, "GET", "/tokens", "", "").expect(200);
    let id = api.get("/tokens")["items"][1]["id"].as_u64().expect("an id");
    api.ask("DELETE", &format!("/tokens/{id}"), &Value::Null).expect(204);
    refused(api.ask_as(&token, "GET", "/tokens", "", ""), 401, "bad_token");
    assert!(api.get(&format!("/tokens/{id}"))["revoked_at"].is_string());
}

#[test]
fn the_guard_against_other_sites_stays_in_force() {
    let api = Api::start();
    let site = "Sec-Fetch-Site: cross-site\r\n";
    api.ask_as(&api.token, "POST", "/accounts", site, "{\"name\":\"a\"}").expect(403);
    let plain = "Content-Type: text/plain\r\n";
    let body = "{\"name\":\"a\"}";
    let request = format!(
        "POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{plain}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        api.token,
        body.len()
    );
    refused(Client::once(api.gateway.admin(), &request), 415, "not_json");
}

#[test]
fn a_token_that_reads_changes_nothing() {
    let api = Api::start();
    api.product();
    let token = api.token("read", None);
    api.ask_as(&token, "GET", "/products/orders", "", "").expect(200);
    for (method, path) in [
        ("POST", "/accounts"),
        ("PATCH", "/products/orders"),
        ("DELETE", "/products/orders"),
        ("POST", "/tokens"),
    ] {
        // Also where the body makes no sense: who may not change anything is told nothing else.
        refused(api.ask_as(&token, method, path, "", "{\"x\":1}"), 403, "scope");
    }
}

#[test]
fn an_accounts_own_token_sees_its_own() {
    let api = Api::start();
    api.product();
    let (account, app, _) = api.signed_up("acme", "bronze");
    let (other, other_app, _) = api.signed_up("other", "bronze");
    let token = api.token("account", Some(account));
    let get = |path: &str| api.ask_as(&token, "GET", path, "", "");
    for (path, ids) in [("/accounts", [account]), ("/applications", [app])] {
        let items = value(&get(path).expect(200))["items"].clone();
        let seen: Vec<_> = items.as_array().expect("a list").iter().map(|i| &i["id"]).collect();
        assert_eq!(seen, ids);
    }
    get(&format!("/applications/{app}/keys")).expect(200);
    for path in [
        format!("/accounts/{other}"),
        format!("/applications/{other_app}"),
        format!("/applications/{other_app}/keys"),
        format!("/applications/{other_app}/keys/2"),
        format!("/applications/{app}/keys/2"),
    ] {
        refused(get(&path), 404, "not_found");
    }
    assert_eq!(value(&get(&format!("/applications?account={other}")))["items"], json!([]));
    for path in ["/products", "/tokens", "/audit", "/keys", "/exports"] {
        refused(get(path), 403, "scope");
    }
    let patch = |body: Value| {
        api.ask_as(&token, "PATCH", &format!("/applications/{app}"), "", &body.to_string())
    };
    patch(json!({ "name": "shop 2" })).expect(200);
    refused(patch(json!({ "state": "suspended" })), 403, "scope");
    refused(patch(json!({ "attributes": { "X-Tier": "1" } })), 403, "scope");
    let keys = format!("/applications/{app}/keys");
    api.ask_as(&token, "POST", &keys, "", "{\"kind\":\"app_key\"}").expect(201);
    let basic = "{\"kind\":\"basic\",\"user\":\"root\"}";
    refused(api.ask_as(&token, "POST", &keys, "", basic), 403, "scope");
    let wanted = json!({ "name": "b", "product": "orders", "plan": "gold" }).to_string();
    let made = api.ask_as(&token, "POST", "/applications", "", &wanted).expect(201);
    assert_eq!(
        (&value(&made)["account"], &value(&made)["state"]),
        (&json!(account), &json!("pending"))
    );
}

#[test]
fn a_stale_version_changes_nothing() {
    let api = Api::start();
    let made = api.ask("POST", "/accounts", &json!({ "name": "acme" })).expect(201);
    assert_eq!(made.value("location"), Some("/v1/accounts/1"));
    let etag = made.value("etag").expect("a version").to_owned();
    let ask = |method: &str, fields: String, body: &str| {
        api.ask_as(&api.token, method, "/accounts/1", &fields, body)
    };
    let patch = "{\"state\":\"suspended\"}";
    ask("PATCH", format!("If-Match: {etag}\r\n"), patch).expect(200);
    refused(ask("PATCH", format!("If-Match: {etag}\r\n"), patch), 412, "stale");
    refused(ask("DELETE", format!("If-Match: {etag}\r\n"), ""), 412, "stale");
    let now = ask("GET", String::new(), "").value("etag").expect("a version").to_owned();
    assert_ne!(now, etag);
    ask("GET", format!("If-None-Match: {now}\r\n"), "").expect(304);
    ask("DELETE", format!("If-Match: {etag}, {now}\r\n"), "").expect(204);
    refused(ask("GET", String::new(), ""), 404, "not_found");
}

#[test]
fn a_call_that_comes_again_is_done_once() {
    let api = Api::start();
    api.product();
    let again = |token: &str, body: &Value| {
        let fields = "Idempotency-Key: 7f3a\r\n";
        api.ask_as(token, "POST", "/signups", fields, &body.to_string())
    };
    let body = signup("acme", "bronze", "app_key");
    let first = again(&api.token, &body).expect(201);
    let second = again(&api.token, &body).expect(201);
    assert_eq!(first.body, second.body);
    assert_eq!(first.value("location"), second.value("location"));
    assert_eq!(api.get("/accounts")["items"].as_array().map(Vec::len), Some(1));
    let other = signup("other", "bronze", "app_key");
    refused(again(&api.token, &other), 422, "key_reused");
    // A key is its caller's own.
    again(&api.token("operate", None), &other).expect(201);
    // What was refused changed nothing, and may be tried again.
    let fields = "Idempotency-Key: 8\r\n";
    let ask = |body: &str| api.ask_as(&api.token, "POST", "/accounts", fields, body);
    ask("{\"name\":\"\"}").expect(400);
    ask("{\"name\":\"new\"}").expect(201);
}

#[test]
fn cursors_lead_through_what_changes() {
    let api = Api::start();
    for n in 1..=7 {
        api.make("/accounts", &json!({ "name": format!("a{n}") }));
    }
    let mut path = "/accounts?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = api.get(&path);
        let items = page["items"].as_array().expect("a list");
        seen.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        if seen.len() == 2 {
            // One that was seen goes, one that was not, and one comes.
            api.ask("DELETE", "/accounts/1", &Value::Null).expect(204);
            api.ask("DELETE", "/accounts/5", &Value::Null).expect(204);
            api.make("/accounts", &json!({ "name": "a8" }));
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/accounts?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["a1", "a2", "a3", "a4", "a6", "a7", "a8"]);
    let bad = ["limit=0", "limit=1001", "limit=x", "cursor=zzz", "colour=red"];
    for query in bad {
        let answer = api.ask("GET", &format!("/accounts?{query}"), &Value::Null);
        refused(answer, 400, "bad_request");
    }
    let of_others = api.get("/audit?limit=1")["next"].as_str().expect("more").to_owned();
    let answer = api.ask("GET", &format!("/accounts?cursor={of_others}"), &Value::Null);
    refused(answer, 400, "bad_request");
}

#[test]
fn a_mistake_is_told_by_its_place() {
    let api = Api::start();
    api.product();
    let at = |method: &str, path: &str, body: Value| {
        let problem = refused(api.ask(method, path, &body), 400, "invalid");
        problem["errors"][0]["pointer"].as_str().expect("a pointer").to_owned()
    };
    assert_eq!(at("POST", "/accounts", json!({ "name": "a", "colour": "red" })), "/colour");
    assert_eq!(at("POST", "/accounts", json!({ "name": "a\nb" })), "/name");
    let bad = json!({ "name": "a", "attributes": { "X-A": "b\r\nHost: c" } });
    assert_eq!(at("POST", "/accounts", bad), "/attributes/X-A");
    let typo = json!({ "name": "x", "definition": { "plans": { "a": { "quota": [] } } } });
    assert_eq!(at("POST", "/products", typo), "/definition/plans/a/quota");
    let wrong = json!({ "definition": { "mapping_rules": [{ "method": "GET", "pattern": "x" }] } });
    assert_eq!(at("PUT", "/products/y", wrong), "/definition/mapping_rules/0/pattern");
    let plan = json!({ "definition": { "methods": ["gone"] } });
    assert_eq!(at("PATCH", "/products/orders/plans/gold", plan), "/definition/methods/0");
    let mut sign = signup("acme", "bronze", "user_key");
    sign["credential"]["user"] = "x".into();
    assert_eq!(at("POST", "/signups", sign), "/credential/user");
    assert_eq!(at("POST", "/signups", signup("acme", "iron", "user_key")), "/application/plan");
    assert_eq!(api.get("/accounts")["items"], json!([]));
}

#[test]
fn control_characters_are_refused_where_they_stand() {
    let api = Api::start();
    api.product();
    api.signed_up("acme", "bronze");
    for (path, body, pointer) in [
        (
            "/products",
            json!({ "name": "p", "definition": { "title": "a\u{1b}[2J" } }),
            "/definition/title",
        ),
        (
            "/products",
            json!({ "name": "p", "definition": { "version": "1\n" } }),
            "/definition/version",
        ),
        (
            "/products",
            json!({ "name": "p", "definition": { "description": "a\0" } }),
            "/definition/description",
        ),
        (
            "/products",
            json!({ "name": "p", "definition": { "metrics": [{ "name": "m", "unit": "\u{9b}" }] } }),
            "/definition/metrics/0/unit",
        ),
        (
            "/products",
            json!({ "name": "p", "definition": { "plans": { "a": { "attributes": { "X-A": "é" } } } } }),
            "/definition/plans/a/attributes/X-A",
        ),
        ("/accounts", json!({ "name": "a\u{7f}" }), "/name"),
        (
            "/accounts",
            json!({ "name": "a", "attributes": { "X-A": "a\r\nX-B: b" } }),
            "/attributes/X-A",
        ),
        ("/accounts", json!({ "name": "a", "attributes": { "X-A": "a\0b" } }), "/attributes/X-A"),
        (
            "/accounts",
            json!({ "name": "a", "attributes": { "X-A\r\n": "b" } }),
            "/attributes/X-A\r\n",
        ),
        ("/applications/1/keys", json!({ "kind": "user_key", "label": "a\tb" }), "/label"),
        ("/tokens", json!({ "label": "a\nb", "scope": "read" }), "/label"),
    ] {
        let problem = refused(api.ask("POST", path, &body), 400, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    let described = json!({ "name": "p", "definition": { "description": "One.\n\tTwo.\r\n" } });
    api.make("/products", &described);
}

#[test]
fn a_body_that_is_too_large_is_refused_unread() {
    let api = Api::start();
    let ask = |fields: &str| {
        let request = format!(
            "POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\n{fields}Connection: close\r\n\r\n",
            api.token
        );
        Client::once(api.gateway.admin(), &request)
    };
    refused(ask("Content-Length: 3000000\r\n"), 413, "too_large");
}

#[test]
fn what_is_declared_is_changed_in_the_configuration() {
    // Nobody calls: nothing needs to be there.
    let declared = "[store]\npath = \"store.db\"\n\
         [products.orders]\ntitle = \"Orders\"\n[products.orders.plans.free]\n\
         [upstreams.app]\ntargets = [\"127.0.0.1:9\"]\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\nproduct = \"orders\"\n";
    let gateway = Gateway::start(Driver::Epoll, declared);
    let token = init(&gateway, &[]);
    let api = Api { gateway, token };
    let product = api.get("/products/orders");
    assert_eq!(
        (&product["origin"], &product["definition"]["title"]),
        (&json!("file"), &json!("Orders"))
    );
    let body = json!({ "definition": { "title": "x" } });
    for (method, path) in [("PUT", "/products/orders"), ("PATCH", "/products/orders")] {
        refused(api.ask(method, path, &body), 409, "declared");
    }
    refused(api.ask("PUT", "/products/orders/plans/free", &body), 409, "declared");
    refused(api.ask("DELETE", "/products/orders", &Value::Null), 409, "declared");
    // It has applications as any other.
    let made = api.make("/signups", &signup("acme", "free", "user_key"));
    assert_eq!(made["application"]["state"], "live");
    // Its secret for upstreams is nowhere in a file.
    let secret =
        api.ask("POST", "/products/orders/secret", &json!({ "overlap": "0s" })).expect(200);
    assert!(value(&secret)["secret"].as_str().is_some_and(|s| s.len() > 20));
}

#[test]
fn a_signup_makes_all_or_nothing() {
    let api = Api::start();
    api.product();
    let (_, app, answer) = api.signed_up("acme", "bronze");
    assert_eq!(answer["application"]["state"], "live");
    let key = answer["credential"]["key"].as_str().expect("a key");
    assert!(key.starts_with("tg_") && key.len() == 43, "{key}");
    let (_, waiting, answer) = api.signed_up("late", "gold");
    assert_eq!(answer["application"]["state"], "pending");
    let live = json!({ "state": "live" });
    let approved = api.ask("PATCH", &format!("/applications/{waiting}"), &live).expect(200);
    assert_eq!(value(&approved)["state"], "live");
    refused(api.ask("POST", "/signups", &signup("acme", "bronze", "user_key")), 409, "conflict");
    let before = api.get("/accounts")["items"].as_array().map(Vec::len);
    let mut bad = signup("third", "bronze", "user_key");
    bad["credential"]["kind"] = "certificate".into();
    api.ask("POST", "/signups", &bad).expect(400);
    assert_eq!(api.get("/accounts")["items"].as_array().map(Vec::len), before);
    // What is in use stays.
    let answer = api.ask("DELETE", "/products/orders", &Value::Null);
    refused(answer, 409, "conflict");
    let answer = api.ask("DELETE", "/products/orders/plans/bronze", &Value::Null);
    refused(answer, 409, "conflict");
    api.ask("DELETE", &format!("/applications/{app}"), &Value::Null).expect(204);
    refused(api.ask("GET", &format!("/applications/{app}/keys"), &Value::Null), 404, "not_found");
    api.ask("DELETE", "/products/orders/plans/bronze", &Value::Null).expect(204);
}

#[test]
fn keys_are_rotated_with_an_overlap_and_there_are_few() {
    let jwt = "[jwt.main]\nsecret = \"a-secret-of-32-bytes-for-this-test\"\n";
    let api = Api::with(Driver::Epoll, &format!("{CONFIG}{jwt}"));
    api.product();
    let (_, app, _) = api.signed_up("acme", "bronze");
    let keys = format!("/applications/{app}/keys");
    let first = api.make(&keys, &json!({ "kind": "app_key", "label": "v1" }));
    assert!(first["app_id"].as_str().is_some_and(|id| id.len() == 16));
    let rotate = |id: &Value, overlap: &str| {
        let body = json!({ "overlap": overlap });
        api.ask("POST", &format!("{keys}/{id}/rotate"), &body)
    };
    let second = value(&rotate(&first["id"], "1h").expect(201));
    assert_ne!(first["key"], second["key"]);
    assert_eq!(second["label"], "v1");
    let old = api.get(&format!("{keys}/{}", first["id"]));
    assert!(old["ends_at"].is_string() && old.get("revoked_at").is_none());
    refused(rotate(&first["id"], "1000h"), 400, "invalid");
    for _ in 0..3 {
        api.make(&keys, &json!({ "kind": "app_key" }));
    }
    refused(api.ask("POST", &keys, &json!({ "kind": "app_key" })), 409, "too_many");
    refused(rotate(&second["id"], "1h"), 409, "too_many");
    api.ask("DELETE", &format!("{keys}/{}", first["id"]), &Value::Null).expect(204);
    refused(rotate(&first["id"], "1h"), 409, "conflict");
    api.make(&keys, &json!({ "kind": "app_key" }));
    let live = api.get(&format!("{keys}?kind=app_key&live=true"));
    assert_eq!(live["items"].as_array().map(Vec::len), Some(5));
    // The other kinds.
    let basic = api.make(&keys, &json!({ "kind": "basic", "user": "shop" }));
    assert_eq!(basic["user"], "shop");
    assert!(basic["key"].is_string());
    refused(api.ask("POST", &keys, &json!({ "kind": "basic", "user": "shop" })), 409, "conflict");
    let print = "AB:".repeat(31) + "AB";
    let certificate = json!({ "kind": "certificate", "fingerprint": print });
    assert_eq!(api.make(&keys, &certificate).get("key"), None);
    api.make(&keys, &json!({ "kind": "jwt", "verifier": "main", "claim": "client-7" }));
    refused(api.ask("POST", &keys, &json!({ "kind": "jwt", "verifier": "main" })), 400, "invalid");
    let typo = json!({ "kind": "jwt", "verifier": "mian", "claim": "client-7" });
    let problem = refused(api.ask("POST", &keys, &typo), 400, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/verifier");
    assert_eq!(problem["detail"], "the configuration has no verifier mian: there is main");
}

#[test]
fn filters_find_what_they_name() {
    let api = Api::start();
    api.product();
    let (acme, _, _) = api.signed_up("acme", "bronze");
    api.signed_up("other", "gold");
    let names = |path: &str| {
        let list = api.get(path)["items"].clone();
        let each = list.as_array().expect("a list").iter();
        each.map(|item| item["id"].as_u64().expect("an id")).collect::<Vec<_>>()
    };
    assert_eq!(names("/accounts?name=acme"), [1]);
    assert_eq!(names("/accounts?email=ops@other.example"), [2]);
    assert_eq!(names("/accounts?state=suspended"), [0u64; 0]);
    assert_eq!(names("/accounts?search=OTH"), [2]);
    assert_eq!(names(&format!("/applications?account={acme}")), [1]);
    assert_eq!(names("/applications?product=orders&plan=gold"), [2]);
    assert_eq!(names("/applications?state=pending"), [2]);
    assert_eq!(names("/applications?name=shop"), [1, 2]);
    assert_eq!(names("/applications?product=none"), [0u64; 0]);
    assert_eq!(names("/products?state=published"), [1]);
    assert_eq!(names("/products?state=draft"), [0u64; 0]);
    assert_eq!(names("/keys?unused_since=2100-01-01T00:00:00Z"), [1, 2]);
    let alone = api.ask("GET", "/applications?plan=gold", &Value::Null);
    refused(alone, 400, "bad_request");
    let from = "from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    assert_eq!(
        api.get(&format!("/usage?{from}&by=application,metric&grain=day"))["items"],
        json!([])
    );
    refused(api.ask("GET", &format!("/usage?{from}&by=colour"), &Value::Null), 400, "bad_request");
    api.ask("POST", "/exports", &json!({ "month": "2026-11" })).expect(204);
    assert_eq!(at_month(&api, "2026-13"), "/month");
}

/// What an application used in November 2026, as if it had been counted by this plan.
pub fn used_by(api: &Api, plan: u32, application: u64, count: u64) {
    let store = Store::open(&api.gateway.folder().join("store.db")).expect("the store");
    let used = vec![Used { application, plan, metric: 1, class: 2, hour: 1_793_491_200, count }];
    store.commit_usage(&Batch { used, ..Batch::default() }).expect("committed");
}

/// The same, by the first plan that there is.
pub fn used(api: &Api, application: u64, count: u64) {
    used_by(api, 1, application, count);
}

#[test]
fn an_export_whose_answer_was_lost_is_the_same_when_asked_again() {
    let api = Api::start();
    api.product();
    let (account, application, _) = api.signed_up("acme", "bronze");
    used(&api, application, 3);
    let make = |key: &str| {
        let fields = format!("Idempotency-Key: {key}\r\n");
        api.ask_as(&api.token, "POST", "/exports", &fields, "{\"month\":\"2026-11\"}")
    };
    let first = make("a").expect(201);
    assert_eq!(value(&first)["cursor"], "2026-11.1");
    // Another one takes it meanwhile, and more is used.
    api.ask("POST", "/exports/2026-11.1/confirm", &Value::Null).expect(200);
    let confirmed = api.ask("POST", "/exports/2026-11.1/confirm", &Value::Null).expect(200);
    used(&api, application, 4);
    let again = make("a").expect(201);
    assert_eq!(again.body, first.body);
    assert_eq!(again.value("location"), first.value("location"));
    assert_eq!(value(&make("b").expect(201))["cursor"], "2026-11.2");
    let open = api.ask("POST", "/exports", &json!({ "month": "2026-11" })).expect(201);
    assert_eq!(value(&open)["cursor"], "2026-11.2");
    // Who is deleted before the bill is written still gets it.
    api.ask("DELETE", &format!("/accounts/{account}"), &Value::Null).expect(204);
    api.ask("DELETE", "/products/orders", &Value::Null).expect(204);
    used(&api, application, 5);
    api.ask("POST", "/exports/2026-11.2/confirm", &Value::Null).expect(200);
    let last = value(&make("c").expect(201))["cursor"].as_str().expect("a cursor").to_owned();
    let rows = api.ask("GET", &format!("/exports/{last}/rows?format=jsonl"), &Value::Null);
    let row = value(&rows.expect(200));
    assert_eq!(row["account_name"], "acme");
    assert_eq!(
        (&row["product"], &row["plan"], &row["metric"]),
        (&json!("orders"), &json!("bronze"), &json!("hits"))
    );
    // What was done is written down once, and what was asked again is not.
    let noted = api.get("/audit?kind=export");
    let noted = noted["items"].as_array().expect("a list");
    let told: Vec<_> = noted
        .iter()
        .rev()
        .map(|note| {
            (
                note["action"].as_str().expect("a word"),
                note["after"]["cursor"].as_str().expect("a cursor"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("export", "2026-11.1"),
            ("confirm", "2026-11.1"),
            ("export", "2026-11.2"),
            ("confirm", "2026-11.2"),
            ("export", "2026-11.3"),
        ]
    );
    assert_eq!(noted[3]["after"], value(&confirmed));
}

fn at_month(api: &Api, month: &str) -> String {
    let problem = refused(api.ask("POST", "/exports", &json!({ "month": month })), 400, "invalid");
    problem["errors"][0]["pointer"].as_str().expect("a pointer").to_owned()
}

#[test]
fn no_secret_is_anywhere_but_in_the_answer_that_made_it() {
    let api = Api::start();
    api.product();
    let fields = "Idempotency-Key: once\r\n";
    let body = signup("acme", "bronze", "app_key").to_string();
    let made = value(&api.ask_as(&api.token, "POST", "/signups", fields, &body).expect(201));
    let basic = api.make("/applications/1/keys", &json!({ "kind": "basic", "user": "shop" }));
    let rotated = api.ask("POST", "/applications/1/keys/1/rotate", &json!({ "overlap": "1h" }));
    let rotated = value(&rotated.expect(201));
    let secrets: Vec<String> = [&made["credential"]["key"], &basic["key"], &rotated["key"]]
        .iter()
        .map(|key| key.as_str().expect("a key").to_owned())
        .chain([api.token.clone(), api.token("read", None)])
        .collect();
    let mut said = String::new();
    for path in [
        "/accounts/1",
        "/applications/1",
        "/applications/1/keys",
        "/applications/1/keys/1",
        "/keys",
        "/tokens",
        "/products",
        "/audit?limit=1000",
    ] {
        said.push_str(&api.get(path).to_string());
    }
    said.push_str(&api.gateway.log());
    said.push_str(&api.gateway.output());
    said.push_str(&api.gateway.admin_get("/config").text());
    let files =
        ["store.db", "store.db-wal", "store.db-shm"].map(|name| api.gateway.folder().join(name));
    let stored: Vec<u8> = files.iter().filter_map(|file| fs::read(file).ok()).flatten().collect();
    assert!(stored.windows(4).any(|bytes| bytes == b"acme"), "the store was read");
    for secret in &secrets {
        assert!(!said.contains(secret.as_str()), "{secret}");
        let bytes = secret.as_bytes();
        assert!(!stored.windows(bytes.len()).any(|window| window == bytes), "{secret} is stored");
    }
}

#[test]
fn the_audit_log_says_who_changed_what() {
    let api = Api::start();
    let token = api.token("operate", None);
    let ask = |method: &str, path: &str, body: &str| api.ask_as(&token, method, path, "", body);
    ask("POST", "/accounts", "{\"name\":\"acme\"}").expect(201);
    ask("PATCH", "/accounts/1", "{\"state\":\"suspended\"}").expect(200);
    ask("PATCH", "/accounts/1", "{\"name\":\"\"}").expect(400);
    ask("DELETE", "/accounts/1", "").expect(204);
    let items = api.get("/audit?kind=account")["items"].clone();
    let actions: Vec<_> = items.as_array().expect("a list").iter().map(|i| &i["action"]).collect();
    assert_eq!(actions, ["delete", "change", "create"]);
    assert_eq!(items[1]["actor"], "token 2 operate");
    assert_eq!(items[1]["before"]["state"], "live");
    assert_eq!(items[1]["after"]["state"], "suspended");
    assert!(items[0].get("after").is_none() && items[2].get("before").is_none());
    assert_eq!(api.get("/audit?action=delete&object=1")["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_document_names_every_call() {
    let api = Api::start();
    let document = api.get("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "/v1");
    for path in ["/products/{name}/plans/{plan}", "/applications/{id}/keys/{key}/rotate", "/usage"]
    {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[test]
fn the_same_from_a_shell() {
    let api = Api::start();
    fs::write(api.gateway.folder().join("orders.json"), r#"{"plans":{"bronze":{}}}"#)
        .expect("a file");
    fs::write(api.gateway.folder().join("gold.toml"), "approval_required = true\n")
        .expect("a file");
    api.cli_ok(&["products", "create", "orders", "-f", "orders.json"]);
    api.cli_ok(&["plans", "create", "orders", "gold", "-f", "gold.toml"]);
    let signed = api.cli_ok(&[
        "signup",
        "--account",
        "acme",
        "--app",
        "shop",
        "--product",
        "orders",
        "--plan",
        "bronze",
        "--json",
    ]);
    let signed: Value = serde_json::from_str(&signed).expect("JSON");
    assert!(signed["credential"]["key"].is_string());
    let table = api.cli_ok(&["apps", "list", "--product", "orders"]);
    let mut lines = table.lines();
    assert!(lines.next().is_some_and(|head| head.contains("PRODUCT") && head.contains("STATE")));
    assert!(lines.next().is_some_and(|row| row.contains("shop") && row.contains("bronze")));
    api.cli_ok(&["apps", "update", "1", "--plan", "gold", "--attribute", "X-Tier=1"]);
    assert_eq!(api.get("/applications/1")["attributes"]["X-Tier"], "1");
    let rotated = api.cli_ok(&["keys", "rotate", "1", "1", "--overlap", "2h"]);
    assert!(rotated.contains("tg_"), "{rotated}");
    assert_eq!(api.cli_ok(&["keys", "revoke", "1", "1"]), "key 1 is revoked\n");
    assert!(api.cli_ok(&["audit", "--kind", "key"]).contains("revoke"));
    assert!(api.cli_ok(&["accounts", "list", "--json"]).contains("\"acme\""));
    assert!(api.cli_ok(&["tokens", "list"]).contains("init"));
    assert!(api.cli_ok(&["bill", "list"]).contains("EXPORT"));
    let exported = api.cli_ok(&["export"]);
    assert!(exported.contains("[products.orders.plans.gold]"), "{exported}");
    let shop = "openapi: 3.1.0\ninfo: { title: Shop, version: '1' }\npaths:\n  /items:\n    get: { operationId: items }\n";
    fs::write(api.gateway.folder().join("shop.yaml"), shop).expect("a file");
    api.cli_ok(&["import", "openapi", "shop.yaml", "--name", "shop"]);
    let imported = &api.get("/products/shop")["definition"];
    assert_eq!(imported["state"], "draft");
    assert_eq!(imported["mapping_rules"][0]["pattern"], "/items$");
    let refused = api.cli(&["products", "show", "nothing"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("(404)"));
    let lost = api.cli(&["accounts", "list", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(lost.status.code(), Some(3));
    assert_eq!(api.cli(&["accounts", "list", "--admin", "nowhere"]).status.code(), Some(2));
}

#[test]
fn a_backup_is_the_store_and_takes_its_place() {
    let mut api = Api::start();
    api.make("/accounts", &json!({ "name": "acme" }));
    let config = api.gateway.config().display().to_string();
    api.cli_ok(&["backup", "-c", &config, "copy.db"]);
    let busy = api.cli(&["restore", "-c", &config, "copy.db"]);
    assert_eq!(busy.status.code(), Some(1), "a gateway runs on it");
    api.make("/accounts", &json!({ "name": "later" }));
    api.gateway.signal(libc::SIGTERM);
    api.gateway.wait_exit();
    api.cli_ok(&["restore", "-c", &config, "copy.db"]);
    let again = Gateway::start(Driver::Epoll, CONFIG);
    // A copy keeps the permissions: for its owner only.
    let place = |gateway: &Gateway| gateway.folder().join("store.db");
    fs::copy(place(&api.gateway), place(&again)).expect("a store");
    again.reload(CONFIG);
    let api = Api { gateway: again, token: api.token };
    let names = api.get("/accounts")["items"].clone();
    assert_eq!(names.as_array().map(Vec::len), Some(1));
    assert_eq!(names[0]["name"], "acme");
}
