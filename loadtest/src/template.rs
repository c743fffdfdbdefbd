//! The proxies' configurations, with ports and paths filled in.

use std::path::Path;

use crate::backend::Speaks;
use crate::peer::Kind;
use crate::tls::Identity;

/// Which configuration a scenario needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Proxy everything, add nothing.
    Plain,
    /// A five-matcher route, two limits, header edits, the JSON access log.
    Policy,
    /// An API key, a limit and, where there is such a thing, a quota for each application.
    Keys,
    /// Big answers: each proxy's best way.
    Big,
    /// This many routes (Tollgate only).
    Routes(usize),
    /// TLS towards clients.
    Tls,
    /// The same for big answers.
    TlsBig,
    /// HTTP/2 over TLS towards clients.
    H2,
    /// The same, and HTTP/2 in cleartext towards the upstream.
    H2c,
    /// The same, with an upstream that speaks gRPC.
    Grpc,
    /// WebSocket is let through.
    WebSocket,
}

impl Setup {
    /// What the upstream speaks.
    pub fn upstream_speaks(self) -> Speaks {
        match self {
            Self::H2c => Speaks::Http2,
            Self::Grpc => Speaks::Grpc,
            _ => Speaks::Http1,
        }
    }
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
    /// Port of Tollgate's admin listener.
    pub admin: u16,
    /// Certificate and key.
    pub identity: &'a Identity,
}

/// The configuration text, or `None` where this kind of proxy takes none.
pub fn config(kind: Kind, setup: Setup, values: &Values) -> Option<String> {
    let template = match kind {
        Kind::Relay => return None,
        Kind::Nginx => nginx(setup),
        Kind::Haproxy => haproxy(setup),
        Kind::Tollgate => tollgate(setup),
        Kind::Envoy => envoy(setup)?,
    };
    let mut text = template
        .replace("@PORT@", &values.port.to_string())
        .replace("@UPSTREAM@", &values.upstream.to_string())
        .replace("@ADMIN@", &values.admin.to_string())
        .replace("@CORE@", &values.core.to_string())
        .replace("@CORE_MASK@", &format!("1{}", "0".repeat(values.core)))
        .replace("@DIR@", &values.dir.display().to_string())
        .replace("@CERTIFICATE@", &values.identity.certificate.display().to_string())
        .replace("@KEY@", &values.identity.key.display().to_string())
        .replace("@PEM@", &values.identity.both.display().to_string())
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

fn nginx(setup: Setup) -> &'static str {
    match setup {
        Setup::Plain | Setup::Routes(_) => include_str!("../configs/nginx-plain.conf"),
        Setup::Policy => include_str!("../configs/nginx-policy.conf"),
        Setup::Keys => include_str!("../configs/nginx-keys.conf"),
        Setup::Big => include_str!("../configs/nginx-big.conf"),
        Setup::Tls => include_str!("../configs/nginx-tls.conf"),
        Setup::TlsBig => include_str!("../configs/nginx-tls-big.conf"),
        Setup::H2 => include_str!("../configs/nginx-h2.conf"),
        Setup::H2c | Setup::Grpc => include_str!("../configs/nginx-h2c.conf"),
        Setup::WebSocket => include_str!("../configs/nginx-websocket.conf"),
    }
}

fn haproxy(setup: Setup) -> &'static str {
    match setup {
        Setup::Plain | Setup::Routes(_) | Setup::WebSocket => {
            include_str!("../configs/haproxy-plain.conf")
        }
        Setup::Policy => include_str!("../configs/haproxy-policy.conf"),
        Setup::Keys => include_str!("../configs/haproxy-keys.conf"),
        Setup::Big => include_str!("../configs/haproxy-big.conf"),
        Setup::Tls => include_str!("../configs/haproxy-tls.conf"),
        Setup::TlsBig => include_str!("../configs/haproxy-tls-big.conf"),
        Setup::H2 => include_str!("../configs/haproxy-h2.conf"),
        Setup::H2c | Setup::Grpc => include_str!("../configs/haproxy-h2c.conf"),
    }
}

/// Envoy takes no part where it has no configuration here.
fn envoy(setup: Setup) -> Option<&'static str> {
    match setup {
        Setup::Plain | Setup::WebSocket => Some(include_str!("../configs/envoy-plain.yaml")),
        Setup::Tls => Some(include_str!("../configs/envoy-tls.yaml")),
        Setup::H2 => Some(include_str!("../configs/envoy-h2.yaml")),
        Setup::H2c | Setup::Grpc => Some(include_str!("../configs/envoy-h2c.yaml")),
        Setup::Policy | Setup::Keys | Setup::Big | Setup::Routes(_) | Setup::TlsBig => None,
    }
}

fn tollgate(setup: Setup) -> &'static str {
    match setup {
        Setup::Plain | Setup::Big | Setup::WebSocket => {
            include_str!("../configs/tollgate-plain.conf")
        }
        Setup::Policy => include_str!("../configs/tollgate-policy.conf"),
        Setup::Keys => include_str!("../configs/tollgate-keys.conf"),
        Setup::Routes(_) => include_str!("../configs/tollgate-routes.conf"),
        Setup::Tls | Setup::TlsBig => include_str!("../configs/tollgate-tls.conf"),
        Setup::H2 => include_str!("../configs/tollgate-h2.conf"),
        Setup::H2c | Setup::Grpc => include_str!("../configs/tollgate-h2c.conf"),
    }
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
        let dir = std::env::temp_dir().join(format!("loadtest-template-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let identity = Identity::make(&dir).unwrap();
        let values = Values {
            port: 1,
            upstream: 2,
            core: 0,
            dir: Path::new("/tmp/d"),
            log: Path::new("/tmp/l"),
            files: 1000,
            admin: 3,
            identity: &identity,
        };
        let setups = [
            Setup::Plain,
            Setup::Policy,
            Setup::Keys,
            Setup::Big,
            Setup::Routes(3),
            Setup::Tls,
            Setup::TlsBig,
            Setup::H2,
            Setup::H2c,
            Setup::Grpc,
            Setup::WebSocket,
        ];
        for kind in [Kind::Nginx, Kind::Haproxy, Kind::Tollgate] {
            for setup in setups {
                let text = config(kind, setup, &values).unwrap();
                assert!(!text.contains('@'), "{kind:?} {setup:?}");
            }
        }
        for text in setups.into_iter().filter_map(|setup| config(Kind::Envoy, setup, &values)) {
            // Envoy's own: what a table is.
            assert!(!text.replace("\"@type\"", "").contains('@'), "{text}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn routes_are_all_different() {
        let mut names: Vec<_> = route_names(2000).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2000);
    }
}
