//! What version 2 says beside the addresses.

use super::crc32c::crc32c;
use super::{Bad, kind};
use crate::limits::{PROXY_AUTHORITY_MAX, PROXY_UNIQUE_ID_MAX};

/// The TLVs that are read; others are skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    /// The protocol that client and proxy agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The host name that the client asked for, of its SNI say.
    pub authority: Option<&'a str>,
    /// The proxy's name for the connection.
    pub unique_id: Option<&'a [u8]>,
    /// How the client spoke TLS to the proxy, where the proxy says so.
    pub tls: Option<Tls<'a>>,
}

/// How a client spoke to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls<'a> {
    /// It spoke TLS.
    pub used: bool,
    /// It showed a certificate, on this connection or an earlier one of its session.
    pub certificate: bool,
    /// That certificate was found good.
    pub verified: bool,
    /// The version, as `TLSv1.3`.
    pub version: Option<&'a [u8]>,
    /// The common name of that certificate.
    pub common_name: Option<&'a str>,
}

/// Reads the TLVs in `rest`, the end of the whole `header`; checks the header by its checksum where
/// it has one.
pub(super) fn read<'a>(header: &'a [u8], rest: &'a [u8]) -> Result<Tlvs<'a>, Bad> {
    let mut tlvs = Tlvs::default();
    let mut checked = false;
    let mut each = Each { rest };
    while let Some((kind, value)) = each.next()? {
        match kind {
            kind::ALPN => once(&mut tlvs.alpn, value)?,
            kind::AUTHORITY => once(&mut tlvs.authority, name(value)?)?,
            kind::UNIQUE_ID if value.len() > PROXY_UNIQUE_ID_MAX => return Err(Bad::Tlv),
            kind::UNIQUE_ID => once(&mut tlvs.unique_id, value)?,
            kind::SSL => once(&mut tlvs.tls, tls(value)?)?,
            kind::CRC32C if checked => return Err(Bad::Tlv),
            kind::CRC32C => {
                let at = header.len() - each.rest.len() - value.len();
                check(header, at, value)?;
                checked = true;
            }
            _ => {}
        }
    }
    Ok(tlvs)
}

/// The checksum is that of the header with zeros in its place.
fn check(header: &[u8], at: usize, value: &[u8]) -> Result<(), Bad> {
    let said = u32::from_be_bytes(value.try_into().map_err(|_| Bad::Tlv)?);
    let (before, behind) = (&header[..at], &header[at + 4..]);
    let found = crc32c(before.iter().chain(&[0; 4]).chain(behind));
    if found == said { Ok(()) } else { Err(Bad::Checksum) }
}

fn tls(value: &[u8]) -> Result<Tls<'_>, Bad> {
    let (&[client, a, b, c, d], rest) = value.split_first_chunk::<5>().ok_or(Bad::Tlv)?;
    let certificate = client & 0b110 != 0;
    let mut tls = Tls {
        used: client & 1 != 0,
        certificate,
        verified: certificate && [a, b, c, d] == [0; 4],
        version: None,
        common_name: None,
    };
    let mut each = Each { rest };
    while let Some((kind, value)) = each.next()? {
        match kind {
            kind::SSL_VERSION => once(&mut tls.version, value)?,
            kind::SSL_CN => {
                let name = std::str::from_utf8(value).map_err(|_| Bad::Tlv)?;
                once(&mut tls.common_name, name)?;
            }
            _ => {}
        }
    }
    Ok(tls)
}

fn name(value: &[u8]) -> Result<&str, Bad> {
    let text = std::str::from_utf8(value).map_err(|_| Bad::Tlv)?;
    let fits = (1..=PROXY_AUTHORITY_MAX).contains(&text.len());
    if fits && !text.contains(char::is_control) { Ok(text) } else { Err(Bad::Tlv) }
}

/// Two values would be two readings.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Bad> {
    if place.replace(value).is_some() { Err(Bad::Tlv) } else { Ok(()) }
}

/// TLVs one after the other; they must fill the room they have.
struct Each<'a> {
    rest: &'a [u8],
}

impl<'a> Each<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Bad> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (&[kind, high, low], rest) = self.rest.split_first_chunk::<3>().ok_or(Bad::Tlv)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Bad::Tlv)?;
        self.rest = rest;
        Ok(Some((kind, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], &len[..], value].concat()
    }

    fn read_all(bytes: &[u8]) -> Result<Tlvs<'_>, Bad> {
        read(bytes, bytes)
    }

    #[test]
    fn those_we_know() {
        let tls = [
            &[0b011, 0, 0, 0, 0][..],
            &tlv(kind::SSL_VERSION, b"TLSv1.3"),
            &tlv(0x23, b"ECDHE-RSA-AES128-GCM-SHA256"),
            &tlv(kind::SSL_CN, b"client"),
        ]
        .concat();
        let bytes = [
            tlv(kind::ALPN, b"h2"),
            tlv(kind::AUTHORITY, b"api.example.com"),
            tlv(kind::UNIQUE_ID, &[1; 128]),
            tlv(0x04, &[0; 9]),
            tlv(0xea, b"of a cloud"),
            tlv(kind::SSL, &tls),
        ]
        .concat();
        let read = read_all(&bytes).unwrap();
        assert_eq!(read.alpn, Some(&b"h2"[..]));
        assert_eq!(read.authority, Some("api.example.com"));
        assert_eq!(read.unique_id, Some(&[1; 128][..]));
        let tls = read.tls.unwrap();
        assert!(tls.used && tls.certificate && tls.verified, "{tls:?}");
        assert_eq!((tls.version, tls.common_name), (Some(&b"TLSv1.3"[..]), Some("client")));
    }

    #[test]
    fn a_certificate_that_failed_is_not_verified() {
        let verified = |client, verify| {
            let value = [client, 0, 0, 0, verify];
            let bytes = tlv(kind::SSL, &value);
            read_all(&bytes).unwrap().tls.unwrap().verified
        };
        assert!(verified(0b111, 0) && verified(0b101, 0));
        assert!(!verified(0b111, 1));
        // Nothing was shown, so that nothing was found good.
        assert!(!verified(0b001, 0));
    }

    #[test]
    fn they_fill_their_room() {
        for bytes in [
            &[1][..],
            &[1, 0],
            &[1, 0, 1],
            &[4, 0, 2, 0],
            &[4, 0, 1, 0, 0],
            &[4, 0xff, 0xff],
            &tlv(kind::SSL, &[0; 4]),
            &tlv(kind::SSL, &[0, 0, 0, 0, 0, 0x21]),
            &tlv(kind::SSL, &[0, 0, 0, 0, 0, 0x21, 0, 9]),
            &tlv(kind::CRC32C, &[0; 3]),
            &tlv(kind::UNIQUE_ID, &[0; 129]),
            &tlv(kind::AUTHORITY, b""),
            &tlv(kind::AUTHORITY, b"\xff"),
            &tlv(kind::AUTHORITY, b"a\nb"),
            &tlv(kind::AUTHORITY, &[b'a'; 256]),
            &[tlv(kind::AUTHORITY, b"a"), tlv(kind::AUTHORITY, b"a")].concat(),
        ] {
            assert_eq!(read_all(bytes), Err(Bad::Tlv), "{bytes:?}");
        }
    }
}
