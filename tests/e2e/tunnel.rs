//! What passes through a tunnel once an upgrade is granted, and what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::websocket::{echo_of, frame, opening, switching, switching_then};
use crate::harness::{
    Broken, Client, Driver, Gate, Gateway, Peer, Upstream, eventually, forward_all, pass,
};

both_drivers!(
    frames_pass_both_ways_byte_by_byte,
    much_passes_both_ways,
    a_service_that_does_not_read_stops_the_client,
    a_client_that_does_not_read_stops_the_service,
    bytes_sent_with_the_switch_reach_the_client,
    a_request_behind_an_upgrade_is_the_tunnels,
    a_silent_tunnel_is_closed,
    a_tunnel_in_which_one_side_talks_is_not_silent,
    a_tunnels_life_is_bounded,
    the_time_for_an_answer_does_not_bound_a_tunnel,
    the_client_may_end_first,
    the_service_may_end_first,
    a_reset_by_the_client_is_passed_on,
    a_reset_by_the_service_is_passed_on,
    a_tunnel_outlives_its_route_and_its_listener,
    a_tunnel_is_counted_while_it_lives,
    a_tunnel_is_one_request_in_flight,
    a_silent_tunnel_holds_little_memory,
    a_tunnel_goes_on_while_the_gateway_drains,
    the_drain_deadline_ends_tunnels,
    a_tunnel_has_one_record,
    a_tunnel_that_is_cut_does_not_look_whole,
);

fn frames_pass_both_ways_byte_by_byte(driver: Driver) {
    let upstream = switching_then(|peer| {
        for text in ["one", "two", "three"] {
            assert_eq!(peer.exactly(6 + text.len()), frame(text));
            peer.send([&[0x81, text.len() as u8], text.as_bytes()].concat());
        }
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/chat");
    for text in ["one", "two", "three"] {
        for byte in frame(text) {
            client.send([byte]);
        }
        let answer = client.exactly(2 + text.len());
        assert_eq!(answer, [&[0x81, text.len() as u8], text.as_bytes()].concat());
    }
}

fn much_passes_both_ways(driver: Driver) {
    const MUCH: usize = 3 << 20;
    let upstream = echo_of(MUCH);
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    let sent: Vec<u8> = (0..MUCH).map(|i| (i * 7 + i / 251) as u8).collect();
    client.send(&sent);
    assert!(client.exactly(MUCH) == sent, "other bytes came back");
}

/// More than all sockets on the way hold.
const ENDLESS: u64 = 64 << 20;

fn a_service_that_does_not_read_stops_the_client(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = switching_then(move |peer| {
        held.wait();
        assert!(!peer.wait_closed().is_empty());
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    let taken = client.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS);
    assert!(taken < ENDLESS, "nobody stopped the client");
    assert!(gateway.stats().number("/gateway/buffer_bytes") < 160 * 1024);
    gate.open();
    client.half_close();
    client.expect_closed();
    upstream.wait_for_ends(1);
    gateway.wait_stats("every byte is passed on", |s| {
        s.in_flight() == 0 && s.route("all", "/bytes_in") >= taken
    });
}

fn a_client_that_does_not_read_stops_the_service(driver: Driver) {
    let taken = Arc::new(AtomicU64::new(ENDLESS));
    let told = taken.clone();
    let stopped = Gate::new();
    let tell = stopped.clone();
    let upstream = switching_then(move |peer| {
        told.store(peer.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS), Ordering::SeqCst);
        tell.release();
        peer.half_close();
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = Client::connect_narrow(gateway.web());
    client.open_tunnel("/");
    stopped.wait();
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken < ENDLESS, "nobody stopped the service");
    client.discard(taken);
    client.half_close();
    client.expect_closed();
}

fn bytes_sent_with_the_switch_reach_the_client(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let head = peer.head();
        peer.send([switching(&head).as_bytes(), b"hello"].concat());
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    assert_eq!(client.exactly(5), b"hello");
}

fn a_request_behind_an_upgrade_is_the_tunnels(driver: Driver) {
    const NEXT: &str = "GET /next HTTP/1.1\r\nHost: test.example\r\n\r\n";
    let upstream = switching_then(|peer| {
        assert_eq!(peer.exactly(NEXT.len()), NEXT.as_bytes());
        peer.send("seen");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send(opening("/", "") + NEXT);
    client.switched();
    assert_eq!(client.exactly(4), b"seen");
    assert_eq!(upstream.count(), 1);
    assert_eq!(gateway.stats().in_flight(), 1);
}

fn a_silent_tunnel_is_closed(driver: Driver) {
    let upstream = switching_then(|peer| assert!(peer.wait_closed().is_empty()));
    let gateway = Gateway::before_with(driver, &upstream, "timeouts = { tunnel = \"300ms\" }");
    let mut client = gateway.connect();
    client.open_tunnel("/");
    client.expect_closed();
    upstream.wait_for_ends(1);
    gateway.wait_stats("its reason is counted", |s| {
        s.0.pointer("/gateway/failures/tunnel_timeout").is_some_and(|n| n == 1)
    });
}

fn a_tunnel_in_which_one_side_talks_is_not_silent(driver: Driver) {
    let upstream = switching_then(|peer| {
        for _ in 0..10 {
            pass(Duration::from_millis(300));
            peer.send("x");
        }
        peer.wait_closed();
    });
    let gateway = Gateway::before_with(driver, &upstream, "timeouts = { tunnel = \"2s\" }");
    let mut client = gateway.connect();
    client.open_tunnel("/");
    assert_eq!(client.exactly(10), b"xxxxxxxxxx");
    client.expect_closed();
}

fn a_tunnels_life_is_bounded(driver: Driver) {
    let upstream = switching_then(|peer| {
        while peer.try_send("x").is_ok() {
            pass(Duration::from_millis(20));
        }
    });
    let gateway =
        Gateway::before_with(driver, &upstream, "timeouts = { tunnel_total = \"500ms\" }");
    let mut client = gateway.connect();
    client.open_tunnel("/");
    let rest = client.rest();
    assert!(matches!(rest, Ok(_) | Err(Broken::Reset)), "{rest:?}");
}

fn the_time_for_an_answer_does_not_bound_a_tunnel(driver: Driver) {
    let upstream = switching_then(|peer| {
        pass(Duration::from_millis(1500));
        peer.send("late");
        peer.wait_closed();
    });
    let keys = "timeouts = { total = \"1s\", idle = \"200ms\", first_byte = \"1s\" }";
    let gateway = Gateway::before_with(driver, &upstream, keys);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    assert_eq!(client.exactly(4), b"late");
}

fn the_client_may_end_first(driver: Driver) {
    let upstream = switching_then(|peer| {
        assert_eq!(peer.wait_closed(), b"last words");
        peer.send("and the answer");
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    client.send("last words");
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"and the answer");
    gateway.wait_stats("the tunnel is over", |s| s.in_flight() == 0);
    assert_eq!(gateway.stats().0.pointer("/gateway/failures/client_gone"), None);
}

fn the_service_may_end_first(driver: Driver) {
    let upstream = switching_then(|peer| {
        peer.send("last words");
        peer.half_close();
        assert_eq!(peer.wait_closed(), b"and the answer");
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    assert_eq!(client.rest().expect("an orderly end"), b"last words");
    client.send("and the answer");
    client.half_close();
    upstream.wait_for_ends(1);
    gateway.wait_stats("the tunnel is over", |s| s.in_flight() == 0);
}

fn a_reset_by_the_client_is_passed_on(driver: Driver) {
    let upstream = switching_then(|peer| assert!(peer.is_reset(), "an orderly end"));
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    client.reset();
    upstream.wait_for_ends(1);
    gateway.wait_stats("its reason is counted", |s| {
        s.0.pointer("/gateway/failures/client_gone").is_some_and(|n| n == 1)
    });
}

fn a_reset_by_the_service_is_passed_on(driver: Driver) {
    let upstream = switching_then(Peer::reset_at_end);
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    assert_eq!(client.rest(), Err(Broken::Reset));
    gateway.wait_stats("its reason is counted", |s| {
        s.0.pointer("/gateway/failures/response_incomplete").is_some_and(|n| n == 1)
    });
}

fn a_tunnel_outlives_its_route_and_its_listener(driver: Driver) {
    let upstream = switching_then(|peer| {
        for _ in 0..2 {
            assert_eq!(peer.exactly(4), b"ping");
            peer.send("pong");
        }
        peer.wait_closed();
    });
    let other = Upstream::saying("other");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    client.send("ping");
    assert_eq!(client.exactly(4), b"pong");
    gateway.reload(format!(
        "[[listeners]]\nname = \"elsewhere\"\nlisten = \"127.0.0.1:0\"\n{}",
        forward_all(&other.address).replace("\"all\"", "\"new\"").replace("app", "next")
    ));
    gateway.wait_stats("every worker follows", |s| {
        (0..2).all(|worker| s.number(&format!("/workers/{worker}/generation")) == 2)
    });
    assert_eq!(gateway.stats().number("/gateway/tunnels"), 1);
    client.send("ping");
    assert_eq!(client.exactly(4), b"pong");
    client.half_close();
    assert_eq!(client.rest().expect("an orderly end"), b"");
    gateway.wait_stats("it is over", |s| s.number("/gateway/tunnels") == 0);
}

fn a_tunnel_is_counted_while_it_lives(driver: Driver) {
    let upstream = echo_of(1000);
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    gateway
        .wait_stats("it is counted", |s| (s.number("/gateway/tunnels"), s.in_flight()) == (1, 1));
    client.send([b'x'; 1000]);
    client.exactly(1000);
    gateway.wait_stats("its bytes are counted", |s| {
        s.number("/gateway/bytes_in") == 1000
            && s.number("/gateway/bytes_out") == 1000
            && s.route("all", "/bytes_in") == 1000
            && s.route("all", "/bytes_out") == 1000
            && s.listener("web", "/bytes_in") == 1000
            && s.listener("web", "/bytes_out") == 1000
    });
    let metrics = gateway.admin_get("/metrics").text();
    assert!(metrics.contains("\ntollgate_tunnels 1\n"), "{metrics}");
    client.half_close();
    gateway.wait_stats("the tunnel is over", |s| s.number("/gateway/tunnels") == 0);
    let after = gateway.stats();
    let head = opening("/", "").len() as u64;
    assert_eq!(after.route("all", "/bytes_in"), head + 1000);
    assert_eq!(after.route("all", "/responses/101"), 1);
    assert_eq!(after.in_flight(), 0);
}

fn a_tunnel_is_one_request_in_flight(driver: Driver) {
    let upstream = switching_then(|peer| drop(peer.wait_closed()));
    let gateway = Gateway::before_with(driver, &upstream, "max_concurrent = 1");
    let mut client = gateway.connect();
    client.open_tunnel("/");
    gateway.get("/").expect_failure(503);
    client.half_close();
    gateway.wait_stats("the tunnel is over", |s| s.in_flight() == 0);
    let mut client = gateway.connect();
    client.open_tunnel("/");
}

fn a_silent_tunnel_holds_little_memory(driver: Driver) {
    let upstream = switching_then(|peer| {
        for n in [100_000, 4] {
            let bytes = peer.exactly(n);
            peer.send(bytes);
        }
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    client.send(vec![b'x'; 100_000]);
    client.exactly(100_000);
    // What is left is the request's head, for its record.
    gateway.wait_stats("the buffers are given back", |s| s.number("/gateway/buffer_bytes") <= 4096);
    assert_eq!(gateway.stats().number("/gateway/tunnels"), 1);
    client.send("wake");
    assert_eq!(client.exactly(4), b"wake");
}

fn a_tunnel_goes_on_while_the_gateway_drains(driver: Driver) {
    let upstream = echo_of(4);
    let mut gateway = Gateway::before(driver, &upstream);
    let web = gateway.web();
    let mut client = gateway.connect();
    client.open_tunnel("/");
    gateway.signal(libc::SIGTERM);
    eventually("new connections are refused", || Client::try_connect(web).is_err());
    // Long enough for every look at what is idle.
    client.expect_silence();
    client.send("ping");
    assert_eq!(client.exactly(4), b"ping");
    client.half_close();
    assert!(gateway.wait_exit().success());
}

fn the_drain_deadline_ends_tunnels(driver: Driver) {
    let upstream = switching_then(|peer| drop(peer.wait_closed()));
    let text = format!(
        "[server]\nworkers = 2\nwatch = false\ndrain_timeout = \"500ms\"\n{}",
        forward_all(&upstream.address)
    );
    let mut gateway = Gateway::start(driver, text);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait_exit().success());
    client.expect_closed();
    upstream.wait_for_ends(1);
}

fn a_tunnel_has_one_record(driver: Driver) {
    let upstream = echo_of(5);
    let text = format!("[access_log]\nformat = \"json\"\n{}", forward_all(&upstream.address));
    let gateway = Gateway::start(driver, text);
    let mut client = gateway.connect();
    client.open_tunnel("/chat");
    client.send("hello");
    client.exactly(5);
    client.half_close();
    let line = gateway.wait_output("a record", |l| l.contains("\"/chat\""));
    let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(record["status"], 101, "{line}");
    assert_eq!((&record["bytes_in"], &record["bytes_out"]), (&5.into(), &5.into()), "{line}");
}

fn a_tunnel_that_is_cut_does_not_look_whole(driver: Driver) {
    let (gate, seen) = (Gate::new(), Gate::new());
    let (held, saw) = (gate.clone(), seen.clone());
    let upstream = switching_then(move |peer| {
        held.wait();
        assert_eq!(peer.drain(), Err(Broken::Reset));
        saw.open();
    });
    let gateway = Gateway::before_with(driver, &upstream, "timeouts = { tunnel = \"1s\" }");
    let mut client = gateway.connect();
    client.open_tunnel("/");
    let taken = client.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS);
    assert!(taken < ENDLESS, "nobody stopped the client");
    gateway.wait_stats("time is over", |s| s.number("/gateway/tunnels") == 0);
    gate.open();
    seen.wait();
}
