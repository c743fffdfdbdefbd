//! What a client may not take: time, memory, connections.

use std::net::IpAddr;
use std::time::Duration;

use crate::harness::{
    Broken, Client, Driver, Gate, Gateway, Upstream, eventually, forward_all, ok,
};

const SECTION: &str = "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n";

/// A gateway whose listener has these keys, all requests to the upstream.
fn listener(driver: Driver, upstream: &Upstream, keys: &str) -> Gateway {
    Gateway::start(driver, format!("{SECTION}{keys}\n{}", forward_all(&upstream.address)))
}

both_drivers!(
    a_head_must_come_in_time,
    a_trickle_does_not_stretch_the_time_for_a_head,
    the_second_head_must_come_in_time_too,
    a_client_that_never_speaks_is_closed,
    an_idle_connection_is_closed_without_a_word,
    an_idle_connection_outlives_a_long_silence_within_its_time,
    a_body_must_not_be_slower_than_its_rate,
    a_client_must_not_read_slower_than_the_rate,
    so_many_requests_on_a_connection,
    the_bounds_of_a_head_are_settable,
    a_head_larger_than_one_buffer_passes_within_its_bounds,
    connections_in_all_are_bounded,
    the_time_for_a_head_does_not_bound_its_body,
    a_slow_answer_outlasts_the_times_for_heads_and_silence,
    memory_for_bodies_is_bounded,
    connections_of_a_client_are_bounded,
);

fn a_head_must_come_in_time(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "header_timeout = \"200ms\"");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost");
    client.response().expect_failure(408);
    client.expect_closed();
    upstream.expect_untouched();
}

fn a_trickle_does_not_stretch_the_time_for_a_head(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "header_timeout = \"300ms\"");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nX-A: ");
    // A byte every 20 ms, far more often than the timeout, until the gateway has had enough.
    client.patience(Duration::from_millis(20));
    let answer = (0..500).find_map(|_| {
        let sent = client.try_send("a");
        match client.head() {
            Err(Broken::TimedOut) if sent.is_ok() => None,
            head => Some(head),
        }
    });
    // A byte that is under way when the connection ends may cost the answer.
    match answer.expect("an end of patience") {
        Ok(head) => assert!(head.start.starts_with("HTTP/1.1 408 "), "{}", head.start),
        Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Reset), "{broken:?}"),
    }
}

fn the_second_head_must_come_in_time_too(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "header_timeout = \"200ms\"");
    let mut client = gateway.connect();
    client.get("/").expect(200);
    client.send("GET / HTTP/1.1\r\nHost");
    client.response().expect_failure(408);
    client.expect_closed();
}

fn a_client_that_never_speaks_is_closed(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "header_timeout = \"200ms\"");
    let mut client = gateway.connect();
    client.expect_closed();
}

fn an_idle_connection_is_closed_without_a_word(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "idle_timeout = \"200ms\"");
    let mut client = gateway.connect();
    client.get("/").expect(200);
    client.expect_closed();
    gateway.wait_stats("it is gone", |s| s.connections() == 0);
}

fn an_idle_connection_outlives_a_long_silence_within_its_time(driver: Driver) {
    // Longer than the second after which a connection gives its buffers back.
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "idle_timeout = \"30s\"");
    let mut client = gateway.connect();
    client.get("/").expect(200);
    client.expect_silence();
    client.expect_silence();
    client.expect_silence();
    client.get("/").expect(200);
}

fn a_body_must_not_be_slower_than_its_rate(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let head = peer.head();
        peer.try_body(&head).expect_err("a body cut off");
    });
    let gateway =
        listener(driver, &upstream, "body_min_rate = 100000\nbody_rate_grace = \"200ms\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.patience(Duration::from_millis(20));
    // Ten bytes every 20 ms: alive, but far too slow.
    let answer = (0..500).find_map(|_| {
        let sent = client.try_send("0123456789");
        match client.head() {
            Err(Broken::TimedOut) if sent.is_ok() => None,
            head => Some(head),
        }
    });
    let head = answer.expect("an end of patience").expect("an answer");
    assert!(head.start.starts_with("HTTP/1.1 408 "), "{}", head.start);
    upstream.wait_for_ends(1);
}

fn a_client_must_not_read_slower_than_the_rate(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.request();
        let size: u64 = 512 << 20;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
        let piece = [b'x'; 65536];
        while peer.try_send(piece).is_ok() {}
        peer.wait_closed();
    });
    let gateway =
        listener(driver, &upstream, "body_min_rate = 1000000\nbody_rate_grace = \"300ms\"");
    let mut client = Client::connect_narrow(gateway.web());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    upstream.wait_for_ends(1);
    gateway.wait_stats("it is gone", |s| s.connections() == 0);
}

fn so_many_requests_on_a_connection(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(driver, &upstream, "max_requests = 3");
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).value("connection"), None);
    assert_eq!(client.get("/").expect(200).value("connection"), None);
    assert_eq!(client.get("/").expect(200).value("connection"), Some("close"));
    client.expect_closed();
    assert_eq!(upstream.connections(), 1, "the upstream connection does not care");
}

fn the_bounds_of_a_head_are_settable(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(
        driver,
        &upstream,
        "http = { max_head = \"1KiB\", max_fields = 5, max_uri = \"100B\", max_chunk_extension = \"8B\" }",
    );
    let ask = |request: String| gateway.once(&request).status;
    let padding = |n: usize| format!("X-A: {}\r\n", "a".repeat(n));
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", padding(900))), 200);
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", padding(1100))), 431);
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(4))), 200);
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(5))), 431);
    assert_eq!(ask(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(99))), 200);
    assert_eq!(ask(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100))), 414);
    let chunked = |extension: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2{extension}\r\nhi\r\n0\r\n\r\n"
        )
    };
    assert_eq!(ask(chunked(";a=b")), 200);
    assert_eq!(ask(chunked(";a=bbbbbbbbbbbb")), 400);
}

fn a_head_larger_than_one_buffer_passes_within_its_bounds(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = listener(
        driver,
        &upstream,
        "http = { max_head = \"256KiB\", max_uri = \"64KiB\", max_fields = 1000 }",
    );
    let mut client = gateway.connect();
    for size in [10_000, 40_000, 150_000] {
        let many = format!("X-A: {}\r\n", "a".repeat(1000)).repeat(size / 1000);
        let uri = "b".repeat(size / 5);
        client.ask(&format!("GET /{uri} HTTP/1.1\r\nHost: a\r\n{many}\r\n")).expect(200);
    }
    let last = upstream.wait_for_request(3);
    assert_eq!(last.head.values("x-a").len(), 150);
    assert_eq!(last.target().len(), 30_001);
}

fn connections_in_all_are_bounded(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::start(
        driver,
        format!(
            "[server]\nworkers = 1\nwatch = false\nmax_connections = 2\n{}",
            forward_all(&upstream.address)
        ),
    );
    let mut one = gateway.connect();
    let mut two = gateway.connect();
    one.get("/").expect(200);
    two.get("/").expect(200);
    gateway.connect().expect_closed();
    two.get("/").expect(200);
    drop(one);
    eventually("room again", || served(&mut gateway.connect()));
    assert!(gateway.stats().listener("web", "/connections/refused/max_connections") >= 1);
}

/// Whether a request on this connection is answered.
fn served(client: &mut Client) -> bool {
    client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() && client.try_response().is_ok()
}

fn the_time_for_a_head_does_not_bound_its_body(driver: Driver) {
    let upstream = Upstream::echo();
    let gateway = listener(driver, &upstream, "header_timeout = \"100ms\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    client.expect_silence();
    client.send("cd");
    assert_eq!(client.response().expect(200).text(), "abcd");
    client.get("/").expect(200);
}

fn a_slow_answer_outlasts_the_times_for_heads_and_silence(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("late"));
        }
    });
    let keys = "header_timeout = \"100ms\"\nidle_timeout = \"500ms\"";
    let gateway = listener(driver, &upstream, keys);
    let mut client = gateway.connect();
    // First on a new connection, then on one that has been kept.
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect_silence();
        client.expect_silence();
        gate.release();
        assert_eq!(client.response().expect(200).text(), "late");
    }
    gate.open();
    client.get("/").expect(200);
}

fn memory_for_bodies_is_bounded(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while let Some(head) = peer.next_head() {
            if head.has("content-length") {
                peer.wait_closed();
                return;
            }
            peer.send(ok("ok"));
        }
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[server]\nworkers = 1\nwatch = false\nmax_buffer_memory = \"1MiB\"\n{}",
            forward_all(&upstream.address)
        ),
    );
    gateway.get("/").expect(200);
    // Bodies that begin and do not go on hold a buffer each.
    let mut holding: Vec<Client> = Vec::new();
    let refused = (0..400).find_map(|_| {
        let mut client = gateway.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        client.send(vec![b'x'; 20_000]);
        holding.push(client);
        Some(gateway.get("/")).filter(|answer| answer.status == 503)
    });
    refused.expect("400 bodies within a mebibyte").expect_failure(503);
    holding.clear();
    eventually("room again", || gateway.get("/").status == 200);
}

fn connections_of_a_client_are_bounded(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::start(
        driver,
        format!(
            "[server]\nworkers = 2\nwatch = false\nmax_connections_per_client = 2\n{}",
            forward_all(&upstream.address)
        ),
    );
    let mut one = gateway.connect();
    let mut two = gateway.connect();
    one.get("/").expect(200);
    two.get("/").expect(200);
    let mut three = gateway.connect();
    three.expect_closed();
    let mut other = Client::connect_from(IpAddr::from([127, 0, 0, 2]), gateway.web());
    other.get("/").expect(200);
    drop(one);
    eventually("room again", || served(&mut gateway.connect()));
    assert!(gateway.stats().listener("web", "/connections/refused/per_client") >= 1);
}
