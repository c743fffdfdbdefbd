//! WebSocket and other upgrades: checked on both sides before a byte is relayed.

use crate::harness::websocket::{KEY, accept, echo_of, frame, opening, switching, switching_then};
use crate::harness::{Driver, Gate, Gateway, Refusing, Upstream, forward_all, ok};

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
    the_handshake_is_written_from_what_was_understood,
    bytes_sent_with_the_head_wait_for_the_switch,
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
);

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
    let gateway = Gateway::before_with(driver, &upstream, "upgrades = []");
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
    let gateway = Gateway::before_with(driver, &upstream, "upgrades = [\"x-raw\"]");
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
