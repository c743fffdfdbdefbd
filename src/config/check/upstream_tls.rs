//! `[upstreams.NAME.tls]`. Whether the files are any good is for whoever reads them.

use super::tls::path;
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::upstream_tls::UpstreamTls;

pub(super) fn upstream_tls(
    written: file::UpstreamTls,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> UpstreamTls {
    if written.danger_skip_verification && written.roots.is_some() {
        let help = "leave out `danger_skip_verification`, so that `roots` count";
        report.error(
            &place.key("danger_skip_verification").trail,
            "nobody looks at `roots` where nothing is verified",
            help,
        );
    }
    let identity = match (written.certificate, written.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((
            path(Some(certificate), &place.key("certificate"), "file", report),
            path(Some(key), &place.key("key"), "file", report),
        )),
        (Some(_), None) => {
            report.error(&place.key("certificate").trail, "its key is missing", "write `key` too");
            None
        }
        (None, Some(_)) => {
            let help = "write `certificate` too";
            report.error(&place.key("key").trail, "its certificate is missing", help);
            None
        }
    };
    UpstreamTls {
        roots: written.roots.map(|name| path(Some(name), &place.key("roots"), "file", report)),
        server_name: written
            .server_name
            .filter(|name| is_name(name, &place.key("server_name"), report)),
        identity,
        danger_skip_verification: written.danger_skip_verification,
    }
}

/// A host name or an address, as it stands in a certificate.
fn is_name(name: &str, place: &Place<'_>, report: &mut Report<'_>) -> bool {
    let good = rustls::pki_types::ServerName::try_from(name).is_ok();
    if !good {
        let help = "write a host name like \"app.internal\", without a port";
        report.error(&place.trail, format!("{name:?} is no name that a certificate has"), help);
    }
    good
}
