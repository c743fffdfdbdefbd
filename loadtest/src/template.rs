//! The proxies' configurations, with ports and paths filled in.

use std::path::Path;

use crate::peer::Kind;

/// Which configuration a scenario needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Proxy everything, add nothing.
    Plain,
    /// A five-matcher route, two limits, header edits, the JSON access log.
    Policy,
    /// Big answers: each proxy's best way.
    Big,
    /// This many routes (Tollgate only).
    Routes(usize),
}

/// What is filled in.
#[derive(Debug)]
pub struct Values<'a> {
    /// Proxy's port.
    pub port: u16,
    /// Backend's port.
    pub upstream: u16,
    /// Core to pin to.
    pub core: usize,
    /// The proxy's own directory.
    pub dir: &'a Path,
    /// Access log file.
    pub log: &'a Path,
    /// Open files that one process may have.
    pub files: u64,
}

/// The configuration text, or `None` where this kind of proxy takes none.
pub fn config(kind: Kind, setup: Setup, values: &Values) -> Option<String> {
    let template = match (kind, setup) {
        (Kind::Relay, _) => return None,
        (Kind::Nginx, Setup::Policy) => include_str!("../configs/nginx-policy.conf"),
        (Kind::Nginx, Setup::Big) => include_str!("../configs/nginx-big.conf"),
        (Kind::Nginx, _) => include_str!("../configs/nginx-plain.conf"),
        (Kind::Haproxy, Setup::Policy) => include_str!("../configs/haproxy-policy.conf"),
        (Kind::Haproxy, Setup::Big) => include_str!("../configs/haproxy-big.conf"),
        (Kind::Haproxy, _) => include_str!("../configs/haproxy-plain.conf"),
        (Kind::Tollgate, Setup::Policy) => include_str!("../configs/tollgate-policy.conf"),
        (Kind::Tollgate, Setup::Routes(_)) => include_str!("../configs/tollgate-routes.conf"),
        (Kind::Tollgate, _) => include_str!("../configs/tollgate-plain.conf"),
    };
    let mut text = template
        .replace("@PORT@", &values.port.to_string())
        .replace("@UPSTREAM@", &values.upstream.to_string())
        .replace("@CORE@", &values.core.to_string())
        .replace("@CORE_MASK@", &format!("1{}", "0".repeat(values.core)))
        .replace("@DIR@", &values.dir.display().to_string())
        .replace("@LOG@", &values.log.display().to_string())
        .replace("@FILES@", &values.files.to_string())
        .replace("@CLIENTS@", &(values.files / 2 - 200).to_string());
    if let Setup::Routes(count) = setup {
        for (host, path) in route_names(count) {
            text.push_str(&format!(
                "\n[[routes]]\nname = \"{}\"\nhost = \"{host}\"\npath = \"{path}\"\n\
                 upstream = \"app\"\n",
                &format!("{}{}", &host[..5], path.replace('/', "-"))
            ));
        }
    }
    Some(text)
}

/// Hosts times paths, all of one width so that requests cost the same to send: 100 paths a host,
/// or five where there are only a few routes.
pub fn route_names(count: usize) -> impl Iterator<Item = (String, String)> {
    let per_host = if count >= 1000 { 100 } else { 5 };
    (0..count).map(move |n| {
        let (host, path) = (n / per_host, n % per_host);
        (format!("h{host:04}.example.com"), format!("/service/p{path:03}/items"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_unfilled() {
        let values = Values {
            port: 1,
            upstream: 2,
            core: 0,
            dir: Path::new("/tmp/d"),
            log: Path::new("/tmp/l"),
            files: 1000,
        };
        for kind in [Kind::Nginx, Kind::Haproxy, Kind::Tollgate] {
            for setup in [Setup::Plain, Setup::Policy, Setup::Big, Setup::Routes(3)] {
                let text = config(kind, setup, &values).unwrap();
                assert!(!text.contains('@') || kind == Kind::Haproxy, "{kind:?} {setup:?}");
            }
        }
    }

    #[test]
    fn routes_are_all_different() {
        let mut names: Vec<_> = route_names(2000).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2000);
    }
}
