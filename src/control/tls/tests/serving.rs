//! Handshakes with rustls's configuration, and what outlives a reload.

use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    CertificateError, Error, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection,
    SupportedProtocolVersion, version,
};

use super::super::targets::Anybody;
use super::*;

/// A client of this version that remembers its sessions, with this certificate.
fn client(
    version: &'static SupportedProtocolVersion,
    certificate: Option<(rcgen::Certificate, KeyPair)>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider())));
    let mut config = match certificate {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h9".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Both ends after a handshake, with nothing left on its way; or why the server ended it.
fn handshake(
    server: &SnapshotTls,
    client: &Arc<ClientConfig>,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.config.clone()).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((server, client))
}

/// What a reload does.
fn made(folder: &Folder, resumption: &mut Resumption, tls: &str) -> SnapshotTls {
    let loaded = [folder.load(tls).map(|(loaded, _)| loaded).ok()];
    let mut configs =
        resumption.configs(&settings(tls).listeners, &loaded, &Issued::default()).unwrap();
    configs.remove(0).unwrap()
}

#[test]
fn a_handshake_has_what_was_promised() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let tls = made(&folder, &mut Resumption::default(), &pairs(&["a"]));
    let (server, client) = handshake(&tls, &client(&version::TLS13, None)).unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(server.server_name(), Some("a.example"));
    assert_eq!(client.peer_certificates().unwrap().len(), 1);
}

#[test]
fn the_oldest_version_is_as_asked_for() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let tls = made(&folder, &mut Resumption::default(), &pairs(&["a"]));
    let old = client(&version::TLS12, None);
    let (server, _) = handshake(&tls, &old).unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let newer = pairs(&["a"]) + "\nmin_version = \"1.3\"";
    let tls = made(&folder, &mut Resumption::default(), &newer);
    assert!(handshake(&tls, &old).is_err());
    handshake(&tls, &client(&version::TLS13, None)).unwrap();
}

#[test]
fn a_client_resumes_with_a_ticket_or_without_across_a_reload() {
    for version in [&version::TLS12, &version::TLS13] {
        for tickets in [true, false] {
            let folder = Folder::new();
            let mut resumption = Resumption::default();
            let tls = format!("{}\nsession_tickets = {tickets}", pairs(&["a"]));
            let client = client(version, None);
            let mut kind = || {
                folder.pair("a", &["a.example"]);
                let tls = made(&folder, &mut resumption, &tls);
                handshake(&tls, &client).unwrap().0.handshake_kind().unwrap()
            };
            assert_eq!(kind(), HandshakeKind::Full);
            assert_eq!(kind(), HandshakeKind::Resumed, "{version:?} {tickets}");
            assert_eq!(kind(), HandshakeKind::Resumed, "{version:?} {tickets}");
        }
    }
}

/// A folder with a server's certificate and an authority for clients.
fn with_authority() -> (Folder, Authority) {
    let (folder, authority) = (Folder::new(), Authority::new());
    folder.pair("a", &["a.example"]);
    folder.write("ca.pem", &authority.certificate);
    folder.write("crl.pem", authority.list(&[], 100));
    (folder, authority)
}

fn asking(mode: &str) -> String {
    let files = "ca = \"ca.pem\", crl = \"crl.pem\"";
    format!("{}\nclient_certificates = {{ mode = \"{mode}\", {files} }}", pairs(&["a"]))
}

#[test]
fn clients_show_certificates_where_they_are_asked_to() {
    let (folder, authority) = with_authority();
    let mut resumption = Resumption::default();
    let required = made(&folder, &mut resumption, &asking("required"));
    let optional = made(&folder, &mut resumption, &asking("optional"));
    for version in [&version::TLS12, &version::TLS13] {
        let without = || client(version, None);
        let by_another = || client(version, Some(Authority::new().client(1)));
        let good = || client(version, Some(authority.client(1)));
        assert_eq!(handshake(&required, &without()).unwrap_err(), Error::NoCertificatesPresented);
        assert!(handshake(&required, &by_another()).is_err());
        assert!(handshake(&optional, &by_another()).is_err());
        let shown = |tls, client| handshake(tls, &client).unwrap().0.peer_certificates().is_some();
        assert!(shown(&required, good()));
        assert!(shown(&optional, good()));
        assert!(!shown(&optional, without()));
    }
}

#[test]
fn nobody_resumes_past_what_is_asked_of_clients_now() {
    for version in [&version::TLS12, &version::TLS13] {
        let (folder, authority) = with_authority();
        let mut resumption = Resumption::default();
        let (plain, optional, required) = (pairs(&["a"]), asking("optional"), asking("required"));
        // A session of a listener that asked for nothing, or for less.
        for before in [&plain, &optional] {
            let client = client(version, None);
            handshake(&made(&folder, &mut resumption, before), &client).unwrap();
            let refused = handshake(&made(&folder, &mut resumption, &required), &client);
            assert_eq!(refused.unwrap_err(), Error::NoCertificatesPresented);
        }
        // One whose certificate is revoked since.
        let client = client(version, Some(authority.client(7)));
        let mut come = || handshake(&made(&folder, &mut resumption, &required), &client);
        assert_eq!(come().unwrap().0.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(come().unwrap().0.handshake_kind(), Some(HandshakeKind::Resumed));
        folder.write("crl.pem", authority.list(&[7], 100));
        let revoked = Error::InvalidCertificate(CertificateError::Revoked);
        assert_eq!(come().unwrap_err(), revoked);
    }
}

#[test]
fn the_rest_is_as_asked_for() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let by_default = made(&folder, &mut Resumption::default(), &pairs(&["a"]));
    assert!(by_default.strict_sni && by_default.config.ticketer.enabled());
    assert_eq!(by_default.handshake_ns, 10_000_000_000);
    assert_eq!(by_default.config.max_early_data_size, 0);
    assert!(!by_default.config.send_half_rtt_data);
    let more = "\nsession_tickets = false\nstrict_host = false\nhandshake_timeout = \"2s\"";
    let other = made(&folder, &mut Resumption::default(), &(pairs(&["a"]) + more));
    assert!(!other.strict_sni && !other.config.ticketer.enabled());
    assert_eq!(other.handshake_ns, 2_000_000_000);
}
