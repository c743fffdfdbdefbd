//! What an operator is told of a connection that did not come about. Never a client: it says what
//! is behind the gateway.

use std::fmt::{self, Display, Formatter};
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Why there is no connection, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What the system says: its number.
    System(i32),
    /// What was not as it must be.
    Found(&'static str),
    /// The target ended TLS with this alert (RFC 8446 section 6).
    Alert(AlertDescription),
}

impl Cause {
    /// The target was there, and ended the connection before anything could be asked over it.
    pub const ENDED: Self = Self::Found("the target ended the connection as it began");

    /// What came first is nothing of TLS.
    pub(super) const NO_TLS: Self = Self::Found("the target speaks no TLS");

    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::System(number),
            None => Self::ENDED,
        }
    }

    /// Of a read that found an alert where an answer should be: with TLS 1.3 a target says only then that
    /// it does not take our certificate, or wants one (RFC 8446 section 4.4.2.4).
    pub fn of_refusal(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref()? {
            Error::AlertReceived(alert) => Some(Self::Alert(*alert)),
            _ => None,
        }
    }

    pub(super) fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::Found(of_certificate(error)),
            Error::AlertReceived(alert) => Self::Alert(*alert),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NO_TLS,
            Error::PeerIncompatible(error) => Self::Found(of_offer(error)),
            Error::NoCertificatesPresented => Self::Found("the target showed no certificate"),
            _ => Self::Found("the target broke a rule of TLS"),
        }
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "the target's certificate has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "the target's certificate is not valid yet"
        }
        E::Revoked => "the target's certificate was revoked",
        E::UnknownIssuer => {
            "the target's certificate is of an issuer that `tls.roots` does not trust"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the target's certificate is for other names"
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "the target's certificate is not one of a server"
        }
        E::BadSignature => "the signature of the target's certificate is not its issuer's",
        E::BadEncoding => "the target's certificate can't be read",
        _ => "the target's certificate can't be verified",
    }
}

fn of_offer(error: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as E;
    match error {
        E::ServerDoesNotSupportTls12Or13
        | E::ServerTlsVersionIsDisabledByOurConfig
        | E::Tls12NotOfferedOrEnabled => "the target speaks TLS in older versions only",
        _ => "the target offers nothing in TLS that both know",
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            // Of `connect`, which says so where none of the local ports is free.
            Self::System(libc::EADDRNOTAVAIL) => f.write_str("no local address or port is left"),
            Self::System(number) => write!(f, "{}", io::Error::from_raw_os_error(*number)),
            Self::Found(text) => f.write_str(text),
            Self::Alert(alert) => write!(f, "the target ended TLS with the alert {alert:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_told_in_words() {
        let told = |number| Cause::of(&io::Error::from_raw_os_error(number)).to_string();
        assert!(told(libc::ECONNREFUSED).starts_with("Connection refused"));
        assert!(told(libc::EHOSTUNREACH).starts_with("No route to host"));
        assert!(told(libc::EMFILE).starts_with("Too many open files"));
        assert!(told(libc::EADDRNOTAVAIL).contains("port"));
        assert_eq!(Cause::of(&io::ErrorKind::UnexpectedEof.into()), Cause::ENDED);
    }

    #[test]
    fn what_is_wrong_with_tls_is_told_apart() {
        let told = |error: Error| Cause::of_tls(&error).to_string();
        let errors = [
            Error::InvalidCertificate(CertificateError::Expired),
            Error::InvalidCertificate(CertificateError::NotValidYet),
            Error::InvalidCertificate(CertificateError::Revoked),
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::InvalidCertificate(CertificateError::NotValidForName),
            Error::InvalidCertificate(CertificateError::InvalidPurpose),
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Error::InvalidCertificate(CertificateError::BadSignature),
            Error::InvalidCertificate(CertificateError::UnknownRevocationStatus),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::AlertReceived(AlertDescription::CertificateRequired),
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::NoCertificatesPresented,
            Error::DecryptError,
        ];
        let texts: std::collections::HashSet<String> = errors.into_iter().map(told).collect();
        assert_eq!(texts.len(), 16, "{texts:?}");
        assert!(texts.contains("the target ended TLS with the alert HandshakeFailure"));
    }
}
