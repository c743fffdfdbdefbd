//! Properties of the PROXY protocol's reader and writer: what is written reads back, cuts into reads
//! do not matter, no bytes make it panic.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate::accept::proxy_protocol::{Addresses, Bad, Header, emit_v1, emit_v2, parse};
use tollgate::config::AcceptProxyProtocol as Accept;

/// The verdict on bytes that come one by one, and how many had come.
fn trickled(bytes: &[u8], accept: Accept) -> (Result<Option<Header<'_>>, Bad>, usize) {
    for len in 0..bytes.len() {
        match parse(&bytes[..len], accept) {
            Ok(None) => {}
            verdict => return (verdict, len),
        }
    }
    (parse(bytes, accept), bytes.len())
}

fn v4() -> impl Strategy<Value = SocketAddr> {
    any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port))
}

fn v6() -> impl Strategy<Value = SocketAddr> {
    // Those that stand for IPv4 addresses are written as such.
    any::<([u8; 16], u16)>().prop_map(|(mut ip, port)| {
        ip[0] |= 0x20;
        SocketAddr::new(IpAddr::from(ip), port)
    })
}

fn pair() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![(v4(), v4()), (v6(), v6())]
}

fn authority() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[a-z0-9.-]{1,255}")
}

/// Bytes that are mostly headers, some of them spoilt.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (pair(), authority(), any::<bool>(), spoilt, vec(any::<u8>(), 0..40)).prop_map(
        |((source, destination), authority, text, spoilt, behind)| {
            let mut bytes = Vec::new();
            match text {
                true => emit_v1(source, destination, &mut bytes),
                false => emit_v2(source, destination, authority.as_deref(), &mut bytes),
            }
            for (at, byte) in spoilt {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.extend(behind);
            bytes
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        (source, destination) in pair(),
        authority in authority(),
        behind in vec(any::<u8>(), 0..20),
    ) {
        let addresses = Addresses::Proxied { source, destination };
        let mut bytes = Vec::new();
        emit_v1(source, destination, &mut bytes);
        let len = bytes.len();
        bytes.extend_from_slice(&behind);
        let header = parse(&bytes, Accept::V1).unwrap().unwrap();
        prop_assert_eq!((header.addresses, header.len), (addresses, len));

        bytes.clear();
        emit_v2(source, destination, authority.as_deref(), &mut bytes);
        let len = bytes.len();
        bytes.extend_from_slice(&behind);
        let header = parse(&bytes, Accept::V2).unwrap().unwrap();
        prop_assert_eq!((header.addresses, header.len), (addresses, len));
        prop_assert_eq!(header.tlvs.authority, authority.as_deref());
    }

    #[test]
    fn a_byte_that_was_changed_is_noticed(
        (source, destination) in pair(),
        authority in authority(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = Vec::new();
        emit_v2(source, destination, authority.as_deref(), &mut bytes);
        let whole = parse(&bytes, Accept::V2).unwrap().map(|h| (h.addresses, h.len)).unwrap();
        // From the addresses on, but for the checksum's own type and length.
        let at = 16 + at.index(bytes.len() - 16);
        bytes[at] ^= flip;
        let now = parse(&bytes, Accept::V2);
        let checksum = bytes.len() - 7..bytes.len() - 4;
        prop_assert!(now.is_err() || checksum.contains(&at), "{:?} was {:?}", now, whole);
    }

    #[test]
    fn cuts_do_not_matter(bytes in nearly()) {
        for accept in [Accept::V1, Accept::V2, Accept::Any] {
            let whole = parse(&bytes, accept);
            let (verdict, _) = trickled(&bytes, accept);
            prop_assert_eq!(verdict, whole);
        }
    }

    #[test]
    fn no_byte_behind_the_header_is_looked_at(bytes in nearly()) {
        if let (Ok(Some(header)), needed) = trickled(&bytes, Accept::Any) {
            prop_assert_eq!(header.len, needed);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, Accept::Any);
        let v2 = [b"\r\n\r\n\0\r\nQUIT\n\x21", &bytes[..]].concat();
        let _ = parse(&v2, Accept::Any);
        let tlvs = [b"\r\n\r\n\0\r\nQUIT\n\x21\0\0", &[bytes.len() as u8][..], &bytes[..]].concat();
        let _ = parse(&tlvs, Accept::Any);
        let v1 = [b"PROXY ", &bytes[..], b"\r\n"].concat();
        let _ = parse(&v1, Accept::Any);
    }
}
