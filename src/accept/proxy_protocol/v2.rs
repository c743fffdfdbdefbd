//! Version 2: sixteen bytes, the addresses, and TLVs.

use std::net::{IpAddr, SocketAddr};

use super::tlv::{self, Tlvs};
use super::{Addresses, Bad, Header};
use crate::limits::PROXY_HEADER_MAX;

/// Signature, version and command, family and transport, length.
pub(super) const FIXED: usize = 16;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, Bad> {
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
    let local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Bad::Command),
    };
    // What a LOCAL header says beside its length is to be ignored.
    let family = if local { Family::Unspecified } else { Family::of(fixed[13])? };
    let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > PROXY_HEADER_MAX {
        return Err(Bad::TooLong);
    }
    if len < FIXED + family.bytes() {
        return Err(Bad::Addresses);
    }
    let Some(header) = bytes.get(..len) else { return Ok(None) };
    let (addresses, tlvs) = header[FIXED..].split_at(family.bytes());
    let tlvs = if local { Tlvs::default() } else { tlv::read(header, tlvs)? };
    let addresses = if local { Addresses::Transport } else { family.addresses(addresses) };
    Ok(Some(Header { addresses, tlvs, len }))
}

#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    Inet,
    Inet6,
    /// A client with addresses of a kind that means nothing here: this many bytes.
    Other(usize),
}

impl Family {
    /// From the byte of family and transport.
    fn of(byte: u8) -> Result<Self, Bad> {
        match byte {
            0x00 => Ok(Self::Unspecified),
            0x11 => Ok(Self::Inet),
            0x21 => Ok(Self::Inet6),
            // A datagram's sender opened no connection; a Unix socket has no address for us.
            0x12 => Ok(Self::Other(12)),
            0x22 => Ok(Self::Other(36)),
            0x31 | 0x32 => Ok(Self::Other(216)),
            _ => Err(Bad::Family),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Inet => 12,
            Self::Inet6 => 36,
            Self::Other(bytes) => bytes,
        }
    }

    fn addresses(self, block: &[u8]) -> Addresses {
        let pair = match self {
            Self::Inet => pair::<4>(block),
            Self::Inet6 => pair::<16>(block),
            Self::Unspecified | Self::Other(_) => None,
        };
        pair.map_or(Addresses::Unnamed, |(source, destination)| Addresses::Proxied {
            source,
            destination,
        })
    }
}

/// Source address, destination address, source port, destination port.
fn pair<const N: usize>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    let address = |ip: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port))
    };
    Some((address(source, source_port), address(destination, destination_port)))
}

#[cfg(test)]
mod tests {
    use super::super::SIGNATURE;
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    fn read(bytes: &[u8]) -> Result<Option<Addresses>, Bad> {
        parse(bytes).map(|header| header.map(|header| header.addresses))
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 0xbb];

    #[test]
    fn both_families() {
        let v4 = Addresses::Proxied {
            source: "192.0.2.1:56324".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        };
        assert_eq!(read(&header(0x21, 0x11, &V4)), Ok(Some(v4)));
        let mut block = [0; 36];
        (block[0], block[15], block[31], block[33], block[35]) = (0x20, 1, 2, 80, 81);
        let v6 = Addresses::Proxied {
            source: "[2000::1]:80".parse().unwrap(),
            destination: "[::2]:81".parse().unwrap(),
        };
        assert_eq!(read(&header(0x21, 0x21, &block)), Ok(Some(v6)));
    }

    #[test]
    fn the_proxys_own_and_clients_without_address_are_told_apart() {
        let own = [
            header(0x20, 0x00, &[]),
            // Whatever else stands there.
            header(0x20, 0x11, &V4),
            header(0x20, 0xff, &[9; 40]),
        ];
        for bytes in own {
            assert_eq!(read(&bytes), Ok(Some(Addresses::Transport)), "{bytes:?}");
        }
        for bytes in
            [header(0x21, 0x00, &[]), header(0x21, 0x12, &V4), header(0x21, 0x31, &[b'/'; 216])]
        {
            assert_eq!(read(&bytes), Ok(Some(Addresses::Unnamed)), "{bytes:?}");
        }
    }

    #[test]
    fn unknown_commands_and_families_are_refused() {
        for command in [0x00, 0x11, 0x22, 0x2f, 0x31] {
            assert_eq!(read(&header(command, 0x11, &V4)), Err(Bad::Command), "{command:#x}");
        }
        for family in [0x01, 0x10, 0x13, 0x20, 0x41, 0xff] {
            assert_eq!(read(&header(0x21, family, &V4)), Err(Bad::Family), "{family:#x}");
        }
    }

    #[test]
    fn lengths_are_bounded_on_both_sides() {
        assert_eq!(read(&header(0x21, 0x11, &V4[..11])), Err(Bad::Addresses));
        assert_eq!(read(&header(0x21, 0x21, &V4)), Err(Bad::Addresses));
        assert_eq!(read(&header(0x21, 0x31, &[0; 215])), Err(Bad::Addresses));
        let long = header(0x20, 0, &vec![0; PROXY_HEADER_MAX - FIXED + 1]);
        assert_eq!(read(&long[..FIXED]), Err(Bad::TooLong));
        let longest = header(0x20, 0, &vec![0; PROXY_HEADER_MAX - FIXED]);
        assert_eq!(read(&longest), Ok(Some(Addresses::Transport)));
        assert_eq!(read(&longest[..longest.len() - 1]), Ok(None));
    }
}
