//! What a route lets its connections become.

use super::{timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::units::HumanDuration;
use crate::limits::CONFIG_MAX_UPGRADES;
use std::time::Duration;

/// Protocols in which requests go on: behind the switch no route, limit or log would see them.
const CARRY_HTTP: &[&str] = &["h2c", "h2", "http", "https", "tls"];

/// Protocols, in lower case.
pub(super) fn upgrades(
    written: Option<Vec<String>>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<String> {
    let Some(written) = written else { return vec!["websocket".to_owned()] };
    if written.len() > CONFIG_MAX_UPGRADES {
        let message = format!("more than {CONFIG_MAX_UPGRADES} protocols");
        report.error(&place.trail, message, "name those that the service speaks");
    }
    let mut upgrades: Vec<String> = Vec::with_capacity(written.len());
    for (position, protocol) in written.iter().enumerate() {
        let trail = &place.item(position).trail;
        let protocol = protocol.to_ascii_lowercase();
        if CARRY_HTTP.contains(&protocol.as_str()) {
            let message = format!(
                "{protocol:?} is dangerous: no rule would see the requests in such a tunnel"
            );
            report.error(trail, message, "remove it");
        } else if !words::is_token(&protocol) {
            let message = format!("{protocol:?} is not a protocol name (RFC 9110 section 7.8)");
            report.error(trail, message, "write one like \"websocket\"");
        } else if upgrades.contains(&protocol) {
            report.error(trail, format!("{protocol:?} stands here twice"), "remove one");
        }
        upgrades.push(protocol);
    }
    upgrades
}

/// How long a tunnel may be silent, and last.
pub(super) fn timeouts(
    written: &file::Timeouts,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> (Duration, Option<Duration>) {
    let (key, total_key) = (place.key("tunnel"), place.key("tunnel_total"));
    let tunnel = timeout(written.tunnel, &key, report);
    let total = written.tunnel_total.map(|time| timeout(time, &total_key, report));
    if let Some(total) = total.filter(|total| key.given() && tunnel > *total) {
        let (tunnel, total) = (HumanDuration(tunnel), HumanDuration(total));
        let message = format!("{tunnel} can never pass: `tunnel_total` is {total}");
        report.error(&key.trail, message, format!("write {total} or less, or a longer total"));
    }
    (tunnel, total)
}
