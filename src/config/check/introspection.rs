//! `[introspection.NAME]`. Whether the files are any good is for whoever reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tls::path;
use super::{jwt, timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::introspection::Introspection;
use crate::config::units::HumanDuration;
use crate::limits::{INTROSPECTION_MAX_CEILING, INTROSPECTION_MAX_NEGATIVE};

pub(super) fn all(
    written: BTreeMap<String, file::Introspection>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<String, Introspection> {
    let each = written.into_iter();
    each.map(|(name, written)| {
        words::name(&name, &place.name(&name), report);
        let checked = introspection(written, &place.key(&name), report);
        (name, checked)
    })
    .collect()
}

fn introspection(
    written: file::Introspection,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Introspection {
    let says = jwt::Says {
        issuer: written.issuer.as_ref(),
        audience: written.audience.as_ref(),
        scopes: &written.scopes,
        claims: &written.claims,
        application_claim: written.application_claim.as_deref(),
    };
    let says = says.rules(place, report);
    let url = written.url.unwrap_or_default();
    let url = words::url(url, "https://id.example.com/introspect", &place.key("url"), report);
    let roots = place.key("roots");
    if roots.given() && url.starts_with("http:") {
        let message = "nobody is known by certificates over plain http";
        report.error(&roots.trail, message, "write an https URL, or remove `roots`");
    }
    let mut time =
        |key: &'static str, written, most| at_most(written, &place.key(key), most, report);
    let ceiling = time("ceiling", written.ceiling, INTROSPECTION_MAX_CEILING);
    let negative = time("negative", written.negative, INTROSPECTION_MAX_NEGATIVE);
    Introspection {
        url,
        roots: written.roots.map(|name| path(Some(name), &roots, "file", report)),
        client: client((written.client_id, written.client_secret), place, report),
        timeout: timeout(written.timeout, &place.key("timeout"), report),
        says,
        cache: jwt::cache(written.cache, &place.key("cache"), report),
        ceiling,
        negative,
        on_error: written.on_error,
    }
}

/// Who asks. The secret is not repeated in messages.
fn client(
    written: (Option<String>, Option<String>),
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<(String, String)> {
    let (missing, given) = match written {
        (Some(id), Some(secret)) => {
            for (key, text) in [("client_id", &id), ("client_secret", &secret)] {
                if text.is_empty() {
                    report.error(&place.key(key).trail, "it is empty", "write it");
                }
            }
            return Some((id, secret));
        }
        (None, None) => return None,
        (Some(_), None) => ("client_secret", "client_id"),
        (None, Some(_)) => ("client_id", "client_secret"),
    };
    if !place.damaged() {
        let message = format!("`{given}` says nothing without `{missing}`");
        report.error(&place.key(given).trail, message, format!("write `{missing}` as well"));
    }
    None
}

fn at_most(
    written: HumanDuration,
    place: &Place<'_>,
    most: Duration,
    report: &mut Report<'_>,
) -> Duration {
    if written.0 > most {
        let message = format!("{written} is longer than an answer may be believed");
        report.error(&place.trail, message, format!("write {} or less", HumanDuration(most)));
    }
    written.0
}
