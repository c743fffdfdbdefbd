//! Clients that speak HTTP/2 to hurt. Each attack is bounded here; what must hold is the same for all:
//! somebody else is served meanwhile, memory stays bounded, and afterwards nothing is left of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::handmade::*;
use crate::harness::{Driver, Gateway, Peer, Upstream, eventually, ok, pass};

both_drivers!(
    rapid_reset,
    rapid_reset_of_requests_that_reached_the_upstream,
    resets_that_the_gateway_is_made_to_send,
    a_flood_behind_the_preface,
    continuation_without_end,
    continuation_of_empty_fragments,
    a_field_block_that_stalls,
    ping_flood,
    ping_flood_without_reading,
    unasked_pings_acknowledged,
    settings_flood,
    empty_data_flood,
    priority_flood,
    window_update_flood,
    goaway_flood,
    unknown_frames_flood,
    one_byte_windows,
    zero_window_forever,
    zero_windows_of_many_streams,
    one_stream_that_stands_still,
    reads_nothing_and_asks_for_much,
    streams_over_the_cap,
    streams_begun_after_the_goodbye,
    header_list_too_large,
    header_list_far_too_large,
    too_many_fields,
    hpack_bomb,
    huge_padding,
    preface_in_single_bytes,
    preface_never_finished,
    head_in_single_bytes,
    fin_with_streams_open,
    reset_in_every_phase,
    answers_whose_heads_alone_are_much,
);

const LARGE: usize = 8 << 20;
const INITIAL_WINDOW: u16 = 4;
const WIDE: u32 = 0x7fff_ffff;

/// A gateway on one core, so that whoever is served shares it with the attacker.
struct Scene {
    gateway: Gateway,
    upstream: Upstream,
    descriptors: usize,
    buffers: u64,
    resident: u64,
}

/// `/slow` has no answer, `/large` one of 8 MiB, others a small one.
fn serve(peer: &mut Peer) {
    while let Some(head) = peer.next_head() {
        match head.start.split(' ').nth(1).unwrap_or_default() {
            "/slow" => return drop(peer.wait_closed()),
            "/large" => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                let piece = vec![b'x'; 64 << 10];
                let mut pieces = std::iter::repeat_n(&piece[..], LARGE / piece.len());
                if peer.try_send(head).is_err() || !pieces.all(|p| peer.try_send(p).is_ok()) {
                    return;
                }
            }
            _ if peer.try_body(&head).is_err() => return,
            _ => peer.send(ok("ok")),
        }
    }
}

impl Scene {
    fn new(driver: Driver, keys: &str) -> Self {
        Self::with(driver, "", keys)
    }

    fn with(driver: Driver, server: &str, keys: &str) -> Self {
        let upstream = Upstream::new(serve);
        let gateway = Gateway::start(
            driver,
            format!(
                "[server]\nworkers = 1\nwatch = false\n{server}\n\
                 [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
                 protocols = [\"h2\", \"http/1.1\"]\n{keys}\n\
                 [upstreams.app]\nmax_idle = 0\ntargets = [\"{}\"]\n\
                 [[routes]]\nname = \"own\"\npath = \"/own\"\nrespond = {{ status = 200, body = \"ok\" }}\n\
                 [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
                 timeouts = {{ idle = \"1s\" }}\n",
                upstream.address
            ),
        );
        let mut scene = Self { gateway, upstream, descriptors: 0, buffers: 0, resident: 0 };
        scene.gateway.get("/").expect(200);
        let mut client = scene.client();
        client.send(get(1, "/"));
        assert_eq!(client.answer(1), Ok((200, 2)));
        drop(client);
        scene.gateway.wait_stats("nobody is connected", |s| s.connections() == 0);
        scene.descriptors = scene.gateway.descriptors();
        scene.buffers = scene.gateway.stats().number("/gateway/buffer_bytes");
        scene.resident = scene.gateway.resident();
        scene
    }

    fn client(&self) -> RawHttp2 {
        RawHttp2::connect(self.gateway.web())
    }

    /// Attacks while somebody else asks again and again, and is answered every time.
    #[track_caller]
    fn while_others_are_served(&self, attack: impl FnOnce(&Self)) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut client = self.gateway.connect();
                client.patience(Duration::from_secs(10));
                loop {
                    client.get("/").expect(200);
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(self)));
            over.store(true, Ordering::SeqCst);
            other.join().expect("somebody else was served");
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        let peak = self.gateway.peak_resident();
        assert!(peak < self.resident + (96 << 20), "{} KiB at its peak", peak >> 10);
        self.expect_nothing_left();
    }

    #[track_caller]
    fn expect_nothing_left(&self) {
        self.gateway.wait_stats("nothing is left", |s| {
            s.connections() == 0
                && s.in_flight() == 0
                && s.listener("web", "/http2/open") == 0
                && s.number("/gateway/buffer_bytes") <= self.buffers
        });
        eventually("descriptors as before", || self.gateway.descriptors() <= self.descriptors);
    }
}

/// Attacks; the gateway must tell the client to calm down, and count that.
#[track_caller]
fn is_calmed(driver: Driver, keys: &str, attack: impl FnOnce(&mut RawHttp2)) {
    let scene = Scene::new(driver, keys);
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        attack(&mut client);
        assert_eq!(client.goaway(), ENHANCE_YOUR_CALM);
    });
    assert_eq!(scene.gateway.stats().listener("web", "/http2/refused"), 1);
}

fn stream(n: usize) -> u32 {
    u32::try_from(2 * n + 1).expect("a stream's number")
}

/// A field block in one HEADERS frame and as many others as it takes.
fn in_pieces(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16_000).peekable();
    let mut bytes = Vec::new();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let flags = if kind == HEADERS { flags | end } else { end };
        bytes.extend(frame(kind, flags, stream, piece));
        kind = CONTINUATION;
    }
    bytes
}

fn rapid_reset(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(200, |n| {
            (10 * n..10 * n + 10)
                .flat_map(|n| [get(stream(n), "/slow"), reset(stream(n), CANCEL)].concat())
                .collect()
        });
    });
}

fn rapid_reset_of_requests_that_reached_the_upstream(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        for round in 0..100 {
            let streams = || (20 * round..20 * round + 20).map(stream);
            let asked: Vec<u8> = streams().flat_map(|id| get(id, "/slow")).collect();
            // When the ping is answered, the requests have been taken.
            if client.try_send([asked, ping()].concat()).is_err() {
                break;
            }
            let told = loop {
                match client.next() {
                    Ok(frame) if frame.kind == PING => break false,
                    Ok(frame) if frame.kind == GOAWAY => break true,
                    Ok(_) => {}
                    Err(_) => break true,
                }
            };
            let resets: Vec<u8> = streams().flat_map(|id| reset(id, CANCEL)).collect();
            if told || client.try_send(resets).is_err() {
                break;
            }
        }
        client.ended();
    });
    assert_eq!(scene.gateway.stats().listener("web", "/http2/refused"), 1);
    assert!(scene.upstream.count() > 20, "some reached the upstream");
    assert!(scene.upstream.connections() < 1000, "not all of them did");
}

fn resets_that_the_gateway_is_made_to_send(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(200, |n| {
            (10 * n..10 * n + 10)
                .flat_map(|n| [get(stream(n), "/slow"), window(stream(n), WIDE)].concat())
                .collect()
        });
    });
}

fn a_flood_behind_the_preface(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = RawHttp2::silent(scene.gateway.web());
        client.send([PREFACE, &settings(&[]), &ping().repeat(200)].concat());
        assert_eq!(client.goaway(), ENHANCE_YOUR_CALM);
    });
}

fn continuation_without_end(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.send(frame(HEADERS, END_STREAM, 1, block("GET", "/", &[])));
        client.flood(2000, |n| frame(CONTINUATION, 0, 1, field(&format!("x-{n}"), "y")));
    });
}

fn continuation_of_empty_fragments(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.send(frame(HEADERS, END_STREAM, 1, block("GET", "/", &[])));
        client.flood(50, |_| frame(CONTINUATION, 0, 1, []).repeat(100));
    });
}

fn a_field_block_that_stalls(driver: Driver) {
    is_calmed(driver, "header_timeout = \"300ms\"", |client| {
        client.send(frame(HEADERS, END_STREAM, 1, block("GET", "/", &[])));
    });
}

fn ping_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(50, |_| ping().repeat(100));
    });
}

/// The answers can't be sent, and neither can the last word.
fn ping_flood_without_reading(driver: Driver) {
    let scene = Scene::new(driver, "idle_timeout = \"2s\"");
    scene.while_others_are_served(|scene| {
        let mut client = RawHttp2::narrow(scene.gateway.web(), &[(INITIAL_WINDOW, WIDE)]);
        client.send(window(0, WIDE - 65_535));
        client.send((0..20).flat_map(|n| get(stream(n), "/large")).collect::<Vec<u8>>());
        client.flood(50, |_| ping().repeat(100));
        let gone = |s: &crate::harness::Stats| s.listener("web", "/http2/open") == 0;
        scene.gateway.wait_stats("the connection is given up", gone);
    });
}

fn unasked_pings_acknowledged(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        client.flood(50, |_| frame(PING, ACK, 0, [1; 8]).repeat(100));
        assert_eq!(client.goaway(), ENHANCE_YOUR_CALM);
    });
    let lines = scene.gateway.log().lines().filter(|line| line.contains("PING")).count();
    assert_eq!(lines, 0, "clients write to the log");
}

fn settings_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(50, |n| settings(&[(INITIAL_WINDOW, 1000 + n as u32)]).repeat(100));
    });
}

fn empty_data_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.send(post(1, "/slow"));
        client.flood(50, |_| frame(DATA, 0, 1, []).repeat(100));
    });
}

fn priority_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(100, |n| frame(PRIORITY, 0, stream(n), [0, 0, 0, 0, 9]).repeat(100));
    });
}

fn window_update_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(100, |_| window(0, 1).repeat(100));
    });
}

fn goaway_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.send(get(1, "/slow"));
        client.flood(50, |_| goaway(0, NO_ERROR).repeat(100));
    });
}

fn unknown_frames_flood(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.flood(100, |n| frame(0x20 + (n % 100) as u8, 0xff, 0, [1; 20]).repeat(100));
    });
}

fn one_byte_windows(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = RawHttp2::with_settings(scene.gateway.web(), &[(INITIAL_WINDOW, 0)]);
        client.send(get(1, "/large"));
        assert_eq!(client.status(1), 200);
        // Each waits for its byte: as much work as can be made of it.
        let told = (0..20_000).find_map(|_| {
            let sent = client.try_send(window(1, 1));
            loop {
                match client.next() {
                    Ok(frame) if frame.kind == DATA && sent.is_ok() => return None,
                    Ok(frame) if frame.kind == GOAWAY => return Some(frame.code()),
                    Ok(_) => {}
                    Err(broken) => panic!("not told: {broken:?}"),
                }
            }
        });
        assert_eq!(told, Some(ENHANCE_YOUR_CALM));
    });
}

fn zero_window_forever(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = RawHttp2::with_settings(scene.gateway.web(), &[(INITIAL_WINDOW, 0)]);
        client.send((0..40).flat_map(|n| get(stream(n), "/large")).collect::<Vec<u8>>());
        stands_still(&mut client);
        scene
            .gateway
            .wait_stats("it is told so once", |s| s.listener("web", "/http2/refused") == 1);
    });
}

/// All of a connection's streams are given up, and then the connection.
#[track_caller]
fn stands_still(client: &mut RawHttp2) {
    loop {
        let frame = client.until("an end", |f| matches!(f.kind, RST_STREAM | GOAWAY | DATA));
        assert_ne!(frame.kind, DATA, "content without a window");
        assert_eq!(frame.code(), ENHANCE_YOUR_CALM);
        if frame.kind == GOAWAY {
            return;
        }
    }
}

fn zero_windows_of_many_streams(driver: Driver) {
    const MOST: u64 = 16 << 20;
    let scene = Scene::with(driver, "max_buffer_memory = \"16MiB\"", "");
    scene.while_others_are_served(|scene| {
        let all: Vec<u8> = (0..128).flat_map(|n| get(stream(n), "/large")).collect();
        let mut clients: Vec<_> = (0..3)
            .map(|_| RawHttp2::with_settings(scene.gateway.web(), &[(INITIAL_WINDOW, 0)]))
            .collect();
        clients.iter_mut().for_each(|client| client.send(&all[..]));
        for client in &mut clients {
            (0..128).for_each(|_| drop(client.until("a head", |f| f.kind == HEADERS)));
        }
        let held = scene.gateway.stats().number("/gateway/buffer_bytes");
        assert!(held < MOST, "{held} bytes of buffers");
        clients.iter_mut().for_each(stands_still);
    });
}

fn one_stream_that_stands_still(driver: Driver) {
    let scene = Scene::new(driver, "");
    let mut client = scene.client();
    client.send([get(1, "/large"), get(3, "/slow")].concat());
    let reset = client.until("a reset", |f| f.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, ENHANCE_YOUR_CALM));
    // The connection lives on for the others.
    client.send([window(0, 65_535), get(5, "/")].concat());
    assert_eq!(client.answer(5), Ok((200, 2)));
}

fn reads_nothing_and_asks_for_much(driver: Driver) {
    let scene = Scene::new(driver, "idle_timeout = \"2s\"");
    scene.while_others_are_served(|scene| {
        let mut client = RawHttp2::narrow(scene.gateway.web(), &[(INITIAL_WINDOW, WIDE)]);
        client.send(window(0, WIDE - 65_535));
        client.send((0..100).flat_map(|n| get(stream(n), "/large")).collect::<Vec<u8>>());
        let gone = |s: &crate::harness::Stats| s.listener("web", "/http2/open") == 0;
        scene.gateway.wait_stats("it is under way", |s| !gone(s));
        scene.gateway.wait_stats("the connection is given up", gone);
    });
}

fn streams_over_the_cap(driver: Driver) {
    is_calmed(driver, "max_streams = 10", |client| {
        client.send((0..20).flat_map(|n| get(stream(n), "/slow")).collect::<Vec<u8>>());
        for n in 10..20 {
            let refused = client.until("a refusal", |f| f.kind == RST_STREAM);
            assert_eq!((refused.stream, refused.code()), (stream(n), REFUSED_STREAM));
        }
        client.flood(2000, |n| get(stream(20 + n), "/slow"));
    });
}

/// Its pings unanswered, a client could go on for ever.
fn streams_begun_after_the_goodbye(driver: Driver) {
    let scene = Scene::new(driver, "max_requests = 3");
    scene.while_others_are_served_once_each(|scene| {
        let mut client = scene.client();
        let asked = (0..100_000).find(|n| {
            if client.try_send(get(stream(*n), "/own")).is_err() {
                return true;
            }
            loop {
                match client.next() {
                    Ok(frame) if frame.kind == RST_STREAM => {
                        assert_eq!(frame.code(), REFUSED_STREAM);
                        return false;
                    }
                    Ok(frame) if frame.stream == stream(*n) && frame.ends() => return false,
                    Ok(_) => {}
                    Err(_) => return true,
                }
            }
        });
        assert!(asked.is_some(), "it goes on for ever");
    });
}

impl Scene {
    /// The same where nobody may ask twice on a connection.
    #[track_caller]
    fn while_others_are_served_once_each(&self, attack: impl FnOnce(&Self)) {
        self.gateway.get("/").expect(200);
        attack(self);
        self.gateway.get("/").expect(200);
        self.expect_nothing_left();
    }
}

fn header_list_too_large(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        // Ours to answer, and the protocol machine's.
        for (n, size) in [(0, 40_000), (1, 90_000)] {
            let large = "x".repeat(size);
            let block = block("GET", "/", &[("x-large", &large)]);
            client.send(in_pieces(END_STREAM, stream(n), &block));
            assert_eq!(client.status(stream(n)), 431, "{size} bytes");
        }
        client.send(get(stream(2), "/"));
        assert_eq!(client.answer(stream(2)), Ok((200, 2)));
    });
}

fn header_list_far_too_large(driver: Driver) {
    is_calmed(driver, "", |client| {
        let large = "x".repeat(15_000);
        let fields: Vec<u8> = (0..40).flat_map(|_| field("x-large", &large)).collect();
        let head = [block("GET", "/", &[]), fields].concat();
        // It may be told to go in the middle.
        let _ = client.try_send(in_pieces(END_STREAM, 1, &head));
    });
}

fn too_many_fields(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        let fields: Vec<u8> = (0..500).flat_map(|n| field(&format!("x{n}"), "")).collect();
        let head = [block("GET", "/", &[]), fields].concat();
        client.send(in_pieces(END_STREAM, 1, &head));
        assert_eq!(client.status(1), 431);
    });
}

/// One byte of the block stands for 4,000 of the head (CVE-2016-6581).
fn hpack_bomb(driver: Driver) {
    is_calmed(driver, "", |client| {
        let mut entry = vec![0x40];
        for text in ["x-bomb".to_owned(), "x".repeat(4_000)] {
            integer(text.len(), 7, 0, &mut entry);
            entry.extend_from_slice(text.as_bytes());
        }
        let head = [block("GET", "/", &[]), entry].concat();
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, head));
        assert_eq!(client.answer(1), Ok((200, 2)));
        for n in 1..4 {
            let head = [block("GET", "/", &[]), vec![0xbe; 16_000]].concat();
            let _ = client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, stream(n), head));
        }
    });
}

fn huge_padding(driver: Driver) {
    is_calmed(driver, "", |client| {
        client.send(post(1, "/slow"));
        let mut padding = vec![255];
        padding.resize(256, 0);
        client.flood(200, |_| frame(DATA, PADDED, 1, &padding));
    });
}

/// A byte now and then, far more often than the timeout; until the gateway has had enough.
#[track_caller]
fn trickle(client: &mut RawHttp2, bytes: &[u8]) {
    let taken = bytes.iter().take_while(|byte| {
        pass(Duration::from_millis(20));
        client.try_send([**byte]).is_ok()
    });
    assert!(taken.count() < bytes.len(), "it was given all the time it wanted");
}

fn preface_in_single_bytes(driver: Driver) {
    let scene = Scene::new(driver, "header_timeout = \"200ms\"");
    scene.while_others_are_served(|scene| {
        let mut client = RawHttp2::silent(scene.gateway.web());
        // Behind its end, a frame in single bytes.
        trickle(&mut client, &[PREFACE, &settings(&[(1, 0); 100])].concat());
        client.ended();
    });
}

fn preface_never_finished(driver: Driver) {
    let scene = Scene::new(driver, "header_timeout = \"200ms\"");
    scene.while_others_are_served(|scene| {
        for cut in [3, 14, 16, 20, PREFACE.len()] {
            let mut client = RawHttp2::silent(scene.gateway.web());
            client.send(&PREFACE[..cut]);
            client.ended_somehow();
        }
    });
}

fn head_in_single_bytes(driver: Driver) {
    let scene = Scene::new(driver, "header_timeout = \"300ms\"");
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        let head = block("GET", "/", &[("x-slow", &"x".repeat(2_000))]);
        trickle(&mut client, &frame(HEADERS, END_HEADERS | END_STREAM, 1, head));
        client.ended();
    });
    assert_eq!(scene.gateway.stats().listener("web", "/http2/refused"), 1);
}

fn fin_with_streams_open(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let mut client = scene.client();
        let asked = (0..20).flat_map(|n| get(stream(n), "/slow")).collect::<Vec<u8>>();
        client.send([asked, post(stream(20), "/slow")].concat());
        scene.gateway.wait_stats("they are under way", |s| s.in_flight() >= 21);
        client.half_close();
        client.ended();
    });
}

fn reset_in_every_phase(driver: Driver) {
    let scene = Scene::new(driver, "");
    scene.while_others_are_served(|scene| {
        let first = [PREFACE, &settings(&[])].concat();
        let content = frame(DATA, 0, 1, [b'x'; 100]);
        let phases = [
            Vec::new(),
            PREFACE[..10].to_vec(),
            PREFACE.to_vec(),
            first.clone(),
            [&first[..], &get(1, "/slow")[..20]].concat(),
            [&first[..], &frame(HEADERS, END_STREAM, 1, block("GET", "/", &[]))].concat(),
            [&first[..], &get(1, "/slow")].concat(),
            [&first[..], &post(1, "/slow"), &content[..50]].concat(),
            [&first[..], &post(1, "/slow"), &content].concat(),
            [&first[..], &get(1, "/large"), &window(0, 1 << 20)].concat(),
            [&first[..], &get(1, "/slow"), &goaway(0, NO_ERROR)].concat(),
        ];
        for phase in phases.iter().cycle().take(5 * phases.len()) {
            let mut client = RawHttp2::silent(scene.gateway.web());
            client.send(phase);
            client.abort();
        }
    });
}

/// They wait for no room, as content does. What comes meanwhile is heard once they are sent.
fn answers_whose_heads_alone_are_much(driver: Driver) {
    let to = format!("https://a.example/{}", "x".repeat(3000));
    let gateway = Gateway::start(
        driver,
        format!(
            "[server]\nworkers = 1\n\
             [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nredirect = {{ to = \"{to}\", status = 302 }}\n"
        ),
    );
    let mut client = RawHttp2::connect(gateway.web());
    for round in 0..5 {
        let streams = || (100 * round..100 * round + 100).map(stream);
        client.send(streams().flat_map(|id| get(id, "/")).collect::<Vec<u8>>());
        client.send(ping());
        let mut answered = 0;
        let pong = client.until("the pong", |frame| {
            answered += usize::from(frame.kind == HEADERS);
            frame.kind == PING
        });
        assert!(pong.payload.len() == 8 && answered <= 100);
        while answered < 100 {
            client.until("an answer", |frame| frame.kind == HEADERS);
            answered += 1;
        }
    }
}
