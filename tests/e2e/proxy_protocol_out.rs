//! PROXY headers that go upstream, and whose connections they begin.

use std::net::SocketAddr;

use crate::harness::{Client, Driver, Gateway, Upstream, forward_all};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n";

/// Answers each request with the header of its connection.
fn introduced() -> Upstream {
    Upstream::new(|peer| {
        let header = peer.proxy_header().expect("a PROXY header");
        while peer.next_request().is_some() {
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", header.len()));
            peer.send(&header);
        }
    })
}

fn text(upstream: &Upstream, keys: &str) -> String {
    let routed = forward_all(&upstream.address);
    routed.replacen("\n\n[[routes]]", &format!("\n{keys}\n\n[[routes]]"), 1)
}

fn start(driver: Driver, upstream: &Upstream, version: &str) -> Gateway {
    one_worker(driver, &text(upstream, &format!("proxy_protocol = \"{version}\"")))
}

/// With one worker, so that nothing but the client keeps connections apart.
fn one_worker(driver: Driver, text: &str) -> Gateway {
    Gateway::start(driver, format!("[server]\nworkers = 1\nwatch = false\n{text}"))
}

fn line(client: SocketAddr, gateway: SocketAddr) -> String {
    let family = if client.is_ipv4() { 4 } else { 6 };
    let (from, to) = (client.ip(), gateway.ip());
    format!("PROXY TCP{family} {from} {to} {} {}\r\n", client.port(), gateway.port())
}

/// What a header of version 2 with IPv4 addresses says; fails where its checksum is wrong.
pub(crate) fn read_v2(header: &[u8]) -> (SocketAddr, SocketAddr, Option<String>) {
    assert_eq!(&header[..14], b"\r\n\r\n\0\r\nQUIT\n\x21\x11");
    let address = |ip: usize, port: usize| {
        let ip: [u8; 4] = header[ip..ip + 4].try_into().expect("an address");
        SocketAddr::from((ip, u16::from_be_bytes([header[port], header[port + 1]])))
    };
    let (mut at, mut authority, mut checked) = (28, None, false);
    while at < header.len() {
        let length = usize::from(u16::from_be_bytes([header[at + 1], header[at + 2]]));
        let value = &header[at + 3..at + 3 + length];
        match header[at] {
            2 => authority = Some(String::from_utf8(value.to_vec()).expect("a name")),
            3 => {
                let zeroed = [&header[..at + 3], &[0; 4], &header[at + 7..]].concat();
                assert_eq!(value, super::proxy_protocol::crc32c(&zeroed).to_be_bytes());
                checked = true;
            }
            other => panic!("TLV {other}"),
        }
        at += 3 + length;
    }
    assert!(checked, "no checksum");
    (address(16, 24), address(20, 26), authority)
}

both_drivers!(
    version_1_says_who_and_where_to,
    version_2_says_it_with_host_and_checksum,
    ipv6_is_written_as_such,
    a_client_keeps_its_connection,
    two_clients_never_share,
    content_follows_header_and_head,
    another_host_is_another_connection,
    what_a_proxy_said_is_said_on,
    tls_at_the_proxy_is_https,
    a_silent_client_keeps_none,
    none_is_kept_where_none_may_idle,
    one_that_died_is_replaced_by_another_of_the_same_client,
    a_reload_takes_it_up,
);

fn version_1_says_who_and_where_to(driver: Driver) {
    let upstream = introduced();
    let gateway = start(driver, &upstream, "v1");
    let mut client = gateway.connect();
    let seen = client.ask(ASK).expect(200);
    assert_eq!(seen.text(), line(client.address(), gateway.web()));
}

fn version_2_says_it_with_host_and_checksum(driver: Driver) {
    let upstream = introduced();
    let gateway = start(driver, &upstream, "v2");
    let mut client = gateway.connect();
    let seen = client.ask(ASK).expect(200);
    let said = (client.address(), gateway.web(), Some("a.example".to_owned()));
    assert_eq!(read_v2(&seen.body), said);
    let mut old = gateway.connect();
    let seen = old.ask("GET / HTTP/1.0\r\n\r\n").expect(200);
    assert_eq!(read_v2(&seen.body), (old.address(), gateway.web(), None));
}

fn ipv6_is_written_as_such(driver: Driver) {
    let upstream = introduced();
    let web = "[[listeners]]\nname = \"web\"\nlisten = \"[::1]:0\"\n";
    let gateway =
        one_worker(driver, &format!("{web}{}", text(&upstream, "proxy_protocol = \"v1\"")));
    let mut client = gateway.connect();
    let seen = client.ask(ASK).expect(200);
    assert_eq!(seen.text(), line(client.address(), gateway.web()));
}

fn a_client_keeps_its_connection(driver: Driver) {
    let upstream = introduced();
    let gateway = start(driver, &upstream, "v2");
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.ask(ASK).expect(200);
    }
    // Pipelined ones as well.
    client.send(ASK.repeat(3));
    for _ in 0..3 {
        let seen = client.response().expect(200);
        assert_eq!(read_v2(&seen.body).0, client.address());
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.count(), 6);
    drop(client);
    upstream.wait_for_ends(1);
}

fn two_clients_never_share(driver: Driver) {
    for version in ["v1", "v2"] {
        let upstream = introduced();
        let gateway = start(driver, &upstream, version);
        let own = |client: &mut Client| {
            let seen = client.ask(ASK).expect(200);
            let port = match version {
                "v1" => seen.text().split(' ').nth(4).and_then(|p| p.parse().ok()),
                _ => Some(read_v2(&seen.body).0.port()),
            };
            assert_eq!(port, Some(client.address().port()), "{version}");
        };
        let mut clients: Vec<Client> = (0..4).map(|_| gateway.connect()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(own);
        }
        assert_eq!(upstream.connections(), 4, "each has one of its own");
        // What those leave behind is nobody's.
        drop(clients);
        upstream.wait_for_ends(4);
        own(&mut gateway.connect());
        assert_eq!(upstream.connections(), 5);
    }
}

fn content_follows_header_and_head(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.proxy_header().expect("a PROXY header");
        let request = peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
        peer.send(&request.body);
    });
    let gateway = start(driver, &upstream, "v2");
    // Beside the head, apart from it, and streamed.
    for size in [5, 3_000, 300_000] {
        let body: String = ('a'..='z').cycle().take(size).collect();
        let head = "POST / HTTP/1.1\r\nHost: a.example\r\n";
        let plain = format!("{head}Content-Length: {size}\r\n\r\n{body}");
        assert_eq!(gateway.once(&plain).expect(200).text(), body);
        let chunked =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n");
        assert_eq!(gateway.once(&chunked).expect(200).text(), body);
    }
}

fn another_host_is_another_connection(driver: Driver) {
    let upstream = introduced();
    let gateway = start(driver, &upstream, "v2");
    let mut client = gateway.connect();
    for host in ["a.example", "b.example", "b.example:8080", "a.example"] {
        let seen = client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect(200);
        let (_, _, authority) = read_v2(&seen.body);
        assert_eq!(authority.as_deref(), host.split(':').next());
    }
    assert_eq!(upstream.connections(), 3);
}

/// A listener that takes headers, in front of an upstream that gets them.
fn in_and_out(driver: Driver, upstream: &Upstream) -> Gateway {
    let web = "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nproxy_protocol = \"any\"\n\
               trusted_proxies = [\"127.0.0.1\"]\n";
    one_worker(driver, &format!("{web}{}", text(upstream, "proxy_protocol = \"v2\"")))
}

fn what_a_proxy_said_is_said_on(driver: Driver) {
    let upstream = introduced();
    let gateway = in_and_out(driver, &upstream);
    let mut client = gateway.connect();
    let block = [192, 0, 2, 8, 198, 51, 100, 9, 0xdc, 4, 1, 0xbb];
    let rest = [&block[..], b"\x02\0\x05a.b.c"].concat();
    client.send(super::proxy_protocol::v2(0x21, 0x11, &rest));
    for _ in 0..2 {
        let seen = client.ask(ASK).expect(200);
        let (source, destination, authority) = read_v2(&seen.body);
        assert_eq!(source.to_string(), "192.0.2.8:56324");
        assert_eq!(destination.to_string(), "198.51.100.9:443");
        assert_eq!(authority.as_deref(), Some("a.b.c"));
    }
    let mut own = gateway.connect();
    own.send("PROXY UNKNOWN\r\n");
    let seen = own.ask(ASK).expect(200);
    let said = (own.address(), gateway.web(), Some("a.example".to_owned()));
    assert_eq!(read_v2(&seen.body), said);
}

fn tls_at_the_proxy_is_https(driver: Driver) {
    let upstream = introduced();
    let gateway = in_and_out(driver, &upstream);
    for (flags, scheme) in [(1, "https"), (0, "http")] {
        let mut client = gateway.connect();
        let tls = [0x20, 0, 5, flags, 0, 0, 0, 0];
        client.send(super::proxy_protocol::v2(0x21, 0x00, &tls));
        client.ask(ASK).expect(200);
        let seen = upstream.requests().pop().expect("a request");
        assert_eq!(seen.value("x-forwarded-proto"), Some(scheme));
    }
}

fn a_silent_client_keeps_none(driver: Driver) {
    let upstream = introduced();
    let gateway = start(driver, &upstream, "v1");
    let mut client = gateway.connect();
    client.ask(ASK).expect(200);
    upstream.wait_for_ends(1);
    client.ask(ASK).expect(200);
    assert_eq!(upstream.connections(), 2);
}

fn none_is_kept_where_none_may_idle(driver: Driver) {
    let upstream = introduced();
    let keys = "proxy_protocol = \"v1\"\nmax_idle = 0";
    let gateway = one_worker(driver, &text(&upstream, keys));
    let mut client = gateway.connect();
    client.ask(ASK).expect(200);
    client.ask(ASK).expect(200);
    assert_eq!(upstream.connections(), 2);
}

fn one_that_died_is_replaced_by_another_of_the_same_client(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let header = peer.proxy_header().expect("a PROXY header");
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", header.len()));
        peer.send(&header);
    });
    let gateway = start(driver, &upstream, "v1");
    let mut client = gateway.connect();
    for n in 1..=3 {
        let seen = client.ask(ASK).expect(200);
        assert_eq!(seen.text(), line(client.address(), gateway.web()));
        upstream.wait_for_finished(n);
    }
}

fn a_reload_takes_it_up(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        let header = peer.proxy_header().unwrap_or_default();
        while peer.next_request().is_some() {
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", header.len()));
            peer.send(&header);
        }
    });
    let server = "[server]\nworkers = 1\nwatch = false\n";
    let config = |keys: &str| format!("{server}{}", text(&upstream, keys));
    let gateway = Gateway::start(driver, config(""));
    let mut client = gateway.connect();
    assert_eq!(client.ask(ASK).expect(200).text(), "");
    // What was pooled without a header is not taken for one with.
    gateway.reload(config("proxy_protocol = \"v1\""));
    let own = line(client.address(), gateway.web());
    assert_eq!(client.ask(ASK).expect(200).text(), own);
    gateway.reload(config("proxy_protocol = \"v2\""));
    let seen = client.ask(ASK).expect(200);
    assert_eq!(read_v2(&seen.body).0, client.address());
    // And one with a header is not left to others.
    gateway.reload(config("proxy_protocol = \"off\""));
    assert_eq!(client.ask(ASK).expect(200).text(), "");
}
