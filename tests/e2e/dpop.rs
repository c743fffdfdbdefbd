//! Tokens that are bound to a key, and proofs that the client has it (DPoP, RFC 9449).

use serde_json::{Value, json};

use crate::harness::issuer::{TokenKey, claims, coded, jwks, now};
use crate::harness::{Ask, Caller, Driver, Gateway, Response, Upstream, Version};

both_drivers!(
    a_bound_token_passes_with_its_proof,
    each_proof_is_good_once,
    of_many_who_show_a_proof_at_once_one_passes,
    a_bound_token_is_not_shown_by_itself,
    each_fault_of_a_proof_is_refused,
    a_request_has_one_proof,
    a_proof_of_another_key_proves_nothing,
    where_proofs_are_required_no_others_pass,
    where_proofs_are_off_bound_tokens_are_refused,
    a_proof_is_for_what_the_client_asked,
    an_honest_answer_names_the_way,
    a_proof_chooses_a_route_and_is_used_once,
    streams_share_what_was_used,
    the_table_of_proofs_is_shown,
);

const ALGS: &str = "algs=\"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA\"";

struct Setting {
    gateway: Gateway,
    issuer: TokenKey,
    client: TokenKey,
    upstream: Upstream,
}

impl Setting {
    fn new(driver: Driver, mode: &str) -> Self {
        Self::with(driver, mode, "", "")
    }

    fn with(driver: Driver, mode: &str, listener: &str, more: &str) -> Self {
        let (issuer, client, upstream) =
            (TokenKey::new("i"), TokenKey::new("c"), Upstream::saying("ok"));
        let text = format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n{listener}\n\
             [upstreams.app]\ntargets = [\"{}\"]\n[jwt.main]\njwks_file = \"keys.json\"\ndpop = \"{mode}\"\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
             authentication = {{ any_of = [\"jwt:main\"] }}\n{more}",
            upstream.address
        );
        let gateway = Gateway::with(driver, text).file("keys.json", jwks(&[&issuer])).start();
        Self { gateway, issuer, client, upstream }
    }

    /// A token that is the client's.
    fn token(&self) -> String {
        let mut claims = claims();
        claims["cnf"] = json!({ "jkt": self.client.thumbprint() });
        self.issuer.token(&claims)
    }

    fn ask(&self, scheme: &str, token: &str, fields: &str) -> Response {
        self.gateway.once(&request(scheme, token, fields))
    }

    /// Asks with proofs.
    fn show(&self, token: &str, proofs: &[String]) -> Response {
        let fields: String = proofs.iter().map(|proof| format!("DPoP: {proof}\r\n")).collect();
        self.ask("DPoP", token, &fields)
    }

    fn refuses(&self, token: &str, proofs: &[String], detail: &str) {
        let refused = self.show(token, proofs).expect_failure(401);
        let challenge = format!("DPoP error=\"invalid_dpop_proof\", {ALGS}");
        assert!(refused.head.values("www-authenticate").contains(&&*challenge), "{detail}");
        assert!(refused.text().contains("urn:tollgate:invalid_dpop_proof"), "{}", refused.text());
    }
}

fn request(scheme: &str, token: &str, fields: &str) -> String {
    format!(
        "GET /orders?a=1 HTTP/1.1\r\nHost: api.example\r\nAuthorization: {scheme} {token}\r\n{fields}\r\n"
    )
}

fn ath(token: &str) -> String {
    coded(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()))
}

/// What a proof says of this token and a GET of `/orders`.
pub fn said(token: &str, id: &str) -> Value {
    json!({
        "htm": "GET", "htu": "http://api.example/orders", "iat": now(), "jti": id, "ath": ath(token),
    })
}

fn a_bound_token_passes_with_its_proof(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let token = s.token();
    for id in ["1", "2", "3"] {
        s.show(&token, &[s.client.proof(&said(&token, id))]).expect(200);
    }
    // Others are shown by themselves.
    s.ask("Bearer", &s.issuer.token(&claims()), "").expect(200);
    assert_eq!(s.upstream.count(), 4);
}

fn each_proof_is_good_once(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let token = s.token();
    let proof = s.client.proof(&said(&token, "1"));
    s.show(&token, std::slice::from_ref(&proof)).expect(200);
    // Whichever worker gets it.
    for _ in 0..8 {
        s.refuses(&token, std::slice::from_ref(&proof), "used");
    }
    // The same name in another proof is the same proof; another client's is not.
    s.refuses(&token, &[s.client.proof(&said(&token, "1"))], "the same jti");
    let other = TokenKey::new("o");
    let mut claims = claims();
    claims["cnf"] = json!({ "jkt": other.thumbprint() });
    let theirs = s.issuer.token(&claims);
    s.show(&theirs, &[other.proof(&said(&theirs, "1"))]).expect(200);
    assert_eq!(s.upstream.count(), 2);
}

fn of_many_who_show_a_proof_at_once_one_passes(driver: Driver) {
    let s = Setting::new(driver, "required");
    let token = s.token();
    let proof = s.client.proof(&said(&token, "1"));
    let request = request("DPoP", &token, &format!("DPoP: {proof}\r\n"));
    let mut clients: Vec<_> = (0..16).map(|_| s.gateway.connect()).collect();
    for client in &mut clients {
        client.send(&request);
    }
    let passed = clients.iter_mut().filter_map(|client| {
        let answer = client.response();
        (answer.status == 200).then_some(())
    });
    assert_eq!(passed.count(), 1);
    assert_eq!(s.upstream.count(), 1);
}

fn a_bound_token_is_not_shown_by_itself(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let token = s.token();
    let proof = s.client.proof(&said(&token, "1"));
    for fields in [String::new(), format!("DPoP: {proof}\r\n")] {
        let refused = s.ask("Bearer", &token, &fields).expect_failure(401);
        let told = refused.head.values("www-authenticate");
        assert_eq!(told, ["Bearer error=\"invalid_token\"", &format!("DPoP {ALGS}")]);
    }
    // A token that is nobody's is no client's own.
    let free = s.issuer.token(&claims());
    let proof = s.client.proof(&said(&free, "2"));
    let refused = s.show(&free, &[proof]).expect_failure(401);
    assert!(refused.text().contains("invalid_token"));
    s.upstream.expect_untouched();
}

fn each_fault_of_a_proof_is_refused(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let token = s.token();
    let with = |name: &str, value: Value| {
        let mut claims = said(&token, "1");
        claims[name] = value;
        s.client.proof(&claims)
    };
    for (name, value) in [
        ("htm", json!("POST")),
        ("htu", json!("https://api.example/orders")),
        ("htu", json!("http://other.example/orders")),
        ("htu", json!("http://api.example/other")),
        ("iat", json!(now() - 120)),
        ("iat", json!(now() + 300)),
        ("ath", json!(ath("other"))),
        ("ath", Value::Null),
        ("jti", Value::Null),
        ("jti", json!("")),
    ] {
        s.refuses(&token, &[with(name, value.clone())], &format!("{name} {value}"));
    }
    let jwk = s.client.jwk();
    let mut private = jwk.clone();
    private["d"] = "AQ".into();
    for header in [
        json!({ "typ": "JWT", "alg": "ES256", "jwk": jwk }),
        json!({ "typ": "dpop+jwt", "alg": "ES256" }),
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": private }),
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": TokenKey::new("x").jwk() }),
        json!({ "typ": "dpop+jwt", "alg": "HS256", "jwk": jwk }),
        json!({ "typ": "dpop+jwt", "alg": "none", "jwk": jwk }),
    ] {
        let proof = s.client.signed(&header, &said(&token, "1"));
        s.refuses(&token, &[proof], &header.to_string());
    }
    s.refuses(&token, &["nonsense".into()], "nonsense");
    // None of these used the name up.
    s.show(&token, &[s.client.proof(&said(&token, "1"))]).expect(200);
}

fn a_request_has_one_proof(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let token = s.token();
    s.refuses(&token, &[], "none");
    let proofs = ["1", "2"].map(|id| s.client.proof(&said(&token, id)));
    s.refuses(&token, &proofs, "two");
    s.refuses(&token, &[proofs.join(", ")], "a list");
    s.upstream.expect_untouched();
}

fn a_proof_of_another_key_proves_nothing(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let token = s.token();
    s.refuses(&token, &[TokenKey::new("thief").proof(&said(&token, "1"))], "a thief's");
    s.upstream.expect_untouched();
}

fn where_proofs_are_required_no_others_pass(driver: Driver) {
    let s = Setting::new(driver, "required");
    let free = s.issuer.token(&claims());
    let refused = s.ask("Bearer", &free, "").expect_failure(401);
    let told = refused.head.values("www-authenticate");
    assert_eq!(told, [format!("DPoP error=\"invalid_token\", {ALGS}")]);
    let token = s.token();
    s.ask("Bearer", &token, "").expect_failure(401);
    s.show(&token, &[s.client.proof(&said(&token, "1"))]).expect(200);
}

fn where_proofs_are_off_bound_tokens_are_refused(driver: Driver) {
    let s = Setting::new(driver, "off");
    let token = s.token();
    let refused = s.ask("Bearer", &token, "").expect_failure(401);
    assert_eq!(refused.head.values("www-authenticate"), ["Bearer error=\"invalid_token\""]);
    let proof = s.client.proof(&said(&token, "1"));
    let refused = s.show(&token, &[proof]).expect_failure(401);
    assert_eq!(refused.head.values("www-authenticate"), ["Bearer"]);
    s.upstream.expect_untouched();
}

fn a_proof_is_for_what_the_client_asked(driver: Driver) {
    let s = Setting::with(driver, "required", "trusted_proxies = [\"127.0.0.1\"]", "");
    let token = s.token();
    let at = |id: &str, url: &str, fields: &str| {
        let mut claims = said(&token, id);
        claims["htu"] = url.into();
        let proof = s.client.proof(&claims);
        s.ask("DPoP", &token, &format!("DPoP: {proof}\r\n{fields}")).status
    };
    // A trusted proxy says what was asked of it.
    let told = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example:443\r\n";
    assert_eq!(at("1", "https://SHOP.example/x/../orders?b=2", told), 200);
    assert_eq!(at("2", "http://api.example/orders", told), 401);
    assert_eq!(at("3", "http://api.example:80/%6frders", ""), 200);
    // Nobody else does.
    let s = Setting::new(driver, "required");
    let token = s.token();
    let mut claims = said(&token, "1");
    claims["htu"] = "https://shop.example/orders".into();
    let proof = s.client.proof(&claims);
    s.ask("DPoP", &token, &format!("DPoP: {proof}\r\n{told}")).expect_failure(401);
}

fn an_honest_answer_names_the_way(driver: Driver) {
    let s = Setting::new(driver, "optional");
    let missing = s.gateway.get("/").expect_failure(401);
    assert_eq!(missing.head.values("www-authenticate"), ["Bearer", &format!("DPoP {ALGS}")]);
    let s = Setting::new(driver, "required");
    let missing = s.gateway.get("/").expect_failure(401);
    assert_eq!(missing.head.values("www-authenticate"), [format!("DPoP {ALGS}")]);
}

fn a_proof_chooses_a_route_and_is_used_once(driver: Driver) {
    let gold = Upstream::saying("gold");
    let more = format!(
        "claims = {{ client_id = \"nobody\" }}\n[upstreams.gold]\ntargets = [\"{}\"]\n\
         [[routes]]\nname = \"gold\"\npath = \"/*\"\nupstream = \"gold\"\n\
         authentication = {{ any_of = [\"jwt:main\"] }}\nclaims = {{ client_id = \"app\" }}\n",
        gold.address
    );
    let s = Setting::with(driver, "required", "", &more);
    let token = s.token();
    let proof = s.client.proof(&said(&token, "1"));
    assert_eq!(s.show(&token, std::slice::from_ref(&proof)).expect(200).text(), "gold");
    s.refuses(&token, &[proof], "used");
    // Without one the token says nothing.
    s.show(&token, &[]).expect_failure(404);
    s.upstream.expect_untouched();
}

fn streams_share_what_was_used(driver: Driver) {
    let s = Setting::with(driver, "required", "protocols = [\"http/1.1\", \"h2\"]", "");
    let token = s.token();
    let mut claims = said(&token, "1");
    claims["htu"] = "http://test.example/orders".into();
    let proof = s.client.proof(&claims);
    let mut caller = Caller::connect(Version::Http2, s.gateway.web());
    let authorization = format!("DPoP {token}");
    let ask = Ask::get("/orders").field("authorization", &authorization).field("dpop", &proof);
    let first = caller.ask(&ask).status;
    assert_eq!((first, caller.ask(&ask).status), (200, 401));
}

fn the_table_of_proofs_is_shown(driver: Driver) {
    let s = Setting::new(driver, "required");
    let token = s.token();
    s.show(&token, &[s.client.proof(&said(&token, "1"))]).expect(200);
    let stats = s.gateway.stats();
    let used = stats.0["proof_table_used"].as_f64();
    assert!(used.is_some_and(|used| (0.0..0.01).contains(&used)), "{used:?}");
    let metrics = s.gateway.admin_get("/metrics").expect(200).text();
    assert!(metrics.contains("tollgate_limit_table_used_ratio{table=\"proofs\"}"), "{metrics}");
}
