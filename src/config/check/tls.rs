//! `[listeners.tls]`. Whether the files are any good is for whoever reads them.

use std::path::PathBuf;

use super::{acme_names, timeout};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::tls::{CertificateFiles, ClientCertificates, Tls};
use crate::limits::TLS_TICKET_KEYS;

pub(super) fn tls(written: file::Tls, place: &Place<'_>, report: &mut Report<'_>) -> Tls {
    let directory = place.key("certificate_directory");
    let certificates = place.key("certificates");
    let names = place.key("acme_names");
    let some = !written.certificates.is_empty() || directory.written() || names.written();
    if !some && !place.damaged() {
        let help = "write `certificates = [{ certificate = \"chain.pem\", key = \"key.pem\" }]`, \
                    `certificate_directory` or `acme_names`";
        report.error(&place.trail, "there is no certificate to show", help);
    }
    let session_ticket_keys = ticket_keys(&written, place, report);
    let early_data = early_data(&written, &place.key("early_data"), report);
    let each = written.certificates.into_iter().enumerate();
    Tls {
        certificates: each
            .map(|(position, files)| certificate(files, &certificates.item(position), report))
            .collect(),
        certificate_directory: written
            .certificate_directory
            .map(|folder| path(Some(folder), &directory, "folder", report)),
        acme_names: acme_names::names(written.acme_names, &names, report),
        min_version: written.min_version,
        unknown_name: written.unknown_name,
        strict_host: written.strict_host,
        handshake_timeout: timeout(
            written.handshake_timeout,
            &place.key("handshake_timeout"),
            report,
        ),
        session_tickets: written.session_tickets,
        session_ticket_keys,
        early_data,
        client_certificates: written
            .client_certificates
            .map(|asked| clients(asked, &place.key("client_certificates"), report)),
    }
}

fn certificate(
    written: file::Certificate,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> CertificateFiles {
    let mut file = |key: &'static str, name| path(name, &place.key(key), "file", report);
    CertificateFiles {
        certificate: file("certificate", written.certificate),
        key: file("key", written.key),
        ocsp: written.ocsp.map(|name| file("ocsp", Some(name))),
    }
}

/// A ticket can be shown twice, and early data with it.
fn early_data(written: &file::Tls, place: &Place<'_>, report: &mut Report<'_>) -> bool {
    if written.early_data && written.session_tickets {
        let message =
            "early data could be replayed: a session in a ticket is resumed any number of times";
        let help = "write `session_tickets = false` beside it, or remove it";
        report.error(&place.trail, message, help);
    }
    written.early_data
}

fn ticket_keys(written: &file::Tls, place: &Place<'_>, report: &mut Report<'_>) -> Vec<PathBuf> {
    let (place, keys) = (place.key("session_ticket_keys"), &written.session_ticket_keys);
    if keys.is_empty() && place.given() {
        let help = "write the names of files, or leave `session_ticket_keys` out";
        report.error(&place.trail, "no file is listed", help);
    } else if keys.len() > TLS_TICKET_KEYS {
        let message = format!("{} keys of tickets are too many", keys.len());
        report.error(&place.trail, message, format!("write at most {TLS_TICKET_KEYS}"));
    } else if !keys.is_empty() && !written.session_tickets {
        let help = "remove it, or `session_tickets = false`";
        report.error(&place.trail, "there are no tickets to make with these keys", help);
    }
    let each = keys.iter().enumerate();
    each.map(|(at, name)| path(Some(name.clone()), &place.item(at), "file", report)).collect()
}

fn clients(
    written: file::ClientCertificates,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> ClientCertificates {
    let mut file = |key: &'static str, name| path(name, &place.key(key), "file", report);
    ClientCertificates {
        mode: written.mode,
        ca: file("ca", written.ca),
        crl: written.crl.map(|name| file("crl", Some(name))),
        forward: written.forward,
    }
}

/// A path; an empty one where there is none, or one that is no good.
pub(super) fn path(
    written: Option<String>,
    place: &Place<'_>,
    kind: &str,
    report: &mut Report<'_>,
) -> PathBuf {
    let Some(written) = written else { return PathBuf::new() };
    if written.is_empty() || written.contains('\0') {
        let message = format!("this is not a path of a {kind}");
        report.error(&place.trail, message, format!("write the {kind}'s name"));
        return PathBuf::new();
    }
    written.into()
}
