//! Who a client proved to be by its certificate: what routes, limits, edits, upstreams and the log
//! make of it, and that nobody can claim it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{DnType, SanType};
use rustls::{ClientConfig, HandshakeKind, version};
use serde_json::Value;

use crate::harness::{
    BOTH, Client, Driver, Gateway, Head, Made, Response, Signer, Upstream, eventually,
};

both_drivers!(
    a_field_names_the_client,
    what_a_client_claims_never_passes,
    not_even_what_a_trusted_proxy_passes_on,
    the_certificate_goes_upstream_where_that_is_wanted,
    a_route_has_the_last_word_on_the_field,
    the_chain_goes_with_it_where_that_is_wanted,
    a_long_chain_goes_in_front_of_any_content,
    routes_are_for_whom_they_name,
    a_limit_is_kept_by_certificate,
    the_access_log_names_the_client,
    a_resumed_session_is_of_the_same_client,
    a_session_ends_with_its_clients_certificate,
);

struct World {
    signer: Signer,
    upstream: Upstream,
    gateway: Gateway,
}

/// A gateway that asks for certificates on one listener and speaks plain HTTP on another.
fn world(driver: Driver, forward: &str, tables: &str) -> World {
    let (signer, upstream) = (Signer::new(), Upstream::saying("ok"));
    let own = signer.certify(&["a.example"]);
    let text = format!(
        "[server]\nworkers = 2\n\
         [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
         trusted_proxies = [\"127.0.0.2\"]\nhttp = {{ underscores_in_headers = true }}\n\
         [[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n\
         http = {{ underscores_in_headers = true }}\n\
         [listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n\
         client_certificates = {{ mode = \"optional\", ca = \"ca.pem\", forward = \"{forward}\" }}\n\
         [upstreams.app]\ntargets = [\"{}\"]\n{tables}",
        upstream.address
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("ca.pem", signer.pem())
        .start();
    World { signer, upstream, gateway }
}

const ALL: &str = "[[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n";

/// An edit that tells the upstream of all there is.
const TELLING: &str = "[[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
    [routes.request_headers.set]\nx-client = \"{client_cert_subject}|{client_cert_san_dns}|\
    {client_cert_san_uri}|{client_cert_fingerprint}|{client_cert_serial}\"\n";

impl World {
    fn certify(&self, common_name: &str, host: &str) -> Made {
        self.signer.certify_with(&[host], |params| {
            params.distinguished_name.push(DnType::CommonName, common_name);
            let uri = format!("spiffe://example/{common_name}");
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().expect("a URI")));
            params.serial_number = Some(vec![0x0a, 0xbc].into());
        })
    }

    fn connect(&self, tls: &Arc<ClientConfig>) -> Client {
        Client::connect_tls(self.gateway.address("secure"), tls, "a.example")
    }

    #[track_caller]
    fn ask(&self, tls: &Arc<ClientConfig>, path: &str, fields: &str) -> Response {
        let mut client = self.connect(tls);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
        client.response()
    }

    fn orders(&self) -> (Made, Arc<ClientConfig>) {
        let made = self.certify("orders", "orders.example");
        let tls = self.signer.client_with(&made);
        (made, tls)
    }

    fn nobody(&self) -> Arc<ClientConfig> {
        self.signer.client(BOTH)
    }

    fn seen(&self, n: usize) -> Head {
        self.upstream.wait_for_request(n).head
    }
}

fn a_field_names_the_client(driver: Driver) {
    let world = world(driver, "off", TELLING);
    let (made, tls) = world.orders();
    world.ask(&tls, "/", "X-Client: me\r\nx_client: me\r\n").expect(200);
    let told =
        format!("CN=orders|orders.example|spiffe://example/orders|{}|0abc", made.fingerprint());
    let head = world.seen(1);
    assert_eq!(head.values("x-client"), [told.as_str()]);
    assert!(!head.has("x_client"), "{head:?}");
    assert!(!head.has("client-cert"));
    // Without a certificate there is nobody.
    world.ask(&world.nobody(), "/", "X-Client: me\r\n").expect(200);
    assert_eq!(world.seen(2).values("x-client"), ["||||"]);
    world.gateway.once("GET / HTTP/1.1\r\nHost: a\r\nX-Client: me\r\n\r\n").expect(200);
    assert_eq!(world.seen(3).values("x-client"), ["||||"]);
}

const CLAIMS: &str = "Client-Cert: :AAAA:\r\nCLIENT-CERT: :BBBB:\r\nclient_cert: :CCCC:\r\n\
    Client-Cert-Chain: :DDDD:\r\nclient_cert-Chain: :EEEE:\r\nConnection: client-cert\r\n";

#[track_caller]
fn expect_no_claim(head: &Head) {
    let names = ["client-cert", "client_cert", "client-cert-chain", "client_cert-chain"];
    assert!(names.iter().all(|name| !head.has(name)), "{head:?}");
}

fn what_a_client_claims_never_passes(driver: Driver) {
    let world = world(driver, "off", ALL);
    let (_, tls) = world.orders();
    world.ask(&tls, "/", CLAIMS).expect(200);
    world.ask(&world.nobody(), "/", CLAIMS).expect(200);
    world.gateway.once(&format!("GET / HTTP/1.1\r\nHost: a\r\n{CLAIMS}\r\n")).expect(200);
    for n in 1..=3 {
        expect_no_claim(&world.seen(n));
    }
    // Nor behind the content.
    let mut client = world.gateway.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\
         Client-Cert: :AAAA:\r\nX-Sum: 1\r\n\r\n",
    );
    client.response().expect(200);
    let trailers = world.upstream.wait_for_request(4).trailers;
    assert!(trailers.iter().all(|(name, _)| name != "client-cert"), "{trailers:?}");
}

fn not_even_what_a_trusted_proxy_passes_on(driver: Driver) {
    let world = world(driver, "certificate", ALL);
    let from = "127.0.0.2".parse().expect("an address");
    let mut proxy = Client::connect_from(from, world.gateway.web());
    proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n{CLAIMS}\r\n"));
    proxy.response().expect(200);
    let head = world.seen(1);
    assert_eq!(head.value("x-forwarded-for"), Some("192.0.2.1, 127.0.0.2"));
    expect_no_claim(&head);
}

fn the_certificate_goes_upstream_where_that_is_wanted(driver: Driver) {
    let world = world(driver, "certificate", ALL);
    let (made, tls) = world.orders();
    world.ask(&tls, "/", CLAIMS).expect(200);
    let head = world.seen(1);
    assert_eq!(head.values("client-cert"), [made.byte_sequence().as_str()]);
    assert!(!head.has("client-cert-chain") && !head.has("client_cert"), "{head:?}");
    world.ask(&world.nobody(), "/", CLAIMS).expect(200);
    expect_no_claim(&world.seen(2));
}

fn a_route_has_the_last_word_on_the_field(driver: Driver) {
    let removing = format!("{ALL}request_headers = {{ remove = [\"client-cert\"] }}\n");
    let world = world(driver, "certificate", &removing);
    let (_, tls) = world.orders();
    world.ask(&tls, "/", CLAIMS).expect(200);
    expect_no_claim(&world.seen(1));
}

fn the_chain_goes_with_it_where_that_is_wanted(driver: Driver) {
    let world = world(driver, "chain", ALL);
    let (made, _) = world.orders();
    let tls = world.signer.client_with_chain(&made);
    world.ask(&tls, "/", CLAIMS).expect(200);
    let head = world.seen(1);
    assert_eq!(head.values("client-cert"), [made.byte_sequence().as_str()]);
    assert_eq!(head.values("client-cert-chain"), [world.signer.byte_sequence().as_str()]);
}

/// What goes upstream is longer than what came, by any length.
fn a_long_chain_goes_in_front_of_any_content(driver: Driver) {
    let world = world(driver, "chain", ALL);
    let names: Vec<String> = (0..800).map(|n| format!("name-{n}.clients.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let made = world.signer.certify(&names);
    let mut client = world.connect(&world.signer.client_with_chain(&made));
    for (n, length) in [0, 10, 3000, 9000, 100_000].into_iter().enumerate() {
        let content = "x".repeat(length);
        let head =
            format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n");
        client.send(head + &content);
        client.response().expect(200);
        let seen = world.upstream.wait_for_request(n + 1);
        assert_eq!(seen.head.values("client-cert"), [made.byte_sequence().as_str()]);
        assert!(seen.body == content.as_bytes(), "{length}");
    }
}

fn routes_are_for_whom_they_name(driver: Driver) {
    let route = |name: &str, test: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nclient_certificate = {test}\n\
             respond = {{ status = 200 }}\n"
        )
    };
    let tables = [
        route("subject", "{ subject = \"CN=orders\" }"),
        route("dns", "{ san_dns = [\"other.example\", \"Orders.example\"] }"),
        route("uri", "{ san_uri = \"spiffe://example/orders\" }"),
        route("both", "{ subject = \"CN=orders\", san_dns = \"other.example\" }"),
        route("address", "{ san_ip = \"192.0.2.1\" }"),
    ];
    let world = world(driver, "off", &tables.concat());
    let (made, orders) = world.orders();
    let other = world.signer.client_with(&world.certify("other", "other.example"));
    for (path, status_of_orders, status_of_other) in [
        ("/subject", 200, 404),
        ("/dns", 200, 200),
        ("/uri", 200, 404),
        ("/both", 404, 404),
        ("/address", 404, 404),
    ] {
        assert_eq!(world.ask(&orders, path, "").status, status_of_orders, "{path}");
        assert_eq!(world.ask(&other, path, "").status, status_of_other, "{path}");
        world.ask(&world.nobody(), path, "").expect_failure(404);
        world.gateway.get(path).expect_failure(404);
    }
    let text = std::fs::read_to_string(world.gateway.config()).expect("the file");
    let pinned = format!("{{ fingerprint = \"{}\" }}", made.fingerprint().to_uppercase());
    world.gateway.reload(text + &route("pinned", &pinned));
    world.ask(&orders, "/pinned", "").expect(200);
    world.ask(&other, "/pinned", "").expect_failure(404);
}

fn a_limit_is_kept_by_certificate(driver: Driver) {
    let limited = |path: &str, key: &str| {
        format!(
            "[[routes]]\nname = \"{path}\"\npath = \"/{path}\"\nrespond = {{ status = 200 }}\n\
             limits = [{{ rate = \"1/h\", key = \"{key}\" }}]\n"
        )
    };
    let tables =
        limited("own", "client_certificate") + &limited("subject", "client_certificate:subject");
    let world = world(driver, "off", &tables);
    let (_, first) = world.orders();
    // The same subject in another certificate.
    let (_, second) = world.orders();
    for path in ["/own", "/subject"] {
        world.ask(&first, path, "").expect(200);
        world.ask(&first, path, "").expect(429);
        // Those without one are one client.
        world.ask(&world.nobody(), path, "").expect(200);
        world.gateway.get(path).expect(429);
    }
    world.ask(&second, "/own", "").expect(200);
    world.ask(&second, "/subject", "").expect(429);
}

fn the_access_log_names_the_client(driver: Driver) {
    let world = world(driver, "off", &format!("[access_log]\nformat = \"json\"\n{ALL}"));
    let (made, tls) = world.orders();
    world.ask(&tls, "/known", "").expect(200);
    world.ask(&world.nobody(), "/unknown", "").expect(200);
    let record = |path: &str| -> Value {
        let line = world.gateway.wait_output("a record", |line| line.contains(path));
        serde_json::from_str(&line).expect("JSON")
    };
    let known = record("/known");
    assert_eq!(known["client_cert_subject"], "CN=orders", "{known}");
    assert_eq!(known["client_cert_fingerprint"], made.fingerprint(), "{known}");
    assert_eq!(known["client_cert_san_dns"], "orders.example", "{known}");
    assert_eq!(known["client_cert_serial"], "0abc", "{known}");
    let unknown = record("/unknown");
    assert_eq!(unknown.get("client_cert_subject"), None, "{unknown}");
}

fn a_resumed_session_is_of_the_same_client(driver: Driver) {
    let world = world(driver, "certificate", TELLING);
    for only in [&version::TLS12, &version::TLS13] {
        let made = world.certify("orders", "orders.example");
        let tls = world.signer.client_with_versions(&made, &[only]);
        let before = world.upstream.count();
        for n in 1..=3 {
            let mut client = world.connect(&tls);
            client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
            client.response().expect(200);
            let kind = client.tls().connection.handshake_kind();
            assert_eq!(kind == Some(HandshakeKind::Resumed), n > 1, "{kind:?}");
            let head = world.seen(before + n);
            let told = head.value("x-client").expect("the field").to_owned();
            assert!(told.contains(&made.fingerprint()), "{told}");
            assert_eq!(head.values("client-cert"), [made.byte_sequence().as_str()]);
        }
    }
}

fn a_session_ends_with_its_clients_certificate(driver: Driver) {
    let world = world(driver, "off", ALL);
    for only in [&version::TLS12, &version::TLS13] {
        let made = world.signer.certify_with(&["orders.example"], |params| {
            params.not_after = (SystemTime::now() + Duration::from_secs(3)).into();
        });
        let tls = world.signer.client_with_versions(&made, &[only]);
        let secure = world.gateway.address("secure");
        let ask = || {
            let mut client = Client::try_connect_tls(secure, &tls, "a.example").ok()?;
            client.try_send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").ok()?;
            client.try_response().ok()?;
            client.tls().connection.handshake_kind()
        };
        assert_eq!(ask(), Some(HandshakeKind::Full));
        assert_eq!(ask(), Some(HandshakeKind::Resumed));
        // Each session would go on in the next, for ever.
        eventually("it can't be resumed any more", || ask().is_none());
    }
}
