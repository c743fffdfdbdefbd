//! `[acme]`, and what listeners want of it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::tls::path;
use super::words;
use crate::config::acme::{Acme, Challenge, ExternalAccount};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::settings::Listener;
use crate::config::tls::ClientCertificateMode;
use crate::limits::ACME_MAX_NAMES;

pub(super) fn acme(written: file::Acme, place: &Place<'_>, report: &mut Report<'_>) -> Acme {
    let directory = place.key("directory");
    if !is_https(&written.directory) {
        let help = "write a URL like \"https://acme-v02.api.letsencrypt.org/directory\"";
        report.error(&directory.trail, "ACME is spoken over https only", help);
    }
    if written.agree_to_terms == Some(false) {
        let help = "read the server's terms of service, then write `agree_to_terms = true`";
        let message = "without that no server makes an account";
        report.error(&place.key("agree_to_terms").trail, message, help);
    }
    let contacts = place.key("contact");
    let each = written.contact.iter().enumerate();
    Acme {
        contact: each.map(|(at, text)| contact(text, &contacts.item(at), report)).collect(),
        challenge: written.challenge,
        roots: written.roots.map(|name| path(Some(name), &place.key("roots"), "file", report)),
        external_account: written
            .external_account
            .map(|written| external_account(written, &place.key("external_account"), report)),
        directory: written.directory,
    }
}

/// RFC 8555 section 6.1.
fn is_https(url: &str) -> bool {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(|b| b.is_ascii_graphic())
}

/// A mail address as a URL (RFC 8555 section 7.3).
fn contact(text: &str, place: &Place<'_>, report: &mut Report<'_>) -> String {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let plain = |b: u8| b.is_ascii_graphic() && !b",?\"<>".contains(&b);
    let parts = address.split_once('@').filter(|(who, _)| !who.is_empty());
    let good = parts.is_some_and(|(_, host)| words::is_dns_name(host));
    if !good || !address.bytes().all(plain) {
        let help = "write one address, like \"ops@example.com\"";
        report.error(&place.trail, format!("{text:?} is no mail address"), help);
    }
    format!("mailto:{address}")
}

fn external_account(
    written: file::ExternalAccount,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> ExternalAccount {
    if written.key_id.as_deref() == Some("") {
        let help = "write the name that the authority gave it";
        report.error(&place.key("key_id").trail, "no account has an empty name", help);
    }
    let key = written.key.map(|key| {
        let key = URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')).unwrap_or_default();
        if key.is_empty() {
            // It is not repeated: it is a secret.
            let help = "write it as the authority gave it, by way of the environment";
            report.error(&place.key("key").trail, "this is no key in base64url", help);
        }
        key
    });
    ExternalAccount { key_id: written.key_id.unwrap_or_default(), key: key.unwrap_or_default() }
}

/// What the listeners want, held against what is there to get it with.
pub(super) fn wishes(
    listeners: &[Listener],
    acme: Option<&Acme>,
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    let mut wanted = BTreeSet::new();
    let listed = top.key("listeners");
    for (position, listener) in listeners.iter().enumerate() {
        let Some(tls) = listener.tls.as_ref().filter(|tls| !tls.acme_names.is_empty()) else {
            continue;
        };
        wanted.extend(&tls.acme_names);
        if acme.is_none() && !top.key("acme").written() {
            let item = listed.item(position);
            let tls = item.key("tls");
            let message = "nothing says whom to ask for certificates";
            let help = "write a table [acme] with `agree_to_terms = true`";
            report.error(&tls.key("acme_names").trail, message, help);
        }
    }
    let place = top.key("acme");
    if wanted.len() > ACME_MAX_NAMES {
        let message = format!("{} names are too many for one account", wanted.len());
        let help = format!("list at most {ACME_MAX_NAMES} in all");
        report.error(&place.trail, message, help);
    }
    match acme {
        Some(_) if wanted.is_empty() => {
            let help = "write `acme_names` in `listeners.tls`, or leave [acme] out";
            report.warning(
                &place.trail,
                "no listener has `acme_names`: nothing is asked for",
                help,
            );
        }
        Some(acme) => provable(acme.challenge, listeners, &place.key("challenge"), report),
        None => {}
    }
}

/// A server that finds nobody to answer its challenge gives no certificate.
fn provable(
    challenge: Challenge,
    listeners: &[Listener],
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let answers = |listener: &Listener| match (challenge, &listener.tls) {
        (Challenge::Http01, tls) => tls.is_none(),
        (Challenge::TlsAlpn01, None) => false,
        (Challenge::TlsAlpn01, Some(tls)) => {
            let asked = tls.client_certificates.as_ref();
            !asked.is_some_and(|asked| asked.mode == ClientCertificateMode::Required)
        }
    };
    if listeners.iter().any(answers) {
        return;
    }
    let (message, help) = match challenge {
        Challenge::Http01 => (
            "http-01 is asked at port 80, and no listener speaks plain HTTP",
            "add a listener without `tls`, or write \"tls-alpn-01\"",
        ),
        Challenge::TlsAlpn01 => (
            "tls-alpn-01 is asked without a client's certificate, which every listener demands",
            "set `client_certificates.mode = \"optional\"` of one, or write \"http-01\"",
        ),
    };
    report.error(&place.trail, message, help);
}
