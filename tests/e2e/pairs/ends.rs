//! Who is late, leaves or breaks off, and that the other side learns of it.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{
    MIB, ON_THE_WAY, channel, comes_to_rest, connect, echo, expect_cut, pattern, route, start,
    tell, told,
};
use crate::harness::{
    Ask, Broken, Driver, Ends, Gate, Gateway, Keys, Origin, Refusing, Versions, pass,
};

all_pairs!(
    a_refused_connection_is_tried_elsewhere,
    the_first_byte_takes_too_long,
    the_whole_takes_too_long,
    the_whole_takes_too_long_though_pieces_keep_coming,
    a_client_whose_content_stalls_is_told,
    a_target_whose_content_stalls_is_cut_off,
    a_target_that_takes_no_content_is_given_up,
    a_client_that_leaves_while_it_waits_is_seen_by_the_target,
    a_client_that_leaves_in_its_content_is_seen_by_the_target,
    a_client_that_leaves_in_an_answer_is_seen_by_the_target,
    an_answer_that_breaks_off_never_looks_whole,
    a_target_that_breaks_off_before_its_answer_is_a_502,
);

fn a_refused_connection_is_tried_elsewhere(driver: Driver, versions: Versions) {
    let refusing = Refusing::new();
    let origin = echo(versions);
    let targets = [refusing.address.as_str(), &origin.address];
    let gateway = Gateway::start(driver, versions.config(&targets, Keys::default()));
    for sends in [Ends::After(4), Ends::Chunked] {
        for _ in 0..4 {
            let mut client = connect(versions, &gateway);
            let response = client.ask_with(&Ask::post("/", sends), b"once");
            assert_eq!(response.expect(200).text(), "once");
        }
    }
    assert_eq!(origin.requests().len(), 8);
    assert!(gateway.stats().upstream("app", "/retries") > 0);
    comes_to_rest(&gateway);
}

/// Reads a request and answers nothing until the gateway has had enough; tells of that.
fn silent(versions: Versions) -> (Origin, Receiver<()>) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.content().expect("the request's content");
        turn.wait_gone().expect("the gateway gives up");
        tell(&gone, ());
    });
    (origin, is_gone)
}

fn the_first_byte_takes_too_long(driver: Driver, versions: Versions) {
    let (origin, gone) = silent(versions);
    let keys = route("timeouts = { first_byte = \"200ms\" }");
    let gateway = start(driver, versions, &origin, keys);
    let mut client = connect(versions, &gateway);
    client.ask(&Ask::get("/")).expect_failure(504);
    told(&gone);
    let sent = client.ask_with(&Ask::post("/", Ends::Chunked), &pattern(100_000));
    sent.expect_failure(504);
    told(&gone);
    comes_to_rest(&gateway);
}

fn the_whole_takes_too_long(driver: Driver, versions: Versions) {
    let (origin, gone) = silent(versions);
    let gateway = start(driver, versions, &origin, route("timeouts = { total = \"200ms\" }"));
    let mut client = connect(versions, &gateway);
    let response = client.ask(&Ask::get("/").field("accept", "application/json"));
    let response = response.expect_failure(504);
    assert!(response.text().contains("total_timeout"), "{}", response.text());
    told(&gone);
    comes_to_rest(&gateway);
}

fn the_whole_takes_too_long_though_pieces_keep_coming(driver: Driver, versions: Versions) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[], Ends::Chunked);
        while turn.talk().send(b"x").is_ok() {
            pass(Duration::from_millis(20));
        }
        tell(&gone, ());
    });
    let gateway = start(driver, versions, &origin, route("timeouts = { total = \"300ms\" }"));
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/"));
    expect_cut(client.response());
    told(&is_gone);
    comes_to_rest(&gateway);
}

fn a_client_whose_content_stalls_is_told(driver: Driver, versions: Versions) {
    let (cut, is_cut) = channel();
    let origin = Origin::new(versions.up, move |turn| tell(&cut, turn.content()));
    let gateway = start(driver, versions, &origin, route("timeouts = { idle = \"200ms\" }"));
    for sends in [Ends::After(100), Ends::Chunked] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        client.talk().send(b"half").expect("the gateway takes the content");
        client.response().expect("an answer").expect_failure(408);
        assert!(told(&is_cut).is_err(), "the target must not take it for whole");
    }
    comes_to_rest(&gateway);
}

fn a_target_whose_content_stalls_is_cut_off(driver: Driver, versions: Versions) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        let sends = if turn.target() == "/sized" { Ends::After(100) } else { Ends::Chunked };
        turn.begin(200, &[], sends);
        turn.talk().send(b"half").expect("the gateway takes the content");
        turn.wait_gone().expect("the gateway gives up");
        tell(&gone, ());
    });
    let gateway = start(driver, versions, &origin, route("timeouts = { idle = \"200ms\" }"));
    for path in ["/sized", "/chunked"] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get(path));
        expect_cut(client.response());
        told(&is_gone);
    }
    comes_to_rest(&gateway);
}

fn a_target_that_takes_no_content_is_given_up(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |_| held.wait());
    let gateway = start(driver, versions, &origin, route("timeouts = { idle = \"300ms\" }"));
    let mut client = connect(versions, &gateway);
    let size = 256 * MIB;
    client.begin(&Ask::post("/", Ends::After(size)));
    let taken = client.talk().send_until_stopped(&pattern(65_536), size);
    assert!(taken < ON_THE_WAY, "{} MiB", taken / MIB);
    client.response().expect("an answer").expect_failure(504);
    gate.open();
    comes_to_rest(&gateway);
}

fn a_client_that_leaves_while_it_waits_is_seen_by_the_target(driver: Driver, versions: Versions) {
    let (origin, gone) = silent(versions);
    let gateway = start(driver, versions, &origin, Keys::default());
    for n in 1..=2 {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get("/"));
        origin.wait_for_request(n);
        client.abort();
        told(&gone);
    }
    comes_to_rest(&gateway);
}

fn a_client_that_leaves_in_its_content_is_seen_by_the_target(driver: Driver, versions: Versions) {
    let (cut, is_cut) = channel();
    let origin = Origin::new(versions.up, move |turn| tell(&cut, turn.content()));
    let gateway = start(driver, versions, &origin, Keys::default());
    for (n, sends) in [Ends::After(100), Ends::Chunked].into_iter().enumerate() {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::post("/", sends));
        client.talk().send(b"half").expect("the gateway takes the content");
        origin.wait_for_request(n + 1);
        client.abort();
        assert!(told(&is_cut).is_err(), "the target must not take it for whole");
    }
    comes_to_rest(&gateway);
}

fn a_client_that_leaves_in_an_answer_is_seen_by_the_target(driver: Driver, versions: Versions) {
    let (gone, is_gone) = channel();
    let origin = Origin::new(versions.up, move |turn| {
        turn.begin(200, &[], Ends::After(512 * MIB));
        let piece = pattern(65_536);
        while turn.talk().send(&piece).is_ok() {}
        tell(&gone, ());
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    let mut client = connect(versions, &gateway);
    client.begin(&Ask::get("/"));
    client.head().expect("the head");
    client.talk().piece().expect("a piece");
    client.abort();
    told(&is_gone);
    comes_to_rest(&gateway);
}

fn an_answer_that_breaks_off_never_looks_whole(driver: Driver, versions: Versions) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(versions.up, move |turn| {
        let sends = if turn.target() == "/sized" { Ends::After(100_000) } else { Ends::Chunked };
        turn.begin(200, &[], sends);
        turn.talk().send(&pattern(50_000)).expect("the gateway takes the content");
        held.wait();
        turn.abort();
    });
    let gateway = start(driver, versions, &origin, Keys::default());
    for path in ["/sized", "/chunked"] {
        let mut client = connect(versions, &gateway);
        client.begin(&Ask::get(path));
        client.head().expect("the head, before the end");
        gate.release();
        let content = client.talk().content();
        assert!(matches!(content, Err(Broken::Cut(_) | Broken::Reset)), "{content:?}");
    }
    comes_to_rest(&gateway);
}

fn a_target_that_breaks_off_before_its_answer_is_a_502(driver: Driver, versions: Versions) {
    let origin = Origin::new(versions.up, |turn| {
        turn.content().expect("the request's content");
        turn.abort();
    });
    let gateway =
        start(driver, versions, &origin, Keys { upstream: "retries = 0", ..Keys::default() });
    let mut client = connect(versions, &gateway);
    client.ask(&Ask::get("/")).expect_failure(502);
    let sent = client.ask_with(&Ask::post("/", Ends::Chunked), b"content");
    sent.expect_failure(502);
    comes_to_rest(&gateway);
}
