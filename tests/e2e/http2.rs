//! HTTP/2's own ways: how it is agreed on, how connections are shared and end, and what is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, REFUSED_STREAM,
    RST_STREAM,
};
use crate::harness::http2::Http2;
use crate::harness::{
    Ask, BOTH, Caller, Client, Driver, Ends, Gate, Gateway, Keys, Made, Origin, Signer, Upstream,
    Version, Versions, eventually,
};

const DOWN: Versions = Versions { down: Version::Http2, up: Version::Http1 };
const UP: Versions = Versions { down: Version::Http1, up: Version::Http2 };
const ALL: Versions = Versions { down: Version::Http2, up: Version::Http2 };
const ONE_WORKER: &str = "[server]\nworkers = 1\nwatch = false\n";

/// `:status` with 200, from the table that both ends begin with (RFC 7541 appendix A).
const STATUS_200: [u8; 1] = [0x88];

fn start(driver: Driver, versions: Versions, target: &str, keys: Keys<'_>) -> Gateway {
    Gateway::start(driver, versions.config(&[target], keys))
}

fn one_worker() -> Keys<'static> {
    Keys { top: ONE_WORKER, ..Keys::default() }
}

/// An upstream that is scripted frame by frame.
fn by_frames(
    settings: &'static [(u16, u32)],
    script: impl Fn(&mut Frames, usize) + Send + Sync + 'static,
) -> Upstream {
    Upstream::new(move |peer| {
        if let Some(mut frames) = Frames::accept(peer, settings) {
            script(&mut frames, peer.number);
        }
    })
}

/// Waits for the next request's whole content; gives its stream. `None`: the connection ended.
fn next_request(frames: &mut Frames) -> Option<u32> {
    loop {
        match frames.next() {
            Ok(frame) if frame.ends() => return Some(frame.stream),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

fn answer(frames: &mut Frames, stream: u32) {
    frames.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200));
}

fn serve(frames: &mut Frames) {
    while let Some(stream) = next_request(frames) {
        answer(frames, stream);
    }
}

/// A gateway that speaks TLS, and whom its clients trust.
fn secure(driver: Driver, signer: &Signer, listener: &str, target: &str) -> Gateway {
    let made: Made = signer.certify(&["shop.example"]);
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n{listener}\n\
         tls = {{ certificates = [{{ certificate = \"it.pem\", key = \"it.key\" }}] }}\n\
         [upstreams.app]\ntargets = [\"{target}\"]\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n"
    );
    let builder = Gateway::with(driver, text).file("it.pem", made.certificate.clone());
    builder.file("it.key", made.key.clone()).start()
}

both_drivers!(
    alpn_picks_http2_before_http1,
    http1_alone_is_spoken_where_that_is_written,
    without_the_key_h2c_is_not_spoken,
    http1_is_served_beside_h2c,
    h2_alone_is_h2_alone,
    targets_behind_tls_speak_http2_by_alpn,
    a_target_behind_tls_without_http2_is_told_apart,
    a_target_behind_tls_is_verified,
    a_hundred_streams_share_one_connection,
    the_stream_cap_makes_another_connection,
    the_targets_own_cap_makes_another_connection,
    first_requests_at_once_make_one_connection,
    a_refused_stream_is_tried_again,
    a_refused_stream_whose_content_is_gone_is_a_failure,
    a_stream_above_the_last_of_a_goaway_is_tried_again,
    a_stream_below_the_last_of_a_goaway_is_finished,
    a_connection_that_dies_says_nothing_of_a_refusal,
    a_target_that_closes_an_idle_connection_is_connected_to_anew,
    a_short_wait_in_vain_ends_no_connection,
    a_short_time_for_one_request_is_not_that_of_the_connection,
    a_drain_says_so_and_lets_streams_finish,
    a_drain_ends_idle_connections,
    a_listener_removed_says_so_and_lets_streams_finish,
    a_reload_serves_streams_on_connections_there_are,
    an_idle_connection_is_told_to_go,
    so_many_requests_and_no_more_on_a_connection,
    a_head_that_is_too_large_is_431,
    too_many_streams_are_refused,
    a_stream_that_stops_does_not_stop_the_others,
    an_idle_connection_to_a_target_ends,
    pings_are_answered,
);

fn alpn_picks_http2_before_http1(driver: Driver) {
    let (signer, origin) = (Signer::new(), Origin::saying(Version::Http1, "ok"));
    let gateway = secure(driver, &signer, "", &origin.address);
    let tls = signer.client(BOTH);
    let http2 = Http2::connect_tls(gateway.web(), &tls, "shop.example");
    let ask = Ask::get("/a").host("shop.example");
    assert_eq!(http2.ask(&ask).expect(200).text(), "ok");
    assert_eq!(origin.only_request().value("x-forwarded-proto"), Some("https"));
    let mut http1 = Client::connect_tls(gateway.web(), &tls, "shop.example");
    http1.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").expect(200);
}

fn http1_alone_is_spoken_where_that_is_written(driver: Driver) {
    let (signer, origin) = (Signer::new(), Origin::saying(Version::Http1, "ok"));
    let gateway = secure(driver, &signer, "protocols = [\"http/1.1\"]", &origin.address);
    let mut tls = rustls::ClientConfig::clone(&signer.client(BOTH));
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut client = Client::connect_tls(gateway.web(), &Arc::new(tls), "shop.example");
    let agreed = client.tls().connection.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
    client.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").expect(200);
}

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn without_the_key_h2c_is_not_spoken(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let gateway =
        start(driver, Versions { down: Version::Http1, ..DOWN }, &origin.address, Keys::default());
    let mut client = gateway.connect();
    client.send(PREFACE);
    let refused = client.try_response().expect("an answer of HTTP/1.1");
    assert!(refused.status >= 400, "{}", refused.status);
    client.expect_closed();
    assert!(origin.requests().is_empty());
}

fn http1_is_served_beside_h2c(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let gateway = start(driver, DOWN, &origin.address, Keys::default());
    let mut http1 = gateway.connect();
    http1.get("/").expect(200);
    Http2::connect(gateway.web()).ask(&Ask::get("/")).expect(200);
    http1.get("/").expect(200);
    // Only a connection may begin so, not a later request of it.
    http1.send(PREFACE);
    assert!(http1.try_response().expect("an answer").status >= 400);
}

fn h2_alone_is_h2_alone(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let keys = Keys { listener: "protocols = [\"h2\"]", ..Keys::default() };
    let gateway = start(driver, Versions { down: Version::Http1, ..DOWN }, &origin.address, keys);
    Http2::connect(gateway.web()).ask(&Ask::get("/")).expect(200);
    let mut client = gateway.connect();
    client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_ended();
    assert_eq!(origin.only_request().target(), "/");
}

/// A gateway before a target behind TLS.
fn to_tls(driver: Driver, signer: &Signer, target: &str, name: &str) -> Gateway {
    let keys = format!("retries = 0\ntls = {{ roots = \"roots.pem\", server_name = \"{name}\" }}");
    let keys = Keys { upstream: &keys, ..Keys::default() };
    let builder = Gateway::with(driver, UP.config(&[target], keys));
    builder.file("roots.pem", signer.pem()).start()
}

fn served_by(signer: &Signer, protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    let mut tls = rustls::ServerConfig::clone(&signer.server(&signer.certify(&["in.example"])));
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(tls)
}

fn targets_behind_tls_speak_http2_by_alpn(driver: Driver) {
    let signer = Signer::new();
    let origin = Origin::http2(
        Some(served_by(&signer, &[b"h2"])),
        |_| {},
        |turn| {
            let (body, _) = turn.content().expect("the content");
            turn.answer(200, &[], body);
        },
    );
    let gateway = to_tls(driver, &signer, &origin.address, "in.example");
    let mut client = Caller::connect(Version::Http1, gateway.web());
    let body = vec![b'x'; 200_000];
    let response = client.ask_with(&Ask::post("/", Ends::Chunked), &body).expect(200);
    assert!(response.body == body);
    assert_eq!(origin.only_request().head.start, "POST / HTTP/2");
}

fn a_target_behind_tls_without_http2_is_told_apart(driver: Driver) {
    let signer = Signer::new();
    // One that knows of ALPN, and one that does not.
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let tls = served_by(&signer, protocols);
        let upstream = Upstream::tls(tls, |peer| peer.serve(b"HTTP/1.1 200 OK\r\n\r\n"));
        let gateway = to_tls(driver, &signer, &upstream.address, "in.example");
        let failed = gateway.once("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
        let failed = failed.expect_failure(502);
        assert!(failed.text().contains("no_http2"), "{}", failed.text());
        upstream.expect_untouched();
    }
}

fn a_target_behind_tls_is_verified(driver: Driver) {
    let signer = Signer::new();
    let tls = served_by(&signer, &[b"h2"]);
    let origin = Origin::http2(Some(tls), |_| {}, |turn| turn.answer(200, &[], "never"));
    let gateway = to_tls(driver, &signer, &origin.address, "another.example");
    gateway.get("/").expect_failure(502);
    assert!(origin.requests().is_empty());
}

/// An origin that answers when the gate lets it, and how many wait.
fn held(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::new(Version::Http2, move |turn| {
        gate.wait();
        turn.answer(200, &[], "done");
    })
}

fn a_hundred_streams_share_one_connection(driver: Driver) {
    let gate = Gate::new();
    let origin = held(&gate);
    let gateway = start(driver, ALL, &origin.address, one_worker());
    let http2 = Http2::connect(gateway.web());
    let mut calls: Vec<_> =
        (0..100).map(|_| http2.begin(&Ask::get("/")).expect("a stream")).collect();
    origin.wait_for_request(100);
    assert_eq!(origin.connections(), 1);
    assert_eq!(gateway.stats().connections(), 1);
    gate.open();
    for call in &mut calls {
        assert_eq!(call.response().expect("an answer").expect(200).text(), "done");
    }
}

fn the_stream_cap_makes_another_connection(driver: Driver) {
    let gate = Gate::new();
    let origin = held(&gate);
    let keys = Keys { upstream: "max_streams = 2", ..one_worker() };
    let gateway = start(driver, ALL, &origin.address, keys);
    let http2 = Http2::connect(gateway.web());
    let mut calls: Vec<_> =
        (0..5).map(|_| http2.begin(&Ask::get("/")).expect("a stream")).collect();
    origin.wait_for_request(5);
    assert_eq!(origin.connections(), 3);
    gate.open();
    for call in &mut calls {
        call.response().expect("an answer").expect(200);
    }
}

fn the_targets_own_cap_makes_another_connection(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::http2(
        None,
        |builder| {
            builder.max_concurrent_streams(2);
        },
        move |turn| {
            held.wait();
            turn.answer(200, &[], "done");
        },
    );
    let gateway = start(driver, ALL, &origin.address, one_worker());
    let http2 = Http2::connect(gateway.web());
    // Its settings are known once something was answered.
    gate.release();
    http2.ask(&Ask::get("/")).expect(200);
    let mut calls: Vec<_> =
        (0..3).map(|_| http2.begin(&Ask::get("/")).expect("a stream")).collect();
    origin.wait_for_request(4);
    assert_eq!(origin.connections(), 2);
    gate.open();
    for call in &mut calls {
        call.response().expect("an answer").expect(200);
    }
}

fn first_requests_at_once_make_one_connection(driver: Driver) {
    let gate = Gate::new();
    let origin = held(&gate);
    let gateway = start(driver, UP, &origin.address, one_worker());
    let mut clients: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    origin.wait_for_request(20);
    assert_eq!(origin.connections(), 1);
    gate.open();
    for client in &mut clients {
        client.response().expect(200);
    }
}

fn a_refused_stream_is_tried_again(driver: Driver) {
    let refusals = AtomicUsize::new(0);
    let upstream = by_frames(&[], move |frames, _| {
        while let Some(stream) = next_request(frames) {
            match refusals.fetch_add(1, Ordering::SeqCst) % 2 {
                0 => frames.send(&Frame::reset(stream, REFUSED_STREAM)),
                _ => answer(frames, stream),
            }
        }
    });
    for versions in [UP, ALL] {
        let gateway = start(driver, versions, &upstream.address, one_worker());
        let mut client = Caller::connect(versions.down, gateway.web());
        client.ask(&Ask::get("/")).expect(200);
        // Whatever the method: the target says that it did nothing.
        client.ask_at_once(&Ask::post("/", Ends::After(4)), b"some").expect(200);
        assert_eq!(gateway.stats().upstream("app", "/retries"), 2);
    }
}

fn a_refused_stream_whose_content_is_gone_is_a_failure(driver: Driver) {
    let upstream = by_frames(&[], |frames, _| {
        frames.until("content", |f| f.kind == DATA && !f.payload.is_empty());
        frames.send(&Frame::reset(1, REFUSED_STREAM));
        assert_eq!(next_request(frames), None, "half a content must not be sent again");
    });
    let gateway = start(driver, UP, &upstream.address, one_worker());
    let mut client = Caller::connect(Version::Http1, gateway.web());
    client.begin(&Ask::post("/", Ends::After(100_000)));
    client.talk().send(&[b'x'; 50_000]).expect("the gateway takes it");
    client.response().expect("an answer").expect_failure(502);
}

fn a_short_wait_in_vain_ends_no_connection(driver: Driver) {
    let upstream = by_frames(&[], |frames, _| while next_request(frames).is_some() {});
    let route = "timeouts = { first_byte = \"50ms\" }";
    let gateway = start(driver, UP, &upstream.address, Keys { route, ..one_worker() });
    for _ in 0..3 {
        let mut client = Caller::connect(Version::Http1, gateway.web());
        client.ask(&Ask::get("/")).expect_failure(504);
    }
    assert_eq!(upstream.connections(), 1);
}

fn a_short_time_for_one_request_is_not_that_of_the_connection(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        held.wait();
        if let Some(mut frames) = Frames::accept(peer, &[]) {
            serve(&mut frames);
        }
    });
    let gateway = start(driver, UP, &upstream.address, one_worker());
    let mut hasty = Caller::connect(Version::Http1, gateway.web());
    let call = Ask::post("/", Ends::After(5)).field("content-type", "application/grpc");
    let answer = hasty.ask_with(&call.field("grpc-timeout", "50m"), &[0; 5]);
    assert_eq!(answer.value("grpc-status"), Some("4"), "its time is over");
    gate.open();
    // Its target has not failed, and the connection that it waited for serves others.
    Caller::connect(Version::Http1, gateway.web()).ask(&Ask::get("/")).expect(200);
    assert_eq!(upstream.connections(), 1);
}

fn a_stream_above_the_last_of_a_goaway_is_tried_again(driver: Driver) {
    let upstream = by_frames(&[], |frames, connection| match connection {
        0 => {
            let first = next_request(frames).expect("a request");
            answer(frames, first);
            next_request(frames).expect("another request");
            frames.send(&Frame::goaway(first, 0));
            assert_eq!(next_request(frames), None);
        }
        _ => serve(frames),
    });
    for method in ["GET", "POST"] {
        let connections = upstream.connections();
        let gateway = start(driver, UP, &upstream.address, one_worker());
        let mut client = Caller::connect(Version::Http1, gateway.web());
        for _ in 0..2 {
            let ask = Ask { sends: Ends::After(4), ..Ask::new(method, "/") };
            client.ask_at_once(&ask, b"some").expect(200);
        }
        assert!(upstream.connections() > connections);
    }
}

fn a_stream_below_the_last_of_a_goaway_is_finished(driver: Driver) {
    let upstream = by_frames(&[], |frames, connection| {
        if connection > 0 {
            return serve(frames);
        }
        let stream = next_request(frames).expect("a request");
        frames.send(&Frame::goaway(stream, 0));
        frames.send(&Frame::new(HEADERS, END_HEADERS, stream, STATUS_200));
        frames.send(&Frame::new(DATA, END_STREAM, stream, *b"finished"));
        frames.wait_closed();
    });
    let gateway = start(driver, UP, &upstream.address, one_worker());
    assert_eq!(gateway.get("/").expect(200).text(), "finished");
    gateway.get("/").expect(200);
    assert_eq!(upstream.connections(), 2);
}

fn a_connection_that_dies_says_nothing_of_a_refusal(driver: Driver) {
    let upstream = by_frames(&[], |frames, _| {
        next_request(frames).expect("a request");
    });
    let gateway = start(driver, UP, &upstream.address, one_worker());
    // Fresh, and the target may have acted on it.
    gateway.get("/").expect_failure(502);
    assert_eq!(upstream.connections(), 1);
}

fn a_target_that_closes_an_idle_connection_is_connected_to_anew(driver: Driver) {
    let upstream = by_frames(&[], |frames, _| {
        let stream = next_request(frames).expect("a request");
        answer(frames, stream);
    });
    let gateway = start(driver, UP, &upstream.address, one_worker());
    let mut client = gateway.connect();
    for n in 1..=3 {
        client.get("/").expect(200);
        upstream.wait_for_finished(n);
    }
    assert_eq!(upstream.connections(), 3);
}

fn a_drain_says_so_and_lets_streams_finish(driver: Driver) {
    let gate = Gate::new();
    let origin = held(&gate);
    let mut gateway = start(driver, ALL, &origin.address, one_worker());
    let mut http2 = Http2::connect(gateway.web());
    let mut call = http2.begin(&Ask::get("/")).expect("a stream");
    origin.wait_for_request(1);
    gateway.signal(libc::SIGTERM);
    eventually("new connections are refused", || Client::try_connect(gateway.web()).is_err());
    // Told by GOAWAY, the client begins nothing more.
    eventually("GOAWAY", || http2.begin(&Ask::get("/late")).is_err());
    assert!(gateway.is_running(), "a stream is under way");
    gate.open();
    assert_eq!(call.response().expect("an answer").expect(200).text(), "done");
    http2.wait_closed().expect("a good end");
    assert!(gateway.wait_exit().success());
}

fn a_drain_ends_idle_connections(driver: Driver) {
    let origin = Origin::saying(Version::Http2, "ok");
    let mut gateway = start(driver, ALL, &origin.address, Keys::default());
    let mut http2 = Http2::connect(gateway.web());
    http2.ask(&Ask::get("/")).expect(200);
    gateway.signal(libc::SIGTERM);
    http2.wait_closed().expect("a good end");
    assert!(gateway.wait_exit().success());
}

fn a_listener_removed_says_so_and_lets_streams_finish(driver: Driver) {
    let gate = Gate::new();
    let origin = held(&gate);
    let two = "[[listeners]]\nname = \"other\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n";
    let keys = Keys { top: two, ..Keys::default() };
    let gateway = start(driver, ALL, &origin.address, keys);
    let mut http2 = Http2::connect(gateway.address("other"));
    let mut call = http2.begin(&Ask::get("/")).expect("a stream");
    origin.wait_for_request(1);
    gateway.reload(ALL.config(&[&origin.address], Keys::default()));
    eventually("GOAWAY", || http2.begin(&Ask::get("/late")).is_err());
    gate.open();
    assert_eq!(call.response().expect("an answer").expect(200).text(), "done");
    http2.wait_closed().expect("a good end");
}

fn a_reload_serves_streams_on_connections_there_are(driver: Driver) {
    let origin = Origin::saying(Version::Http2, "ok");
    let gateway = start(driver, ALL, &origin.address, one_worker());
    let http2 = Http2::connect(gateway.web());
    http2.ask(&Ask::get("/")).expect(200);
    let keys = Keys { route: "response_headers = { set = { \"x-new\" = \"1\" } }", ..one_worker() };
    gateway.reload(ALL.config(&[&origin.address], keys));
    eventually("the new configuration holds", || {
        http2.ask(&Ask::get("/")).expect(200).value("x-new") == Some("1")
    });
    assert_eq!(origin.connections(), 1, "the target's connection is kept");
}

fn an_idle_connection_is_told_to_go(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let keys = Keys { listener: "idle_timeout = \"200ms\"", ..Keys::default() };
    let gateway = start(driver, DOWN, &origin.address, keys);
    let mut http2 = Http2::connect(gateway.web());
    http2.ask(&Ask::get("/")).expect(200);
    http2.wait_closed().expect("a good end");
    gateway.wait_stats("it is gone", |s| s.connections() == 0);
}

fn so_many_requests_and_no_more_on_a_connection(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let keys = Keys { listener: "max_requests = 3", ..Keys::default() };
    let gateway = start(driver, DOWN, &origin.address, keys);
    let mut http2 = Http2::connect(gateway.web());
    for _ in 0..3 {
        http2.ask(&Ask::get("/")).expect(200);
    }
    http2.wait_closed().expect("a good end");
    assert_eq!(origin.requests().len(), 3);
}

fn a_head_that_is_too_large_is_431(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let keys =
        Keys { listener: "http = { max_head = \"4KiB\", max_fields = 20 }", ..Keys::default() };
    let gateway = start(driver, DOWN, &origin.address, keys);
    let http2 = Http2::connect(gateway.web());
    let large = |size: usize| Ask::get("/").field("x-large", &"x".repeat(size));
    http2.ask(&large(5_000)).expect_failure(431);
    // What is larger by far is refused before it is whole.
    assert_eq!(http2.ask(&large(12_000)).status, 431);
    let many = (0..30).fold(Ask::get("/"), |ask, n| ask.field(&format!("x-{n}"), "y"));
    http2.ask(&many).expect_failure(431);
    http2.ask(&large(1_000)).expect(200);
    assert_eq!(origin.requests().len(), 1);
}

fn too_many_streams_are_refused(driver: Driver) {
    let gate = Gate::new();
    let origin = held(&gate);
    let keys = Keys { listener: "max_streams = 2", ..one_worker() };
    let gateway = start(driver, ALL, &origin.address, keys);
    let mut frames = Frames::connect(gateway.web());
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
    for stream in [1, 3, 5] {
        frames.send(&Frame::headers(stream, END_STREAM, &fields));
    }
    let refused = frames.until("a refusal", |f| f.kind == RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (5, REFUSED_STREAM));
    origin.wait_for_request(2);
    gate.open();
    for _ in 0..2 {
        let answered = frames.until("an answer", |f| f.kind == HEADERS);
        assert!(answered.stream < 5);
    }
    assert_eq!(origin.requests().len(), 2);
}

fn a_stream_that_stops_does_not_stop_the_others(driver: Driver) {
    let origin = Origin::new(Version::Http2, |turn| {
        if turn.target() == "/large" {
            turn.begin(200, &[], Ends::After(64 << 20));
            // Until the client has seen enough.
            while turn.talk().send(&[b'x'; 65_536]).is_ok() {}
        } else {
            turn.answer(200, &[], vec![b'y'; 100_000]);
        }
    });
    let gateway = start(driver, ALL, &origin.address, one_worker());
    let http2 =
        Http2::with(gateway.web(), |builder| builder.initial_connection_window_size(8 << 20));
    let mut stuck: Vec<_> =
        (0..10).map(|_| http2.begin(&Ask::get("/large")).expect("a stream")).collect();
    for call in &mut stuck {
        call.head().expect("a head");
    }
    for _ in 0..3 {
        assert_eq!(http2.ask(&Ask::get("/")).expect(200).body.len(), 100_000);
    }
    assert_eq!(origin.connections(), 1);
    stuck.iter_mut().for_each(|call| call.two.reset(h2::Reason::CANCEL));
    gateway.wait_stats("all are over", |s| s.in_flight() == 0);
}

fn an_idle_connection_to_a_target_ends(driver: Driver) {
    let gone = Gate::new();
    let told = gone.clone();
    let upstream = by_frames(&[], move |frames, _| {
        let stream = next_request(frames).expect("a request");
        answer(frames, stream);
        let bye = frames.next_of(GOAWAY);
        assert!(bye.is_none_or(|frame| frame.code() == 0), "a good end");
        frames.wait_closed();
        told.open();
    });
    let keys = Keys { upstream: "idle_timeout = \"200ms\"", ..one_worker() };
    let gateway = start(driver, UP, &upstream.address, keys);
    gateway.get("/").expect(200);
    gone.wait();
}

fn pings_are_answered(driver: Driver) {
    let origin = Origin::saying(Version::Http1, "ok");
    let gateway = start(driver, DOWN, &origin.address, Keys::default());
    let mut frames = Frames::connect(gateway.web());
    for n in 0..20_u8 {
        frames.send(&Frame::new(PING, 0, 0, [n; 8]));
        let pong = frames.until("an answer", |f| f.kind == PING);
        assert_eq!((pong.flags, pong.payload), (ACK, vec![n; 8]));
    }
}
