//! Tests of header fields, query parameters, and what the client's certificate or token says.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::error::BuildProblem;
use super::expression::Expressions;
use super::request::Request;
use crate::config::{ClaimTest, ClientTest, Route, ValueMatch, ValueTest};
use crate::http::{Field, Identity, values};

/// A route's matchers beside host, path and methods; all must hold.
pub(super) struct Tests {
    headers: Box<[Matcher]>,
    query: Box<[Matcher]>,
    client: Box<[ClientTest]>,
    /// Where its tokens come by.
    source: u16,
    claims: Box<[ClaimTest]>,
}

/// What tests say of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All hold.
    Holds,
    /// One does not.
    Fails,
    /// Those of claims are left, and the token was not looked at yet.
    Asks,
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
    /// Index in the route's tests of claims.
    Claim(usize),
}

impl Tests {
    /// Compiles a route's matchers; `None` where it has none.
    pub(super) fn compile<'a>(
        route: &'a Route,
        source: u16,
        expressions: &mut Expressions<'a>,
    ) -> Result<Option<Self>, BuildProblem> {
        if count(route) == 0 {
            return Ok(None);
        }
        let mut all = |matchers: &'a [ValueMatch]| -> Result<Box<[Matcher]>, BuildProblem> {
            matchers.iter().map(|m| Matcher::compile(m, expressions)).collect()
        };
        let (headers, query) = (all(&route.headers)?, all(&route.query)?);
        let (client, claims) =
            (route.client_certificate.clone().into(), route.claims.clone().into());
        Ok(Some(Self { headers, query, client, source, claims }))
    }

    /// Whether all hold. What the token says is asked last, where all else holds.
    pub(super) fn verdict(&self, request: &Request<'_>) -> Verdict {
        if self.failed(request).is_some() {
            return Verdict::Fails;
        }
        let says = |test| request.claims.say(self.source, test);
        match self.claims.iter().all(|test| says(test) == Some(true)) {
            true => Verdict::Holds,
            false => Verdict::Asks,
        }
    }

    /// The first that does not hold, as far as is known.
    pub(super) fn failed(&self, request: &Request<'_>) -> Option<Failed> {
        let Request { fields, buf, identity, .. } = *request;
        let query = request.query.unwrap_or_default();
        let header = self.headers.iter().position(|m| !m.accepts_any_line(fields, buf));
        let query = || self.query.iter().position(|m| !m.accepts_any_parameter(query));
        let client = || self.client.iter().position(|test| !knows(test, identity));
        let denied = |test| request.claims.say(self.source, test) == Some(false);
        let claim = || self.claims.iter().position(denied);
        let header = header.map(Failed::Header);
        let fields = header.or_else(|| query().map(Failed::Query));
        fields.or_else(|| client().map(Failed::Client)).or_else(|| claim().map(Failed::Claim))
    }

    /// Bytes, its own included, but not what the compiled expressions take.
    pub(super) fn memory(&self) -> usize {
        let all = self.headers.iter().chain(&self.query);
        let of_claims = self.claims.iter().flat_map(|(_, values)| values);
        let values = self.client.iter().flat_map(|test| &test.any_of).chain(of_claims);
        size_of::<Self>()
            + all.map(Matcher::memory).sum::<usize>()
            + size_of_val(&*self.client)
            + size_of_val(&*self.claims)
            + values.map(|value| size_of::<String>() + value.capacity()).sum::<usize>()
    }
}

/// How many matchers a route has beside host, path and methods.
pub(super) fn count(route: &Route) -> usize {
    let of_client = route.client_certificate.len() + route.claims.len();
    route.headers.len() + route.query.len() + of_client
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
