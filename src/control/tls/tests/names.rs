//! Which certificate a client is shown.

use rcgen::PKCS_RSA_SHA256;
use rustls::SignatureAlgorithm;

use super::*;

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

#[test]
fn a_client_is_shown_the_certificate_for_the_host_it_names() {
    let folder = Folder::new();
    folder.pair("first", &["first.example"]);
    folder.pair("star", &["*.example.com", "example.com"]);
    folder.pair("exact", &["API.example.com"]);
    let loaded = folder.loaded(&pairs(&["first", "star", "exact"]));
    let cases = [
        (Some("api.example.com"), "API.example.com"),
        (Some("Api.Example.Com"), "API.example.com"),
        (Some("api.example.com."), "API.example.com"),
        (Some("www.example.com"), "*.example.com"),
        (Some("example.com"), "*.example.com"),
        (Some("a.b.example.com"), "first.example"),
        (Some(".example.com"), "*.example.com"),
        (Some("com"), "first.example"),
        (Some(""), "first.example"),
        (None, "first.example"),
    ];
    for (host, wanted) in cases {
        assert_eq!(shown(&loaded, host).unwrap()[0], wanted, "{host:?}");
    }
}

#[test]
fn who_names_no_known_host_can_be_refused() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let loaded = folder.loaded(&(pairs(&["a"]) + "\nunknown_name = \"refuse\""));
    assert!(shown(&loaded, Some("a.example")).is_some());
    assert_eq!(shown(&loaded, Some("b.example")), None);
    assert_eq!(shown(&loaded, None), None);
}

#[test]
fn the_kind_of_key_is_the_clients_choice_and_ecdsa_comes_first() {
    let folder = Folder::new();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    folder.write("rsa.crt", pem(&["a.example"], &rsa, GOOD));
    folder.write("rsa.key", rsa.serialize_pem());
    folder.pair("ecdsa", &["a.example"]);
    let loaded = folder.loaded(&pairs(&["rsa", "ecdsa"]));
    for host in [Some("a.example"), None] {
        let kind = |takes| choose(&loaded, host, takes).unwrap().key.algorithm();
        assert_eq!(kind(ANY), SignatureAlgorithm::ECDSA);
        assert_eq!(kind(ECDSA), SignatureAlgorithm::ECDSA);
        assert_eq!(kind(RSA), SignatureAlgorithm::RSA);
    }
}
