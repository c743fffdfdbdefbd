//! A change is in force on every worker before it is answered: nobody is let in by what was revoked,
//! suspended or taken away before the answer, on any connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{BINARY, Client, Driver, Gateway, Response, Upstream};

/// Clients, each with a connection of its own: enough that every worker has some.
const CLIENTS: usize = 8;

struct Shop {
    gateway: Gateway,
    token: String,
    // Holds the targets as long as the gateway is there.
    _upstream: Upstream,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn open(driver: Driver) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let upstream = Upstream::saying("ok");
        let (store, target) = (folder.path().join("store.db"), &upstream.address);
        let gateway = Gateway::start(
            driver,
            format!(
                "[store]\npath = {store:?}\n[upstreams.app]\ntargets = [\"{target}\"]\n\
                 [products.shop]\nmethods = [{{ name = \"read\" }}]\n\
                 mapping_rules = [{{ method = \"GET\", pattern = \"/\", metric = \"read\" }}]\n\
                 [products.shop.plans.all]\n[products.shop.plans.none]\nmethods = []\n\
                 [[routes]]\nname = \"shop\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n"
            ),
        );
        let mut command = std::process::Command::new(BINARY);
        let made = command.args(["init", "-c"]).arg(gateway.config()).output();
        let made = made.expect("the binary runs").stdout;
        let token = String::from_utf8(made).expect("a token").trim().to_owned();
        Self { gateway, token, _upstream: upstream, _folder: folder }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Response {
        let (token, body) = (&self.token, body.to_string());
        let length = body.len();
        Client::once(
            self.gateway.admin(),
            &format!(
                "{method} /v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    }

    /// Somebody new: the paths of application and key, and the key.
    fn sign_up(&self, name: &str) -> (String, String, String) {
        let signed = self.ask(
            "POST",
            "/signups",
            &json!({
                "account": { "name": name },
                "application": { "name": name, "product": "shop", "plan": "all" },
                "credential": { "kind": "user_key" },
            }),
        );
        let signed: Value = serde_json::from_slice(&signed.expect(201).body).expect("JSON");
        let application = format!("/applications/{}", signed["application"]["id"]);
        let credential = format!("{application}/keys/{}", signed["credential"]["id"]);
        (application, credential, signed["credential"]["key"].as_str().expect("a key").to_owned())
    }
}

/// When each request was begun that was let in.
type Let = Vec<Instant>;

/// Asks again and again on one connection until told to stop.
fn keep_asking(
    address: SocketAddr,
    key: &str,
    (stop, admitted): (Arc<AtomicBool>, Arc<AtomicUsize>),
) -> JoinHandle<Let> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    std::thread::spawn(move || {
        let mut client = Client::connect(address);
        let mut begun = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            client.send(&request);
            if client.response_to(&request).status == 200 {
                begun.push(now);
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
        begun
    })
}

both_drivers!(nobody_is_let_in_after_the_answer,);

fn nobody_is_let_in_after_the_answer(driver: Driver) {
    let shop = Shop::open(driver);
    let suspended = json!({ "state": "suspended" });
    for what in ["revoked", "suspended", "another plan", "account", "deleted"] {
        let (application, credential, key) = shop.sign_up(what);
        let (stop, admitted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| keep_asking(shop.gateway.web(), &key, (stop.clone(), admitted.clone())))
            .collect();
        crate::harness::eventually("they are let in", || {
            admitted.load(Ordering::Relaxed) > 20 * CLIENTS
        });
        let answer = match what {
            "revoked" => shop.ask("DELETE", &credential, &Value::Null),
            "suspended" => shop.ask("PATCH", &application, &suspended),
            "another plan" => shop.ask("PATCH", &application, &json!({ "plan": "none" })),
            "account" => {
                let shown = shop.ask("GET", &application, &Value::Null).expect(200);
                let shown: Value = serde_json::from_slice(&shown.body).expect("JSON");
                shop.ask("PATCH", &format!("/accounts/{}", shown["account"]), &suspended)
            }
            _ => shop.ask("DELETE", &application, &Value::Null),
        };
        let answered = Instant::now();
        assert!((200..300).contains(&answer.status), "{what}: {}", answer.text());
        // They go on asking, so that one that was let in would be seen.
        let before = admitted.load(Ordering::Relaxed);
        let mut other = Client::connect(shop.gateway.web());
        for _ in 0..100 {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
            other.send(&request);
            assert_ne!(other.response_to(&request).status, 200, "{what}");
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let begun = client.join().expect("a client ends");
            let late = begun.iter().filter(|at| **at > answered).count();
            assert_eq!(late, 0, "{what}: let in after the answer, of {before}");
        }
    }
}
