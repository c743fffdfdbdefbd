//! Certificates by ACME, against a server that checks what it is sent and looks for what it was
//! promised (`harness::acme`).

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::acme::{AcmeServer, Clients, Renewal, Trouble, asking};
use crate::harness::{BOTH, Builder, Client, Driver, Gateway, Stats, Upstream, eventually};

const HTTP: &str = "http-01";
const ALPN: &str = "tls-alpn-01";

/// A configuration that wants certificates for these names, kept in this folder.
fn text(server: &AcmeServer, challenge: &str, store: &Path, names: &str) -> String {
    let section = server.section(challenge, store.join("store.db").to_str().expect("a path"));
    format!(
        "{section}[[listeners]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n\
         tls = {{ acme_names = [{names}], unknown_name = \"refuse\" }}\n\
         [[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = {{ status = 200, body = \"here\" }}\n"
    )
}

fn builder(driver: Driver, server: &AcmeServer, text: &str) -> Builder {
    Gateway::with(driver, text).file("acme-ca.pem", server.root())
}

/// Starts one, and tells the server where it answers.
fn start(driver: Driver, server: &AcmeServer, text: &str) -> Gateway {
    let gateway = builder(driver, server, text).start();
    let listener = if text.contains(ALPN) { "secure" } else { "plain" };
    server.looks_at(gateway.address(listener));
    gateway
}

/// What `/stats` says of a name.
fn told(stats: &Stats, name: &str) -> Value {
    let all = stats.0["acme"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["name"] == name).unwrap_or_default()
}

#[track_caller]
fn wait_state(gateway: &Gateway, name: &str, state: &str) -> Value {
    gateway.wait_stats(&format!("{name} is {state}"), |stats| told(stats, name)["state"] == state);
    told(&gateway.stats(), name)
}

/// A request over TLS to a name, whose certificate the server's authority signed.
#[track_caller]
fn get(gateway: &Gateway, server: &AcmeServer, name: &str) -> (Client, Vec<u8>) {
    let tls = server.authority().client(BOTH);
    let mut client = Client::connect_tls(gateway.address("secure"), &tls, name);
    let answer = client.ask(&format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
    assert_eq!(answer.expect(200).text(), "here");
    let shown = client.tls().connection.peer_certificates().expect("a certificate")[0].to_vec();
    (client, shown)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

both_drivers!(
    a_certificate_by_http_01,
    a_certificate_by_tls_alpn_01,
    each_name_has_a_certificate_of_its_own,
    after_a_kill_the_store_has_all,
    renewal_when_the_server_suggests_it,
    failures_are_told_and_keep_what_is_there,
    a_proof_that_is_not_found_is_told,
    a_certificate_that_is_over_is_not_taken,
    a_forgotten_account_is_made_again,
    an_account_is_bound_to_an_external_one,
    other_clients_of_acme_may_be_behind,
    a_handshake_for_a_proof_is_never_http,
);

fn a_certificate_by_http_01(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text =
        text(&server, HTTP, folder.path(), "\"a.example\"") + "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let text = text.replace("[acme]\n", "[acme]\ncontact = [\"ops@a.example\"]\n");
    let gateway = builder(driver, &server, &text).start();
    // Until it is there, the name is unknown.
    let tls = server.authority().client(BOTH);
    assert!(Client::try_connect_tls(gateway.address("secure"), &tls, "a.example").is_err());
    assert_eq!(told(&gateway.stats(), "a.example")["state"], "pending");
    let mut open = Client::connect(gateway.address("plain"));
    open.get("/").expect(200);
    server.looks_at(gateway.address("plain"));
    let valid = wait_state(&gateway, "a.example", "valid");
    get(&gateway, &server, "a.example");
    // Nobody was disturbed.
    open.get("/").expect(200);
    assert_eq!(server.orders(), ["a.example"]);
    assert_eq!(server.contacts(), [json!(["mailto:ops@a.example"])]);
    let certificate = &gateway.stats().0["listeners"][1]["tls"]["certificates"][0];
    assert_eq!(certificate["names"], json!(["a.example"]));
    assert_eq!(certificate["not_after"], valid["not_after"]);
    // Without the server's word, at two thirds of 91 days: 60 of them left, or a few less.
    let renew_at = valid["renew_at"].as_i64().expect("a time");
    let left = valid["not_after"].as_i64().expect("a time") - renew_at;
    assert!((25 * 86_400..31 * 86_400).contains(&left), "{valid}");
    let metrics = gateway.admin_get("/metrics").expect(200).text();
    for sample in [
        "tollgate_acme_certificates_total{name=\"a.example\",result=\"obtained\"} 1",
        "tollgate_acme_consecutive_failures{name=\"a.example\",error=\"none\"} 0",
        &format!("tollgate_acme_renewal_timestamp_seconds{{name=\"a.example\"}} {renew_at}"),
    ] {
        assert!(metrics.contains(sample), "{metrics}");
    }
}

fn a_certificate_by_tls_alpn_01(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, ALPN, folder.path(), "\"a.example\"");
    let gateway = start(driver, &server, &text);
    wait_state(&gateway, "a.example", "valid");
    get(&gateway, &server, "a.example");
    assert_eq!(server.orders(), ["a.example"]);
}

fn each_name_has_a_certificate_of_its_own(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, HTTP, folder.path(), "\"a.example\", \"WWW.a.example\"");
    let gateway = start(driver, &server, &text);
    wait_state(&gateway, "a.example", "valid");
    wait_state(&gateway, "www.a.example", "valid");
    let shown = |name| get(&gateway, &server, name).1;
    assert_ne!(shown("a.example"), shown("www.a.example"));
    assert_eq!(server.orders(), ["a.example", "www.a.example"]);
    assert_eq!(server.accounts(), 1);
}

fn after_a_kill_the_store_has_all(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, HTTP, folder.path(), "\"a.example\"");
    let mut gateway = start(driver, &server, &text);
    wait_state(&gateway, "a.example", "valid");
    let before = get(&gateway, &server, "a.example").1;
    gateway.signal(libc::SIGKILL);
    gateway.wait_exit();
    let gateway = start(driver, &server, &text);
    assert_eq!(get(&gateway, &server, "a.example").1, before);
    wait_state(&gateway, "a.example", "valid");
    assert_eq!((server.orders().len(), server.accounts()), (1, 1));
    // A name more is one order more, by the same account.
    let more = text.replace("\"a.example\"", "\"a.example\", \"b.example\"");
    gateway.reload(&more);
    server.looks_at(gateway.address("plain"));
    wait_state(&gateway, "b.example", "valid");
    assert_eq!(server.orders(), ["a.example", "b.example"]);
    assert_eq!(server.accounts(), 1);
    assert_eq!(get(&gateway, &server, "a.example").1, before);
}

fn renewal_when_the_server_suggests_it(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    server.suggest(Renewal::Later);
    let text = text(&server, HTTP, folder.path(), "\"a.example\"");
    let gateway = start(driver, &server, &text);
    let valid = wait_state(&gateway, "a.example", "valid");
    // Within the window in the year 2100, on whatever day the certificate ends.
    let renew_at = valid["renew_at"].as_i64().expect("a time");
    assert!((4_102_444_800..=4_102_531_200).contains(&renew_at), "{valid}");
    assert_eq!(server.replaced(), Value::Null);
    let (mut open, before) = get(&gateway, &server, "a.example");
    server.suggest(Renewal::Now);
    gateway.reload(&text);
    server.looks_at(gateway.address("plain"));
    eventually("another certificate is shown", || get(&gateway, &server, "a.example").1 != before);
    assert_eq!(server.orders(), ["a.example", "a.example"]);
    let replaced = server.replaced();
    assert!(replaced.as_str().is_some_and(|id| id.contains('.')), "{replaced}");
    // Whoever was there goes on.
    open.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").expect(200);
    // The new one rests a while, although the server still says now.
    gateway.wait_stats("planned", |stats| {
        let told = told(stats, "a.example");
        told["obtained"] == 2 && told["renew_at"].as_i64().is_some_and(|at| at > 1_600_000_000)
    });
    assert_eq!(server.orders().len(), 2);
}

fn failures_are_told_and_keep_what_is_there(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, HTTP, folder.path(), "\"a.example\"");
    let gateway = start(driver, &server, &text);
    wait_state(&gateway, "a.example", "valid");
    let before = get(&gateway, &server, "a.example").1;
    server.suggest(Renewal::Now);
    let retry_after = Trouble::RateLimited(20_000);
    for (trouble, kind) in [(Trouble::Fails, "server"), (retry_after, "rate_limited")] {
        server.trouble(Some(trouble));
        gateway.reload(&text);
        gateway.wait_stats(kind, |stats| told(stats, "a.example")["last_error"]["kind"] == kind);
    }
    let failing = told(&gateway.stats(), "a.example");
    assert_eq!(
        (&failing["state"], &failing["consecutive_failures"]),
        (&json!("failing"), &json!(2))
    );
    assert!(failing["not_after"].is_i64(), "{failing}");
    let line = gateway.wait_log("the pause", |line| line.contains("rate_limited"));
    assert!(line.contains("again_in_s=20000"), "{line}");
    let metrics = gateway.admin_get("/metrics").expect(200).text();
    let sample = "acme_consecutive_failures{name=\"a.example\",error=\"rate_limited\"} 2";
    assert!(metrics.contains(sample), "{metrics}");
    assert_eq!(get(&gateway, &server, "a.example").1, before);
    // A few nonces that are refused are no failure: it is asked again with those that came back.
    server.trouble(None);
    server.spoil_nonces(2);
    gateway.reload(&text);
    server.looks_at(gateway.address("plain"));
    wait_state(&gateway, "a.example", "valid");
    assert_ne!(get(&gateway, &server, "a.example").1, before);
    // After a failure it is not said what is replaced.
    assert_eq!(server.replaced(), Value::Null);
}

fn a_proof_that_is_not_found_is_told(driver: Driver) {
    for challenge in [HTTP, ALPN] {
        let (server, folder) = (AcmeServer::start(), folder());
        server.trouble(Some(Trouble::OtherKey));
        let text = text(&server, challenge, folder.path(), "\"a.example\"");
        let gateway = start(driver, &server, &text);
        let failing = wait_state(&gateway, "a.example", "failing");
        assert_eq!(failing["last_error"]["kind"], "challenge", "{failing}");
        let message = failing["last_error"]["message"].as_str().expect("words");
        let wanted = if challenge == HTTP { "is not" } else { "the proof is not critical" };
        assert!(message.contains(wanted), "{message}");
        gateway.wait_log("the failure", |line| line.contains("no certificate came"));
        // The proof is taken back.
        let path = "/.well-known/acme-challenge/token-of-0-with-enough-characters";
        assert_eq!(Client::connect(gateway.address("plain")).get(path).expect(200).text(), "here");
        server.trouble(None);
        gateway.reload(&text);
        server.looks_at(gateway.address(if challenge == HTTP { "plain" } else { "secure" }));
        wait_state(&gateway, "a.example", "valid");
    }
}

fn a_certificate_that_is_over_is_not_taken(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    server.trouble(Some(Trouble::Expired));
    let gateway = start(driver, &server, &text(&server, HTTP, folder.path(), "\"a.example\""));
    let failing = wait_state(&gateway, "a.example", "failing");
    assert_eq!(failing["last_error"]["kind"], "certificate", "{failing}");
    assert_eq!(failing["not_after"], Value::Null);
}

fn a_forgotten_account_is_made_again(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, HTTP, folder.path(), "\"a.example\"");
    server.trouble(Some(Trouble::Forgets));
    let gateway = start(driver, &server, &text);
    let failing = wait_state(&gateway, "a.example", "failing");
    assert_eq!(failing["last_error"]["kind"], "refused", "{failing}");
    assert_eq!(server.accounts(), 0);
    server.trouble(None);
    gateway.reload(&text);
    server.looks_at(gateway.address("plain"));
    wait_state(&gateway, "a.example", "valid");
    assert_eq!((server.accounts(), server.contacts().len()), (1, 2));
}

fn an_account_is_bound_to_an_external_one(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    server.bind_accounts(b"s3cret");
    let bare = text(&server, HTTP, folder.path(), "\"a.example\"");
    let account = "external_account = { key_id = \"kid-1\", key = \"${ACME_HMAC}\" }";
    let bound = bare.replace("[acme]\n", &format!("[acme]\n{account}\n"));
    let gateway = builder(driver, &server, &bare);
    let gateway = gateway.environment("ACME_HMAC", &URL_SAFE_NO_PAD.encode("s3cret")).start();
    server.looks_at(gateway.address("plain"));
    let failing = wait_state(&gateway, "a.example", "failing");
    assert_eq!(failing["last_error"]["kind"], "refused", "{failing}");
    gateway.reload(&bound);
    server.looks_at(gateway.address("plain"));
    wait_state(&gateway, "a.example", "valid");
}

fn other_clients_of_acme_may_be_behind(driver: Driver) {
    let upstream = Upstream::saying("theirs");
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, HTTP, folder.path(), "\"a.example\"");
    let respond = "respond = { status = 200, body = \"here\" }\n";
    let text = text.replace(respond, "upstream = \"app\"\n");
    let text = format!("{text}[upstreams.app]\ntargets = [\"{}\"]\n", upstream.address);
    let gateway = builder(driver, &server, &text).start();
    let path = |token| format!("/.well-known/acme-challenge/{token}");
    let mut client = Client::connect(gateway.address("plain"));
    assert_eq!(client.get(&path("theirs")).expect(200).text(), "theirs");
    // Ours, once the server could look for it; by any host, since tokens are hard to guess.
    let ours = path("token-of-0-with-enough-characters");
    server.wait_for_proof();
    let answer = client.get(&ours).expect(200);
    assert!(answer.text().starts_with("token-of-0-with-enough-characters."), "{}", answer.text());
    assert_eq!(answer.value("content-type"), Some("application/octet-stream"));
    assert_eq!(client.get(&path("theirs")).expect(200).text(), "theirs");
    let post = format!("POST {ours} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.ask(&post).expect(200).text(), "theirs");
}

fn a_handshake_for_a_proof_is_never_http(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, ALPN, folder.path(), "\"a.example\"");
    let gateway = builder(driver, &server, &text).start();
    let secure = gateway.address("secure");
    let proof = asking(&[b"acme-tls/1"]);
    let connect = |name: &str| Client::try_connect_tls(secure, &proof, name);
    server.wait_for_proof();
    let mut client = connect("a.example").expect("a handshake");
    // It may be gone before the request is out.
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(client.try_response().is_err());
    assert!(connect("b.example").is_err(), "no proof is for this name");
    server.looks_at(secure);
    wait_state(&gateway, "a.example", "valid");
    // When nobody is to look for a proof, nobody finds one.
    assert!(connect("a.example").is_err());
    get(&gateway, &server, "a.example");
}

both_drivers!(a_store_that_cannot_be_used_is_told_at_the_start,);

fn a_store_that_cannot_be_used_is_told_at_the_start(driver: Driver) {
    let (server, folder) = (AcmeServer::start(), folder());
    let text = text(&server, HTTP, &folder.path().join("none"), "\"a.example\"");
    let mut gateway = builder(driver, &server, &text).start_unready();
    assert!(!gateway.wait_exit().success());
    let line = gateway.wait_log("the reason", |line| line.contains("store.path"));
    assert!(line.contains("there is no such folder"), "{line}");
    // Without names nobody asks for it.
    let text =
        text.replace("tls = { acme_names = [\"a.example\"], unknown_name = \"refuse\" }\n", "");
    builder(driver, &server, &text).start();
    assert!(!folder.path().join("none").exists());
}

/// A JWS as a client makes it.
struct Request {
    header: Value,
    payload: String,
    key: EcdsaKeyPair,
}

impl Request {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("a key");
        let point = key.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        let header = json!({ "alg": "ES256", "nonce": "n", "url": "https://x/new", "jwk": jwk });
        Self { header, payload: "{}".into(), key }
    }

    fn signed(&self) -> Value {
        let [protected, payload] = [self.header.to_string(), self.payload.clone()]
            .map(|part| URL_SAFE_NO_PAD.encode(part));
        let text = format!("{protected}.{payload}");
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
        let signature = URL_SAFE_NO_PAD.encode(signature);
        json!({ "protected": protected, "payload": payload, "signature": signature })
    }

    /// Why a server that gave this nonce refuses it; empty where it does not.
    fn refused(jws: &Value) -> &'static str {
        let mut clients = Clients::default();
        clients.nonces.insert("n".into());
        let checked = clients.check(jws.to_string().as_bytes(), "https://x/new", true);
        checked.err().map_or("", |(kind, _)| kind)
    }
}

#[test]
fn the_server_refuses_what_is_not_signed_as_it_must_be() {
    let good = Request::new();
    assert_eq!(Request::refused(&good.signed()), "");
    for (field, value, kind) in [
        ("alg", json!("none"), "badSignatureAlgorithm"),
        ("url", json!("https://x/other"), "unauthorized"),
        ("nonce", json!("m"), "badNonce"),
        ("kid", json!("https://x/account/1"), "malformed"),
        ("jwk", Request::new().header["jwk"].clone(), "malformed"),
    ] {
        let mut request = Request::new();
        request.header[field] = value;
        assert_eq!(Request::refused(&request.signed()), kind, "{field}");
    }
    let mut changed = good.signed();
    changed["payload"] = URL_SAFE_NO_PAD.encode("{\"a\":1}").into();
    assert_eq!(Request::refused(&changed), "malformed");
    let mut clients = Clients::default();
    clients.nonces.insert("n".into());
    let body = good.signed().to_string();
    assert!(clients.check(body.as_bytes(), "https://x/new", true).is_ok());
    let again = clients.check(body.as_bytes(), "https://x/new", true);
    assert_eq!(again.expect_err("a nonce is used once").0, "badNonce");
}
