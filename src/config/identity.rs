//! What a client certificate says of its holder, by name.

/// One thing that a verified client certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAttribute {
    /// SHA-256 of the certificate, lower-case hex.
    Fingerprint,
    /// Subject (RFC 4514).
    Subject,
    /// Serial number, lower-case hex.
    Serial,
    /// DNS names of subjectAltName.
    SanDns,
    /// URIs.
    SanUri,
    /// Mail addresses.
    SanEmail,
    /// IP addresses.
    SanIp,
}

impl ClientAttribute {
    /// Each with its name in templates and in the access log.
    pub const ALL: [(&'static str, Self); 7] = [
        ("client_cert_fingerprint", Self::Fingerprint),
        ("client_cert_subject", Self::Subject),
        ("client_cert_serial", Self::Serial),
        ("client_cert_san_dns", Self::SanDns),
        ("client_cert_san_uri", Self::SanUri),
        ("client_cert_san_email", Self::SanEmail),
        ("client_cert_san_ip", Self::SanIp),
    ];

    /// The name without `client_cert_`: a key of a route's `client_certificate`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::Subject => "subject",
            Self::Serial => "serial",
            Self::SanDns => "san_dns",
            Self::SanUri => "san_uri",
            Self::SanEmail => "san_email",
            Self::SanIp => "san_ip",
        }
    }
}

/// A route's test of one attribute: one of the values must be the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTest {
    /// What is looked at.
    pub attribute: ClientAttribute,
    /// In the form in which the access log shows them.
    pub any_of: Vec<String>,
}
