//! Tokens that a server is asked about (RFC 7662): what is asked and how often, for how long answers
//! are believed, and what becomes of requests while the server fails.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate::config::file::CredentialKind;

use crate::applications::{BRONZE, seed};
use crate::harness::introspector::TokenServer;
use crate::harness::issuer::{TokenKey, claims, jwks, now};
use crate::harness::{
    Ask, BOTH, Caller, Client, Driver, Gateway, Operator, Response, Signer, Upstream, Version,
    eventually, ok,
};
use crate::identity::add;

both_drivers!(
    an_active_token_passes_and_is_asked_about_once,
    an_inactive_token_is_refused_and_remembered,
    what_is_not_to_be_remembered_is_asked_each_time,
    a_token_ends_though_the_ceiling_is_higher,
    a_revoked_token_passes_until_the_ceiling_and_no_longer,
    many_requests_on_all_workers_ask_one_question,
    while_the_server_fails_requests_are_refused_and_nothing_is_remembered,
    while_the_server_fails_requests_pass_where_that_is_wanted,
    a_slow_server_holds_up_nobody_else,
    who_waits_too_long_in_line_is_refused_and_floods_open_nothing,
    a_client_that_leaves_takes_nobody_with_it,
    a_reload_lets_questions_end_and_keeps_what_is_remembered,
    a_bound_token_is_for_its_client_only,
    a_token_without_the_scope_is_good_for_less,
    what_no_token_can_be_is_not_asked_about,
    tokens_that_a_verifier_knows_are_not_sent,
    a_verifier_and_a_server_can_both_be_asked_for,
    a_server_is_known_by_its_certificate,
    http2_streams_wait_too,
    a_token_lets_its_application_in,
    who_is_revoked_during_the_question_is_refused,
    where_the_server_fails_a_product_has_its_anonymous_plan_or_nothing,
    both_ways_can_be_asked_for,
    tokens_and_secrets_reach_no_log,
);

/// A gateway of one worker, whose routes but `/free` take tokens that the server knows. (Each worker
/// remembers what it asked.)
fn text(upstream: &Upstream, server: &TokenServer, more: &str) -> String {
    text_at(upstream, &server.url(), more)
}

fn text_at(upstream: &Upstream, url: &str, more: &str) -> String {
    format!(
        "[server]\nworkers = 1\n[upstreams.app]\ntargets = [\"{}\"]\n\
         [introspection.main]\nurl = \"{url}\"\n{more}\n\
         [[routes]]\nname = \"free\"\npath = \"/free\"\nupstream = \"app\"\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
         authentication = {{ any_of = [\"introspection:main\"] }}\n",
        upstream.address
    )
}

fn request(token: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn show(gateway: &Gateway, token: &str) -> Response {
    gateway.once(&request(token))
}

/// What the stats page says of questions to the server.
fn told(gateway: &Gateway, what: &str) -> u64 {
    let stats = gateway.stats();
    let about = stats.0.pointer("/identity/1/about").and_then(Value::as_str);
    assert_eq!(about, Some("introspection:main"));
    stats.number(&format!("/identity/1/{what}"))
}

/// What kind of failure an answer tells.
fn kind(answer: &Response) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
    let kind = problem["type"].as_str().expect("a type");
    kind.rsplit(['/', ':', '#']).next().unwrap_or_default().to_owned()
}

fn an_active_token_passes_and_is_asked_about_once(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc.def-1", json!({ "iss": "https://id", "aud": ["x", "y"], "scope": "a b" }));
    let rules = "client_id = \"gate:way\"\nclient_secret = \"${SECRET}\"\nissuer = \"https://id\"\n\
                 audience = \"y\"\nscopes = [\"b\"]";
    let gateway = Gateway::with(driver, text(&upstream, &server, rules))
        .environment("SECRET", "very secret")
        .start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(&request("abc.def-1")).expect(200).text(), "ok");
    }
    let question = server.question(1);
    assert_eq!((question.method(), question.target()), ("POST", "/introspect"));
    assert_eq!(question.body, b"token=abc.def-1&token_type_hint=access_token");
    assert_eq!(question.value("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(question.value("accept"), Some("application/json"));
    let basic = format!("Basic {}", STANDARD.encode("gate%3Away:very+secret"));
    assert_eq!(question.value("authorization"), Some(&*basic));
    let counts = ["asked", "answered", "remembered", "failed"].map(|what| told(&gateway, what));
    assert_eq!((server.asked(), counts), (1, [1, 1, 2, 0]));
    let missing = gateway.get("/").expect_failure(401);
    assert_eq!(missing.value("www-authenticate"), Some("Bearer"));
}

fn an_inactive_token_is_refused_and_remembered(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("no"));
    let gateway = Gateway::start(driver, text(&upstream, &server, "negative = \"10m\""));
    for _ in 0..3 {
        let refused = show(&gateway, "abc").expect_failure(401);
        assert_eq!(refused.value("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert_eq!(kind(&refused), "invalid_token");
    }
    assert_eq!(server.asked(), 1);
    upstream.expect_untouched();
}

fn what_is_not_to_be_remembered_is_asked_each_time(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    let rules = "negative = \"0s\"\nceiling = \"0s\"";
    let gateway = Gateway::start(driver, text(&upstream, &server, rules));
    show(&gateway, "abc").expect_failure(401);
    server.know("abc", json!({}));
    show(&gateway, "abc").expect(200);
    server.revoke("abc");
    show(&gateway, "abc").expect_failure(401);
    assert_eq!(server.asked(), 3);
}

fn a_token_ends_though_the_ceiling_is_higher(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    let gateway = Gateway::start(driver, text(&upstream, &server, "ceiling = \"1h\""));
    let ends = now() + 3;
    server.know("abc", json!({ "exp": ends }));
    show(&gateway, "abc").expect(200);
    server.revoke("abc");
    show(&gateway, "abc").expect(200);
    assert_eq!(server.asked(), 1);
    eventually("it is asked again", || show(&gateway, "abc").status == 401);
    assert!(now() >= ends);
    assert_eq!(server.asked(), 2);
}

fn a_revoked_token_passes_until_the_ceiling_and_no_longer(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    let gateway = Gateway::start(driver, text(&upstream, &server, "ceiling = \"2s\""));
    server.know("abc", json!({ "exp": now() + 600 }));
    let begun = now();
    show(&gateway, "abc").expect(200);
    server.revoke("abc");
    eventually("it is asked again", || show(&gateway, "abc").status == 401);
    assert_eq!(server.asked(), 2);
    assert!(now() >= begun + 2);
}

fn many_requests_on_all_workers_ask_one_question(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({}));
    let text = text(&upstream, &server, "timeout = \"20s\"").replace("workers = 1", "workers = 2");
    let gateway = Gateway::start(driver, text);
    let gate = server.hang();
    let mut clients: Vec<_> = (0..50).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(request("abc")));
    eventually("all wait", || told(&gateway, "asked") + told(&gateway, "joined") == 50);
    gate.open();
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    assert_eq!((server.asked(), told(&gateway, "asked")), (1, 1));
}

fn while_the_server_fails_requests_are_refused_and_nothing_is_remembered(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    let gateway = Gateway::start(driver, text(&upstream, &server, "timeout = \"500ms\""));
    let elsewhere = TokenServer::new();
    elsewhere.know("abc", json!({}));
    let redirection =
        format!("HTTP/1.1 307 Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
    let long = format!("{{\"active\":true,\"x\":\"{}\"}}", "y".repeat(100_000));
    for answer in [
        String::new(),
        "nonsense".into(),
        "HTTP/1.1 500 Broken\r\nContent-Length: 15\r\n\r\n{\"active\":true}".into(),
        "HTTP/1.1 401 Who are you\r\nContent-Length: 0\r\n\r\n".into(),
        redirection,
        ok(""),
        ok("active"),
        ok("{\"active\":\"true\"}"),
        ok("{\"scope\":\"read\"}"),
        ok("{\"active\":true,\"active\":false}"),
        ok(&long),
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"active\":true".into(),
    ] {
        server.send(answer.clone());
        let refused = show(&gateway, "abc").expect_failure(503);
        assert_eq!(kind(&refused), "introspection_failed", "{answer}");
        assert_eq!(refused.value("www-authenticate"), None);
    }
    let gate = server.hang();
    assert_eq!(kind(&show(&gateway, "abc").expect_failure(503)), "introspection_failed");
    gate.open();
    upstream.expect_untouched();
    assert_eq!((told(&gateway, "failed"), elsewhere.asked()), (13, 0));
    gateway.wait_log("why", |line| line.contains("a service that is asked fails"));
    server.be_honest();
    server.know("abc", json!({}));
    show(&gateway, "abc").expect(200);
    // What it said before is believed while it fails.
    server.send("");
    show(&gateway, "abc").expect(200);
}

fn while_the_server_fails_requests_pass_where_that_is_wanted(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    let rules = "on_error = \"allow\"\nnegative = \"10m\"";
    let gateway = Gateway::start(driver, text(&upstream, &server, rules));
    show(&gateway, "bad").expect_failure(401);
    server.send("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");
    show(&gateway, "abc").expect(200);
    // Neither what is known to be bad passes, nor who shows nothing.
    show(&gateway, "bad").expect_failure(401);
    gateway.get("/").expect_failure(401);
    server.be_honest();
    show(&gateway, "abc").expect_failure(401);
}

fn a_slow_server_holds_up_nobody_else(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({}));
    server.know("def", json!({}));
    let gateway = Gateway::start(driver, text(&upstream, &server, "timeout = \"20s\""));
    show(&gateway, "def").expect(200);
    let gate = server.hang();
    let mut waits = gateway.connect();
    waits.send(request("abc"));
    eventually("the question is asked", || server.asked() == 2);
    gateway.get("/free").expect(200);
    show(&gateway, "def").expect(200);
    assert_eq!(told(&gateway, "answered"), 1, "the worker waited for the server");
    gate.open();
    waits.response().expect(200);
}

fn who_waits_too_long_in_line_is_refused_and_floods_open_nothing(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    let rules = "timeout = \"300ms\"\non_error = \"allow\"";
    let gateway = Gateway::start(driver, text(&upstream, &server, rules));
    let gate = server.hang();
    let mut clients: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(request(&format!("token{n}")));
    }
    let answers: Vec<_> = clients.iter_mut().map(|client| client.response()).collect();
    gate.open();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    let overloaded = refused.iter().filter(|answer| kind(answer) == "identity_overloaded").count();
    assert!(overloaded > 0 && refused.len() < 300, "{overloaded} of {}", refused.len());
    assert_eq!(upstream.count() + refused.len(), 300);
    assert!(told(&gateway, "overloaded") >= overloaded as u64);
    server.know("abc", json!({}));
    server.be_honest();
    eventually("it is served again", || {
        show(&gateway, "abc").status == 200 && told(&gateway, "remembered") > 0
    });
}

fn a_client_that_leaves_takes_nobody_with_it(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({}));
    let gateway = Gateway::start(driver, text(&upstream, &server, "timeout = \"20s\""));
    let gate = server.hang();
    let (mut leaves, mut stays) = (gateway.connect(), gateway.connect());
    leaves.send(request("abc"));
    eventually("the question is asked", || told(&gateway, "asked") == 1);
    stays.send(request("abc"));
    eventually("the other waits too", || told(&gateway, "joined") == 1);
    leaves.reset();
    gate.open();
    stays.response().expect(200);
    assert_eq!(server.asked(), 1);
    show(&gateway, "abc").expect(200);
}

fn a_reload_lets_questions_end_and_keeps_what_is_remembered(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({ "scope": "read" }));
    server.know("def", json!({ "scope": "read" }));
    let text = |rules: &str| text(&upstream, &server, &format!("timeout = \"20s\"\n{rules}"));
    let gateway = Gateway::start(driver, text(""));
    show(&gateway, "abc").expect(200);
    gateway.reload(format!("{}\n# The same.\n", text("")));
    show(&gateway, "abc").expect(200);
    assert_eq!(server.asked(), 1);
    let gate = server.hang();
    let mut waits = gateway.connect();
    waits.send(request("def"));
    eventually("the question is asked", || server.asked() == 2);
    gateway.reload(text("scopes = [\"write\"]"));
    gate.open();
    // It came while the rules were others.
    waits.response().expect(200);
    server.be_honest();
    show(&gateway, "abc").expect_failure(403);
    show(&gateway, "def").expect_failure(403);
    assert_eq!(server.asked(), 4);
}

fn a_bound_token_is_for_its_client_only(driver: Driver) {
    let (signer, server, upstream) = (Signer::new(), TokenServer::new(), Upstream::saying("ok"));
    let own = signer.certify(&["a.example"]);
    let text = format!(
        "[[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n\
         [listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n\
         client_certificates = {{ mode = \"optional\", ca = \"ca.pem\" }}\n{}",
        text(&upstream, &server, "")
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("ca.pem", signer.pem())
        .start();
    let (client, other) = (signer.certify(&["client"]), signer.certify(&["other"]));
    server.know("abc", json!({ "cnf": { "x5t#S256": client.thumbprint() } }));
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer abc\r\n\r\n";
    let ask = |tls| Client::connect_tls(gateway.address("secure"), &tls, "a.example").ask(request);
    ask(signer.client(BOTH)).expect_failure(401);
    ask(signer.client_with(&client)).expect(200);
    ask(signer.client_with(&other)).expect_failure(401);
    ask(signer.client(BOTH)).expect_failure(401);
    ask(signer.client_with(&client)).expect(200);
    assert_eq!(upstream.count(), 2);
}

fn a_token_without_the_scope_is_good_for_less(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("no"));
    server.know("abc", json!({ "scope": "write" }));
    server.know("def", json!({ "scope": "read", "tenant": "b" }));
    let rules = "scopes = [\"read\"]\nclaims = { tenant = \"a\" }";
    let gateway = Gateway::start(driver, text(&upstream, &server, rules));
    for token in ["abc", "abc", "def"] {
        let refused = show(&gateway, token).expect_failure(403);
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"read\"";
        assert_eq!(refused.value("www-authenticate"), Some(challenge));
    }
    assert_eq!(server.asked(), 2);
    upstream.expect_untouched();
}

fn what_no_token_can_be_is_not_asked_about(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("no"));
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nhttp = {{ max_head = \"32KiB\" }}\n{}",
        text(&upstream, &server, "")
    );
    let gateway = Gateway::start(driver, text);
    for token in ["", "a\tb", &"x".repeat(16 * 1024 + 1)] {
        let refused = show(&gateway, token).expect_failure(401);
        assert_eq!(refused.value("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    let twice =
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n";
    gateway.once(twice).expect_failure(400);
    assert_eq!(server.asked(), 0);
}

fn tokens_that_a_verifier_knows_are_not_sent(driver: Driver) {
    let (key, server, upstream) = (TokenKey::new("a"), TokenServer::new(), Upstream::saying("ok"));
    let text = text(&upstream, &server, "[jwt.main]\njwks_file = \"keys.json\"").replace(
        "any_of = [\"introspection:main\"]",
        "any_of = [\"introspection:main\", \"jwt:main\"]",
    );
    let gateway = Gateway::with(driver, text).file("keys.json", jwks(&[&key])).start();
    show(&gateway, &key.token(&claims())).expect(200);
    // One that the issuer made is not good for what it does not say, whoever else is asked.
    let mut old = claims();
    old["exp"] = json!(now() - 1000);
    let old = key.token(&old);
    server.know(&old, json!({}));
    show(&gateway, &old).expect_failure(401);
    assert_eq!(server.asked(), 0);
    server.know("opaque", json!({}));
    show(&gateway, "opaque").expect(200);
    let foreign = TokenKey::new("b").token(&claims());
    server.know(&foreign, json!({}));
    show(&gateway, &foreign).expect(200);
    assert_eq!(server.asked(), 2);
    show(&gateway, "unknown").expect_failure(401);
}

fn a_verifier_and_a_server_can_both_be_asked_for(driver: Driver) {
    let (key, server, upstream) = (TokenKey::new("a"), TokenServer::new(), Upstream::saying("ok"));
    let text = text(&upstream, &server, "[jwt.main]\njwks_file = \"keys.json\"").replace(
        "any_of = [\"introspection:main\"]",
        "all_of = [\"introspection:main\", \"jwt:main\"]",
    );
    let gateway = Gateway::with(driver, text).file("keys.json", jwks(&[&key])).start();
    let token = key.token(&claims());
    show(&gateway, &token).expect_failure(401);
    let mut other = claims();
    other["exp"] = json!(now() + 200);
    let other = key.token(&other);
    server.know(&other, json!({}));
    show(&gateway, &other).expect(200);
    // What is not the issuer's is not even asked about.
    server.know("opaque", json!({}));
    show(&gateway, "opaque").expect_failure(401);
    assert_eq!(server.asked(), 2);
}

fn a_server_is_known_by_its_certificate(driver: Driver) {
    let (signer, stranger, upstream) = (Signer::new(), Signer::new(), Upstream::saying("ok"));
    let server = TokenServer::tls(signer.server(&signer.certify(&["localhost"])));
    server.know("abc", json!({}));
    let url = format!("https://localhost:{}/introspect", server.port());
    let text = text_at(&upstream, &url, "roots = \"ca.pem\"");
    let start = |ca: &Signer| Gateway::with(driver, &text).file("ca.pem", ca.pem()).start();
    show(&start(&signer), "abc").expect(200);
    assert_eq!(kind(&show(&start(&stranger), "abc").expect_failure(503)), "introspection_failed");
    assert_eq!(server.asked(), 1);
}

fn http2_streams_wait_too(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({}));
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n{}",
        text(&upstream, &server, "")
    );
    let gateway = Gateway::start(driver, text);
    let mut caller = Caller::connect(Version::Http2, gateway.web());
    for (token, status) in [("abc", 200), ("def", 401), ("abc", 200)] {
        let ask = Ask::get("/").field("authorization", &format!("Bearer {token}"));
        assert_eq!(caller.ask(&ask).status, status);
    }
    assert_eq!(server.asked(), 2);
}

/// A gateway before the product `shop` of these words, whose application `app-bronze` is the client
/// `client-1` of the server's.
fn shop(
    driver: Driver,
    (upstream, server): (&Upstream, &TokenServer),
    authentication: &str,
    rules: &str,
) -> (Gateway, tempfile::TempDir, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let words = format!("[authentication]\n{authentication}\n[plans.bronze]\n[plans.free]\n");
    seed(folder.path(), &words, &[BRONZE]);
    let parts: [&[u8]; 2] = [b"introspection:main", b"client-1"];
    let credential = add(folder.path(), CredentialKind::Jwt, &parts, None);
    let text = format!(
        "[server]\nworkers = 1\n[store]\npath = {:?}\n[upstreams.app]\ntargets = [\"{}\"]\n\
         [introspection.main]\nurl = \"{}\"\ntimeout = \"20s\"\n{rules}\n\
         [[routes]]\nname = \"shop\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n",
        folder.path().join("store.db"),
        upstream.address,
        server.url(),
    );
    (Gateway::start(driver, &text), folder, credential)
}

const TOKENS: &str = "any_of = [\"introspection:main\"]";

fn a_token_lets_its_application_in(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({ "client_id": "client-1" }));
    server.know("other", json!({ "client_id": "client-2" }));
    server.know("nobody", json!({ "sub": "client-1" }));
    let (gateway, _folder, _) = shop(driver, (&upstream, &server), TOKENS, "");
    show(&gateway, "abc").expect(200);
    show(&gateway, "abc").expect(200);
    let received = upstream.wait_for_request(2);
    assert_eq!(received.value("x-tollgate-application"), Some("app-bronze"));
    assert_eq!(received.value("authorization"), None);
    for token in ["other", "nobody", "inactive"] {
        show(&gateway, token).expect_failure(401);
    }
    let challenge = gateway.get("/").expect_failure(401);
    assert_eq!(challenge.value("www-authenticate"), Some("Bearer realm=\"shop\""));
    assert_eq!((server.asked(), upstream.count()), (4, 2));
}

fn who_is_revoked_during_the_question_is_refused(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({ "client_id": "client-1" }));
    let (gateway, _folder, credential) = shop(driver, (&upstream, &server), TOKENS, "");
    let operator = Operator::of(&gateway);
    let gate = server.hang();
    let mut waits = gateway.connect();
    waits.send(request("abc"));
    eventually("the question is asked", || server.asked() == 1);
    operator.revoke(&gateway, credential);
    gate.open();
    waits.response().expect_failure(401);
    upstream.expect_untouched();
}

fn where_the_server_fails_a_product_has_its_anonymous_plan_or_nothing(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.send("");
    let open = "on_error = \"allow\"";
    let (gateway, _folder, _) = shop(driver, (&upstream, &server), TOKENS, open);
    assert_eq!(kind(&show(&gateway, "abc").expect_failure(503)), "introspection_failed");
    let anonymous = format!("{TOKENS}\nanonymous_plan = \"free\"");
    let (gateway, _folder, _) = shop(driver, (&upstream, &server), &anonymous, open);
    show(&gateway, "abc").expect(200);
    let received = upstream.only_request();
    assert_eq!(received.value("x-tollgate-plan"), Some("free"));
    assert_eq!(received.value("x-tollgate-application"), None);
    let (gateway, _folder, _) = shop(driver, (&upstream, &server), &anonymous, "");
    assert_eq!(kind(&show(&gateway, "abc").expect_failure(503)), "introspection_failed");
    // A way before it that is good asks nobody.
    let several = "any_of = [\"user_key\", \"introspection:main\"]";
    let (gateway, _folder, _) = shop(driver, (&upstream, &server), several, "");
    let asked = server.asked();
    let key =
        "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: tg_bronze\r\nAuthorization: Bearer x\r\n\r\n";
    gateway.once(key).expect(200);
    assert_eq!(server.asked(), asked);
}

fn both_ways_can_be_asked_for(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("abc", json!({ "client_id": "client-1" }));
    let both = "all_of = [\"user_key\", \"introspection:main\"]";
    let (gateway, _folder, _) = shop(driver, (&upstream, &server), both, "");
    let with = |key: &str, token: &str| {
        gateway.once(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
    };
    with("tg_bronze", "abc").expect(200);
    with("tg_bronze", "other").expect_failure(401);
    with("tg_wrong", "abc").expect_failure(401);
    show(&gateway, "abc").expect_failure(401);
    assert_eq!(upstream.count(), 1);
}

fn tokens_and_secrets_reach_no_log(driver: Driver) {
    let (server, upstream) = (TokenServer::new(), Upstream::saying("ok"));
    server.know("opensesame", json!({}));
    let rules = "client_id = \"gateway\"\nclient_secret = \"s3cret\"";
    let text = format!(
        "[access_log]\nformat = \"json\"\n[log]\nlevel = \"debug\"\n{}",
        text(&upstream, &server, rules)
    );
    let gateway = Gateway::start(driver, text);
    show(&gateway, "opensesame").expect(200);
    show(&gateway, "opensesame2").expect_failure(401);
    server.send(ok("opensesame3"));
    show(&gateway, "opensesame3").expect_failure(503);
    gateway.wait_output("a record", |line| line.contains("introspection_failed"));
    gateway.wait_log("why", |line| line.contains("a service that is asked fails"));
    let shown = gateway.admin_get("/config").text();
    for told in [gateway.output(), gateway.log(), shown] {
        assert!(!told.contains("opensesame") && !told.contains("s3cret"), "{told}");
    }
}
