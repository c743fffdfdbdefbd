//! Who may ask: keeps web pages in an operator's browser away from the admin listener.
//!
//! There are no logins here; whoever reaches the address may ask. A browser reaches it on behalf
//! of any page it shows, in two ways. A page may send a cross-site POST: refused by
//! `Sec-Fetch-Site` and `Origin`. Or its own name may be made to point at this address (DNS
//! rebinding), which makes it same-origin to the browser: refused by Host, which then is that
//! page's name and none of ours.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Method, header};

/// Decides by the request's head.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Names besides `localhost` and addresses that a Host may be.
    names: Vec<String>,
    /// Bound to loopback: no honest Host is another name, so even reading is refused to it.
    loopback: bool,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Host,
    CrossSite,
}

impl Refusal {
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Host => "Host must be an IP address, localhost or this machine's name",
            Self::CrossSite => "requests from other sites are refused",
        }
    }
}

impl Guard {
    /// For a listener bound to `local`.
    pub(super) fn new(local: SocketAddr) -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim().to_ascii_lowercase();
        let names = if name.is_empty() { Vec::new() } else { vec![name] };
        Self { names, loopback: local.ip().is_loopback() }
    }

    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let reading = matches!(*method, Method::GET | Method::HEAD);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        // Browsers always send a Host; a health check of HTTP/1.0 may not.
        let nameless = reading && !headers.contains_key(header::HOST);
        if (!reading || self.loopback) && !nameless && !self.is_own(host) {
            return Err(Refusal::Host);
        }
        if !reading && !same_site(headers, host) {
            return Err(Refusal::CrossSite);
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(&name);
        let is = |own: &str| name.strip_suffix('.').unwrap_or(&name) == own;
        bare.parse::<IpAddr>().is_ok() || is("localhost") || self.names.iter().any(|own| is(own))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Not sent by a page of another site: programs send neither field, browsers send at least one.
fn same_site(headers: &HeaderMap, host: &str) -> bool {
    let fetched = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
    let own = format!("http://{host}");
    matches!(fetched, None | Some(b"same-origin" | b"none"))
        && origin.is_none_or(|origin| origin.eq_ignore_ascii_case(own.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        guard: &Guard,
        method: Method,
        fields: &[(&'static str, &'static str)],
    ) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        guard.check(&method, &headers)
    }

    fn guard(local: &str) -> Guard {
        Guard { names: vec!["edge1".into()], ..Guard::new(local.parse().unwrap()) }
    }

    #[test]
    fn a_post_needs_an_own_host() {
        let guard = guard("0.0.0.0:9900");
        let own = ["127.0.0.1:9900", "10.1.2.3", "[::1]:9900", "LOCALHOST:1", "edge1:9900"];
        for host in own {
            assert_eq!(check(&guard, Method::POST, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "evil.example:9900", "127.0.0.1.evil.example", "", "[x]"] {
            let refused = check(&guard, Method::POST, &[("host", host)]);
            assert_eq!(refused, Err(Refusal::Host), "{host}");
            assert_eq!(check(&guard, Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check(&guard, Method::POST, &[]), Err(Refusal::Host));
    }

    #[test]
    fn on_loopback_reading_needs_an_own_host_too() {
        let guard = guard("127.0.0.1:9900");
        let refused = check(&guard, Method::GET, &[("host", "evil.example:9900")]);
        assert_eq!(refused, Err(Refusal::Host));
        assert_eq!(check(&guard, Method::GET, &[("host", "localhost:9900")]), Ok(()));
        assert_eq!(check(&guard, Method::GET, &[]), Ok(()));
    }

    #[test]
    fn a_post_from_another_site_is_refused() {
        let guard = guard("127.0.0.1:9900");
        let host = ("host", "127.0.0.1:9900");
        for site in ["cross-site", "same-site"] {
            let refused = check(&guard, Method::POST, &[host, ("sec-fetch-site", site)]);
            assert_eq!(refused, Err(Refusal::CrossSite));
        }
        let refused = check(&guard, Method::POST, &[host, ("origin", "http://evil.example")]);
        assert_eq!(refused, Err(Refusal::CrossSite));
        let refused = check(&guard, Method::POST, &[host, ("origin", "null")]);
        assert_eq!(refused, Err(Refusal::CrossSite));
        let fields = [host, ("origin", "http://127.0.0.1:9900"), ("sec-fetch-site", "same-origin")];
        assert_eq!(check(&guard, Method::POST, &fields), Ok(()));
    }
}
