//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Addresses, Bad, Header, Tlvs};
use crate::limits::PROXY_V1_MAX;

/// What every line begins with.
pub(super) const PREFIX: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, Bad> {
    let within = &bytes[..bytes.len().min(PROXY_V1_MAX)];
    let Some(end) = within.iter().position(|&byte| byte == b'\n') else {
        return if within.len() < PROXY_V1_MAX { Ok(None) } else { Err(Bad::TooLong) };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(Bad::Line)?;
    let said = line.get(PREFIX.len()..).and_then(|said| std::str::from_utf8(said).ok());
    let addresses = said.and_then(addresses).ok_or(Bad::Line)?;
    Ok(Some(Header { addresses, tlvs: Tlvs::default(), len: end + 1 }))
}

fn addresses(said: &str) -> Option<Addresses> {
    match said.split_once(' ').unwrap_or((said, "")) {
        ("TCP4", pairs) => proxied::<Ipv4Addr>(pairs),
        ("TCP6", pairs) => proxied::<Ipv6Addr>(pairs),
        // What else the line says is to be ignored.
        ("UNKNOWN", _) => Some(Addresses::Unnamed),
        _ => None,
    }
}

fn proxied<T: FromStr + Into<IpAddr>>(said: &str) -> Option<Addresses> {
    let mut words = said.split(' ');
    let mut address = || Some(words.next()?.parse::<T>().ok()?.into());
    let (source, destination) = (address()?, address()?);
    let mut port = || self::port(words.next()?);
    let (source_port, destination_port) = (port()?, port()?);
    words.next().is_none().then_some(Addresses::Proxied {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// A decimal number without sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let canonical = word == "0" || !word.starts_with(['0', '+']);
    canonical.then(|| word.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(source: &str, destination: &str) -> Addresses {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Addresses::Proxied { source, destination }
    }

    fn read(text: &str) -> Result<Option<Addresses>, Bad> {
        parse(text.as_bytes()).map(|header| header.map(|header| header.addresses))
    }

    #[test]
    fn both_families() {
        assert_eq!(
            read("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET"),
            Ok(Some(proxied("192.0.2.1:56324", "198.51.100.2:443")))
        );
        assert_eq!(
            read("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"),
            Ok(Some(proxied("[2001:db8::1]:0", "[::1]:65535")))
        );
    }

    #[test]
    fn an_unknown_client_keeps_the_transport_address() {
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::1 ::1 1 2\r\n", "PROXY UNKNOWN ?\r\n"] {
            assert_eq!(read(line), Ok(Some(Addresses::Unnamed)), "{line:?}");
        }
    }

    #[test]
    fn the_bytes_behind_it_are_not_its_own() {
        let header = parse(b"PROXY UNKNOWN\r\n\r\nPROXY ").unwrap().unwrap();
        assert_eq!(header.len, 15);
    }

    #[test]
    fn only_the_one_form_is_taken() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY TCP6 [::1] ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 00 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 x 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY UNKNOWN\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
            "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            assert_eq!(read(line), Err(Bad::Line), "{line:?}");
        }
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let line = |fill: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(fill));
        assert_eq!(read(&line(91)), Ok(Some(Addresses::Unnamed)));
        assert_eq!(line(91).len(), PROXY_V1_MAX);
        assert_eq!(read(&line(92)), Err(Bad::TooLong));
        assert_eq!(read(&line(92)[..PROXY_V1_MAX]), Err(Bad::TooLong));
        assert_eq!(read(&line(92)[..PROXY_V1_MAX - 1]), Ok(None));
    }
}
