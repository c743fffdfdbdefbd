//! An IP address as text, without a heap.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};

/// The longest text of an IPv6 address.
const MAX_TEXT: usize = 45;

/// An IP address as text, to be made once per connection. IPv4-mapped IPv6 addresses read as
/// IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressText {
    text: [u8; MAX_TEXT],
    len: u8,
}

impl AddressText {
    /// The address's text.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address.octets()),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// Written by hand: it is made for every connection, and formatting costs ten times as much.
    fn of_v4(octets: [u8; 4]) -> Self {
        let mut text = [0; MAX_TEXT];
        let mut len = 0;
        for (i, octet) in octets.into_iter().enumerate() {
            if i > 0 {
                text[len] = b'.';
                len += 1;
            }
            for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
                if octet >= least {
                    text[len] = b'0' + digit;
                    len += 1;
                }
            }
        }
        Self { text, len: len as u8 }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let mut text = [0; MAX_TEXT];
        let mut rest = &mut text[..];
        // Every address fits; were one cut off, it would still be harmless text.
        let _ = write!(rest, "{address}");
        let len = (MAX_TEXT - rest.len()) as u8;
        Self { text, len }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    /// Whether it is an IPv6 address, which RFC 7239 and URIs want in brackets.
    pub fn is_v6(&self) -> bool {
        self.as_bytes().contains(&b':')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(address: &str) -> String {
        let text = AddressText::of(address.parse().unwrap());
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn addresses_read_as_people_write_them() {
        assert_eq!(text("192.0.2.7"), "192.0.2.7");
        assert_eq!(text("2001:DB8:0:0::1"), "2001:db8::1");
        assert_eq!(text("::ffff:192.0.2.7"), "192.0.2.7");
    }

    proptest! {
        #[test]
        fn any_address_fits(bits in any::<u128>(), v4 in any::<bool>()) {
            let address = match v4 {
                true => IpAddr::from((bits as u32).to_be_bytes()),
                false => IpAddr::from(bits.to_be_bytes()),
            };
            let text = AddressText::of(address);
            let read: IpAddr = std::str::from_utf8(text.as_bytes()).unwrap().parse().unwrap();
            prop_assert_eq!(read, address.to_canonical());
            prop_assert_eq!(text.is_v6(), read.is_ipv6());
        }
    }
}
