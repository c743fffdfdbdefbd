//! Contents on their way: as fast as the slower side, piece by piece, both at once, and nothing kept.

use std::thread;

use super::{
    MIB, ON_THE_WAY, channel, comes_to_rest, connect, echo, pattern, start, tell, told, trailers,
};
use crate::harness::{Ask, Caller, Driver, Ends, Gate, Keys, Origin, Piece, Versions, eventually};

all_pairs!(
    a_slow_client_stops_the_target,
    a_slow_target_stops_the_client,
    events_arrive_one_by_one,
    pieces_of_a_request_arrive_one_by_one,
    an_early_answer_reaches_a_client_that_still_sends,
    an_early_answer_and_no_more_wish_for_the_content,
    both_contents_at_once,
    what_was_counted_is_what_came,
    many_clients_at_once_each_get_their_own,
    nothing_is_left_behind,
);

fn a_slow_client_stops_the_target(driver: Driver, versions: Versions) {
    let total = 96 * MIB;
    let (stopped, is_stopped) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[], Ends::After(total));
        let piece = pattern(65_536);
        let taken = turn.talk().send_until_stopped(&piece, total);
        tell(&stopped, taken);
        let mut left = total - taken;
        while left > 0 {
            let n = left.min(65_536);
            turn.talk().send(&piece[..n as usize]).expect("the gateway takes the rest");
            left -= n;
        }
        turn.talk().end(&[]).expect("the gateway takes the end");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = Caller::connect_narrow(versions.down, gateway.web());
    client.begin(&Ask::get("/"));
    client.head().expect("the head");
    let taken = told(&is_stopped);
    assert!(taken < ON_THE_WAY, "{} MiB went ahead of the client", taken / MIB);
    assert_eq!(count(&mut client), total);
    comes_to_rest(&gateway);
}

/// Reads content to its end and counts it.
fn count(client: &mut Caller) -> u64 {
    let mut came = 0;
    while let Piece::Data(data) = client.talk().piece().expect("a piece") {
        came += data.len() as u64;
    }
    came
}

fn a_slow_target_stops_the_client(driver: Driver, versions: Versions) {
    let total = 96 * MIB;
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        held.wait();
        let mut came = 0;
        while let Piece::Data(data) = turn.talk().piece().expect("a piece") {
            came += data.len() as u64;
        }
        turn.answer(200, &[], came.to_string());
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::After(total)));
    let piece = pattern(65_536);
    let taken = client.talk().send_until_stopped(&piece, total);
    assert!(taken < ON_THE_WAY, "{} MiB went ahead of the target", taken / MIB);
    gate.open();
    let mut left = total - taken;
    while left > 0 {
        let n = left.min(65_536);
        client.talk().send(&piece[..n as usize]).expect("the gateway takes the rest");
        left -= n;
    }
    client.talk().end(&[]).expect("the gateway takes the end");
    assert_eq!(client.response().expect("an answer").expect(200).text(), total.to_string());
    comes_to_rest(&gateway);
}

fn events_arrive_one_by_one(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[("content-type", "text/event-stream")], Ends::Chunked);
        for n in 0..3 {
            held.wait();
            turn.talk().send(format!("data: {n}\n\n").as_bytes()).expect("the gateway takes it");
        }
        held.wait();
        turn.talk().end(&[]).expect("the gateway takes the end");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/events"));
    let (_, head) = client.head().expect("the head, before any event");
    assert_eq!(head.value("content-type"), Some("text/event-stream"));
    for n in 0..3 {
        gate.release();
        let event = Piece::Data(format!("data: {n}\n\n").into_bytes());
        assert_eq!(client.talk().piece(), Ok(event));
    }
    gate.release();
    assert_eq!(client.talk().piece(), Ok(Piece::End(Vec::new())));
    comes_to_rest(&gateway);
}

fn pieces_of_a_request_arrive_one_by_one(driver: Driver, versions: Versions) {
    let (came, pieces) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        while let Piece::Data(data) = turn.talk().piece().expect("a piece") {
            tell(&came, data);
        }
        turn.answer(200, &[], "done");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::Chunked));
    for piece in ["one", "two", "three"] {
        client.talk().send(piece.as_bytes()).expect("the gateway takes it");
        assert_eq!(told(&pieces), piece.as_bytes());
    }
    client.talk().end(&[]).expect("the gateway takes the end");
    assert_eq!(client.response().expect("an answer").expect(200).text(), "done");
    comes_to_rest(&gateway);
}

fn an_early_answer_reaches_a_client_that_still_sends(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.answer(200, &[], "early");
        turn.wait_gone().expect("nobody sends the rest");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::After(7)));
    client.talk().send(b"some").expect("the gateway takes it");
    let (status, _) = client.head().expect("the answer, before all was sent");
    assert_eq!(status, 200);
    let text = client.talk().piece();
    assert_eq!(text, Ok(Piece::Data(b"early".to_vec())));
    comes_to_rest(&gateway);
}

fn an_early_answer_and_no_more_wish_for_the_content(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        // It reads nothing of the content.
        turn.answer(413, &[("x-early", "1")], "early");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    for sends in [Ends::After(64 * MIB), Ends::Chunked] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        let piece = pattern(65_536);
        // It may be refused half-way; what counts is that the answer is not lost for that.
        for _ in 0..1024 {
            if client.talk().send(&piece).is_err() {
                break;
            }
        }
        let response = client.response().expect("the early answer").expect(413);
        assert_eq!((response.text().as_str(), response.value("x-early")), ("early", Some("1")));
    }
    comes_to_rest(&gateway);
}

fn both_contents_at_once(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.begin(200, &[], Ends::Chunked);
        while let Piece::Data(data) = turn.talk().piece().expect("a piece") {
            turn.talk().send(&data).expect("the gateway takes its echo");
        }
        turn.talk().end(&trailers()).expect("the gateway takes the end");
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::post("/", Ends::Chunked));
    client.head().expect("the head, before the content is whole");
    for n in 0..5 {
        let piece = format!("ab{n}").into_bytes();
        client.talk().send(&piece).expect("the gateway takes it");
        assert_eq!(client.talk().piece(), Ok(Piece::Data(piece)));
    }
    client.talk().end(&[]).expect("the gateway takes the end");
    assert_eq!(client.talk().piece(), Ok(Piece::End(trailers())));
    let mut next = connect(versions, &gateway);
    next.begin(&Ask::get("/"));
    next.response().expect("an answer on another connection").expect(200);
    comes_to_rest(&gateway);
}

fn what_was_counted_is_what_came(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    let body = pattern(10_000);
    for _ in 0..3 {
        client.ask_with(&Ask::post("/", Ends::Chunked), &body).expect(200);
    }
    comes_to_rest(&gateway);
    let stats = gateway.stats();
    assert_eq!(stats.number("/gateway/requests"), 3);
    assert_eq!(stats.route("all", "/requests"), 3);
    assert_eq!(stats.route("all", "/responses/200"), 3);
    assert_eq!(stats.upstream("app", "/requests"), 3);
    assert_eq!(stats.target("app", &origin.address, "/tries"), 3);
    for direction in ["/gateway/bytes_in", "/gateway/bytes_out"] {
        let bytes = stats.number(direction);
        assert!((30_000..33_000).contains(&bytes), "{direction}: {bytes}");
    }
}

fn many_clients_at_once_each_get_their_own(driver: Driver, versions: Versions) {
    let origin = echo(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    let (web, down) = (gateway.web(), versions.down);
    let clients: Vec<_> = (0..16)
        .map(|n| {
            thread::spawn(move || {
                let mut client = Caller::connect(down, web);
                for size in [10, 5_000, 40_000, 90_000] {
                    let body = vec![n; size];
                    let sends = if n % 2 == 0 { Ends::Chunked } else { Ends::After(size as u64) };
                    let response = client.ask_with(&Ask::post("/", sends), &body).expect(200);
                    assert!(response.body == body, "another's content");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    assert_eq!(origin.requests().len(), 64);
    comes_to_rest(&gateway);
}

fn nothing_is_left_behind(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| match turn.target() {
        "/reset" => turn.abort(),
        "/cut" => {
            turn.begin(200, &[], Ends::After(9));
            turn.talk().send(b"cut").expect("the gateway takes it");
            turn.abort();
        }
        "/stall" => turn.wait_gone().expect("the gateway gives up"),
        _ => match turn.content() {
            Ok((body, _)) => turn.answer(200, &[], body),
            Err(_) => turn.abort(),
        },
    });
    let keys = Keys { upstream: "max_idle = 0\nretries = 0", ..Keys::default() };
    let gateway = start(driver, versions, &origin, keys);
    let mut served = 0;
    let mut round = || {
        for path in ["/reset", "/cut", "/fine"] {
            let mut client = connect(versions, &gateway);
            client.begin(&Ask::get(path));
            // Whatever comes of it.
            drop(client.response());
        }
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get("/stall"));
        served += 4;
        origin.wait_for_request(served);
        client.abort();
        let mut half = connect(versions, &gateway);
        half.begin(&Ask::post("/", Ends::Chunked));
        half.talk().send(b"half").expect("the gateway takes it");
        served += 1;
        origin.wait_for_request(served);
        drop(half);
    };
    round();
    gateway.wait_stats("the first round is over", |s| s.connections() == 0 && s.in_flight() == 0);
    let before = gateway.descriptors();
    for _ in 0..10 {
        round();
    }
    gateway.wait_stats("all are gone", |s| s.connections() == 0);
    comes_to_rest(&gateway);
    eventually("descriptors as before", || gateway.descriptors() <= before);
}
