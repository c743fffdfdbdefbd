//! Where credentials are in a request, and how they are taken out of it.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::jwt::{Offered, Scheme, after, shown};
use crate::http::head::{Field, values};
use crate::policy::query::{decoded, is_encoded, parameters};
use crate::policy::transform::FieldNames;
use crate::policy::transform::alphabet::is_token_byte;

/// The name of the field that schemes of authentication share.
const AUTHORIZATION: &[u8] = b"authorization";

/// Where a credential may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a field; lower-case name.
    Header(Box<[u8]>),
    /// In a query parameter.
    Query(Box<[u8]>),
    /// In Authorization: Bearer (RFC 6750).
    Bearer,
    /// The user of Authorization: Basic (RFC 7617).
    BasicUser,
    /// Its password.
    BasicPassword,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').map_or((text, ""), |(kind, name)| (kind, name)) {
            ("bearer", "") => Ok(Self::Bearer),
            ("basic_user", "") => Ok(Self::BasicUser),
            ("basic_password", "") => Ok(Self::BasicPassword),
            ("header", name) if !name.is_empty() && name.bytes().all(is_token_byte) => {
                Ok(Self::Header(name.to_ascii_lowercase().into_bytes().into()))
            }
            ("query", name) if !name.is_empty() => Ok(Self::Query(name.as_bytes().into())),
            _ => Err(format!(
                "{text:?} is no place: write \"header:NAME\", \"query:NAME\", \"bearer\", \
                 \"basic_user\" or \"basic_password\""
            )),
        }
    }
}

/// What of a request may hold credentials.
#[derive(Clone, Copy)]
pub struct Carrier<'a> {
    /// The request's fields.
    pub fields: &'a [Field],
    /// What the fields' spans point into.
    pub buf: &'a [u8],
    /// The query without `?`.
    pub query: Option<&'a [u8]>,
}

impl<'a> Carrier<'a> {
    /// What is in the first of these places that holds something. Of repeated fields and parameters
    /// the first counts.
    pub fn find(&self, places: &[Place]) -> Option<Cow<'a, [u8]>> {
        self.token(places, Offered::default()).map(|(_, text)| text)
    }

    /// The token in the first of these places that holds one, and how it is shown. Where none does, but a scheme
    /// of theirs is named, what is shown is empty, and nobody's.
    pub fn token(&self, places: &[Place], offered: Offered) -> Option<(Scheme, Cow<'a, [u8]>)> {
        let mut there = places.iter().filter_map(|place| self.at(place, offered));
        there.clone().find(|(_, text)| !text.is_empty()).or_else(|| there.next())
    }

    fn at(&self, place: &Place, offered: Offered) -> Option<(Scheme, Cow<'a, [u8]>)> {
        let found = match place {
            Place::Header(name) => {
                held(Cow::Borrowed(values(self.fields, self.buf, name).next()?))?
            }
            Place::Query(name) => held(self.parameter(name)?)?,
            Place::Bearer => {
                let (scheme, text) = shown(self.fields, self.buf, offered)?;
                return Some((scheme, Cow::Borrowed(text)));
            }
            Place::BasicUser => Cow::Owned(self.basic()?.unwrap_or_default().0),
            Place::BasicPassword => Cow::Owned(self.basic()?.unwrap_or_default().1),
        };
        Some((Scheme::Bearer, found))
    }

    fn parameter(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        let value = parameters(self.query?).find(|parameter| parameter.is(name))?.value;
        Some(match is_encoded(value) {
            true => decoded(value).collect(),
            false => Cow::Borrowed(value),
        })
    }

    /// What Authorization: Basic holds; `Err`: not what it should.
    pub(super) fn basic(&self) -> Option<Result<Pair, Malformed>> {
        let value = values(self.fields, self.buf, AUTHORIZATION).next()?;
        after("Basic", value).map(|text| pair(text).ok_or(Malformed))
    }
}

/// A field or parameter that is empty holds nothing.
fn held(value: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    (!value.is_empty()).then_some(value)
}

/// User and password, as bytes: which characters they are, nobody need know to compare them.
type Pair = (Vec<u8>, Vec<u8>);

/// A scheme is named, and what follows is none of its credentials.
pub(super) struct Malformed;

fn pair(text: &[u8]) -> Option<Pair> {
    let mut user = STANDARD.decode(text).ok()?;
    let colon = memchr::memchr(b':', &user)?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

/// What of a request only the gateway may see.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Fields.
    pub fields: FieldNames,
    /// Parameters of its query.
    pub parameters: Parameters,
}

impl Secrets {
    /// Adds a place.
    pub fn add(&mut self, place: &Place) {
        match place {
            Place::Query(name) => {
                self.parameters.add(name);
            }
            Place::Header(name) => {
                self.fields.add(name);
            }
            Place::Bearer | Place::BasicUser | Place::BasicPassword => {
                self.fields.add(AUTHORIZATION);
            }
        }
    }
}

/// Names of parameters that may be credentials.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<Box<[u8]>>);

impl Parameters {
    /// Adds a name, decoded.
    pub fn add(&mut self, name: &[u8]) {
        if !self.has(name) {
            self.0.push(name.into());
        }
    }

    /// Whether a name is among them.
    pub fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|known| **known == *name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes what a query is without them.
    pub fn without(&self, query: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for parameter in parameters(query) {
            if self.0.iter().any(|name| parameter.is(name)) {
                continue;
            }
            if !out.is_empty() {
                out.push(b'&');
            }
            out.extend_from_slice(parameter.whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Known, Span};

    /// The value of these places in a request with one field and this query.
    fn found(places: &[&str], (name, value): (&str, &str), query: &str) -> Option<String> {
        let places: Vec<Place> = places.iter().map(|place| place.parse().unwrap()).collect();
        let buf = format!("{name}{value}");
        let (name, value) = (Span::new(0, name.len()), Span::new(name.len(), buf.len()));
        let fields = [Field { name, value, known: Known::Other, hop: false }];
        let carrier =
            Carrier { fields: &fields, buf: buf.as_bytes(), query: Some(query.as_bytes()) };
        carrier.find(&places).map(|found| String::from_utf8(found.into_owned()).unwrap())
    }

    #[test]
    fn a_credential_is_found_where_it_may_be() {
        let key = Some("k 1".to_owned());
        assert_eq!(found(&["header:X-API-Key"], ("x-api-key", "k 1"), ""), key);
        assert_eq!(found(&["query:key"], ("a", "b"), "a=1&key=k+1"), key);
        assert_eq!(found(&["query:key"], ("a", "b"), "k%65y=k%201&key=2"), key);
        assert_eq!(found(&["bearer"], ("Authorization", "bEARER  k 1"), ""), key);
        // "k 1:pass:word"
        let basic = ("Authorization", "Basic ayAxOnBhc3M6d29yZA==");
        assert_eq!(found(&["basic_user"], basic, ""), key);
        assert_eq!(found(&["basic_password"], basic, "").as_deref(), Some("pass:word"));
    }

    #[test]
    fn the_first_place_that_holds_something_counts() {
        let places = ["header:X-API-Key", "query:key"];
        assert_eq!(found(&places, ("x-api-key", "h"), "key=q").as_deref(), Some("h"));
        assert_eq!(found(&places, ("x-api-key", ""), "key=q").as_deref(), Some("q"));
        assert_eq!(found(&places, ("x-other", "h"), "other=q"), None);
    }

    #[test]
    fn a_scheme_that_is_named_is_there_whatever_follows() {
        let of = |value| found(&["basic_user", "bearer"], ("Authorization", value), "");
        for value in ["Basic", "Basic !", "basic ayAx", "Basic Ojo=", "Bearer", "bearer "] {
            assert_eq!(of(value).as_deref(), Some(""), "{value}");
        }
        for value in ["Basicx ayAxOg==", "Bas", "DPoP a", "Digest a", ""] {
            assert_eq!(of(value), None, "{value}");
        }
        let both = ["basic_user", "query:key"];
        assert_eq!(found(&both, ("Authorization", "Basic !"), "key=q").as_deref(), Some("q"));
    }

    #[test]
    fn places_are_written_in_words() {
        for wrong in ["", "header", "header:", "header:a b", "query:", "bearer:x", "cookie:x"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_loses_its_secrets_and_nothing_else() {
        let mut secrets = Secrets::default();
        secrets.add(&Place::Query(b"key".as_slice().into()));
        secrets.add(&Place::Bearer);
        assert!(!secrets.parameters.is_empty() && secrets.fields.has(b"Authorization"));
        let mut out = Vec::new();
        for (query, wanted) in [
            ("key=1", ""),
            ("a=1&key=1&b=2", "a=1&b=2"),
            ("k%65y=1&keys=2&key=3&%zz", "keys=2&%zz"),
            ("a=1&&b", "a=1&&b"),
        ] {
            secrets.parameters.without(query.as_bytes(), &mut out);
            assert_eq!(out, wanted.as_bytes(), "{query}");
        }
    }
}
