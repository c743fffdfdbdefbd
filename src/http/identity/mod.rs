//! Who a client proved to be: what the verified certificate of its handshake says, as texts, and as
//! the fields that tell a service of it (RFC 9440).
//!
//! Read once a connection. Every text is printable ASCII, whatever a certificate holds, so that it
//! may stand in a field, and the same in templates, matchers, limits and the access log.

mod subject;

use std::fmt::Write;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{ClientAttribute, ClientCertificateForward};

/// What stands between the names of a list.
const BETWEEN: &str = ", ";

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    fingerprint: Box<str>,
    subject: Box<str>,
    serial: Box<str>,
    san_dns: Box<str>,
    san_uri: Box<str>,
    san_email: Box<str>,
    san_ip: Box<str>,
    /// The certificate's last second, since 1970.
    not_after: i64,
    /// `Client-Cert` and `Client-Cert-Chain`, each a line with its end, as far as they are sent.
    certificate_line: Box<[u8]>,
    chain_line: Box<[u8]>,
}

impl Identity {
    /// Reads the certificates (DER) that a client showed, its own first, after they were verified;
    /// `None` where its own is malformed or there is none.
    pub fn read<C: AsRef<[u8]>>(shown: &[C], forward: ClientCertificateForward) -> Option<Self> {
        let (own, chain) = shown.split_first()?;
        let (_, parsed) = X509Certificate::from_der(own.as_ref()).ok()?;
        let names = parsed.subject_alternative_name().ok()?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let all = |pick: fn(&GeneralName<'_>) -> Option<String>| -> Box<str> {
            names.iter().filter_map(pick).collect::<Vec<_>>().join(BETWEEN).into()
        };
        let (certificate, others) = match forward {
            ClientCertificateForward::Off => (false, &[][..]),
            ClientCertificateForward::Certificate => (true, &[][..]),
            ClientCertificateForward::Chain => (true, chain),
        };
        let own_line = if certificate { std::slice::from_ref(own) } else { &[] };
        Some(Self {
            fingerprint: hex(digest(&SHA256, own.as_ref()).as_ref()).into(),
            subject: subject::text(parsed.subject()).into(),
            serial: serial(parsed.raw_serial()).into(),
            san_dns: all(|name| match name {
                GeneralName::DNSName(text) => Some(listed(&text.to_ascii_lowercase())),
                _ => None,
            }),
            san_uri: all(|name| match name {
                GeneralName::URI(text) => Some(listed(text)),
                _ => None,
            }),
            san_email: all(|name| match name {
                GeneralName::RFC822Name(text) => Some(listed(text)),
                _ => None,
            }),
            san_ip: all(|name| match name {
                GeneralName::IPAddress(bytes) => address(bytes),
                _ => None,
            }),
            not_after: parsed.validity().not_after.timestamp(),
            certificate_line: line("Client-Cert: ", own_line),
            chain_line: line("Client-Cert-Chain: ", others),
        })
    }

    /// What it says of one thing; names of a list have a comma and a space between them. Empty where
    /// it says nothing.
    pub fn text(&self, attribute: ClientAttribute) -> &str {
        match attribute {
            ClientAttribute::Fingerprint => &self.fingerprint,
            ClientAttribute::Subject => &self.subject,
            ClientAttribute::Serial => &self.serial,
            ClientAttribute::SanDns => &self.san_dns,
            ClientAttribute::SanUri => &self.san_uri,
            ClientAttribute::SanEmail => &self.san_email,
            ClientAttribute::SanIp => &self.san_ip,
        }
    }

    /// Whether it says just that, of a list in one of its names.
    pub fn has(&self, attribute: ClientAttribute, value: &str) -> bool {
        let text = self.text(attribute);
        match attribute {
            ClientAttribute::Fingerprint | ClientAttribute::Subject | ClientAttribute::Serial => {
                text == value
            }
            // No name of a list holds a comma.
            _ => text.split(BETWEEN).any(|name| name == value),
        }
    }

    /// Whether the certificate's time is over; `now` in seconds since 1970. A session that is resumed
    /// brings the certificate it began with, which nobody has verified again.
    pub fn has_ended(&self, now: i64) -> bool {
        now > self.not_after
    }

    /// The line with `Client-Cert` (RFC 9440 section 2.2), where it is sent.
    pub fn certificate_line(&self) -> &[u8] {
        &self.certificate_line
    }

    /// The line with `Client-Cert-Chain` (RFC 9440 section 2.3), where it is sent.
    pub fn chain_line(&self) -> &[u8] {
        &self.chain_line
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Without the zero that keeps a large one positive (X.690 section 8.3).
fn serial(raw: &[u8]) -> String {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    hex(raw.get(zeros.min(raw.len().saturating_sub(1))..).unwrap_or_default())
}

/// A name of a list: what would end it or the line stands percent-encoded.
fn listed(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_graphic() && byte != b',' {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or(<[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
}

/// A field of byte sequences (RFC 8941 section 3.3.5); nothing where there is none.
fn line<C: AsRef<[u8]>>(name: &str, certificates: &[C]) -> Box<[u8]> {
    if certificates.is_empty() {
        return Box::default();
    }
    let all = certificates.iter().map(|der| format!(":{}:", STANDARD.encode(der)));
    let value = all.collect::<Vec<_>>().join(BETWEEN);
    format!("{name}{value}\r\n").into_bytes().into()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType, SerialNumber,
    };

    use super::*;

    fn made(change: impl Fn(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn read(der: &[u8]) -> Identity {
        Identity::read(&[der], ClientCertificateForward::Off).unwrap()
    }

    fn subject_of(parts: &[(DnType, &str)]) -> String {
        let der = made(|params| {
            params.distinguished_name = DistinguishedName::new();
            for (kind, value) in parts {
                params.distinguished_name.push(kind.clone(), *value);
            }
        });
        read(&der).text(ClientAttribute::Subject).to_owned()
    }

    #[test]
    fn a_subject_reads_as_rfc_4514_has_it() {
        let usual = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Orders, Inc."),
            (DnType::CommonName, "orders"),
        ];
        assert_eq!(subject_of(&usual), "CN=orders,O=Orders\\, Inc.,C=DE");
        assert_eq!(subject_of(&[]), "");
        let odd = [(DnType::CommonName, " #a+b\"<c>;\\ ")];
        assert_eq!(subject_of(&odd), "CN=\\ #a\\+b\\\"\\<c\\>\\;\\\\\\ ");
        assert_eq!(subject_of(&[(DnType::CommonName, "#1")]), "CN=\\#1");
        // What would end a field, and what is no ASCII.
        assert_eq!(subject_of(&[(DnType::CommonName, "a\r\nb\0")]), "CN=a\\0D\\0Ab\\00");
        assert_eq!(subject_of(&[(DnType::CommonName, "Zoë")]), "CN=Zo\\C3\\AB");
        let unknown = DnType::CustomDnType(vec![1, 2, 3, 4]);
        assert_eq!(subject_of(&[(unknown, "hi")]), "1.2.3.4=#0c026869");
    }

    #[test]
    fn every_kind_of_string_is_read() {
        let der = made(|params| {
            params.distinguished_name = DistinguishedName::new();
            let value = DnValue::BmpString("Zoë".try_into().unwrap());
            params.distinguished_name.push(DnType::CommonName, value);
        });
        assert_eq!(read(&der).text(ClientAttribute::Subject), "CN=Zo\\C3\\AB");
    }

    #[test]
    fn names_are_listed_by_kind_and_none_can_pass_for_two() {
        let der = made(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("A.example".try_into().unwrap()),
                SanType::URI("spiffe://example/orders".try_into().unwrap()),
                SanType::DnsName("b.example, c.example".try_into().unwrap()),
                SanType::Rfc822Name("ops@example.com\r\nx: y".try_into().unwrap()),
                SanType::IpAddress("192.0.2.1".parse().unwrap()),
                SanType::IpAddress("2001:db8::1".parse().unwrap()),
            ];
        });
        let identity = read(&der);
        let shown = |attribute| identity.text(attribute);
        assert_eq!(shown(ClientAttribute::SanDns), "a.example, b.example%2C%20c.example");
        assert_eq!(shown(ClientAttribute::SanUri), "spiffe://example/orders");
        assert_eq!(shown(ClientAttribute::SanEmail), "ops@example.com%0D%0Ax:%20y");
        assert_eq!(shown(ClientAttribute::SanIp), "192.0.2.1, 2001:db8::1");
        assert!(identity.has(ClientAttribute::SanDns, "a.example"));
        assert!(identity.has(ClientAttribute::SanIp, "2001:db8::1"));
        assert!(!identity.has(ClientAttribute::SanDns, "c.example"));
        assert!(!identity.has(ClientAttribute::SanDns, "a.exam"));
        assert!(!identity.has(ClientAttribute::SanUri, "a.example"));
    }

    #[test]
    fn fingerprint_and_serial_are_hex() {
        let der = made(|params| params.serial_number = Some(SerialNumber::from_slice(&[0xf0, 1])));
        let identity = read(&der);
        assert_eq!(identity.text(ClientAttribute::Serial), "f001");
        let fingerprint = identity.text(ClientAttribute::Fingerprint);
        assert_eq!(fingerprint, hex(digest(&SHA256, &der).as_ref()));
        assert_eq!(fingerprint.len(), 64);
        assert_eq!(serial(&[0]), "00");
        assert_eq!(serial(&[]), "");
    }

    #[test]
    fn what_goes_upstream_is_what_was_asked_for() {
        let (own, signer) = (made(|_| {}), made(|_| {}));
        let lines = |forward| {
            let identity = Identity::read(&[&own, &signer, &signer], forward).unwrap();
            let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
            (text(identity.certificate_line()), text(identity.chain_line()))
        };
        let one = |der| format!(":{}:", STANDARD.encode(der));
        let certificate = format!("Client-Cert: {}\r\n", one(&own));
        let chain = format!("Client-Cert-Chain: {}, {}\r\n", one(&signer), one(&signer));
        assert_eq!(lines(ClientCertificateForward::Off), (String::new(), String::new()));
        let only = (certificate.clone(), String::new());
        assert_eq!(lines(ClientCertificateForward::Certificate), only);
        assert_eq!(lines(ClientCertificateForward::Chain), (certificate, chain));
        let alone = Identity::read(&[&own], ClientCertificateForward::Chain).unwrap();
        assert_eq!(alone.chain_line(), b"");
    }

    #[test]
    fn a_certificate_ends_with_its_last_second() {
        let end = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
        let identity = read(&made(|params| params.not_after = end.into()));
        assert!(!identity.has_ended(1_800_000_000));
        assert!(identity.has_ended(1_800_000_001));
    }

    #[test]
    fn what_is_no_certificate_has_no_identity() {
        assert_eq!(Identity::read(&[b"\x30\x03\x02\x01\x01"], ClientCertificateForward::Off), None);
        assert_eq!(Identity::read::<&[u8]>(&[], ClientCertificateForward::Off), None);
        let der = made(|_| {});
        for end in 0..der.len() {
            assert_eq!(Identity::read(&[&der[..end]], ClientCertificateForward::Off), None);
        }
    }
}
