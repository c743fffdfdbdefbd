//! Who the client is: its address, also behind trusted proxies.
//!
//! A forwarding field is believed only as far as it was written by trusted machines: the peer
//! must be trusted, and the field is read from its right end, where the nearest proxy appended,
//! as long as what stands there is trusted itself. The first address that is not is the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::ClientAddressField;
use crate::http::head::{Field, Known};
use crate::limits::FORWARDED_HOPS;

/// A client, and whether the machine that speaks for it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The client's address; an IPv4-mapped IPv6 address is given as IPv4.
    pub addr: IpAddr,
    /// Whether the peer is a trusted proxy: forwarding fields are appended to, not replaced.
    pub trusted: bool,
}

/// Finds the client behind `peer`. The walk ends at the first address outside `trusted`, at
/// anything that is no address (`unknown`, an obfuscated name, garbage), or after
/// [`FORWARDED_HOPS`]; then the last address read counts, at least the peer's.
pub fn client_address(
    peer: IpAddr,
    trusted: &[IpNet],
    from: ClientAddressField,
    fields: &[Field],
    buf: &[u8],
) -> Client {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return Client { addr: peer, trusted: false };
    }
    let known = match from {
        ClientAddressField::XForwardedFor => Known::XForwardedFor,
        ClientAddressField::Forwarded => Known::Forwarded,
    };
    let read = match from {
        ClientAddressField::XForwardedFor => node_address,
        ClientAddressField::Forwarded => forwarded_for,
    };
    let lines = fields.iter().rev().filter(|field| field.known == known);
    let elements = lines
        .flat_map(|field| FromRight { rest: Some(field.value.of(buf)), separator: b',' })
        .take(FORWARDED_HOPS)
        .filter(|element| !element.is_empty());
    let mut addr = peer;
    for element in elements {
        let Some(hop) = read(element) else { break };
        addr = hop;
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    Client { addr, trusted: true }
}

/// Whether one of the networks has this address, which is not an IPv4-mapped one.
pub fn is_trusted(addr: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&addr))
}

/// The parts of a list, last first, without surrounding white space. Separators within double
/// quotes do not count. Reading from the right, an unbalanced quote that a client sent cannot
/// swallow what proxies appended after it.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        let at = rest.iter().rposition(|&byte| {
            quoted ^= byte == b'"';
            byte == self.separator && !quoted
        });
        let (before, part) = match at {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        self.rest = before;
        Some(part.trim_ascii())
    }
}

/// The address of the one `for` parameter of a Forwarded element (RFC 7239 section 4).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in (FromRight { rest: Some(element), separator: b';' }) {
        let at = pair.iter().position(|&byte| byte == b'=');
        let Some((name, value)) = at.map(|at| (&pair[..at], &pair[at + 1..])) else { continue };
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
    }
    node_address(found?)
}

/// The address of a node: `192.0.2.1`, `[2001:db8::1]`, either with a port, quoted or not; also an
/// IPv6 address without brackets, as X-Forwarded-For has it.
fn node_address(node: &[u8]) -> Option<IpAddr> {
    let bare = match node {
        [b'"', inside @ .., b'"'] => inside,
        _ => node,
    };
    // No address is longer than an IPv6 one with brackets and port.
    let text = std::str::from_utf8(bare).ok().filter(|text| text.len() <= 64)?;
    let addr = if let Some(inside) = text.strip_prefix('[') {
        let (addr, after) = inside.split_once(']')?;
        is_port(after).then(|| addr.parse::<Ipv6Addr>().ok())??.into()
    } else if let Ok(addr) = text.parse::<IpAddr>() {
        addr
    } else {
        let (addr, _) = text.split_once(':')?;
        is_port(&text[addr.len()..]).then(|| addr.parse::<Ipv4Addr>().ok())??.into()
    };
    Some(IpAddr::to_canonical(&addr))
}

/// Nothing, or a colon and a port; RFC 7239 section 6.3 also allows an obfuscated one.
fn is_port(after: &str) -> bool {
    match after.strip_prefix(':') {
        None => after.is_empty(),
        Some(port) if port.starts_with('_') => {
            port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        Some(port) => (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Span;

    /// The client behind 10.0.0.1, which is trusted like all of 10/8 and fd00::/8.
    fn behind(from: ClientAddressField, lines: &[&str]) -> String {
        found("10.0.0.1", from, lines).addr.to_string()
    }

    fn found(peer: &str, from: ClientAddressField, lines: &[&str]) -> Client {
        let known = match from {
            ClientAddressField::XForwardedFor => Known::XForwardedFor,
            ClientAddressField::Forwarded => Known::Forwarded,
        };
        let mut buf = Vec::new();
        let mut fields = Vec::new();
        for line in lines {
            let value = Span::new(buf.len(), buf.len() + line.len());
            buf.extend_from_slice(line.as_bytes());
            fields.push(Field { name: Span::default(), value, known, hop: false });
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &trusted, from, &fields, &buf)
    }

    fn xff(lines: &[&str]) -> String {
        behind(ClientAddressField::XForwardedFor, lines)
    }

    fn forwarded(lines: &[&str]) -> String {
        behind(ClientAddressField::Forwarded, lines)
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        let client = found("192.0.2.9", ClientAddressField::XForwardedFor, &["10.0.0.7"]);
        assert_eq!(client, Client { addr: "192.0.2.9".parse().unwrap(), trusted: false });
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let client =
            found("::ffff:10.0.0.1", ClientAddressField::XForwardedFor, &["::ffff:1.2.3.4"]);
        assert_eq!(client, Client { addr: "1.2.3.4".parse().unwrap(), trusted: true });
    }

    #[test]
    fn the_first_untrusted_from_the_right() {
        assert_eq!(xff(&["6.6.6.6, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(xff(&["6.6.6.6, 192.0.2.1, 10.0.0.9,10.1.1.1"]), "192.0.2.1");
        assert_eq!(xff(&["6.6.6.6", "192.0.2.1", "10.0.0.9"]), "192.0.2.1");
        assert_eq!(xff(&["6.6.6.6,192.0.2.1,", " , 10.0.0.9, "]), "192.0.2.1");
        assert_eq!(xff(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(xff(&[]), "10.0.0.1");
        assert_eq!(xff(&[""]), "10.0.0.1");
    }

    #[test]
    fn ports_brackets_and_quotes() {
        for (written, address) in [
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
        ] {
            assert_eq!(xff(&[written]), address);
        }
    }

    #[test]
    fn garbage_ends_the_walk() {
        for garbage in [
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:123456",
            "192.0.2.1:x",
            "[2001:db8::1",
            "[192.0.2.1]",
            "[2001:db8::1]x",
            "fe80::1%eth0",
            "\"",
            "\"192.0.2.1",
            "é",
            "192.0.2.1 10.0.0.4",
        ] {
            assert_eq!(xff(&[&format!("6.6.6.6, {garbage}, 10.0.0.5")]), "10.0.0.5", "{garbage}");
        }
    }

    #[test]
    fn hops_are_bounded() {
        let long = format!("192.0.2.1{}", ", 10.0.0.2".repeat(FORWARDED_HOPS));
        assert_eq!(xff(&[&long]), "10.0.0.2");
        assert_eq!(xff(&[&format!("192.0.2.1{}", ",".repeat(FORWARDED_HOPS))]), "10.0.0.1");
    }

    #[test]
    fn forwarded_elements() {
        assert_eq!(forwarded(&["for=6.6.6.6, for=192.0.2.1;proto=http;by=10.0.0.1"]), "192.0.2.1");
        assert_eq!(forwarded(&["For=\"[2001:db8::1]:4711\""]), "2001:db8::1");
        assert_eq!(forwarded(&["proto=https; FOR=\"192.0.2.1:_port\""]), "192.0.2.1");
        assert_eq!(forwarded(&["for=192.0.2.1;host=\"a,b;for=c\", for=10.0.0.2"]), "192.0.2.1");
        assert_eq!(forwarded(&["for=192.0.2.1", "for=10.0.0.2"]), "192.0.2.1");
        assert_eq!(forwarded(&["for=192.0.2.1, for=unknown"]), "10.0.0.1");
        assert_eq!(forwarded(&["for=192.0.2.1, for=_gazonk, for=10.0.0.2"]), "10.0.0.2");
        assert_eq!(forwarded(&["for=192.0.2.1, proto=http"]), "10.0.0.1");
        assert_eq!(forwarded(&["for=192.0.2.1;for=192.0.2.2"]), "10.0.0.1");
        assert_eq!(forwarded(&["192.0.2.1"]), "10.0.0.1");
    }

    #[test]
    fn an_open_quote_does_not_hide_what_was_appended() {
        assert_eq!(forwarded(&["for=\"6.6.6.6, for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(forwarded(&["for=\"6.6.6.6, for=10.0.0.2"]), "10.0.0.2");
    }
}
