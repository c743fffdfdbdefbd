//! What breaks a rule, and what that costs.

use super::super::*;
use super::pair::{Pair, Side, TERMS};
use crate::http::h2::kinds::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), kind, flags, stream)[..], payload].concat()
}

/// :method GET, :scheme http, :path /, :authority a.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, GET)
}

fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[&[0x83], &GET[1..]].concat())
}

fn server() -> Side {
    let mut server = Side::new(Role::Server, &TERMS);
    server.hear(PREFACE);
    server.hear(&frame(SETTINGS, 0, 0, &[]));
    server.out.clear();
    server
}

/// What these frames come to, in any pieces.
#[track_caller]
fn told(frames: &[Vec<u8>], code: Code) {
    let all = frames.concat();
    for step in [1, 7, 100_000] {
        let mut server = server();
        all.chunks(step).for_each(|piece| server.hear(piece));
        assert_eq!(server.fault, Some(Fault(code)), "in pieces of {step}");
    }
}

/// The same of what only resets a stream.
#[track_caller]
fn resets(frames: &[Vec<u8>], stream: u32, code: Code) {
    let mut server = server();
    server.hear(&frames.concat());
    assert_eq!(server.fault, None);
    let reset = frame(RST_STREAM, 0, stream, &code.0.to_be_bytes());
    assert!(server.out.windows(reset.len()).any(|said| said == reset), "{:?}", server.out);
}

#[test]
fn lengths_that_a_kind_has_not() {
    for (kind, flags, stream, len) in [
        (PRIORITY, 0, 1, 4),
        (RST_STREAM, 0, 1, 3),
        (WINDOW_UPDATE, 0, 1, 3),
        (SETTINGS, 0, 0, 3),
        (SETTINGS, ACK, 0, 6),
        (PING, 0, 0, 6),
        (GOAWAY, 0, 0, 7),
    ] {
        told(&[post(1), frame(kind, flags, stream, &vec![0; len])], Code::FRAME_SIZE_ERROR);
    }
    told(&[frame(0x77, 0, 0, &[0; 16_385])], Code::FRAME_SIZE_ERROR);
}

#[test]
fn what_comes_behind_the_end() {
    for late in [frame(DATA, 0, 1, b"x"), get(1)] {
        told(&[get(1), late.clone()], Code::STREAM_CLOSED);
        let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
        told(&[post(1), reset.clone(), late.clone()], Code::STREAM_CLOSED);
        told(&[post(1), frame(DATA, END_STREAM, 1, b""), late.clone()], Code::STREAM_CLOSED);
        let fine = [frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]), reset].concat();
        let mut server = server();
        server.hear(&[get(1), fine].concat());
        assert_eq!(server.fault, None);
    }
}

#[test]
fn streams_in_another_order() {
    told(&[get(2)], Code::PROTOCOL_ERROR);
    told(&[get(5), get(3)], Code::PROTOCOL_ERROR);
    told(&[frame(DATA, 0, 7, b"x")], Code::PROTOCOL_ERROR);
    told(&[frame(WINDOW_UPDATE, 0, 7, &[0, 0, 0, 9])], Code::PROTOCOL_ERROR);
    told(&[frame(RST_STREAM, 0, 7, &[0; 4])], Code::PROTOCOL_ERROR);
    told(&[frame(HEADERS, END_HEADERS, 0, GET)], Code::PROTOCOL_ERROR);
}

#[test]
fn windows() {
    told(&[frame(WINDOW_UPDATE, 0, 0, &[0; 4])], Code::PROTOCOL_ERROR);
    resets(&[post(1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])], 1, Code::PROTOCOL_ERROR);
    let most = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    told(&[most], Code::FLOW_CONTROL_ERROR);
    let most = frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
    resets(&[post(1), most], 1, Code::FLOW_CONTROL_ERROR);
    let large = frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]);
    told(&[large], Code::FLOW_CONTROL_ERROR);
    let full = frame(DATA, 0, 1, &[0; 16_384]);
    resets(&[post(1), full.repeat(5)], 1, Code::FLOW_CONTROL_ERROR);
}

#[test]
fn of_many_windows_in_a_frame_the_last_one_counts() {
    let mut server = server();
    let many: Vec<u8> =
        (1..=1000u16).flat_map(|n| [&[0, 4, 0, 0][..], &n.to_be_bytes()].concat()).collect();
    server.hear(&[frame(SETTINGS, 0, 0, &many), get(1)].concat());
    assert_eq!((server.fault, server.machine.peer.window), (None, 1000));
    let large = [&many[..], &[0, 4, 0xff, 0, 0, 0], &many[..]].concat();
    told(&[frame(SETTINGS, 0, 0, &large)], Code::FLOW_CONTROL_ERROR);
}

#[test]
fn resets_that_a_client_makes_us_send_are_its_own() {
    let most = |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
    let frames: Vec<Vec<u8>> =
        (0..1000).map(|n| [post(2 * n + 1), most(2 * n + 1)].concat()).collect();
    told(&frames, Code::ENHANCE_YOUR_CALM);
}

#[test]
fn padding_alone_is_given_room_again() {
    let mut server = server();
    server.hear(&post(1));
    // A byte says how long the padding is.
    let padding = frame(DATA, PADDED, 1, &[&[255][..], &[0; 255]].concat());
    for n in 1..1000 {
        // Empty frames are charged for, and time pays.
        server.machine.turn(n * 1_000_000_000);
        server.hear(&padding);
    }
    assert_eq!(server.fault, None);
}

#[test]
fn a_window_taken_back_is_below_zero() {
    let mut pair = Pair::new(1_000);
    let (up, down) = pair.ask("POST / HTTP/1.1\r\nhost: a\r\n\r\n", false);
    assert!(pair.client.write(up, &[0; 60_000], false).is_ready());
    pair.exchange();
    pair.client.hear(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x75, 0x30]));
    // The server knows nothing of what was said in its name.
    pair.client.out.clear();
    assert!(pair.client.write(up, &[0; 10_000], false).is_pending());
    assert_eq!(pair.server.content(down).map(|all| all.len()), Ok(60_000));
    // It was 30,000 below; more was taken since, and told.
    pair.exchange();
    assert!(pair.client.write(up, &[0; 10_000], false).is_ready());
}

#[test]
fn content_and_its_length() {
    let with = [&[0x83][..], &GET[1..], &[0x0f, 0x0d, 1, b'3']].concat();
    let head = frame(HEADERS, END_HEADERS, 1, &with);
    for wrong in [frame(DATA, 0, 1, b"four"), frame(DATA, END_STREAM, 1, b"tw")] {
        resets(&[head.clone(), wrong], 1, Code::PROTOCOL_ERROR);
    }
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[]);
    resets(&[head.clone(), trailers], 1, Code::PROTOCOL_ERROR);
    let ended = frame(HEADERS, END_HEADERS | END_STREAM, 1, &with);
    resets(&[ended], 1, Code::PROTOCOL_ERROR);
    let mut server = server();
    server.hear(&[head, frame(DATA, END_STREAM, 1, b"yes")].concat());
    let key = server.begun[0].0.key;
    assert_eq!(server.content(key), Ok(b"yes".to_vec()));
}

#[test]
fn pieces_of_a_head() {
    let first = frame(HEADERS, END_STREAM, 1, &GET[..2]);
    let last = frame(CONTINUATION, END_HEADERS, 1, &GET[2..]);
    let mut server = server();
    server.hear(&[first.clone(), last.clone()].concat());
    assert_eq!(server.begun.len(), 1);
    told(&[last], Code::PROTOCOL_ERROR);
    let other = frame(CONTINUATION, END_HEADERS, 3, &GET[2..]);
    for between in [other, get(3), frame(0x77, 0, 0, &[]), frame(DATA, 0, 1, b"x")] {
        told(&[first.clone(), between], Code::PROTOCOL_ERROR);
    }
    let endless = frame(CONTINUATION, 0, 1, &[0; 10]).repeat(1_000);
    told(&[first, endless], Code::ENHANCE_YOUR_CALM);
}

#[test]
fn padding_longer_than_its_frame() {
    told(&[frame(HEADERS, END_HEADERS | PADDED, 1, &[200, 0x82])], Code::PROTOCOL_ERROR);
    told(&[post(1), frame(DATA, PADDED, 1, &[9, 0])], Code::PROTOCOL_ERROR);
    let mut server = server();
    server.hear(&[post(1), frame(DATA, PADDED | END_STREAM, 1, b"\x02yesno")].concat());
    let key = server.begun[0].0.key;
    assert_eq!(server.content(key), Ok(b"yes".to_vec()));
}

#[test]
fn a_stream_that_depends_on_itself() {
    resets(&[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])], 1, Code::PROTOCOL_ERROR);
    let head = [&[0, 0, 0, 1, 9], GET].concat();
    let flags = END_HEADERS | END_STREAM | PRIORITIZED;
    resets(&[frame(HEADERS, flags, 1, &head)], 1, Code::PROTOCOL_ERROR);
}

#[test]
fn settings_with_bad_values() {
    for (name, value, code) in [
        (2, 2, Code::PROTOCOL_ERROR),
        (5, 16_383, Code::PROTOCOL_ERROR),
        (5, 1 << 24, Code::PROTOCOL_ERROR),
        (8, 2, Code::PROTOCOL_ERROR),
    ] {
        let setting = [&[0, name][..], &u32::to_be_bytes(value)].concat();
        told(&[frame(SETTINGS, 0, 0, &setting)], code);
    }
    told(&[frame(SETTINGS, ACK, 0, &[]).repeat(2)], Code::PROTOCOL_ERROR);
    told(&[frame(SETTINGS, 0, 1, &[])], Code::PROTOCOL_ERROR);
}

#[test]
fn what_must_come_first() {
    let mut early = Side::new(Role::Server, &TERMS);
    early.hear(&[&PREFACE[..], &frame(PING, 0, 0, &[0; 8])].concat());
    assert_eq!(early.fault, Some(Fault(Code::PROTOCOL_ERROR)));
    let mut other = Side::new(Role::Server, &TERMS);
    other.hear(b"GET / HTTP/1.1\r\n");
    assert_eq!(other.fault, Some(Fault(Code::PROTOCOL_ERROR)));
    let mut pushed = server();
    pushed.hear(&[post(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])].concat());
    assert_eq!(pushed.fault, Some(Fault(Code::PROTOCOL_ERROR)));
}

#[test]
fn streams_beyond_those_allowed_are_refused() {
    let mut server = server();
    (0..11).for_each(|n| server.hear(&get(2 * n + 1)));
    assert_eq!(server.begun.len(), 10);
    let refused = frame(RST_STREAM, 0, 21, &Code::REFUSED_STREAM.0.to_be_bytes());
    assert_eq!(server.out, refused);
}

#[test]
fn what_comes_of_a_stream_given_up_was_on_its_way() {
    let mut server = server();
    server.hear(&post(1));
    let key = server.begun[0].0.key;
    server.machine.release(key, &mut server.out);
    server.hear(&[frame(DATA, 0, 1, &[0; 9_000]).repeat(100), get(1)].concat());
    assert_eq!(server.fault, None);
    assert_eq!(server.machine.held(), 0);
}
