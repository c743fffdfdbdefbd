//! What breaks RFC 9113 gets the error that it says, of the stream or of the connection; and what looks
//! like an attack but is a heavy use is served.

use crate::harness::handmade::*;
use crate::harness::{Driver, Gateway, Peer, Upstream, ok};

both_drivers!(
    window_beyond_its_most,
    window_opened_by_nothing,
    even_stream_ids,
    decreasing_stream_ids,
    data_on_an_idle_stream,
    data_on_a_closed_stream,
    a_head_on_a_closed_stream,
    data_beyond_the_window,
    a_frame_larger_than_allowed,
    garbage_after_the_preface,
    push_promise_from_a_client,
    settings_with_bad_values,
    frames_of_a_wrong_length,
    settings_acknowledged_twice,
    a_goaway_lets_answers_finish,
    padding_longer_than_its_frame,
    a_block_of_another_stream,
    pings_with_every_message_are_honest,
    many_small_requests_at_full_speed_are_honest,
    windows_opened_frame_by_frame_are_honest,
    a_large_upload_is_honest,
    a_page_left_while_it_loads_is_honest,
);

const LARGE: usize = 8 << 20;
const INITIAL_WINDOW: u16 = 4;

fn serve(peer: &mut Peer) {
    while let Some(head) = peer.next_head() {
        match head.start.split(' ').nth(1).unwrap_or_default() {
            "/slow" => return drop(peer.wait_closed()),
            "/stuck" => peer.wait_stopped(),
            "/large" => peer.send(ok(&"x".repeat(LARGE))),
            _ if peer.try_body(&head).is_err() => return,
            _ => peer.send(ok("ok")),
        }
    }
}

fn gateway(driver: Driver) -> (Gateway, Upstream) {
    let upstream = Upstream::new(serve);
    let gateway = Gateway::start(
        driver,
        format!(
            "[server]\nworkers = 1\nwatch = false\n\
             [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
             [upstreams.app]\ntargets = [\"{}\"]\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
            upstream.address
        ),
    );
    (gateway, upstream)
}

/// What these bytes of a client are told behind an open stream, number 1, that has no answer.
#[track_caller]
fn told(driver: Driver, open: &[u8], bytes: &[u8], code: u32) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send([open, bytes].concat());
    assert_eq!(client.goaway(), code);
    gateway.wait_stats("nothing is left", |s| s.connections() == 0 && s.in_flight() == 0);
}

fn window_beyond_its_most(driver: Driver) {
    told(driver, &[], &window(0, 0x7fff_ffff), FLOW_CONTROL_ERROR);
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send([get(1, "/slow"), window(1, 0x7fff_ffff), get(3, "/")].concat());
    assert_eq!(client.answer(1), Err(FLOW_CONTROL_ERROR));
    assert_eq!(client.answer(3), Ok((200, 2)));
}

fn window_opened_by_nothing(driver: Driver) {
    told(driver, &[], &window(0, 0), PROTOCOL_ERROR);
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send([get(1, "/slow"), window(1, 0), get(3, "/")].concat());
    assert_eq!(client.answer(1), Err(PROTOCOL_ERROR));
    assert_eq!(client.answer(3), Ok((200, 2)));
}

fn even_stream_ids(driver: Driver) {
    told(driver, &[], &get(2, "/"), PROTOCOL_ERROR);
}

fn decreasing_stream_ids(driver: Driver) {
    told(driver, &get(5, "/slow"), &get(3, "/"), PROTOCOL_ERROR);
}

fn data_on_an_idle_stream(driver: Driver) {
    told(driver, &[], &frame(DATA, 0, 7, b"x"), PROTOCOL_ERROR);
}

fn data_on_a_closed_stream(driver: Driver) {
    let late = frame(DATA, 0, 1, b"x");
    told(driver, &get(1, "/slow"), &late, STREAM_CLOSED);
    told(driver, &[post(1, "/slow"), reset(1, CANCEL)].concat(), &late, STREAM_CLOSED);
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send(get(1, "/"));
    assert_eq!(client.answer(1), Ok((200, 2)));
    client.send(late);
    assert_eq!(client.goaway(), STREAM_CLOSED);
}

fn a_head_on_a_closed_stream(driver: Driver) {
    told(driver, &get(1, "/slow"), &get(1, "/"), STREAM_CLOSED);
    told(driver, &[post(1, "/slow"), reset(1, CANCEL)].concat(), &get(1, "/"), STREAM_CLOSED);
}

fn data_beyond_the_window(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send(post(1, "/stuck"));
    let full = frame(DATA, 0, 1, vec![b'x'; 16_384]);
    client.flood(4_000, |_| full.clone());
    let error = loop {
        match client.next() {
            Ok(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => break frame.code(),
            Ok(_) => {}
            Err(broken) => panic!("no error: {broken:?}"),
        }
    };
    assert_eq!(error, FLOW_CONTROL_ERROR);
}

fn a_frame_larger_than_allowed(driver: Driver) {
    let large = header(16_385, DATA, 0, 1);
    told(driver, &post(1, "/slow"), &large, FRAME_SIZE_ERROR);
    told(driver, &[], &header(0xff_ffff, 0x55, 0, 0), FRAME_SIZE_ERROR);
}

fn garbage_after_the_preface(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    for garbage in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
        let mut client = RawHttp2::silent(gateway.web());
        client.send([PREFACE, garbage].concat());
        assert_ne!(client.ended(), Some(NO_ERROR));
    }
    gateway.wait_stats("nothing is left", |s| s.connections() == 0);
}

fn push_promise_from_a_client(driver: Driver) {
    let promise = [&2u32.to_be_bytes()[..], &block("GET", "/", &[])].concat();
    told(driver, &post(1, "/slow"), &frame(PUSH_PROMISE, END_HEADERS, 1, promise), PROTOCOL_ERROR);
}

fn settings_with_bad_values(driver: Driver) {
    for (bad, code) in [
        (settings(&[(2, 2)]), PROTOCOL_ERROR),
        (settings(&[(3, 1), (INITIAL_WINDOW, 1 << 31)]), FLOW_CONTROL_ERROR),
        (settings(&[(5, 16_383)]), PROTOCOL_ERROR),
        (settings(&[(5, 1 << 24)]), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 1, []), PROTOCOL_ERROR),
        (frame(PING, 0, 1, [0; 8]), PROTOCOL_ERROR),
    ] {
        told(driver, &get(1, "/slow"), &bad, code);
    }
}

fn frames_of_a_wrong_length(driver: Driver) {
    for bad in [
        frame(SETTINGS, 0, 0, [0; 3]),
        frame(SETTINGS, ACK, 0, [0; 6]),
        frame(PING, 0, 0, [0; 6]),
        frame(WINDOW_UPDATE, 0, 0, [0; 3]),
        frame(RST_STREAM, 0, 1, [0; 3]),
        frame(PRIORITY, 0, 1, [0; 4]),
        frame(GOAWAY, 0, 0, [0; 7]),
    ] {
        told(driver, &get(1, "/slow"), &bad, FRAME_SIZE_ERROR);
    }
}

fn settings_acknowledged_twice(driver: Driver) {
    told(driver, &[], &frame(SETTINGS, ACK, 0, []).repeat(2), PROTOCOL_ERROR);
}

fn a_goaway_lets_answers_finish(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send([get(1, "/"), goaway(0, NO_ERROR)].concat());
    assert_eq!(client.answer(1), Ok((200, 2)));
    client.ended();
    gateway.wait_stats("nothing is left", |s| s.connections() == 0);
}

fn padding_longer_than_its_frame(driver: Driver) {
    let block = [&[200][..], &block("GET", "/", &[])[..20]].concat();
    told(driver, &[], &frame(HEADERS, END_HEADERS | PADDED, 1, block), PROTOCOL_ERROR);
    told(driver, &post(1, "/slow"), &frame(DATA, PADDED, 1, [9, 0]), PROTOCOL_ERROR);
}

fn a_block_of_another_stream(driver: Driver) {
    let open = frame(HEADERS, END_STREAM, 1, block("GET", "/", &[]));
    told(driver, &open, &frame(CONTINUATION, END_HEADERS, 3, []), PROTOCOL_ERROR);
    told(driver, &open, &frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR);
}

/// As gRPC's clients do, which measure the way while content comes.
fn pings_with_every_message_are_honest(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    for n in 0..1_000 {
        let id = 2 * n + 1;
        let message = frame(DATA, END_STREAM, id, [b'x'; 20]);
        client.send([post(id, "/"), message, ping(), window(0, 20)].concat());
        assert_eq!(client.answer(id), Ok((200, 2)));
    }
}

/// As load generators do: a hundred at a time, for as long as it lasts.
fn many_small_requests_at_full_speed_are_honest(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    for round in 0..30 {
        let streams = || (100 * round..100 * round + 100).map(|n| 2 * n + 1);
        client.send(streams().flat_map(|id| get(id, "/")).collect::<Vec<u8>>());
        let mut left = 100;
        while left > 0 {
            let frame = client.until("answers", |f| f.ends() || f.kind == RST_STREAM);
            assert_ne!(frame.kind, RST_STREAM);
            left -= 1;
        }
    }
}

/// As simple clients do: two updates for each frame of content.
fn windows_opened_frame_by_frame_are_honest(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send(get(1, "/large"));
    let mut came = 0;
    while came < LARGE {
        let frame = client.until("content", |f| f.kind == DATA || f.kind == RST_STREAM);
        assert_eq!(frame.kind, DATA, "after {came} bytes");
        came += frame.payload.len();
        let by = u32::try_from(frame.payload.len()).expect("small");
        if by > 0 {
            client.send([window(0, by), window(1, by)].concat());
        }
    }
}

fn a_large_upload_is_honest(driver: Driver) {
    let (gateway, _upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send(post(1, "/"));
    let (mut left, mut room) = (LARGE, [65_535usize; 2]);
    while left > 0 {
        let n = left.min(room[0]).min(room[1]).min(1_000);
        if n > 0 {
            left -= n;
            room = room.map(|room| room - n);
            let end = if left == 0 { END_STREAM } else { 0 };
            client.send(frame(DATA, end, 1, vec![b'x'; n]));
            continue;
        }
        let opened = client.until("room", |f| f.kind == WINDOW_UPDATE);
        let by = u32::from_be_bytes(opened.payload[..4].try_into().expect("four bytes"));
        room[usize::from(opened.stream == 1)] += by as usize;
    }
    assert_eq!(client.answer(1), Ok((200, 2)));
}

/// As browsers do: all at once, and what comes next is served.
fn a_page_left_while_it_loads_is_honest(driver: Driver) {
    let (gateway, upstream) = gateway(driver);
    let mut client = RawHttp2::connect(gateway.web());
    client.send((0..100).flat_map(|n| get(2 * n + 1, "/slow")).collect::<Vec<u8>>());
    upstream.wait_for_request(100);
    client.send((0..100).flat_map(|n| reset(2 * n + 1, CANCEL)).collect::<Vec<u8>>());
    client.send(get(201, "/"));
    assert_eq!(client.answer(201), Ok((200, 2)));
    gateway.wait_stats("they are given up", |s| s.in_flight() == 0);
}
