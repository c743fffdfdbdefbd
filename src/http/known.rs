//! Field names the gateway acts on, and what is known about each.

use super::head::Known;

/// Which known name a field name is. The name must be a token already.
///
/// Length and first letter leave one candidate, or two, so that is all that is compared with.
#[inline]
pub(crate) fn known(name: &[u8]) -> Known {
    let Some(first) = name.first() else { return Known::Other };
    let (matches, known) = match (name.len(), first | 0x20) {
        (2, b't') => (same(name, b"te"), Known::Te),
        (3, b'v') => (same(name, b"via"), Known::Via),
        (4, b'd') => (same(name, b"date"), Known::Date),
        (4, b'l') => (same(name, b"link"), Known::Link),
        (4, b'h') => (same(name, b"host"), Known::Host),
        (6, b'a') => (same(name, b"accept"), Known::Accept),
        (6, b'c') => (same(name, b"cookie"), Known::Cookie),
        (6, b'e') => (same(name, b"expect"), Known::Expect),
        (6, b's') => (same(name, b"server"), Known::Server),
        (7, b'r') if same(name, b"refresh") => (true, Known::Refresh),
        (7, b'r') => (same(name, b"referer"), Known::Referer),
        (7, b't') => (same(name, b"trailer"), Known::Trailer),
        (7, b'u') => (same(name, b"upgrade"), Known::Upgrade),
        (8, b'l') => (same(name, b"location"), Known::Location),
        (9, b'f') => (same(name, b"forwarded"), Known::Forwarded),
        (10, b'c') => (same(name, b"connection"), Known::Connection),
        (10, b'e') => (same(name, b"early-data"), Known::EarlyData),
        (10, b'k') => (same(name, b"keep-alive"), Known::KeepAlive),
        (10, b's') => (same(name, b"set-cookie"), Known::SetCookie),
        (10, b't') => (same(name, b"tracestate"), Known::Tracestate),
        (10, b'u') => (same(name, b"user-agent"), Known::UserAgent),
        (11, b'c') => (same(name, b"client-cert"), Known::ClientCert),
        (11, b't') => (same(name, b"traceparent"), Known::Traceparent),
        (12, b'm') => (same(name, b"max-forwards"), Known::MaxForwards),
        (12, b'p') => (same(name, b"proxy-status"), Known::ProxyStatus),
        (12, b'x') => (same(name, b"x-request-id"), Known::XRequestId),
        (14, b'c') => (same(name, b"content-length"), Known::ContentLength),
        (15, b'x') => (same(name, b"x-forwarded-for"), Known::XForwardedFor),
        (16, b'c') => (same(name, b"content-location"), Known::ContentLocation),
        (16, b'p') => (same(name, b"proxy-connection"), Known::ProxyConnection),
        (16, b'x') => (same(name, b"x-forwarded-host"), Known::XForwardedHost),
        (17, b'c') => (same(name, b"client-cert-chain"), Known::ClientCertChain),
        (17, b't') => (same(name, b"transfer-encoding"), Known::TransferEncoding),
        (17, b'x') => (same(name, b"x-forwarded-proto"), Known::XForwardedProto),
        (18, b'p') => (same(name, b"proxy-authenticate"), Known::ProxyAuthenticate),
        (19, b'p') => (same(name, b"proxy-authorization"), Known::ProxyAuthorization),
        _ => return Known::Other,
    };
    if matches { known } else { Known::Other }
}

/// Equality without regard to case, for a token against lower-case letters and hyphens: setting
/// bit 5 of a token byte maps no other byte onto those.
#[inline(always)]
fn same<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Some(name) = name.first_chunk::<N>() else { return false };
    let difference = name.iter().zip(lower).fold(0, |sum, (a, b)| sum | ((a | 0x20) ^ b));
    difference == 0
}

const _: () = assert!((Known::XRequestId as u32) < u64::BITS, "KnownSet has a bit for each");

/// A set of known names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KnownSet(u64);

impl KnownSet {
    /// A set of these names.
    pub(crate) const fn of(names: &[Known]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < names.len() {
            bits |= 1 << names[i] as u32;
            i += 1;
        }
        Self(bits)
    }

    /// Adds a name.
    #[inline(always)]
    pub(crate) fn insert(&mut self, name: Known) {
        self.0 |= 1 << name as u32;
    }

    /// Whether the name is in it.
    #[inline(always)]
    pub(crate) fn contains(self, name: Known) -> bool {
        self.0 >> name as u32 & 1 != 0
    }
}

/// Hop-by-hop without being named by Connection (RFC 9110 section 7.6.1). Trailer is not among
/// them, since trailers are passed on; nor are the Proxy-Auth* fields, which section 11.7 leaves
/// to the one proxy that asked for them.
pub(crate) const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Whether a Connection option of that name is ignored.
///
/// A sender may name any field of its own for removal, and that has been used to strip fields a
/// later hop relies on (credentials, client address, framing). Fields meant for all recipients
/// must not be named (RFC 9110 section 7.6.1), so these stay.
pub(crate) fn is_end_to_end(known: Known, name: &[u8]) -> bool {
    const REMOVABLE: KnownSet = KnownSet::of(&[
        Known::Connection,
        Known::KeepAlive,
        Known::ProxyAuthenticate,
        Known::ProxyAuthorization,
        Known::ProxyConnection,
        Known::Te,
        Known::Trailer,
        Known::TransferEncoding,
        Known::Upgrade,
    ]);
    const NAMES: &[&[u8]] = &[
        b"age",
        b"allow",
        b"authorization",
        b"cache-control",
        b"etag",
        b"expires",
        b"last-modified",
        b"origin",
        b"pragma",
        b"range",
        b"retry-after",
        b"strict-transport-security",
        b"vary",
        b"www-authenticate",
        b"x-real-ip",
    ];
    const PREFIXES: &[&[u8]] = &[b"access-control-", b"content-", b"if-", b"sec-", b"x-forwarded-"];
    match known {
        Known::Other => is_listed(name, NAMES, PREFIXES),
        known => !REMOVABLE.contains(known),
    }
}

/// Whether a trailer field of that name is dropped (RFC 9110 section 6.5.1): framing, routing,
/// request modifiers, authentication, response control, content handling, and what the gateway
/// itself vouches for. A recipient that merges trailers into the head would act on them.
pub(crate) fn is_forbidden_trailer(known: Known, name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"age",
        b"authentication-info",
        b"authorization",
        b"cache-control",
        b"expires",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"proxy-authentication-info",
        b"range",
        b"retry-after",
        b"vary",
        b"warning",
        b"www-authenticate",
        b"x-real-ip",
    ];
    const PREFIXES: &[&[u8]] =
        &[b"access-control-", b"content-", b"if-", b"sec-", b"x-forwarded-", b"x-tollgate-"];
    match known {
        Known::Other if name.contains(&b'_') => {
            poses_as_known(name) || is_listed(Hyphens::of(name).name(), NAMES, PREFIXES)
        }
        Known::Other => is_listed(name, NAMES, PREFIXES),
        Known::ProxyStatus => false,
        _ => true,
    }
}

/// Whether a name with `_` would, with hyphens, be one that the gateway acts on or vouches for.
///
/// CGI, WSGI, Rack and PHP show `X-Forwarded-For` and `X_Forwarded_For` to a service under the
/// same name, so a client could lie by the second about what the gateway says by the first.
pub(crate) fn poses_as_known(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[b"x-real-ip", b"authorization", b"content-type"];
    const PREFIXES: &[&[u8]] = &[b"x-forwarded-", b"x-tollgate-"];
    let hyphens = Hyphens::of(name);
    known(hyphens.name()) != Known::Other || is_listed(hyphens.name(), NAMES, PREFIXES)
}

/// A name's beginning with hyphens for its underscores: as much as any listed name is long.
struct Hyphens {
    bytes: [u8; 32],
    len: usize,
}

impl Hyphens {
    fn of(name: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        Self { bytes, len: name.len().min(bytes.len()) }
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn is_listed(name: &[u8], names: &[&[u8]], prefixes: &[&[u8]]) -> bool {
    let begins = |prefix: &&[u8]| {
        name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix)
    };
    names.iter().any(|n| name.eq_ignore_ascii_case(n)) || prefixes.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[(&str, Known)] = &[
        ("Accept", Known::Accept),
        ("Client-Cert", Known::ClientCert),
        ("Client-Cert-Chain", Known::ClientCertChain),
        ("Connection", Known::Connection),
        ("Content-Length", Known::ContentLength),
        ("Content-Location", Known::ContentLocation),
        ("Cookie", Known::Cookie),
        ("Date", Known::Date),
        ("Early-Data", Known::EarlyData),
        ("Expect", Known::Expect),
        ("Forwarded", Known::Forwarded),
        ("Host", Known::Host),
        ("Keep-Alive", Known::KeepAlive),
        ("Link", Known::Link),
        ("Location", Known::Location),
        ("Max-Forwards", Known::MaxForwards),
        ("Proxy-Authenticate", Known::ProxyAuthenticate),
        ("Proxy-Authorization", Known::ProxyAuthorization),
        ("Proxy-Connection", Known::ProxyConnection),
        ("Proxy-Status", Known::ProxyStatus),
        ("Referer", Known::Referer),
        ("Refresh", Known::Refresh),
        ("Server", Known::Server),
        ("Set-Cookie", Known::SetCookie),
        ("TE", Known::Te),
        ("Traceparent", Known::Traceparent),
        ("Tracestate", Known::Tracestate),
        ("Trailer", Known::Trailer),
        ("Transfer-Encoding", Known::TransferEncoding),
        ("Upgrade", Known::Upgrade),
        ("User-Agent", Known::UserAgent),
        ("Via", Known::Via),
        ("X-Forwarded-For", Known::XForwardedFor),
        ("X-Forwarded-Host", Known::XForwardedHost),
        ("X-Forwarded-Proto", Known::XForwardedProto),
        ("X-Request-Id", Known::XRequestId),
    ];

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (name, wanted) in ALL {
            assert_eq!(known(name.as_bytes()), *wanted);
            assert_eq!(known(name.to_ascii_lowercase().as_bytes()), *wanted);
            assert_eq!(known(name.to_ascii_uppercase().as_bytes()), *wanted);
        }
        assert_eq!(ALL.len(), Known::XRequestId as usize);
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_name() {
        for (name, wanted) in ALL {
            for at in 0..name.len() {
                for byte in (0..=255u8).filter(|b| crate::http::bytes::is_token(&[*b])) {
                    let mut other = name.as_bytes().to_vec();
                    other[at] = byte;
                    if !other.eq_ignore_ascii_case(name.as_bytes()) {
                        assert_ne!(known(&other), *wanted, "{}", other.escape_ascii());
                    }
                }
            }
            assert_eq!(known(format!("{name}x").as_bytes()), Known::Other);
        }
        assert_eq!(known(b""), Known::Other);
    }

    #[test]
    fn names_that_pose_as_others() {
        for (name, _) in ALL.iter().filter(|(name, _)| name.contains('-')) {
            assert!(poses_as_known(name.replace('-', "_").as_bytes()), "{name}");
            assert!(poses_as_known(name.replacen('-', "_", 1).as_bytes()), "{name}");
        }
        for name in ["X_REAL_IP", "x-forwarded_port", "X_Forwarded_Prefix_And_Much_More_Than_That"]
        {
            assert!(poses_as_known(name.as_bytes()), "{name}");
            assert!(is_forbidden_trailer(Known::Other, name.as_bytes()), "{name}");
        }
        for name in ["my_field", "_", "x_real_ips", "x_mine_is_longer_than_thirty_two_bytes"] {
            assert!(!poses_as_known(name.as_bytes()), "{name}");
            assert!(!is_forbidden_trailer(Known::Other, name.as_bytes()), "{name}");
        }
        assert!(is_forbidden_trailer(Known::Other, b"set_cookie"));
    }

    #[test]
    fn essentials_cannot_be_named_away() {
        for name in ["Host", "Authorization", "Content-Type", "X-Forwarded-For", "Via", "If-Match"]
        {
            assert!(is_end_to_end(known(name.as_bytes()), name.as_bytes()), "{name}");
        }
        for name in ["X-Mine", "Keep-Alive", "Upgrade", "HTTP2-Settings"] {
            assert!(!is_end_to_end(known(name.as_bytes()), name.as_bytes()), "{name}");
        }
    }
}
