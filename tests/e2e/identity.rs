//! Callers who prove who they are by what takes more than a lookup: questions that are asked, answers
//! that are remembered, and what becomes of requests meanwhile.

use std::path::Path;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate::config::file::CredentialKind;
use tollgate::policy::auth::digest;
use tollgate::store::catalog::{CredentialFilter, NewCredential, Page};
use tollgate::store::{Store, StoreError};

use crate::applications::{BRONZE, seed};
use crate::harness::{
    Ask, Caller, Driver, Gateway, Operator, Response, Upstream, Version, eventually,
};

const BASIC: &str = "[authentication]\nany_of = [\"basic\"]\n[plans.bronze]\n";

both_drivers!(
    a_user_with_the_right_password_passes,
    others_are_refused_alike,
    a_password_is_verified_once_and_not_for_each_request,
    a_revoked_user_is_refused_though_the_password_is_remembered,
    a_new_password_counts_at_once,
    passwords_reach_no_upstream_and_no_log,
    who_is_revoked_during_the_question_is_refused,
    the_same_question_is_asked_once,
    workers_serve_others_while_passwords_are_verified,
    too_many_passwords_are_refused,
    streams_wait_for_passwords_too,
);

/// A hash that takes no time to verify.
pub fn quick_hash(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).expect("parameters");
    hash(&Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params), password)
}

/// A hash as the gateway makes them.
fn real_hash(password: &str) -> String {
    hash(&Argon2::default(), password)
}

fn hash(argon2: &Argon2<'_>, password: &str) -> String {
    let hash = argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef");
    hash.expect("a hash").to_string()
}

/// Gives the only application of the store another credential.
pub fn add(folder: &Path, kind: CredentialKind, parts: &[&[u8]], password: Option<String>) -> u64 {
    let store = Store::open(&folder.join("store.db")).expect("the store");
    let (hint, label, ends_at) = (String::new(), String::new(), None);
    let added = store.write(|records| {
        let first = records.credentials(&CredentialFilter::default(), Page::FIRST)?;
        let application = first.rows[0].application;
        let product = records.application(application)?.expect("the application").product;
        let digest = digest(store.secret(), (product, kind), parts);
        let new = NewCredential { application, kind, digest, hint, password, label, ends_at };
        Ok::<_, StoreError>(records.insert_credential(&new, 1)?.id)
    });
    added.expect("the store takes it")
}

/// A gateway before the product `shop` of these words, with its store.
struct Shop {
    gateway: Gateway,
    _folder: tempfile::TempDir,
    /// The first user.
    ann: u64,
}

fn shop(driver: Driver, upstream: &Upstream, words: &str, users: &[(&str, String)]) -> Shop {
    let folder = tempfile::tempdir().expect("a folder");
    seed(folder.path(), words, &[BRONZE]);
    let basic = |(user, hash): &(&str, String)| {
        add(folder.path(), CredentialKind::Basic, &[user.as_bytes()], Some(hash.clone()))
    };
    let ids: Vec<_> = users.iter().map(basic).collect();
    let (path, target) = (folder.path().join("store.db"), &upstream.address);
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"http/1.1\", \"h2\"]\n\
         [server]\nworkers = 1\n[access_log]\nformat = \"json\"\n[log]\nlevel = \"debug\"\n[store]\npath = {path:?}\n\
         [upstreams.app]\ntargets = [\"{target}\"]\n\
         [[routes]]\nname = \"shop\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n\
         [[routes]]\nname = \"free\"\npath = \"/free\"\nupstream = \"app\"\n"
    );
    Shop { gateway: Gateway::start(driver, &text), _folder: folder, ann: ids[0] }
}

fn request(user: &str, password: &str) -> String {
    let basic = STANDARD.encode(format!("{user}:{password}"));
    format!("GET /a HTTP/1.1\r\nHost: test.example\r\nAuthorization: Basic {basic}\r\n\r\n")
}

impl Shop {
    fn ask(&self, user: &str, password: &str) -> Response {
        self.gateway.once(&request(user, password))
    }

    /// What the stats page says of passwords.
    fn told(&self, what: &str) -> u64 {
        self.gateway.stats().number(&format!("/identity/0/{what}"))
    }
}

fn a_user_with_the_right_password_passes(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", real_hash("pass:word"))]);
    assert_eq!(shop.ask("ann", "pass:word").expect(200).text(), "ok");
    let received = upstream.only_request();
    assert_eq!(received.value("x-tollgate-application"), Some("app-bronze"));
}

fn others_are_refused_alike(driver: Driver) {
    let upstream = Upstream::saying("no");
    let shop = shop(driver, &upstream, BASIC, &[("ann", real_hash("right"))]);
    let challenge = Some("Basic realm=\"shop\", charset=\"UTF-8\"");
    let none = shop.gateway.get("/a").expect_failure(401);
    assert_eq!(none.value("www-authenticate"), challenge);
    let [wrong, unknown, empty] =
        [("ann", "wrong"), ("bob", "right"), ("", "")].map(|(user, password)| {
            let refused = shop.ask(user, password).expect_failure(401);
            assert_eq!(refused.value("www-authenticate"), challenge);
            let mut problem: Value = serde_json::from_slice(&refused.body).expect("a problem");
            problem["request_id"] = Value::Null;
            problem
        });
    assert!(wrong == unknown && wrong == empty, "{wrong} {unknown} {empty}");
    // Who is not known was verified like who is.
    assert_eq!((shop.told("asked"), shop.told("answered")), (3, 3));
    upstream.expect_untouched();
}

fn a_password_is_verified_once_and_not_for_each_request(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", quick_hash("right"))]);
    for _ in 0..20 {
        shop.ask("ann", "right").expect(200);
        shop.ask("ann", "wrong").expect(401);
    }
    // A wrong one is remembered for seconds only.
    let (asked, remembered) = (shop.told("asked"), shop.told("remembered"));
    assert!((2..=6).contains(&asked), "{asked}");
    assert_eq!(asked + remembered, 40);
}

fn a_revoked_user_is_refused_though_the_password_is_remembered(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", quick_hash("right"))]);
    shop.ask("ann", "right").expect(200);
    Operator::of(&shop.gateway).revoke(&shop.gateway, shop.ann);
    shop.ask("ann", "right").expect(401);
    assert_eq!(upstream.count(), 1);
}

fn a_new_password_counts_at_once(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", quick_hash("old"))]);
    shop.ask("ann", "old").expect(200);
    let operator = Operator::of(&shop.gateway);
    operator.revoke(&shop.gateway, shop.ann);
    let ann = json!({ "kind": "basic", "user": "ann" });
    let made = operator.make(&shop.gateway, "/applications/1/keys", &ann);
    shop.ask("ann", "old").expect(401);
    shop.ask("ann", made["key"].as_str().expect("a password")).expect(200);
}

fn passwords_reach_no_upstream_and_no_log(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", quick_hash("opensesame"))]);
    shop.ask("ann", "opensesame").expect(200);
    shop.ask("ann", "opensesame2").expect(401);
    let received = upstream.only_request();
    assert_eq!(received.value("authorization"), None);
    let coded = STANDARD.encode("ann:opensesame");
    shop.gateway.wait_output("a record", |line| line.contains("app-bronze"));
    shop.gateway.wait_output("a record", |line| line.contains("bad_credential"));
    for told in [shop.gateway.output(), shop.gateway.log()] {
        // The other password's text begins with this one's, coded too.
        assert!(
            !told.contains("opensesame") && !told.contains(coded.trim_end_matches('=')),
            "{told}"
        );
    }
}

/// A hash that takes about a second to verify.
fn slow_hash(password: &str) -> String {
    let params = Params::new(65_536, 8, 1, None).expect("parameters");
    hash(&Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params), password)
}

fn who_is_revoked_during_the_question_is_refused(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", slow_hash("right"))]);
    let operator = Operator::of(&shop.gateway);
    let mut waits = shop.gateway.connect();
    waits.send(request("ann", "right"));
    eventually("the question is asked", || shop.told("asked") == 1);
    operator.revoke(&shop.gateway, shop.ann);
    assert_eq!(shop.told("answered"), 0, "the revocation came too late to be tested");
    waits.response().expect(401);
    upstream.expect_untouched();
}

fn the_same_question_is_asked_once(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", slow_hash("right"))]);
    let mut clients: Vec<_> = (0..100).map(|_| shop.gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(request("ann", "right")));
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    assert_eq!(shop.told("asked"), 1);
}

fn workers_serve_others_while_passwords_are_verified(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", slow_hash("right"))]);
    let mut waits = shop.gateway.connect();
    waits.send(request("ann", "right"));
    eventually("the question is asked", || shop.told("asked") == 1);
    shop.gateway.get("/free").expect(200);
    assert_eq!(shop.told("answered"), 0, "the worker waited for the password");
    waits.response().expect(200);
}

fn streams_wait_for_passwords_too(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", real_hash("right"))]);
    let mut caller = Caller::connect(Version::Http2, shop.gateway.web());
    for (password, status) in [("right", 200), ("wrong", 401)] {
        let basic = format!("Basic {}", STANDARD.encode(format!("ann:{password}")));
        assert_eq!(caller.ask(&Ask::get("/a").field("authorization", &basic)).status, status);
    }
}

fn too_many_passwords_are_refused(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let shop = shop(driver, &upstream, BASIC, &[("ann", real_hash("right"))]);
    let mut clients: Vec<_> = (0..200).map(|_| shop.gateway.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(request("ann", &format!("wrong{n}")));
    }
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.response().status).collect();
    let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
    // How many depends on the machine: who waits for too long gets 503 as well.
    assert!(count(401) > 0 && count(503) > 0, "{statuses:?}");
    assert_eq!(count(401) + count(503), 200);
    shop.ask("ann", "right").expect(200);
}
