//! `client_certificate` of a route: what a client's certificate must say.

use std::net::IpAddr;

use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::identity::{ClientAttribute, ClientTest};
use crate::limits::CONFIG_MAX_CLIENTS;

pub(super) fn tests(
    written: Option<&file::ClientCertificateMatch>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<ClientTest> {
    let Some(written) = written else { return Vec::new() };
    let each = [
        (ClientAttribute::Fingerprint, &written.fingerprint),
        (ClientAttribute::Subject, &written.subject),
        (ClientAttribute::SanDns, &written.san_dns),
        (ClientAttribute::SanUri, &written.san_uri),
        (ClientAttribute::SanEmail, &written.san_email),
        (ClientAttribute::SanIp, &written.san_ip),
    ];
    let mut tests = Vec::new();
    for (attribute, values) in each {
        let Some(values) = values else { continue };
        let any_of = any_of(attribute, values.all(), &place.key(attribute.key()), report);
        tests.push(ClientTest { attribute, any_of });
    }
    if tests.is_empty() && !place.damaged() {
        let help = "write `san_dns = \"client.example.com\"`, `fingerprint` or the like";
        report.error(&place.trail, "nothing is asked of the certificate", help);
    }
    tests
}

fn any_of(
    attribute: ClientAttribute,
    values: &[String],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<String> {
    if values.is_empty() {
        report.error(&place.trail, "no value is listed", "write one, or leave the key out");
    }
    if values.len() > CONFIG_MAX_CLIENTS {
        let message = format!("{} values are too many to look through", values.len());
        report.error(&place.trail, message, format!("write at most {CONFIG_MAX_CLIENTS}"));
    }
    let mut shown = Vec::with_capacity(values.len());
    for value in values {
        match as_shown(attribute, value) {
            Ok(value) => shown.push(value),
            Err(help) => {
                let message = format!("no certificate has the {} {value:?}", attribute.key());
                report.error(&place.trail, message, help);
            }
        }
    }
    shown
}

/// A value in the form that certificates are compared in, or what to write instead.
fn as_shown(attribute: ClientAttribute, value: &str) -> Result<String, &'static str> {
    const AS_LOGGED: &str = "write it as the access log shows it: printable ASCII, else escaped";
    let is_item = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    match attribute {
        ClientAttribute::Fingerprint => {
            let bare = value.replace(':', "").to_ascii_lowercase();
            let is_digest = bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit());
            is_digest
                .then_some(bare)
                .ok_or("write the SHA-256 in hex, as `openssl x509 -fingerprint -sha256` shows it")
        }
        ClientAttribute::Subject | ClientAttribute::Serial => {
            if value.is_empty() || value.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
                return Err(AS_LOGGED);
            }
            let is_slashed = value.starts_with('/');
            if is_slashed || !value.contains('=') {
                return Err("write it as RFC 4514 has it: \"CN=client,O=Example\"");
            }
            Ok(value.to_owned())
        }
        ClientAttribute::SanDns if is_item => Ok(value.to_ascii_lowercase()),
        ClientAttribute::SanUri | ClientAttribute::SanEmail if is_item => Ok(value.to_owned()),
        ClientAttribute::SanIp => {
            let address = value.parse::<IpAddr>().map(|address| address.to_string());
            address.map_err(|_| "write an address like \"192.0.2.1\" or \"2001:db8::1\"")
        }
        ClientAttribute::SanDns | ClientAttribute::SanUri | ClientAttribute::SanEmail => {
            Err(AS_LOGGED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_in_the_form_that_certificates_have() {
        let colons = ["AB"; 32].join(":");
        assert_eq!(as_shown(ClientAttribute::Fingerprint, &colons), Ok("ab".repeat(32)));
        assert_eq!(as_shown(ClientAttribute::SanDns, "A.Example"), Ok("a.example".into()));
        let address = as_shown(ClientAttribute::SanIp, "2001:DB8:0::1");
        assert_eq!(address, Ok("2001:db8::1".into()));
        for (attribute, value) in [
            (ClientAttribute::Fingerprint, "ab"),
            (ClientAttribute::Subject, ""),
            (ClientAttribute::Subject, "/CN=a"),
            (ClientAttribute::Subject, "CN=Zoë"),
            (ClientAttribute::SanDns, "a, b"),
            (ClientAttribute::SanUri, ""),
            (ClientAttribute::SanIp, "10.0.0.0/8"),
        ] {
            assert!(as_shown(attribute, value).is_err(), "{value:?}");
        }
    }
}
