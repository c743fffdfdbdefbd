//! Certificates from Pebble, the ACME server that Let's Encrypt tests clients with; where it is
//! installed (Debian's package `pebble`), else these tests say so and pass.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::acme::asking;
use crate::harness::{Client, Driver, Gateway, Signer, eventually};

both_drivers!(pebble_by_http_01, pebble_by_tls_alpn_01, pebble_with_an_external_account);

/// HMAC key of the external account `kid-1`.
const HMAC: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Pebble, and a name server that knows every name as 127.0.0.1; killed when the test ends.
struct Pebble {
    children: Vec<Child>,
    directory: String,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody has at the moment. Pebble can't be asked which one it took.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a bound socket");
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

fn spawn(command: &mut Command) -> Option<Child> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().ok()
}

impl Pebble {
    /// Looks for proofs where the gateway listens; `None`: it is not installed.
    fn start(signer: &Signer, folder: &Path, gateway: &Gateway, bound: bool) -> Option<Self> {
        signer.certify(&["localhost"]).write(folder, "pebble");
        let (names, port) = (free_port(), free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": folder.join("pebble.pem"),
            "privateKey": folder.join("pebble.key"),
            "httpPort": gateway.address("plain").port(),
            "tlsPort": gateway.address("secure").port(),
            "externalAccountBindingRequired": bound,
            "externalAccountMACKeys": { "kid-1": HMAC },
        }});
        fs::write(folder.join("pebble.json"), config.to_string()).expect("a file");
        let resolver = spawn(
            Command::new("pebble-challtestsrv")
                .args(["-dns01", &format!("127.0.0.1:{names}"), "-defaultIPv6", ""])
                .args(["-management", &format!("127.0.0.1:{}", free_port())])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]),
        )?;
        let directory = format!("https://localhost:{port}/dir");
        let mut started = Self { children: vec![resolver], directory };
        let server = Command::new("pebble")
            .args(["-strict", "-dnsserver", &format!("127.0.0.1:{names}"), "-config"])
            .arg(folder.join("pebble.json"))
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "5")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        started.children.push(server);
        eventually("pebble listens", || Client::try_connect(([127, 0, 0, 1], port).into()).is_ok());
        Some(started)
    }
}

fn text(directory: &str, store: &Path, challenge: &str, more: &str) -> String {
    format!(
        "[store]\npath = {:?}\n[acme]\ndirectory = \"{directory}\"\nagree_to_terms = true\n\
         roots = \"acme-ca.pem\"\nchallenge = \"{challenge}\"\ncontact = [\"ops@a.example\"]\n{more}\
         [[listeners]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n\
         [[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n\
         tls = {{ acme_names = [\"a.example\", \"www.a.example\"] }}\n\
         [[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = {{ status = 200, body = \"here\" }}\n",
        store.join("store.db")
    )
}

fn by(driver: Driver, challenge: &str, more: &str) {
    let (signer, folder) = (Signer::new(), tempfile::tempdir().expect("a folder"));
    // Nobody is there yet: Pebble must know first where the gateway listens.
    let nobody = text("https://localhost:1/dir", folder.path(), challenge, more);
    let gateway = Gateway::with(driver, &nobody).file("acme-ca.pem", signer.pem()).start();
    let pebble = Pebble::start(&signer, folder.path(), &gateway, !more.is_empty());
    let Some(pebble) = pebble else {
        eprintln!("pebble is not installed: not tested against it");
        return;
    };
    gateway.reload(text(&pebble.directory, folder.path(), challenge, more));
    let valid = |one: &Value| one["state"] == "valid";
    gateway.wait_stats("both names have certificates", |stats| {
        let names = stats.0["acme"].as_array().expect("names");
        names.len() == 2 && names.iter().all(valid)
    });
    for name in ["a.example", "www.a.example"] {
        let secure = gateway.address("secure");
        let mut client = Client::connect_tls(secure, &asking(&[b"http/1.1"]), name);
        let answer = client.ask(&format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(answer.expect(200).text(), "here");
    }
    let certificates = &gateway.stats().0["listeners"][1]["tls"]["certificates"];
    assert_eq!(certificates.as_array().map(Vec::len), Some(2), "{certificates}");
}

fn pebble_by_http_01(driver: Driver) {
    by(driver, "http-01", "");
}

fn pebble_by_tls_alpn_01(driver: Driver) {
    by(driver, "tls-alpn-01", "");
}

fn pebble_with_an_external_account(driver: Driver) {
    let account = format!("external_account = {{ key_id = \"kid-1\", key = \"{HMAC}\" }}\n");
    by(driver, "http-01", &account);
}
