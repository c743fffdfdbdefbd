//! What the gateway refuses to read from a client, each form by name: the right status, the
//! connection closed, and the upstream never the wiser.

use crate::harness::{Driver, Gateway, Upstream};

/// A second request behind the refused one: if it is ever answered, it was smuggled.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n";

#[track_caller]
fn refused(driver: Driver, statuses: &[u16], request: &[u8]) {
    let upstream = Upstream::saying("hello");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send([request, SMUGGLED.as_bytes()].concat());
    let response = client.response();
    assert!(statuses.contains(&response.status), "{} not in {statuses:?}", response.status);
    assert_eq!(response.value("connection"), Some("close"));
    assert!(response.head.has("proxy-status"), "{:?}", response.head);
    client.expect_closed();
    upstream.expect_untouched();
    assert_eq!(gateway.get("/").expect(200).text(), "hello", "others go on");
}

macro_rules! refused {
    ($( $name:ident: $statuses:expr, $request:expr; )*) => {
        $(
            fn $name(driver: Driver) {
                refused(driver, &$statuses, $request.as_ref());
            }
            both_drivers!($name);
        )*
    };
}

mod framing {
    use super::*;

    refused! {
        both_framing_fields: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        both_framing_fields_the_other_way_round: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
        unequal_content_lengths: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
        repeated_content_length: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello";
        listed_content_length: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello";
        plus_signed_content_length: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello";
        minus_signed_content_length: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello";
        empty_content_length: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n";
        hexadecimal_content_length: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello";
        content_length_with_a_space: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhellohello";
        content_length_beyond_64_bits: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello";
        unknown_transfer_coding: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n";
        unknown_coding_before_chunked: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        chunked_not_last: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n";
        chunked_twice: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n";
        repeated_transfer_encoding: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        identity_hidden_behind_chunked: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n";
        almost_chunked: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n";
        chunked_behind_a_vertical_tab: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n";
        quoted_chunked: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n";
        empty_transfer_encoding: [400],
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n";
        transfer_encoding_in_http_1_0: [400],
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    }
}

mod fields {
    use super::*;

    refused! {
        obs_fold: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\r\n two\r\n\r\n";
        obs_fold_with_a_tab: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\r\n\ttwo\r\n\r\n";
        folded_first_field: [400], "GET / HTTP/1.1\r\n Host: a\r\nX-A: one\r\n\r\n";
        space_before_the_colon: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A : one\r\n\r\n";
        tab_before_the_colon: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A\t: one\r\n\r\n";
        space_in_a_name: [400], "GET / HTTP/1.1\r\nHost: a\r\nX A: one\r\n\r\n";
        empty_name: [400], "GET / HTTP/1.1\r\nHost: a\r\n: one\r\n\r\n";
        no_colon: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n";
        name_beyond_ascii: [400], b"GET / HTTP/1.1\r\nHost: a\r\nX-\xe9: one\r\n\r\n";
        bare_cr_in_a_value: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\rtwo\r\n\r\n";
        bare_cr_before_the_line_end: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\r\r\n\r\n";
        nul_in_a_value: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\0two\r\n\r\n";
        nul_in_a_name: [400], "GET / HTTP/1.1\r\nHost: a\r\nX\0A: one\r\n\r\n";
        control_character_in_a_value: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\x01two\r\n\r\n";
        delete_in_a_value: [400], "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\x7ftwo\r\n\r\n";
        bare_lf_after_a_field: [400], "GET / HTTP/1.1\r\nHost: a\nX-A: one\r\n\r\n";
        bare_lf_after_the_request_line: [400], "GET / HTTP/1.1\nHost: a\r\n\r\n";
        bare_lf_as_the_blank_line: [400], "GET / HTTP/1.1\r\nHost: a\r\n\n";
        unknown_expectation: [417], "POST / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\nContent-Length: 0\r\n\r\n";
        too_many_fields: [431],
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(2_000));
        oversized_head: [431],
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(200_000));
        oversized_head_in_the_name: [431],
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}: a\r\n\r\n", "a".repeat(200_000));
    }
}

mod host {
    use super::*;

    refused! {
        missing: [400], "GET / HTTP/1.1\r\nX-A: one\r\n\r\n";
        repeated: [400], "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
        two_that_differ: [400], "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        with_a_space: [400], "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";
        with_a_path: [400], "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n";
        with_a_user: [400], "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n";
        listed: [400], "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n";
        with_a_bad_port: [400], "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n";
        with_an_open_bracket: [400], "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n";
        beyond_ascii: [400], b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n";
    }
}

mod request_line {
    use super::*;

    refused! {
        two_spaces_after_the_method: [400], "GET  / HTTP/1.1\r\nHost: a\r\n\r\n";
        two_spaces_before_the_version: [400], "GET /  HTTP/1.1\r\nHost: a\r\n\r\n";
        tab_as_separator: [400], "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n";
        trailing_space: [400], "GET / HTTP/1.1 \r\nHost: a\r\n\r\n";
        leading_space: [400], " GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        no_version: [400], "GET /\r\nHost: a\r\n\r\n";
        lower_case_version: [400], "GET / http/1.1\r\nHost: a\r\n\r\n";
        long_version: [400], "GET / HTTP/1.10\r\nHost: a\r\n\r\n";
        version_0_9: [505], "GET / HTTP/0.9\r\nHost: a\r\n\r\n";
        version_2: [505], "GET / HTTP/2.0\r\nHost: a\r\n\r\n";
        http_2_preface: [505], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        not_a_token_as_method: [400], "G(T / HTTP/1.1\r\nHost: a\r\n\r\n";
        no_method: [400], "/ HTTP/1.1\r\nHost: a\r\n\r\n";
        target_without_slash: [400], "GET foo HTTP/1.1\r\nHost: a\r\n\r\n";
        asterisk_with_get: [400], "GET * HTTP/1.1\r\nHost: a\r\n\r\n";
        another_scheme: [400], "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n";
        absolute_form_with_a_user: [400], "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n";
        absolute_form_without_host: [400], "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n";
        fragment: [400], "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n";
        space_in_the_path: [400], "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n";
        nul_in_the_path: [400], "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n";
        encoded_nul_in_the_path: [400], "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n";
        bytes_beyond_ascii_in_the_path: [400], b"GET /a\xffb HTTP/1.1\r\nHost: a\r\n\r\n";
        half_an_escape: [400], "GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n";
        not_an_escape: [400], "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n";
        backslash_in_the_path: [400], "GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n";
        connect: [501], "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
        oversized_uri: [414],
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(30_000));
        not_http_at_all: [400], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    }
}

/// Chunked bodies stream, so the upstream may have seen the head when the framing turns out to be
/// bad. What it must never see is the end of that message, or another one.
mod chunks {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[track_caller]
    fn broken_off(driver: Driver, body: &[u8]) {
        let whole = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&whole);
        let upstream = Upstream::new(move |peer| {
            // The connection may end before a head came: all of it was read and refused at once.
            let Some(head) = peer.next_head() else { return };
            if peer.try_body(&head).is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
                peer.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let gateway = Gateway::before(driver, &upstream);
        let mut client = gateway.connect();
        let head =
            "POST /chunked HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send([head.as_bytes(), body, SMUGGLED.as_bytes()].concat());
        client.response().expect_failure(400);
        client.expect_closed();
        let opened = upstream.connections();
        upstream.wait_for_ends(opened);
        assert_eq!(whole.load(Ordering::SeqCst), 0, "whole messages seen by the upstream");
        let targets: Vec<_> = upstream.requests().iter().map(|r| r.target().to_owned()).collect();
        assert!(!targets.contains(&"/smuggled".to_owned()), "{targets:?}");
    }

    macro_rules! broken_off {
        ($( $name:ident: $body:expr; )*) => {
            $(
                fn $name(driver: Driver) {
                    broken_off(driver, $body.as_ref());
                }
                both_drivers!($name);
            )*
        };
    }

    broken_off! {
        bare_lf_after_the_size: "5\nhello\r\n0\r\n\r\n";
        bare_lf_after_the_data: "5\r\nhello\n0\r\n\r\n";
        bare_lf_after_the_last_chunk: "5\r\nhello\r\n0\n\r\n";
        bare_lf_at_the_end: "5\r\nhello\r\n0\r\n\n";
        bare_cr_in_an_extension: "5;a\rb\r\nhello\r\n0\r\n\r\n";
        no_size: "\r\nhello\r\n0\r\n\r\n";
        size_with_a_prefix: "0x5\r\nhello\r\n0\r\n\r\n";
        signed_size: "+5\r\nhello\r\n0\r\n\r\n";
        negative_size: "-1\r\nhello\r\n0\r\n\r\n";
        size_before_a_space: "5 \r\nhello\r\n0\r\n\r\n";
        size_behind_a_space: " 5\r\nhello\r\n0\r\n\r\n";
        size_that_is_no_number: "five\r\nhello\r\n0\r\n\r\n";
        size_beyond_64_bits: "10000000000000005\r\nhello\r\n0\r\n\r\n";
        size_with_an_underscore: "1_0\r\nhello\r\n0\r\n\r\n";
        data_longer_than_its_size: "5\r\nhello!\r\n0\r\n\r\n";
        nul_in_an_extension: "5;a=\0\r\nhello\r\n0\r\n\r\n";
        extension_over_its_bound: format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000));
        trailer_without_colon: "5\r\nhello\r\n0\r\nX-A\r\n\r\n";
        trailer_with_a_space_before_the_colon: "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n";
        folded_trailer: "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n";
        nul_in_a_trailer: "5\r\nhello\r\n0\r\nX-A: b\0\r\n\r\n";
    }
}

both_drivers!(
    a_request_in_single_bytes_is_read_like_any_other,
    a_refused_pipelined_request_does_not_hurt_the_one_before,
);

fn a_request_in_single_bytes_is_read_like_any_other(driver: Driver) {
    let upstream = Upstream::saying("hello");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for byte in b"POST /a HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response().expect(200).text(), "hello");
    assert_eq!(upstream.only_request().body, b"hello");
}

fn a_refused_pipelined_request_does_not_hurt_the_one_before(driver: Driver) {
    let upstream = Upstream::saying("hello");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost : a\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response().expect(200);
    client.response().expect_failure(400);
    client.expect_closed();
    assert_eq!(upstream.only_request().target(), "/good");
}
