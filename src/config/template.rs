//! Text with variables, read: `{client_ip}`, `{host}`, path parameters and the like.
//!
//! In fields `{{` and `}}` stand for single braces. A name that the route's path gives hides a
//! variable of the same name.

use std::fmt;
use std::ops::Range;

use super::identity::ClientAttribute;

/// A variable that every request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `{client_ip}`: the client's address.
    ClientIp,
    /// `{host}`: the request's host, without port.
    Host,
    /// `{method}`: the request's method.
    Method,
    /// `{path}`: the canonical path, before any rewriting.
    Path,
    /// `{query}`: the query without `?`. A `?` right before it goes where there is no query.
    Query,
    /// `{request_id}`: the request's id.
    RequestId,
    /// `{route}`: the route's name.
    Route,
    /// `{scheme}`: the client's scheme.
    Scheme,
    /// `{client_cert_subject}` and the like: what the client's certificate says.
    ClientCertificate(ClientAttribute),
}

impl Variable {
    const ALL: [(&'static str, Self); 8] = [
        ("client_ip", Self::ClientIp),
        ("host", Self::Host),
        ("method", Self::Method),
        ("path", Self::Path),
        ("query", Self::Query),
        ("request_id", Self::RequestId),
        ("route", Self::Route),
        ("scheme", Self::Scheme),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::all().find(|(known, _)| *known == name).map(|(_, variable)| variable)
    }

    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let told = ClientAttribute::ALL.into_iter();
        let told = told.map(|(name, attribute)| (name, Self::ClientCertificate(attribute)));
        Self::ALL.into_iter().chain(told)
    }
}

/// Where a template is used; decides which variables and bytes it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The value of a request or response field.
    Field,
    /// The path that goes upstream.
    Path,
    /// A redirect's Location.
    Location,
}

impl Place {
    /// The names of the variables allowed here, beside the route's own, for messages.
    pub fn variables(self) -> impl Iterator<Item = &'static str> {
        Variable::all().filter(move |(_, v)| self.allows(*v)).map(|(name, _)| name)
    }

    fn allows(self, variable: Variable) -> bool {
        use Variable::{
            ClientCertificate, ClientIp, Host, Method, Path, Query, RequestId, Route, Scheme,
        };
        match self {
            Self::Field => match variable {
                ClientIp | Host | Method | Path | Query | RequestId | Route | Scheme
                | ClientCertificate(_) => true,
            },
            Self::Path => matches!(variable, Path),
            Self::Location => matches!(variable, Host | Path | Query | Scheme),
        }
    }

    /// The first byte of a literal that must not stand here.
    pub fn refused(self, literal: &str) -> Option<usize> {
        let bytes = literal.as_bytes();
        let encoded = |at: usize| {
            let digits = bytes.get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        let holds = |at: usize, byte: u8| match self {
            Self::Field => byte == b'\t' || (byte >= b' ' && byte != 0x7f),
            // Each `%` begins an encoded byte by itself, whatever stands in the braces behind it.
            Self::Path => is_path_byte(byte) && (byte != b'%' || encoded(at)),
            Self::Location => is_uri_byte(byte),
        };
        bytes.iter().enumerate().find(|(at, byte)| !holds(*at, **byte)).map(|(at, _)| at)
    }
}

/// Whether a byte can be part of a path as it is: `pchar` of RFC 3986 section 3.3, `/` and `%`.
pub fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

/// Whether a byte can stand in a URI reference as it is (RFC 3986 section 2).
pub fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// The names a route's path gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names<'a> {
    /// Parameter names in the order of the pattern.
    pub parameters: &'a [&'a str],
    /// Whether the pattern ends with a catch-all, which templates call `{*}`. Its value comes
    /// after the parameters'.
    pub catch_all: bool,
}

impl Names<'_> {
    fn index(&self, name: &str) -> Option<usize> {
        if name == "*" {
            return self.catch_all.then_some(self.parameters.len());
        }
        self.parameters.iter().position(|known| *known == name)
    }
}

/// What is wrong with a template. Positions are byte offsets into its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateError {
    /// `{` without `}`; write `{{` for a plain brace.
    Unclosed(usize),
    /// `}` without `{`; write `}}` for a plain brace.
    Unopened(usize),
    /// No such variable, or none that is allowed here: start and end of its name. A plain brace
    /// is written `{{`.
    Unknown(usize, usize),
    /// A byte that must not stand here: a control character, in a path also `?`, `#` or a space.
    Byte(usize),
}

impl TemplateError {
    /// The part of the text that is wrong.
    pub fn range(self) -> Range<usize> {
        match self {
            Self::Unclosed(at) | Self::Unopened(at) | Self::Byte(at) => at..at + 1,
            Self::Unknown(start, end) => start..end,
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unclosed(_) => "a brace is left open",
            Self::Unopened(_) => "a brace is closed that was not opened",
            Self::Unknown(..) => "there is no such variable here",
            Self::Byte(_) => "a character must not stand here",
        })
    }
}

/// What a template is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// Text as it is.
    Literal(&'t str),
    /// What every request has.
    Variable(Variable),
    /// A path parameter by its index, the catch-all after the others.
    Parameter(usize),
    /// `{claim:sub}`: what the token says that was shown.
    Claim(&'t str),
}

/// What the variables of claims begin with.
pub const CLAIM: &str = "claim:";

/// The parts of a text, and every mistake in it.
pub fn parts<'t>(text: &'t str, place: Place, names: Names<'t>) -> Parts<'t> {
    Parts { text, at: 0, place, names }
}

/// See [`parts`].
#[derive(Debug, Clone)]
pub struct Parts<'t> {
    text: &'t str,
    at: usize,
    place: Place,
    names: Names<'t>,
}

impl<'t> Iterator for Parts<'t> {
    type Item = Result<Part<'t>, TemplateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = self.text.get(at..).filter(|rest| !rest.is_empty())?;
        let (len, part) = match rest.find(['{', '}']) {
            Some(0) => self.brace(rest),
            end => {
                let literal = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                let refused = self.place.refused(literal);
                let part = refused
                    .map_or(Ok(Part::Literal(literal)), |byte| Err(TemplateError::Byte(at + byte)));
                (literal.len(), part)
            }
        };
        self.at += len;
        Some(part)
    }
}

impl<'t> Parts<'t> {
    /// What a brace begins, and its length.
    fn brace(&self, rest: &'t str) -> (usize, Result<Part<'t>, TemplateError>) {
        if self.place == Place::Field && (rest.starts_with("{{") || rest.starts_with("}}")) {
            return (2, Ok(Part::Literal(rest.get(..1).unwrap_or_default())));
        }
        let Some(inside) = rest.strip_prefix('{') else {
            return (1, Err(TemplateError::Unopened(self.at)));
        };
        let Some((name, _)) = inside.split_once('}') else {
            return (rest.len(), Err(TemplateError::Unclosed(self.at)));
        };
        let begin = self.at + 1;
        let unknown = TemplateError::Unknown(begin, begin + name.len());
        (name.len() + 2, self.named(name).ok_or(unknown))
    }

    fn named(&self, name: &'t str) -> Option<Part<'t>> {
        if let Some(index) = self.names.index(name) {
            return Some(Part::Parameter(index));
        }
        match name.strip_prefix(CLAIM) {
            Some(claim) if !claim.is_empty() && self.place == Place::Field => {
                Some(Part::Claim(claim))
            }
            _ => Variable::named(name).filter(|v| self.place.allows(*v)).map(Part::Variable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { parameters: &["id", "host"], catch_all: true };

    fn mistakes(text: &str, place: Place) -> Vec<TemplateError> {
        parts(text, place, NAMES).filter_map(Result::err).collect()
    }

    #[test]
    fn a_text_is_read_in_parts() {
        let read: Vec<_> = parts("a{{{id}}}{claim:sub}{route}", Place::Field, NAMES).collect();
        let wanted = [
            Part::Literal("a"),
            Part::Literal("{"),
            Part::Parameter(0),
            Part::Literal("}"),
            Part::Claim("sub"),
            Part::Variable(Variable::Route),
        ];
        assert_eq!(read, wanted.map(Ok));
    }

    #[test]
    fn a_parameter_hides_a_variable_of_its_name() {
        let mut read = parts("{host}", Place::Field, NAMES);
        assert_eq!(read.next(), Some(Ok(Part::Parameter(1))));
    }

    #[test]
    fn mistakes_are_found_with_their_place() {
        let cases = [
            ("a{b", Place::Field, TemplateError::Unclosed(1)),
            ("a}b", Place::Field, TemplateError::Unopened(1)),
            ("a{nope}", Place::Field, TemplateError::Unknown(2, 6)),
            ("{claim:}", Place::Field, TemplateError::Unknown(1, 7)),
            ("{claim}", Place::Field, TemplateError::Unknown(1, 6)),
            ("/{query}", Place::Path, TemplateError::Unknown(2, 7)),
            ("/{claim:sub}", Place::Path, TemplateError::Unknown(2, 11)),
            ("{client_ip}", Place::Location, TemplateError::Unknown(1, 10)),
            ("{claim:sub}", Place::Location, TemplateError::Unknown(1, 10)),
            ("a\r\nb", Place::Field, TemplateError::Byte(1)),
            ("a\0", Place::Field, TemplateError::Byte(1)),
            ("/a?b", Place::Path, TemplateError::Byte(2)),
            ("/a b", Place::Path, TemplateError::Byte(2)),
            ("/%4{id}", Place::Path, TemplateError::Byte(1)),
            ("/a b", Place::Location, TemplateError::Byte(2)),
        ];
        for (text, place, error) in cases {
            assert_eq!(mistakes(text, place), [error], "{text:?}");
        }
        assert_eq!(TemplateError::Unknown(2, 6).range(), 2..6);
    }

    #[test]
    fn every_mistake_is_found() {
        let unknown = TemplateError::Unknown;
        assert_eq!(mistakes("{a}{b}", Place::Field), [unknown(1, 2), unknown(4, 5)]);
        assert_eq!(mistakes("/{{id}}", Place::Path), [unknown(2, 5), TemplateError::Unopened(6)]);
    }

    #[test]
    fn without_a_catch_all_there_is_no_star() {
        let names = Names { parameters: &["id"], catch_all: false };
        let mut read = parts("{*}", Place::Path, names);
        assert_eq!(read.next(), Some(Err(TemplateError::Unknown(1, 2))));
    }

    #[test]
    fn the_allowed_names_are_listed_for_messages() {
        assert!(Place::Location.variables().eq(["host", "path", "query", "scheme"]));
        assert!(Place::Path.variables().eq(["path"]));
    }
}
