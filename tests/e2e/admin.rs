//! What the admin listener shows, against what really happened.

use std::collections::BTreeMap;

use crate::harness::{Client, Driver, Gateway, Upstream};

fn gateway(driver: Driver, upstream: &Upstream) -> Gateway {
    Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\n[[routes]]\nname = \"orders\"\npath = \"/orders/*\"\nupstream = \"app\"\n\
             limits = [{{ rate = \"1/h\", burst = 3 }}]\n\
             [[routes]]\nname = \"fixed\"\npath = \"/fixed\"\nrespond = {{ status = 403, body = \"no\" }}\n",
            upstream.address
        ),
    )
}

const ORDER: &str = "POST /orders/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";

/// Three answers, two refusals, a fixed answer, a miss and a bad request.
fn traffic(gateway: &Gateway) {
    let mut client = gateway.connect();
    for _ in 0..5 {
        client.ask(ORDER);
    }
    client.get("/fixed").expect(403);
    client.get("/nothing").expect(404);
    client.ask("GET / HTTP/1.1\r\nHost : a\r\n\r\n").expect(400);
}

/// Samples of a Prometheus page: name with labels to value.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            (name.to_owned(), value)
        })
        .collect()
}

both_drivers!(
    stats_count_what_happened,
    metrics_are_what_prometheus_reads,
    health_and_readiness,
    the_configuration_in_force_without_secrets,
    a_page_for_people,
    what_is_not_there_is_404,
    pages_of_other_sites_cannot_reload,
    the_admin_listener_can_be_left_out,
);

fn stats_count_what_happened(driver: Driver) {
    let upstream = Upstream::saying("0123456789abcdef");
    let gateway = gateway(driver, &upstream);
    traffic(&gateway);
    gateway
        .wait_stats("all is counted", |s| s.number("/gateway/requests") == 8 && s.in_flight() == 0);
    let stats = gateway.stats();
    assert_eq!(stats.route("orders", "/requests"), 5);
    assert_eq!(stats.route("orders", "/responses/200"), 3);
    assert_eq!(stats.route("orders", "/responses/429"), 2);
    assert_eq!(stats.route("orders", "/limits/allowed"), 3);
    assert_eq!(stats.route("orders", "/limits/limited"), 2);
    // Heads and content; the content of the two that were refused is only thrown away.
    let received = 5 * ORDER.len() as u64 - 2 * 10;
    assert_eq!(stats.route("orders", "/bytes_in"), received);
    assert!(stats.route("orders", "/bytes_out") > 3 * 16);
    assert_eq!(stats.route("fixed", "/responses/403"), 1);
    assert_eq!(stats.route("orders", "/latency_seconds/count"), 5);
    assert_eq!(stats.listener("web", "/requests"), 8);
    assert_eq!(stats.listener("web", "/responses/400"), 1);
    assert_eq!(stats.listener("web", "/connections/accepted"), 1);
    assert_eq!(stats.listener("web", "/connections/open"), 0);
    assert_eq!(stats.upstream("app", "/requests"), 3);
    assert_eq!(stats.target("app", &upstream.address, "/responses/200"), 3);
    assert_eq!(stats.target("app", &upstream.address, "/pool/connects"), 1);
    assert_eq!(stats.target("app", &upstream.address, "/pool/reused"), 2);
    assert_eq!(stats.number("/config/generation"), 1);
    let workers = stats.0["workers"].as_array().expect("workers");
    assert_eq!(workers.len(), 2);
    let over_workers: u64 = workers.iter().filter_map(|w| w["requests"].as_u64()).sum();
    assert_eq!(over_workers, 8);
    assert_eq!(stats.0["driver"], driver.name());
    assert!(stats.0["driver_reason"].as_str().is_some_and(|r| !r.is_empty()));
}

fn metrics_are_what_prometheus_reads(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(driver, &upstream);
    traffic(&gateway);
    gateway.wait_stats("all is counted", |s| s.number("/gateway/requests") == 8);
    let page = gateway.admin_get("/metrics").expect(200);
    assert!(page.value("content-type").expect("a type").starts_with("text/plain"));
    let text = page.text();
    let samples = samples(&text);
    for name in samples.keys() {
        assert!(name.starts_with("tollgate_") || name.starts_with("process_"), "{name}");
        let family = name.split('{').next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|s| family.strip_suffix(s))
            .unwrap_or(family);
        let typed = text.contains(&format!("# TYPE {family} "))
            || text.contains(&format!("# TYPE {base} "));
        assert!(typed, "no TYPE of {family}");
        let unit =
            ["_total", "_seconds", "_bytes", "_ratio", "_info"].iter().any(|u| base.contains(u));
        let gauge = text.contains(&format!("# TYPE {base} gauge"));
        assert!(unit || gauge, "no unit: {name}");
    }
    let orders: f64 = samples
        .iter()
        .filter(|(n, _)| {
            n.starts_with("tollgate_")
                && n.contains("requests_total{")
                && n.contains("route=\"orders\"")
        })
        .map(|(_, v)| v)
        .sum();
    assert!(orders >= 5.0, "{orders}:\n{text}");
}

fn health_and_readiness(driver: Driver) {
    let gateway = gateway(driver, &Upstream::saying("ok"));
    gateway.admin_get("/healthz").expect(200);
    gateway.admin_get("/readyz").expect(200);
}

fn the_configuration_in_force_without_secrets(driver: Driver) {
    let config = "[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { body = \"hello\" }\n\
                  response_headers = { set = { x-secret = \"${TOLLGATE_TEST_SECRET}\" } }\n";
    let gateway =
        Gateway::with(driver, config).environment("TOLLGATE_TEST_SECRET", "hush-hush").start();
    assert_eq!(gateway.get("/").expect(200).value("x-secret"), Some("hush-hush"));
    let shown = gateway.admin_get("/config").expect(200).text();
    assert!(shown.contains("hello") && shown.contains("x-secret"), "{shown}");
    assert!(!shown.contains("hush-hush"), "{shown}");
}

fn a_page_for_people(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(driver, &upstream);
    traffic(&gateway);
    let page = gateway.admin_get("/").expect(200);
    assert!(page.value("content-type").expect("a type").starts_with("text/html"));
    let text = page.text();
    for shown in ["orders", "fixed", "app", upstream.address.as_str()] {
        assert!(text.contains(shown), "{shown}");
    }
}

fn what_is_not_there_is_404(driver: Driver) {
    let gateway = gateway(driver, &Upstream::saying("ok"));
    gateway.admin_get("/nothing").expect(404);
    gateway.admin_get("/reload").expect(405);
}

fn pages_of_other_sites_cannot_reload(driver: Driver) {
    let gateway = gateway(driver, &Upstream::saying("ok"));
    let post = |fields: &str| {
        let request = format!(
            "POST /reload HTTP/1.1\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Client::once(gateway.admin(), &request).status
    };
    assert_eq!(post("Host: evil.example\r\n"), 403);
    assert_eq!(post("Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
    assert_eq!(post("Host: localhost\r\n"), 200);
}

fn the_admin_listener_can_be_left_out(driver: Driver) {
    let gateway = Gateway::start(
        driver,
        "[admin]\nenabled = false\n[[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { body = \"ok\" }\n",
    );
    gateway.get("/").expect(200);
    assert!(!gateway.output().lines().any(|l| l.starts_with("admin ")), "{}", gateway.output());
}
