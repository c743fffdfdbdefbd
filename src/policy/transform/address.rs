//! An IP address as text, without a heap.

use std::io::Write;
use std::net::IpAddr;

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
        let mut text = [0; MAX_TEXT];
        let mut rest = &mut text[..];
        // Every address fits; were one cut off, it would still be harmless text.
        let _ = write!(rest, "{}", address.to_canonical());
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
