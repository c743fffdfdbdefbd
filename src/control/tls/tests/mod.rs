//! From a configuration and its files to what a client is shown, with certificates made here.

mod loading;
mod names;
mod serving;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use super::resolve::Shown;
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

    /// An OCSP response about the certificate in `NAME.crt`.
    fn response(&self, name: &str, until: Option<&str>) -> Vec<u8> {
        use rustls_pki_types::{CertificateDer, pem::PemObject};
        use x509_parser::prelude::{FromDer, X509Certificate};
        let path = self.0.path().join(format!("{name}.crt"));
        let der = CertificateDer::from_pem_file(path).unwrap();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        super::staple::tests::response(parsed.raw_serial(), until)
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
    let result = config::load_with(&text(tls), "file", &|_| None, &mut |settings, _| {
        let remarks;
        (loaded, remarks) = load(settings, files, NOW);
        remarks
    });
    let lines = |all: Vec<config::Diagnostic>| all.iter().map(ToString::to_string).collect();
    let (_, warnings) = result.map_err(lines)?;
    Ok((loaded.remove(0).expect("a listener with TLS"), lines(warnings)))
}

const ANY: &[SignatureScheme] =
    &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];

/// The names of the certificate a client is shown.
fn shown(loaded: &Loaded, host: Option<&str>) -> Option<Vec<String>> {
    choose(loaded, host, ANY).map(|key| names(&key))
}

/// What a client is shown that names this host and takes these signatures.
fn choose(
    loaded: &Loaded,
    host: Option<&str>,
    takes: &[SignatureScheme],
) -> Option<Arc<CertifiedKey>> {
    let issued = Issued::default().names(settings(&pairs(&["a"])).listeners[0].tls.as_ref()?);
    let shown = Shown { files: loaded.names.clone(), issued, proofs: Arc::default() };
    shown.choose(host, takes)
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

fn settings(tls: &str) -> Settings {
    config::load(&text(tls), "file", &|_| None).unwrap().0
}

/// Signs clients' certificates, and revokes them.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = key();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages =
            vec![rcgen::KeyUsagePurpose::CrlSign, rcgen::KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A list of revoked certificates, to be replaced so many days from now.
    fn list(&self, revoked: &[u64], days: i64) -> String {
        let revoked = revoked.iter().map(|serial| rcgen::RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: at(NOW - 100 * DAY).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = rcgen::CertificateRevocationListParams {
            this_update: at(NOW - 100 * DAY).into(),
            next_update: at(NOW + days * DAY).into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A client's certificate and key.
    fn client(&self, serial: u64) -> (rcgen::Certificate, KeyPair) {
        let key = key();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}
