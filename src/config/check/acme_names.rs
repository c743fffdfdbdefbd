//! The names that a listener wants certificates for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::words;
use crate::config::diagnostic::Report;
use crate::config::document::Place;

/// The names of one listener, lower case.
pub(super) fn names(
    written: Vec<String>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<String> {
    if written.is_empty() && place.given() {
        let help = "write `acme_names = [\"www.example.com\"]`, or leave it out";
        report.error(&place.trail, "there is no name in it", help);
    }
    let mut seen = BTreeSet::new();
    for (position, text) in written.iter().enumerate() {
        let item = place.item(position);
        if let Err((message, help)) = is_provable(text) {
            report.error(&item.trail, format!("{text:?}: {message}"), help);
        } else if !seen.insert(text.to_ascii_lowercase()) {
            let help = "list each name once";
            report.error(&item.trail, format!("{text:?} is listed twice"), help);
        }
    }
    written.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Whether either challenge can prove it, or why not and what to write.
fn is_provable(text: &str) -> Result<(), (&'static str, &'static str)> {
    if text.contains('*') {
        let message = "neither challenge proves a name with a wildcard";
        return Err((message, "list the names themselves, or bring a certificate in files"));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(("this is an address", "write a host name"));
    }
    if !words::is_dns_name(text) || text.contains('_') {
        let help = "write a host name like \"www.example.com\", without a port; what is not ASCII \
                    in its xn-- form";
        return Err(("this is no host name", help));
    }
    Ok(())
}
