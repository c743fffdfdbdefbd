//! Fields that are hop by hop, and those that tell the next hop about the last.

use std::collections::BTreeSet;

use crate::harness::{Driver, Gateway, Head, Upstream, forward_all};

/// The head an upstream gets for these request fields.
#[track_caller]
fn seen(driver: Driver, config: &str, fields: &str) -> Head {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::start(driver, format!("{config}\n{}", forward_all(&upstream.address)));
    gateway.once(&format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")).expect(200);
    upstream.only_request().head
}

const TRUSTING: &str =
    "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
const WITH_FORWARDED: &str = "[forwarding]\nforwarded = true\n";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

both_drivers!(
    hop_by_hop_fields_of_a_request_stay_here,
    hop_by_hop_fields_of_a_response_stay_here,
    connection_cannot_take_away_what_the_message_needs,
    via_is_added_in_both_directions,
    the_gateways_name_can_be_changed,
    what_a_stranger_says_about_itself_is_replaced,
    what_a_stranger_says_is_dropped_even_where_we_say_nothing,
    what_a_trusted_proxy_says_is_appended_to,
    a_trusted_proxy_that_says_forwarded_is_appended_to,
    what_a_trusted_proxy_does_not_write_itself_is_not_believed,
    names_with_underscores_are_left_out,
    names_with_underscores_pass_where_they_are_wanted,
    fields_can_be_switched_off,
    each_request_gets_an_id_of_its_own,
    the_id_of_a_trusted_proxy_is_continued,
    a_trace_is_continued,
    a_trace_is_started,
    max_forwards_counts_down_and_ends_here_at_zero,
);

fn hop_by_hop_fields_of_a_request_stay_here(driver: Driver) {
    let head = seen(
        driver,
        "",
        "Connection: keep-alive, X-Hop , x-other\r\nX-Hop: a\r\nX-Other: b\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: websocket\r\nTE: gzip\r\nX-End: c\r\n",
    );
    for gone in
        ["x-hop", "x-other", "keep-alive", "proxy-connection", "upgrade", "proxy-authorization"]
    {
        assert!(!head.has(gone), "{gone}: {head:?}");
    }
    assert_ne!(head.value("te"), Some("gzip"));
    assert_eq!(head.value("x-end"), Some("c"));
}

fn hop_by_hop_fields_of_a_response_stay_here(driver: Driver) {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: a\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-End: c\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = Gateway::before(driver, &upstream);
    let head = gateway.get("/").expect(200).head;
    for gone in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!head.has(gone), "{gone}: {head:?}");
    }
    assert_eq!(head.value("x-end"), Some("c"));
}

fn connection_cannot_take_away_what_the_message_needs(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::before(driver, &upstream);
    let response = gateway.once(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, X-Forwarded-For, Via\r\nContent-Length: 2\r\n\r\nhi");
    if response.status == 200 {
        let request = upstream.only_request();
        assert_eq!(request.body, b"hi");
        assert_eq!(request.value("host"), Some("a"));
        assert!(request.head.has("x-forwarded-for") && request.head.has("via"));
    } else {
        response.expect_failure(400);
    }
}

fn via_is_added_in_both_directions(driver: Driver) {
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\nVia: 1.0 inner\r\nContent-Length: 0\r\n\r\n");
    let gateway = Gateway::before(driver, &upstream);
    let response = gateway.once("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 outer\r\n\r\n").expect(200);
    assert_eq!(upstream.only_request().head.values("via").join(", "), "1.1 outer, 1.1 tollgate");
    assert_eq!(response.head.values("via").join(", "), "1.0 inner, 1.1 tollgate");
}

fn the_gateways_name_can_be_changed(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::start(
        driver,
        format!("[server]\nname = \"edge-7\"\nwatch = false\n{}", forward_all(&upstream.address)),
    );
    gateway.get("/").expect(200);
    assert_eq!(upstream.only_request().value("via"), Some("1.1 edge-7"));
    drop(upstream);
    let failed = gateway.get("/").expect_failure(502);
    assert!(failed.value("proxy-status").expect("Proxy-Status").starts_with("edge-7;"));
}

fn what_a_stranger_says_about_itself_is_replaced(driver: Driver) {
    let head = seen(
        driver,
        WITH_FORWARDED,
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.8\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: bank.example\r\nForwarded: for=203.0.113.7;proto=https\r\n",
    );
    assert_eq!(head.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.values("x-forwarded-proto"), ["http"]);
    assert_eq!(head.values("x-forwarded-host"), ["shop.example"]);
    assert_eq!(head.values("forwarded"), ["for=127.0.0.1;host=shop.example;proto=http"]);
}

fn what_a_stranger_says_is_dropped_even_where_we_say_nothing(driver: Driver) {
    let head = seen(
        driver,
        "[forwarding]\nx_forwarded = false\nforwarded = false\n",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=203.0.113.7\r\n",
    );
    for gone in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"] {
        assert!(!head.has(gone), "{gone}: {head:?}");
    }
}

fn what_a_trusted_proxy_says_is_appended_to(driver: Driver) {
    let fields = "X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Host: outside.example\r\n";
    let head = seen(driver, TRUSTING, fields);
    assert_eq!(head.values("x-forwarded-for").join(", "), "203.0.113.9, 10.0.0.1, 127.0.0.1");
    assert_eq!(head.values("x-forwarded-proto"), ["https"]);
    assert_eq!(head.values("x-forwarded-host"), ["outside.example"]);
}

fn a_trusted_proxy_that_says_forwarded_is_appended_to(driver: Driver) {
    let config = format!("{WITH_FORWARDED}{TRUSTING}client_address_from = \"forwarded\"\n");
    let head = seen(driver, &config, "Forwarded: for=203.0.113.9;proto=https\r\n");
    assert_eq!(
        head.values("forwarded").join(", "),
        "for=203.0.113.9;proto=https, for=127.0.0.1;host=shop.example;proto=http"
    );
}

fn what_a_trusted_proxy_does_not_write_itself_is_not_believed(driver: Driver) {
    // It writes X-Forwarded-For; Forwarded comes from behind it, from anybody.
    let config = format!("{WITH_FORWARDED}{TRUSTING}");
    let fields = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=198.51.100.1\r\n";
    let head = seen(driver, &config, fields);
    let told = head.values("forwarded").join(", ");
    assert!(!told.contains("198.51.100.1") && told.contains("203.0.113.9"), "{told}");
}

const UNDERSCORES: &str =
    "X_Forwarded_For: 9.9.9.9\r\nx-real_ip: 9.9.9.9\r\nmy_field: a\r\nx-my: b\r\n";

fn names_with_underscores_are_left_out(driver: Driver) {
    let head = seen(driver, "", UNDERSCORES);
    for gone in ["x_forwarded_for", "x-real_ip", "my_field"] {
        assert!(!head.has(gone), "{gone}: {head:?}");
    }
    assert_eq!(head.value("x-my"), Some("b"));
}

fn names_with_underscores_pass_where_they_are_wanted(driver: Driver) {
    let config = "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
                  http = { underscores_in_headers = true }\n";
    let head = seen(driver, config, UNDERSCORES);
    for gone in ["x_forwarded_for", "x-real_ip"] {
        assert!(!head.has(gone), "{gone}: {head:?}");
    }
    assert_eq!((head.value("my_field"), head.value("x-my")), (Some("a"), Some("b")));
}

fn fields_can_be_switched_off(driver: Driver) {
    let head = seen(
        driver,
        "[forwarding]\nvia = false\nx_forwarded = false\nrequest_id = false\ntraceparent = false\n",
        "",
    );
    for gone in [
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-request-id",
        "traceparent",
    ] {
        assert!(!head.has(gone), "{gone}: {head:?}");
    }
}

fn each_request_gets_an_id_of_its_own(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    for _ in 0..50 {
        client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n").expect(200);
    }
    let requests = upstream.requests();
    let ids: BTreeSet<&str> =
        requests.iter().map(|r| r.value("x-request-id").expect("an id")).collect();
    assert_eq!(ids.len(), 50);
    assert!(!ids.contains("mine"), "a stranger's id is replaced");
}

fn the_id_of_a_trusted_proxy_is_continued(driver: Driver) {
    assert_eq!(
        seen(driver, TRUSTING, "X-Request-Id: from-the-edge-1\r\n").values("x-request-id"),
        ["from-the-edge-1"]
    );
    let head = seen(driver, TRUSTING, "X-Request-Id: bad id with spaces \"\r\n");
    assert_ne!(head.value("x-request-id"), Some("bad id with spaces \""));
}

fn a_trace_is_continued(driver: Driver) {
    let head = seen(driver, "", &format!("traceparent: {TRACE}\r\ntracestate: a=b\r\n"));
    let parent = head.value("traceparent").expect("traceparent").to_owned();
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", "0af7651916cd43dd8448eb211c80319c", "01"));
    assert_ne!(parts[2], "b7ad6b7169203331", "a span of its own");
    assert_eq!(head.value("tracestate"), Some("a=b"));
}

fn a_trace_is_started(driver: Driver) {
    for fields in [
        "",
        "traceparent: nonsense\r\ntracestate: a=b\r\n",
        "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
    ] {
        let head = seen(driver, "", fields);
        let parent = head.value("traceparent").expect("traceparent");
        let parts: Vec<&str> = parent.split('-').collect();
        assert_eq!(parts.len(), 4, "{parent}");
        assert_eq!(
            (parts[0].len(), parts[1].len(), parts[2].len(), parts[3].len()),
            (2, 32, 16, 2)
        );
        assert!(parts[1].bytes().any(|b| b != b'0'));
        assert!(!head.has("tracestate"), "a state without its parent");
    }
}

fn max_forwards_counts_down_and_ends_here_at_zero(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::start(driver, forward_all(&upstream.address));
    let ask = |method: &str, value: &str| {
        gateway.once(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n"))
    };
    ask("OPTIONS", "2").expect(200);
    ask("TRACE", "1").expect(200);
    // On other methods the field means nothing.
    ask("GET", "0").expect(200);
    let seen: Vec<_> = upstream.requests().into_iter().map(|r| r.head).collect();
    let left: Vec<_> = seen.iter().map(|head| head.value("max-forwards")).collect();
    assert_eq!(left, [Some("1"), Some("0"), Some("0")]);
    ask("OPTIONS", "0").expect(204);
    ask("TRACE", "0").expect(501);
    assert_eq!(upstream.requests().len(), 3);
}
