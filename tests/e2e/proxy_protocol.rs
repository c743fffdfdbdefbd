//! PROXY headers that come in.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Broken, Client, Driver, Gateway, Upstream, forward_all};

const REFUSED: &str = "/connections/refused/proxy_protocol";
const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r\n";

/// The text of a gateway whose listener takes headers from 127.0.0.1.
fn text(upstream: &Upstream, accept: &str, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nproxy_protocol = \"{accept}\"\n\
         trusted_proxies = [\"127.0.0.1\"]\n{keys}\n{}",
        forward_all(&upstream.address)
    )
}

fn start(driver: Driver, upstream: &Upstream, accept: &str, keys: &str) -> Gateway {
    Gateway::start(driver, text(upstream, accept, keys))
}

/// A header of version 2: command, family, and what follows the length.
pub(crate) fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a short header").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

const INET: [u8; 12] = [192, 0, 2, 8, 198, 51, 100, 9, 0xdc, 4, 1, 0xbb];

fn inet6() -> Vec<u8> {
    let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&address(1)[..], &address(2), &[0xdc, 4, 1, 0xbb]].concat()
}

/// CRC32c bit by bit, so that the gateway is not judged by its own table.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}

/// With a checksum behind, off by `error`.
fn checked(rest: &[u8], error: u32) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[rest, &[3, 0, 4, 0, 0, 0, 0]].concat());
    let checksum = crc32c(&header) ^ error;
    let at = header.len() - 4;
    header[at..].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// Who the upstream is told that the client is, of a connection that begins with these bytes.
fn client_behind(gateway: &Gateway, upstream: &Upstream, header: &[u8]) -> String {
    let mut client = gateway.connect();
    client.send([header, ASK.as_bytes()].concat());
    client.response().expect(200);
    let seen = upstream.requests().pop().expect("a request");
    seen.value("x-forwarded-for").expect("X-Forwarded-For").to_owned()
}

both_drivers!(
    either_version_names_the_client,
    a_listener_may_want_one_version,
    the_proxys_own_connections_keep_its_address,
    a_header_may_come_byte_by_byte,
    the_requests_of_a_connection_have_one_header,
    a_connection_without_a_good_header_is_closed_without_a_word,
    what_ends_within_a_header_is_counted,
    strangers_are_closed_whatever_they_send,
    a_header_must_come_in_time,
    a_trickle_does_not_stretch_the_time_for_a_header,
    connections_are_bounded_by_the_client_of_the_header,
    rates_are_kept_for_the_client_of_the_header,
    the_clients_own_word_counts_only_where_it_is_trusted,
    the_access_log_has_client_and_proxy,
    a_reload_switches_it_for_new_connections,
    why_a_connection_was_refused_is_told_at_debug_level,
    a_drain_does_not_wait_for_headers,
);

fn either_version_names_the_client(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    let v1_6 = b"PROXY TCP6 2001:db8::5 2001:db8::6 1 2\r\n";
    let tlvs = [&INET[..], b"\x02\0\x05a.b.c", b"\xe0\0\x02xy"].concat();
    for (header, client) in [
        (V1.to_vec(), "192.0.2.7"),
        (v1_6.to_vec(), "2001:db8::5"),
        (v2(0x21, 0x11, &INET), "192.0.2.8"),
        (v2(0x21, 0x21, &inet6()), "2001:db8::1"),
        (v2(0x21, 0x11, &tlvs), "192.0.2.8"),
        (checked(&tlvs, 0), "192.0.2.8"),
    ] {
        assert_eq!(client_behind(&gateway, &upstream, &header), client, "{header:?}");
    }
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", REFUSED), 0);
    assert_eq!(stats.listener("web", "/connections/accepted"), 6);
}

fn a_listener_may_want_one_version(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let binary = v2(0x21, 0x11, &INET);
    for (accept, good, bad) in [("v1", V1, &binary[..]), ("v2", &binary[..], V1)] {
        let gateway = start(driver, &upstream, accept, "");
        client_behind(&gateway, &upstream, good);
        let mut client = gateway.connect();
        client.send(bad);
        client.expect_closed();
    }
}

fn the_proxys_own_connections_keep_its_address(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 2001:db8::5 2001:db8::6 1 2\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &INET),
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(client_behind(&gateway, &upstream, &header), "127.0.0.1", "{header:?}");
    }
}

fn a_header_may_come_byte_by_byte(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    for header in [V1.to_vec(), v2(0x21, 0x21, &inet6()), checked(&INET, 0)] {
        let mut client = gateway.connect();
        for byte in header {
            client.send([byte]);
        }
        client.get("/").expect(200);
    }
    let clients: Vec<_> = upstream.requests();
    let clients: Vec<_> = clients.iter().filter_map(|r| r.value("x-forwarded-for")).collect();
    assert_eq!(clients, ["192.0.2.7", "2001:db8::1", "192.0.2.8"]);
}

fn the_requests_of_a_connection_have_one_header(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    let mut client = gateway.connect();
    client.send([V1, ASK.as_bytes(), ASK.as_bytes()].concat());
    client.response().expect(200);
    client.response().expect(200);
    client.get("/").expect(200);
    // A second one is no request.
    client.send(V1);
    client.response().expect_failure(400);
}

fn a_connection_without_a_good_header_is_closed_without_a_word(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    let long_v1 = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let bad: Vec<Vec<u8>> = vec![
        ASK.into(),
        b"\x16\x03\x01\x02\0\x01\0".to_vec(),
        b"\0\xff\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.9 056324 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\n".to_vec(),
        b"PROXY SCTP 192.0.2.7 198.51.100.9 56324 443\r\n".to_vec(),
        long_v1.into(),
        v2(0x31, 0x11, &INET),
        v2(0x22, 0x11, &INET),
        v2(0x21, 0x41, &INET),
        v2(0x21, 0x11, &INET[..11]),
        v2(0x21, 0x11, &[&INET[..], &[2, 0, 9, b'a']].concat()),
        v2(0x21, 0x11, &[0; 5000]),
        checked(&INET, 1),
    ];
    for bytes in &bad {
        let mut client = gateway.connect();
        // The rest of a long one may find the connection gone.
        let _ = client.try_send([bytes, ASK.as_bytes()].concat());
        client.expect_closed();
    }
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", REFUSED), bad.len() as u64);
    assert_eq!(stats.listener("web", "/connections/accepted"), 0);
    upstream.expect_untouched();
    gateway.wait_stats("they are gone", |s| s.connections() == 0);
    let metrics = gateway.admin_get("/metrics").expect(200);
    let line = format!(
        "tollgate_listener_connections_refused_total{{listener=\"web\",reason=\"proxy_protocol\"}} {}",
        bad.len()
    );
    assert!(metrics.text().contains(&line), "{}", metrics.text());
}

fn what_ends_within_a_header_is_counted(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    // As a load balancer looks whether the port is open.
    let mut look = gateway.connect();
    look.half_close();
    look.expect_closed();
    let mut cut = gateway.connect();
    cut.send(&V1[..20]);
    cut.half_close();
    cut.expect_closed();
    assert_eq!(gateway.stats().listener("web", REFUSED), 1);
}

fn strangers_are_closed_whatever_they_send(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    for bytes in [V1, ASK.as_bytes(), b""] {
        let from = IpAddr::from([127, 0, 0, 2]);
        let mut stranger = Client::connect_from(from, gateway.web());
        let _ = stranger.try_send(bytes);
        stranger.expect_closed();
    }
    gateway.wait_stats("all are counted", |s| s.listener("web", REFUSED) == 3);
    upstream.expect_untouched();
}

fn a_header_must_come_in_time(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "header_timeout = \"200ms\"");
    for start in [&b""[..], &V1[..20], &v2(0x21, 0x11, &INET)[..20]] {
        let mut client = gateway.connect();
        client.send(start);
        client.expect_closed();
    }
    assert_eq!(gateway.stats().listener("web", REFUSED), 3);
}

fn a_trickle_does_not_stretch_the_time_for_a_header(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "header_timeout = \"300ms\"");
    let mut client = gateway.connect();
    client.patience(Duration::from_millis(20));
    let header = v2(0x20, 0, &[0; 4000]);
    let busy = gateway.cpu();
    // A byte every 20 ms: the whole would take 80 s.
    let end = header.iter().find_map(|byte| {
        let sent = client.try_send([*byte]);
        match client.rest() {
            Err(Broken::TimedOut) if sent.is_ok() => None,
            end => Some(end),
        }
    });
    assert!(matches!(end, Some(Ok(_) | Err(Broken::Reset))), "{end:?}");
    assert!(gateway.cpu() - busy < Duration::from_millis(250), "it waits, and does not spin");
}

fn connections_are_bounded_by_the_client_of_the_header(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let server = "[server]\nworkers = 2\nwatch = false\nmax_connections_per_client = 1\n";
    let gateway = Gateway::start(driver, format!("{server}{}", text(&upstream, "any", "")));
    let connect = |header: &[u8]| {
        let mut client = gateway.connect();
        client.send([header, ASK.as_bytes()].concat());
        client
    };
    let mut one = connect(V1);
    one.response().expect(200);
    connect(V1).expect_closed();
    let mut other = connect(&v2(0x21, 0x11, &INET));
    other.response().expect(200);
    let stats = gateway.stats();
    assert_eq!(stats.listener("web", "/connections/refused/per_client"), 1);
    assert_eq!(stats.listener("web", "/connections/accepted"), 2);
    drop(one);
    gateway.wait_stats("its place is free", |s| s.connections() == 1);
    connect(V1).response().expect(200);
}

fn rates_are_kept_for_the_client_of_the_header(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let limit = "limits = [{ rate = \"1/h\", key = \"client_ip\" }]";
    let gateway = start(driver, &upstream, "any", limit);
    let mut one = gateway.connect();
    one.send(V1);
    one.get("/").expect(200);
    one.get("/").expect(429);
    let mut again = gateway.connect();
    again.send(b"PROXY TCP4 192.0.2.7 198.51.100.9 1 443\r\n");
    again.get("/").expect(429);
    let mut other = gateway.connect();
    other.send(v2(0x21, 0x11, &INET));
    other.get("/").expect(200);
}

fn the_clients_own_word_counts_only_where_it_is_trusted(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "any", "");
    let ask = |header: &[u8]| {
        let mut client = gateway.connect();
        client.send(header);
        client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n").expect(200);
        let seen = upstream.requests().pop().expect("a request");
        seen.value("x-forwarded-for").expect("X-Forwarded-For").to_owned()
    };
    assert_eq!(ask(V1), "192.0.2.7", "the proxy is trusted, its client is not");
    let trusted = b"PROXY TCP4 127.0.0.1 198.51.100.9 1 443\r\n";
    assert_eq!(ask(trusted), "203.0.113.5, 127.0.0.1");
    // It is not the proxy that speaks, though its address is all that is known.
    assert_eq!(ask(b"PROXY UNKNOWN\r\n"), "127.0.0.1");
    let own = [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..]].concat();
    assert_eq!(ask(&own), "203.0.113.5, 127.0.0.1");
}

fn the_access_log_has_client_and_proxy(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let log = "[access_log]\nformat = \"json\"\n";
    let gateway = Gateway::start(driver, format!("{log}{}", text(&upstream, "any", "")));
    client_behind(&gateway, &upstream, V1);
    let line = gateway.wait_output("a record", |l| l.starts_with('{'));
    let record: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(record["client"], "192.0.2.7", "{line}");
    assert_eq!(record["peer"], "127.0.0.1", "{line}");
}

fn a_reload_switches_it_for_new_connections(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = start(driver, &upstream, "off", "");
    let mut before = gateway.connect();
    before.get("/").expect(200);
    gateway.reload(text(&upstream, "v1", ""));
    before.get("/").expect(200);
    gateway.wait_stats("every worker has it", |_| {
        let mut client = gateway.connect();
        client.send([V1, ASK.as_bytes()].concat());
        client.try_response().is_ok_and(|r| r.status == 200)
    });
}

fn why_a_connection_was_refused_is_told_at_debug_level(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let log = |level: &str| format!("[log]\nlevel = \"{level}\"\n{}", text(&upstream, "any", ""));
    let gateway = Gateway::start(driver, log("info"));
    let refuse = |bytes: &[u8]| {
        let mut client = gateway.connect();
        client.send(bytes);
        client.expect_closed();
    };
    refuse(b"GET / HTTP/1.1\r\n\r\n");
    gateway.reload(log("debug"));
    refuse(&checked(&INET, 1));
    let line = gateway.wait_log("the reason", |l| l.contains("connection refused"));
    assert!(line.contains("a wrong checksum") && line.contains("127.0.0.1:"), "{line}");
}

fn a_drain_does_not_wait_for_headers(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let mut gateway = start(driver, &upstream, "any", "header_timeout = \"1h\"");
    let mut client = gateway.connect();
    gateway.wait_stats("it is accepted", |s| s.connections() == 1);
    gateway.signal(libc::SIGTERM);
    client.expect_closed();
    assert!(gateway.wait_exit().success());
}
