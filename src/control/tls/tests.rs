//! From a configuration and its files to what a client is shown, with certificates made here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::*;
use crate::config::{self, Settings};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64)
}

/// A certificate for these names, valid from and until so many days from now.
fn pem(names: &[&str], key: &KeyPair, days: (i64, i64)) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = at(NOW + days.0 * DAY).into();
    params.not_after = at(NOW + days.1 * DAY).into();
    params.self_signed(key).unwrap().pem()
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

const GOOD: (i64, i64) = (-1, 90);

/// A folder with a configuration.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `NAME.crt` and `NAME.key` for these names.
    fn pair(&self, name: &str, names: &[&str]) {
        let key = key();
        self.write(&format!("{name}.crt"), pem(names, &key, GOOD));
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    fn files(&self) -> Files {
        Files::beside(&self.0.path().join("tollgate.toml"))
    }

    /// What is loaded for `tls = { … }`.
    fn load(&self, tls: &str) -> Result<(Arc<Loaded>, Vec<String>), Vec<String>> {
        load_from(&mut self.files(), tls)
    }

    #[track_caller]
    fn loaded(&self, tls: &str) -> Arc<Loaded> {
        match self.load(tls) {
            Ok((loaded, warnings)) if warnings.is_empty() => loaded,
            Ok((_, said)) | Err(said) => panic!("{said:#?}"),
        }
    }

    /// The only thing that is wrong.
    #[track_caller]
    fn refused(&self, tls: &str) -> String {
        let mut said = self.load(tls).map(|_| ()).unwrap_err();
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0)
    }
}

fn text(tls: &str) -> String {
    format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:8443\"\n{tls}\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nrespond = {{ status = 200 }}\n"
    )
}

fn load_from(files: &mut Files, tls: &str) -> Result<(Arc<Loaded>, Vec<String>), Vec<String>> {
    let mut loaded = Vec::new();
    let result = config::load_with(&text(tls), "file", &|_| None, &mut |settings| {
        let remarks;
        (loaded, remarks) = load(settings, files, NOW);
        remarks
    });
    let lines = |all: Vec<config::Diagnostic>| all.iter().map(ToString::to_string).collect();
    let (_, warnings) = result.map_err(lines)?;
    Ok((loaded.remove(0).expect("a listener with TLS"), lines(warnings)))
}

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];
const ANY: &[SignatureScheme] =
    &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];

/// The names of the certificate a client is shown.
fn shown(loaded: &Loaded, host: Option<&str>) -> Option<Vec<String>> {
    loaded.names.choose(host, ANY).map(|key| names(&key))
}

fn names(key: &CertifiedKey) -> Vec<String> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(&key.cert[0]).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter();
    names
        .filter_map(|n| if let GeneralName::DNSName(n) = n { Some(n.to_string()) } else { None })
        .collect()
}

/// `[listeners.tls]` with these pairs.
fn pairs(names: &[&str]) -> String {
    let pair = |name| format!("{{ certificate = \"{name}.crt\", key = \"{name}.key\" }}");
    let pairs: Vec<String> = names.iter().map(pair).collect();
    format!("[listeners.tls]\ncertificates = [{}]", pairs.join(", "))
}

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
        let kind = |takes| loaded.names.choose(host, takes).unwrap().key.algorithm();
        assert_eq!(kind(ANY), SignatureAlgorithm::ECDSA);
        assert_eq!(kind(ECDSA), SignatureAlgorithm::ECDSA);
        assert_eq!(kind(RSA), SignatureAlgorithm::RSA);
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_place() {
    let folder = Folder::new();
    folder.pair("good", &["a.example"]);
    folder.write("other.key", key().serialize_pem());
    folder.write("text", "this is no PEM");
    folder.write("broken", "-----BEGIN CERTIFICATE-----\nMII");
    folder.write(
        "sealed",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let one = |certificate: &str, key: &str| {
        let tls = format!(
            "[listeners.tls]\ncertificates = [\n{{ certificate = \"{certificate}\",\nkey = \"{key}\" }}]"
        );
        folder.refused(&tls)
    };
    let begins = |said: String, wanted: &str| assert!(said.starts_with(wanted), "{said}\n{wanted}");
    let (certificate, key) = (
        "file:6:17: error: listeners[0].tls.certificates[0].certificate: ",
        "file:7:7: error: listeners[0].tls.certificates[0].key: ",
    );
    begins(one("gone", "good.key"), &format!("{certificate}gone: No such file"));
    begins(one("good.crt", "gone"), &format!("{key}gone: No such file"));
    begins(one("text", "good.key"), &format!("{certificate}text: there is no certificate in it"));
    begins(one("broken", "good.key"), &format!("{certificate}broken: it ends within a section"));
    begins(one("good.crt", "text"), &format!("{key}text: there is no key in it"));
    begins(one("good.crt", "sealed"), &format!("{key}sealed: the key is encrypted"));
    let said = one("good.crt", "other.key");
    begins(said, &format!("{key}other.key: the key is not that of the certificate"));
}

#[test]
fn a_certificate_out_of_its_time_is_refused_and_one_near_its_end_told() {
    let folder = Folder::new();
    let key = key();
    folder.write("a.key", key.serialize_pem());
    folder.write("a.crt", pem(&["a.example"], &key, (-100, -1)));
    let said = folder.refused(&pairs(&["a"]));
    assert!(
        said.contains("a.crt: it expired on Thu, 14 Jan 2027 08:00:00 GMT (renew it)"),
        "{said}"
    );
    folder.write("a.crt", pem(&["a.example"], &key, (1, 90)));
    let said = folder.refused(&pairs(&["a"]));
    assert!(said.contains("it is not valid before Sat, 16 Jan 2027 08:00:00 GMT"), "{said}");
    folder.write("a.crt", pem(&["a.example"], &key, (-1, 13)));
    let (_, warnings) = folder.load(&pairs(&["a"])).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("warning") && warnings[0].contains("in 13 days"), "{warnings:?}");
    folder.write("a.crt", pem(&["a.example"], &key, (-1, 14)));
    let loaded = folder.loaded(&pairs(&["a"]));
    assert_eq!(loaded.validities.soonest[0].days_left(NOW), 14);
}

#[test]
fn a_certificate_without_names_is_refused() {
    let folder = Folder::new();
    let key = key();
    folder.write("a.crt", pem(&[], &key, GOOD));
    folder.write("a.key", key.serialize_pem());
    assert!(folder.refused(&pairs(&["a"])).contains("it names no host"));
    folder.write("a.crt", pem(&["192.0.2.1", "2001:db8::1"], &key, GOOD));
    let loaded = folder.loaded(&pairs(&["a"]));
    assert_eq!(loaded.validities.soonest[0].names, ["192.0.2.1", "2001:db8::1"]);
    assert!(shown(&loaded, None).is_some());
}

#[test]
fn a_folder_is_taken_by_pairs() {
    let folder = Folder::new();
    ["a", "b"].iter().for_each(|n| folder.pair(&format!("all/{n}"), &[&format!("{n}.example")]));
    let inside = folder.0.path().join("all");
    std::fs::rename(inside.join("b.crt"), inside.join("b.pem")).unwrap();
    folder.write("all/README", "other files may be there");
    folder.write("all/asked-for.key", key().serialize_pem());
    folder.write("all/a.ocsp", [0x30, 0x03, 0x0a, 0x01, 0x00]);
    let tls = "[listeners.tls]\ncertificate_directory = \"all\"";
    let loaded = folder.loaded(tls);
    assert_eq!(loaded.validities.total, 2);
    assert_eq!(shown(&loaded, Some("b.example")).unwrap(), ["b.example"]);
    let stapled = loaded.names.choose(Some("a.example"), ANY).unwrap().ocsp.clone();
    assert_eq!(stapled.unwrap(), [0x30, 0x03, 0x0a, 0x01, 0x00]);
    let seen: Vec<PathBuf> = {
        let mut files = folder.files();
        load_from(&mut files, tls).unwrap();
        files.into_seen().into_iter().map(|seen| seen.path).collect()
    };
    let all = ["all", "all/a.crt", "all/a.key", "all/a.ocsp", "all/b.pem", "all/b.key"];
    assert_eq!(seen, all.map(|name| folder.0.path().join(name)));

    folder.write("all/c.crt", "");
    let said = folder.refused(tls);
    assert!(said.contains("tls.certificate_directory: all/c.crt: there is no key"), "{said}");
    std::fs::remove_file(inside.join("c.crt")).unwrap();
    folder.write("all/a.pem", "");
    assert!(folder.refused(tls).contains("all/a.crt: there is one that ends in .pem too"));
    folder.write("none/README", "");
    let tls = "[listeners.tls]\ncertificate_directory = \"none\"";
    assert!(folder.refused(tls).contains("none: there is no certificate in it"));
    let tls = "[listeners.tls]\ncertificate_directory = \"gone\"";
    assert!(folder.refused(tls).contains("gone: No such file"));
}

#[test]
fn an_ocsp_response_must_be_an_answer() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let tls = "[listeners.tls]\ncertificates = [{ certificate = \"a.crt\", key = \"a.key\", ocsp = \"a.ocsp\" }]";
    folder.write("a.ocsp", [0x30, 0x82, 0x00, 0x05, 0x0a, 0x01, 0x00, 0xa0, 0x00]);
    folder.loaded(tls);
    folder.write("a.ocsp", [0x30, 0x03, 0x0a, 0x01, 0x06]);
    let said = folder.refused(tls);
    assert!(said.contains("certificates[0].ocsp: a.ocsp: the responder answered with an error"));
    for nonsense in [&b""[..], b"0", b"0\xff", b"-----BEGIN"] {
        folder.write("a.ocsp", nonsense);
        assert!(folder.refused(tls).contains("this is no OCSP response"));
    }
}

/// An authority, and its revocation list.
fn authority() -> (String, String) {
    let key = key();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign, rcgen::KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap().pem();
    let list = rcgen::CertificateRevocationListParams {
        this_update: at(NOW - DAY).into(),
        next_update: at(NOW + DAY).into(),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&Issuer::new(params, key)).unwrap();
    (certificate, list.pem().unwrap())
}

#[test]
fn authorities_and_lists_are_read_and_their_faults_told() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let (ca, crl) = authority();
    folder.write("ca.pem", ca);
    folder.write("crl.pem", crl);
    let asked = |ca: &str, crl: &str| {
        format!("{}\nclient_certificates = {{ ca = \"{ca}\", crl = \"{crl}\" }}", pairs(&["a"]))
    };
    assert!(folder.loaded(&asked("ca.pem", "crl.pem")).clients.is_some());
    let said = folder.refused(&asked("gone", "crl.pem"));
    assert!(said.contains("tls.client_certificates.ca: gone: No such file"), "{said}");
    let said = folder.refused(&asked("crl.pem", "crl.pem"));
    assert!(said.contains("client_certificates.ca: crl.pem: there is no certificate in it"));
    let said = folder.refused(&asked("ca.pem", "ca.pem"));
    assert!(said.contains("client_certificates.crl: ca.pem: there is no revocation list in it"));
}

#[test]
fn sessions_outlive_a_reload_but_not_a_change_of_who_may_come() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let write_authority = || {
        let (ca, crl) = authority();
        folder.write("ca.pem", ca);
        folder.write("crl.pem", crl);
    };
    write_authority();
    let plain = pairs(&["a"]);
    let asking = |mode: &str| {
        format!(
            "{plain}\nclient_certificates = {{ mode = \"{mode}\", ca = \"ca.pem\", crl = \"crl.pem\" }}"
        )
    };
    let mut resumption = Resumption::default();
    let mut tickets = |tls: &str| {
        let settings = settings(tls);
        let loaded = [Some(folder.loaded(tls))];
        let made = resumption.configs(&settings.listeners, &loaded).unwrap().remove(0).unwrap();
        let tickets: *const _ = Arc::as_ptr(&made.config.ticketer);
        (made, tickets.cast::<()>())
    };
    let (first, tickets_first) = tickets(&plain);
    assert!(first.config.ticketer.enabled() && first.config.session_storage.can_cache());
    assert_eq!(first.config.max_early_data_size, 0);
    assert_eq!(tickets(&plain).1, tickets_first);
    let (_optional, tickets_optional) = tickets(&asking("optional"));
    let (_required, tickets_required) = tickets(&asking("required"));
    assert_eq!(tickets(&asking("required")).1, tickets_required);
    write_authority();
    let (_other, tickets_other) = tickets(&asking("required"));
    let mut all = vec![tickets_first, tickets_optional, tickets_required, tickets_other];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
}

fn settings(tls: &str) -> Settings {
    config::load(&text(tls), "file", &|_| None).unwrap().0
}

#[test]
fn versions_and_tickets_are_as_asked_for() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let made = |more: &str| {
        let tls = pairs(&["a"]) + more;
        let loaded = [Some(folder.loaded(&tls))];
        let mut configs = Resumption::default().configs(&settings(&tls).listeners, &loaded);
        configs.as_mut().unwrap().remove(0).unwrap()
    };
    let by_default = made("");
    assert!(by_default.strict_sni);
    assert_eq!(by_default.handshake_ns, 10_000_000_000);
    assert_eq!(by_default.config.alpn_protocols, [b"http/1.1"]);
    let other = made("\nsession_tickets = false\nstrict_host = false\nhandshake_timeout = \"2s\"");
    assert!(!other.config.ticketer.enabled() && other.config.session_storage.can_cache());
    assert!(!other.strict_sni);
    assert_eq!(other.handshake_ns, 2_000_000_000);
}

#[test]
fn files_may_be_in_memory() {
    let key = key();
    let certificate = pem(&["localhost"], &key, GOOD).into_bytes();
    let mut files =
        Files::memory([("a.crt", certificate), ("a.key", key.serialize_pem().into_bytes())]);
    let (loaded, _) = load_from(&mut files, &pairs(&["a"])).unwrap();
    assert!(shown(&loaded, Some("localhost")).is_some());
    assert!(files.into_seen().is_empty());
}

/// A thousand here, in a debug build: ten thousand in a release build take less time.
#[test]
fn very_many_certificates_load_quickly() {
    let folder = Folder::new();
    let key = key();
    let private = key.serialize_pem();
    let host = |n: usize| format!("host-{n}.example");
    for n in 0..1000 {
        folder.write(&format!("all/{n}.crt"), pem(&[&host(n)], &key, (-1, 90 + n as i64)));
        folder.write(&format!("all/{n}.key"), &private);
    }
    let began = Instant::now();
    let loaded = folder.loaded("[listeners.tls]\ncertificate_directory = \"all\"");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    for n in [0, 499, 999] {
        assert_eq!(shown(&loaded, Some(&host(n))).unwrap(), [host(n)]);
    }
    let Validities { soonest, total } = &loaded.validities;
    assert_eq!((soonest.len(), *total), (100, 1000));
    assert_eq!(soonest[0].names, [host(0)]);
    assert_eq!(soonest[99].names, [host(99)]);
}
