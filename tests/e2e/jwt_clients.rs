//! Applications that call products with a token: found by a claim, and held to their plan.

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::config::file::CredentialKind;
use tollgate::policy::auth::digest;
use tollgate::store::catalog::{CredentialFilter, NewCredential, Page, State};
use tollgate::store::{Store, StoreError};

use crate::applications::{App, BRONZE, GOLD, seed};
use crate::harness::issuer::{TokenKey, claims, coded, jwks, now};
use crate::harness::{Driver, Gateway, Response, Upstream};

both_drivers!(
    a_claim_says_which_application_calls,
    another_claim_may_say_it,
    a_plan_holds_whoever_shows_tokens,
    each_refusal_has_its_answer,
    a_stranger_learns_nothing_of_clients,
    a_token_without_the_scope_is_not_enough,
    a_key_and_a_token_must_be_of_one_application,
    of_several_ways_the_first_that_proves_somebody_decides,
    without_a_token_the_anonymous_plan_holds,
    claims_of_a_products_tokens_count_too,
    a_products_claims_choose_a_route,
    a_proof_stays_with_its_token,
    where_proofs_are_required_no_bearer_is_asked_for,
    an_error_is_told_of_the_way_that_was_gone,
    the_way_that_decides_says_why,
);

const PLANS: &str = r#"
methods = [{ name = "list" }, { name = "create" }]
mapping_rules = [
    { method = "GET", pattern = "/orders", metric = "list" },
    { method = "POST", pattern = "/orders", metric = "create" },
]
[plans.bronze]
methods = ["list"]
limits = [{ rate = "3/h" }]
[plans.gold]
quotas = [{ period = "year", max = 2 }]
[plans.free]
limits = [{ rate = "1/h" }]
"#;

/// A gateway before the product `shop`, whose applications have a client each: `client-bronze` and so on.
struct Shop {
    gateway: Gateway,
    upstream: Upstream,
    key: TokenKey,
    _store: TempDir,
}

impl Shop {
    fn new(driver: Driver, ways: &str) -> Self {
        Self::with(driver, ways, "", "")
    }

    fn with(driver: Driver, ways: &str, jwt: &str, route: &str) -> Self {
        let (key, upstream) = (TokenKey::new("k"), Upstream::saying("ok"));
        let apps = [
            BRONZE,
            GOLD,
            App { key: "tg_suspended", state: State::Suspended, ..BRONZE },
            App { key: "tg_ended", ends_at: Some(2), ..BRONZE },
        ];
        let folder = tempfile::tempdir().expect("a folder");
        seed(folder.path(), &format!("{ways}\n{PLANS}"), &apps);
        give_clients(&folder, &apps);
        let text = format!(
            "[store]\npath = {:?}\n[upstreams.app]\ntargets = [\"{}\"]\n\
             [jwt.main]\njwks_file = \"keys.json\"\n{jwt}\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n{route}\n",
            folder.path().join("store.db"),
            upstream.address
        );
        let gateway = Gateway::with(driver, text).file("keys.json", jwks(&[&key])).start();
        Self { gateway, upstream, key, _store: folder }
    }

    fn token(&self, client: &str) -> String {
        self.key.token(&said(&json!({ "client_id": client })))
    }

    fn ask(&self, line: &str, fields: &str) -> Response {
        self.gateway.once(&format!("{line} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n"))
    }

    fn get(&self, token: &str) -> Response {
        self.ask("GET /orders", &bearer(token))
    }
}

/// Gives each application a client.
fn give_clients(folder: &TempDir, apps: &[App]) {
    let store = Store::open(&folder.path().join("store.db")).expect("the store");
    let added = store.write(|records| {
        let keys = records.credentials(&CredentialFilter::default(), Page::FIRST)?.rows;
        for (app, key) in apps.iter().zip(&keys) {
            let client = app.key.replace("tg_", "client-");
            let parts = [b"main".as_slice(), client.as_bytes()];
            let product = records.application(key.application)?.expect("an application").product;
            let new = NewCredential {
                application: key.application,
                kind: CredentialKind::Jwt,
                digest: digest(store.secret(), (product, CredentialKind::Jwt), &parts),
                hint: client.clone(),
                password: None,
                label: String::new(),
                ends_at: None,
            };
            records.insert_credential(&new, 1)?;
        }
        Ok::<_, StoreError>(())
    });
    added.expect("the store takes them");
}

fn said(more: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn kind(response: &Response) -> String {
    let problem: Value = serde_json::from_slice(&response.body).expect("problem details");
    problem["type"].as_str().expect("a type").replace("urn:tollgate:", "")
}

const TOKENS: &str = "authentication.any_of = [\"jwt:main\"]";

fn a_claim_says_which_application_calls(driver: Driver) {
    let shop = Shop::new(driver, TOKENS);
    shop.get(&shop.token("client-bronze")).expect(200);
    let azp = shop.key.token(&said(&json!({ "client_id": null, "azp": "client-gold" })));
    // A claim that is there and says nothing is no other claim.
    shop.get(&azp).expect_failure(401);
    let request = shop.upstream.only_request();
    assert_eq!(request.value("x-tollgate-application"), Some("app-bronze"));
    assert_eq!(request.value("x-tollgate-plan"), Some("bronze"));
    assert_eq!(request.value("authorization"), None);
}

fn another_claim_may_say_it(driver: Driver) {
    let shop = Shop::with(driver, TOKENS, "application_claim = \"/realm/client\"", "");
    let token =
        shop.key.token(&said(&json!({ "realm": { "client": "client-gold" }, "client_id": "x" })));
    shop.get(&token).expect(200);
    assert_eq!(shop.upstream.only_request().value("x-tollgate-plan"), Some("gold"));
    shop.get(&shop.token("client-gold")).expect_failure(401);
}

fn a_plan_holds_whoever_shows_tokens(driver: Driver) {
    let shop = Shop::new(driver, TOKENS);
    for user in ["ann", "bob", "eve"] {
        let token = said(&json!({ "client_id": "client-bronze", "sub": user }));
        shop.get(&shop.key.token(&token)).expect(200);
    }
    let bronze = shop.token("client-bronze");
    assert_eq!(kind(&shop.get(&bronze).expect_failure(429)), "rate_limited");
    let gold = shop.token("client-gold");
    shop.get(&gold).expect(200);
    shop.ask("POST /orders", &format!("Content-Length: 0\r\n{}", bearer(&gold))).expect(200);
    assert_eq!(kind(&shop.get(&gold).expect_failure(429)), "quota_exceeded");
    assert_eq!(shop.upstream.count(), 5);
}

fn each_refusal_has_its_answer(driver: Driver) {
    let shop = Shop::new(driver, TOKENS);
    let post = "POST /orders";
    for (line, client, status, name) in [
        (post, "client-bronze", 403, "method_not_in_plan"),
        ("GET /other", "client-bronze", 404, "no_mapping_rule"),
        ("GET /orders", "client-suspended", 403, "application_suspended"),
        ("GET /orders", "client-ended", 403, "application_expired"),
        ("GET /orders", "client-nobody", 401, "bad_credential"),
        ("GET /orders", "", 401, "bad_credential"),
    ] {
        let fields = format!("Content-Length: 0\r\n{}", bearer(&shop.token(client)));
        let answer = shop.ask(line, &fields).expect_failure(status);
        assert_eq!(kind(&answer), name, "{line} {client}");
    }
    let missing = shop.ask("GET /orders", "").expect_failure(401);
    assert_eq!(kind(&missing), "no_credential");
    assert_eq!(missing.value("www-authenticate"), Some("Bearer realm=\"shop\""));
    let forged = TokenKey::new("k").token(&said(&json!({ "client_id": "client-gold" })));
    assert_eq!(kind(&shop.get(&forged).expect_failure(401)), "invalid_token");
    shop.upstream.expect_untouched();
}

fn a_stranger_learns_nothing_of_clients(driver: Driver) {
    let shop = Shop::new(driver, TOKENS);
    let told = |claims: &Value| {
        let answer = shop.get(&shop.key.token(&said(claims))).expect_failure(401);
        let mut problem: Value = serde_json::from_slice(&answer.body).expect("problem details");
        problem
            .as_object_mut()
            .expect("an object")
            .retain(|name, _| name == "type" || name == "title");
        (problem, answer.value("www-authenticate").map(str::to_owned))
    };
    let unknown = told(&json!({ "client_id": "client-nobody" }));
    for other in [
        json!({ "client_id": "client-BRONZE" }),
        json!({ "client_id": "tg_bronze" }),
        json!({ "client_id": ["client-bronze"] }),
        json!({ "client_id": "" }),
    ] {
        assert_eq!(told(&other), unknown, "{other}");
    }
}

fn a_token_without_the_scope_is_not_enough(driver: Driver) {
    let shop = Shop::with(driver, TOKENS, "scopes = [\"orders\"]", "");
    let with = |scope: &str| {
        shop.key.token(&said(&json!({ "client_id": "client-bronze", "scope": scope })))
    };
    let poor = shop.get(&with("other")).expect_failure(403);
    assert_eq!(kind(&poor), "insufficient_token");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"orders\"";
    assert_eq!(poor.value("www-authenticate"), Some(challenge));
    shop.get(&with("other orders")).expect(200);
}

fn a_key_and_a_token_must_be_of_one_application(driver: Driver) {
    let shop = Shop::new(driver, "authentication.all_of = [\"user_key\", \"jwt:main\"]");
    let ask = |key: &str, client: &str| {
        let mut fields = String::new();
        if !key.is_empty() {
            fields.push_str(&format!("X-API-Key: {key}\r\n"));
        }
        if !client.is_empty() {
            fields.push_str(&bearer(&shop.token(client)));
        }
        shop.ask("GET /orders", &fields)
    };
    ask("tg_bronze", "client-bronze").expect(200);
    let request = shop.upstream.only_request();
    assert_eq!(request.value("x-tollgate-application"), Some("app-bronze"));
    assert_eq!((request.value("x-api-key"), request.value("authorization")), (None, None));
    for (key, client, name) in [
        ("tg_bronze", "client-gold", "bad_credential"),
        ("tg_gold", "client-bronze", "bad_credential"),
        ("tg_wrong", "client-bronze", "bad_credential"),
        ("tg_bronze", "client-nobody", "bad_credential"),
        ("tg_bronze", "", "no_credential"),
        ("", "client-bronze", "no_credential"),
        ("", "", "no_credential"),
    ] {
        assert_eq!(kind(&ask(key, client).expect_failure(401)), name, "{key} {client}");
    }
    assert_eq!(shop.upstream.count(), 1);
}

fn of_several_ways_the_first_that_proves_somebody_decides(driver: Driver) {
    let shop = Shop::new(driver, "authentication.any_of = [\"user_key\", \"jwt:main\"]");
    let token = bearer(&shop.token("client-gold"));
    shop.ask("GET /orders", &token).expect(200);
    shop.ask("GET /orders", &format!("X-API-Key: tg_bronze\r\n{token}")).expect(200);
    shop.ask("GET /orders", &format!("X-API-Key: tg_wrong\r\n{token}")).expect(200);
    let nobody = bearer(&shop.token("client-nobody"));
    shop.ask("GET /orders", &format!("X-API-Key: tg_bronze\r\n{nobody}")).expect(200);
    shop.ask("GET /orders", &format!("X-API-Key: tg_wrong\r\n{nobody}")).expect_failure(401);
    let plans: Vec<_> = shop
        .upstream
        .requests()
        .iter()
        .map(|request| request.value("x-tollgate-plan").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(plans, ["gold", "bronze", "gold", "bronze"]);
}

fn without_a_token_the_anonymous_plan_holds(driver: Driver) {
    let ways = format!("{TOKENS}\nauthentication.anonymous_plan = \"free\"");
    let shop = Shop::new(driver, &ways);
    shop.ask("GET /orders", "").expect(200);
    assert_eq!(shop.upstream.only_request().value("x-tollgate-plan"), Some("free"));
    shop.ask("GET /orders", "").expect_failure(429);
    shop.get(&shop.token("client-bronze")).expect(200);
    shop.get(&shop.token("client-nobody")).expect_failure(401);
    shop.get("nonsense").expect_failure(401);
    assert_eq!(shop.upstream.count(), 2);
}

fn claims_of_a_products_tokens_count_too(driver: Driver) {
    let route = "limits = [{ name = \"user\", rate = \"1/h\", key = \"claim:sub\" }]\n\
                 request_headers = { set = { x-user = \"{claim:sub}\" } }";
    let shop = Shop::with(driver, TOKENS, "", route);
    let ask = |user: &str| {
        let token = shop.key.token(&said(&json!({ "client_id": "client-bronze", "sub": user })));
        shop.ask("GET /orders", &format!("X-User: root\r\n{}", bearer(&token)))
    };
    for (nth, user) in ["ann", "bob"].into_iter().enumerate() {
        ask(user).expect(200);
        let request = shop.upstream.wait_for_request(nth + 1);
        assert_eq!(request.head.values("x-user"), [user]);
        assert!(ask(user).expect_failure(429).text().contains("\"limit\":\"user\""));
    }
}

fn a_products_claims_choose_a_route(driver: Driver) {
    let staff = Upstream::saying("staff");
    let more = format!(
        "[upstreams.staff]\ntargets = [\"{}\"]\n[[routes]]\nname = \"staff\"\npath = \"/*\"\n\
         product = \"shop\"\nupstream = \"staff\"\nclaims = {{ role = \"admin\" }}",
        staff.address
    );
    let shop = Shop::with(driver, TOKENS, "", &more);
    let ask = |role: &str| {
        let token = shop.key.token(&said(&json!({ "client_id": "client-bronze", "role": role })));
        shop.get(&token).expect(200).text()
    };
    assert_eq!((ask("admin").as_str(), ask("user").as_str()), ("staff", "ok"));
    shop.ask("GET /orders", "").expect_failure(401);
}

fn a_proof_stays_with_its_token(driver: Driver) {
    for (forward, passes) in [("", false), ("\ncredentials.forward = true", true)] {
        let shop = Shop::with(driver, &format!("{TOKENS}{forward}"), "dpop = \"optional\"", "");
        let client = TokenKey::new("c");
        let bound = json!({ "client_id": "client-bronze", "cnf": { "jkt": client.thumbprint() } });
        let token = shop.key.token(&said(&bound));
        let ath = coded(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()));
        let proof = client.proof(&json!({
            "htm": "GET", "htu": "http://test.example/orders", "iat": now(), "jti": "1", "ath": ath,
        }));
        let fields = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
        shop.ask("GET /orders", &fields).expect(200);
        let request = shop.upstream.only_request();
        assert_eq!(request.value("x-tollgate-application"), Some("app-bronze"));
        assert_eq!(request.value("dpop").is_some(), passes);
        assert_eq!(request.value("authorization").is_some(), passes);
        let again = shop.ask("GET /orders", &fields).expect_failure(401);
        assert_eq!(kind(&again), "invalid_dpop_proof");
        assert_eq!(kind(&shop.get(&token).expect_failure(401)), "invalid_token");
        let missing = shop.ask("GET /orders", "").expect_failure(401);
        let told = missing.head.values("www-authenticate");
        assert!(told.len() == 2 && told[1].starts_with("DPoP algs="), "{told:?}");
    }
}

fn where_proofs_are_required_no_bearer_is_asked_for(driver: Driver) {
    let shop = Shop::with(driver, TOKENS, "dpop = \"required\"", "");
    let told = |fields: &str| {
        let refused = shop.ask("GET /orders", fields).expect_failure(401);
        refused.head.values("www-authenticate").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (fields, begins) in [
        (String::new(), "DPoP algs="),
        ("Authorization: Basic YTpi\r\n".to_owned(), "DPoP algs="),
        (bearer(&shop.token("client-bronze")), "DPoP error=\"invalid_token\", algs="),
        (bearer("nonsense"), "DPoP error=\"invalid_token\", algs="),
    ] {
        let told = told(&fields);
        assert!(told.len() == 1 && told[0].starts_with(begins), "{fields}: {told:?}");
    }
}

fn an_error_is_told_of_the_way_that_was_gone(driver: Driver) {
    let shop = Shop::with(driver, TOKENS, "dpop = \"optional\"", "");
    let unbound = shop.token("client-bronze");
    for (fields, told) in [
        (String::new(), ["Bearer realm=\"shop\"", "DPoP algs="]),
        (
            bearer(&shop.token("client-else")),
            ["Bearer realm=\"shop\", error=\"invalid_token\"", "DPoP algs="],
        ),
        (bearer("nonsense"), ["Bearer error=\"invalid_token\"", "DPoP algs="]),
        (
            format!("Authorization: DPoP {unbound}\r\n"),
            ["Bearer", "DPoP error=\"invalid_token\", algs="],
        ),
    ] {
        let refused = shop.ask("GET /orders", &fields).expect_failure(401);
        let lines = refused.head.values("www-authenticate");
        assert!(lines.len() == 2 && lines[0] == told[0], "{fields}: {lines:?}");
        assert!(lines[1].starts_with(told[1]), "{fields}: {lines:?}");
    }
}

fn the_way_that_decides_says_why(driver: Driver) {
    let ways = "authentication.any_of = [\"user_key\", \"jwt:main\"]";
    let shop = Shop::with(driver, ways, "scopes = [\"orders\"]", "");
    let token = bearer(&shop.token("client-bronze"));
    // Of several that are bad the first.
    let refused = shop.ask("GET /orders", &format!("X-API-Key: tg_wrong\r\n{token}"));
    assert_eq!(kind(&refused.expect_failure(401)), "bad_credential");
    assert_eq!(kind(&shop.ask("GET /orders", &token).expect_failure(403)), "insufficient_token");
}
