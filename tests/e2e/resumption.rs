//! Sessions that are resumed on another node, by keys of tickets in files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind, version};

use crate::harness::{BINARY, Client, Driver, Gateway, Made, Signer, eventually};

both_drivers!(
    nodes_with_the_same_key_resume_each_others_sessions,
    a_key_is_changed_without_ending_a_session,
    a_changed_key_file_is_taken_up,
    a_session_of_another_demand_on_clients_is_not_resumed,
);

struct Site {
    signer: Signer,
    own: Made,
}

const KEYS: &str = "session_ticket_keys = [\"first.key\", \"second.key\"]\n";
const ONE_KEY: &str = "session_ticket_keys = [\"first.key\"]\n";

impl Site {
    fn new() -> Self {
        let signer = Signer::new();
        let own = signer.certify(&["a.example"]);
        Self { signer, own }
    }

    fn node(&self, driver: Driver, tls: &str, keys: &[(&str, u8)]) -> Gateway {
        let text = format!(
            "[server]\nworkers = 2\n[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
             [listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n{tls}\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nrespond = {{ status = 200 }}\n"
        );
        let builder = Gateway::with(driver, text)
            .file("a.pem", self.own.certificate.as_str())
            .file("a.key", self.own.key.as_str())
            .file("ca.pem", self.signer.pem());
        keys.iter().fold(builder, |builder, (name, seed)| builder.file(name, key(*seed))).start()
    }

    /// Clients of both versions, with sessions of their own.
    fn clients(&self) -> [Arc<ClientConfig>; 2] {
        [self.signer.client(&[&version::TLS12]), self.signer.client(&[&version::TLS13])]
    }
}

/// A key as a file has it.
fn key(seed: u8) -> Vec<u8> {
    (0..80).map(|at| seed.wrapping_mul(31).wrapping_add(at)).collect()
}

#[track_caller]
fn kind(gateway: &Gateway, tls: &Arc<ClientConfig>) -> HandshakeKind {
    let mut client = Client::connect_tls(gateway.web(), tls, "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.response().expect(200);
    client.tls().connection.handshake_kind().expect("a handshake")
}

fn nodes_with_the_same_key_resume_each_others_sessions(driver: Driver) {
    let site = Site::new();
    let [one, two] = [1, 2].map(|_| site.node(driver, ONE_KEY, &[("first.key", 1)]));
    let other = site.node(driver, ONE_KEY, &[("first.key", 7)]);
    for tls in site.clients() {
        assert_eq!(kind(&one, &tls), HandshakeKind::Full);
        assert_eq!(kind(&two, &tls), HandshakeKind::Resumed);
        assert_eq!(kind(&one, &tls), HandshakeKind::Resumed);
        assert_eq!(kind(&other, &tls), HandshakeKind::Full);
    }
}

fn a_key_is_changed_without_ending_a_session(driver: Driver) {
    let site = Site::new();
    let before = site.node(driver, ONE_KEY, &[("first.key", 1)]);
    let after = site.node(driver, KEYS, &[("first.key", 2), ("second.key", 1)]);
    let at_last = site.node(driver, ONE_KEY, &[("first.key", 2)]);
    for tls in site.clients() {
        assert_eq!(kind(&before, &tls), HandshakeKind::Full);
        assert_eq!(kind(&after, &tls), HandshakeKind::Resumed);
        // What it got there was made with the new key.
        assert_eq!(kind(&at_last, &tls), HandshakeKind::Resumed);
        assert_eq!(kind(&before, &tls), HandshakeKind::Full);
    }
}

fn a_changed_key_file_is_taken_up(driver: Driver) {
    let site = Site::new();
    let changing = site.node(driver, ONE_KEY, &[("first.key", 1)]);
    let old = site.node(driver, ONE_KEY, &[("first.key", 1)]);
    let [_, tls] = site.clients();
    kind(&old, &tls);
    assert_eq!(kind(&changing, &tls), HandshakeKind::Resumed);
    fs::write(changing.folder().join("first.key"), key(2)).expect("the key");
    eventually("the new key is in force", || {
        kind(&old, &tls);
        kind(&changing, &tls) == HandshakeKind::Full
    });
    // One that can't be used changes nothing.
    fs::write(changing.folder().join("first.key"), "short").expect("the key");
    let wanted = "first.key: a key has 48 or 80 bytes, not 5";
    changing.wait_log("the mistake", |log| log.contains(wanted));
    let new = site.node(driver, ONE_KEY, &[("first.key", 2)]);
    kind(&new, &tls);
    assert_eq!(kind(&changing, &tls), HandshakeKind::Resumed);
}

fn a_session_of_another_demand_on_clients_is_not_resumed(driver: Driver) {
    let site = Site::new();
    let lax = site.node(driver, ONE_KEY, &[("first.key", 1)]);
    let asking =
        format!("{ONE_KEY}client_certificates = {{ mode = \"optional\", ca = \"ca.pem\" }}\n");
    let asking = [1, 2].map(|_| site.node(driver, &asking, &[("first.key", 1)]));
    for tls in site.clients() {
        assert_eq!(kind(&lax, &tls), HandshakeKind::Full);
        assert_eq!(kind(&asking[0], &tls), HandshakeKind::Full);
        assert_eq!(kind(&asking[1], &tls), HandshakeKind::Resumed);
        assert_eq!(kind(&lax, &tls), HandshakeKind::Full);
    }
}

#[test]
fn keys_of_tickets_that_cannot_be_used_are_told_one_by_one() {
    let site = Site::new();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &[u8], mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    write("a.pem", site.own.certificate.as_bytes(), 0o644);
    write("a.key", site.own.key.as_bytes(), 0o640);
    write("good.key", &key(1), 0o600);
    write("same.key", &key(1)[..48], 0o600);
    write("short.key", &key(2)[..32], 0o600);
    write("long.key", &[7; 300], 0o600);
    write("zero.key", &[0; 80], 0o600);
    write("open.key", &key(3), 0o644);
    let text = "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n[listeners.tls]\n\
        certificates = [{ certificate = \"a.pem\", key = \"a.key\" }]\n\
        session_ticket_keys = [\"good.key\", \"same.key\", \"short.key\", \"long.key\", \"zero.key\", \
        \"open.key\", \"gone.key\"]\n\
        [[routes]]\nname = \"all\"\npath = \"/*\"\nrespond = { status = 200 }\n";
    write("tollgate.toml", text.as_bytes(), 0o644);
    let mut check = std::process::Command::new(BINARY);
    let check = check.args(["check", "-c", "tollgate.toml"]).current_dir(folder.path());
    let checked = check.output().expect("the binary");
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    for wrong in [
        "session_ticket_keys[1]: same.key: another file of this list holds this key",
        "session_ticket_keys[2]: short.key: a key has 48 or 80 bytes, not 32",
        "session_ticket_keys[3]: long.key: a key has 48 or 80 bytes, not 300",
        "session_ticket_keys[4]: zero.key: this is no random key",
        "session_ticket_keys[5]: open.key: everybody on this machine can read it",
        "session_ticket_keys[6]: gone.key: No such file",
    ] {
        assert!(said.contains(wrong), "{wrong}\n{said}");
    }
    assert!(!said.contains("good.key"), "{said}");
}
