//! Requests in early data (0-RTT): which are served, what upstreams are told, and that none is served
//! twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::harness::{BOTH, Client, Driver, Gateway, PATIENCE, Signer, Upstream};

both_drivers!(
    a_safe_request_is_served_before_the_end_of_the_handshake,
    several_are_served_and_what_follows_them,
    other_requests_wait_for_the_end_of_the_handshake,
    early_data_without_a_handshakes_end_changes_nothing,
    a_replay_is_not_served,
    what_upstreams_say_of_it_is_passed_on,
    what_others_say_of_it_is_kept,
    without_leave_there_is_no_early_data,
    a_client_with_a_certificate_is_known_early,
);

struct World {
    signer: Signer,
    upstream: Upstream,
    gateway: Gateway,
}

const EARLY: &str = "session_tickets = false\nearly_data = true\n";

fn world(driver: Driver, upstream: Upstream, tls: &str) -> World {
    let signer = Signer::new();
    let own = signer.certify(&["a.example"]);
    let text = format!(
        "[server]\nworkers = 2\n\
         [[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n[listeners.tls]\n\
         certificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n{tls}\
         [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
         [upstreams.app]\ntargets = [\"{}\"]\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n\
         request_headers = {{ set = {{ x-client = \"{{client_cert_san_dns}}\" }} }}\n",
        upstream.address
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("ca.pem", signer.pem())
        .start();
    World { signer, upstream, gateway }
}

impl World {
    fn address(&self) -> SocketAddr {
        self.gateway.address("secure")
    }

    /// A client that has been here before.
    fn known(&self) -> Arc<ClientConfig> {
        self.met(self.signer.client(BOTH))
    }

    fn met(&self, tls: Arc<ClientConfig>) -> Arc<ClientConfig> {
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.enable_early_data = true;
        let tls = Arc::new(tls);
        let mut client = Client::connect_tls(self.address(), &tls, "a.example");
        client.send(get("/before"));
        client.response();
        tls
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A client that can hold back the end of its handshake.
struct Early {
    connection: ClientConnection,
    socket: TcpStream,
    /// The first it sent.
    first: Vec<u8>,
}

impl Early {
    #[track_caller]
    fn begin(address: SocketAddr, tls: &Arc<ClientConfig>, content: &str) -> Self {
        let name = ServerName::try_from("a.example").expect("a name");
        let mut connection = ClientConnection::new(tls.clone(), name).expect("a client");
        let mut early = connection.early_data().expect("a session that allows it");
        early.write_all(content.as_bytes()).expect("room");
        let mut first = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut first).expect("memory");
        }
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(&first).expect("the first words");
        Self { connection, socket, first }
    }

    /// Reads up to the end of this content, sending nothing.
    #[track_caller]
    fn read_to(&mut self, end: &str) -> String {
        let mut content = Vec::new();
        loop {
            let mut piece = [0; 4096];
            while let Ok(n) = self.connection.reader().read(&mut piece) {
                if n == 0 {
                    break;
                }
                content.extend_from_slice(&piece[..n]);
            }
            let text = String::from_utf8_lossy(&content).into_owned();
            if text.ends_with(end) {
                return text;
            }
            let n = self.connection.read_tls(&mut self.socket).expect("bytes in time");
            assert!(n > 0, "the connection ended: {text:?}");
            self.connection.process_new_packets().expect("TLS");
        }
    }

    /// Reads the server's part of the handshake, sending nothing.
    #[track_caller]
    fn read_flight(&mut self) {
        while self.connection.is_handshaking() {
            assert!(self.connection.read_tls(&mut self.socket).expect("bytes in time") > 0);
            self.connection.process_new_packets().expect("TLS");
        }
    }

    /// Sends what it held back, and this.
    fn send(&mut self, content: &str) {
        self.connection.writer().write_all(content.as_bytes()).expect("room");
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket).expect("sent");
        }
    }
}

fn a_safe_request_is_served_before_the_end_of_the_handshake(driver: Driver) {
    let world = world(driver, Upstream::saying("ok"), EARLY);
    let tls = world.known();
    let mut early = Early::begin(world.address(), &tls, &get("/early"));
    // The answer comes although the client has not sent the end of its handshake.
    assert!(early.read_to("ok").starts_with("HTTP/1.1 200"));
    assert!(early.connection.is_early_data_accepted());
    let seen = world.upstream.wait_for_request(2).head;
    assert_eq!(
        (seen.values("early-data"), seen.value("x-forwarded-proto")),
        (vec!["1"], Some("https"))
    );
    early.send(&get("/later"));
    assert!(early.read_to("ok").starts_with("HTTP/1.1 200"));
    assert!(!world.upstream.wait_for_request(3).head.has("early-data"));
    // Nor does a request say so that came by an ordinary handshake.
    assert!(!world.upstream.wait_for_request(1).head.has("early-data"));
    let stats = world.gateway.stats();
    assert_eq!(stats.listener("secure", "/tls_handshakes/resumed"), 1);
}

fn several_are_served_and_what_follows_them(driver: Driver) {
    let world = world(driver, Upstream::saying("ok"), EARLY);
    let tls = world.known();
    let half = "GET /half HTTP/1.1\r\nHost: a.ex";
    let mut early = Early::begin(world.address(), &tls, &[&get("/1"), &get("/2"), half].concat());
    early.read_to("ok");
    early.send("ample\r\n\r\n");
    world.upstream.wait_for_request(4);
    for (n, path, said) in [(2, "/1", true), (3, "/2", true), (4, "/half", false)] {
        let seen = world.upstream.wait_for_request(n);
        assert_eq!((seen.target(), seen.head.has("early-data")), (path, said));
    }
}

const POST: &str = "POST /pay HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi";

fn other_requests_wait_for_the_end_of_the_handshake(driver: Driver) {
    let world = world(driver, Upstream::echo(), EARLY);
    let tls = world.known();
    let with_content = POST.replace("POST", "GET");
    for (n, request) in [POST, &with_content, &POST.replace("POST", "PUT")].into_iter().enumerate()
    {
        let mut early = Early::begin(world.address(), &tls, request);
        early.read_flight();
        assert!(early.connection.is_early_data_accepted());
        assert_eq!(world.upstream.count(), n + 1);
        early.send("");
        assert!(early.read_to("hi").starts_with("HTTP/1.1 200"));
        let seen = world.upstream.wait_for_request(n + 2);
        assert_eq!((seen.target(), seen.head.has("early-data")), ("/pay", false));
    }
}

fn early_data_without_a_handshakes_end_changes_nothing(driver: Driver) {
    let tls = format!("{EARLY}handshake_timeout = \"300ms\"\n");
    let world = world(driver, Upstream::echo(), &tls);
    let tls = world.known();
    let mut early = Early::begin(world.address(), &tls, POST);
    early.read_flight();
    world.gateway.wait_stats("its time is over", |s| {
        s.listener("secure", "/tls_handshakes/failed") == 1
            && s.listener("secure", "/connections/open") == 0
    });
    assert_eq!(world.upstream.count(), 1);
}

fn a_replay_is_not_served(driver: Driver) {
    let world = world(driver, Upstream::saying("ok"), EARLY);
    let tls = world.known();
    let mut early = Early::begin(world.address(), &tls, &get("/early"));
    early.read_to("ok");
    world.upstream.wait_for_request(2);
    // On every worker, and whether or not the first came to its end.
    for _ in 0..4 {
        let mut replay = TcpStream::connect(world.address()).expect("a connection");
        replay.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        replay.write_all(&early.first).expect("the same words");
        // It is taken for a new client, which has to come up with keys of its own.
        assert!(replay.read(&mut [0; 4096]).expect("an answer in time") > 0);
    }
    world
        .gateway
        .wait_stats("all are gone", |s| s.listener("secure", "/tls_handshakes/failed") == 4);
    assert_eq!(world.upstream.count(), 2);
    assert_eq!(world.gateway.stats().listener("secure", "/tls_handshakes/resumed"), 1);
}

fn what_upstreams_say_of_it_is_passed_on(driver: Driver) {
    let answer = "HTTP/1.1 425 Too Early\r\nContent-Length: 5\r\n\r\nlater";
    let world = world(driver, Upstream::answering(answer), EARLY);
    let tls = world.known();
    let mut early = Early::begin(world.address(), &tls, &get("/early"));
    assert!(early.read_to("later").starts_with("HTTP/1.1 425 "));
    assert_eq!(world.upstream.count(), 2);
}

fn what_others_say_of_it_is_kept(driver: Driver) {
    let world = world(driver, Upstream::saying("ok"), EARLY);
    // From a proxy in front, which Connection can't take away.
    let said = "GET / HTTP/1.1\r\nHost: a\r\nEarly-Data: 1\r\nConnection: early-data\r\n\r\n";
    world.gateway.once(said).expect(200);
    assert_eq!(world.upstream.wait_for_request(1).head.values("early-data"), ["1"]);
    // What came in early data is so whatever it says.
    let tls = world.known();
    let denied = "GET / HTTP/1.1\r\nHost: a.example\r\nEarly-Data: 0\r\nearly-data: no\r\n\r\n";
    let mut early = Early::begin(world.address(), &tls, denied);
    early.read_to("ok");
    assert_eq!(world.upstream.wait_for_request(3).head.values("early-data"), ["1"]);
}

fn without_leave_there_is_no_early_data(driver: Driver) {
    for without in ["", "session_tickets = false\n"] {
        let world = world(driver, Upstream::saying("ok"), without);
        let tls = world.known();
        let name = ServerName::try_from("a.example").expect("a name");
        let mut client = ClientConnection::new(tls, name).expect("a client");
        assert!(client.early_data().is_none());
    }
}

fn a_client_with_a_certificate_is_known_early(driver: Driver) {
    let tls = format!("{EARLY}client_certificates = {{ mode = \"required\", ca = \"ca.pem\" }}\n");
    let world = world(driver, Upstream::saying("ok"), &tls);
    let own = world.signer.certify(&["client.example"]);
    let tls = world.met(world.signer.client_with(&own));
    let mut early = Early::begin(world.address(), &tls, &get("/early"));
    early.read_to("ok");
    let seen = world.upstream.wait_for_request(2).head;
    assert_eq!(seen.value("x-client"), Some("client.example"));
    assert_eq!(seen.value("early-data"), Some("1"));
}
