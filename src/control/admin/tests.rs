//! The admin listener over real sockets, in front of a gateway that is not there.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::control::identity;
use crate::control::jwks::IssuerTold;
use crate::control::ledger;
use crate::control::tls::{Validities, Validity};
use crate::stats::{Assignment, Finished, Names, Registry, Writer};

/// A gateway made of constants.
struct Fake {
    assignment: Assignment,
    draining: AtomicBool,
    bad_file: AtomicBool,
}

impl Control for Fake {
    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.assignment.directory)
    }

    fn facts(&self) -> Facts {
        Facts {
            name: "edge-1".into(),
            generation: 7,
            config_hash: "0f3a9c".into(),
            reloads_ok: 6,
            reloads_failed: 1,
            last_reload_error: Some("line 3: unknown key <b>limts</b>".into()),
            started: SystemTime::now() - Duration::from_secs(7425),
            driver: "io_uring",
            driver_reason: "the kernel allows it".into(),
            draining: self.draining.load(SeqCst),
            limit_tables: [("buckets", 0.25), ("counters", 0.0)],
            quota_table: 0.5,
            proof_table: 0.125,
            ledger: ledger::Facts { commits: 40, waiting: 3, lag_ms: 250, ..Default::default() },
        }
    }

    fn config(&self) -> String {
        "[server]\nworkers = 2\n".into()
    }

    fn log_counts(&self) -> LogCounts {
        LogCounts { written: 900, dropped: 3, failed: 1, queued_bytes: 0, reopened: 0 }
    }

    fn resolutions(&self) -> Vec<Resolution> {
        let addresses = ["10.1.0.7:80", "10.1.0.9:80"].map(|a| a.parse().unwrap());
        let good = ("app.internal".to_string(), 80);
        let bad = ("gone.internal".to_string(), 8080);
        vec![
            Resolution { name: good, addresses: addresses.to_vec().into(), failures: 0 },
            Resolution { name: bad, addresses: Vec::new().into(), failures: 4 },
        ]
    }

    fn certificates(&self) -> Arc<[ListenerCertificates]> {
        // One moment, however often somebody asks.
        static NOW: OnceLock<u64> = OnceLock::new();
        let now = *NOW.get_or_init(|| {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
        });
        let one = |names: &[&str], days: i64| Validity {
            names: names.iter().map(|name| name.to_string()).collect(),
            not_before: 0,
            not_after: now as i64 + days * 86_400 + 60,
            ocsp_until: (days == 12).then_some(1_800_000_000),
        };
        let soonest = vec![
            one(&["a.example", "*.a.example"], 12),
            one(&["a.example"], 40),
            one(&["b.example"], 90),
        ];
        let validities = Validities { soonest, total: 103, lists_until: Some(1_900_000_000) };
        vec![ListenerCertificates { listener: "web".into(), validities }].into()
    }

    fn acme(&self) -> Vec<(String, NameTold)> {
        let good = NameTold {
            not_after: Some(2_000_000_000),
            renew_at: Some(1_990_000_000),
            obtained: 3,
            ..NameTold::default()
        };
        vec![("a.example".into(), good), ("b.example".into(), NameTold::default())]
    }

    fn inquiries(&self) -> Vec<(String, identity::Counts)> {
        vec![(
            "password".into(),
            identity::Counts {
                asked: 4,
                answered: 3,
                failed: 1,
                overloaded: 2,
                joined: 5,
                remembered: 9,
            },
        )]
    }

    fn issuers(&self) -> Vec<(String, IssuerTold)> {
        let told = IssuerTold {
            keys: 2,
            fetched_at: Some(1_800_000_000),
            fetched: 5,
            failed: 3,
            failures: 1,
            last_error: Some("no answer within 5000 ms".into()),
        };
        vec![("main".into(), told)]
    }

    fn takers(&self) -> Vec<String> {
        Vec::new()
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::default()
    }

    fn reload(&self) -> Reloading {
        let mistakes = vec!["tollgate.toml:3: unknown key".to_string()];
        let bad = self.bad_file.load(SeqCst);
        Box::pin(async move { if bad { Err(mistakes) } else { Ok(8) } })
    }
}

struct Gateway {
    fake: Arc<Fake>,
    state: Arc<AdminState>,
    writer: Writer,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

const KINDS: KindNames = KindNames {
    failures: &["no_route", "connect_refused", "first_byte_timeout"],
    bad_requests: &["two_lengths", "bad_host"],
};

/// Starts it with one worker that runs and these routes.
async fn start(routes: &[&str]) -> Gateway {
    let workers = vec![WorkerStats::new(0)];
    let writer = workers[0].writer().unwrap();
    let targets = vec!["10.0.0.1:80".to_string(), "10.0.0.2:80".to_string()];
    let names = Names {
        listeners: vec!["web"],
        routes: routes.to_vec(),
        upstreams: vec![("app", targets)],
    };
    let assignment = Registry::default().assign(&names, &workers).unwrap();
    let fake = Arc::new(Fake {
        assignment,
        draining: AtomicBool::new(false),
        bad_file: AtomicBool::new(false),
    });
    writer.booted(Some(3), "io_uring");
    writer.enter(WorkerState::Running);
    let state = AdminState::new(fake.clone(), workers, KINDS);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, Arc::clone(&state), async move {
        let _ = stopped.await;
    }));
    Gateway { fake, state, writer, address, stop, served }
}

struct Answer {
    status: u16,
    fields: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Gateway {
    async fn ask(&self, method: &str, path: &str, fields: &str) -> Answer {
        let host =
            if fields.to_ascii_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
        let request =
            format!("{method} {path} HTTP/1.1\r\n{host}{fields}Connection: close\r\n\r\n");
        let address = self.address;
        let exchange = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = exchange.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_string())
        };
        Answer { status, fields: lines.map(field).collect(), body: body.into() }
    }

    async fn read(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    fn finished(&self, route: Option<u32>, status: u16) {
        let (bytes_in, bytes_out, latency_ns) = (300, 1_500, 2_000_000);
        self.writer.finished(&Finished {
            listener: 0,
            route,
            status,
            bytes_in,
            bytes_out,
            latency_ns,
        });
    }
}

#[tokio::test]
async fn health_is_life_and_readiness_is_all_workers_running_and_no_drain() {
    let gateway = start(&["a"]).await;
    assert_eq!(gateway.read("/healthz").await.status, 200);
    assert_eq!(gateway.read("/readyz").await.status, 200);
    gateway.fake.draining.store(true, SeqCst);
    assert_eq!(gateway.read("/readyz").await.status, 503);
    gateway.fake.draining.store(false, SeqCst);
    gateway.writer.enter(WorkerState::Stopped);
    let answer = gateway.read("/readyz").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "not all workers run\n"));
    assert_eq!(gateway.read("/healthz").await.status, 200);
}

#[tokio::test]
async fn stats_tell_what_was_counted() {
    let gateway = start(&["orders", "rest"]).await;
    for status in [200, 200, 429, 418] {
        gateway.finished(Some(0), status);
    }
    gateway.finished(None, 404);
    let route = gateway.writer.route(0);
    route.times().allowed.add(3);
    route.rare().limited.up();
    let target = gateway.writer.target(1);
    target.requests.add(4);
    target.connects.up();
    target.reused.add(3);
    target.record(200, 1_000_000);
    gateway.writer.listener(0).refused_per_client.up();
    gateway.writer.listener(0).bad.up(1);
    gateway.writer.failures.up(2);

    let answer = gateway.read("/stats").await;
    assert_eq!(answer.fields["content-type"], "application/json");
    let stats = answer.json();
    assert_eq!(stats["config"]["generation"], 7);
    assert_eq!(stats["driver"], "io_uring");
    assert_eq!(stats["gateway"]["requests"], 5);
    assert_eq!(stats["gateway"]["failures"]["first_byte_timeout"], 1);
    assert_eq!(stats["workers"][0]["core"], 3);
    assert_eq!(stats["workers"][0]["state"], "running");
    let listener = &stats["listeners"][0];
    assert_eq!(listener["responses"]["404"], 1);
    assert_eq!(listener["bad_requests"]["bad_host"], 1);
    assert_eq!(listener["connections"]["refused"]["per_client"], 1);
    let orders = &stats["routes"][0];
    assert_eq!(orders["name"], "orders");
    assert_eq!(orders["responses"]["200"], 2);
    assert_eq!(orders["responses"]["4xx"], 1);
    assert_eq!(orders["limits"]["limited"], 1);
    let p99 = orders["latency_seconds"]["p99"].as_f64().unwrap();
    assert!((p99 / 0.002 - 1.0).abs() < 0.04, "{p99}");
    assert_eq!(orders["latency_seconds"]["mean"], 0.002);
    assert_eq!(stats["routes"][1]["requests"], 0);
    let target = &stats["upstreams"][0]["targets"][1];
    assert_eq!(target["address"], "10.0.0.2:80");
    assert_eq!(target["pool"]["reuse_share"], 0.75);
    assert_eq!(stats["dns"][1]["consecutive_failures"], 4);
    assert_eq!(stats["access_log"]["dropped_queue_full"], 3);
    assert!(stats["process"]["resident_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn metrics_are_well_formed_prometheus_text() {
    let gateway = start(&["orders", "od\\d \"one\""]).await;
    gateway.finished(Some(0), 200);
    gateway.finished(Some(1), 503);
    gateway.writer.failures.up(1);
    let answer = gateway.read("/metrics").await;
    assert_eq!(answer.fields["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "tollgate_requests_total{route=\"orders\",code=\"200\"} 1",
        "tollgate_requests_total{route=\"od\\\\d \\\"one\\\"\",code=\"503\"} 1",
        "tollgate_request_duration_seconds_bucket{le=\"0.0025\"} 2",
        "tollgate_request_duration_seconds_count 2",
        "tollgate_failures_total{reason=\"connect_refused\"} 1",
        "tollgate_reloads_total{result=\"failed\"} 1",
        "tollgate_dns_addresses{name=\"app.internal:80\"} 2",
        "tollgate_worker_requests_total{worker=\"0\",core=\"3\"} 2",
    ] {
        assert!(answer.body.lines().any(|l| l == line), "{line} in\n{}", answer.body);
    }
    let mut types = HashMap::new();
    let mut series = std::collections::HashSet::new();
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} has two heads");
        } else if !line.starts_with('#') {
            let (id, number) = line.rsplit_once(' ').unwrap();
            number.parse::<f64>().unwrap();
            assert!(series.insert(id), "{id} twice");
            let name = id.split('{').next().unwrap();
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            let known = types.contains_key(name)
                || bare.is_some_and(|bare| types.get(bare) == Some(&"histogram"));
            assert!(known, "{name} has no TYPE");
        }
    }
    let all = crate::stats::names::ALL.iter();
    let missing: Vec<_> = all.filter(|m| !types.contains_key(m.name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn many_routes_are_shown_by_the_busiest() {
    let names: Vec<String> = (0..1200).map(|n| format!("route-{n}")).collect();
    let routes: Vec<&str> = names.iter().map(String::as_str).collect();
    let gateway = start(&routes).await;
    for route in 1000..1100 {
        for _ in 1000..=route {
            gateway.finished(Some(route), 200);
        }
    }
    let stats = gateway.read("/stats").await.json();
    assert_eq!(stats["routes"].as_array().unwrap().len(), 100);
    assert_eq!(stats["routes_not_shown"], 1100);
    assert_eq!(stats["routes"][0]["name"], "route-1000");
    let page = gateway.read("/").await.body;
    assert!(page.contains("the busiest 50 of 1200"));
    let place = |name: &str| page.find(&format!(">{name}<"));
    assert!(place("route-1099").unwrap() < place("route-1098").unwrap());
    assert!(place("route-1050").is_some() && place("route-1049").is_none());
}

#[tokio::test]
async fn the_page_escapes_names_and_may_load_nothing_from_elsewhere() {
    let gateway = start(&["<script>alert(1)</script>"]).await;
    gateway.state.look(Instant::now());
    let page = gateway.read("/").await;
    assert_eq!(page.fields["content-type"], "text/html; charset=utf-8");
    assert!(page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.body.contains("&lt;b&gt;limts&lt;/b&gt;"));
    assert!(!page.body.contains("<script>alert") && !page.body.contains("style="));
    assert!(page.body.contains("<noscript><meta http-equiv=\"refresh\""));
    let policy = &page.fields["content-security-policy"];
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert!(!page.fields.contains_key("access-control-allow-origin"));
    let fragment = gateway.read("/?fragment=1").await.body;
    assert!(fragment.starts_with("<header>") && page.body.contains("<main><header>"));
    assert_eq!(gateway.read("/page.css").await.fields["content-type"], "text/css; charset=utf-8");
    let script = gateway.read("/page.js").await;
    assert_eq!(script.fields["content-type"], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn reload_tells_the_generation_or_every_mistake() {
    let gateway = start(&["a"]).await;
    let answer = gateway.ask("POST", "/reload", "").await;
    assert_eq!((answer.status, &answer.json()["generation"]), (200, &8.into()));
    gateway.fake.bad_file.store(true, SeqCst);
    let answer = gateway.ask("POST", "/reload", "").await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["errors"][0], "tollgate.toml:3: unknown key");
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out() {
    let gateway = start(&["a"]).await;
    for fields in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Host: evil.example\r\n",
        "Origin: http://evil.example\r\n",
    ] {
        let answer = gateway.ask("POST", "/reload", fields).await;
        assert_eq!(answer.status, 403, "{fields}");
    }
    assert_eq!(gateway.ask("GET", "/config", "Host: evil.example\r\n").await.status, 403);
    assert_eq!(gateway.ask("GET", "/config", "Host: 127.0.0.1\r\n").await.status, 200);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_as_json() {
    let gateway = start(&["a"]).await;
    let answer = gateway.read("/nothing").await;
    assert_eq!((answer.status, &answer.json()["status"]), (404, &404.into()));
    let answer = gateway.read("/reload").await;
    assert_eq!((answer.status, &answer.json()["status"]), (405, &405.into()));
    assert_eq!(answer.fields["allow"], "POST");
    let answer = gateway.ask("HEAD", "/stats", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert!(answer.fields["content-length"].parse::<u64>().unwrap() > 100);
}

#[tokio::test]
async fn it_stops_when_told() {
    let gateway = start(&["a"]).await;
    gateway.stop.send(()).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(10), gateway.served).await;
    served.expect("in time").unwrap().unwrap();
}

#[tokio::test]
async fn certificates_are_told_by_their_end() {
    let gateway = start(&["orders"]).await;
    let stats = gateway.read("/stats").await.json();
    let tls = &stats["listeners"][0]["tls"];
    assert_eq!(tls["certificates"][0]["names"], serde_json::json!(["a.example", "*.a.example"]));
    assert_eq!(tls["certificates"][0]["days_left"], 12);
    assert_eq!(tls["certificates"][0]["ocsp_next_update"], 1_800_000_000);
    assert!(tls["certificates"][1]["ocsp_next_update"].is_null());
    assert_eq!(tls["certificates"][2]["days_left"], 90);
    assert_eq!(tls["certificates_not_shown"], 100);
    assert_eq!(tls["client_crl_next_update"], 1_900_000_000);
    let not_after = &tls["certificates"][0]["not_after"];
    let metrics = gateway.read("/metrics").await.body;
    let name = "tollgate_certificate_expiry_timestamp_seconds";
    let sample = |host| format!("{name}{{listener=\"web\",name=\"{host}\"}} ");
    // Two certificates of one name are one series, of the first to expire.
    assert!(metrics.contains(&format!("{}{not_after}\n", sample("a.example"))), "{metrics}");
    assert_eq!(metrics.matches(&sample("a.example")).count(), 1);
    assert_eq!(metrics.matches(&sample("b.example")).count(), 1);
}
