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

#[test]
fn a_certificate_that_was_asked_for_counts_more_than_a_wildcard_and_less_than_a_file() {
    let folder = Folder::new();
    folder.pair("wild", &["*.a.example"]);
    folder.pair("file", &["file.a.example"]);
    let loaded = folder.loaded(&pairs(&["wild", "file"]));
    let given = ["asked.a.example", "file.a.example"].map(|name| {
        let key = key();
        let chain = pem(&[name, "issued.example"], &key, GOOD);
        let given = Given::fresh(&chain, &key.serialize_pem(), name, NOW).unwrap();
        (name.to_owned(), given)
    });
    let issued = Issued { given: Arc::new(given.into()), proofs: Arc::default() };
    let mut tls = settings(&pairs(&["wild"])).listeners[0].tls.clone().unwrap();
    tls.acme_names = ["asked.a.example", "file.a.example"].map(str::to_owned).to_vec();
    let issued = issued.names(&tls);
    let shown = Shown { files: loaded.names.clone(), issued, proofs: Arc::default() };
    let shown = |host| names(&shown.choose(Some(host), ANY).unwrap());
    assert_eq!(shown("asked.a.example"), ["asked.a.example", "issued.example"]);
    assert_eq!(shown("file.a.example"), ["file.a.example"]);
    assert_eq!(shown("other.a.example"), ["*.a.example"]);
}

#[test]
fn what_comes_from_a_server_is_held_against_the_name_and_the_clock() {
    let key = key();
    let fresh = |days, name: &str| {
        let chain = pem(&["a.example"], &key, days);
        Given::fresh(&chain, &key.serialize_pem(), name, NOW).map(|given| given.validity().clone())
    };
    assert!(fresh(GOOD, "a.example").is_ok());
    assert_eq!(fresh(GOOD, "b.example").unwrap_err(), "it is not for b.example");
    assert!(fresh((-90, -1), "a.example").unwrap_err().contains("it expired"));
    // What was good once is shown until there is a better one.
    let old = pem(&["a.example"], &key, (-90, -1));
    assert!(Given::kept(&old, &key.serialize_pem()).is_ok());
    assert!(Given::kept(&old, &super::key().serialize_pem()).is_err());
}
