//! Tokens: which are taken, what those who show others are told, and that keys come and go without a
//! restart.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::issuer::{KeyServer, TokenKey, claims, coded, jwks, now};
use crate::harness::{
    Ask, BOTH, Caller, Client, Driver, Gateway, Response, Signer, Upstream, Version, eventually,
};

both_drivers!(
    a_good_token_passes,
    others_are_told_what_is_wrong_and_no_more,
    a_route_may_take_tokens_of_several_issuers,
    a_request_without_a_token_passes_where_that_is_allowed,
    a_secret_tells_tokens,
    keys_of_a_file_change_with_it,
    a_new_key_is_asked_for_when_a_token_names_it,
    invented_keys_do_not_besiege_the_issuer,
    the_last_keys_hold_while_the_issuer_fails,
    a_key_that_is_gone_is_refused_at_once,
    until_keys_came_the_answer_is_503,
    requests_wait_for_the_first_keys,
    a_token_ends_though_it_is_remembered,
    an_issuer_is_known_by_its_certificate,
    a_bound_token_is_for_its_client_only,
    http2_streams_wait_for_keys_too,
);

/// A route that asks for tokens of these issuers.
fn route(any_of: &str) -> String {
    format!(
        "[[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
         authentication = {{ any_of = [{any_of}] }}\n"
    )
}

fn text(upstream: &Upstream, jwt: &str) -> String {
    let app = format!("[upstreams.app]\ntargets = [\"{}\"]\n", upstream.address);
    format!("{app}[jwt.main]\n{jwt}\n{}", route("\"jwt:main\""))
}

fn started(driver: Driver, upstream: &Upstream, jwt: &str) -> Gateway {
    Gateway::start(driver, text(upstream, jwt))
}

/// Keys at this server, asked for as often as the test wants.
fn at(server: &KeyServer, more: &str) -> String {
    format!("jwks_url = \"{}\"\n{more}", server.url())
}

fn show(gateway: &Gateway, token: &str) -> Response {
    gateway.once(&format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// What the stats page says of the issuer.
fn issuer(gateway: &Gateway, what: &str) -> u64 {
    gateway.stats().number(&format!("/jwt_issuers/0/{what}"))
}

fn a_good_token_passes(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k1"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let rules = "issuer = \"https://issuer.example\"\naudience = \"orders\"\n\
                 token_type = \"at+jwt\"\nscopes = [\"read\"]\nclaims = { tenant = [\"a\", \"b\"] }";
    let gateway = started(driver, &upstream, &at(&server, rules));
    let mut claims = claims();
    claims["scope"] = "read write".into();
    claims["tenant"] = "b".into();
    let token = key.token(&claims);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nauthorization: bearer {token}\r\n\r\n");
        assert_eq!(client.ask(&request).expect(200).text(), "ok");
    }
    assert_eq!(server.asked(), 1);
    let bearer = format!("bearer {token}");
    let received = upstream.wait_for_request(3);
    assert_eq!(received.value("authorization"), Some(&*bearer));
    assert_eq!((issuer(&gateway, "keys"), issuer(&gateway, "fetched")), (1, 1));
}

fn others_are_told_what_is_wrong_and_no_more(driver: Driver) {
    let (key, other, upstream) = (TokenKey::new("k1"), TokenKey::new("k1"), Upstream::saying("no"));
    let server = KeyServer::new(&[&key]);
    let rules = "issuer = \"https://issuer.example\"\naudience = \"orders\"\nscopes = [\"read\"]";
    let gateway = started(driver, &upstream, &at(&server, rules));
    let missing = gateway.get("/").expect_failure(401);
    assert_eq!(missing.value("www-authenticate"), Some("Bearer"));
    let basic = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n";
    assert_eq!(gateway.once(basic).expect_failure(401).value("www-authenticate"), Some("Bearer"));
    let good = key.token(&with("scope", "read".into()));
    let twice = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {good}\r\n\
         Authorization: Bearer {good}\r\n\r\n"
    );
    gateway.once(&twice).expect_failure(400);
    let none = format!("{}.{}.", coded(r#"{"alg":"none"}"#), coded(claims().to_string()));
    for token in [
        other.token(&claims()),
        key.token(&with("exp", json!(now() - 100))),
        key.token(&with("nbf", json!(now() + 1000))),
        key.token(&with("iss", "https://else.example".into())),
        key.token(&with("aud", "else".into())),
        none,
        "abc".into(),
        String::new(),
        "x".repeat(5000),
    ] {
        let refused = show(&gateway, &token).expect_failure(401);
        assert_eq!(refused.value("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert!(refused.text().contains("The token is not accepted"), "{}", refused.text());
    }
    let poor = show(&gateway, &key.token(&with("scope", "write".into()))).expect_failure(403);
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"read\"";
    assert_eq!(poor.value("www-authenticate"), Some(challenge));
    upstream.expect_untouched();
}

fn a_route_may_take_tokens_of_several_issuers(driver: Driver) {
    let (a, b, upstream) = (TokenKey::new("a"), TokenKey::new("b"), Upstream::saying("ok"));
    let text = format!(
        "[upstreams.app]\ntargets = [\"{}\"]\n[jwt.a]\njwks_file = \"a.json\"\n\
         [jwt.b]\njwks_file = \"b.json\"\nscopes = [\"read\"]\n{}",
        upstream.address,
        route("\"jwt:a\", \"jwt:b\"")
    );
    let gateway =
        Gateway::with(driver, text).file("a.json", jwks(&[&a])).file("b.json", jwks(&[&b])).start();
    show(&gateway, &a.token(&claims())).expect(200);
    show(&gateway, &b.token(&with("scp", json!(["read"])))).expect(200);
    show(&gateway, &b.token(&claims())).expect_failure(403);
    show(&gateway, &TokenKey::new("c").token(&claims())).expect_failure(401);
}

fn a_request_without_a_token_passes_where_that_is_allowed(driver: Driver) {
    let (key, upstream) = (TokenKey::new("k1"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let text = text(&upstream, &at(&server, "")).replace("] }", "], optional = true }");
    let gateway = Gateway::start(driver, text);
    gateway.get("/").expect(200);
    show(&gateway, &key.token(&claims())).expect(200);
    show(&gateway, "wrong").expect_failure(401);
}

fn a_secret_tells_tokens(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let secret = "0123456789abcdef0123456789abcdef";
    let gateway = Gateway::with(driver, text(&upstream, "secret = \"${SECRET}\""))
        .environment("SECRET", secret)
        .start();
    let token = |secret: &str| {
        let head = coded(r#"{"alg":"HS256"}"#);
        let signed = format!("{head}.{}", coded(claims().to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", coded(tag))
    };
    show(&gateway, &token(secret)).expect(200);
    show(&gateway, &token("another")).expect_failure(401);
    let shown = gateway.admin_get("/config").text();
    assert!(!shown.contains(secret) && !gateway.log().contains(secret), "{shown}");
}

fn keys_of_a_file_change_with_it(driver: Driver) {
    let (old, new, upstream) = (TokenKey::new("a"), TokenKey::new("a"), Upstream::saying("ok"));
    let text = text(&upstream, "jwks_file = \"keys.json\"");
    let gateway = Gateway::with(driver, &text).file("keys.json", jwks(&[&old])).start();
    let token = old.token(&claims());
    show(&gateway, &token).expect(200);
    std::fs::write(gateway.folder().join("keys.json"), jwks(&[&new])).expect("a file");
    gateway.reload(&text);
    show(&gateway, &token).expect_failure(401);
    show(&gateway, &new.token(&claims())).expect(200);
    std::fs::write(gateway.folder().join("keys.json"), "{\"keys\":[]}").expect("a file");
    gateway.rewrite(&text);
    let refused = gateway.admin_post("/reload");
    assert_ne!(refused.status, 200);
    assert!(refused.text().contains("jwt.main.jwks_file: keys.json: none of its keys can be used"));
    show(&gateway, &new.token(&claims())).expect(200);
}

fn a_new_key_is_asked_for_when_a_token_names_it(driver: Driver) {
    let (old, new, upstream) = (TokenKey::new("a"), TokenKey::new("b"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&old]);
    let gateway = started(driver, &upstream, &at(&server, "refetch = \"1ms\""));
    show(&gateway, &old.token(&claims())).expect(200);
    server.show(&[&old, &new], "");
    // The first request with the new key waits for it.
    show(&gateway, &new.token(&claims())).expect(200);
    show(&gateway, &old.token(&claims())).expect(200);
    assert_eq!(server.asked(), 2);
}

fn invented_keys_do_not_besiege_the_issuer(driver: Driver) {
    let (key, upstream) = (TokenKey::new("a"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let gateway = started(driver, &upstream, &at(&server, "refetch = \"1h\""));
    show(&gateway, &key.token(&claims())).expect(200);
    for n in 0..20 {
        show(&gateway, &TokenKey::new(&n.to_string()).token(&claims())).expect_failure(401);
    }
    assert_eq!(server.asked(), 1);
    show(&gateway, &key.token(&claims())).expect(200);
}

fn the_last_keys_hold_while_the_issuer_fails(driver: Driver) {
    let (key, upstream) = (TokenKey::new("a"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let rules = "refresh = \"1s\"\nrefetch = \"1ms\"\ntimeout = \"300ms\"\ncache = \"0B\"";
    let gateway = started(driver, &upstream, &at(&server, rules));
    let token = key.token(&claims());
    show(&gateway, &token).expect(200);
    let mut failed = 0;
    let mut fails = |what: &str| {
        eventually(what, || issuer(&gateway, "failed") > failed + 1);
        failed = issuer(&gateway, "failed");
        show(&gateway, &token).expect(200);
        assert_eq!(issuer(&gateway, "keys"), 1);
    };
    server.answer("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    fails("an error");
    server.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    fails("no set of keys");
    server.answer("HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n");
    fails("a redirection");
    let gate = server.hang();
    fails("no answer");
    server.show(&[&key], "");
    gate.open();
    gateway.wait_log("the failures are told", |log| log.contains("keys can't be had"));
    eventually("it answers again", || issuer(&gateway, "consecutive_failures") == 0);
}

fn a_key_that_is_gone_is_refused_at_once(driver: Driver) {
    let (gone, stays, upstream) = (TokenKey::new("a"), TokenKey::new("b"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&gone, &stays]);
    server.show(&[&gone, &stays], "Cache-Control: max-age=1\r\n");
    let gateway = started(driver, &upstream, &at(&server, "refetch = \"1ms\""));
    let (first, second) = (gone.token(&claims()), stays.token(&claims()));
    // It is remembered on every worker that saw it.
    let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {first}\r\n\r\n");
    for client in &mut clients {
        client.ask(&request).expect(200);
    }
    server.show(&[&stays], "Cache-Control: max-age=1\r\n");
    eventually("the key is gone", || issuer(&gateway, "keys") == 1);
    eventually("it is refused", || show(&gateway, &first).status == 401);
    for client in &mut clients {
        client.ask(&request).expect_failure(401);
    }
    show(&gateway, &second).expect(200);
}

fn until_keys_came_the_answer_is_503(driver: Driver) {
    let (key, upstream) = (TokenKey::new("a"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let gate = server.hang();
    let rules = "timeout = \"200ms\"\nrefresh = \"1s\"\nrefetch = \"1ms\"";
    let gateway = started(driver, &upstream, &at(&server, rules));
    let refused = show(&gateway, &key.token(&claims())).expect_failure(503);
    assert_eq!(refused.value("www-authenticate"), None);
    gateway.get("/").expect_failure(401);
    server.show(&[&key], "");
    gate.open();
    eventually("keys come", || show(&gateway, &key.token(&claims())).status == 200);
}

fn requests_wait_for_the_first_keys(driver: Driver) {
    let (key, upstream) = (TokenKey::new("a"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let gate = server.hang();
    let gateway = started(driver, &upstream, &at(&server, "timeout = \"20s\"\nrefetch = \"1ms\""));
    let token = key.token(&claims());
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(&request);
            client
        })
        .collect();
    gateway.wait_stats("all wait", |stats| stats.in_flight() == 10);
    server.show(&[&key], "");
    gate.open();
    for client in &mut waiting {
        client.response().expect(200);
    }
}

fn a_token_ends_though_it_is_remembered(driver: Driver) {
    let (key, upstream) = (TokenKey::new("a"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let gateway = started(driver, &upstream, &at(&server, "leeway = \"0s\""));
    let token = key.token(&with("exp", json!(now() + 2)));
    let began = Instant::now();
    if show(&gateway, &token).status != 200 {
        assert!(began.elapsed() > Duration::from_secs(1), "it was refused too early");
    }
    eventually("it ends", || show(&gateway, &token).status == 401);
}

fn an_issuer_is_known_by_its_certificate(driver: Driver) {
    let (signer, key, upstream) = (Signer::new(), TokenKey::new("a"), Upstream::saying("ok"));
    let made = signer.certify(&["localhost"]);
    let server = KeyServer::tls(&[&key], signer.server(&made));
    let rules = format!(
        "jwks_url = \"https://localhost:{}/keys\"\njwks_roots = \"ca.pem\"\ntimeout = \"1s\"",
        server.port()
    );
    let token = key.token(&claims());
    let good = Gateway::with(driver, text(&upstream, &rules)).file("ca.pem", signer.pem()).start();
    show(&good, &token).expect(200);
    let stranger = Signer::new().pem();
    let bad = Gateway::with(driver, text(&upstream, &rules)).file("ca.pem", stranger).start();
    show(&bad, &token).expect_failure(503);
    bad.wait_log("why", |log| log.contains("keys can't be had") && log.contains("certificate"));
}

fn a_bound_token_is_for_its_client_only(driver: Driver) {
    let (signer, key, upstream) = (Signer::new(), TokenKey::new("a"), Upstream::saying("ok"));
    let own = signer.certify(&["a.example"]);
    let text = format!(
        "[[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n\
         [listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n\
         client_certificates = {{ mode = \"optional\", ca = \"ca.pem\" }}\n{}",
        text(&upstream, "jwks_file = \"keys.json\"")
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("ca.pem", signer.pem())
        .file("keys.json", jwks(&[&key]))
        .start();
    let (client, other) = (signer.certify(&["client"]), signer.certify(&["other"]));
    let token = key.token(&with("cnf", json!({ "x5t#S256": client.thumbprint() })));
    let request =
        format!("GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\n\r\n");
    let ask = |tls| Client::connect_tls(gateway.address("secure"), &tls, "a.example").ask(&request);
    ask(signer.client_with(&client)).expect(200);
    ask(signer.client_with(&other)).expect_failure(401);
    ask(signer.client(BOTH)).expect_failure(401);
    ask(signer.client_with(&client)).expect(200);
}

fn http2_streams_wait_for_keys_too(driver: Driver) {
    let (key, upstream) = (TokenKey::new("a"), Upstream::saying("ok"));
    let server = KeyServer::new(&[&key]);
    let gate = server.hang();
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n{}",
        text(&upstream, &at(&server, "timeout = \"20s\"\nrefetch = \"1ms\""))
    );
    let gateway = Gateway::start(driver, text);
    let authorization = format!("Bearer {}", key.token(&claims()));
    let mut caller = Caller::connect(Version::Http2, gateway.web());
    server.show(&[&key], "");
    gate.open();
    let answer = caller.ask(&Ask::get("/").field("authorization", &authorization));
    assert_eq!(answer.status, 200);
}
