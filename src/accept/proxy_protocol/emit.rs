//! Headers that go upstream.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::crc32c::crc32c;
use super::{SIGNATURE, kind};
use crate::limits::PROXY_AUTHORITY_MAX;

/// Appends a header of version 1.
pub fn emit_v1(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, destination) = one_family(source, destination);
    let family = if source.is_ipv4() { 4 } else { 6 };
    let (from, to) = (source.ip(), destination.ip());
    let (from_port, to_port) = (source.port(), destination.port());
    // Writing to memory does not fail.
    let _ = write!(out, "PROXY TCP{family} {from} {to} {from_port} {to_port}\r\n");
}

/// Appends a header of version 2 with its checksum and, where there is one, the host name that the
/// client asked for.
pub fn emit_v2(
    source: SocketAddr,
    destination: SocketAddr,
    authority: Option<&str>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let (source, destination) = one_family(source, destination);
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&[0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    // Cut short it would name another host.
    let fits = |name: &&str| (1..=PROXY_AUTHORITY_MAX).contains(&name.len());
    if let Some(name) = authority.filter(fits) {
        out.extend_from_slice(&[kind::AUTHORITY, 0, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(&[kind::CRC32C, 0, 4, 0, 0, 0, 0]);
    let header = &mut out[start..];
    let length = (header.len() - super::v2::FIXED) as u16;
    header[14..16].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c(&*header).to_be_bytes();
    let at = header.len() - checksum.len();
    header[at..].copy_from_slice(&checksum);
}

/// A header has one family for both. A socket that serves both has IPv4 addresses in the form of IPv6.
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
    let (source, destination) = (plain(source), plain(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |a: SocketAddr| match a.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), a.port()),
        IpAddr::V6(_) => a,
    };
    (mapped(source), mapped(destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(source: &str, destination: &str) -> String {
        let mut out = Vec::new();
        emit_v1(source.parse().unwrap(), destination.parse().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_version_1() {
        assert_eq!(v1("192.0.2.1:1", "192.0.2.2:80"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n");
        assert_eq!(v1("[2001:db8::1]:1", "[::1]:80"), "PROXY TCP6 2001:db8::1 ::1 1 80\r\n");
        let mapped = v1("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:80");
        assert_eq!(mapped, "PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n");
        let mixed = v1("[2001:db8::1]:1", "192.0.2.2:80");
        assert_eq!(mixed, "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 80\r\n");
    }

    /// Written out by hand, so that reader and writer are not wrong in the same way.
    #[test]
    fn bytes_of_version_2() {
        let mut out = b"before".to_vec();
        let (source, destination) = ("192.0.2.1:56324", "198.51.100.2:443");
        emit_v2(source.parse().unwrap(), destination.parse().unwrap(), Some("a.b"), &mut out);
        let head = b"before\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x19\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb\x02\0\x03a.b\x03\0\x04";
        assert_eq!(&out[..head.len()], head);
        let mut zeroed = out[6..].to_vec();
        let checksum = zeroed.split_off(zeroed.len() - 4);
        zeroed.extend_from_slice(&[0; 4]);
        assert_eq!(checksum, crc32c(&zeroed).to_be_bytes());
    }
}
