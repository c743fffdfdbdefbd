//! Tunnels with HTTP/2 on one side or both (RFC 8441): what opens one, what passes, what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::streams::{Caller, Origin, connecting};
use crate::harness::tunnels::{Near, PAIRS, Pair};
use crate::harness::websocket::opening;
use crate::harness::{Client, Driver, Gate, Gateway, Upstream, eventually, ok, pass};

both_drivers!(
    much_passes_both_ways,
    a_talk_in_small_words_is_no_flood,
    early_bytes_wait_for_the_switch,
    bytes_behind_the_switch_reach_the_client,
    a_subprotocol_must_have_been_offered,
    a_refused_upgrade_ends_there,
    a_switch_to_something_else_is_refused,
    a_2xx_of_http_1_is_no_tunnel,
    an_extended_connect_that_no_route_allows_is_not_implemented,
    another_protocol_where_the_route_allows_it,
    a_malformed_extended_connect_is_refused,
    a_target_without_extended_connect_gets_none,
    the_client_may_end_first,
    the_service_may_end_first,
    a_reset_by_the_client_is_passed_on,
    a_connection_lost_under_a_tunnel_is_a_reset,
    a_reset_by_the_service_is_passed_on,
    last_words_to_a_slow_service_arrive,
    a_silent_tunnel_is_closed,
    a_tunnels_life_is_bounded,
    a_tunnel_that_is_cut_does_not_look_whole,
    the_time_for_an_answer_does_not_bound_a_tunnel,
    a_service_that_does_not_read_stops_the_client,
    a_client_that_does_not_read_stops_the_service,
    a_tunnel_is_counted_and_has_one_record,
    a_silent_tunnel_holds_little_memory,
    a_tunnel_outlives_its_route_and_its_listener,
    a_tunnel_goes_on_while_the_gateway_drains,
    the_drain_deadline_ends_tunnels,
    many_tunnels_share_a_connection_with_requests,
    nothing_is_left_of_tunnels,
);

const MUCH: usize = 3 << 20;

/// More than all sockets and windows on the way hold.
const ENDLESS: u64 = 64 << 20;

fn each(work: impl Fn(Pair)) {
    for pair in PAIRS {
        eprintln!("{pair:?}");
        work(pair);
    }
}

fn counted(gateway: &Gateway, failure: &str, n: u64) {
    let place = format!("/gateway/failures/{failure}");
    gateway.wait_stats(failure, |s| s.0.pointer(&place).is_some_and(|count| *count == n));
}

fn settled(gateway: &Gateway) {
    gateway.wait_stats("the tunnel is over", |s| {
        s.in_flight() == 0 && s.number("/gateway/tunnels") == 0
    });
}

fn much_passes_both_ways(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            let bytes = far.exactly(MUCH);
            far.send(bytes);
            far.rest();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        let sent: Vec<u8> = (0..MUCH).map(|i| (i * 7 + i / 251) as u8).collect();
        near.send(&sent);
        assert!(near.exactly(MUCH) == sent, "other bytes came back");
    });
}

fn a_talk_in_small_words_is_no_flood(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            for _ in 0..5000 {
                let word = far.exactly(8);
                far.send(word);
            }
            far.rest();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        for word in 0..5000_u64 {
            near.send(word.to_be_bytes());
            assert_eq!(near.exactly(8), word.to_be_bytes());
        }
    });
}

fn early_bytes_wait_for_the_switch(driver: Driver) {
    each(|pair| {
        let gate = Gate::new();
        let held = gate.clone();
        let service = pair.service(move |mut asked| {
            held.wait();
            assert!(asked.is_silent(), "bytes came before the switch");
            let mut far = asked.grant();
            assert_eq!(far.exactly(5), b"early");
            far.rest();
        });
        let gateway = pair.gateway(driver, &service);
        let knock = pair.knock(&gateway, &[], b"early");
        service.wait_seen(1);
        gate.release();
        let (mut near, _) = knock.granted();
        near.end();
        service.wait_over(1);
    });
}

fn bytes_behind_the_switch_reach_the_client(driver: Driver) {
    each(|pair| {
        let service = pair.service(|asked| drop(asked.grant_with(None, b"hello").rest()));
        let gateway = pair.gateway(driver, &service);
        assert_eq!(pair.open(&gateway).exactly(5), b"hello");
    });
}

fn a_subprotocol_must_have_been_offered(driver: Driver) {
    each(|pair| {
        let service = pair.service(|asked| drop(asked.grant_with(Some("b"), b"").rest()));
        let gateway = pair.gateway(driver, &service);
        let offer = |names| pair.knock(&gateway, &[("sec-websocket-protocol", names)], b"");
        assert_eq!(offer("a, b").granted().1.as_deref(), Some("b"));
        assert_eq!(offer("a").refused().0, 502);
        assert_eq!(pair.knock(&gateway, &[], b"").refused().0, 502);
        settled(&gateway);
    });
}

fn a_refused_upgrade_ends_there(driver: Driver) {
    const NEXT: &[u8] = b"GET /early HTTP/1.1\r\nHost: test.example\r\n\r\n";
    each(|pair| {
        let service = pair.service(|asked| {
            let rest = asked.refuse(403);
            assert!(rest.is_empty(), "relayed before any switch: {rest:?}");
        });
        let gateway = pair.gateway(driver, &service);
        for early in [NEXT, b""] {
            assert_eq!(pair.knock(&gateway, &[], early).refused(), (403, "no".into()));
        }
        service.wait_over(2);
        settled(&gateway);
        assert_eq!(service.seen(), 2, "a smuggled request");
    });
}

fn a_switch_to_something_else_is_refused(driver: Driver) {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n";
    let accepted = "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    for fields in [
        format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{accepted}"),
        "Connection: Upgrade\r\nUpgrade: websocket\r\n".to_owned(),
        format!("Connection: Upgrade\r\nUpgrade: other\r\n{accepted}"),
    ] {
        let answer = format!("{SWITCH}{fields}\r\n");
        let upstream = Upstream::new(move |peer| {
            let Some(_) = peer.next_head() else { return };
            peer.send(&answer);
            assert!(peer.wait_closed().is_empty(), "relayed before any switch");
        });
        let pair = Pair::Http2To1;
        let gateway = Gateway::start(driver, pair.config(&upstream.address, ""));
        assert_eq!(pair.knock(&gateway, &[], b"early").refused().0, 502);
    }
    for pair in [Pair::Http1To2, Pair::Http2To2] {
        for (name, value) in [("sec-websocket-accept", "x"), ("content-length", "0")] {
            let origin = Origin::new(move |visit| {
                let mut fields = http::HeaderMap::new();
                fields.insert(name, http::HeaderValue::from_static(value));
                let rest = visit.grant_with(fields).rest();
                assert!(rest.is_err(), "relayed before any switch: {rest:?}");
            });
            let gateway = Gateway::start(driver, pair.config(&origin.address, ""));
            assert_eq!(pair.knock(&gateway, &[], b"early").refused().0, 502, "{name}");
            origin.wait_over(1);
        }
    }
}

fn a_2xx_of_http_1_is_no_tunnel(driver: Driver) {
    for answer in [ok("no"), "HTTP/1.1 204 No Content\r\n\r\n".into()] {
        let upstream = Upstream::new(move |peer| {
            let Some(_) = peer.next_head() else { return };
            peer.send(&answer);
            assert!(peer.wait_closed().is_empty(), "relayed before any switch");
        });
        let pair = Pair::Http2To1;
        let gateway = Gateway::start(driver, pair.config(&upstream.address, ""));
        assert_eq!(pair.knock(&gateway, &[], b"early").refused().0, 502);
        counted(&gateway, "bad_response", 1);
    }
}

fn an_extended_connect_that_no_route_allows_is_not_implemented(driver: Driver) {
    let upstream = Upstream::saying("plain");
    let config = Pair::Http2To1.config(&upstream.address, "upgrades = []")
        + "[[routes]]\nname = \"fixed\"\npath = \"/fixed\"\nrespond = { status = 200 }\n\
           [[routes]]\nname = \"moved\"\npath = \"/moved\"\nredirect = { to = \"/\" }\n";
    let gateway = Gateway::start(driver, config);
    let caller = Caller::connect(gateway.web());
    let ask = |path, protocol| caller.begin(connecting(path, protocol)).refused().0.as_u16();
    assert_eq!(ask("/", "websocket"), 501);
    assert_eq!(ask("/", "other"), 501);
    assert_eq!(ask("/fixed", "websocket"), 501);
    assert_eq!(ask("/moved", "websocket"), 302);
    upstream.expect_untouched();
    counted(&gateway, "connect_method", 3);
    // The connection goes on, and HTTP/1.1 overlooks what it may.
    assert_eq!(caller.get("/"), (200.try_into().expect("a status"), "plain".into()));
    assert_eq!(gateway.once(&opening("/", "")).expect(200).text(), "plain");
    settled(&gateway);
}

fn another_protocol_where_the_route_allows_it(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let head = peer.head();
        assert!(!head.has("sec-websocket-key"), "{head:?}");
        assert_eq!(head.values("upgrade"), ["raw"]);
        peer.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\nhello");
        peer.wait_closed();
    });
    let config = Pair::Http2To1.config(&upstream.address, "upgrades = [\"raw\"]");
    let gateway = Gateway::start(driver, config);
    let caller = Caller::connect(gateway.web());
    let (_, mut talk) = caller.begin(connecting("/", "raw")).granted();
    assert_eq!(talk.exactly(5), b"hello");
    assert_eq!(caller.begin(connecting("/", "websocket")).refused().0, 501);
}

fn a_malformed_extended_connect_is_refused(driver: Driver) {
    let upstream = Upstream::saying("plain");
    let gateway = Gateway::start(driver, Pair::Http2To1.config(&upstream.address, ""));
    let caller = Caller::connect(gateway.web());
    for (name, value, status) in [
        ("sec-websocket-version", "8", 400),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", 400),
        ("content-length", "5", 400),
    ] {
        let mut head = connecting("/", "websocket");
        head.headers_mut().append(name, http::HeaderValue::from_static(value));
        assert_eq!(caller.begin(head).refused().0.as_u16(), status, "{name}");
    }
    let mut head = connecting("/", "websocket");
    head.headers_mut().insert("sec-websocket-version", http::HeaderValue::from_static("8"));
    let (head, _) = caller.begin(head).answer();
    assert_eq!(head.status(), 426);
    assert_eq!(head.headers()["sec-websocket-version"], "13");
    upstream.expect_untouched();
}

fn a_target_without_extended_connect_gets_none(driver: Driver) {
    let origin = Origin::without_tunnels(|visit| drop(visit.answer(200, "plain")));
    for pair in [Pair::Http1To2, Pair::Http2To2] {
        let gateway = Gateway::start(driver, pair.config(&origin.address, ""));
        assert_eq!(pair.knock(&gateway, &[], b"early").refused().0, 502);
        counted(&gateway, "no_tunnel", 1);
        assert_eq!(gateway.get("/").expect(200).text(), "plain");
        settled(&gateway);
    }
    assert!(origin.seen().iter().all(|head| head.method == "GET"), "{:?}", origin.seen());
}

fn the_client_may_end_first(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            assert_eq!(far.rest(), b"last words");
            // Lines: what waits for the end of the connection has read it already.
            far.send("and the answer");
            far.end();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        near.send("last words");
        near.end();
        assert_eq!(near.rest().as_deref(), Some(&b"and the answer"[..]));
        settled(&gateway);
        assert_eq!(gateway.stats().0.pointer("/gateway/failures/client_gone"), None);
    });
}

fn the_service_may_end_first(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            far.send("last words");
            far.end();
            assert_eq!(far.rest(), b"and the answer");
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        assert_eq!(near.rest().as_deref(), Some(&b"last words"[..]));
        near.send("and the answer");
        near.end();
        service.wait_over(1);
        settled(&gateway);
        assert_eq!(gateway.stats().0.pointer("/gateway/failures/client_gone"), None);
    });
}

fn a_reset_by_the_client_is_passed_on(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| assert!(far.is_reset(), "an orderly end"));
        let gateway = pair.gateway(driver, &service);
        let _caller = pair.open(&gateway).reset();
        service.wait_over(1);
        counted(&gateway, "client_gone", 1);
        settled(&gateway);
    });
}

fn a_connection_lost_under_a_tunnel_is_a_reset(driver: Driver) {
    for pair in [Pair::Http2To1, Pair::Http2To2] {
        let service = pair.granting(|far| assert!(far.is_reset(), "an orderly end"));
        let gateway = pair.gateway(driver, &service);
        let Near::Stream(_talk, caller) = pair.open(&gateway) else { panic!("a stream") };
        caller.cut();
        service.wait_over(1);
        counted(&gateway, "client_gone", 1);
        settled(&gateway);
    }
}

fn a_reset_by_the_service_is_passed_on(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            far.exactly(1);
            far.reset();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        near.send("x");
        assert_eq!(near.rest(), None);
        counted(&gateway, "response_incomplete", 1);
        settled(&gateway);
    });
}

/// Both directions of the client's connection are at an end while its last words wait here: more than
/// the service's window takes, and little enough for the gateway's socket to hold the rest and the end.
fn last_words_to_a_slow_service_arrive(driver: Driver) {
    const LAST_WORDS: usize = 128 * 1024;
    each(|pair| {
        let gate = Gate::new();
        let held = gate.clone();
        let service = pair.granting(move |far| {
            far.end();
            held.wait();
            assert_eq!(far.rest().len(), LAST_WORDS);
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        assert_eq!(near.rest().as_deref(), Some(&b""[..]));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                near.send(vec![b'x'; LAST_WORDS]);
                near.end();
            });
            // Every look at who is gone falls into this time.
            pass(Duration::from_millis(1500));
            gate.open();
        });
        service.wait_over(1);
        settled(&gateway);
        assert_eq!(gateway.stats().0.pointer("/gateway/failures/client_gone"), None);
    });
}

fn a_silent_tunnel_is_closed(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| assert!(far.rest().is_empty()));
        let gateway = pair.gateway_with(driver, &service, "timeouts = { tunnel = \"300ms\" }");
        let mut near = pair.open(&gateway);
        assert_eq!(near.rest().as_deref(), Some(&b""[..]), "not an orderly end");
        service.wait_over(1);
        counted(&gateway, "tunnel_timeout", 1);
        settled(&gateway);
    });
}

fn a_tunnels_life_is_bounded(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            while far.may_send("x") {
                pass(Duration::from_millis(20));
            }
        });
        let keys = "timeouts = { tunnel_total = \"500ms\" }";
        let gateway = pair.gateway_with(driver, &service, keys);
        let mut near = pair.open(&gateway);
        near.rest();
        counted(&gateway, "tunnel_timeout", 1);
        service.wait_over(1);
        settled(&gateway);
    });
}

fn a_tunnel_that_is_cut_does_not_look_whole(driver: Driver) {
    each(|pair| {
        let gate = Gate::new();
        let held = gate.clone();
        let service = pair.granting(move |far| {
            held.wait();
            assert!(far.is_reset(), "a part looks whole");
        });
        let gateway = pair.gateway_with(driver, &service, "timeouts = { tunnel = \"1s\" }");
        let mut near = pair.open(&gateway);
        let taken = near.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS);
        assert!(taken < ENDLESS, "nobody stopped the client");
        settled(&gateway);
        counted(&gateway, "tunnel_timeout", 1);
        gate.open();
        service.wait_over(1);
    });
}

fn the_time_for_an_answer_does_not_bound_a_tunnel(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            pass(Duration::from_millis(1500));
            far.send("late");
            far.rest();
        });
        let keys = "timeouts = { total = \"1s\", idle = \"200ms\", first_byte = \"1s\" }";
        let gateway = pair.gateway_with(driver, &service, keys);
        assert_eq!(pair.open(&gateway).exactly(4), b"late");
    });
}

fn a_service_that_does_not_read_stops_the_client(driver: Driver) {
    each(|pair| {
        let gate = Gate::new();
        let held = gate.clone();
        let service = pair.granting(move |far| {
            held.wait();
            far.rest();
            far.end();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        let taken = near.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS);
        assert!(taken < ENDLESS, "nobody stopped the client");
        let held = gateway.stats().number("/gateway/buffer_bytes");
        assert!(held < 512 * 1024, "{held} bytes of buffers for one tunnel");
        gate.open();
        near.end();
        near.rest();
        gateway.wait_stats("every byte is passed on", |s| {
            s.in_flight() == 0 && s.route("all", "/bytes_in") >= taken
        });
    });
}

fn a_client_that_does_not_read_stops_the_service(driver: Driver) {
    each(|pair| {
        let taken = Arc::new(AtomicU64::new(ENDLESS));
        let (told, stopped) = (taken.clone(), Gate::new());
        let tell = stopped.clone();
        let service = pair.granting(move |far| {
            told.store(far.send_until_stopped(&[b'x'; 64 * 1024], ENDLESS), Ordering::SeqCst);
            tell.release();
            far.end();
            far.rest();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        stopped.wait();
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken < ENDLESS, "nobody stopped the service");
        let held = gateway.stats().number("/gateway/buffer_bytes");
        assert!(held < 512 * 1024, "{held} bytes of buffers for one tunnel");
        near.discard(taken);
        near.end();
        assert_eq!(near.rest().as_deref(), Some(&b""[..]));
        settled(&gateway);
    });
}

fn a_tunnel_is_counted_and_has_one_record(driver: Driver) {
    each(|pair| {
        let service = pair.service(|asked| {
            let mut far = asked.grant_with(None, b"hi");
            let bytes = far.exactly(1005);
            far.send(&bytes[..1000]);
            far.rest();
            far.end();
        });
        let config = pair.config(service.address(), "");
        let gateway = Gateway::start(driver, format!("{config}[access_log]\nformat = \"json\"\n"));
        let (mut near, _) = pair.knock(&gateway, &[], b"early").granted();
        near.send([b'x'; 1000]);
        near.exactly(1002);
        gateway.wait_stats("its bytes are counted as they pass", |s| {
            (s.number("/gateway/tunnels"), s.in_flight()) == (1, 1)
                && s.route("all", "/bytes_in") == 1005
                && s.listener("web", "/bytes_in") == 1005
                && s.route("all", "/bytes_out") >= 1000
        });
        near.end();
        assert_eq!(near.rest().as_deref(), Some(&b""[..]));
        settled(&gateway);
        let status = if pair.has_client_of_http2() { 200 } else { 101 };
        let after = gateway.stats();
        assert_eq!(after.route("all", &format!("/responses/{status}")), 1);
        let line = gateway.wait_output("a record", |l| l.contains("\"path\":\"/\""));
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(record["status"], status, "{line}");
        let bytes = (&record["bytes_in"], &record["bytes_out"]);
        assert_eq!(bytes, (&1005.into(), &1002.into()), "{line}");
    });
}

fn a_silent_tunnel_holds_little_memory(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            for n in [100_000, 4] {
                let bytes = far.exactly(n);
                far.send(bytes);
            }
            far.rest();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        near.send(vec![b'x'; 100_000]);
        near.exactly(100_000);
        // What is left is the request's head, for its record, and one small buffer for each connection
        // of HTTP/2, which its streams share.
        gateway.wait_stats("the buffers are given back", |s| {
            s.number("/gateway/buffer_bytes") <= 3 * 4096
        });
        near.send("wake");
        assert_eq!(near.exactly(4), b"wake");
    });
}

fn a_tunnel_outlives_its_route_and_its_listener(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            for _ in 0..2 {
                assert_eq!(far.exactly(4), b"ping");
                far.send("pong");
            }
            far.rest();
            far.end();
        });
        let gateway = pair.gateway(driver, &service);
        let mut near = pair.open(&gateway);
        near.send("ping");
        assert_eq!(near.exactly(4), b"pong");
        let other = Upstream::saying("other");
        gateway.reload(
            pair.config(&other.address, "")
                .replace("\"web\"", "\"elsewhere\"")
                .replace("\"all\"", "\"new\"")
                .replace("app", "next"),
        );
        gateway.wait_stats("every worker follows", |s| {
            (0..2).all(|worker| s.number(&format!("/workers/{worker}/generation")) == 2)
        });
        // Long enough for every look at what is idle.
        pass(Duration::from_millis(700));
        assert_eq!(gateway.stats().number("/gateway/tunnels"), 1);
        near.send("ping");
        assert_eq!(near.exactly(4), b"pong");
        near.end();
        assert_eq!(near.rest().as_deref(), Some(&b""[..]));
        settled(&gateway);
    });
}

fn a_tunnel_goes_on_while_the_gateway_drains(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| {
            let bytes = far.exactly(4);
            far.send(bytes);
            far.rest();
            far.end();
        });
        let mut gateway = pair.gateway(driver, &service);
        let web = gateway.web();
        let mut near = pair.open(&gateway);
        gateway.signal(libc::SIGTERM);
        eventually("new connections are refused", || Client::try_connect(web).is_err());
        // Long enough for every look at what is idle.
        pass(Duration::from_millis(700));
        near.send("ping");
        assert_eq!(near.exactly(4), b"ping");
        near.end();
        assert_eq!(near.rest().as_deref(), Some(&b""[..]));
        drop(near);
        assert!(gateway.wait_exit().success());
    });
}

fn the_drain_deadline_ends_tunnels(driver: Driver) {
    each(|pair| {
        let service = pair.granting(|far| drop(far.rest()));
        let server = "[server]\nworkers = 2\nwatch = false\ndrain_timeout = \"500ms\"\n";
        let config = server.to_owned() + &pair.config(service.address(), "");
        let mut gateway = Gateway::start(driver, config);
        let _near = pair.open(&gateway);
        gateway.signal(libc::SIGTERM);
        assert!(gateway.wait_exit().success());
        service.wait_over(1);
    });
}

fn many_tunnels_share_a_connection_with_requests(driver: Driver) {
    const MANY: usize = 200;
    for pair in [Pair::Http2To1, Pair::Http2To2] {
        let service = pair.service(|asked| {
            let mut far = asked.grant();
            let bytes = far.exactly(1000);
            far.send(bytes);
            far.rest();
            far.end();
        });
        let plain = Upstream::saying("plain");
        let config =
            pair.config(service.address(), "").replace("protocols", "max_streams = 250\nprotocols")
                + &format!(
                    "[upstreams.plain]\ntargets = [\"{}\"]\n\
                 [[routes]]\nname = \"plain\"\npath = \"/plain\"\nupstream = \"plain\"\n",
                    plain.address
                );
        let gateway = Gateway::start(driver, config);
        let caller = Caller::connect(gateway.web());
        let mut tunnels: Vec<_> = (0..MANY).map(|_| caller.tunnel("/")).collect();
        gateway.wait_stats("all are counted", |s| s.number("/gateway/tunnels") == MANY as u64);
        for (n, talk) in tunnels.iter_mut().enumerate() {
            talk.send([n as u8; 1000]);
        }
        assert_eq!(caller.get("/plain").1, "plain");
        for (n, talk) in tunnels.iter_mut().enumerate() {
            assert_eq!(talk.exactly(1000), [n as u8; 1000]);
        }
        for talk in &mut tunnels {
            talk.end();
        }
        for talk in &mut tunnels {
            assert_eq!(talk.rest(), Ok(Vec::new()));
        }
        settled(&gateway);
        assert_eq!(caller.get("/plain").1, "plain");
    }
}

fn nothing_is_left_of_tunnels(driver: Driver) {
    each(|pair| {
        let service = pair.service(|asked| {
            let mut far = asked.grant();
            let how = far.exactly(1);
            far.send(&how);
            match &how[..] {
                b"r" => {
                    far.exactly(1);
                    far.reset();
                }
                b"d" => assert!(far.is_reset(), "an orderly end"),
                _ => {
                    far.rest();
                    far.end();
                }
            }
        });
        let gateway = pair.gateway(driver, &service);
        let round = || {
            for how in ["end", "reset", "drop"] {
                let mut near = pair.open(&gateway);
                near.send(&how[..1]);
                assert_eq!(near.exactly(1), how.as_bytes()[..1]);
                if how == "reset" {
                    near.send("x");
                    assert_eq!(near.rest(), None);
                } else if how == "end" {
                    near.end();
                    assert_eq!(near.rest().as_deref(), Some(&b""[..]));
                } else {
                    near.reset();
                }
            }
            settled(&gateway);
            gateway.wait_stats("every client's connection is closed", |s| s.connections() == 0);
            // A kept connection of HTTP/2 reads into a small one, on either worker.
            gateway.wait_stats("no other buffer is held", |s| {
                s.number("/gateway/buffer_bytes") <= 2 * 4096
            });
        };
        // Both workers have what they keep.
        (0..3).for_each(|_| round());
        let before = gateway.descriptors();
        (0..5).for_each(|_| round());
        eventually("descriptors are given back", || gateway.descriptors() <= before + 1);
    });
}
