//! TLS that is passed on by the name that the client asks for: the target's certificate is what the
//! client sees.

use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::harness::{BOTH, Client, Driver, Gateway, Peer, Signer, Upstream, ok};

both_drivers!(
    each_name_goes_to_its_upstream,
    a_name_of_nobody_is_closed_without_a_byte,
    some_names_are_passed_on_and_others_served,
    a_served_port_tells_who_speaks_no_tls,
    a_hello_may_come_byte_by_byte,
    what_is_no_hello_goes_with_the_rest,
    what_is_no_hello_is_closed_where_there_is_no_rest,
    a_hello_has_its_time,
    half_a_hello_holds_bounded_memory,
    a_look_at_the_port_is_no_failure,
    a_proxy_header_goes_before_the_hello,
    a_proxy_header_comes_before_the_hello,
    a_drain_does_not_wait_for_hellos,
);

/// Answers requests over TLS with its name, by a certificate for these.
fn server(signer: &Signer, names: &[&str], name: &'static str) -> Upstream {
    Upstream::tls(signer.server(&signer.certify(names)), move |peer| {
        peer.serve(ok(name).as_bytes())
    })
}

const TCP: &str = "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nmode = \"tcp\"\n";

/// An entry for these names, or for the rest, and its upstream.
fn entry(names: &str, name: &str, upstream: &Upstream) -> String {
    let names =
        if names.is_empty() { String::new() } else { format!("server_names = [{names}]\n") };
    format!("[[listeners.forward]]\n{names}upstream = \"{name}\"\n{}", target(name, upstream))
}

fn target(name: &str, upstream: &Upstream) -> String {
    format!("[upstreams.{name}]\ntargets = [\"{}\"]\n", upstream.address)
}

/// Who answers a client that trusts `signer` and asks for this name.
#[track_caller]
fn answerer(gateway: &Gateway, signer: &Signer, name: &str) -> String {
    let mut client = Client::connect_tls(gateway.web(), &signer.client(BOTH), name);
    client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
    client.response().expect(200).text()
}

/// The first message of a client that asks for this name; an address is asked for by none.
fn hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Signer::new().client(BOTH), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory");
    bytes
}

/// Reads so many bytes, and says them back.
fn saying_back(n: usize) -> Upstream {
    Upstream::new(move |peer: &mut Peer| {
        let bytes = peer.exactly(n);
        peer.send(bytes);
        peer.wait_closed();
    })
}

#[track_caller]
fn wait_failures(gateway: &Gateway, name: &str, n: u64) {
    gateway.wait_stats("failures are counted", |s| {
        s.0.pointer(&format!("/gateway/failures/{name}")).is_some_and(|count| count == n)
    });
}

fn each_name_goes_to_its_upstream(driver: Driver) {
    let signer = Signer::new();
    let exact = server(&signer, &["a.example", "b.example"], "exact");
    let below = server(&signer, &["x.example", "y.x.example"], "below");
    let rest = server(&signer, &["other.test"], "rest");
    let gateway = Gateway::start(
        driver,
        [
            TCP,
            &entry("\"a.example\", \"B.example\"", "exact", &exact),
            &entry("\"*.example\"", "below", &below),
            &entry("", "rest", &rest),
        ]
        .concat(),
    );
    for (name, upstream) in [
        ("a.example", "exact"),
        ("b.example", "exact"),
        ("x.example", "below"),
        ("y.x.example", "below"),
        ("other.test", "rest"),
    ] {
        assert_eq!(answerer(&gateway, &signer, name), upstream, "{name}");
    }
    gateway.wait_stats("they are counted", |s| {
        s.listener("web", "/forwarded/connections") == 5
            && s.listener("web", "/forwarded/open") == 0
            && s.listener("web", "/requests") == 0
            && s.upstream("exact", "/requests") == 2
    });
}

fn a_name_of_nobody_is_closed_without_a_byte(driver: Driver) {
    let signer = Signer::new();
    let one = server(&signer, &["a.example"], "one");
    let gateway = Gateway::start(driver, [TCP, &entry("\"a.example\"", "one", &one)].concat());
    for name in ["b.example", "x.a.example", "192.0.2.1"] {
        let mut client = gateway.connect();
        client.send(hello(name));
        client.expect_closed();
    }
    wait_failures(&gateway, "no_forward", 3);
    assert_eq!(gateway.stats().listener("web", "/forwarded/failed"), 3);
    assert_eq!(one.connections(), 0);
    assert_eq!(answerer(&gateway, &signer, "a.example"), "one");
}

/// A gateway that serves `served.example` and passes `passed.example` on.
fn mixed(driver: Driver, signer: &Signer, passed: &Upstream, app: &Upstream) -> Gateway {
    let own = signer.certify(&["served.example"]);
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n[listeners.tls]\n\
         certificates = [{{ certificate = \"own.pem\", key = \"own.key\" }}]\n\
         handshake_timeout = \"2s\"\n{}{}[[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
        entry("\"passed.example\"", "passed", passed),
        target("app", app),
    );
    Gateway::with(driver, text)
        .file("own.pem", own.certificate.as_str())
        .file("own.key", own.key.as_str())
        .start()
}

fn some_names_are_passed_on_and_others_served(driver: Driver) {
    let signer = Signer::new();
    let (passed, app) =
        (server(&signer, &["passed.example"], "passed"), Upstream::saying("served"));
    let gateway = mixed(driver, &signer, &passed, &app);
    for _ in 0..3 {
        assert_eq!(answerer(&gateway, &signer, "served.example"), "served");
        assert_eq!(answerer(&gateway, &signer, "passed.example"), "passed");
    }
    assert_eq!(app.count(), 3);
    gateway.wait_stats("each by its kind", |s| {
        s.listener("web", "/tls_handshakes/full") + s.listener("web", "/tls_handshakes/resumed")
            == 3
            && s.listener("web", "/requests") == 3
            && s.listener("web", "/forwarded/connections") == 3
    });
}

fn a_served_port_tells_who_speaks_no_tls(driver: Driver) {
    let signer = Signer::new();
    let (passed, app) =
        (server(&signer, &["passed.example"], "passed"), Upstream::saying("served"));
    let gateway = mixed(driver, &signer, &passed, &app);
    let mut plain = gateway.connect();
    plain.ask("GET / HTTP/1.1\r\nHost: served.example\r\n\r\n").expect(400);
    let mut silent = gateway.connect();
    let mut half = gateway.connect();
    half.send(&hello("served.example")[..50]);
    half.expect_ended();
    silent.expect_ended();
    let mut cut = gateway.connect();
    cut.send(&hello("passed.example")[..50]);
    cut.half_close();
    cut.expect_ended();
    gateway
        .wait_stats("as failed handshakes", |s| s.listener("web", "/tls_handshakes/failed") == 4);
    assert_eq!(gateway.stats().listener("web", "/forwarded/failed"), 0);
}

fn a_hello_may_come_byte_by_byte(driver: Driver) {
    let hello = hello("a.example");
    let upstream = saying_back(hello.len());
    let gateway = Gateway::start(driver, [TCP, &entry("\"a.example\"", "one", &upstream)].concat());
    let mut client = gateway.connect();
    for byte in &hello {
        client.send([*byte]);
    }
    assert!(client.exactly(hello.len()) == hello, "not as it came");
    gateway.wait_stats("its bytes are counted", |s| {
        s.listener("web", "/bytes_in") == hello.len() as u64
            && s.listener("web", "/bytes_out") == hello.len() as u64
    });
}

/// What is no ClientHello with a name.
fn others() -> Vec<Vec<u8>> {
    let named = hello("a.example");
    // The name's last byte is no letter any more.
    let at = named.windows(9).position(|part| part == b"a.example").expect("the name") + 8;
    let mut bad_name = named.clone();
    bad_name[at] = b'!';
    vec![
        hello("192.0.2.1"),
        bad_name,
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec(),
        vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0],
        vec![22, 3, 1, 0, 0],
    ]
}

fn what_is_no_hello_goes_with_the_rest(driver: Driver) {
    let named = server(&Signer::new(), &["a.example"], "named");
    for bytes in others() {
        let rest = saying_back(bytes.len());
        let entries = [entry("\"a.example\"", "named", &named), entry("", "rest", &rest)];
        let gateway = Gateway::start(driver, [TCP, &entries.concat()].concat());
        let mut client = gateway.connect();
        client.send(&bytes);
        assert!(client.exactly(bytes.len()) == bytes, "{bytes:?}");
    }
    assert_eq!(named.connections(), 0);
}

fn what_is_no_hello_is_closed_where_there_is_no_rest(driver: Driver) {
    let named = server(&Signer::new(), &["a.example"], "named");
    let gateway = Gateway::start(driver, [TCP, &entry("\"a.example\"", "named", &named)].concat());
    let mut others = others();
    // One whose end never comes: too much of it in tiny records.
    others.push([&[22, 3, 1, 0, 4, 1, 0, 0x3f, 0][..], &[22, 3, 1, 0, 1, 0].repeat(3000)].concat());
    for bytes in &others {
        let mut client = gateway.connect();
        let _ = client.try_send(bytes);
        client.expect_closed();
    }
    wait_failures(&gateway, "no_forward", others.len() as u64);
    assert_eq!(named.connections(), 0);
    gateway.wait_stats("nothing is left", |s| {
        s.connections() == 0 && s.number("/gateway/buffer_bytes") == 0
    });
}

fn a_hello_has_its_time(driver: Driver) {
    let named = server(&Signer::new(), &["a.example"], "named");
    let text = [TCP, "header_timeout = \"300ms\"\n", &entry("\"a.example\"", "named", &named)];
    let gateway = Gateway::start(driver, text.concat());
    let hello = hello("a.example");
    for sent in [0, 1, 5, hello.len() - 1] {
        let mut client = gateway.connect();
        client.send(&hello[..sent]);
        client.expect_closed();
    }
    wait_failures(&gateway, "hello_timeout", 4);
    assert_eq!(named.connections(), 0);
}

fn half_a_hello_holds_bounded_memory(driver: Driver) {
    let named = server(&Signer::new(), &["a.example"], "named");
    let server = "[server]\nworkers = 1\nwatch = false\nmax_buffer_memory = \"1MiB\"\n";
    let text = [server, TCP, &entry("\"a.example\"", "named", &named)];
    let gateway = Gateway::start(driver, text.concat());
    let half = [&[22, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c][..], &[0; 9000]].concat();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..200 {
        let mut client = gateway.connect();
        // Those beyond the bound may be gone before they have sent it all.
        let _ = client.try_send(&half);
        clients.push(client);
    }
    gateway.wait_stats("some are refused", |s| {
        s.0.pointer("/gateway/failures/overloaded").is_some_and(|n| n.as_u64() >= Some(50))
    });
    assert!(gateway.stats().number("/gateway/buffer_bytes") < 2 << 20);
    drop(clients);
    gateway.wait_stats("nothing is left", |s| s.number("/gateway/buffer_bytes") == 0);
}

fn a_look_at_the_port_is_no_failure(driver: Driver) {
    let named = server(&Signer::new(), &["a.example"], "named");
    let gateway = Gateway::start(driver, [TCP, &entry("\"a.example\"", "named", &named)].concat());
    let mut look = gateway.connect();
    look.half_close();
    look.expect_closed();
    let mut cut = gateway.connect();
    cut.send([22, 3]);
    cut.half_close();
    cut.expect_closed();
    wait_failures(&gateway, "client_gone", 1);
    assert_eq!(gateway.stats().listener("web", "/forwarded/failed"), 1);
}

/// Answers over TLS with the header that came before it.
fn introduced(signer: &Signer) -> Upstream {
    let config = Arc::clone(&signer.server(&signer.certify(&["a.example"])));
    Upstream::new(move |peer| {
        let header = peer.proxy_header().expect("a PROXY header");
        assert!(peer.begin_tls(&config), "no TLS behind the header");
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", header.len()));
        peer.send(&header);
    })
}

fn a_proxy_header_goes_before_the_hello(driver: Driver) {
    let signer = Signer::new();
    let upstream = introduced(&signer);
    let entry = entry("\"a.example\"", "one", &upstream);
    let text = [TCP, &entry, "proxy_protocol = \"v2\"\n"].concat();
    let gateway = Gateway::start(driver, text);
    let mut client = Client::connect_tls(gateway.web(), &signer.client(BOTH), "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let header = client.response().expect(200).body;
    let (from, to, authority) = super::proxy_protocol_out::read_v2(&header);
    assert_eq!((from.ip(), to), (gateway.web().ip(), gateway.web()));
    assert_eq!(authority.as_deref(), Some("a.example"));
}

fn a_proxy_header_comes_before_the_hello(driver: Driver) {
    let signer = Signer::new();
    let upstream = introduced(&signer);
    let entry = entry("\"a.example\"", "one", &upstream);
    let keys = "proxy_protocol = \"any\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let text = [TCP, keys, &entry, "proxy_protocol = \"v2\"\n"].concat();
    let gateway = Gateway::start(driver, text);
    let first = b"PROXY TCP4 192.0.2.7 198.51.100.9 56324 443\r\n";
    let tls = signer.client(BOTH);
    let mut client = Client::connect_tls_behind(gateway.web(), first, &tls, "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let header = client.response().expect(200).body;
    let (from, to, authority) = super::proxy_protocol_out::read_v2(&header);
    assert_eq!(
        (from.to_string(), to.to_string()),
        ("192.0.2.7:56324".into(), "198.51.100.9:443".into())
    );
    assert_eq!(authority.as_deref(), Some("a.example"));
    let mut bare = gateway.connect();
    bare.send(hello("a.example"));
    bare.expect_closed();
}

fn a_drain_does_not_wait_for_hellos(driver: Driver) {
    let named = server(&Signer::new(), &["a.example"], "named");
    let text = [TCP, "header_timeout = \"1h\"\n", &entry("\"a.example\"", "named", &named)];
    let mut gateway = Gateway::start(driver, text.concat());
    let mut client = gateway.connect();
    gateway.wait_stats("it waits", |s| s.connections() == 1);
    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait_exit().success());
    client.expect_closed();
}
