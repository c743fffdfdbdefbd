//! Lists of revoked client certificates: whom they keep out, and from when on.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{ClientConfig, HandshakeKind, version};

use crate::harness::{BOTH, Client, Driver, Gateway, Signer, eventually};

both_drivers!(
    a_revoked_certificate_is_refused,
    an_outdated_list_refuses_its_authoritys_clients,
    a_list_that_is_soon_due_is_warned_of,
    a_new_list_takes_effect_at_a_reload,
    a_session_is_not_continued_past_its_list,
);

const HOUR: Duration = Duration::from_secs(3600);

struct World {
    signer: Signer,
    gateway: Gateway,
}

/// A gateway that asks for certificates of one authority, and holds them against this list of its.
fn world(driver: Driver, mode: &str, revoked: &[u64], next: SystemTime) -> World {
    let signer = Signer::new();
    let own = signer.certify(&["a.example"]);
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
         [listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n\
         client_certificates = {{ mode = \"{mode}\", ca = \"ca.pem\", crl = \"crl.pem\" }}\n\
         [[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = {{ status = 204 }}\n"
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("ca.pem", signer.pem())
        .file("crl.pem", signer.list(revoked, next))
        .start();
    World { signer, gateway }
}

impl World {
    /// A client with a certificate of this number.
    fn client(&self, serial: u64) -> Arc<ClientConfig> {
        self.signer.client_with_versions(&self.numbered(serial), BOTH)
    }

    fn numbered(&self, serial: u64) -> crate::harness::Made {
        self.signer.certify_with(&["client.example"], |params| {
            params.serial_number = Some(serial.into());
        })
    }

    /// The kind of handshake after which a request was answered; `None`: it was refused.
    fn ask(&self, tls: &Arc<ClientConfig>) -> Option<HandshakeKind> {
        let mut client = Client::try_connect_tls(self.gateway.web(), tls, "a.example").ok()?;
        // With TLS 1.3 the client learns of a refusal when it reads.
        client.try_send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").ok()?;
        client.try_response().ok()?.expect(204);
        client.tls().connection.handshake_kind()
    }
}

fn a_revoked_certificate_is_refused(driver: Driver) {
    let world = world(driver, "required", &[7], SystemTime::now() + 48 * HOUR);
    assert_eq!(world.ask(&world.client(7)), None);
    assert_eq!(world.ask(&world.client(8)), Some(HandshakeKind::Full));
    world.gateway.wait_stats("it is counted", |s| s.listener("web", "/tls_handshakes/failed") == 1);
}

fn an_outdated_list_refuses_its_authoritys_clients(driver: Driver) {
    for mode in ["required", "optional"] {
        let next = SystemTime::now() - HOUR;
        let world = world(driver, mode, &[7], next);
        world.gateway.wait_log("it is told", |line| {
            line.contains("crl.pem: a newer list was due on") && line.contains("are refused")
        });
        assert_eq!(world.ask(&world.client(7)), None);
        assert_eq!(world.ask(&world.client(8)), None);
        // Who shows nothing has nothing that could be revoked.
        let nobody = world.signer.client(BOTH);
        assert_eq!(world.ask(&nobody).is_some(), mode == "optional");
        let told = world.gateway.stats().0["listeners"][0]["tls"]["client_crl_next_update"].clone();
        let wanted = next.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
        assert_eq!(told, wanted);
        let metrics = world.gateway.admin_get("/metrics").expect(200).text();
        let sample = format!(
            "tollgate_client_crl_next_update_timestamp_seconds{{listener=\"web\"}} {wanted}"
        );
        assert!(metrics.contains(&sample), "{metrics}");
    }
}

fn a_list_that_is_soon_due_is_warned_of(driver: Driver) {
    let world = world(driver, "required", &[], SystemTime::now() + HOUR);
    world.gateway.wait_log("it is told", |line| line.contains("crl.pem: a newer list is due on"));
    assert_eq!(world.ask(&world.client(8)), Some(HandshakeKind::Full));
}

fn a_new_list_takes_effect_at_a_reload(driver: Driver) {
    let next = SystemTime::now() + 48 * HOUR;
    let world = world(driver, "required", &[], next);
    let (one, other) = (world.client(7), world.client(8));
    assert_eq!(world.ask(&one), Some(HandshakeKind::Full));
    assert_eq!(world.ask(&one), Some(HandshakeKind::Resumed));
    let list = world.gateway.folder().join("crl.pem");
    fs::write(&list, world.signer.list(&[7], next)).expect("a list");
    world.gateway.admin_post("/reload").expect(200);
    assert_eq!(world.ask(&one), None);
    assert_eq!(world.ask(&other), Some(HandshakeKind::Full));
    // The end of a hold (RFC 5280 section 5.3.1).
    fs::write(&list, world.signer.list(&[], next)).expect("a list");
    world.gateway.admin_post("/reload").expect(200);
    assert!(world.ask(&one).is_some());
}

fn a_session_is_not_continued_past_its_list(driver: Driver) {
    for only in [&version::TLS12, &version::TLS13] {
        let world = world(driver, "required", &[], SystemTime::now() + Duration::from_secs(4));
        let tls = world.signer.client_with_versions(&world.numbered(8), &[only]);
        assert_eq!(world.ask(&tls), Some(HandshakeKind::Full));
        assert_eq!(world.ask(&tls), Some(HandshakeKind::Resumed));
        eventually("it can't be resumed any more", || world.ask(&tls).is_none());
    }
}
