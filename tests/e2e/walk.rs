//! The walk of docs/APPLICATIONS.md, from an empty folder to a month's bill: each step a command that
//! somebody would type, or a request through the gateway.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{BINARY, Driver, Gateway, Response, Upstream};

const PRODUCT: &str = r#"
methods = [{ name = "read_orders" }, { name = "place_order" }]
mapping_rules = [
    { method = "GET", pattern = "/orders", metric = "read_orders", last = true },
    { method = "POST", pattern = "/orders$", metric = "place_order" },
]
state = "draft"

[plans.bronze]
methods = ["read_orders"]
limits = [{ rate = "100/m" }]
quotas = [{ period = "month", max = 10000 }]

[plans.gold]
limits = [{ rate = "1000000/s" }]
quotas = [{ period = "month", max = 1000000 }]
attributes = { "X-Tier" = "gold" }
"#;

/// How long a count may be on its way to the disk: `store.commit_interval`, and what a busy machine adds.
const INTERVAL: Duration = Duration::from_millis(2500);

/// A gateway, the folder that outlives it, and who asks.
struct Walk {
    driver: Driver,
    folder: TempDir,
    upstream: Upstream,
    gateway: Gateway,
    token: String,
}

impl Walk {
    fn begin(driver: Driver) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let upstream = Upstream::saying("ok");
        let gateway = start(driver, folder.path(), &upstream);
        let mut walk = Self { driver, folder, upstream, gateway, token: String::new() };
        let config = walk.gateway.config();
        let config = config.to_str().expect("a name").to_owned();
        walk.token = walk.run(&["init", "-c", &config]).trim().to_owned();
        walk
    }

    /// Runs a command that must do what it is told, and says what it printed.
    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(self.folder.path()).env("TOLLGATE_TOKEN", &self.token);
        command.env("TOLLGATE_ADMIN", format!("http://{}", self.gateway.admin()));
        let output = command.output().expect("the binary runs");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {why}");
        String::from_utf8(output.stdout).expect("a text")
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let told = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}"))
    }

    fn call(&self, key: &str, line: &str) -> Response {
        let head = "HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key:";
        self.gateway.once(&format!("{line} {head} {key}\r\nContent-Length: 0\r\n\r\n"))
    }

    fn read(&self, key: &str) -> Response {
        self.call(key, "GET /orders/17")
    }

    /// What was used of a metric since the beginning, divided as asked.
    fn used(&self, metric: &str, more: &[&str]) -> u64 {
        let all = ["usage", "--from", "2020-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"];
        let told = self.json(&[&all[..], &["--metric", metric], more].concat());
        let rows = told["items"].as_array().or(told.as_array()).expect("rows").clone();
        rows.iter().map(|row| row["count"].as_u64().expect("a count")).sum()
    }
}

fn start(driver: Driver, folder: &Path, upstream: &Upstream) -> Gateway {
    let (store, target) = (folder.join("store.db"), &upstream.address);
    Gateway::start(
        driver,
        format!(
            "[store]\npath = {store:?}\n[upstreams.app]\ntargets = [\"{target}\"]\n\
             [[routes]]\nname = \"orders\"\npath = \"/*\"\nproduct = \"orders\"\nupstream = \"app\"\n"
        ),
    )
}

both_drivers!(from_an_empty_folder_to_a_bill, a_products_secret_is_rotated_without_an_outage,);

fn a_products_secret_is_rotated_without_an_outage(driver: Driver) {
    let walk = Walk::begin(driver);
    std::fs::write(walk.folder.path().join("orders.toml"), PRODUCT).expect("a file");
    let made = walk.json(&["products", "create", "orders", "-f", "orders.toml"]);
    walk.run(&["products", "state", "orders", "published"]);
    let signed = walk.json(&[
        "signup",
        "--account",
        "Example Ltd",
        "--app",
        "shop",
        "--product",
        "orders",
        "--plan",
        "gold",
    ]);
    let key = text(&signed["credential"]["key"]);
    let sent = || {
        walk.read(&key).expect(200);
        let request = walk.upstream.requests().pop().expect("a request");
        let all = request.head.values("x-tollgate-secret");
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].to_owned()
    };
    let rotate = |overlap: &str| {
        let told = walk.json(&["products", "secret", "orders", "--overlap", overlap]);
        text(&told["secret"])
    };
    let first = text(&made["secret"]);
    assert_eq!(sent(), first);
    // Upstreams are told of the next one, and take both; the old one is sent until it is time.
    let next = rotate("1h");
    assert_ne!(next, first);
    assert_eq!(sent(), first);
    // One that was not sent yet can be replaced.
    let next = rotate("1s");
    crate::harness::eventually("the new one is sent", || {
        let sent = sent();
        assert!(sent == first || sent == next, "it is neither of the two");
        sent == next
    });
    // In a hurry there is no overlap: it is sent when the command returns.
    let last = rotate("0s");
    assert_eq!(sent(), last);
    assert!(!walk.run(&["audit", "--json"]).contains(&last));
}

fn from_an_empty_folder_to_a_bill(driver: Driver) {
    let mut walk = Walk::begin(driver);
    // Define an API, and publish it with two plans.
    std::fs::write(walk.folder.path().join("orders.toml"), PRODUCT).expect("a file");
    walk.run(&["products", "create", "orders", "-f", "orders.toml"]);
    walk.read("tg_nobody").expect(404);
    walk.run(&["products", "state", "orders", "published"]);
    walk.read("tg_nobody").expect(401);
    // An account, its application and a key in one call.
    let signup = ["signup", "--account", "Example Ltd", "--email", "dev@example.com"];
    let signed = walk.json(
        &[&signup[..], &["--app", "shop", "--product", "orders", "--plan", "bronze"]].concat(),
    );
    let app = signed["application"]["id"].to_string();
    let (id, key) = (signed["credential"]["id"].to_string(), text(&signed["credential"]["key"]));
    // The key lets in; the plan leaves a method out; the limit holds.
    walk.read(&key).expect(200);
    let refused = walk.call(&key, "POST /orders").expect(403);
    assert_eq!(problem(&refused)["type"], "urn:tollgate:method_not_in_plan");
    for _ in 1..100 {
        walk.read(&key).expect(200);
    }
    let limited = (0..5).map(|_| walk.read(&key)).find(|answer| answer.status == 429);
    let limited = limited.expect("a refusal, since a minute has not passed");
    assert_eq!(problem(&limited)["limit"], "hits-per-minute");
    let admitted = walk.upstream.count() as u64;
    // What was used, by application, method, hour and day.
    for more in [&["--app", &app][..], &["--grain", "hour"], &["--grain", "day"]] {
        crate::harness::eventually("it is counted", || {
            walk.used("read_orders", more) == admitted && walk.used("hits", more) == admitted
        });
    }
    // Another plan, in force at once.
    walk.run(&["apps", "update", &app, "--plan", "gold"]);
    walk.call(&key, "POST /orders").expect(200);
    // Another key, both good for a while; then the old one is refused from the moment of the answer.
    let rotated = walk.json(&["keys", "rotate", &app, &id, "--overlap", "1h"]);
    let new = text(&rotated["key"]);
    walk.read(&key).expect(200);
    walk.read(&new).expect(200);
    walk.run(&["keys", "revoke", &app, &id]);
    walk.read(&key).expect(401);
    walk.read(&new).expect(200);
    killed_under_load(&mut walk, &new);
    bill(&walk, admitted);
}

/// What was counted before, and what came within an interval of the kill at most, is there after it.
fn killed_under_load(walk: &mut Walk, key: &str) {
    let before = walk.upstream.count() as u64;
    let stop = Arc::new(AtomicBool::new(false));
    let (address, key, stopped) = (walk.gateway.web(), key.to_owned(), stop.clone());
    let load = std::thread::spawn(move || {
        let mut answers = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let request = format!(
                "GET /orders/1 HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
            );
            match answered(address, &request).as_deref() {
                Some(head) if head.starts_with("HTTP/1.1 200") => answers.push(Instant::now()),
                Some(head) => panic!("under load: {head}"),
                None => break,
            }
        }
        answers
    });
    // Until some of it has reached the store.
    crate::harness::eventually("some is counted", || walk.used("hits", &[]) > before + 20);
    walk.gateway.signal(libc::SIGKILL);
    let killed = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let answers = load.join().expect("the load ends");
    walk.gateway.wait_exit();
    walk.gateway = start(walk.driver, walk.folder.path(), &walk.upstream);
    let counted = walk.used("hits", &[]);
    let seen = walk.upstream.count() as u64;
    let late = answers.iter().filter(|at| killed.saturating_duration_since(**at) < INTERVAL);
    let may_lack = late.count() as u64 + 1;
    assert!(counted <= seen, "{counted} were counted of {seen}");
    assert!(counted + may_lack >= seen, "{counted} were counted of {seen}, {may_lack} may lack");
    walk.read("tg_nobody").expect(401);
}

/// An answer; `None`: the gateway is gone.
fn answered(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(INTERVAL)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// The month's usage, as CSV and as JSON lines, and once.
fn bill(walk: &Walk, by_bronze: u64) {
    let month = jiff::Timestamp::now().strftime("%Y-%m").to_string();
    let made = walk.json(&["bill", "make", &month]);
    let export = text(&made["cursor"]);
    let csv = walk.run(&["bill", "rows", &export]);
    let lines = walk.run(&["bill", "rows", &export, "--format", "jsonl"]);
    let rows: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(csv.lines().count(), rows.len() + 1, "{csv}");
    let hits = rows.iter().filter(|row| row["metric"] == "hits");
    let billed: u64 = hits.map(|row| row["count"].as_u64().expect("a count")).sum();
    assert_eq!(billed, walk.used("hits", &[]));
    // Each plan's what it let in, though the application has gold since.
    let of_bronze = rows.iter().find(|row| row["metric"] == "hits" && row["plan"] == "bronze");
    assert_eq!(of_bronze.expect("a row")["count"], by_bronze);
    assert!(csv.contains("Example Ltd") && csv.contains("read_orders"), "{csv}");
    walk.run(&["bill", "confirm", &export]);
    let next = walk.json(&["bill", "make", &month]);
    assert!(next.is_null(), "each unit is billed once: {next}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn problem(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("problem details")
}
