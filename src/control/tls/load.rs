//! What a listener's TLS is made of, read and checked; every mistake told with its place.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificate::{Certificate, Fault, Part, Written, certificate};
use super::clients::{Clients, clients};
use super::files::Files;
use super::resolve::Names;
use super::tickets::TicketKeys;
use super::validity::{Validities, Validity};
use crate::config::{CertificateFiles, ClientCertificates, Remark, Settings, Severity, Step, Tls};
use crate::limits::{TLS_EXPIRY_WARNING_DAYS, TLS_FILE_MAX};

/// What a listener's TLS is made of.
pub struct Loaded {
    pub(super) names: Arc<Names>,
    pub(super) clients: Option<Clients>,
    /// Keys of tickets; `None`: those of the process.
    pub(super) tickets: Option<TicketKeys>,
    /// The certificates.
    pub validities: Validities,
}

/// Reads what the listeners need, in their order (`None`: no TLS, or nothing that can be used), and
/// says what is wrong with it or will soon be. `now` in seconds since 1970.
pub fn load(
    settings: &Settings,
    files: &mut Files,
    now: i64,
) -> (Vec<Option<Arc<Loaded>>>, Vec<Remark>) {
    let mut remarks = Vec::new();
    let each = settings.listeners.iter().enumerate();
    let loaded = each
        .map(|(position, listener)| {
            let tls = listener.tls.as_ref()?;
            let at = vec![Step::Key("listeners"), Step::Item(position), Step::Key("tls")];
            let mut loader =
                Loader { files, now, at, remarks: &mut remarks, certificates: Vec::new() };
            loader.listener(tls).map(Arc::new)
        })
        .collect();
    (loaded, remarks)
}

/// One listener's.
struct Loader<'a> {
    files: &'a mut Files,
    now: i64,
    at: Vec<Step>,
    remarks: &'a mut Vec<Remark>,
    certificates: Vec<Certificate>,
}

impl Loader<'_> {
    fn listener(&mut self, tls: &Tls) -> Option<Loaded> {
        for (position, files) in tls.certificates.iter().enumerate() {
            self.listed(position, files);
        }
        if let Some(folder) = tls.certificate_directory.as_ref().filter(|f| !is_refused(f)) {
            self.folder(folder);
        }
        let clients = tls.client_certificates.as_ref().filter(|asked| !is_refused(&asked.ca));
        let clients = clients.map(|asked| self.clients(asked));
        let asked = Some(&tls.session_ticket_keys).filter(|keys| !keys.is_empty());
        let tickets = asked.map(|keys| self.tickets(keys));
        let none = self.certificates.is_empty() && tls.acme_names.is_empty();
        if none || matches!(clients, Some(None)) || matches!(tickets, Some(None)) {
            return None;
        }
        let certificates = std::mem::take(&mut self.certificates);
        let all = certificates.iter().map(|one| one.validity.clone()).collect();
        let clients = clients.flatten();
        let lists_until = clients.as_ref().and_then(|clients| clients.lists_until);
        Some(Loaded {
            names: Arc::new(Names::new(certificates, tls.unknown_name)),
            clients,
            tickets: tickets.flatten(),
            validities: Validities { lists_until, ..Validities::of(all) },
        })
    }

    /// A certificate that the configuration names.
    fn listed(&mut self, position: usize, files: &CertificateFiles) {
        if is_refused(&files.certificate) || is_refused(&files.key) {
            return;
        }
        let steps = |part: Part| {
            [Step::Key("certificates"), Step::Item(position), Step::Key(part.key())].to_vec()
        };
        self.take(files, steps);
    }

    /// The certificates of a folder.
    fn folder(&mut self, folder: &Path) {
        let steps = || vec![Step::Key("certificate_directory")];
        let names = match self.files.list(folder) {
            Ok(names) => names,
            Err(why) => {
                let message = format!("{}: {why}", folder.display());
                return self.remark(Severity::Error, steps(), message, FOLDER);
            }
        };
        let (pairs, alone) = pairs(folder, &names);
        if pairs.is_empty() && alone.is_empty() {
            let message = format!("{}: there is no certificate in it", folder.display());
            self.remark(Severity::Error, steps(), message, FOLDER);
        }
        for (path, lacks) in alone {
            let message = format!("{}: {lacks}", path.display());
            self.remark(Severity::Error, steps(), message, FOLDER);
        }
        for files in pairs {
            self.take(&files, |_| steps());
        }
    }

    /// Takes a certificate, or says what is wrong with it where `steps` lead to.
    fn take(&mut self, files: &CertificateFiles, steps: impl Fn(Part) -> Vec<Step>) {
        match self.read(files) {
            Ok(certificate) => {
                self.warn(&certificate.validity, steps(Part::Certificate), &files.certificate);
                if let Some(why) = &certificate.unstapled {
                    let file = name_of(files, Part::Ocsp).display();
                    let message = format!("{file}: {why}, and is not stapled");
                    self.remark(Severity::Warning, steps(Part::Ocsp), message, "fetch a new one");
                }
                self.certificates.push(certificate);
            }
            Err(faults) => {
                for Fault { part, message, help } in faults {
                    let message = format!("{}: {message}", name_of(files, part).display());
                    self.remark(Severity::Error, steps(part), message, help);
                }
            }
        }
    }

    /// Reads a certificate's files: all that can't be read are told at once.
    fn read(&mut self, files: &CertificateFiles) -> Result<Certificate, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut read = |path: &Path, part| {
            self.files.read(path, TLS_FILE_MAX).unwrap_or_else(|why| {
                faults.push(Fault { part, message: why, help: READABLE });
                Vec::new()
            })
        };
        let written = Written {
            chain: read(&files.certificate, Part::Certificate),
            key: read(&files.key, Part::Key),
            ocsp: files.ocsp.as_ref().filter(|f| !is_refused(f)).map(|f| read(f, Part::Ocsp)),
        };
        if faults.is_empty() {
            return certificate(written, self.now).map_err(|fault| vec![fault]);
        }
        Err(faults)
    }

    /// What clients show; `None`: it can't be used, which is told.
    fn clients(&mut self, asked: &ClientCertificates) -> Option<Clients> {
        let steps = |key| vec![Step::Key("client_certificates"), Step::Key(key)];
        if asked.crl.as_deref().is_some_and(is_refused) {
            return None;
        }
        match clients(asked, self.files, self.now) {
            Ok(clients) => {
                if let (Some(old), Some(crl)) = (&clients.stale, &asked.crl) {
                    let message = format!("{}: {old}", crl.display());
                    self.remark(Severity::Warning, steps("crl"), message, "fetch it");
                }
                Some(clients)
            }
            Err((key, why)) => {
                let file = if key == "crl" { asked.crl.as_deref() } else { None };
                let message = format!("{}: {why}", file.unwrap_or(&asked.ca).display());
                self.remark(Severity::Error, steps(key), message, "write a bundle in PEM");
                None
            }
        }
    }

    /// The keys of tickets; `None`: they can't be used, which is told.
    fn tickets(&mut self, paths: &[PathBuf]) -> Option<TicketKeys> {
        if paths.iter().any(|path| is_refused(path)) {
            return None;
        }
        let wrong = match TicketKeys::read(paths.iter().map(PathBuf::as_path), self.files) {
            Ok(keys) => return Some(keys),
            Err(wrong) => wrong,
        };
        for (position, (why, help)) in wrong {
            let steps = vec![Step::Key("session_ticket_keys"), Step::Item(position)];
            let message = format!("{}: {why}", paths[position].display());
            self.remark(Severity::Error, steps, message, help);
        }
        None
    }

    fn warn(&mut self, validity: &Validity, steps: Vec<Step>, file: &Path) {
        let days = validity.days_left(self.now);
        if days < TLS_EXPIRY_WARNING_DAYS {
            let message = format!("{}: it expires in {days} days", file.display());
            self.remark(Severity::Warning, steps, message, "renew it");
        }
    }

    fn remark(
        &mut self,
        severity: Severity,
        steps: Vec<Step>,
        message: String,
        help: &'static str,
    ) {
        let at = self.at.iter().cloned().chain(steps).collect();
        self.remarks.push(Remark { severity, at, message, help: help.to_owned() });
    }
}

const READABLE: &str =
    "relative names are looked up beside the configuration; the gateway must be allowed to read it";

const FOLDER: &str = "put NAME.crt or NAME.pem beside NAME.key there";

/// What the checker has refused already, and said so.
fn is_refused(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn name_of(files: &CertificateFiles, part: Part) -> &Path {
    match part {
        Part::Certificate => &files.certificate,
        Part::Key => &files.key,
        Part::Ocsp => files.ocsp.as_deref().unwrap_or(&files.certificate),
    }
}

/// The pairs of a folder by name, and what stands there alone, with what it lacks. Other files may
/// be there; a key without a certificate is one that is being asked for.
fn pairs(
    folder: &Path,
    names: &[OsString],
) -> (Vec<CertificateFiles>, Vec<(PathBuf, &'static str)>) {
    let mut found: BTreeMap<&OsStr, [Option<PathBuf>; 4]> = BTreeMap::new();
    for name in names {
        let name = Path::new(name);
        let kind = ["crt", "pem", "key", "ocsp"];
        let kind = kind.iter().position(|kind| name.extension() == Some(OsStr::new(kind)));
        if let (Some(stem), Some(kind)) = (name.file_stem(), kind) {
            found.entry(stem).or_default()[kind] = Some(folder.join(name));
        }
    }
    let (mut pairs, mut alone) = (Vec::new(), Vec::new());
    for [crt, pem, key, ocsp] in found.into_values() {
        match (crt, pem, key) {
            (Some(crt), Some(_), _) => alone.push((crt, "there is one that ends in .pem too")),
            (Some(certificate), None, Some(key)) | (None, Some(certificate), Some(key)) => {
                pairs.push(CertificateFiles { certificate, key, ocsp });
            }
            (Some(certificate), None, None) | (None, Some(certificate), None) => {
                alone.push((certificate, "there is no key of that name beside it"));
            }
            (None, None, _) => {}
        }
    }
    (pairs, alone)
}
