//! SIGTERM and SIGINT: requests under way finish, within a deadline; then the process ends.

use std::time::Instant;

use crate::harness::{
    Broken, Client, Driver, Gate, Gateway, Upstream, eventually, forward_all, ok,
};

/// An upstream that answers when the gate lets it.
fn held() -> (Gate, Upstream) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        while peer.next_request().is_some() {
            held.wait();
            peer.send(ok("done"));
        }
    });
    (gate, upstream)
}

#[track_caller]
fn drains(driver: Driver, signal: i32) {
    let (gate, upstream) = held();
    let mut gateway = Gateway::before(driver, &upstream);
    let web = gateway.web();
    let mut idle = gateway.connect();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    gate.release();
    idle.response().expect(200);
    let mut busy = gateway.connect();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(2);

    gateway.signal(signal);
    idle.expect_closed();
    eventually("new connections are refused", || Client::try_connect(web).is_err());
    assert!(gateway.is_running(), "a request is under way");
    gate.open();
    let response = busy.response().expect(200);
    assert_eq!(response.text(), "done");
    assert_eq!(response.value("connection"), Some("close"));
    busy.expect_closed();
    let status = gateway.wait_exit();
    assert!(status.success(), "{status}");
}

both_drivers!(
    sigterm_drains,
    sigint_drains,
    without_requests_it_ends_at_once,
    the_deadline_ends_what_does_not_end,
    a_body_under_way_is_finished,
    it_says_so_while_it_drains,
    a_request_sent_as_the_drain_begins_is_answered_or_not_begun,
    an_upload_under_way_is_finished,
);

fn sigterm_drains(driver: Driver) {
    drains(driver, libc::SIGTERM);
}

fn sigint_drains(driver: Driver) {
    drains(driver, libc::SIGINT);
}

fn without_requests_it_ends_at_once(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let mut gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.get("/").expect(200);
    let before = Instant::now();
    gateway.signal(libc::SIGTERM);
    client.expect_closed();
    assert!(gateway.wait_exit().success());
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
    upstream.wait_for_ends(1);
}

fn the_deadline_ends_what_does_not_end(driver: Driver) {
    let (_gate, upstream) = held();
    let mut gateway = Gateway::start(
        driver,
        format!(
            "[server]\nworkers = 2\nwatch = false\ndrain_timeout = \"300ms\"\n{}",
            forward_all(&upstream.address)
        ),
    );
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    gateway.signal(libc::SIGTERM);
    gateway.wait_exit();
    match client.try_response() {
        Err(Broken::Closed | Broken::Reset) => {}
        Ok(response) => assert!(response.status >= 500),
        Err(other) => panic!("{other:?}"),
    }
    gateway
        .wait_log("a word about the deadline", |l| l.contains("drain") || l.contains("deadline"));
}

fn a_body_under_way_is_finished(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        held.wait();
        peer.send("world");
        peer.wait_closed();
    });
    let mut gateway = Gateway::before(driver, &upstream);
    let web = gateway.web();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    assert_eq!(client.exactly(5), b"hello");
    gateway.signal(libc::SIGTERM);
    eventually("new connections are refused", || Client::try_connect(web).is_err());
    gate.open();
    assert_eq!(client.exactly(5), b"world");
    assert!(gateway.wait_exit().success());
}

fn it_says_so_while_it_drains(driver: Driver) {
    let (gate, upstream) = held();
    let mut gateway = Gateway::before(driver, &upstream);
    gateway.admin_get("/readyz").expect(200);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    gateway.signal(libc::SIGTERM);
    eventually("not ready", || gateway.admin_get("/readyz").status == 503);
    gateway.admin_get("/healthz").expect(200);
    assert_eq!(gateway.stats().0["draining"], true);
    gate.open();
    client.response().expect(200);
    assert!(gateway.wait_exit().success());
}

fn a_request_sent_as_the_drain_begins_is_answered_or_not_begun(driver: Driver) {
    let upstream = Upstream::saying("ok");
    for _ in 0..10 {
        let mut gateway = Gateway::before(driver, &upstream);
        let mut client = gateway.connect();
        client.get("/").expect(200);
        let before = upstream.count();
        gateway.signal(libc::SIGTERM);
        let answer = client
            .try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .map_err(|_| Broken::Reset)
            .and_then(|()| client.try_response());
        match answer {
            Ok(response) => drop(response.expect(200)),
            Err(Broken::Closed | Broken::Reset) => assert_eq!(upstream.count(), before),
            Err(other) => panic!("{other:?}"),
        }
        assert!(gateway.wait_exit().success());
    }
}

fn an_upload_under_way_is_finished(driver: Driver) {
    let upstream = Upstream::echo();
    let mut gateway = Gateway::before(driver, &upstream);
    let web = gateway.web();
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    upstream.wait_for_request(1);
    gateway.signal(libc::SIGTERM);
    eventually("new connections are refused", || Client::try_connect(web).is_err());
    client.send("cd");
    assert_eq!(client.response().expect(200).text(), "abcd");
    assert!(gateway.wait_exit().success());
}
