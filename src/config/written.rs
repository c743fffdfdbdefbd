//! Settings in the words of the file.

use std::fmt;

use super::identity::ClientAttribute;
use super::limit::LimitKey;
use super::settings::{Balance, HashKey, HostPolicy, TargetAddress};

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round_robin"),
            Self::LeastRequest => f.write_str("least_request"),
            Self::Random => f.write_str("random"),
            Self::Maglev(key) => write!(f, "maglev by {key}"),
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Path => f.write_str("path"),
        }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::PathParameter(name) => write!(f, "path:{name}"),
            Self::ClientCertificate(ClientAttribute::Fingerprint) => {
                f.write_str("client_certificate")
            }
            Self::ClientCertificate(attribute) => {
                write!(f, "client_certificate:{}", attribute.key())
            }
            Self::Application => f.write_str("application"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Route => f.write_str("route"),
        }
    }
}

impl fmt::Display for HostPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preserve => f.write_str("preserve"),
            Self::Target => f.write_str("target"),
            Self::Literal(host) => f.write_str(host),
        }
    }
}
