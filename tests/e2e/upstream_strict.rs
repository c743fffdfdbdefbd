//! Responses are held to the same strictness as requests: a bad one is a 502, and the connection
//! that it came on is closed.

use crate::harness::{Broken, Driver, Gateway, Upstream};

#[track_caller]
fn bad_gateway(driver: Driver, response: &[u8]) {
    let response = response.to_vec();
    let upstream = Upstream::new(move |peer| {
        if peer.number > 0 {
            return peer.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        peer.request();
        peer.send(&response);
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    client.response().expect_failure(502);
    upstream.wait_for_ends(1);
    assert_eq!(upstream.count(), 1, "a POST that arrived is not sent again");
    client.get("/").expect(200);
}

macro_rules! bad_gateway {
    ($( $name:ident: $response:expr; )*) => {
        $(
            fn $name(driver: Driver) {
                bad_gateway(driver, $response.as_ref());
            }
            both_drivers!($name);
        )*
    };
}

bad_gateway! {
    garbage: "this is not HTTP\r\n\r\n";
    binary_garbage: [0u8, 1, 2, 3, 255, 254, 13, 10, 13, 10];
    http_2: "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    http_2_frames: b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00";
    lower_case_version: "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    status_of_two_digits: "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n";
    status_of_four_digits: "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n";
    status_beyond_599: "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n";
    status_below_100: "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n";
    status_that_is_no_number: "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n";
    both_framing_fields: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    unequal_content_lengths: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    listed_content_length: "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!";
    signed_content_length: "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello";
    unknown_transfer_coding: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello";
    chunked_not_last: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n";
    repeated_transfer_encoding: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    obs_fold: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n c\r\n\r\n";
    space_before_the_colon: "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n";
    no_colon: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A\r\n\r\n";
    bare_lf: "HTTP/1.1 200 OK\nContent-Length: 0\n\n";
    bare_lf_after_a_field: "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n";
    bare_cr_in_a_value: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\rc\r\n\r\n";
    nul_in_a_value: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\0c\r\n\r\n";
    control_character_in_the_reason: "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n";
    oversized_head: format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(300_000));
    head_without_end: "x".repeat(300_000);
    unasked_upgrade: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    bad_interim_response: "HTTP/1.1 103 Early Hints\r\nLink : a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
}

/// The response ends like this before its head was whole.
#[track_caller]
fn lost(driver: Driver, before: &'static str, reset: bool) {
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send(before);
        if reset {
            peer.reset_at_end();
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    client.response().expect_failure(502);
    assert_eq!(upstream.count(), 1);
}

/// The head is sent to the client, then the body turns out to be broken: the client must see
/// that it was cut off.
#[track_caller]
fn cut_off(driver: Driver, response: &[u8]) {
    let response = response.to_vec();
    let upstream = Upstream::new(move |peer| {
        peer.request();
        peer.send(&response);
        peer.half_close();
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.try_response() {
        Err(Broken::Cut(_) | Broken::Reset) => {}
        // Nothing was sent yet when the fault was seen: an honest 502 is as good.
        Ok(response) => drop(response.expect_failure(502)),
        Err(other) => panic!("{other:?}"),
    }
    upstream.wait_for_ends(1);
}

both_drivers!(
    a_close_before_the_head,
    a_close_inside_the_head,
    a_reset_before_the_head,
    a_reset_inside_the_head,
    a_close_after_an_interim_response,
    a_body_shorter_than_its_length_is_seen_as_cut_off,
    chunks_without_a_last_one_are_seen_as_cut_off,
    a_chunk_shorter_than_its_size_is_seen_as_cut_off,
    a_bad_chunk_size_is_seen_as_cut_off,
    a_bare_lf_in_chunk_framing_is_seen_as_cut_off,
    a_bad_trailer_is_seen_as_cut_off,
    a_huge_chunk_extension_is_seen_as_cut_off,
    a_cut_off_close_delimited_body_resets_the_client_too,
    bytes_behind_a_response_end_the_connection,
    bytes_behind_a_head_response_are_not_the_next_one,
    endless_interim_responses_are_bounded,
);

fn a_close_before_the_head(driver: Driver) {
    lost(driver, "", false);
}
fn a_close_inside_the_head(driver: Driver) {
    lost(driver, "HTTP/1.1 200 OK\r\nContent-Le", false);
}
fn a_reset_before_the_head(driver: Driver) {
    lost(driver, "", true);
}
fn a_reset_inside_the_head(driver: Driver) {
    lost(driver, "HTTP/1.1 200 OK\r\n", true);
}
fn a_close_after_an_interim_response(driver: Driver) {
    lost(driver, "HTTP/1.1 100 Continue\r\n\r\n", false);
}

fn a_body_shorter_than_its_length_is_seen_as_cut_off(driver: Driver) {
    cut_off(driver, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
}
fn chunks_without_a_last_one_are_seen_as_cut_off(driver: Driver) {
    cut_off(driver, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
}
fn a_chunk_shorter_than_its_size_is_seen_as_cut_off(driver: Driver) {
    cut_off(driver, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello");
}
fn a_bad_chunk_size_is_seen_as_cut_off(driver: Driver) {
    cut_off(driver, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\nworld\r\n0\r\n\r\n");
}
fn a_bare_lf_in_chunk_framing_is_seen_as_cut_off(driver: Driver) {
    cut_off(driver, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n");
}
fn a_bad_trailer_is_seen_as_cut_off(driver: Driver) {
    cut_off(
        driver,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A : b\r\n\r\n",
    );
}
fn a_huge_chunk_extension_is_seen_as_cut_off(driver: Driver) {
    let body = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000));
    cut_off(
        driver,
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes(),
    );
}

fn a_cut_off_close_delimited_body_resets_the_client_too(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        peer.reset_at_end();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.try_response() {
        Err(Broken::Cut(_) | Broken::Reset) => {}
        Ok(response) => drop(response.expect_failure(502)),
        Err(other) => panic!("{other:?}"),
    }
}

fn bytes_behind_a_response_end_the_connection(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").expect(200).text(), "ok");
    }
    assert_eq!(upstream.connections(), 3, "never reused");
}

fn bytes_behind_a_head_response_are_not_the_next_one(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while let Some(request) = peer.next_request() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            if request.method() != "HEAD" {
                continue;
            }
            peer.wait_closed();
            return;
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
    assert_eq!(client.get("/").expect(200).text(), "evil");
    upstream.wait_for_ends(1);
}

fn endless_interim_responses_are_bounded(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        if peer.number > 0 {
            return peer.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        peer.request();
        while peer.try_send("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n".repeat(100)).is_ok() {}
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    client.response().expect_failure(502);
}
