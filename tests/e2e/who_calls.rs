//! Several who are asked who calls, beside each other: what each leaves to the others, and what none of them
//! is told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate::config::file::CredentialKind;

use crate::applications::{BRONZE, seed};
use crate::dpop::said;
use crate::harness::introspector::TokenServer;
use crate::harness::issuer::{TokenKey, claims, coded, jwks};
use crate::harness::{Driver, Gateway, Operator, Response, Upstream, eventually};
use crate::identity::{add, quick_hash};

both_drivers!(
    a_slow_service_leaves_places_for_those_who_ask_another,
    one_proof_counts_for_all_who_take_a_token,
    one_proof_counts_for_all_ways_of_a_product,
    where_one_of_all_requires_proofs_no_bearer_is_asked_for,
    what_names_a_verifiers_issuer_is_sent_to_nobody,
    what_a_products_verifier_refuses_is_sent_to_nobody,
    who_calls_is_said_once,
    a_key_in_the_place_of_tokens_is_a_key,
    a_bad_credential_keeps_no_good_one_out,
    who_shows_a_bad_credential_is_not_anonymous,
    what_is_malformed_is_bad_where_its_kind_is_listed,
    nobody_is_asked_whom_a_way_before_made_needless,
    a_question_without_an_answer_counts_where_no_way_is_good,
    who_was_let_in_by_what_is_revoked_meanwhile_is_not_let_in_by_another,
);

const WEB: &str =
    "[server]\nworkers = 1\n[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n";

fn upstream_at(upstream: &Upstream) -> String {
    format!("[upstreams.app]\ntargets = [\"{}\"]\n", upstream.address)
}

/// A route `name` whose other keys are these.
fn route(name: &str, path: &str, keys: &str) -> String {
    format!("[[routes]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"app\"\n{keys}\n")
}

fn server_at(name: &str, server: &TokenServer) -> String {
    format!("[introspection.{name}]\nurl = \"{}\"\ntimeout = \"20s\"\n", server.url())
}

fn ask(gateway: &Gateway, fields: &str) -> Response {
    gateway.once(&format!("GET /orders HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n"))
}

fn bearer(gateway: &Gateway, token: &str) -> Response {
    ask(gateway, &format!("Authorization: Bearer {token}\r\n"))
}

fn proved(gateway: &Gateway, token: &str, proof: &str) -> Response {
    ask(gateway, &format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n"))
}

fn kind(answer: &Response) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
    problem["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default().to_owned()
}

/// More requests than a core has places to wait for answers in.
const MANY: usize = 4_200;

fn a_slow_service_leaves_places_for_those_who_ask_another(driver: Driver) {
    let (slow, quick, upstream) = (TokenServer::new(), TokenServer::new(), Upstream::saying("ok"));
    quick.know("abc", json!({}));
    let text = [
        WEB,
        &upstream_at(&upstream),
        &server_at("slow", &slow),
        &server_at("quick", &quick),
        &route("slow", "/slow", "authentication = { any_of = [\"introspection:slow\"] }"),
        &route("quick", "/quick", "authentication = { any_of = [\"introspection:quick\"] }"),
    ];
    let gateway = Gateway::start(driver, text.concat());
    let gate = slow.hang();
    let of = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\n\r\n");
    let mut waiting: Vec<_> = (0..MANY).map(|_| gateway.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send(of("/slow")));
    gateway.wait_stats("all wait, or are refused", |stats| {
        let refused = stats.0.pointer("/gateway/failures/identity_overloaded");
        stats.in_flight() + refused.and_then(Value::as_u64).unwrap_or(0) == MANY as u64
    });
    gateway.once(&of("/quick")).expect(200);
    gate.open();
    slow.be_honest();
}

/// Who issues tokens, whose tokens they are, and who knows them too.
struct Parties {
    issuer: TokenKey,
    client: TokenKey,
    server: TokenServer,
    upstream: Upstream,
}

/// What tokens say of the client.
fn says() -> Value {
    let mut says = claims();
    says["client_id"] = "client-1".into();
    says
}

impl Parties {
    fn new() -> Self {
        let (issuer, client) = (TokenKey::new("i"), TokenKey::new("c"));
        Self { issuer, client, server: TokenServer::new(), upstream: Upstream::saying("ok") }
    }

    /// A gateway with `[jwt.main]` of these keys, and these routes.
    fn gateway(&self, driver: Driver, jwt: &str, routes: &str) -> Gateway {
        let main = format!("[jwt.main]\njwks_file = \"keys.json\"\n{jwt}\n");
        let parts = [WEB, &upstream_at(&self.upstream), &server_at("main", &self.server), &main];
        let keys = jwks(&[&self.issuer]);
        Gateway::with(driver, parts.concat() + routes).file("keys.json", keys).start()
    }

    /// A token of the client's, for whoever shows it.
    fn free_token(&self) -> String {
        self.issuer.token(&says())
    }

    /// One that is bound to the client's key.
    fn token(&self) -> String {
        let mut says = says();
        says["cnf"] = json!({ "jkt": self.client.thumbprint() });
        self.issuer.token(&says)
    }

    fn proof(&self, token: &str, id: &str) -> String {
        self.client.proof(&said(token, id))
    }

    /// All may take the token only with its proof, which is used up by one request.
    fn expect_one_proof_for_all(&self, gateway: &Gateway) {
        let token = self.token();
        let says = |more: Value| {
            let mut says = json!({ "client_id": "client-1" });
            says.as_object_mut()
                .expect("an object")
                .extend(more.as_object().cloned().unwrap_or_default());
            self.server.know(&token, says);
        };
        says(json!({}));
        let proof = self.proof(&token, "1");
        proved(gateway, &token, &proof).expect(200);
        assert_eq!(
            kind(&proved(gateway, &token, &proof).expect_failure(401)),
            "invalid_dpop_proof"
        );
        assert_eq!(kind(&bearer(gateway, &token).expect_failure(401)), "invalid_token");
        let missing = ask(gateway, &format!("Authorization: DPoP {token}\r\n"));
        assert_eq!(kind(&missing.expect_failure(401)), "invalid_dpop_proof");
        assert_eq!(self.upstream.count(), 1);
    }
}

/// A server's word on the token's key counts as well.
fn a_servers_key(parties: &Parties, gateway: &Gateway, thumbprint: String, status: u16) {
    let token = parties.token();
    let bound = json!({ "client_id": "client-1", "cnf": { "jkt": thumbprint } });
    parties.server.know(&token, bound);
    let proof = parties.proof(&token, &format!("{status}"));
    assert_eq!(proved(gateway, &token, &proof).status, status);
}

fn one_proof_counts_for_all_who_take_a_token(driver: Driver) {
    for (mode, other) in [("optional", ""), ("required", ", \"jwt:other\"")] {
        let parties = Parties::new();
        // The other asks for none, and takes the one that was shown.
        let jwt = format!("dpop = \"{mode}\"\n[jwt.other]\njwks_file = \"keys.json\"");
        let all = format!(
            "authentication = {{ all_of = [\"introspection:main\"{other}, \"jwt:main\"] }}"
        );
        let gateway = parties.gateway(driver, &jwt, &route("all", "/*", &all));
        parties.expect_one_proof_for_all(&gateway);
    }
    for (of_client, status) in [(true, 200), (false, 401)] {
        let parties = Parties::new();
        let all = "authentication = { all_of = [\"jwt:main\", \"introspection:main\"] }";
        let gateway = parties.gateway(driver, "dpop = \"required\"", &route("all", "/*", all));
        let key = if of_client { &parties.client } else { &parties.issuer };
        a_servers_key(&parties, &gateway, key.thumbprint(), status);
    }
}

/// The product `shop`, whose application `app-bronze` is the client `client-1` of all.
fn shop(ways: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let words = format!("[authentication]\n{ways}\n[plans.bronze]\n");
    seed(folder.path(), &words, &[BRONZE]);
    for verifier in ["main", "introspection:main"] {
        add(folder.path(), CredentialKind::Jwt, &[verifier.as_bytes(), b"client-1"], None);
    }
    let store = format!("[store]\npath = {:?}\n", folder.path().join("store.db"));
    let routes = store + &route("shop", "/*", "product = \"shop\"");
    (folder, routes)
}

fn one_proof_counts_for_all_ways_of_a_product(driver: Driver) {
    for ways in ["\"introspection:main\", \"jwt:main\"", "\"jwt:main\", \"introspection:main\""] {
        let parties = Parties::new();
        let (_folder, routes) = shop(&format!("all_of = [{ways}]"));
        let gateway = parties.gateway(driver, "dpop = \"required\"", &routes);
        parties.expect_one_proof_for_all(&gateway);
        a_servers_key(&parties, &gateway, parties.issuer.thumbprint(), 401);
    }
}

fn where_one_of_all_requires_proofs_no_bearer_is_asked_for(driver: Driver) {
    let parties = Parties::new();
    let all = "authentication = { all_of = [\"introspection:main\", \"jwt:main\"] }";
    let (_folder, shop) = shop("all_of = [\"introspection:main\", \"jwt:main\"]");
    for routes in [&route("all", "/*", all), &shop] {
        let gateway = parties.gateway(driver, "dpop = \"required\"", routes);
        let missing = gateway.get("/orders").expect_failure(401);
        let told = missing.head.values("www-authenticate");
        assert!(told.len() == 1 && told[0].starts_with("DPoP algs="), "{told:?}");
    }
}

fn what_names_a_verifiers_issuer_is_sent_to_nobody(driver: Driver) {
    let parties = Parties::new();
    let (stranger, mut ours) = (TokenKey::new("i"), claims());
    ours["iss"] = "https://id.example".into();
    let good = parties.issuer.token(&ours);
    let unsigned = format!("{}.{}.", coded(r#"{"alg":"none"}"#), coded(ours.to_string()));
    let mut theirs = claims();
    theirs["iss"] = "https://partner.example".into();
    theirs["client_id"] = "client-1".into();
    let theirs = TokenKey::new("p").token(&theirs);
    let any = "any_of = [\"introspection:main\", \"jwt:main\"]";
    let (_folder, shop) = shop(any);
    let plain = route("any", "/*", &format!("authentication = {{ {any} }}"));
    for (nth, routes) in [plain, shop].iter().enumerate() {
        let gateway = parties.gateway(driver, "issuer = \"https://id.example\"", routes);
        for bad in [&stranger.token(&ours), &good[..good.len() - 5], &format!("{good}!"), &unsigned]
        {
            parties.server.know(bad, json!({ "client_id": "client-1" }));
            assert_eq!(kind(&bearer(&gateway, bad).expect_failure(401)), "invalid_token", "{bad}");
        }
        assert_eq!(parties.server.asked(), nth);
        parties.server.know(&theirs, json!({ "client_id": "client-1" }));
        bearer(&gateway, &theirs).expect(200);
        assert_eq!(parties.server.asked(), nth + 1);
    }
}

fn what_a_products_verifier_refuses_is_sent_to_nobody(driver: Driver) {
    let parties = Parties::new();
    let (_folder, routes) = shop("all_of = [\"introspection:main\", \"jwt:main\"]");
    let gateway = parties.gateway(driver, "", &routes);
    for token in ["opaque", &TokenKey::new("i").token(&claims())] {
        parties.server.know(token, json!({ "client_id": "client-1" }));
        assert_eq!(kind(&bearer(&gateway, token).expect_failure(401)), "invalid_token");
    }
    assert_eq!(parties.server.asked(), 0);
}

fn who_calls_is_said_once(driver: Driver) {
    let (parties, service) = (Parties::new(), Upstream::saying("go"));
    let (_folder, shop) = shop("any_of = [\"user_key\"]");
    let routes = [
        route("free", "/free", ""),
        route("keys", "/keys", "product = \"shop\""),
        route("token", "/token", "authentication = { any_of = [\"jwt:main\"], optional = true }"),
        route("asked", "/asked", "forward_auth = \"gate\""),
        shop.replace("product =", "forward_auth = \"gate\"\nproduct ="),
        format!("[forward_auth.gate]\nurl = \"http://{}/\"\n", service.address),
    ];
    let gateway = parties.gateway(driver, "", &routes.concat());
    let fields =
        "X-API-Key: tg_bronze\r\nAuthorization: Basic YTpi\r\nauthorization: Basic Yzpk\r\n";
    let ask = |path| gateway.once(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    for path in ["/token", "/asked", "/orders"] {
        assert_eq!(kind(&ask(path).expect_failure(400)), "repeated_authorization", "{path}");
    }
    service.expect_untouched();
    parties.upstream.expect_untouched();
    // Where nobody looks at it, it is not for the gateway to say what it means.
    for path in ["/free", "/keys"] {
        ask(path).expect(200);
    }
}

/// The same product with a user `ann` too.
fn shop_with_ann(ways: &str) -> (tempfile::TempDir, String) {
    let (folder, routes) = shop(ways);
    add(folder.path(), CredentialKind::Basic, &[b"ann"], Some(quick_hash("right")));
    (folder, routes)
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

fn a_key_in_the_place_of_tokens_is_a_key(driver: Driver) {
    let parties = Parties::new();
    let place = "\n[credentials]\nuser_key = [\"bearer\"]";
    for ways in ["\"jwt:main\", \"user_key\"", "\"user_key\", \"jwt:main\""] {
        let (_folder, routes) = shop(&format!("any_of = [{ways}]{place}"));
        let gateway = parties.gateway(driver, "", &routes);
        bearer(&gateway, "tg_bronze").expect(200);
        bearer(&gateway, &parties.free_token()).expect(200);
        let forged = TokenKey::new("i").token(&claims());
        for bad in ["tg_wrong", "a.b.c", &forged] {
            bearer(&gateway, bad).expect_failure(401);
        }
    }
    assert_eq!(parties.upstream.count(), 4);
}

fn a_bad_credential_keeps_no_good_one_out(driver: Driver) {
    let parties = Parties::new();
    let (_folder, routes) = shop_with_ann("any_of = [\"basic\", \"user_key\", \"app_key\"]");
    let gateway = parties.gateway(driver, "", &routes);
    let (good, bad) = ("X-API-Key: tg_bronze\r\n", "X-API-Key: tg_wrong\r\n");
    let half = "App-Id: app-bronze\r\n";
    let (right, wrong, unknown) = (basic("ann:right"), basic("ann:wrong"), basic("bob:right"));
    for fields in [[&right, bad, half], [&wrong, good, half], [&unknown, good, ""]] {
        ask(&gateway, &fields.concat()).expect(200);
    }
    for fields in [[&wrong, bad, half], [&unknown, bad, ""], ["", "", half]] {
        let refused = ask(&gateway, &fields.concat()).expect_failure(401);
        assert_eq!(kind(&refused), "bad_credential", "{fields:?}");
    }
    assert_eq!(kind(&ask(&gateway, "").expect_failure(401)), "no_credential");
    assert_eq!(parties.upstream.count(), 3);
}

fn who_shows_a_bad_credential_is_not_anonymous(driver: Driver) {
    let parties = Parties::new();
    let ways = "any_of = [\"user_key\", \"basic\", \"jwt:main\"]\nanonymous_plan = \"bronze\"";
    let (_folder, routes) = shop_with_ann(ways);
    let gateway = parties.gateway(driver, "", &routes);
    let bad = "X-API-Key: tg_wrong\r\n";
    for fields in [bad, &basic("ann:wrong"), &(basic("bob:a") + bad), "Authorization: Bearer x\r\n"]
    {
        ask(&gateway, fields).expect_failure(401);
    }
    ask(&gateway, "").expect(200);
    assert_eq!(parties.upstream.only_request().value("x-tollgate-application"), None);
}

fn what_is_malformed_is_bad_where_its_kind_is_listed(driver: Driver) {
    let parties = Parties::new();
    let basic = ["Basic ", "Basic !!!", "basic YW5u"];
    let bearer = ["Bearer", "bearer "];
    let in_user = "user_key = [\"header:X-API-Key\", \"basic_user\"]";
    for (ways, place, listed, others) in [
        ("\"user_key\"", "", [].as_slice(), [&basic[..], &bearer[..]].concat()),
        ("\"user_key\"", in_user, &basic, bearer.to_vec()),
        ("\"user_key\", \"basic\"", "", &basic, bearer.to_vec()),
        ("\"user_key\", \"jwt:main\"", "", &bearer, basic.to_vec()),
    ] {
        let words =
            format!("any_of = [{ways}]\nanonymous_plan = \"bronze\"\n[credentials]\n{place}");
        let (_folder, routes) = shop(&words);
        let gateway = parties.gateway(driver, "", &routes);
        for said in listed {
            let field = format!("Authorization: {said}\r\n");
            ask(&gateway, &field).expect_failure(401);
            ask(&gateway, &(field + "X-API-Key: tg_bronze\r\n")).expect(200);
        }
        for said in others {
            ask(&gateway, &format!("Authorization: {said}\r\n")).expect(200);
        }
    }
}

fn nobody_is_asked_whom_a_way_before_made_needless(driver: Driver) {
    let parties = Parties::new();
    let place = "\n[credentials]\ntoken = [\"header:X-Token\"]";
    let ways = "any_of = [\"user_key\", \"introspection:main\", \"basic\"]";
    let (_folder, routes) = shop_with_ann(&format!("{ways}{place}"));
    let gateway = parties.gateway(driver, "", &routes);
    let asked = || (parties.server.asked(), gateway.stats().number("/identity/0/asked"));
    let shown = |key: &str, token: &str, pair: &str| {
        ask(&gateway, &format!("X-API-Key: {key}\r\nX-Token: {token}\r\n{}", basic(pair))).status
    };
    parties.server.know("good", json!({ "client_id": "client-1" }));
    assert_eq!((shown("tg_bronze", "one", "ann:wrong"), asked()), (200, (0, 0)));
    assert_eq!((shown("tg_wrong", "good", "ann:wrong"), asked()), (200, (1, 0)));
    assert_eq!((shown("tg_wrong", "bad", "ann:right"), asked()), (200, (2, 1)));
    assert_eq!((shown("tg_wrong", "bad", "ann:wrong"), asked()), (401, (2, 2)));
}

fn a_question_without_an_answer_counts_where_no_way_is_good(driver: Driver) {
    let parties = Parties::new();
    parties.server.send("");
    let key = |key: &str| format!("X-API-Key: {key}\r\nAuthorization: Bearer opaque\r\n");
    for ways in [
        "any_of = [\"introspection:main\", \"user_key\"]",
        "any_of = [\"user_key\", \"introspection:main\"]\nanonymous_plan = \"bronze\"",
    ] {
        let (_folder, routes) = shop(ways);
        let gateway = parties.gateway(driver, "", &routes);
        ask(&gateway, &key("tg_bronze")).expect(200);
        for fields in [key("tg_wrong"), key("")] {
            let refused = ask(&gateway, &fields).expect_failure(503);
            assert_eq!(kind(&refused), "introspection_failed");
        }
    }
    // Nor does what is bad hide that nobody could say.
    let (_folder, routes) = shop("any_of = [\"user_key\", \"jwt:late\"]");
    let late = "[jwt.late]\njwks_url = \"http://127.0.0.1:9/\"";
    let gateway = parties.gateway(driver, late, &routes);
    let shown =
        |key: &str| format!("X-API-Key: {key}\r\nAuthorization: Bearer {}\r\n", parties.token());
    ask(&gateway, &shown("tg_bronze")).expect(200);
    assert_eq!(kind(&ask(&gateway, &shown("tg_wrong")).expect_failure(503)), "no_token_keys");
    assert_eq!(parties.upstream.count(), 3);
}

fn who_was_let_in_by_what_is_revoked_meanwhile_is_not_let_in_by_another(driver: Driver) {
    let parties = Parties::new();
    parties.server.know("abc", json!({ "client_id": "client-1" }));
    let (_folder, routes) = shop("any_of = [\"introspection:main\", \"user_key\"]");
    let gateway = parties.gateway(driver, "", &routes);
    let operator = Operator::of(&gateway);
    let gate = parties.server.hang();
    let mut waits = gateway.connect();
    let fields = "X-API-Key: tg_bronze\r\nAuthorization: Bearer abc\r\n";
    waits.send(format!("GET /orders HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n"));
    eventually("the question is asked", || parties.server.asked() == 1);
    // The server's client is the last that `shop` makes, after the key and the verifier's.
    operator.revoke(&gateway, 3);
    gate.open();
    waits.response().expect_failure(401);
    parties.upstream.expect_untouched();
    parties.server.be_honest();
    ask(&gateway, fields).expect(200);
}
