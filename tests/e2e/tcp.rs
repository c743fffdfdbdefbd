//! Connections that are passed on as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{
    BOTH, Broken, Client, Driver, Gateway, Hanging, Peer, Refusing, Signer, Upstream, eventually,
    pass,
};

both_drivers!(
    the_service_may_speak_first,
    either_side_may_end_first,
    much_goes_through_both_ways_at_once,
    little_goes_on_after_much,
    a_reset_in_the_middle_of_much_is_passed_on,
    a_target_that_refuses_is_passed_over,
    without_a_target_it_is_closed_and_counted,
    a_target_that_does_not_answer_has_its_time,
    a_rate_limit_counts_connections,
    a_rate_limit_is_kept_for_each_client,
    connections_at_once_are_bounded,
    a_client_keeps_its_target,
    silence_is_bounded,
    a_life_is_bounded,
    a_reset_by_the_client_is_passed_on,
    a_reset_by_the_service_is_passed_on,
    a_slow_reader_stops_the_writer,
    a_connection_outlives_its_configuration,
    a_connection_holds_no_old_configuration,
    a_connection_goes_on_while_the_gateway_drains,
    the_drain_deadline_ends_connections,
    nothing_is_left_of_many_connections,
    silence_holds_little_memory,
    a_proxy_header_goes_first,
    tls_may_begin_here,
    a_connection_has_one_record,
    a_refused_connection_has_one_too,
    a_combined_record_names_no_request,
    it_is_counted_everywhere,
);

/// A gateway that passes everything on to these targets.
fn text(targets: &[&str], listener: &str, upstream: &str, entry: &str) -> String {
    let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nmode = \"tcp\"\n{listener}\n\
         [[listeners.forward]]\nupstream = \"app\"\n{entry}\n\
         [upstreams.app]\ntargets = [{}]\n{upstream}\n",
        targets.join(", ")
    )
}

fn before(driver: Driver, upstream: &Upstream) -> Gateway {
    Gateway::start(driver, text(&[&upstream.address], "", "", ""))
}

/// Says everything back.
fn echo() -> Upstream {
    Upstream::new(|peer| {
        while let Some(byte) = peer.next_byte() {
            if peer.try_send([byte]).is_err() {
                return;
            }
        }
    })
}

/// Is silent to the end.
fn silent() -> Upstream {
    Upstream::new(|peer| drop(peer.wait_closed()))
}

#[track_caller]
fn wait_failures(gateway: &Gateway, name: &str, n: u64) {
    gateway.wait_stats(&format!("{name} is counted"), |s| {
        s.0.pointer(&format!("/gateway/failures/{name}")).is_some_and(|count| count == n)
    });
}

#[track_caller]
fn wait_over(gateway: &Gateway) {
    gateway.wait_stats("it is over", |s| {
        s.number("/gateway/tunnels") == 0
            && s.connections() == 0
            && s.listener("web", "/forwarded/open") == 0
            && s.upstream("app", "/requests_in_flight") == 0
    });
}

/// A client to which the service has answered.
#[track_caller]
fn talking(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    talk(&mut client);
    client
}

#[track_caller]
fn talk(client: &mut Client) {
    client.send("ping");
    assert_eq!(client.exactly(4), b"ping");
}

fn the_service_may_speak_first(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.send("220 mail.example\r\n");
        assert_eq!(peer.exactly(6), b"QUIT\r\n");
        peer.send("221 bye\r\n");
    });
    let gateway = before(driver, &upstream);
    let mut client = gateway.connect();
    assert_eq!(client.exactly(18), b"220 mail.example\r\n");
    client.send("QUIT\r\n");
    assert_eq!(client.rest().expect("an orderly end"), b"221 bye\r\n");
    client.half_close();
    wait_over(&gateway);
    assert_eq!(gateway.stats().listener("web", "/forwarded/failed"), 0);
}

fn either_side_may_end_first(driver: Driver) {
    let upstream = Upstream::new(|peer| match peer.number {
        0 => {
            assert_eq!(peer.wait_closed(), b"last words");
            peer.send("and the answer");
        }
        _ => {
            peer.send("last words");
            peer.half_close();
            assert_eq!(peer.wait_closed(), b"and the answer");
        }
    });
    let gateway = before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("last words");
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"and the answer");
    let mut client = gateway.connect();
    assert_eq!(client.rest().expect("an orderly end"), b"last words");
    client.send("and the answer");
    client.half_close();
    upstream.wait_for_ends(2);
    wait_over(&gateway);
    assert_eq!(gateway.stats().listener("web", "/forwarded/failed"), 0);
}

const MUCH: usize = 64 << 20;
/// A prime, so that no buffer's size is a multiple of it.
const PERIOD: usize = 65_521;

/// Bytes in which what is missing, doubled or displaced shows: `MUCH` of them are whole periods and
/// a part of one.
fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..PERIOD).map(|_| next()).collect()
}

fn pieces(pattern: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = std::iter::repeat_n(pattern, MUCH / PERIOD);
    whole.chain(std::iter::once(&pattern[..MUCH % PERIOD]))
}

fn much_goes_through_both_ways_at_once(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let (up, down) = (pattern(1), pattern(2));
        let mut writer = peer.twin();
        let sender = thread::spawn(move || {
            pieces(&down).for_each(|piece| writer.send(piece));
            writer.half_close();
        });
        for piece in pieces(&up) {
            assert!(peer.exactly(piece.len()) == piece, "content changed on its way up");
        }
        assert!(peer.wait_closed().is_empty());
        sender.join().expect("a whole direction");
    });
    let gateway = before(driver, &upstream);
    let mut client = gateway.connect();
    let mut writer = client.twin();
    let sender = thread::spawn(move || {
        pieces(&pattern(1)).for_each(|piece| writer.send(piece));
        writer.half_close();
    });
    for piece in pieces(&pattern(2)) {
        assert!(client.exactly(piece.len()) == piece, "content changed on its way down");
    }
    assert_eq!(client.rest().expect("an orderly end"), b"");
    sender.join().expect("a whole direction");
    wait_over(&gateway);
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", "/bytes_in"), MUCH as u64);
    assert_eq!(stats.listener("web", "/bytes_out"), MUCH as u64);
    assert_eq!(stats.listener("web", "/forwarded/failed"), 0);
}

fn little_goes_on_after_much(driver: Driver) {
    const SOME: usize = 8 << 20;
    let upstream = Upstream::new(|peer| {
        for _ in 0..3 {
            peer.send(vec![b'x'; SOME]);
            assert_eq!(peer.exactly(4), b"ping");
            peer.send("pong");
        }
        peer.wait_closed();
    });
    let gateway = before(driver, &upstream);
    let before = gateway.descriptors();
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.discard(SOME as u64);
        client.expect_silence();
        gateway.wait_stats("no buffer is held", |s| s.number("/gateway/buffer_bytes") == 0);
        client.send("ping");
        assert_eq!(client.exactly(4), b"pong");
    }
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    wait_over(&gateway);
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", "/bytes_out"), 3 * (SOME as u64 + 4));
    // Some pipes are kept for the next.
    eventually("descriptors are given back", || gateway.descriptors() <= before + 8);
}

fn a_reset_in_the_middle_of_much_is_passed_on(driver: Driver) {
    let upstream = Upstream::new(|peer| match peer.number {
        0 => while peer.try_send([b'x'; 1 << 16]).is_ok() {},
        _ => {
            peer.discard(4 << 20);
            peer.reset_at_end();
        }
    });
    let gateway = before(driver, &upstream);
    let mut client = gateway.connect();
    client.discard(4 << 20);
    client.reset();
    wait_failures(&gateway, "client_gone", 1);
    let mut client = gateway.connect();
    while client.try_send([b'x'; 1 << 16]).is_ok() {}
    wait_failures(&gateway, "response_incomplete", 1);
    wait_over(&gateway);
    gateway.wait_stats("the buffers are given back", |s| s.number("/gateway/buffer_bytes") == 0);
}

fn a_target_that_refuses_is_passed_over(driver: Driver) {
    let (refusing, upstream) = (Refusing::new(), echo());
    let targets = [refusing.address.as_str(), &upstream.address];
    let gateway = Gateway::start(driver, text(&targets, "", "", ""));
    for _ in 0..8 {
        talking(&gateway);
    }
    let stats = gateway.stats();
    let retries = stats.upstream("app", "/retries");
    // Each worker tries it once, and then leaves it alone for a while.
    assert!((1..=2).contains(&retries), "{retries} retries");
    assert_eq!(stats.target("app", &refusing.address, "/pool/connect_failures"), retries);
    assert_eq!(stats.target("app", &upstream.address, "/pool/connects"), 8);
    assert_eq!(stats.listener("web", "/forwarded/failed"), 0);
}

fn without_a_target_it_is_closed_and_counted(driver: Driver) {
    let (one, two) = (Refusing::new(), Refusing::new());
    let gateway = Gateway::start(driver, text(&[&one.address, &two.address], "", "", ""));
    for n in 1..=3 {
        let mut client = gateway.connect();
        client.expect_closed();
        wait_failures(&gateway, "connect_failed", n);
    }
    assert_eq!(gateway.stats().listener("web", "/forwarded/failed"), 3);
    wait_over(&gateway);
    gateway.wait_log("it is told", |line| line.contains("connect_failed"));
}

fn a_target_that_does_not_answer_has_its_time(driver: Driver) {
    let (hanging, upstream) = (Hanging::new(), echo());
    let targets = [hanging.address.as_str(), &upstream.address];
    let gateway = Gateway::start(driver, text(&targets, "", "connect_timeout = \"300ms\"", ""));
    for _ in 0..4 {
        talking(&gateway);
    }
    let gateway =
        Gateway::start(driver, text(&[&hanging.address], "", "connect_timeout = \"300ms\"", ""));
    gateway.connect().expect_closed();
    wait_failures(&gateway, "connect_timeout", 1);
}

fn a_rate_limit_counts_connections(driver: Driver) {
    let upstream = echo();
    let limits = "limits = [{ rate = \"2/h\", key = \"route\" }]";
    let gateway = Gateway::start(driver, text(&[&upstream.address], limits, "", ""));
    // A connection takes one token, whatever it says.
    let mut clients = [talking(&gateway), talking(&gateway)];
    clients.iter_mut().for_each(talk);
    for _ in 0..3 {
        gateway.connect().expect_closed();
    }
    wait_failures(&gateway, "rate_limited", 3);
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", "/limits/allowed"), 2);
    assert_eq!(stats.listener("web", "/limits/limited"), 3);
    assert_eq!(upstream.connections(), 2);
    clients.iter_mut().for_each(talk);
}

fn a_rate_limit_is_kept_for_each_client(driver: Driver) {
    let upstream = echo();
    let limits = "limits = [{ rate = \"1/h\", key = \"client_ip\" }]";
    let gateway = Gateway::start(driver, text(&[&upstream.address], limits, "", ""));
    for last in [1, 2] {
        let from = [127, 0, 0, last].into();
        talk(&mut Client::connect_from(from, gateway.web()));
        Client::connect_from(from, gateway.web()).expect_closed();
    }
}

fn connections_at_once_are_bounded(driver: Driver) {
    let upstream = echo();
    let entry = "max_concurrent = 2\nmax_concurrent_per_client = 1";
    let gateway = Gateway::start(driver, text(&[&upstream.address], "", "", entry));
    let from = |last| Client::connect_from([127, 0, 0, last].into(), gateway.web());
    let (mut one, mut two) = (from(1), from(2));
    talk(&mut one);
    talk(&mut two);
    from(1).expect_closed();
    from(3).expect_closed();
    // Whoever is over either bound is over that for all: it is asked first.
    wait_failures(&gateway, "route_concurrency", 2);
    one.half_close();
    assert_eq!(one.rest().expect("an orderly end"), b"");
    gateway.wait_stats("its place is free", |s| s.listener("web", "/forwarded/open") == 1);
    from(2).expect_closed();
    wait_failures(&gateway, "client_concurrency", 1);
    talk(&mut from(3));
}

fn a_client_keeps_its_target(driver: Driver) {
    let upstreams: Vec<Upstream> = (0..4).map(|_| echo()).collect();
    let targets: Vec<&str> = upstreams.iter().map(|upstream| &*upstream.address).collect();
    let gateway = Gateway::start(driver, text(&targets, "", "balance = \"maglev\"", ""));
    for _ in 0..12 {
        talking(&gateway);
    }
    let busy = upstreams.iter().filter(|upstream| upstream.connections() > 0).count();
    assert_eq!(busy, 1);
}

fn silence_is_bounded(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        for _ in 0..4 {
            pass(Duration::from_millis(300));
            peer.send("x");
        }
        assert!(peer.wait_closed().is_empty());
    });
    let entry = "idle_timeout = \"800ms\"";
    let gateway = Gateway::start(driver, text(&[&upstream.address], "", "", entry));
    let mut client = gateway.connect();
    // Together they last longer than silence may.
    assert_eq!(client.exactly(4), b"xxxx");
    client.expect_closed();
    upstream.wait_for_ends(1);
    wait_failures(&gateway, "tunnel_timeout", 1);
}

fn a_life_is_bounded(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while peer.try_send("x").is_ok() {
            pass(Duration::from_millis(20));
        }
    });
    let entry = "total_timeout = \"500ms\"\nidle_timeout = \"400ms\"";
    let gateway = Gateway::start(driver, text(&[&upstream.address], "", "", entry));
    let rest = gateway.connect().rest();
    assert!(matches!(rest, Ok(_) | Err(Broken::Reset)), "{rest:?}");
    wait_failures(&gateway, "tunnel_timeout", 1);
}

fn a_reset_by_the_client_is_passed_on(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.send("go");
        assert!(peer.is_reset(), "an orderly end");
    });
    let gateway = before(driver, &upstream);
    let mut client = gateway.connect();
    client.exactly(2);
    client.reset();
    upstream.wait_for_ends(1);
    wait_failures(&gateway, "client_gone", 1);
}

fn a_reset_by_the_service_is_passed_on(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.exactly(4);
        peer.reset_at_end();
    });
    let gateway = before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("ping");
    assert_eq!(client.rest(), Err(Broken::Reset));
    wait_failures(&gateway, "response_incomplete", 1);
    assert_eq!(gateway.stats().target("app", &upstream.address, "/failures"), 1);
}

fn a_slow_reader_stops_the_writer(driver: Driver) {
    const ENDLESS: u64 = 1 << 30;
    let sent = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = (Arc::clone(&sent), crate::harness::Gate::new());
    let tell = stopped.clone();
    let upstream = Upstream::new(move |peer: &mut Peer| {
        stop.store(peer.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS), Ordering::SeqCst);
        tell.release();
        peer.half_close();
        peer.wait_closed();
    });
    let gateway = before(driver, &upstream);
    let mut client = Client::connect_narrow(gateway.web());
    stopped.wait();
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < ENDLESS, "nobody stopped the service");
    client.discard(sent);
    client.half_close();
    client.expect_closed();
}

#[track_caller]
fn wait_generation(gateway: &Gateway, generation: u64) {
    gateway.wait_stats("every worker follows", |s| {
        (0..2).all(|worker| s.number(&format!("/workers/{worker}/generation")) == generation)
    });
}

fn a_connection_outlives_its_configuration(driver: Driver) {
    let (upstream, other) = (echo(), echo());
    let gateway = before(driver, &upstream);
    let mut client = talking(&gateway);
    let after = text(&[&other.address], "", "", "").replace("app", "next").replace("web", "new");
    gateway.reload(after);
    wait_generation(&gateway, 2);
    talk(&mut client);
    talk(&mut Client::connect(gateway.address("new")));
    assert_eq!((upstream.connections(), other.connections()), (1, 1));
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    gateway.wait_stats("it is over", |s| s.number("/gateway/tunnels") == 0);
}

fn a_connection_holds_no_old_configuration(driver: Driver) {
    let upstream = echo();
    // Each listener has a socket a worker, and a snapshot has its listeners.
    let others: String = (0..20)
        .map(|n| format!("[[listeners]]\nname = \"more-{n}\"\nlisten = \"127.0.0.1:0\"\n"))
        .collect();
    let alone = text(&[&upstream.address], "", "", "");
    let gateway = Gateway::start(driver, format!("{alone}{others}"));
    let mut client = talking(&gateway);
    let with_others = gateway.descriptors();
    gateway.reload(&alone);
    wait_generation(&gateway, 2);
    eventually("the sockets of the old configuration are closed", || {
        gateway.descriptors() + 40 <= with_others
    });
    talk(&mut client);
}

fn a_connection_goes_on_while_the_gateway_drains(driver: Driver) {
    let upstream = echo();
    let mut gateway = before(driver, &upstream);
    let web = gateway.web();
    let mut client = talking(&gateway);
    gateway.signal(libc::SIGTERM);
    eventually("new connections are refused", || Client::try_connect(web).is_err());
    // Long enough for every look at what is idle.
    client.expect_silence();
    talk(&mut client);
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    assert!(gateway.wait_exit().success());
}

fn the_drain_deadline_ends_connections(driver: Driver) {
    let upstream = echo();
    let server = "[server]\nworkers = 2\nwatch = false\ndrain_timeout = \"500ms\"\n";
    let whole = format!("{server}{}", text(&[&upstream.address], "", "", ""));
    let mut gateway = Gateway::start(driver, whole);
    let mut client = talking(&gateway);
    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait_exit().success());
    client.expect_closed();
}

fn nothing_is_left_of_many_connections(driver: Driver) {
    let upstream = echo();
    let gateway = before(driver, &upstream);
    drop(talking(&gateway));
    wait_over(&gateway);
    let before = gateway.descriptors();
    let clients: Vec<Client> = (0..100).map(|_| talking(&gateway)).collect();
    assert!(gateway.descriptors() >= before + 190);
    for (n, client) in clients.into_iter().enumerate() {
        match n % 3 {
            0 => client.reset(),
            1 => client.half_close(),
            _ => drop(client),
        }
    }
    wait_over(&gateway);
    eventually("the descriptors are closed", || gateway.descriptors() <= before);
    gateway.wait_stats("the buffers are given back", |s| s.number("/gateway/buffer_bytes") == 0);
}

fn silence_holds_little_memory(driver: Driver) {
    let upstream = silent();
    let gateway = before(driver, &upstream);
    let clients: Vec<Client> = (0..20).map(|_| gateway.connect()).collect();
    gateway.wait_stats("they are open", |s| s.number("/gateway/tunnels") == 20);
    gateway.wait_stats("the buffers are given back", |s| s.number("/gateway/buffer_bytes") == 0);
    drop(clients);
    wait_over(&gateway);
}

fn a_proxy_header_goes_first(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let header = peer.proxy_header().expect("a PROXY header");
        peer.send(header);
        peer.wait_closed();
    });
    let header = "proxy_protocol = \"v1\"";
    let gateway = Gateway::start(driver, text(&[&upstream.address], "", header, ""));
    let mut client = gateway.connect();
    let (from, to) = (client.address(), gateway.web());
    let line = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    // The client has said nothing, and it is no content of its own.
    assert_eq!(client.exactly(line.len()), line.as_bytes());
    assert_eq!(gateway.stats().listener("web", "/bytes_in"), 0);
}

fn tls_may_begin_here(driver: Driver) {
    let signer = Signer::new();
    let upstream = Upstream::tls(signer.server(&signer.certify(&["db.example"])), |peer| {
        let bytes = peer.exactly(4);
        peer.send(bytes);
        peer.wait_closed();
    });
    let tls = "tls = { roots = \"ca.pem\", server_name = \"db.example\" }";
    let gateway = Gateway::with(driver, text(&[&upstream.address], "", tls, ""))
        .file("ca.pem", signer.pem())
        .start();
    talking(&gateway);
    assert!(signer.client(BOTH).alpn_protocols.is_empty());
}

fn record(gateway: &Gateway) -> serde_json::Value {
    let line = gateway.wait_output("a record", |line| line.contains("\"protocol\":\"tcp\""));
    serde_json::from_str(&line).expect("JSON")
}

const JSON: &str = "[access_log]\nformat = \"json\"\n";

fn a_connection_has_one_record(driver: Driver) {
    let upstream = echo();
    let whole = format!("{JSON}{}", text(&[&upstream.address], "", "", ""));
    let gateway = Gateway::start(driver, whole);
    let mut client = talking(&gateway);
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    let record = record(&gateway);
    assert_eq!((&record["bytes_in"], &record["bytes_out"]), (&4.into(), &4.into()), "{record}");
    assert_eq!((&record["upstream"], &record["listener"]), (&"app".into(), &"web".into()));
    assert_eq!(record["target"], upstream.address.as_str());
    assert_eq!((&record["client"], &record["retries"]), (&"127.0.0.1".into(), &0.into()));
    assert!(record["duration_us"].as_u64() >= record["connected_us"].as_u64(), "{record}");
    assert!(record.get("failure").is_none() && record.get("status").is_none(), "{record}");
}

fn a_refused_connection_has_one_too(driver: Driver) {
    let refusing = Refusing::new();
    let whole = format!("{JSON}{}", text(&[&refusing.address], "", "", ""));
    let gateway = Gateway::start(driver, whole);
    gateway.connect().expect_closed();
    let record = record(&gateway);
    assert_eq!(record["failure"], "connect_failed", "{record}");
    assert_eq!(record["target"], refusing.address.as_str());
    assert!(record.get("connected_us").is_none(), "{record}");
}

fn a_combined_record_names_no_request(driver: Driver) {
    let upstream = echo();
    let log = "[access_log]\nformat = \"combined\"\n";
    let gateway =
        Gateway::start(driver, format!("{log}{}", text(&[&upstream.address], "", "", "")));
    talking(&gateway).half_close();
    let line = gateway.wait_output("a record", |line| line.contains("TCP"));
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.ends_with("\"TCP -\" 0 4 \"-\" \"-\""), "{line}");
}

fn it_is_counted_everywhere(driver: Driver) {
    let upstream = echo();
    let gateway = before(driver, &upstream);
    let mut client = talking(&gateway);
    let stats = gateway.stats();
    let target = |pointer| stats.target("app", &upstream.address, pointer);
    assert_eq!(stats.number("/gateway/tunnels"), 1);
    assert_eq!(stats.listener("web", "/forwarded/open"), 1);
    assert_eq!(stats.upstream("app", "/requests_in_flight"), 1);
    assert_eq!((target("/requests_in_flight"), target("/pool/connects")), (1, 1));
    assert_eq!((stats.number("/gateway/requests"), stats.in_flight()), (0, 0));
    let metrics = gateway.admin_get("/metrics").text();
    for line in [
        "tollgate_listener_forwarded_connections_total{listener=\"web\"} 1",
        "tollgate_listener_forwarded_connections{listener=\"web\"} 1",
        "tollgate_listener_forward_failures_total{listener=\"web\"} 0",
        "tollgate_listener_received_bytes_total{listener=\"web\"} 4",
        "tollgate_tunnels 1",
    ] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line}\n{metrics}");
    }
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    wait_over(&gateway);
}
