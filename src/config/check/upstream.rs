//! `[upstreams.NAME]`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::upstream_tls::upstream_tls;
use super::{bytes, timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file::{self, BalanceName, File};
use crate::config::settings::{
    Balance, HashKey, HttpProtocol, Listener, SendProxyProtocol, Target, TargetAddress, Upstream,
};
use crate::config::units::Size;
use crate::limits::{MAX_HEAD_LEAST, MAX_HEAD_LIMIT, MAX_TARGETS, UNIX_PATH_MAX};

pub(super) fn upstream(
    name: String,
    written: file::Upstream,
    upstreams: &Place<'_>,
    report: &mut Report<'_>,
) -> (String, Upstream) {
    words::name(&name, &upstreams.name(&name), report);
    let place = upstreams.key(&name);
    let head = written.max_response_head;
    if !(MAX_HEAD_LEAST..=MAX_HEAD_LIMIT).contains(&head.0) {
        let help =
            format!("write a size from {} to {}", Size(MAX_HEAD_LEAST), Size(MAX_HEAD_LIMIT));
        report.error(
            &place.key("max_response_head").trail,
            format!("{head} is out of range"),
            help,
        );
    }
    let mut time = |key: &'static str, written| timeout(written, &place.key(key), report);
    let (idle_timeout, connect_timeout) = (
        time("idle_timeout", written.idle_timeout),
        time("connect_timeout", written.connect_timeout),
    );
    let resolve_every = time("resolve_every", written.resolve_every);
    let skip_after_failure = match written.skip_after_failure.0 {
        // Never skipped is a choice.
        never if never.is_zero() => never,
        _ => time("skip_after_failure", written.skip_after_failure),
    };
    let balance = balance(&written, &place, report);
    if written.protocol == HttpProtocol::Http2 && written.proxy_protocol != SendProxyProtocol::Off {
        let message = "a PROXY header names one client, and many share a connection of HTTP/2";
        let help = "write protocol = \"http/1.1\", or remove `proxy_protocol`";
        report.error(&place.key("proxy_protocol").trail, message, help);
    }
    let upstream = Upstream {
        targets: targets(written.targets, &place.key("targets"), report),
        balance,
        max_idle: written.max_idle,
        idle_timeout,
        connect_timeout,
        retries: written.retries,
        retry_budget: written.retry_budget.0,
        skip_after_failure,
        resolve_every,
        max_response_head: bytes(head),
        tls: written.tls.map(|tls| upstream_tls(tls, &place.key("tls"), report)),
        proxy_protocol: written.proxy_protocol,
        protocol: written.protocol,
        max_streams: written.max_streams,
    };
    (name, upstream)
}

fn balance(written: &file::Upstream, place: &Place<'_>, report: &mut Report<'_>) -> Balance {
    let key = place.key("hash_key");
    if written.balance != BalanceName::Maglev && key.given() {
        let help = "write balance = \"maglev\", or leave `hash_key` out";
        report.error(&key.trail, "only \"maglev\" has a hash key", help);
    }
    match written.balance {
        BalanceName::RoundRobin => Balance::RoundRobin,
        BalanceName::LeastRequest => Balance::LeastRequest,
        BalanceName::Random => Balance::Random,
        BalanceName::Maglev => Balance::Maglev(hash_key(written.hash_key.as_deref(), &key, report)),
    }
}

fn hash_key(written: Option<&str>, place: &Place<'_>, report: &mut Report<'_>) -> HashKey {
    let Some(text) = written else { return HashKey::ClientIp };
    match words::selector(text) {
        ("client_ip", None) => HashKey::ClientIp,
        ("path", None) => HashKey::Path,
        ("header", Some(name)) => HashKey::Header(words::field_name(name, &place.trail, report)),
        ("cookie", Some(name)) if words::is_token(name) => HashKey::Cookie(name.to_owned()),
        ("cookie", Some(name)) => {
            report.error(&place.trail, format!("{name:?} is not a cookie's name"), "");
            HashKey::ClientIp
        }
        _ => {
            let help = "write \"client_ip\", \"header:NAME\", \"cookie:NAME\" or \"path\"";
            report.error(&place.trail, format!("{text:?} is not what can be hashed"), help);
            HashKey::ClientIp
        }
    }
}

fn targets(
    written: Option<Vec<file::Target>>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Vec<Target> {
    let Some(written) = written else { return Vec::new() };
    if written.is_empty() {
        let help = "write targets = [\"127.0.0.1:9001\"]";
        report.error(&place.trail, "an upstream without targets can serve nothing", help);
    }
    if written.len() > MAX_TARGETS {
        let message = format!("{} targets are too many for one upstream", written.len());
        report.error(&place.trail, message, format!("write at most {MAX_TARGETS}"));
    }
    let mut seen = HashSet::new();
    let mut targets = Vec::with_capacity(written.len());
    for (position, written) in written.into_iter().enumerate() {
        let item = place.item(position);
        let (text, weight, place) = match written {
            file::Target::Address(text) => (text, 1, item),
            file::Target::Weighted(file::WeightedTarget { address: Some(text), weight }) => {
                (text, weight, item.key("address"))
            }
            file::Target::Weighted(_) => continue,
        };
        let Some(address) = address(&text, &place, report) else { continue };
        if !seen.insert(address.clone()) {
            let message = format!("{text:?} is listed twice");
            let help = "list it once; for a larger share give it a `weight`";
            report.error(&place.trail, message, help);
        }
        targets.push(Target { address, weight });
    }
    targets
}

fn address(text: &str, place: &Place<'_>, report: &mut Report<'_>) -> Option<TargetAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path, place, report);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            report.error(&place.trail, "nothing can be reached on port 0", "write the real port");
            return None;
        }
        return Some(TargetAddress::Socket(address));
    }
    match text.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) if port > 0 && is_target_name(name) => {
            Some(TargetAddress::Name(name.to_ascii_lowercase(), port))
        }
        _ => {
            let message = format!("{text:?} is not an address with port");
            report.error(&place.trail, message, address_help(text));
            None
        }
    }
}

fn unix(path: &str, place: &Place<'_>, report: &mut Report<'_>) -> Option<TargetAddress> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.contains('\0') {
        let message = "the path of a Unix socket begins with `/`";
        report.error(&place.trail, message, "write one like \"unix:/run/app.sock\"");
    } else if path.len() > UNIX_PATH_MAX {
        let message = format!("the kernel takes no socket path of {} bytes", path.len());
        report.error(&place.trail, message, format!("write at most {UNIX_PATH_MAX} bytes"));
    } else {
        return Some(TargetAddress::Unix(PathBuf::from(path)));
    }
    None
}

/// A DNS name; one whose last label is a number would be a mistyped IPv4 address.
fn is_target_name(name: &str) -> bool {
    let plain = name.strip_suffix('.').unwrap_or(name);
    let last = plain.rsplit('.').next().unwrap_or_default();
    words::is_dns_name(plain) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn address_help(text: &str) -> String {
    let rest = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let bare = rest.unwrap_or(text);
    let with_port = match bare.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]:80"),
        _ if bare.contains(':') => bare.to_owned(),
        _ => format!("{bare}:80"),
    };
    let right = with_port.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0)
        || with_port.rsplit_once(':').is_some_and(|(name, port)| {
            is_target_name(name) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
    if text.starts_with("https://") {
        "upstreams are reached over plain HTTP for now: write \"HOST:PORT\"".to_owned()
    } else if right {
        format!("write {with_port:?}")
    } else {
        "write one like \"10.0.0.1:80\", \"[::1]:80\", \"app.internal:80\", \"unix:/run/app.sock\""
            .to_owned()
    }
}

/// Targets that are a listener of this gateway: requests would go round until they time out.
pub(super) fn loops(
    upstreams: &BTreeMap<String, Upstream>,
    listeners: &[Listener],
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    let listens: HashMap<SocketAddr, &str> = listeners
        .iter()
        .filter(|listener| listener.listen.port() != 0)
        .map(|listener| (listener.listen, listener.name.as_str()))
        .collect();
    let place = top.key("upstreams");
    for (name, upstream) in upstreams {
        let looped = upstream.targets.iter().find_map(|target| match &target.address {
            TargetAddress::Socket(address) => listens.get(address),
            _ => None,
        });
        if let Some(listener) = looped {
            let message =
                format!("a target is the listener {listener:?}: requests would come back");
            report.warning(
                &place.key(name).key("targets").trail,
                message,
                "write the service's address",
            );
        }
    }
}

/// Which upstreams a file names, be the routes and listeners ever so wrong otherwise.
pub(super) struct Named {
    names: HashSet<String>,
    /// There is a key that may have been meant to name one.
    uncertain: bool,
}

impl Named {
    pub(super) fn by(file: &File, top: &Place<'_>) -> Self {
        let routes = file.routes.iter().map(|route| &route.upstream);
        let forwards = file.listeners.iter().flat_map(|listener| &listener.forward);
        let all = routes.chain(forwards.map(|forward| &forward.upstream));
        let names: HashSet<String> = all.flatten().cloned().collect();
        let unknown = names.iter().any(|name| !file.upstreams.contains_key(name));
        let (routes, mut each) = (top.key("routes"), file.routes.iter().enumerate());
        let damaged = each.any(|(at, route)| {
            let acts =
                route.upstream.is_some() || route.redirect.is_some() || route.respond.is_some();
            !acts && routes.item(at).damaged()
        });
        Self { names, uncertain: unknown || damaged || top.damaged() }
    }
}

/// Upstreams that neither route nor listener names.
pub(super) fn unused(
    upstreams: &BTreeMap<String, Upstream>,
    named: &Named,
    top: &Place<'_>,
    report: &mut Report<'_>,
) {
    if named.uncertain {
        return;
    }
    let place = top.key("upstreams");
    for name in upstreams.keys().filter(|name| !named.names.contains(*name)) {
        let help = "name it as a route's `upstream`, or remove it";
        report.warning(&place.name(name), "no route uses this upstream", help);
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::MAX_TARGETS;

    #[test]
    fn targets_are_bounded() {
        let file = |count: usize| {
            let targets: Vec<_> =
                (0..count).map(|n| format!("\"10.0.{}.{}:80\"", n / 256, n % 256)).collect();
            let targets = targets.join(",");
            format!(
                "[[listeners]]\nname=\"web\"\nlisten=\"127.0.0.1:80\"\n[upstreams.app]\n\
                 targets=[{targets}]\n[[routes]]\nname=\"all\"\npath=\"/*\"\nupstream=\"app\"\n"
            )
        };
        assert!(crate::config::load(&file(MAX_TARGETS), "file", &|_| None).is_ok());
        let refused = crate::config::load(&file(MAX_TARGETS + 1), "file", &|_| None).unwrap_err();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(refused[0].key, "upstreams.app.targets");
    }
}
