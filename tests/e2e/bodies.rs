//! Bodies stream both ways: backpressure, bounded memory, pieces as they come, early ends.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use crate::harness::{Broken, Client, Driver, Gate, Gateway, Upstream, forward_all, ok, pass};

const MIB: u64 = 1 << 20;

/// Most that sockets and buffers on the way may swallow before a writer is stopped. The kernel's
/// part is by far the largest (`tcp_wmem`, `tcp_rmem`).
const ON_THE_WAY: u64 = 40 * MIB;

/// Most memory that one body may cost.
const MEMORY: u64 = 12 * MIB;

/// 10 GiB where `TOLLGATE_TEST_LONG` is set.
fn big() -> u64 {
    if std::env::var_os("TOLLGATE_TEST_LONG").is_some() { 10 << 30 } else { 256 * MIB }
}

/// An upstream that answers every request with so many bytes, after its body was read and thrown
/// away.
fn large(size: u64, chunked: bool) -> Upstream {
    Upstream::new(move |peer| {
        let piece = vec![b'x'; 256 * 1024];
        while let Some(head) = peer.next_head() {
            let length = head.value("content-length").map_or(0, |n| n.parse().expect("a length"));
            peer.discard(length);
            if chunked {
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            } else {
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
            }
            let mut left = size;
            while left > 0 {
                let n = left.min(piece.len() as u64);
                let piece = &piece[..n as usize];
                let sent = if chunked {
                    let sent = peer.try_send(format!("{n:x}\r\n"));
                    sent.and_then(|()| peer.try_send(piece)).and_then(|()| peer.try_send("\r\n"))
                } else {
                    peer.try_send(piece)
                };
                if sent.is_err() {
                    return;
                }
                left -= n;
            }
            if chunked {
                peer.send("0\r\n\r\n");
            }
        }
    })
}

#[track_caller]
fn expect_memory(gateway: &Gateway, before: u64) {
    let peak = gateway.peak_resident();
    assert!(peak < before + MEMORY, "{} MiB more", (peak - before) / MIB);
}

both_drivers!(
    a_slow_client_stops_a_fast_upstream,
    a_slow_upstream_stops_a_fast_client,
    a_large_download_costs_no_more_memory_than_a_small_one,
    a_large_chunked_download_costs_no_more_memory_than_a_small_one,
    a_large_upload_costs_no_more_memory_than_a_small_one,
    bodies_arrive_unchanged_whatever_their_size,
    many_clients_at_once_each_get_their_own,
    framing_is_kept_on_the_way_up,
    server_sent_events_arrive_as_they_are_sent,
    pieces_of_a_sized_body_arrive_as_they_are_sent,
    pieces_of_a_close_delimited_body_arrive_as_they_are_sent,
    pieces_of_a_request_body_arrive_as_they_are_sent,
    an_early_response_reaches_a_client_that_still_sends,
    an_early_response_reaches_a_client_that_sends_without_reading,
    a_client_that_leaves_while_it_waits_ends_the_exchange,
    a_client_that_leaves_in_its_body_ends_the_exchange,
    a_client_that_ends_its_side_in_its_body_is_cut_off,
    a_client_that_leaves_during_a_download_stops_it,
    an_upstream_that_resets_during_an_upload_is_a_502,
    an_upstream_that_ends_its_side_after_its_response_is_not_reused,
    two_bodies_at_once_in_both_directions,
    a_broken_upload_writes_nothing_into_an_answer_that_has_begun,
    an_early_answer_may_outlast_the_time_for_a_first_byte,
    a_slow_but_steady_reader_is_no_idle_one,
);

fn a_slow_client_stops_a_fast_upstream(driver: Driver) {
    let total = 128 * MIB;
    let (stopped, taken) = mpsc::channel();
    let stopped = Mutex::new(stopped);
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        let piece = [b'x'; 65536];
        let mut left = total - peer.send_until_stopped(&piece, total);
        stopped.lock().expect("one sender").send(total - left).expect("a listener");
        while left > 0 {
            let n = left.min(65536);
            peer.send(&piece[..n as usize]);
            left -= n;
        }
        peer.serve(ok("after").as_bytes());
    });
    let gateway = Gateway::before(driver, &upstream);
    let before = gateway.resident();
    let mut client = Client::connect_narrow(gateway.web());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    let taken = taken.recv_timeout(crate::harness::PATIENCE).expect("the upstream's word");
    assert!(taken < ON_THE_WAY, "{} MiB went ahead of the client", taken / MIB);
    client.discard(total);
    assert_eq!(client.get("/").expect(200).text(), "after");
    expect_memory(&gateway, before);
}

fn a_slow_upstream_stops_a_fast_client(driver: Driver) {
    let total = 128 * MIB;
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        peer.head();
        held.wait();
        peer.discard(total);
        peer.send(ok("done"));
        peer.serve(ok("after").as_bytes());
    });
    let gateway = Gateway::before(driver, &upstream);
    let before = gateway.resident();
    let mut client = gateway.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n"));
    let piece = [b'x'; 65536];
    let taken = client.send_until_stopped(&piece, total);
    assert!(taken < ON_THE_WAY, "{} MiB went ahead of the upstream", taken / MIB);
    gate.open();
    let mut left = total - taken;
    while left > 0 {
        let n = left.min(65536);
        client.send(&piece[..n as usize]);
        left -= n;
    }
    assert_eq!(client.response().expect(200).text(), "done");
    assert_eq!(client.get("/").expect(200).text(), "after");
    assert_eq!(upstream.connections(), 1);
    expect_memory(&gateway, before);
}

fn a_large_download_costs_no_more_memory_than_a_small_one(driver: Driver) {
    let upstream = large(big(), false);
    let gateway = Gateway::before(driver, &upstream);
    let before = gateway.resident();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().expect("the head");
    assert_eq!(head.value("content-length"), Some(big().to_string().as_str()));
    client.discard(big());
    expect_memory(&gateway, before);
}

fn a_large_chunked_download_costs_no_more_memory_than_a_small_one(driver: Driver) {
    let upstream = large(big() / 2, true);
    let gateway = Gateway::before(driver, &upstream);
    let before = gateway.resident();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    let mut came = 0;
    while let Some(chunk) = client.chunk() {
        came += chunk.len() as u64;
    }
    assert_eq!(came, big() / 2);
    expect_memory(&gateway, before);
}

fn a_large_upload_costs_no_more_memory_than_a_small_one(driver: Driver) {
    let upstream = large(5, false);
    let gateway = Gateway::before(driver, &upstream);
    let before = gateway.resident();
    let mut client = gateway.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", big()));
    let piece = vec![b'x'; 256 * 1024];
    for _ in 0..big() / piece.len() as u64 {
        client.send(&piece);
    }
    assert_eq!(client.response().expect(200).text(), "xxxxx");
    expect_memory(&gateway, before);
}

fn bodies_arrive_unchanged_whatever_their_size(driver: Driver) {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    let sizes = [0, 1, 100, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_537, 1_000_000];
    for size in sizes {
        let body: Vec<u8> = (0..size).map(|n| (n * 31 % 251) as u8).collect();
        client.send(format!("POST /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        client.send(&body);
        assert!(client.response().expect(200).body == body, "{size} bytes by length");
        client.send(format!(
            "POST /{size} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for piece in body.chunks(7_000) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        assert!(client.response().expect(200).body == body, "{size} bytes in chunks");
    }
    assert_eq!(upstream.connections(), 1);
}

fn many_clients_at_once_each_get_their_own(driver: Driver) {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(driver, &upstream);
    let web = gateway.web();
    let client = |n: usize| {
        move || {
            let mut client = Client::connect(web);
            for round in 0..40 {
                let size = (n * 7919 + round * 104_729) % 40_000;
                let byte = (n * 41 + round) as u8;
                client.send(format!(
                    "PUT /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
                ));
                client.send(vec![byte; size]);
                let body = client.response().expect(200).body;
                assert!(body.len() == size && body.iter().all(|&b| b == byte), "another's bytes");
            }
        }
    };
    let clients: Vec<_> = (0..24).map(|n| std::thread::spawn(client(n))).collect();
    for client in clients {
        client.join().expect("every byte in its place");
    }
}

fn framing_is_kept_on_the_way_up(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.ask("POST /none HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
    client.ask("POST /zero HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").expect(200);
    client
        .ask("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .expect(200);
    client.get("/get").expect(200);
    let requests = upstream.requests();
    let framing =
        |n: usize| (requests[n].value("content-length"), requests[n].value("transfer-encoding"));
    assert!(matches!(framing(0), (None | Some("0"), None)));
    assert_eq!(framing(1), (Some("0"), None));
    assert_eq!(framing(2), (None, Some("chunked")));
    assert_eq!(framing(3), (None, None));
}

fn server_sent_events_arrive_as_they_are_sent(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for n in 0..3 {
            held.wait();
            let event = format!("data: {n}\n\n");
            peer.send(format!("{:x}\r\n{event}\r\n", event.len()));
        }
        held.wait();
        peer.send("0\r\n\r\n");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().expect("the head, before any event");
    assert_eq!(head.value("content-type"), Some("text/event-stream"));
    for n in 0..3 {
        gate.release();
        assert_eq!(client.chunk().expect("an event"), format!("data: {n}\n\n").as_bytes());
    }
    gate.release();
    assert_eq!(client.chunk(), None);
}

fn pieces_of_a_sized_body_arrive_as_they_are_sent(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        held.wait();
        peer.send("world");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    assert_eq!(client.exactly(5), b"hello");
    gate.open();
    assert_eq!(client.exactly(5), b"world");
}

fn pieces_of_a_close_delimited_body_arrive_as_they_are_sent(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send("HTTP/1.0 200 OK\r\n\r\n");
        for piece in ["one", "two"] {
            held.wait();
            peer.send(piece);
        }
        held.wait();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    for piece in ["one", "two"] {
        gate.release();
        assert_eq!(client.chunk().expect("a piece"), piece.as_bytes());
    }
    gate.release();
    assert_eq!(client.chunk(), None);
}

fn pieces_of_a_request_body_arrive_as_they_are_sent(driver: Driver) {
    let (came, pieces) = mpsc::channel();
    let came = Mutex::new(came);
    let upstream = Upstream::new(move |peer| {
        peer.head();
        while let Some(chunk) = peer.chunk() {
            came.lock().expect("one sender").send(chunk).expect("a listener");
        }
        peer.exactly(2);
        peer.send(ok("done"));
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        let arrived = pieces.recv_timeout(crate::harness::PATIENCE).expect("the piece");
        assert_eq!(arrived, piece.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().expect(200).text(), "done");
}

fn an_early_response_reaches_a_client_that_still_sends(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        if peer.number > 0 {
            return peer.serve(ok("another").as_bytes());
        }
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\nsome", 10 * MIB));
    assert_eq!(client.response().expect(413).text(), "early");
    // Half a request was sent on it: nobody may ever use that connection again.
    assert_eq!(gateway.get("/").expect(200).text(), "another");
    drop(client);
    upstream.wait_for_ends(1);
}

fn an_early_response_reaches_a_client_that_sends_without_reading(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly",
        );
        peer.half_close();
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    let size = 8 * MIB;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    let piece = [b'x'; 65536];
    // It may be refused half-way; what counts is that the answer is not lost for that.
    for _ in 0..size / 65536 {
        if client.try_send(piece).is_err() {
            break;
        }
    }
    assert_eq!(client.response().expect(413).text(), "early");
}

fn a_client_that_leaves_while_it_waits_ends_the_exchange(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        if peer.number > 0 {
            return peer.serve(ok("another").as_bytes());
        }
        peer.request();
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    client.reset();
    upstream.wait_for_ends(1);
    gateway.get("/").expect(200);
}

fn a_client_that_leaves_in_its_body_ends_the_exchange(driver: Driver) {
    let (told, ends) = mpsc::channel();
    let told = Mutex::new(told);
    let upstream = Upstream::new(move |peer| {
        let head = peer.head();
        let end = peer.try_body(&head);
        told.lock().expect("one sender").send(end).expect("a listener");
    });
    let gateway = Gateway::before(driver, &upstream);
    for framing in
        ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        upstream.wait_for_request(upstream.count() + 1);
        drop(client);
        let end = ends.recv_timeout(crate::harness::PATIENCE).expect("an end");
        assert!(matches!(end, Err(Broken::Cut(_) | Broken::Reset | Broken::Closed)), "{end:?}");
    }
}

fn a_client_that_ends_its_side_in_its_body_is_cut_off(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let head = peer.head();
        peer.try_body(&head).expect_err("half a body");
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    upstream.wait_for_request(1);
    client.half_close();
    upstream.wait_for_ends(1);
    // An answer is a courtesy; the end of the connection is what counts.
    if let Ok(response) = client.try_response() {
        response.expect_failure(400);
    }
    client.expect_closed();
}

fn a_client_that_leaves_during_a_download_stops_it(driver: Driver) {
    let upstream = large(512 * MIB, false);
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    client.discard(MIB);
    client.reset();
    gateway.wait_stats("nothing in flight", |s| s.in_flight() == 0);
    gateway.wait_stats("the connection is gone", |s| s.connections() == 0);
}

fn an_upstream_that_resets_during_an_upload_is_a_502(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.exactly(1000);
        peer.reset_at_end();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    let size = 64 * MIB;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    let piece = [b'x'; 65536];
    for _ in 0..size / 65536 {
        if client.try_send(piece).is_err() {
            break;
        }
    }
    client.response().expect_failure(502);
    client.expect_closed();
}

fn an_upstream_that_ends_its_side_after_its_response_is_not_reused(driver: Driver) {
    let (ended, half_closed) = mpsc::channel();
    let ended = Mutex::new(ended);
    let upstream = Upstream::new(move |peer| {
        peer.answer(ok("bye"));
        peer.half_close();
        ended.lock().expect("one sender").send(()).expect("a listener");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for n in 1..=3 {
        assert_eq!(client.get("/").expect(200).text(), "bye");
        half_closed.recv_timeout(crate::harness::PATIENCE).expect("the upstream's end");
        assert_eq!(upstream.connections(), n);
    }
    upstream.wait_for_ends(2);
}

fn two_bodies_at_once_in_both_directions(driver: Driver) {
    // The upstream echoes chunk by chunk while the client still sends.
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(chunk) = peer.chunk() {
            peer.send(format!("{:x}\r\n", chunk.len()));
            peer.send(&chunk);
            peer.send("\r\n");
        }
        peer.exactly(2);
        peer.send("0\r\n\r\n");
        peer.serve(ok("after").as_bytes());
    });
    let gateway = Gateway::start(
        driver,
        format!("[server]\nworkers = 1\nwatch = false\n{}", forward_all(&upstream.address)),
    );
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head().expect("the head, before the body is whole");
    for n in 0..5 {
        client.send(format!("3\r\nab{n}\r\n"));
        assert_eq!(client.chunk().expect("its echo"), format!("ab{n}").as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
    assert_eq!(gateway.get("/").expect(200).text(), "after");
    assert_eq!(upstream.connections(), 1, "both messages were consumed whole");
}

fn a_broken_upload_writes_nothing_into_an_answer_that_has_begun(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        peer.send([b'a'; 500]);
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    for broken in ["ZZZ\r\n", "5\r\nhello!\r\n"] {
        let mut client = gateway.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.head().expect("the head");
        assert_eq!(client.exactly(500), [b'a'; 500]);
        client.send(broken);
        assert_eq!(client.rest(), Err(Broken::Reset), "the answer must not look whole");
    }
}

fn an_early_answer_may_outlast_the_time_for_a_first_byte(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        let head = peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
        peer.body(&head);
        held.wait();
        peer.send("two");
        peer.wait_closed();
    });
    let gateway = Gateway::start(
        driver,
        forward_all(&upstream.address) + "timeouts = { first_byte = \"100ms\", idle = \"20s\" }\n",
    );
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    client.head().expect("the head");
    assert_eq!(client.exactly(3), b"one");
    client.send("cd");
    client.expect_silence();
    gate.open();
    assert_eq!(client.exactly(3), b"two");
}

fn a_slow_but_steady_reader_is_no_idle_one(driver: Driver) {
    let total = 16 * MIB;
    let upstream = large(total, false);
    let gateway = Gateway::start(
        driver,
        forward_all(&upstream.address) + "timeouts = { idle = \"1500ms\" }\n",
    );
    let mut client = Client::connect_narrow(gateway.web());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    let mut left = total;
    // Far apart from the idle timeout, since a busy machine may hold either side up.
    for _ in 0..60 {
        client.discard(8_000);
        left -= 8_000;
        pass(Duration::from_millis(40));
    }
    client.discard(left);
    client.get("/").expect(200);
}
