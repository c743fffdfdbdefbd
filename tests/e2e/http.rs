//! HTTP/1.1 as it should be: order, forms, interim responses, trailers, older peers.

use crate::harness::{Driver, Gate, Gateway, Upstream};

fn before(driver: Driver, response: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::answering(response);
    let gateway = Gateway::before(driver, &upstream);
    (upstream, gateway)
}

both_drivers!(
    pipelined_requests_are_answered_in_order,
    a_pipelined_request_waits_for_the_one_before,
    the_absolute_form_is_understood,
    an_absolute_form_without_path_is_the_root,
    options_star_is_about_the_gateway_or_its_upstream,
    a_head_response_has_the_length_and_no_content,
    a_head_response_may_announce_chunks,
    responses_204_and_304_have_no_content,
    continue_goes_from_end_to_end,
    a_final_answer_instead_of_continue_is_passed_on,
    a_client_need_not_wait_for_continue,
    early_hints_are_forwarded,
    an_http_1_0_client_gets_no_interim_response,
    request_trailers_reach_the_upstream,
    response_trailers_reach_the_client,
    trailers_that_would_change_the_message_go_nowhere,
    an_http_1_0_client_gets_a_plain_body_and_a_close,
    an_http_1_0_client_may_keep_its_connection,
    an_http_1_0_request_needs_no_host,
    connection_close_is_answered_with_a_close,
    an_http_1_0_upstream_that_closes_is_understood,
    an_http_1_0_upstream_is_not_kept_unless_it_says_so,
    a_close_delimited_response_is_passed_on_whole,
    an_upstream_that_wants_to_close_is_not_reused,
    what_goes_upstream_is_emitted_from_the_parsed_message,
    what_goes_to_the_client_is_emitted_from_the_parsed_message,
    the_upstream_sees_the_canonical_path,
    climbing_out_of_the_root_leads_nowhere,
    an_encoded_slash_is_what_the_listener_says,
    empty_lines_before_a_request_are_forgiven,
    unknown_methods_are_forwarded,
    a_client_may_end_its_side_and_still_gets_its_response,
    a_204_carries_no_length,
    requests_beyond_the_last_one_do_not_destroy_its_answer,
    a_response_without_a_date_gets_one,
);

fn pipelined_requests_are_answered_in_order(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while let Some(request) = peer.next_request() {
            let text = request.target().to_owned();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    let all: String = (0..20)
        .map(|n| match n % 3 {
            0 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            _ => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
        })
        .collect();
    client.send(all);
    for n in 0..20 {
        assert_eq!(client.response().expect(200).text(), format!("/{n}"));
    }
}

fn a_pipelined_request_waits_for_the_one_before(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        while let Some(request) = peer.next_request() {
            if request.target() == "/slow" {
                held.wait();
            }
            let text = request.target().to_owned();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /fast HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for_request(1);
    client.expect_silence();
    gate.open();
    assert_eq!(client.response().expect(200).text(), "/slow");
    assert_eq!(client.response().expect(200).text(), "/fast");
}

fn the_absolute_form_is_understood(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let ask = |target: &str, host: &str| {
        gateway.once(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
    };
    assert_eq!(ask("http://Api.Example.com:8080/a?b=c", "api.example.com:8080"), 200);
    let request = upstream.only_request();
    assert_eq!(request.target(), "/a?b=c");
    assert_eq!(request.head.values("host"), ["api.example.com:8080"]);
    // Two names for one place are ambiguous, so they are refused.
    assert_eq!(ask("http://api.example.com/a", "other.example"), 400);
    assert_eq!(upstream.count(), 1);
}

fn an_absolute_form_without_path_is_the_root(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    gateway
        .once("GET http://api.example.com?b=c HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        .expect(200);
    assert_eq!(upstream.only_request().target(), "/?b=c");
}

fn options_star_is_about_the_gateway_or_its_upstream(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n");
    let mut client = gateway.connect();
    let response = client.ask("OPTIONS * HTTP/1.1\r\nHost: test.example\r\n\r\n");
    assert!([200, 204].contains(&response.status), "{}", response.status);
    for request in upstream.requests() {
        assert_eq!(request.target(), "*");
    }
    client.get("/after").expect(204);
}

fn a_head_response_has_the_length_and_no_content(driver: Driver) {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let response = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
        assert_eq!(response.value("content-length"), Some("1000"));
    }
    assert_eq!(upstream.connections(), 1, "reused after a HEAD");
}

fn a_head_response_may_announce_chunks(driver: Driver) {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.ask("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
    client.ask("HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
    assert_eq!(upstream.connections(), 1);
}

fn responses_204_and_304_have_no_content(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while let Some(request) = peer.next_request() {
            peer.send(match request.target() {
                "/204" => "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
                _ => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 500\r\n\r\n",
            });
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    let nothing = client.get("/204").expect(204);
    assert_eq!(nothing.value("content-length"), None);
    assert_eq!(nothing.value("transfer-encoding"), None);
    let same = client.get("/304").expect(304);
    assert_eq!(same.value("etag"), Some("\"a\""));
    assert_eq!(same.value("transfer-encoding"), None);
    client.get("/204").expect(204);
    assert_eq!(upstream.connections(), 1);
}

fn continue_goes_from_end_to_end(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        let head = peer.head();
        assert_eq!(
            head.value("expect").map(str::to_ascii_lowercase).as_deref(),
            Some("100-continue")
        );
        held.wait();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(&head);
        peer.send("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    upstream.wait_for_request(1);
    client.expect_silence();
    gate.open();
    assert_eq!(client.head().expect("an interim response").start, "HTTP/1.1 100 Continue");
    client.send("hello");
    assert_eq!(client.response().expect(201).text(), "ok");
    assert_eq!(upstream.only_request().body, b"hello");
}

fn a_final_answer_instead_of_continue_is_passed_on(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().expect(403).text(), "no");
    // The body was never asked for, so nobody can tell where the next request would begin.
    client.expect_closed();
    upstream.wait_for_ends(1);
}

fn a_client_need_not_wait_for_continue(driver: Driver) {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(client.ask(&format!("{head}hello")).expect(200).text(), "hello");
    }
}

fn early_hints_are_forwarded(driver: Driver) {
    let upstream = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.get("/").expect(200);
        let hints: Vec<_> = response
            .interim
            .iter()
            .map(|h| (h.start.as_str(), h.value("link").unwrap_or_default()))
            .collect();
        assert_eq!(
            hints,
            [
                ("HTTP/1.1 103 Early Hints", "</a.css>; rel=preload"),
                ("HTTP/1.1 103 Early Hints", "</b.css>; rel=preload"),
            ]
        );
    }
    assert_eq!(upstream.connections(), 1);
}

fn an_http_1_0_client_gets_no_interim_response(driver: Driver) {
    let (_upstream, gateway) = before(
        driver,
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let response = gateway.once("GET / HTTP/1.0\r\nHost: a\r\n\r\n").expect(200);
    assert!(response.interim.is_empty());
}

fn request_trailers_reach_the_upstream(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    gateway.once("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n").expect(200);
    let request = upstream.only_request();
    assert_eq!(request.body, b"hello");
    assert_eq!(request.trailers.len(), 1);
    assert!(request.trailers[0].0.eq_ignore_ascii_case("x-sum"));
    assert_eq!(request.trailers[0].1, "42");
}

fn response_trailers_reach_the_client(driver: Driver) {
    let (_upstream, gateway) = before(
        driver,
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let response = gateway
        .once("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .expect(200);
    assert_eq!(response.text(), "hello");
    assert_eq!(response.trailers.len(), 1);
    assert!(response.trailers[0].0.eq_ignore_ascii_case("x-sum"));
}

fn trailers_that_would_change_the_message_go_nowhere(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let response = gateway.once(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
         Content-Length: 9\r\nHost: evil\r\nAuthorization: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    // Refused or left out: both keep them from the upstream.
    assert!([200, 400].contains(&response.status), "{}", response.status);
    for request in upstream.requests() {
        assert!(request.trailers.is_empty(), "{:?}", request.trailers);
    }
}

fn an_http_1_0_client_gets_a_plain_body_and_a_close(driver: Driver) {
    let (_upstream, gateway) = before(
        driver,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    let mut client = gateway.connect();
    let response = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").expect(200);
    assert_eq!(response.value("transfer-encoding"), None);
    assert_eq!(response.text(), "hello world");
    client.expect_closed();
}

fn an_http_1_0_client_may_keep_its_connection(driver: Driver) {
    let (_upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response =
            client.ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").expect(200);
        assert_eq!(
            response.value("connection").map(str::to_ascii_lowercase).as_deref(),
            Some("keep-alive")
        );
    }
    client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").expect(200);
    client.expect_closed();
}

fn an_http_1_0_request_needs_no_host(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    gateway.once("GET / HTTP/1.0\r\n\r\n").expect(200);
    assert_eq!(upstream.only_request().head.values("host").len(), 1, "HTTP/1.1 upstream needs one");
}

fn connection_close_is_answered_with_a_close(driver: Driver) {
    let (_upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut client = gateway.connect();
    let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect(200);
    assert_eq!(response.value("connection"), Some("close"));
    client.expect_closed();
}

fn an_http_1_0_upstream_that_closes_is_understood(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.answer("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello");
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.get("/").expect(200);
        assert_eq!(response.text(), "hello");
        assert_eq!(response.value("transfer-encoding"), Some("chunked"));
    }
    assert_eq!(upstream.connections(), 2);
}

fn an_http_1_0_upstream_is_not_kept_unless_it_says_so(driver: Driver) {
    let upstream = Upstream::new(|peer| match peer.number {
        0 => {
            peer.answer("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na");
        }
        _ => peer.serve(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nb"),
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for expected in ["a", "b", "b"] {
        assert_eq!(client.get("/").expect(200).text(), expected);
    }
}

fn a_close_delimited_response_is_passed_on_whole(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.answer("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        for _ in 0..100 {
            peer.send([b'x'; 1000]);
        }
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    assert_eq!(client.get("/").expect(200).body.len(), 100_000);
    assert_eq!(client.get("/").expect(200).body.len(), 100_000, "the client's connection is kept");
}

fn an_upstream_that_wants_to_close_is_not_reused(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let response = client.get("/").expect(200);
        assert_ne!(response.value("connection"), Some("close"), "hop by hop");
    }
    upstream.wait_for_ends(3);
}

fn what_goes_upstream_is_emitted_from_the_parsed_message(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    gateway.once(
        "PUT /a?x=1&y=%20 HTTP/1.1\r\nhOsT:test.example\r\nX-Odd:   spaced \t out  \t\r\nX-Empty:\r\n\
         content-LENGTH:   5\r\nX-Bytes: \u{e9}\r\n\r\nhello",
    ).expect(200);
    let request = upstream.only_request();
    let text: String = request.head.raw.iter().map(|&b| char::from(b)).collect();
    assert!(text.starts_with("PUT /a?x=1&y=%20 HTTP/1.1\r\n"), "{text}");
    for line in text.trim_end().lines().skip(1) {
        let (name, value) = line.split_once(':').expect("a field");
        assert_eq!(name, name.trim(), "{line:?}");
        assert_eq!(
            value.trim_end_matches(' '),
            format!(" {}", value.trim()).trim_end(),
            "{line:?}"
        );
    }
    assert_eq!(request.value("x-odd"), Some("spaced \t out"));
    assert_eq!(request.value("x-empty"), Some(""));
    assert_eq!(request.head.values("content-length"), ["5"]);
    assert_eq!(request.head.values("host"), ["test.example"]);
    assert_eq!(request.body, b"hello");
}

fn what_goes_to_the_client_is_emitted_from_the_parsed_message(driver: Driver) {
    let (_upstream, gateway) = before(
        driver,
        "HTTP/1.1 200 Quite Fine\r\nX-Odd:   spaced \t out  \t\r\ncontent-LENGTH:  2\r\nX-Empty:\r\n\r\nok",
    );
    let response = gateway.get("/").expect(200);
    let text: String = response.head.raw.iter().map(|&b| char::from(b)).collect();
    assert!(!text.contains(":   ") && !text.contains("\t\r\n"), "{text:?}");
    assert_eq!(response.value("x-odd"), Some("spaced \t out"));
    assert_eq!(response.head.values("content-length"), ["2"]);
}

fn the_upstream_sees_the_canonical_path(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut client = gateway.connect();
    let cases = [
        ("/", "/"),
        ("/a/./b", "/a/b"),
        ("/a/b/../c", "/a/c"),
        ("/a/%2e%2E/c", "/c"),
        ("/%61%7E%2d", "/a~-"),
        ("/a%20b", "/a%20b"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a?q=/../%2e", "/a?q=/../%2e"),
        ("/a?", "/a?"),
    ];
    for (n, (sent, seen)) in cases.iter().enumerate() {
        client.get(sent).expect(200);
        assert_eq!(upstream.wait_for_request(n + 1).target(), *seen, "{sent}");
    }
}

fn climbing_out_of_the_root_leads_nowhere(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let status = gateway.get("/../../etc/passwd").status;
    assert!([200, 400].contains(&status), "{status}");
    for request in upstream.requests() {
        assert_eq!(request.target(), "/etc/passwd");
    }
}

fn an_encoded_slash_is_what_the_listener_says(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let listeners = ["reject", "keep", "decode"].map(|policy| format!(
        "[[listeners]]\nname = \"{policy}\"\nlisten = \"127.0.0.1:0\"\nhttp = {{ encoded_slash = \"{policy}\" }}\n"
    )).concat();
    let gateway =
        Gateway::start(driver, listeners + &crate::harness::forward_all(&upstream.address));
    let ask = |listener: &str| {
        let mut client = crate::harness::Client::connect(gateway.address(listener));
        client.get("/a/x%2f..%2Fb").status
    };
    assert_eq!(ask("reject"), 400);
    assert_eq!(ask("keep"), 200);
    assert_eq!(upstream.wait_for_request(1).target(), "/a/x%2F..%2Fb");
    assert_eq!(ask("decode"), 200);
    assert_eq!(upstream.wait_for_request(2).target(), "/a/b");
}

fn empty_lines_before_a_request_are_forgiven(driver: Driver) {
    let (_upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    gateway.once("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").expect(200);
}

fn unknown_methods_are_forwarded(driver: Driver) {
    let (upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    gateway.once("PROPFIND /dav HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").expect(200);
    assert_eq!(upstream.only_request().method(), "PROPFIND");
}

fn a_client_may_end_its_side_and_still_gets_its_response(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::new(move |peer| {
        peer.request();
        held.wait();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.wait_closed();
    });
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    upstream.wait_for_request(1);
    gate.open();
    assert_eq!(client.response().expect(200).text(), "ok");
    client.expect_closed();
}

fn a_204_carries_no_length(driver: Driver) {
    let response = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    let (_upstream, gateway) = before(driver, response);
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").expect(204).value("content-length"), None);
    }
}

fn requests_beyond_the_last_one_do_not_destroy_its_answer(driver: Driver) {
    let (upstream, _) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nmax_requests = 2\n{}",
            crate::harness::forward_all(&upstream.address)
        ),
    );
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000));
    client.response().expect(200);
    assert_eq!(client.response().expect(200).value("connection"), Some("close"));
    assert_eq!(client.rest(), Ok(Vec::new()), "an end, not a reset");
}

fn a_response_without_a_date_gets_one(driver: Driver) {
    let (_upstream, gateway) = before(driver, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let date = gateway.get("/").expect(200).value("date").expect("Date").to_owned();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    let given = "Sun, 06 Nov 1994 08:49:37 GMT";
    let response = format!("HTTP/1.1 200 OK\r\nDate: {given}\r\nContent-Length: 0\r\n\r\n");
    let (_upstream, gateway) = before(driver, &response);
    assert_eq!(gateway.get("/").expect(200).head.values("date"), [given]);
}
