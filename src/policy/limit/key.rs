//! What a request is counted under.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use crate::http::Identity;
use crate::http::head::{Field, values};
use crate::policy::auth::jwt::Json;
use crate::policy::query::{decoded, is_encoded, parameters};

use super::rule::{Rule, RuleKey};
use super::shared::{Shared, client_bits};

/// The parts of a request that a limit may be keyed by.
#[derive(Clone, Copy)]
pub struct KeySource<'a> {
    /// The client address, canonical (see [`crate::policy::client`]).
    pub client: IpAddr,
    /// Prefix length by which one IPv6 client is told from another.
    pub ipv6_prefix: u8,
    /// The request's fields.
    pub fields: &'a [Field],
    /// What the fields' spans point into.
    pub buf: &'a [u8],
    /// The query without `?`.
    pub query: Option<&'a [u8]>,
    /// Who the client proved to be.
    pub identity: Option<&'a Identity>,
    /// Id of the application that calls, once that is known.
    pub application: Option<u64>,
    /// What the token says that was shown, once it is believed.
    pub claims: Option<&'a Json>,
    /// The value of the route's path parameter with this number.
    pub path_parameter: &'a dyn Fn(usize) -> &'a [u8],
}

impl KeySource<'_> {
    /// Of a request that is over: who called, and nothing else.
    pub fn of_caller(client: IpAddr, ipv6_prefix: u8, application: Option<u64>) -> Self {
        Self {
            client,
            ipv6_prefix,
            fields: &[],
            buf: &[],
            query: None,
            identity: None,
            application,
            claims: None,
            path_parameter: &|_| b"",
        }
    }

    /// The hash of the bucket that `rule` keeps for this request. Of repeated fields and
    /// parameters the first counts; an absent one is told from an empty one.
    pub(super) fn hash(&self, shared: &Shared, rule: &Rule) -> u64 {
        let mut hasher = shared.hasher.build_hasher();
        hasher.write_u64(rule.id());
        match &rule.key {
            RuleKey::Scope => {}
            RuleKey::ClientIp => hasher.write_u128(client_bits(self.client, self.ipv6_prefix)),
            RuleKey::Header(name) => {
                write_optional(&mut hasher, values(self.fields, self.buf, name).next());
            }
            RuleKey::Query(name) => match self.query.and_then(|query| parameter(query, name)) {
                Some(value) => write_decoded(&mut hasher, value),
                None => hasher.write_u8(0),
            },
            RuleKey::ClientCertificate(attribute) => {
                let text = self.identity.map(|identity| identity.text(*attribute).as_bytes());
                write_optional(&mut hasher, text);
            }
            RuleKey::Application => match self.application {
                Some(id) => {
                    hasher.write_u8(1);
                    hasher.write_u64(id);
                }
                None => {
                    hasher.write_u8(0);
                    hasher.write_u128(client_bits(self.client, self.ipv6_prefix));
                }
            },
            RuleKey::Claim(name) => {
                match self.claims.and_then(|claims| claims.at(name)).filter(|it| **it != Json::Null)
                {
                    Some(claim) => {
                        hasher.write_u8(1);
                        claim.hash(&mut hasher);
                    }
                    None => hasher.write_u8(0),
                }
            }
            RuleKey::PathParameter(index) => {
                write_optional(&mut hasher, Some((self.path_parameter)(*index)));
            }
        }
        hasher.finish()
    }
}

fn write_optional(hasher: &mut impl Hasher, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            hasher.write_u8(1);
            hasher.write(value);
        }
        None => hasher.write_u8(0),
    }
}

/// The first value of the query parameter `name`, still encoded.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    parameters(query).find(|parameter| parameter.is(name)).map(|parameter| parameter.value)
}

/// Hashes what the value means, so that another spelling is no other bucket.
fn write_decoded(hasher: &mut impl Hasher, value: &[u8]) {
    hasher.write_u8(1);
    // In pieces of one size, since hashing byte by byte is slow.
    if !is_encoded(value) {
        value.chunks(PIECE).for_each(|piece| hasher.write(piece));
        return;
    }
    let mut piece = [0; PIECE];
    let mut filled = 0;
    for byte in decoded(value) {
        piece[filled] = byte;
        filled += 1;
        if filled == piece.len() {
            hasher.write(&piece);
            filled = 0;
        }
    }
    hasher.write(&piece[..filled]);
}

const PIECE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitKey;
    use crate::http::head::{Known, Span};
    use crate::policy::limit::rule::test_limit;

    fn source<'a>(client: &str, query: &'a str) -> KeySource<'a> {
        KeySource {
            client: client.parse().unwrap(),
            ipv6_prefix: 64,
            fields: &[],
            buf: &[],
            query: Some(query.as_bytes()),
            identity: None,
            application: None,
            claims: None,
            path_parameter: &|_| b"",
        }
    }

    fn rule(key: LimitKey) -> Rule {
        Rule::new("route a", &test_limit(1, 1, key), Some(0))
    }

    #[test]
    fn ipv6_clients_are_told_apart_by_prefix() {
        let (shared, rule) = (Shared::with_slots(8, 8), rule(LimitKey::ClientIp));
        let hash = |client| source(client, "").hash(&shared, &rule);
        assert_eq!(hash("2001:db8::1"), hash("2001:db8::2"));
        assert_ne!(hash("2001:db8::1"), hash("2001:db8:0:1::1"));
        assert_ne!(hash("192.0.2.1"), hash("192.0.2.2"));
        assert_eq!(hash("192.0.2.1"), hash("::ffff:192.0.2.1"));
        assert_eq!(client_bits("2001:db8::1".parse().unwrap(), 0), 0);
    }

    #[test]
    fn query_values_are_compared_decoded() {
        let (shared, rule) = (Shared::with_slots(8, 8), rule(LimitKey::Query("key".into())));
        let hash = |query| source("::1", query).hash(&shared, &rule);
        assert_eq!(hash("a=1&key=abc"), hash("key=%61bc&key=z"));
        assert_eq!(hash("key=abc"), hash("k%65y=abc"));
        assert_eq!(hash("key=a+b"), hash("key=a%20b"));
        assert_ne!(hash("key=abc"), hash("key=abd"));
        assert_ne!(hash("key="), hash("other=1"));
        assert_eq!(hash("key"), hash("key="));
        let long = format!("key={}", "x".repeat(200));
        let spelled = format!("key=%78{}", "x".repeat(199));
        assert_eq!(
            source("::1", &long).hash(&shared, &rule),
            source("::1", &spelled).hash(&shared, &rule)
        );
    }

    #[test]
    fn applications_are_told_apart_wherever_they_call_from() {
        let (shared, rule) = (Shared::with_slots(8, 8), rule(LimitKey::Application));
        let hash = |client, application| {
            KeySource { application, ..source(client, "") }.hash(&shared, &rule)
        };
        assert_eq!(hash("192.0.2.1", Some(7)), hash("192.0.2.2", Some(7)));
        assert_ne!(hash("192.0.2.1", Some(7)), hash("192.0.2.1", Some(8)));
        assert_ne!(hash("192.0.2.1", None), hash("192.0.2.2", None));
        assert_ne!(hash("::", None), hash("::", Some(0)));
    }

    #[test]
    fn claims_are_told_apart_by_what_they_say() {
        let (shared, nested) =
            (Shared::with_slots(8, 8), rule(LimitKey::Claim("/realm/id".into())));
        let hash = |rule: &Rule, text: &str| {
            let claims = Json::object(text.as_bytes()).unwrap();
            KeySource { claims: Some(&claims), ..source("::1", "") }.hash(&shared, rule)
        };
        let told = [r#""1""#, "1", r#"["1"]"#, r#"["1","2"]"#, r#"{"a":"1"}"#, "true", r#""""#]
            .map(|value| hash(&nested, &format!(r#"{{"realm":{{"id":{value}}}}}"#)));
        for (at, one) in told.iter().enumerate() {
            assert!(!told[..at].contains(one), "{at}");
        }
        let none = source("::1", "").hash(&shared, &nested);
        assert!(!told.contains(&none));
        for absent in ["{}", r#"{"realm":{}}"#, r#"{"realm":{"id":null}}"#, r#"{"/realm/id":"1"}"#]
        {
            assert_eq!(hash(&nested, absent), none, "{absent}");
        }
        let plain = rule(LimitKey::Claim("sub".into()));
        let said = |text| hash(&plain, text);
        assert_eq!(said(r#"{"sub":"a","x":1}"#), said(r#"{"x":2,"sub":"a"}"#));
        assert_ne!(said(r#"{"sub":"a"}"#), said(r#"{"sub":"b"}"#));
    }

    #[test]
    fn headers_and_path_parameters() {
        let shared = Shared::with_slots(8, 8);
        let buf = b"X-Keyone";
        let field = Field {
            name: Span::new(0, 5),
            value: Span::new(5, 8),
            known: Known::Other,
            hop: false,
        };
        let with = KeySource { fields: &[field], buf, ..source("::1", "") };
        let by_header = rule(LimitKey::Header("x-key".into()));
        assert_ne!(with.hash(&shared, &by_header), source("::1", "").hash(&shared, &by_header));
        let by_path = rule(LimitKey::PathParameter("id".into()));
        let other = KeySource { path_parameter: &|_| b"7", ..source("::1", "") };
        assert_ne!(other.hash(&shared, &by_path), source("::1", "").hash(&shared, &by_path));
    }
}
