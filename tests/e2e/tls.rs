//! TLS on both sides: what is agreed on, what is refused, and that HTTP is the same above it.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, version};

use crate::harness::websocket::{frame, switching_then};
use crate::harness::{BOTH, Client, Driver, Gateway, Made, Signer, Upstream, forward_all};

both_drivers!(
    both_versions_are_spoken,
    each_name_gets_its_certificate,
    an_unknown_name_is_refused_where_that_is_wanted,
    a_request_for_another_host_is_misdirected,
    plain_http_gets_told,
    what_is_neither_costs_nothing,
    a_handshake_has_its_time,
    sessions_are_resumed_on_any_worker,
    large_content_goes_both_ways,
    pipelined_requests_are_answered_in_order,
    the_end_of_an_answer_is_told_from_a_cut,
    upstreams_see_https,
    clients_need_a_certificate_where_that_is_wanted,
    a_changed_certificate_is_taken_up_and_connections_live_on,
    targets_are_asked_over_tls,
    a_target_of_nobody_known_is_not_trusted,
    a_target_without_tls_is_told_apart,
    a_target_gets_our_certificate,
    verification_can_be_switched_off,
    an_idle_connection_costs_little,
    a_tunnel_goes_through,
    silence_is_ended_in_due_form,
    half_a_record_does_not_stretch_the_time,
    a_client_that_has_ended_gets_its_whole_answer,
    a_proxy_header_goes_before_tls,
    a_proxy_header_comes_before_tls,
);

struct World {
    signer: Signer,
    upstream: Upstream,
    gateway: Gateway,
}

const WEB: &str =
    "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nheader_timeout = \"5s\"\n";

/// A gateway with a certificate for `a.example`, and one for `*.b.example`.
fn world_with(driver: Driver, upstream: Upstream, tls: &str) -> World {
    let signer = Signer::new();
    let text = format!(
        "{WEB}[listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}, \
         {{ certificate = \"b.pem\", key = \"b.key\" }}]\n{tls}\n{}",
        forward_all(&upstream.address)
    );
    let authority = signer.pem();
    let (a, b) = (signer.certify(&["a.example"]), signer.certify(&["*.b.example", "b.example"]));
    let gateway = Gateway::with(driver, text)
        .file("a.pem", a.certificate.as_str())
        .file("a.key", a.key.as_str())
        .file("b.pem", b.certificate.as_str())
        .file("b.key", b.key.as_str())
        .file("ca.pem", authority)
        .start();
    World { signer, upstream, gateway }
}

fn world(driver: Driver) -> World {
    world_with(driver, Upstream::saying("ok"), "")
}

impl World {
    fn client(&self) -> Arc<ClientConfig> {
        self.signer.client(BOTH)
    }

    #[track_caller]
    fn connect(&self) -> Client {
        Client::connect_tls(self.gateway.web(), &self.client(), "a.example")
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn both_versions_are_spoken(driver: Driver) {
    let world = world(driver);
    for (only, number) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let tls = world.signer.client(&[only]);
        let mut client = Client::connect_tls(world.gateway.web(), &tls, "a.example");
        assert_eq!(client.tls().connection.protocol_version(), Some(number));
        for _ in 0..3 {
            client.send(GET);
            assert_eq!(client.response().expect(200).text(), "ok");
        }
    }
    let stats = world.gateway.stats();
    assert_eq!(stats.listener("web", "/tls_handshakes/full"), 2);
}

fn each_name_gets_its_certificate(driver: Driver) {
    let world = world(driver);
    let tls = world.client();
    // The clients check that the certificate is for the name.
    for name in ["a.example", "b.example", "x.b.example"] {
        let mut client = Client::connect_tls(world.gateway.web(), &tls, name);
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        client.response().expect(200);
    }
    // The first certificate, which is not for it.
    assert!(Client::try_connect_tls(world.gateway.web(), &tls, "c.example").is_err());
}

fn an_unknown_name_is_refused_where_that_is_wanted(driver: Driver) {
    let world = world_with(driver, Upstream::saying("ok"), "unknown_name = \"refuse\"");
    assert!(Client::try_connect_tls(world.gateway.web(), &world.client(), "c.example").is_err());
    world.gateway.wait_stats("it is counted", |s| s.listener("web", "/tls_handshakes/failed") == 1);
    world.connect();
}

fn a_request_for_another_host_is_misdirected(driver: Driver) {
    let world = world(driver);
    let mut client = world.connect();
    client.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    client.response().expect_failure(421);
    client.send("GET / HTTP/1.1\r\nHost: A.example:443\r\n\r\n");
    client.response().expect(200);
    let lax = world_with(driver, Upstream::saying("ok"), "strict_host = false");
    let mut client = lax.connect();
    client.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    client.response().expect(200);
}

fn plain_http_gets_told(driver: Driver) {
    let json = "[access_log]\nformat = \"json\"\n";
    let world = world_with(driver, Upstream::saying("ok"), json);
    let mut client = Client::connect(world.gateway.web());
    client.send(GET);
    let response = client.response();
    assert!(response.text().contains("TLS"), "{}", response.text());
    assert_eq!(response.value("connection"), Some("close"));
    let id = response.value("x-request-id").expect("an id").to_owned();
    response.expect_failure(400);
    client.expect_closed();
    assert_eq!(world.upstream.count(), 0);
    let line = world.gateway.wait_output("its record", |line| line.contains(&id));
    let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&record["failure"], &record["status"]), (&"plain_http".into(), &400.into()));
    let stats = world.gateway.stats();
    assert_eq!(stats.listener("web", "/tls_handshakes/failed"), 1);
}

fn what_is_neither_costs_nothing(driver: Driver) {
    let world = world(driver);
    let before = world.gateway.descriptors();
    for bytes in
        [&[0u8; 600][..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e"]
    {
        let mut client = Client::connect(world.gateway.web());
        client.send(bytes);
        client.reset();
    }
    world.gateway.wait_stats("all are gone", |s| s.listener("web", "/connections/open") == 0);
    world.connect().send(GET);
    assert!(world.gateway.descriptors() <= before + 4);
}

fn a_handshake_has_its_time(driver: Driver) {
    let world = world_with(driver, Upstream::saying("ok"), "handshake_timeout = \"200ms\"");
    let mut client = Client::connect(world.gateway.web());
    client.send(b"\x16\x03\x01");
    client.expect_closed();
    world.gateway.wait_stats("it is counted", |s| s.listener("web", "/tls_handshakes/failed") == 1);
    // The time for a handshake is not that of the connection.
    let mut client = world.connect();
    client.expect_silence();
    client.send(GET);
    client.response().expect(200);
}

fn sessions_are_resumed_on_any_worker(driver: Driver) {
    for only in [&version::TLS12, &version::TLS13] {
        let world = world(driver);
        let tls = world.signer.client(&[only]);
        let kinds: Vec<_> = (0..12)
            .map(|_| {
                let mut client = Client::connect_tls(world.gateway.web(), &tls, "a.example");
                client.send(GET);
                client.response().expect(200);
                client.tls().connection.handshake_kind()
            })
            .collect();
        // There are two workers, and the kernel spreads connections over them.
        assert!(kinds[1..].iter().all(|kind| *kind == Some(HandshakeKind::Resumed)), "{kinds:?}");
        let stats = world.gateway.stats();
        assert_eq!(stats.listener("web", "/tls_handshakes/resumed"), 11);
    }
}

fn large_content_goes_both_ways(driver: Driver) {
    let world = world_with(driver, Upstream::echo(), "");
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 3) as u8).collect();
    let mut client = world.connect();
    for _ in 0..2 {
        let mut twin = Vec::new();
        twin.extend_from_slice(
            format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n",
                content.len()
            )
            .as_bytes(),
        );
        twin.extend_from_slice(&content);
        client.send(twin);
        assert!(client.response().expect(200).body == content);
    }
    let stats = world.gateway.stats();
    assert_eq!(stats.listener("web", "/tls_handshakes/full"), 1);
}

fn pipelined_requests_are_answered_in_order(driver: Driver) {
    let world = world_with(driver, Upstream::echo(), "");
    let mut client = world.connect();
    let ask =
        |n: usize| format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n{n:03}");
    client.send((0..50).map(ask).collect::<String>());
    for n in 0..50 {
        assert_eq!(client.response().expect(200).text(), format!("{n:03}"));
    }
}

fn the_end_of_an_answer_is_told_from_a_cut(driver: Driver) {
    let world = world(driver);
    let mut client = world.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    client.response().expect(200);
    // rustls fails where the peer closed without saying so.
    client.expect_closed();
}

fn upstreams_see_https(driver: Driver) {
    let world = world(driver);
    let mut client = world.connect();
    client.send(GET);
    client.response().expect(200);
    let head = world.upstream.only_request().head;
    assert_eq!(head.value("x-forwarded-proto"), Some("https"));
    assert_eq!(head.value("x-forwarded-host"), Some("a.example"));
}

fn clients_need_a_certificate_where_that_is_wanted(driver: Driver) {
    let asks = "client_certificates = { mode = \"required\", ca = \"ca.pem\" }";
    let world = world_with(driver, Upstream::saying("ok"), asks);
    let known = world.signer.client_with(&world.signer.certify(&["client.example"]));
    let mut client = Client::connect_tls(world.gateway.web(), &known, "a.example");
    client.send(GET);
    client.response().expect(200);
    let stranger = world.signer.client_with(&Signer::new().certify(&["client.example"]));
    for tls in [&world.client(), &stranger] {
        // With TLS 1.3 the client learns of it when it reads.
        let refused = Client::try_connect_tls(world.gateway.web(), tls, "a.example")
            .and_then(|mut client| client.try_send(GET).map(|()| client));
        if let Ok(mut client) = refused {
            assert!(client.rest().is_err(), "an alert");
        }
    }
    world
        .gateway
        .wait_stats("both are counted", |s| s.listener("web", "/tls_handshakes/failed") == 2);
    assert_eq!(world.upstream.count(), 1);
}

fn a_changed_certificate_is_taken_up_and_connections_live_on(driver: Driver) {
    let world = world_with(driver, Upstream::saying("ok"), "[server]\nwatch = true\nworkers = 2\n");
    let mut old = world.connect();
    old.send(GET);
    old.response().expect(200);
    world.signer.certify(&["new.example"]).write(world.gateway.folder(), "a");
    let tls = world.client();
    crate::harness::eventually("the new certificate is shown", || {
        Client::try_connect_tls(world.gateway.web(), &tls, "new.example").is_ok()
    });
    old.send(GET);
    old.response().expect(200);
    // One that can't be used changes nothing.
    std::fs::write(world.gateway.folder().join("a.key"), "no key").unwrap();
    world.gateway.wait_log("the mistake", |log| log.contains("a.key"));
    Client::connect_tls(world.gateway.web(), &tls, "new.example");
}

/// A gateway without TLS of its own, before an upstream that speaks it.
fn before(driver: Driver, upstream: &Upstream, signer: &Signer, own: &Made, tls: &str) -> Gateway {
    let text = format!("{}\n[upstreams.app.tls]\n{tls}\n", forward_all(&upstream.address));
    Gateway::with(driver, text)
        .file("ca.pem", signer.pem())
        .file("own.pem", own.certificate.as_str())
        .file("own.key", own.key.as_str())
        .start()
}

fn targets_are_asked_over_tls(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["app.internal"]);
    let upstream = Upstream::tls(signer.server(&own), |peer| {
        peer.serve(crate::harness::ok("safe").as_bytes())
    });
    let tls = "roots = \"ca.pem\"\nserver_name = \"app.internal\"";
    let gateway = before(driver, &upstream, &signer, &own, tls);
    let mut client = gateway.connect();
    for _ in 0..20 {
        client.send(GET);
        assert_eq!(client.response().expect(200).text(), "safe");
    }
    // A kept connection is used again, though its tickets came when nobody asked.
    assert_eq!(upstream.connections(), 1);
}

fn a_target_of_nobody_known_is_not_trusted(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["app.internal"]);
    let upstream =
        Upstream::tls(signer.server(&own), |peer| peer.serve(crate::harness::ok("").as_bytes()));
    for tls in [
        "server_name = \"app.internal\"",
        "roots = \"ca.pem\"",
        "roots = \"ca.pem\"\nserver_name = \"other.internal\"",
    ] {
        let gateway = before(driver, &upstream, &signer, &own, tls);
        let response = gateway.get("/").expect_failure(502);
        assert_eq!(
            response.value("proxy-status"),
            Some("tollgate; error=tls_certificate_error"),
            "{tls}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

fn a_target_without_tls_is_told_apart(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["app.internal"]);
    let upstream = Upstream::new(|peer| peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let gateway = before(driver, &upstream, &signer, &own, "roots = \"ca.pem\"");
    let response = gateway.get("/").expect_failure(502);
    assert_eq!(response.value("proxy-status"), Some("tollgate; error=tls_protocol_error"));
}

fn a_target_gets_our_certificate(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["app.internal"]);
    let upstream = Upstream::tls(signer.strict_server(&own), |peer| {
        peer.serve(crate::harness::ok("it's you").as_bytes())
    });
    let name = "roots = \"ca.pem\"\nserver_name = \"app.internal\"\n";
    let shows = format!("{name}certificate = \"own.pem\"\nkey = \"own.key\"");
    let gateway = before(driver, &upstream, &signer, &own, &shows);
    assert_eq!(gateway.get("/").expect(200).text(), "it's you");
    let gateway = before(driver, &upstream, &signer, &own, name);
    gateway.get("/").expect_failure(502);
}

fn verification_can_be_switched_off(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["app.internal"]);
    let upstream =
        Upstream::tls(signer.server(&own), |peer| peer.serve(crate::harness::ok("").as_bytes()));
    let gateway = before(driver, &upstream, &signer, &own, "danger_skip_verification = true");
    gateway.get("/").expect(200);
    assert!(gateway.log().contains("danger_skip_verification"), "a warning: {}", gateway.log());
}

fn an_idle_connection_costs_little(driver: Driver) {
    const CONNECTIONS: usize = 400;
    let world = world(driver);
    let tls = world.client();
    let mut warm: Vec<Client> = Vec::new();
    let mut open = |count: usize| {
        for _ in 0..count {
            let mut client = Client::connect_tls(world.gateway.web(), &tls, "a.example");
            client.send(GET);
            client.response().expect(200);
            warm.push(client);
        }
    };
    open(50);
    let before = world.gateway.resident();
    open(CONNECTIONS);
    crate::harness::eventually("idle connections have given their memory back", || {
        let each = world.gateway.resident().saturating_sub(before) / CONNECTIONS as u64;
        each < 12 * 1024
    });
}

fn a_tunnel_goes_through(driver: Driver) {
    const MUCH: usize = 1 << 20;
    let upstream = switching_then(|peer| {
        assert_eq!(peer.exactly(9), frame("one"));
        peer.send(b"two");
        let bytes = peer.exactly(MUCH);
        peer.send(bytes);
        peer.wait_closed();
    });
    let world = world_with(driver, upstream, "strict_host = false");
    let mut client = world.connect();
    client.open_tunnel("/chat");
    client.send(frame("one"));
    assert_eq!(client.exactly(3), b"two");
    let sent: Vec<u8> = (0..MUCH).map(|i| (i * 7 + i / 251) as u8).collect();
    client.send(&sent);
    assert!(client.exactly(MUCH) == sent, "other bytes came back");
    drop(client);
    world.gateway.wait_stats("it is over", |s| s.number("/gateway/tunnels") == 0);
}

fn a_proxy_header_goes_before_tls(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["app.internal"]);
    let server = signer.server(&own);
    let upstream = Upstream::new(move |peer| {
        let header = peer.proxy_header().expect("a header");
        assert!(header.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "), "{header:?}");
        assert!(peer.begin_tls(&server));
        peer.serve(crate::harness::ok("safe").as_bytes());
    });
    let text = format!(
        "{WEB}[upstreams.app]\ntargets = [\"{}\"]\nproxy_protocol = \"v1\"\n\
         tls = {{ roots = \"ca.pem\", server_name = \"app.internal\" }}\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
        upstream.address
    );
    let gateway = Gateway::with(driver, text).file("ca.pem", signer.pem()).start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send(GET);
        assert_eq!(client.response().expect(200).text(), "safe");
    }
    assert_eq!(upstream.connections(), 1);
}

fn a_proxy_header_comes_before_tls(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify(&["a.example"]);
    let upstream = Upstream::saying("ok");
    let text = format!(
        "{WEB}trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = \"v1\"\n[listeners.tls]\n\
         certificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n{}",
        forward_all(&upstream.address)
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .start();
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n";
    let mut client =
        Client::connect_tls_behind(gateway.web(), header, &signer.client(BOTH), "a.example");
    client.send(GET);
    client.response().expect(200);
    let head = upstream.only_request().head;
    assert_eq!(head.value("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(head.value("x-forwarded-proto"), Some("https"));
}

const SHORT: &str =
    "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"1500ms\"\n";

/// A gateway that does not wait long for the next request.
fn impatient(driver: Driver, signer: &Signer, upstream: &Upstream) -> Gateway {
    let own = signer.certify(&["a.example"]);
    let text = format!(
        "{SHORT}[listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n{}",
        forward_all(&upstream.address)
    );
    Gateway::with(driver, text).file("a.pem", own.certificate).file("a.key", own.key).start()
}

fn silence_is_ended_in_due_form(driver: Driver) {
    let (signer, upstream) = (Signer::new(), Upstream::saying("ok"));
    let gateway = impatient(driver, &signer, &upstream);
    let mut client = Client::connect_tls(gateway.web(), &signer.client(BOTH), "a.example");
    client.send(GET);
    client.response().expect(200);
    // rustls fails where the peer closed without saying so.
    client.expect_closed();
}

/// Bytes that are no content yet come while a read is about to be cancelled.
fn half_a_record_does_not_stretch_the_time(driver: Driver) {
    let (signer, upstream) = (Signer::new(), Upstream::saying("ok"));
    let gateway = impatient(driver, &signer, &upstream);
    let tls = signer.client(BOTH);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::connect_tls(gateway.web(), &tls, "a.example");
                client.send(GET);
                client.response().expect(200);
                let mut record = client.record(&[b'x'; 16_000]);
                record.truncate(15_000);
                let began = Instant::now();
                for byte in record {
                    if began.elapsed() > Duration::from_millis(1300)
                        || client.tls().socket().write_all(&[byte]).is_err()
                    {
                        break;
                    }
                    std::thread::park_timeout(Duration::from_micros(200));
                }
                client.expect_ended();
            });
        }
    });
    gateway.wait_stats("all are gone", |s| s.listener("web", "/connections/open") == 0);
}

fn a_client_that_has_ended_gets_its_whole_answer(driver: Driver) {
    const MUCH: usize = 3 << 20;
    let body = vec![b'x'; MUCH];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
    let answer = [head.as_bytes(), &body].concat();
    for only in [&version::TLS12, &version::TLS13] {
        let world = world_with(driver, Upstream::answering(answer.clone()), "");
        let tls = world.signer.client(&[only]);
        let mut client = Client::connect_tls(world.gateway.web(), &tls, "a.example");
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        world.upstream.wait_for_request(1);
        client.say_end();
        world.gateway.wait_stats("the answer has gone out", |s| {
            s.route("all", "/requests") == 1 || s.number("/gateway/bytes_out") > 0
        });
        assert_eq!(client.response().expect(200).body.len(), MUCH);
    }
}
