//! Certificates from files, as seen from outside: what is checked, told, and loaded again.

use std::fs;

use crate::harness::{Builder, Driver, Gateway, Pair, complete, eventually, run, run_with_files};

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
