//! WebSocket and other upgrades: checked on both sides before a byte is relayed.

use std::time::Duration;

use crate::harness::websocket::{KEY, accept, frame, opening, switching};
use crate::harness::{
    Broken, Client, Driver, Gate, Gateway, Peer, Refusing, Upstream, eventually, forward_all, ok,
    pass,
};

fn with_keys(driver: Driver, upstream: &Upstream, keys: &str) -> Gateway {
    Gateway::start(driver, format!("{}{keys}\n", forward_all(&upstream.address)))
}

/// Switches, then gives back what comes, so many bytes.
fn echo_of(n: usize) -> Upstream {
    Upstream::new(move |peer| {
        peer.switch();
        let bytes = peer.exactly(n);
        peer.send(bytes);
        peer.wait_closed();
    })
}

/// Switches, and then does what the script says.
fn switching_then(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Upstream {
    Upstream::new(move |peer| {
        peer.switch();
        script(peer);
    })
}

/// Answers the first request of a connection with this and records whatever else comes.
fn answering_once(answer: &'static str) -> Upstream {
    Upstream::new(move |peer| {
        let Some(_) = peer.next_head() else { return };
        peer.send(answer);
        let rest = peer.wait_closed();
        assert!(rest.is_empty(), "relayed before any switch: {rest:?}");
    })
}

both_drivers!(
    frames_pass_both_ways_byte_by_byte,
    much_passes_both_ways,
    the_handshake_is_written_from_what_was_understood,
    bytes_sent_with_the_head_wait_for_the_switch,
    bytes_sent_with_the_switch_reach_the_client,
    a_request_behind_an_upgrade_is_the_tunnels,
    a_refused_upgrade_ends_the_connection,
    a_failure_ends_the_connection_too,
    a_switch_to_something_else_is_refused,
    another_version_is_told_ours,
    a_bad_key_is_refused,
    a_route_without_upgrades_asks_for_none,
    what_asks_for_no_upgrade_goes_on_as_it_is,
    another_protocol_where_the_route_allows_it,
    an_upgrade_is_sent_once_and_on_a_fresh_connection,
    a_target_that_refuses_is_passed_over,
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

fn the_handshake_is_written_from_what_was_understood(driver: Driver) {
    let upstream = switching_then(|peer| drop(peer.wait_closed()));
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send(
        opening("/", "Sec-WebSocket-Protocol: a\r\nX-Hop: 1\r\n")
            .replace("keep-alive, Upgrade", "X-Hop , uPGRADE")
            .replace("websocket", "WebSocket"),
    );
    let answer = client.switched();
    assert_eq!(answer.values("connection"), ["Upgrade"]);
    assert_eq!(answer.values("upgrade"), ["websocket"]);
    assert_eq!(answer.values("sec-websocket-accept"), [accept(KEY)]);
    assert!(!answer.has("content-length") && !answer.has("transfer-encoding"));
    let request = upstream.only_request();
    assert_eq!(request.head.values("connection"), ["Upgrade"]);
    assert_eq!(request.head.values("upgrade"), ["websocket"]);
    assert_eq!(request.head.values("sec-websocket-key"), [KEY]);
    assert_eq!(request.head.values("sec-websocket-version"), ["13"]);
    assert_eq!(request.head.values("sec-websocket-protocol"), ["a"]);
    assert!(!request.head.has("x-hop"));
    assert!(request.head.has("x-forwarded-for"));
}

fn bytes_sent_with_the_head_wait_for_the_switch(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        let head = peer.head();
        held.wait();
        assert!(peer.is_silent(), "bytes came before the switch");
        peer.send(switching(&head));
        assert_eq!(peer.exactly(11), frame("early"));
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send([opening("/", "").as_bytes(), &frame("early")].concat());
    upstream.wait_for_request(1);
    gate.release();
    client.switched();
    client.half_close();
    upstream.wait_for_ends(1);
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

fn a_refused_upgrade_ends_the_connection(driver: Driver) {
    const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n";
    for (status, answer) in [
        (200, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"),
        (403, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        (426, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"),
        (200, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
    ] {
        let upstream = answering_once(answer);
        let gateway = Gateway::before(driver, &upstream);
        // Sent at once, and only when the answer is there: nothing of it is ever a request.
        for at_once in [true, false] {
            let mut client = gateway.connect();
            client.send(opening("/", "") + if at_once { NEXT } else { "" });
            let response = client.response().expect(status);
            assert_eq!(response.text(), "no");
            assert_eq!(response.value("connection"), Some("close"));
            // The gateway may have closed already.
            let _ = client.try_send(NEXT);
            client.expect_closed();
        }
        upstream.wait_for_ends(2);
        assert!(upstream.requests().iter().all(|r| r.target() == "/"), "a smuggled request");
    }
}

fn a_failure_ends_the_connection_too(driver: Driver) {
    const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n";
    let refusing = Refusing::new();
    let gateway = Gateway::start(driver, forward_all(&refusing.address));
    let mut client = gateway.connect();
    client.send(opening("/", "") + NEXT);
    client.response().expect_failure(502);
    client.expect_closed();
}

fn a_switch_to_something_else_is_refused(driver: Driver) {
    let accept = accept(KEY);
    let switch = |fields: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\n");
    let both = "Connection: Upgrade\r\nUpgrade: websocket";
    let right = format!("Sec-WebSocket-Accept: {accept}");
    for answer in [
        switch(&format!("{both}\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        switch(both),
        switch(&format!("Connection: Upgrade\r\n{right}")),
        switch(&format!("Upgrade: websocket\r\n{right}")),
        switch(&format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{right}")),
        switch(&format!("{both}\r\n{right}\r\nContent-Length: 5")),
        switch(&format!("{both}\r\n{right}\r\nTransfer-Encoding: chunked")),
        switch(&format!("{both}\r\n{right}\r\nSec-WebSocket-Protocol: unasked")),
    ] {
        let upstream = Upstream::new(move |peer| {
            let Some(_) = peer.next_head() else { return };
            peer.send(answer.clone() + "hello");
            assert!(peer.wait_closed().is_empty(), "relayed without a switch");
        });
        let gateway = Gateway::before(driver, &upstream);
        let mut client = gateway.connect();
        client.send(opening("/", "") + "early");
        let response = client.response().expect_failure(502);
        assert_eq!(response.value("proxy-status"), Some("tollgate; error=http_protocol_error"));
        client.expect_closed();
        upstream.wait_for_ends(1);
        assert_eq!(upstream.count(), 1, "it was tried again");
    }
}

fn another_version_is_told_ours(driver: Driver) {
    let upstream = Upstream::saying("no");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send(opening("/", "").replace("Version: 13", "Version: 8"));
    let response = client.response().expect_failure(426);
    assert_eq!(response.value("sec-websocket-version"), Some("13"));
    assert_eq!(response.value("upgrade"), Some("websocket"));
    client.expect_closed();
    upstream.expect_untouched();
}

fn a_bad_key_is_refused(driver: Driver) {
    let upstream = Upstream::saying("no");
    let gateway = Gateway::before(driver, &upstream);
    let good = opening("/", "");
    for request in [
        good.replace(KEY, "c2hvcnQ="),
        good.replace(KEY, ""),
        good.replace("Sec-WebSocket-Key", "X-Key"),
        good.replace("Sec-WebSocket-Version", "X-Version"),
        opening("/", &format!("Sec-WebSocket-Key: {KEY}\r\n")),
    ] {
        let mut client = gateway.connect();
        client.send(request + "early");
        client.response().expect_failure(400);
        client.expect_closed();
    }
    upstream.expect_untouched();
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", "/bad_requests/bad_websocket_key"), 4);
    assert_eq!(stats.listener("web", "/bad_requests/bad_websocket_version"), 1);
}

fn a_route_without_upgrades_asks_for_none(driver: Driver) {
    let upstream = Upstream::saying("plain");
    let gateway = with_keys(driver, &upstream, "upgrades = []");
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.ask(&opening("/", "")).expect(200).text(), "plain");
    }
    for request in upstream.requests() {
        assert!(!request.head.has("upgrade") && !request.head.has("connection"));
    }
}

fn what_asks_for_no_upgrade_goes_on_as_it_is(driver: Driver) {
    let upstream = Upstream::saying("plain");
    let gateway = Gateway::before(driver, &upstream);
    let good = opening("/", "");
    for request in [
        good.replace("GET /", "POST /").replace("Connection", "Content-Length: 0\r\nConnection"),
        good.replace("keep-alive, Upgrade", "keep-alive"),
        good.replace("websocket", "websocket, h2c"),
        good.replace("websocket", "h2c"),
        good.replace("Host", "Content-Length: 0\r\nUpgrade: websocket\r\nHost"),
        good.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let seen = upstream.count();
        let mut client = gateway.connect();
        assert_eq!(client.ask(&request).expect(200).text(), "plain");
        // It is kept.
        client.get("/").expect(200);
        let request = upstream.requests().remove(seen);
        assert!(!request.head.has("upgrade"), "{:?}", request.head);
    }
}

fn another_protocol_where_the_route_allows_it(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.send("HTTP/1.1 101 OK\r\nUpgrade: X-Raw\r\nConnection: upgrade\r\n\r\n");
        assert_eq!(peer.exactly(4), b"ping");
        peer.send("pong");
        peer.wait_closed();
    });
    let gateway = with_keys(driver, &upstream, "upgrades = [\"x-raw\"]");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: X-Raw\r\n\r\n");
    assert_eq!(client.switched().values("upgrade"), ["x-raw"]);
    client.send("ping");
    assert_eq!(client.exactly(4), b"pong");
    assert_eq!(upstream.only_request().head.values("upgrade"), ["x-raw"]);
}

fn an_upgrade_is_sent_once_and_on_a_fresh_connection(driver: Driver) {
    // Each connection serves one plain request, and ends at the next: as a kept one does that has
    // died unseen. Another try would be allowed for a plain GET.
    let upstream = Upstream::new(|peer| {
        let head = peer.head();
        if !head.has("upgrade") {
            peer.send(ok("plain"));
            peer.wait_closed();
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    gateway.get("/").expect(200);
    let mut client = gateway.connect();
    client.send(opening("/", ""));
    client.response().expect_failure(502);
    client.expect_closed();
    assert_eq!(upstream.count(), 2);
    assert_eq!(upstream.requests()[1].connection, 1);
}

fn a_target_that_refuses_is_passed_over(driver: Driver) {
    let (refusing, upstream) = (Refusing::new(), echo_of(4));
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\", \"{}\"]\n\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
            refusing.address, upstream.address
        ),
    );
    for _ in 0..3 {
        let mut client = gateway.connect();
        client.open_tunnel("/");
        client.send("ping");
        assert_eq!(client.exactly(4), b"ping");
    }
}

fn a_silent_tunnel_is_closed(driver: Driver) {
    let upstream = switching_then(|peer| assert!(peer.wait_closed().is_empty()));
    let gateway = with_keys(driver, &upstream, "timeouts = { tunnel = \"300ms\" }");
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
    let gateway = with_keys(driver, &upstream, "timeouts = { tunnel = \"2s\" }");
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
    let gateway = with_keys(driver, &upstream, "timeouts = { tunnel_total = \"500ms\" }");
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
    let gateway = with_keys(driver, &upstream, keys);
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
    let before = gateway.stats();
    assert_eq!((before.number("/gateway/tunnels"), before.in_flight()), (1, 1));
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
    let gateway = with_keys(driver, &upstream, "max_concurrent = 1");
    let mut client = gateway.connect();
    client.open_tunnel("/");
    gateway.get("/").expect_failure(503);
    client.half_close();
    gateway.wait_stats("the tunnel is over", |s| s.in_flight() == 0);
    let mut client = gateway.connect();
    client.open_tunnel("/");
}

fn a_silent_tunnel_holds_little_memory(driver: Driver) {
    let upstream = echo_of(100_000);
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.open_tunnel("/");
    client.send(vec![b'x'; 100_000]);
    client.exactly(100_000);
    // What is left is the request's head, for its record.
    gateway.wait_stats("the buffers are given back", |s| s.number("/gateway/buffer_bytes") <= 4096);
    assert_eq!(gateway.stats().number("/gateway/tunnels"), 1);
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
