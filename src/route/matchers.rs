//! Tests of header fields, query parameters and what the client's certificate says.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::error::BuildProblem;
use super::expression::Expressions;
use super::request::Request;
use crate::config::{ClientTest, Route, ValueMatch, ValueTest};
use crate::http::{Field, Identity, values};

/// A route's matchers beside host, path and methods; all must hold.
pub(super) struct Tests {
    headers: Box<[Matcher]>,
    query: Box<[Matcher]>,
    client: Box<[ClientTest]>,
}

struct Matcher {
    name: Box<[u8]>,
    test: Test,
}

enum Test {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
    Present(bool),
}

/// The first matcher that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Index in the route's headers.
    Header(usize),
    /// Index in the route's query matchers.
    Query(usize),
    /// Index in the route's tests of the client's certificate.
    Client(usize),
}

impl Tests {
    /// Compiles a route's matchers; `None` where it has none.
    pub(super) fn compile<'a>(
        route: &'a Route,
        expressions: &mut Expressions<'a>,
    ) -> Result<Option<Self>, BuildProblem> {
        if count(route) == 0 {
            return Ok(None);
        }
        let mut all = |matchers: &'a [ValueMatch]| -> Result<Box<[Matcher]>, BuildProblem> {
            matchers.iter().map(|m| Matcher::compile(m, expressions)).collect()
        };
        let (headers, query) = (all(&route.headers)?, all(&route.query)?);
        Ok(Some(Self { headers, query, client: route.client_certificate.clone().into() }))
    }

    /// Whether all hold.
    pub(super) fn hold(&self, request: &Request<'_>) -> bool {
        self.failed(request).is_none()
    }

    /// The first that does not hold.
    pub(super) fn failed(&self, request: &Request<'_>) -> Option<Failed> {
        let Request { fields, buf, identity, .. } = *request;
        let query = request.query.unwrap_or_default();
        let header = self.headers.iter().position(|m| !m.accepts_any_line(fields, buf));
        let query = || self.query.iter().position(|m| !m.accepts_any_parameter(query));
        let client = || self.client.iter().position(|test| !knows(test, identity));
        let header = header.map(Failed::Header);
        header.or_else(|| query().map(Failed::Query)).or_else(|| client().map(Failed::Client))
    }

    /// Bytes, its own included, but not what the compiled expressions take.
    pub(super) fn memory(&self) -> usize {
        let all = self.headers.iter().chain(&self.query);
        let values = self.client.iter().flat_map(|test| &test.any_of);
        size_of::<Self>()
            + all.map(Matcher::memory).sum::<usize>()
            + size_of_val(&*self.client)
            + values.map(|value| size_of::<String>() + value.capacity()).sum::<usize>()
    }
}

/// How many matchers a route has beside host, path and methods.
pub(super) fn count(route: &Route) -> usize {
    route.headers.len() + route.query.len() + route.client_certificate.len()
}

/// A client without a certificate is nobody that a route could name.
fn knows(test: &ClientTest, identity: Option<&Identity>) -> bool {
    identity.is_some_and(|is| test.any_of.iter().any(|value| is.has(test.attribute, value)))
}

impl Matcher {
    fn compile<'a>(
        matcher: &'a ValueMatch,
        expressions: &mut Expressions<'a>,
    ) -> Result<Self, BuildProblem> {
        let test = match &matcher.test {
            ValueTest::Exact(text) => Test::Exact(text.as_bytes().into()),
            ValueTest::Prefix(text) => Test::Prefix(text.as_bytes().into()),
            ValueTest::Regex(text) => Test::Regex(expressions.compile(text)?),
            ValueTest::Present(wanted) => Test::Present(*wanted),
        };
        Ok(Self { name: matcher.name.as_bytes().into(), test })
    }

    fn accepts_any_line(&self, fields: &[Field], buf: &[u8]) -> bool {
        self.test.accepts_any(values(fields, buf, &self.name).map(Cow::Borrowed))
    }

    fn accepts_any_parameter(&self, query: &[u8]) -> bool {
        self.test.accepts_any(parameters(query, &self.name).map(decode))
    }

    fn memory(&self) -> usize {
        let text = match &self.test {
            Test::Exact(text) | Test::Prefix(text) => text.len(),
            Test::Regex(_) | Test::Present(_) => 0,
        };
        size_of::<Self>() + self.name.len() + text
    }
}

impl Test {
    fn accepts_any<'v>(&self, mut values: impl Iterator<Item = Cow<'v, [u8]>>) -> bool {
        match self {
            Self::Exact(text) => values.any(|value| *value == **text),
            Self::Prefix(text) => values.any(|value| value.starts_with(text)),
            Self::Regex(regex) => values.any(|value| regex.is_match(&value)),
            Self::Present(wanted) => values.next().is_some() == *wanted,
        }
    }
}

/// The raw values of the query's parameters of this (decoded) name.
pub(super) fn parameters<'q>(
    query: &'q [u8],
    name: &'q [u8],
) -> impl Iterator<Item = &'q [u8]> + 'q {
    let pieces = query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    pieces.filter_map(move |piece| {
        let end = memchr::memchr(b'=', piece).unwrap_or(piece.len());
        let (key, value) = piece.split_at(end);
        is_decoded(key, name).then(|| value.get(1..).unwrap_or_default())
    })
}

fn is_decoded(raw: &[u8], text: &[u8]) -> bool {
    raw == text
        || (raw.len() >= text.len() && is_encoded(raw) && Decoded(raw).eq(text.iter().copied()))
}

/// Form decoding (WHATWG URL section 5.1): allocates only where there is something to decode.
pub(super) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if is_encoded(raw) { Decoded(raw).collect() } else { Cow::Borrowed(raw) }
}

fn is_encoded(raw: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', raw).is_some()
}

/// Decoded bytes one by one; a percent sign without two hex digits stands for itself.
struct Decoded<'r>(&'r [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match *self.0 {
            [b'%', high, low, ref rest @ ..] if hex(high).is_some() && hex(low).is_some() => {
                (hex(high)? << 4 | hex(low)?, rest)
            }
            [b'+', ref rest @ ..] => (b' ', rest),
            [byte, ref rest @ ..] => (byte, rest),
            [] => return None,
        };
        self.0 = rest;
        Some(byte)
    }
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_forms() {
        let cases = [
            ("plain", "plain"),
            ("a+b%20c", "a b c"),
            ("%41%zz%4", "A%zz%4"),
            ("%", "%"),
            ("%2B", "+"),
            ("", ""),
        ];
        for (raw, decoded) in cases {
            assert_eq!(&*decode(raw.as_bytes()), decoded.as_bytes(), "{raw}");
        }
        assert!(matches!(decode(b"plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn finds_parameters_by_decoded_name() {
        let query = b"a=1&&%61=2&b&a&c=a=3&a+b=4&=5";
        let find = |name: &'static str| {
            let all = parameters(query, name.as_bytes());
            all.map(|v| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(find("a"), ["1", "2", ""]);
        assert_eq!(find("b"), [""]);
        assert_eq!(find("c"), ["a=3"]);
        assert_eq!(find("a b"), ["4"]);
        assert_eq!(find(""), ["5"]);
        assert!(find("d").is_empty());
    }
}
