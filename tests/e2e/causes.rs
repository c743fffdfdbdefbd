//! Why a target can't be reached: the log says it in words, and the client learns nothing of it.

use std::time::{Duration, SystemTime};

use crate::harness::{Driver, Gateway, Made, Peer, Refusing, Signer, Upstream, forward_all};

both_drivers!(
    a_refused_connection_is_told_in_words,
    a_socket_that_is_not_there_is_told,
    a_lack_of_descriptors_is_told,
    an_untrusted_issuer_is_told,
    another_name_is_told,
    an_expired_certificate_is_told,
    a_target_without_tls_is_told,
    an_alert_of_the_target_is_told,
    an_end_in_the_handshake_is_told,
    a_target_that_wants_our_certificate_is_told,
    connections_of_http2_are_told_of_too,
    connections_that_are_passed_on_are_told_of_too,
);

/// A request comes to nothing: the failure's name, and the cause in the log line of that name.
#[track_caller]
fn expect_cause(gateway: &Gateway, failure: &str, cause: &str) {
    let response = gateway.get("/").expect_failure(502);
    let shown = format!("{:?} {}", response.head, response.text());
    assert!(!shown.contains(cause), "the client is told: {shown}");
    let line = gateway.wait_log(failure, |line| line.contains(failure));
    assert!(line.contains(cause), "no `{cause}` in {line}");
}

fn a_refused_connection_is_told_in_words(driver: Driver) {
    let refusing = Refusing::new();
    let gateway = Gateway::start(driver, forward_all(&refusing.address));
    expect_cause(&gateway, "connect_failed", "Connection refused");
}

fn a_socket_that_is_not_there_is_told(driver: Driver) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = format!("unix:{}", folder.path().join("none").display());
    let gateway = Gateway::start(driver, forward_all(&target));
    expect_cause(&gateway, "connect_failed", "No such file or directory");
}

fn a_lack_of_descriptors_is_told(driver: Driver) {
    // Of whose connections none is kept.
    let upstream = Upstream::new(|peer| drop(peer.next_head()));
    let gateway = Gateway::before(driver, &upstream);
    let mut client = gateway.connect();
    client.get("/").expect_failure(502);
    gateway.limit_descriptors(3);
    client.get("/").expect_failure(503);
    let line = gateway.wait_log("the failure", |line| line.contains("no_descriptors"));
    assert!(line.contains("Too many open files"), "{line}");
}

/// A gateway that speaks TLS to a target with this certificate, as `keys` have it.
struct World {
    gateway: Gateway,
    _target: Upstream,
}

fn before(driver: Driver, signer: &Signer, target: Upstream, keys: &str, tls: &str) -> World {
    let tables = format!(
        "[upstreams.app]\ntargets = [\"{}\"]\n{keys}\n[upstreams.app.tls]\n{tls}\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
        target.address
    );
    let gateway = Gateway::with(driver, tables).file("ca.pem", signer.pem()).start();
    World { gateway, _target: target }
}

/// A target with TLS that nobody gets to ask.
fn secure(signer: &Signer, own: &Made) -> Upstream {
    Upstream::tls(signer.server(own), |_| panic!("the gateway trusts it"))
}

const ROOTS: &str = "roots = \"ca.pem\"\nserver_name = \"app.internal\"";

fn an_untrusted_issuer_is_told(driver: Driver) {
    // The second goes by the name of one that is trusted.
    for (roots, cause) in [("", "does not trust"), (ROOTS, "is not its issuer's")] {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let target = secure(&stranger, &stranger.certify(&["app.internal"]));
        let world = before(driver, &signer, target, "", roots);
        expect_cause(&world.gateway, "bad_certificate", cause);
    }
}

fn another_name_is_told(driver: Driver) {
    let signer = Signer::new();
    let target = secure(&signer, &signer.certify(&["other.internal"]));
    let world = before(driver, &signer, target, "", ROOTS);
    expect_cause(&world.gateway, "bad_certificate", "for other names");
}

fn an_expired_certificate_is_told(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify_with(&["app.internal"], |params| {
        params.not_after = (SystemTime::now() - Duration::from_secs(3600)).into();
    });
    let world = before(driver, &signer, secure(&signer, &own), "", ROOTS);
    expect_cause(&world.gateway, "bad_certificate", "has expired");
}

/// A target that answers the beginning of TLS with these bytes.
fn saying(bytes: &'static [u8]) -> Upstream {
    Upstream::new(move |peer: &mut Peer| {
        peer.send(bytes);
        peer.wait_closed();
    })
}

fn a_target_without_tls_is_told(driver: Driver) {
    let target = saying(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let world = before(driver, &Signer::new(), target, "", ROOTS);
    expect_cause(&world.gateway, "no_tls", "speaks no TLS");
}

fn an_alert_of_the_target_is_told(driver: Driver) {
    // Fatal: handshake_failure.
    let target = saying(b"\x15\x03\x03\x00\x02\x02\x28");
    let world = before(driver, &Signer::new(), target, "", ROOTS);
    expect_cause(&world.gateway, "no_tls", "HandshakeFailure");
}

fn an_end_in_the_handshake_is_told(driver: Driver) {
    let target = Upstream::new(|peer: &mut Peer| {
        peer.half_close();
        peer.wait_closed();
    });
    let world = before(driver, &Signer::new(), target, "", ROOTS);
    expect_cause(&world.gateway, "connect_failed", "ended the connection");
}

fn a_target_that_wants_our_certificate_is_told(driver: Driver) {
    let signer = Signer::new();
    let config = signer.strict_server(&signer.certify(&["app.internal"]));
    let target = Upstream::new(move |peer: &mut Peer| {
        assert!(!peer.begin_tls(&config), "the gateway shows none");
        // With TLS 1.3 the handshake is over for the gateway, and its request on the way.
        peer.wait_closed();
    });
    let world = before(driver, &signer, target, "", ROOTS);
    expect_cause(&world.gateway, "no_tls", "CertificateRequired");
}

fn connections_of_http2_are_told_of_too(driver: Driver) {
    let signer = Signer::new();
    let target = secure(&signer, &signer.certify(&["other.internal"]));
    let world = before(driver, &signer, target, "protocol = \"h2\"", ROOTS);
    expect_cause(&world.gateway, "bad_certificate", "for other names");
}

fn connections_that_are_passed_on_are_told_of_too(driver: Driver) {
    let refusing = Refusing::new();
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nmode = \"tcp\"\n\
             forward = [{{ upstream = \"app\" }}]\n[upstreams.app]\ntargets = [\"{}\"]\n",
            refusing.address
        ),
    );
    gateway.connect().expect_closed();
    let line = gateway.wait_log("the failure", |line| line.contains("connect_failed"));
    assert!(line.contains("Connection refused"), "{line}");
}
