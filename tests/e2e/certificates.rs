//! Certificates from files, as seen from outside: what is checked, told, and loaded again.

use std::fs;
use std::path::Path;

use rustls::version;

use crate::harness::{
    BOTH, Builder, Client, Driver, Gateway, Pair, Signer, complete, eventually, run,
    run_with_files, staple,
};

const TLS: &str = "[server]\nworkers = 1\n[[listeners]]\nname = \"secure\"\nlisten = \"127.0.0.1:0\"\n\
    [listeners.tls]\ncertificates = [{ certificate = \"a.crt\", key = \"a.key\" }]\n\
    [[routes]]\nname = \"it\"\npath = \"/*\"\nrespond = { status = 204 }\n";

/// A gateway that shows this certificate.
fn showing(driver: Driver, pair: &Pair) -> Builder {
    let builder = Gateway::with(driver, TLS);
    builder.file("a.crt", pair.certificate.as_str()).file("a.key", pair.key.as_str())
}

/// The first name of the listener's certificate.
fn name(gateway: &Gateway) -> String {
    let stats = gateway.stats();
    let certificate = &stats.0["listeners"][0]["tls"]["certificates"][0];
    certificate["names"][0].as_str().expect("a name").to_owned()
}

both_drivers!(
    a_changed_certificate_is_taken_up_with_its_key,
    what_cannot_be_used_keeps_what_was,
    one_near_its_end_is_told,
    an_ocsp_response_is_stapled_from_its_file,
);

fn a_changed_certificate_is_taken_up_with_its_key(driver: Driver) {
    let gateway = showing(driver, &Pair::new(&["one.example"])).start();
    assert_eq!(name(&gateway), "one.example");
    let new = Pair::new(&["two.example"]);
    fs::write(gateway.folder().join("a.crt"), &new.certificate).expect("the certificate");
    fs::write(gateway.folder().join("a.key"), &new.key).expect("the key");
    eventually("both were written", || name(&gateway) == "two.example");
    assert_eq!(gateway.stats().number("/config/reloads/failed"), 0);
    let metrics = gateway.admin_get("/metrics").expect(200).text();
    let sample =
        "tollgate_certificate_expiry_timestamp_seconds{listener=\"secure\",name=\"two.example\"} ";
    assert!(metrics.contains(sample), "{metrics}");
}

fn what_cannot_be_used_keeps_what_was(driver: Driver) {
    let gateway = showing(driver, &Pair::new(&["one.example"])).start();
    let key = gateway.folder().join("a.key");
    let good = fs::read_to_string(&key).expect("the key");
    fs::write(&key, Pair::new(&["one.example"]).key).expect("another key");
    gateway.wait_log("the reason", |line| line.contains("a.key: the key is not that"));
    assert_eq!(name(&gateway), "one.example");
    assert_eq!(gateway.stats().generation(), 1);
    let refused = gateway.admin_post("/reload").expect(422).text();
    assert!(refused.contains("listeners[0].tls.certificates[0].key"), "{refused}");
    // What is gone is waited for; what is there again is taken up.
    fs::remove_file(&key).expect("the key");
    let refused = gateway.admin_post("/reload").expect(422).text();
    assert!(refused.contains("a.key: No such file"), "{refused}");
    fs::write(&key, good).expect("the key");
    gateway.wait_stats("the good key", |stats| stats.generation() == 2);
}

fn one_near_its_end_is_told(driver: Driver) {
    let gateway = showing(driver, &Pair::for_days(&["one.example"], 5)).start();
    gateway.wait_log("the days left", |line| line.contains("a.crt: it expires in 5 days"));
    let stats = gateway.stats();
    assert_eq!(stats.0["listeners"][0]["tls"]["certificates"][0]["days_left"], 5);
}

fn an_ocsp_response_is_stapled_from_its_file(driver: Driver) {
    let signer = Signer::new();
    let own = signer.certify_with(&["a.example"], |params| params.serial_number = Some(77.into()));
    let response = staple::good(&[77]);
    let gateway = Gateway::with(driver, TLS.replace("\"a.key\"", "\"a.key\", ocsp = \"a.ocsp\""))
        .file("a.crt", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("a.ocsp", response.as_slice())
        .start();
    let secure = gateway.address("secure");
    for only in [&version::TLS12, &version::TLS13] {
        let (tls, shown) = staple::client(&signer, &[only]);
        Client::connect_tls(secure, &tls, "a.example");
        assert_eq!(*shown.lock().expect("no panic"), response, "{only:?}");
    }
    // A new one is taken up; one about another certificate is not shown.
    let (tls, shown) = staple::client(&signer, BOTH);
    let last = |serial: &[u8]| {
        fs::write(gateway.folder().join("a.ocsp"), staple::good(serial)).expect("a response");
        gateway.admin_post("/reload").expect(200);
        Client::connect_tls(secure, &tls, "a.example");
        std::mem::take(&mut *shown.lock().expect("no panic"))
    };
    assert_eq!(last(&[78]), b"");
    gateway.wait_log("why it is not", |line| line.contains("a.ocsp") && line.contains("stapled"));
    assert_eq!(last(&[77]), response);
}

const MANY: usize = 10_000;

/// A folder of many certificates of this authority, with one key.
fn many(signer: &Signer) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let key = rcgen::KeyPair::generate().expect("a key");
    for n in 0..MANY {
        let params = rcgen::CertificateParams::new([format!("host-{n}.example")]);
        let made = params.expect("a name").signed_by(&key, signer.issuer()).expect("one");
        fs::write(folder.path().join(format!("{n}.crt")), made.pem()).expect("a file");
        fs::write(folder.path().join(format!("{n}.key")), key.serialize_pem()).expect("a file");
    }
    folder
}

#[test]
fn ten_thousand_are_chosen_from_by_name() {
    let signer = Signer::new();
    let folder = many(&signer);
    for driver in [Driver::IoUring, Driver::Epoll].into_iter().filter(|d| d.allowed_here()) {
        chooses_from_many(driver, folder.path(), &signer);
    }
}

fn chooses_from_many(driver: Driver, folder: &Path, signer: &Signer) {
    let from = format!("certificate_directory = \"{}\"", folder.display());
    let listed = "certificates = [{ certificate = \"a.crt\", key = \"a.key\" }]";
    // Ready within the harness's patience.
    let gateway = Gateway::start(driver, TLS.replace(listed, &from));
    let tls = signer.client(BOTH);
    for n in [0, 1, 4_711, MANY - 1] {
        // The client checks that the certificate is for the name.
        Client::connect_tls(gateway.address("secure"), &tls, &format!("host-{n}.example"));
    }
    let stranger = format!("host-{MANY}.example");
    assert!(Client::try_connect_tls(gateway.address("secure"), &tls, &stranger).is_err());
    let tls = gateway.stats().0["listeners"][0]["tls"].clone();
    let shown = tls["certificates"].as_array().map_or(0, Vec::len);
    assert_eq!(shown + tls["certificates_not_shown"].as_u64().unwrap_or(0) as usize, MANY);
}

#[test]
fn check_reads_the_files_and_tells_their_mistakes_with_all_others() {
    let pair = Pair::for_days(&["a.example"], 0);
    let files = |text| [("a.toml", text), ("a.crt", pair.certificate.as_str())];
    let text = complete(TLS).replace("status = 204", "status = 2040");
    let checked = run_with_files(&files(text.as_str()), &["check", "-c", "a.toml"]);
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    let key = "a.toml:7:48: error: listeners[0].tls.certificates[0].key: a.key: No such file";
    assert!(said.contains(key), "{said}");
    assert!(said.contains("respond.status"), "{said}");
}

#[test]
fn names_are_looked_up_beside_the_configuration_and_explain_reads_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("tollgate.toml");
    fs::write(&config, complete(TLS)).expect("a file");
    let config = config.to_str().expect("a path");
    let url = ["explain", "-c", config, "GET", "https://a.example/"];
    assert!(run(&url).status.success());
    assert!(!run(&["check", "-c", config]).status.success());
    let pair = Pair::new(&["a.example"]);
    fs::write(folder.path().join("a.crt"), pair.certificate).expect("a file");
    fs::write(folder.path().join("a.key"), pair.key).expect("a file");
    assert!(run(&["check", "-c", config]).status.success());
}
