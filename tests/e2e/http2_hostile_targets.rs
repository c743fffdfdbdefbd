//! Targets that speak HTTP/2 to hurt: their clients get a clean error or a broken answer, never one that
//! only seems whole, and nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::handmade::{frame as frame_of, *};
use crate::harness::{Broken, Client, Driver, Gateway, Peer, STOPPED, Upstream, eventually, ok};

both_drivers!(
    ping_flood,
    settings_flood,
    reset_flood,
    endless_interim_answers,
    endless_header_block,
    giant_header_list,
    data_after_the_end,
    content_beyond_its_length,
    content_short_of_its_length,
    content_where_none_may_be,
    never_answers_settings,
    allows_no_streams,
    allows_no_more_streams,
    allows_one_stream_at_a_time,
    goaway_storm,
    closes_right_after_connecting,
    resets_every_stream,
    push_promises,
    garbage_for_a_preface,
    one_that_resets_streams_forgotten,
    a_reset_stream_is_not_asked_again,
    malformed_answers_are_not_asked_again,
    what_breaks_the_connection_is_asked_again_where_that_is_safe,
);

/// A gateway in front of that target, and a plain one beside it.
struct Scene {
    gateway: Gateway,
    target: Upstream,
    _other: Upstream,
    descriptors: usize,
}

impl Scene {
    fn new(driver: Driver, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::with(driver, "idle_timeout = \"1s\"", script)
    }

    fn with(
        driver: Driver,
        keys: &str,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        let target = Upstream::new(script);
        let other = Upstream::answering(ok("other"));
        let gateway = Gateway::start(
            driver,
            format!(
                "[server]\nworkers = 1\nwatch = false\n\
                 [upstreams.hostile]\ntargets = [\"{}\"]\nprotocol = \"h2\"\n{keys}\n\
                 skip_after_failure = \"100ms\"\nmax_idle = 2\n\
                 [upstreams.other]\ntargets = [\"{}\"]\nmax_idle = 0\n\
                 [[routes]]\nname = \"other\"\npath = \"/other\"\nupstream = \"other\"\n\
                 [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"hostile\"\n\
                 timeouts = {{ first_byte = \"1s\", idle = \"1s\" }}\n",
                target.address, other.address
            ),
        );
        gateway.get("/other").expect(200);
        gateway.wait_stats("nobody is connected", |s| s.connections() == 0);
        let descriptors = gateway.descriptors();
        Self { gateway, target, _other: other, descriptors }
    }

    /// Somebody else is served, and nothing is left.
    #[track_caller]
    fn ends_well(&self) {
        self.gateway.get("/other").expect(200);
        self.gateway.wait_stats("nothing is left", |s| s.connections() == 0 && s.in_flight() == 0);
        eventually("descriptors as before", || self.gateway.descriptors() <= self.descriptors);
        assert!(self.gateway.peak_resident() < 256 << 20);
    }

    #[track_caller]
    fn ask(&self) -> Result<u16, Broken> {
        let mut client = self.gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.try_response().map(|response| response.status)
    }
}

/// Reads what the gateway says to the end.
fn listen(peer: &mut Peer) {
    while peer.next_frame().is_some() {}
}

/// More than sockets hold.
const ENDLESS: usize = 30_000;

/// Answers one stream with what `piece` makes, again and again.
#[track_caller]
fn floods(driver: Driver, piece: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) {
    let flooded = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&flooded);
    let scene = Scene::new(driver, move |peer| {
        if peer.greet(&[])
            && let Some(stream) = peer.next_stream()
        {
            let n = peer.flood(ENDLESS, |_| piece(stream).repeat(100));
            sent.fetch_max(n, Ordering::SeqCst);
        }
    });
    let status = scene.ask().expect("an answer");
    assert!(matches!(status, 502 | 504), "{status}");
    scene.ends_well();
    assert!(flooded.load(Ordering::SeqCst) < ENDLESS, "it was listened to for ever");
}

fn ping_flood(driver: Driver) {
    floods(driver, |_| ping());
}

fn settings_flood(driver: Driver) {
    floods(driver, |_| settings(&[(4, 70_000)]));
}

fn reset_flood(driver: Driver) {
    floods(driver, |stream| reset(stream, NO_ERROR));
}

fn endless_interim_answers(driver: Driver) {
    floods(driver, |stream| answer(stream, 0, "103", &[("link", "</a>")]));
}

fn endless_header_block(driver: Driver) {
    let scene = Scene::new(driver, |peer| {
        if peer.greet(&[])
            && let Some(stream) = peer.next_stream()
        {
            peer.try_send(frame(HEADERS, 0, stream, field(":status", "200"))).ok();
            peer.flood(100_000, |n| frame(CONTINUATION, 0, stream, field(&format!("x-{n}"), "")));
        }
    });
    assert_eq!(scene.ask(), Ok(502));
    scene.ends_well();
}

fn giant_header_list(driver: Driver) {
    let scene = Scene::new(driver, |peer| {
        if !peer.greet(&[]) {
            return;
        }
        while let Some(stream) = peer.next_stream() {
            let fields: Vec<u8> =
                (0..4).flat_map(|_| field("x-large", &"x".repeat(16_000))).collect();
            peer.try_send(frame(HEADERS, 0, stream, field(":status", "200"))).ok();
            for piece in fields.chunks(16_000) {
                peer.try_send(frame(CONTINUATION, 0, stream, piece)).ok();
            }
            peer.try_send(frame(CONTINUATION, END_HEADERS, stream, [])).ok();
        }
    });
    assert_eq!(scene.ask(), Ok(502));
    scene.ends_well();
}

/// Answers each stream with these frames, made for its number.
fn answers(driver: Driver, frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Scene {
    Scene::new(driver, move |peer| {
        if peer.greet(&[]) {
            while let Some(stream) = peer.next_stream() {
                if peer.try_send(frames(stream)).is_err() {
                    return;
                }
            }
        }
    })
}

/// Who got an answer whole keeps it; the one behind it breaks the rules alone.
fn data_after_the_end(driver: Driver) {
    let scene = answers(driver, |stream| {
        [
            answer(stream, 0, "200", &[("content-length", "2")]),
            frame(DATA, END_STREAM, stream, "ok"),
            frame(DATA, 0, stream, "more"),
        ]
        .concat()
    });
    let mut client = scene.gateway.connect();
    assert_eq!(client.get("/").expect(200).text(), "ok");
    client.expect_silence();
    drop(client);
    scene.ends_well();
}

fn content_beyond_its_length(driver: Driver) {
    let scene = answers(driver, |stream| {
        let head = answer(stream, 0, "200", &[("content-length", "5")]);
        [head, frame(DATA, 0, stream, "four"), frame(DATA, END_STREAM, stream, "more")].concat()
    });
    assert!(!matches!(scene.ask(), Ok(200)), "it seemed whole");
    scene.ends_well();
}

fn content_short_of_its_length(driver: Driver) {
    let scene = answers(driver, |stream| {
        let head = answer(stream, 0, "200", &[("content-length", "5")]);
        [head, frame(DATA, END_STREAM, stream, "four")].concat()
    });
    assert!(!matches!(scene.ask(), Ok(200)), "it seemed whole");
    scene.ends_well();
}

/// Or the client would take it for an answer to its next request.
fn content_where_none_may_be(driver: Driver) {
    const HIDDEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden";
    for (method, status) in [("GET", "204"), ("GET", "304"), ("HEAD", "200")] {
        let scene = answers(driver, move |stream| {
            [answer(stream, 0, status, &[]), frame(DATA, END_STREAM, stream, HIDDEN)].concat()
        });
        let mut client: Client = scene.gateway.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let first = client.head();
        assert!(first.is_ok_and(|head| !head.raw.windows(6).any(|w| w == b"hidden")));
        client.patience(STOPPED);
        let next = client.try_response();
        assert!(next.is_err(), "{method} {status}: another answer came, {next:?}");
        drop(client);
        scene.ends_well();
    }
}

fn never_answers_settings(driver: Driver) {
    let scene = Scene::new(driver, listen);
    assert_eq!(scene.ask(), Ok(504));
    assert_eq!(scene.ask(), Ok(504));
    scene.ends_well();
}

/// Each request would make another connection that nobody can use.
fn allows_no_streams(driver: Driver) {
    let scene = Scene::new(driver, |peer| {
        if peer.greet(&[(3, 0)]) {
            listen(peer);
        }
    });
    for _ in 0..5 {
        let status = scene.ask().expect("an answer");
        assert!(matches!(status, 502 | 503), "{status}");
    }
    assert!(scene.target.connections() <= 10, "{} connections", scene.target.connections());
    scene.ends_well();
}

/// The same, said only once a stream has begun.
fn allows_no_more_streams(driver: Driver) {
    let scene = Scene::with(driver, "idle_timeout = \"60s\"", |peer| {
        if peer.greet(&[])
            && let Some(stream) = peer.next_stream()
        {
            let head = answer(stream, END_STREAM, "204", &[]);
            peer.send([settings(&[(3, 0)]), head].concat());
            listen(peer);
        }
    });
    for _ in 0..5 {
        assert_eq!(scene.ask(), Ok(204));
    }
    eventually("all but the last are closed", || {
        scene.gateway.descriptors() <= scene.descriptors + 1
    });
}

fn allows_one_stream_at_a_time(driver: Driver) {
    let scene = Scene::new(driver, |peer| {
        if !peer.greet(&[(3, 1)]) {
            return;
        }
        while let Some(stream) = peer.next_stream() {
            if peer.try_send(answer(stream, END_STREAM, "204", &[])).is_err() {
                return;
            }
        }
    });
    let clients: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = scene.gateway.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    for mut client in clients {
        client.response().expect(204);
    }
    scene.ends_well();
}

fn goaway_storm(driver: Driver) {
    let scene = Scene::new(driver, |peer| {
        if peer.greet(&[]) && peer.next_stream().is_some() {
            peer.flood(3_000, |_| goaway(0, NO_ERROR).repeat(10));
            listen(peer);
        }
    });
    for _ in 0..5 {
        assert_eq!(scene.ask(), Ok(502));
    }
    assert!(scene.target.connections() < 30, "{} connections", scene.target.connections());
    scene.ends_well();
}

fn closes_right_after_connecting(driver: Driver) {
    let scene = Scene::new(driver, |_| {});
    for _ in 0..20 {
        let status = scene.ask().expect("an answer");
        assert!(matches!(status, 502 | 503), "{status}");
    }
    assert!(scene.target.connections() < 100, "{} connections", scene.target.connections());
    scene.ends_well();
}

fn resets_every_stream(driver: Driver) {
    let scene = answers(driver, |stream| reset(stream, REFUSED_STREAM));
    for _ in 0..20 {
        let status = scene.ask().expect("an answer");
        assert!(matches!(status, 502 | 503), "{status}");
    }
    let requests = scene.gateway.stats().upstream("hostile", "/requests");
    assert_eq!(requests, 20);
    scene.ends_well();
}

fn push_promises(driver: Driver) {
    let scene = answers(driver, |stream| {
        let promise = [&2u32.to_be_bytes()[..], &block("GET", "/", &[])].concat();
        frame(PUSH_PROMISE, END_HEADERS, stream, promise)
    });
    assert_eq!(scene.ask(), Ok(502));
    scene.ends_well();
}

fn garbage_for_a_preface(driver: Driver) {
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 50]] {
        let scene = Scene::new(driver, move |peer| {
            peer.send(garbage);
            listen(peer);
        });
        assert_eq!(scene.ask(), Ok(502));
        scene.ends_well();
    }
}

/// Asks on a connection that served somebody before, whose target answers the second stream with these
/// frames: once, whatever the method, and Proxy-Status names this error.
#[track_caller]
fn is_asked_once(
    driver: Driver,
    error: &str,
    frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let scene = answers(driver, move |stream| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => answer(stream, END_STREAM, "204", &[]),
        _ => frames(stream),
    });
    for (n, method) in ["GET", "POST"].into_iter().enumerate() {
        assert_eq!(scene.ask(), Ok(204));
        let mut client = scene.gateway.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        let refused = client.response().expect(502);
        let told = refused.value("proxy-status").unwrap_or_default();
        assert!(told.contains(&format!("error={error}")), "{method}: {told}");
        assert_eq!(asked.load(Ordering::SeqCst), 2 * n + 2, "{method} was sent again");
    }
    scene.ends_well();
}

/// The target took the request, and its connection lives.
fn a_reset_stream_is_not_asked_again(driver: Driver) {
    for code in [NO_ERROR, PROTOCOL_ERROR, CANCEL] {
        is_asked_once(driver, "connection_terminated", move |stream| reset(stream, code));
    }
}

fn malformed_answers_are_not_asked_again(driver: Driver) {
    for field in [("content-length", "5"), ("connection", "close")] {
        is_asked_once(driver, "http_protocol_error", move |stream| {
            answer(stream, END_STREAM, "200", &[field])
        });
    }
}

/// Whose answer it was that broke it can't be told: all who wait there are asked again, where that is
/// safe.
fn what_breaks_the_connection_is_asked_again_where_that_is_safe(driver: Driver) {
    let malformed: [(&str, &[(&str, &str)]); 2] = [("200", &[("X-Upper", "y")]), ("abc", &[])];
    for (status, fields) in malformed {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let scene = answers(driver, move |stream| match count.fetch_add(1, Ordering::SeqCst) {
            1 | 3 => answer(stream, END_STREAM, status, fields),
            _ => answer(stream, END_STREAM, "204", &[]),
        });
        assert_eq!(scene.ask(), Ok(204));
        assert_eq!(scene.ask(), Ok(204));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let mut client = scene.gateway.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        client.response().expect(502);
        drop(client);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        scene.ends_well();
    }
}

/// What still comes on streams that were given up is no fault of the target's: one that is much used must
/// not lose its connection, and all who share it, by that.
fn one_that_resets_streams_forgotten(driver: Driver) {
    let scene = Scene::new(driver, |peer| {
        if !peer.greet(&[]) {
            return;
        }
        while let Some(frame) = peer.next_frame() {
            match frame.kind {
                HEADERS => {
                    let head = answer(frame.stream, 0, "200", &[("content-length", "100000")]);
                    let piece = frame_of(DATA, 0, frame.stream, [b'x'; 1000]);
                    if peer.try_send([head, piece].concat()).is_err() {
                        return;
                    }
                }
                // It was on its way when the reset came.
                RST_STREAM => {
                    let late = frame_of(DATA, 0, frame.stream, [b'x'; 100]);
                    if peer.try_send(late).is_err() {
                        return;
                    }
                }
                GOAWAY => assert_eq!(frame.code(), NO_ERROR, "told to go"),
                _ => {}
            }
        }
    });
    for _ in 0..30 {
        let clients: Vec<Client> = (0..80)
            .map(|_| {
                let mut client = scene.gateway.connect();
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            })
            .collect();
        for mut client in clients {
            client.head().expect("an answer's head");
            client.reset();
        }
    }
    scene.gateway.wait_stats("all are given up", |s| s.in_flight() == 0);
    assert!(scene.target.connections() < 20, "{} connections", scene.target.connections());
    scene.ends_well();
}
