//! Files, and what is said about them.

use std::path::PathBuf;
use std::time::Instant;

use super::*;

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
    begins(one(".", "good.key"), &format!("{certificate}.: this is no file"));
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
    let answer = folder.response("all/a", Some("20270301000000Z"));
    folder.write("all/a.ocsp", &answer);
    let tls = "[listeners.tls]\ncertificate_directory = \"all\"";
    let loaded = folder.loaded(tls);
    assert_eq!(loaded.validities.total, 2);
    assert_eq!(shown(&loaded, Some("b.example")).unwrap(), ["b.example"]);
    let stapled = choose(&loaded, Some("a.example"), ANY).unwrap().ocsp.clone();
    assert_eq!(stapled.unwrap(), answer);
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
    folder.write("a.ocsp", folder.response("a", None));
    folder.loaded(tls);
    folder.write("a.ocsp", [0x30, 0x03, 0x0a, 0x01, 0x06]);
    let said = folder.refused(tls);
    assert!(said.contains("certificates[0].ocsp: a.ocsp: the responder answered with an error"));
    for nonsense in [&b""[..], b"0", b"0\xff", b"-----BEGIN", b"0\x03\x0a\x01\0"] {
        folder.write("a.ocsp", nonsense);
        assert!(folder.refused(tls).contains("this is no OCSP response"));
    }
}

#[test]
fn an_ocsp_response_that_would_stop_clients_is_not_stapled() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    folder.pair("b", &["b.example"]);
    let tls = "[listeners.tls]\ncertificates = [{ certificate = \"a.crt\", key = \"a.key\", ocsp = \"a.ocsp\" }]";
    let stapled = |loaded: &Loaded| {
        let until = loaded.validities.soonest[0].ocsp_until;
        (choose(loaded, None, ANY).unwrap().ocsp.is_some(), until)
    };
    folder.write("a.ocsp", folder.response("a", Some("20270115080000Z")));
    assert_eq!(stapled(&folder.loaded(tls)), (true, Some(NOW)));
    for (response, why) in [
        (
            folder.response("a", Some("20270115075959Z")),
            "it was good until Fri, 15 Jan 2027 07:59:59 GMT",
        ),
        (folder.response("b", None), "it is about another certificate"),
    ] {
        folder.write("a.ocsp", response);
        let (loaded, said) = folder.load(tls).unwrap();
        assert_eq!(stapled(&loaded), (false, None));
        let wanted = format!("tls.certificates[0].ocsp: a.ocsp: {why}, and is not stapled");
        assert!(said.len() == 1 && said[0].contains(&wanted), "{said:?}");
    }
}

#[test]
fn authorities_and_lists_are_read_and_their_faults_told() {
    let folder = Folder::new();
    folder.pair("a", &["a.example"]);
    let authority = Authority::new();
    folder.write("ca.pem", &authority.certificate);
    folder.write("crl.pem", authority.list(&[], 30));
    let asked = |ca: &str, crl: &str| {
        format!("{}\nclient_certificates = {{ ca = \"{ca}\", crl = \"{crl}\" }}", pairs(&["a"]))
    };
    let loaded = folder.loaded(&asked("ca.pem", "crl.pem"));
    assert!(loaded.clients.is_some());
    assert_eq!(loaded.validities.lists_until, Some(NOW + 30 * DAY));
    let said = folder.refused(&asked("gone", "crl.pem"));
    assert!(said.contains("tls.client_certificates.ca: gone: No such file"), "{said}");
    let said = folder.refused(&asked("crl.pem", "crl.pem"));
    assert!(said.contains("client_certificates.ca: crl.pem: there is no certificate in it"));
    let said = folder.refused(&asked("ca.pem", "ca.pem"));
    assert!(said.contains("client_certificates.crl: ca.pem: there is no revocation list in it"));
    for (days, told) in [(0, "was due on Fri, 15 Jan 2027"), (-1, "was due on Thu, 14 Jan 2027")] {
        folder.write("crl.pem", authority.list(&[], days));
        let (_, warnings) = folder.load(&asked("ca.pem", "crl.pem")).unwrap();
        assert!(warnings[0].contains(&format!("crl.pem: a newer list {told}")), "{warnings:?}");
        assert!(warnings[0].contains("are refused"), "{warnings:?}");
    }
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

/// A thousand here; ten thousand take a second in a debug build.
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
    let Validities { soonest, total, .. } = &loaded.validities;
    assert_eq!((soonest.len(), *total), (100, 1000));
    assert_eq!(soonest[0].names, [host(0)]);
    assert_eq!(soonest[99].names, [host(99)]);
}
