//! Networks of client addresses, and which of them a route serves.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::limits::CONFIG_MAX_NETWORKS;

/// Networks, each with its position in the tree.
pub(super) fn networks(
    written: &[String],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<(usize, IpNet)> {
    let each = written.iter().enumerate();
    each.filter_map(|(position, text)| {
        network(text, &place.item(position), report).map(|network| (position, network))
    })
    .collect()
}

fn network(text: &str, place: &Place<'_>, report: &mut Report<'_>) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    let Ok(network) = text.parse::<IpNet>() else {
        let prefix = text.rsplit_once('/').map(|(_, prefix)| prefix);
        let message = match prefix.and_then(|prefix| prefix.parse::<u32>().ok()) {
            Some(prefix) if prefix > 32 => {
                format!("{text:?} is not a network: is /{prefix} right?")
            }
            _ => format!("{text:?} is not a network"),
        };
        let help = "write one like \"10.0.0.0/8\", \"2001:db8::/32\" or a single address";
        report.error(&place.trail, message, help);
        return None;
    };
    if network.addr() != network.network() {
        let message = format!("{text:?} has bits set beyond its prefix");
        report.error(&place.trail, message, format!("write \"{}\"", network.trunc()));
    }
    Some(network)
}

/// The networks that a route allows and denies.
pub(super) fn rules(
    written: &file::Route,
    route: &Place<'_>,
    report: &mut Report<'_>,
) -> (Vec<IpNet>, Vec<IpNet>) {
    let (allow_key, deny_key) = (route.key("allow"), route.key("deny"));
    if allow_key.given() && written.allow.is_empty() {
        let help = "leave `allow` out for everybody, or list networks";
        report.error(&allow_key.trail, "nobody may come from no network", help);
    }
    for (key, listed) in [(&allow_key, &written.allow), (&deny_key, &written.deny)] {
        if listed.len() > CONFIG_MAX_NETWORKS {
            let message = format!("{} networks are too many for one route", listed.len());
            report.error(&key.trail, message, format!("list at most {CONFIG_MAX_NETWORKS}"));
        }
    }
    let allow = networks(&written.allow, &allow_key, report);
    let deny = networks(&written.deny, &deny_key, report);
    // Past the bound it is an error anyway: no need to compare each with each.
    for (position, network) in allow.iter().take(CONFIG_MAX_NETWORKS) {
        let mut denied = deny.iter().take(CONFIG_MAX_NETWORKS);
        if let Some((_, wider)) = denied.find(|(_, wider)| wider.contains(network)) {
            let message = format!("{network} is denied, as a part of {wider}");
            let help = "remove it from `allow` or from `deny`: `deny` beats `allow`";
            report.warning(&allow_key.item(*position).trail, message, help);
        }
    }
    let plain = |networks: Vec<(usize, IpNet)>| networks.into_iter().map(|(_, n)| n).collect();
    (plain(allow), plain(deny))
}
