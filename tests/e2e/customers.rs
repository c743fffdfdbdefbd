//! Customers and what they bring: keys that they have already, and what upstreams are told of them.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::admin_api::{Api, refused};
use crate::harness::{BINARY, Driver, Response, Upstream};

/// A gateway with the product `shop` before an upstream.
struct Shop {
    api: Api,
    upstream: Upstream,
}

const KEY: &str = "3f1d~Old/Key+from.elsewhere=";

impl Shop {
    fn open(driver: Driver) -> Self {
        let upstream = Upstream::saying("ok");
        let config = format!(
            "[store]\npath = \"store.db\"\n[upstreams.app]\ntargets = [\"{}\"]\n\
             [products.shop.authentication]\nany_of = [\"user_key\", \"app_key\"]\n\
             [products.shop.credentials]\nuser_key = [\"header:X-Partner-Key\"]\n\
             [products.shop.plans.all]\n\
             [[routes]]\nname = \"shop\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n",
            upstream.address
        );
        Self { api: Api::with(driver, &config), upstream }
    }

    fn call(&self, fields: &str) -> Response {
        self.api.gateway.once(&format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"))
    }

    #[track_caller]
    fn sign_up(&self, name: &str, app_id: Option<&str>, credential: &Value) -> Value {
        self.api.make("/signups", &signup(name, app_id, credential))
    }
}

fn signup(name: &str, app_id: Option<&str>, credential: &Value) -> Value {
    json!({
        "account": { "name": name },
        "application": { "name": name, "product": "shop", "plan": "all", "app_id": app_id },
        "credential": credential,
    })
}

both_drivers!(
    a_customer_s_own_key_is_good_and_is_kept_by_its_hash,
    an_own_key_is_one_that_a_field_can_hold,
    who_has_an_account_learns_nothing_of_others_keys,
    an_attribute_takes_no_field_of_clients,
);

fn a_customer_s_own_key_is_good_and_is_kept_by_its_hash(driver: Driver) {
    let shop = Shop::open(driver);
    let api = &shop.api;
    let own = json!({ "kind": "user_key", "key": KEY });
    let made = shop.sign_up("acme", Some("2fd1b0c7"), &own);
    assert_eq!(made["credential"]["key"], KEY);
    assert_eq!(made["application"]["app_id"], "2fd1b0c7");
    shop.call(&format!("X-Partner-Key: {KEY}\r\n")).expect(200);
    // With an app_id, which others may have such a key beside too.
    let app_key = json!({ "kind": "app_key", "key": "same-key" });
    api.make("/applications/1/keys", &app_key);
    shop.sign_up("other", Some("0ther"), &app_key);
    for app_id in ["2fd1b0c7", "0ther"] {
        shop.call(&format!("App-Id: {app_id}\r\nApp-Key: same-key\r\n")).expect(200);
    }
    shop.call("App-Id: nobody\r\nApp-Key: same-key\r\n").expect(401);
    // What is taken is told, and free again once it is revoked.
    let taken = refused(api.ask("POST", "/applications/2/keys", &own), 409, "conflict");
    assert_eq!(taken["detail"], "a live credential is known by this already");
    let body = signup("third", Some("0ther"), &json!({ "kind": "user_key" }));
    refused(api.ask("POST", "/signups", &body), 409, "conflict");
    api.ask("DELETE", "/applications/1/keys/1", &Value::Null).expect(204);
    shop.call(&format!("X-Partner-Key: {KEY}\r\n")).expect(401);
    assert_eq!(from_a_shell(api, &["keys", "create", "2", "--key", "-"], KEY)["key"], KEY);
    shop.call(&format!("X-Partner-Key: {KEY}\r\n")).expect(200);
    let said = [api.get("/keys"), api.get("/audit?limit=1000")].map(|told| told.to_string());
    assert!(said.iter().all(|told| !told.contains(KEY) && !told.contains("same-key")));
    for name in ["store.db", "store.db-wal"] {
        let stored = std::fs::read(api.gateway.folder().join(name)).unwrap_or_default();
        assert!(!stored.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "{name}");
    }
}

/// What a command says that gets a line.
fn from_a_shell(api: &Api, args: &[&str], line: &str) -> Value {
    let mut command = Command::new(BINARY);
    command.args(args).arg("--json").env("TOLLGATE_TOKEN", &api.token);
    command.env("TOLLGATE_ADMIN", format!("http://{}", api.gateway.admin()));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
    writeln!(child.stdin.take().expect("its input"), "{line}").expect("it reads");
    let told = child.wait_with_output().expect("it ends").stdout;
    serde_json::from_slice(&told).expect("JSON")
}

fn an_own_key_is_one_that_a_field_can_hold(driver: Driver) {
    let shop = Shop::open(driver);
    let api = &shop.api;
    let at = |path: &str, body: &Value| {
        let problem = refused(api.ask("POST", path, body), 400, "invalid");
        let part = |name: &str| problem["errors"][0][name].as_str().expect("a text").to_owned();
        (part("pointer"), part("detail"))
    };
    let long = "x".repeat(257);
    for key in ["seven77", &long, "with space", "tab\there", "Schlüssel", "nul\0nul\0"] {
        let credential = json!({ "kind": "user_key", "key": key });
        let told = at("/signups", &signup("acme", None, &credential));
        assert_eq!(told.0, "/credential/key", "{key:?}");
        assert!(told.1.starts_with("8 to 256 visible ASCII characters"), "{}", told.1);
    }
    let drawn = json!({ "kind": "user_key" });
    for app_id in ["abc", "with:colon", "a b c d"] {
        let told = at("/signups", &signup("acme", Some(app_id), &drawn));
        assert_eq!(told.0, "/application/app_id", "{app_id:?}");
    }
    shop.sign_up("acme", None, &drawn);
    let keys = "/applications/1/keys";
    let other = json!({ "kind": "basic", "key": "a-password-of-one" });
    assert_eq!(at(keys, &other).0, "/key");
    let (place, why) = at(keys, &json!({ "kind": "certificate" }));
    assert_eq!((&*place, &*why), ("", "one of fingerprint and subject is needed"));
    let (place, why) = at(keys, &json!({ "kind": "jwt", "verifier": "main", "claim": "a" }));
    assert_eq!(place, "/verifier");
    assert!(why.contains("no verifier main") && why.contains("no [jwt.NAME]"), "{why}");
}

fn who_has_an_account_learns_nothing_of_others_keys(driver: Driver) {
    let shop = Shop::open(driver);
    let api = &shop.api;
    shop.sign_up("acme", Some("2fd1b0c7"), &json!({ "kind": "user_key", "key": KEY }));
    shop.sign_up("other", None, &json!({ "kind": "user_key" }));
    let own = api.token("account", Some(2));
    let ask = |path: &str, body: Value| api.ask_as(&own, "POST", path, "", &body.to_string());
    // What is there and what is not get the same answer.
    for key in [KEY, "nobody-has-this"] {
        let body = json!({ "kind": "user_key", "key": key });
        refused(ask("/applications/2/keys", body), 403, "scope");
    }
    for app_id in ["2fd1b0c7", "nobody"] {
        let body = json!({ "name": "a", "product": "shop", "plan": "all", "app_id": app_id });
        refused(ask("/applications", body), 403, "scope");
    }
    ask("/applications/2/keys", json!({ "kind": "user_key" })).expect(201);
}

fn an_attribute_takes_no_field_of_clients(driver: Driver) {
    let shop = Shop::open(driver);
    let api = &shop.api;
    let names = [
        "Authorization",
        "accept",
        "Accept-Language",
        "Cookie",
        "User-Agent",
        "Range",
        "If-None-Match",
        "Origin",
        "Referer",
        "DPoP",
        "X-API-Key",
        "App-Id",
        "Proxy-Foo",
        "Sec-Fetch-Site",
        "Forwarded",
        "X-Forwarded-Port",
        "x_forwarded_for",
        "Via",
        "Traceparent",
        "Cache-Control",
        "Pragma",
        "From",
        "Max-Forwards",
        "Content-Language",
        "Priority",
        "X-Partner-Key",
        "x_partner_key",
    ];
    shop.sign_up("acme", None, &json!({ "kind": "user_key", "key": KEY }));
    let application = json!({ "name": "a", "account": 1, "product": "shop", "plan": "all" });
    for name in names {
        for (method, path, body) in [
            ("POST", "/accounts", json!({ "name": name })),
            ("POST", "/applications", application.clone()),
            ("PATCH", "/accounts/1", json!({})),
            ("PATCH", "/applications/1", json!({})),
        ] {
            let mut body = body;
            body["attributes"] = json!({ name: "x" });
            let problem = refused(api.ask(method, path, &body), 400, "invalid");
            assert_eq!(problem["errors"][0]["pointer"], format!("/attributes/{name}"));
            assert!(problem["detail"].as_str().is_some_and(|why| why.contains(name)), "{problem}");
        }
    }
    let attributes = json!({ "attributes": { "X-Tier": "gold" } });
    api.ask("PATCH", "/applications/1", &attributes).expect(200);
    let fields = "Authorization: Bearer mine\r\nCookie: a=b\r\nX-Tier: forged\r\n";
    shop.call(&format!("{fields}X-Partner-Key: {KEY}\r\n")).expect(200);
    let seen = shop.upstream.only_request().head;
    assert_eq!(seen.value("authorization"), Some("Bearer mine"));
    assert_eq!(seen.value("cookie"), Some("a=b"));
    assert_eq!(seen.values("x-tier"), ["gold"]);
}
