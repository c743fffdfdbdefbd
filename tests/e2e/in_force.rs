//! A change is in force on every worker before it is answered: nobody is let in by what was revoked,
//! suspended or taken away before the answer, on any connection.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{BINARY, Client, Driver, Gateway, Response, Upstream};

/// Clients, each with a connection of its own: enough that every worker has some.
const CLIENTS: usize = 8;

struct Shop {
    gateway: Gateway,
    token: String,
    upstream: Upstream,
    folder: tempfile::TempDir,
}

fn plans(all: &str) -> String {
    format!(
        "[products.shop]\nmethods = [{{ name = \"read\" }}]\n\
         mapping_rules = [{{ method = \"GET\", pattern = \"/\", metric = \"read\" }}]\n\
         [products.shop.plans.all]\n{all}\n[products.shop.plans.none]\nmethods = []\n"
    )
}

fn config(folder: &Path, upstream: &Upstream, products: &str) -> String {
    let (store, target) = (folder.join("store.db"), &upstream.address);
    format!(
        "[store]\npath = {store:?}\ncommit_interval = \"1m\"\n[upstreams.app]\ntargets = [\"{target}\"]\n\
         {products}\
         [[routes]]\nname = \"shop\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n"
    )
}

impl Shop {
    /// With a plan that lets all in, and says so much more.
    fn open(driver: Driver, plan: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let upstream = Upstream::saying("ok");
        let gateway = Gateway::start(driver, config(folder.path(), &upstream, &plans(plan)));
        let mut command = std::process::Command::new(BINARY);
        let made = command.args(["init", "-c"]).arg(gateway.config()).output();
        let made = made.expect("the binary runs").stdout;
        let token = String::from_utf8(made).expect("a token").trim().to_owned();
        Self { gateway, token, upstream, folder }
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

both_drivers!(
    nobody_is_let_in_after_the_answer,
    who_is_revoked_while_the_disk_is_waited_for_is_not_let_in,
    a_reload_that_fails_leaves_products_and_plans_as_they_were,
    a_reload_that_the_store_refuses_changes_nothing,
    who_changes_plans_takes_along_what_was_used,
);

fn reload(shop: &Shop, products: &str, address: SocketAddr) -> Response {
    let listeners = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"another\"\nlisten = \"{address}\"\n"
    );
    let rest = config(shop.folder.path(), &shop.upstream, products);
    shop.gateway.rewrite(format!("{rest}{listeners}"));
    shop.gateway.admin_post("/reload")
}

fn call(shop: &Shop, key: &str) -> Response {
    shop.gateway.once(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"))
}

fn a_reload_that_fails_leaves_products_and_plans_as_they_were(driver: Driver) {
    let shop = Shop::open(driver, "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let products = || shop.ask("GET", "/products/shop", &Value::Null).expect(200);
    let before = products().text();
    for fewer in ["[products.shop.plans.none]\n", "[products.other.plans.all]\n"] {
        let refused = reload(&shop, fewer, address);
        assert!(refused.text().contains("can't listen"), "{}", refused.text());
        assert_eq!(products().text(), before);
        let (_, _, key) = shop.sign_up(fewer.split('.').nth(1).expect("a name"));
        call(&shop, &key).expect(200);
    }
}

fn a_reload_that_the_store_refuses_changes_nothing(driver: Driver) {
    let shop = Shop::open(driver, "");
    let (_, _, key) = shop.sign_up("first");
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let address = free();
    let refused = reload(&shop, "[products.new.plans.all]\n[products.shop.plans.none]\n", address);
    assert!(refused.text().contains("products.shop.plans.all"), "{}", refused.text());
    TcpStream::connect(address).expect_err("nobody listens");
    shop.ask("GET", "/products/new", &Value::Null).expect(404);
    call(&shop, &key).expect(200);
    let (_, _, key) = shop.sign_up("second");
    call(&shop, &key).expect(200);
    // What may be is done as if nothing had been.
    let (more, address) = (plans("") + "[products.new.plans.all]\n", free());
    assert_eq!(reload(&shop, &more, address).status, 200);
    shop.ask("GET", "/products/new", &Value::Null).expect(200);
    call(&shop, &key).expect(200);
}

fn who_changes_plans_takes_along_what_was_used(driver: Driver) {
    let metered = "[products.shop.plans.metered]\nquotas = [{ period = \"year\", max = 5 }]\n";
    let shop = Shop::open(driver, &format!("methods = [\"read\"]\n{metered}"));
    let (application, _, key) = shop.sign_up("first");
    for _ in 0..4 {
        let answer = call(&shop, &key).expect(200);
        assert_eq!(answer.value("ratelimit"), None, "a plan without quotas tells of none");
        assert_eq!(answer.value("ratelimit-policy"), None);
    }
    shop.ask("PATCH", &application, &json!({ "plan": "metered" })).expect(200);
    let answer = call(&shop, &key).expect(200);
    assert!(answer.value("ratelimit").expect("a field").starts_with("\"hits-year\";r=0;"));
    call(&shop, &key).expect(429);
    shop.ask("PATCH", &application, &json!({ "plan": "all" })).expect(200);
    call(&shop, &key).expect(200);
    shop.ask("PATCH", &application, &json!({ "plan": "metered" })).expect(200);
    call(&shop, &key).expect(429);
}

fn nobody_is_let_in_after_the_answer(driver: Driver) {
    let shop = Shop::open(driver, "");
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

fn who_is_revoked_while_the_disk_is_waited_for_is_not_let_in(driver: Driver) {
    let plan = "strict = true\nquotas = [{ period = \"year\", max = 1000 }]";
    let shop = Shop::open(driver, plan);
    // Who comes first is for the disk to say; most times it is the key within a few rounds.
    if !(0..100).any(|round| revoked_while_it_waits(&shop, &format!("a{round}"))) {
        eprintln!("SKIPPED: the disk had each request before its key was revoked");
    }
}

/// Lets a request of a strict plan wait for the store while its key is revoked. `false`: what it was
/// charged was stored first after all, and it was let in, as it may.
fn revoked_while_it_waits(shop: &Shop, name: &str) -> bool {
    let (_, credential, key) = shop.sign_up(name);
    let (path, before) = (shop.folder.path().join("store.db"), shop.upstream.count());
    let (other, reader) = (Connection::open(&path), Connection::open(&path));
    let (other, reader) = (other.expect("the store"), reader.expect("the store"));
    other.busy_timeout(std::time::Duration::ZERO).expect("set");
    let hold = || other.execute_batch("BEGIN IMMEDIATE").is_ok();
    let let_go = || other.execute_batch("ROLLBACK").expect("let go");
    let asked = |query: &str| reader.query_row(query, [], |row| row.get::<_, bool>(0));
    crate::harness::eventually("the store is held", hold);
    let mut client = Client::connect(shop.gateway.web());
    std::thread::scope(|scope| {
        let revoking = scope.spawn(|| shop.ask("DELETE", &credential, &Value::Null));
        // So long that it waits for the store by now; only then the request does.
        (0..5).for_each(|_| drop(shop.ask("GET", "/products", &Value::Null).expect(200)));
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
        crate::harness::eventually("the ledger waits", || {
            shop.gateway.stats().number("/ledger/waiting") > 0
        });
        let id = credential.rsplit_once('/').expect("an id").1;
        let is_revoked = format!("SELECT revoked_at IS NOT NULL FROM credentials WHERE id = {id}");
        let_go();
        crate::harness::eventually("the key is revoked", || asked(&is_revoked) == Ok(true));
        crate::harness::eventually("the store is held again", hold);
        let holder = name.trim_start_matches('a').parse::<u64>().expect("a number") + 1;
        let is_stored = format!("SELECT count(*) > 0 FROM quotas WHERE application = {holder}");
        let in_order = asked(&is_stored) == Ok(false);
        if in_order {
            let answer = revoking.join().expect("an answer");
            assert!((200..300).contains(&answer.status), "{}", answer.text());
        }
        let_go();
        let response = client.response();
        if in_order {
            assert_eq!((response.status, shop.upstream.count()), (401, before));
        }
        in_order
    })
}
