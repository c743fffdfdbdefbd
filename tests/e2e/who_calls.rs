//! Several who are asked who calls, beside each other: what each leaves to the others, and what none of them
//! is told.

use serde_json::{Value, json};
use tollgate::config::file::CredentialKind;

use crate::applications::{BRONZE, seed};
use crate::dpop::said;
use crate::harness::introspector::TokenServer;
use crate::harness::issuer::{TokenKey, claims, coded, jwks};
use crate::harness::{Driver, Gateway, Response, Upstream};
use crate::identity::add;

both_drivers!(
    a_slow_service_leaves_places_for_those_who_ask_another,
    one_proof_counts_for_all_who_take_a_token,
    one_proof_counts_for_all_ways_of_a_product,
    where_one_of_all_requires_proofs_no_bearer_is_asked_for,
    what_names_a_verifiers_issuer_is_sent_to_nobody,
    what_a_products_verifier_refuses_is_sent_to_nobody,
    who_calls_is_said_once,
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

    /// A token that is the client's.
    fn token(&self) -> String {
        let mut claims = claims();
        claims["client_id"] = "client-1".into();
        claims["cnf"] = json!({ "jkt": self.client.thumbprint() });
        self.issuer.token(&claims)
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
