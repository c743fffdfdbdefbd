//! Text with variables: `{client_ip}`, `{host}`, path parameters and the like.
//!
//! `{{` and `}}` stand for single braces. A name that the route's path gives hides a variable of
//! the same name.

use std::ops::Range;

use super::alphabet::{is_path_byte, is_uri_byte};
use crate::config::ClientAttribute;
use crate::http::Identity;
use crate::policy::auth::jwt::Json;

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

    /// Whether a literal byte may stand here.
    fn holds(self, byte: u8) -> bool {
        match self {
            Self::Field => byte == b'\t' || (byte >= b' ' && byte != 0x7f),
            Self::Path => is_path_byte(byte),
            Self::Location => is_uri_byte(byte),
        }
    }
}

/// The names a route's path pattern gives.
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

/// Where the values come from. All of them are from a parsed head or the gateway itself.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The client's address.
    pub client_ip: &'a [u8],
    /// Host without port.
    pub host: &'a [u8],
    /// Method.
    pub method: &'a [u8],
    /// Canonical path.
    pub path: &'a [u8],
    /// Query without `?`.
    pub query: Option<&'a [u8]>,
    /// The request's id.
    pub request_id: &'a [u8],
    /// The route's name.
    pub route: &'a [u8],
    /// The client's scheme.
    pub scheme: &'a [u8],
    /// Who the client proved to be.
    pub identity: Option<&'a Identity>,
    /// What the token says that was shown and believed.
    pub claims: Option<&'a Json>,
    /// Path parameters.
    pub parameters: &'a dyn Parameters,
}

/// The values of a request's path parameters.
pub trait Parameters {
    /// A parameter by its index in the route's pattern, the catch-all after the others; empty
    /// beyond.
    fn value(&self, index: usize) -> &[u8];
}

impl<const N: usize> Parameters for [&[u8]; N] {
    fn value(&self, index: usize) -> &[u8] {
        self.get(index).copied().unwrap_or_default()
    }
}

impl<'a> Values<'a> {
    /// All empty, to be filled in.
    pub const EMPTY: Self = Self {
        client_ip: b"",
        host: b"",
        method: b"",
        path: b"",
        query: None,
        request_id: b"",
        route: b"",
        scheme: b"",
        identity: None,
        claims: None,
        parameters: &[],
    };

    /// What a claim says, as far as a field may say it.
    fn claim(&self, name: &str) -> Option<Vec<u8>> {
        written_claim(self.claims?.at(name)?)
    }

    fn of(&self, variable: Variable) -> &'a [u8] {
        match variable {
            Variable::ClientIp => self.client_ip,
            Variable::Host => self.host,
            Variable::Method => self.method,
            Variable::Path => self.path,
            Variable::Query => self.query.unwrap_or(b""),
            Variable::RequestId => self.request_id,
            Variable::Route => self.route,
            Variable::Scheme => self.scheme,
            Variable::ClientCertificate(attribute) => {
                self.identity.map_or(b"", |identity| identity.text(attribute).as_bytes())
            }
        }
    }
}

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Variable(Variable),
    Parameter(usize),
    /// `{claim:sub}`: what the token says that was shown.
    Claim(Box<str>),
    /// `?{query}`: nothing where there is no query.
    MarkedQuery,
}

impl Template {
    /// Compiles `text` for `place`, with the names that the route's path gives.
    pub fn parse(text: &str, place: Place, names: Names<'_>) -> Result<Self, TemplateError> {
        let mut template = Self::default();
        let mut at = 0;
        while let Some(byte) = text.as_bytes().get(at).copied() {
            let doubled = text.as_bytes().get(at + 1) == Some(&byte);
            at += match byte {
                b'{' | b'}' if doubled && place == Place::Field => {
                    template.literal(&[byte]);
                    2
                }
                b'{' => template.variable(text, at, place, names)?,
                b'}' => return Err(TemplateError::Unopened(at)),
                _ if !place.holds(byte) => return Err(TemplateError::Byte(at)),
                _ => {
                    template.literal(&[byte]);
                    1
                }
            };
        }
        Ok(template)
    }

    /// Adds the variable whose brace is at `at`; returns the length of its text.
    fn variable(
        &mut self,
        text: &str,
        at: usize,
        place: Place,
        names: Names<'_>,
    ) -> Result<usize, TemplateError> {
        let inside = &text[at + 1..];
        let len = inside.find('}').ok_or(TemplateError::Unclosed(at))?;
        let name = &inside[..len];
        let claim = name.strip_prefix(CLAIM).filter(|name| !name.is_empty());
        let part = match names.index(name) {
            Some(ix) => Part::Parameter(ix),
            None if claim.is_some() && place == Place::Field => {
                Part::Claim(claim.unwrap_or_default().into())
            }
            None => Variable::named(name)
                .filter(|variable| place.allows(*variable))
                .map(Part::Variable)
                .ok_or(TemplateError::Unknown(at + 1, at + 1 + len))?,
        };
        let part = match part {
            Part::Variable(Variable::Query) if self.unmark() => Part::MarkedQuery,
            part => part,
        };
        self.parts.push(part);
        Ok(len + 2)
    }

    /// Takes back a literal `?` at the end.
    fn unmark(&mut self) -> bool {
        match self.parts.last_mut() {
            Some(Part::Literal(literal)) => literal.pop_if(|last| *last == b'?').is_some(),
            _ => false,
        }
    }

    /// Adds literal bytes.
    pub(super) fn literal(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Literal(literal)) => literal.extend_from_slice(bytes),
            _ => self.parts.push(Part::Literal(bytes.to_vec())),
        }
    }

    /// Adds all of another template.
    pub(super) fn join(&mut self, other: Self) {
        for part in other.parts {
            match part {
                Part::Literal(literal) => self.literal(&literal),
                part => self.parts.push(part),
            }
        }
    }

    /// Whether it writes nothing.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The literal text it begins with.
    pub fn beginning(&self) -> &[u8] {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => b"",
        }
    }

    /// Appends the text with the values filled in.
    #[inline]
    pub fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        self.write_by(values, out, |out, value| out.extend_from_slice(value));
    }

    /// The same with every value passed through `put`.
    pub(super) fn write_by(
        &self,
        values: &Values<'_>,
        out: &mut Vec<u8>,
        put: impl Fn(&mut Vec<u8>, &[u8]),
    ) {
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal),
                Part::Variable(variable) => put(out, plain(values.of(*variable))),
                Part::Parameter(ix) => put(out, plain(values.parameters.value(*ix))),
                Part::Claim(name) => put(out, plain(&values.claim(name).unwrap_or_default())),
                Part::MarkedQuery => {
                    if let Some(query) = values.query {
                        out.push(b'?');
                        put(out, plain(query));
                    }
                }
            }
        }
    }
}

/// What the variables of claims begin with.
pub const CLAIM: &str = "claim:";

/// What a claim says as a field's value: a string, number or boolean, or an array of these, joined by
/// commas. `None` where it would say something else to whoever reads the field: an object, what is not
/// printable ASCII, has a space at an end, or is an item with a comma in it.
fn written_claim(claim: &Json) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for item in claim.items() {
        if !out.is_empty() {
            out.push(b',');
        }
        let text = item.plain()?;
        let is_bad_item =
            matches!(claim, Json::Array(_)) && (text.is_empty() || text.contains(','));
        if is_bad_item || text.trim() != text || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return None;
        }
        out.extend_from_slice(text.as_bytes());
    }
    Some(out)
}

/// Values come from parsed heads, which hold no line ends.
fn plain(value: &[u8]) -> &[u8] {
    debug_assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { parameters: &["id", "host"], catch_all: true };

    fn parse(text: &str, place: Place) -> Result<Template, TemplateError> {
        Template::parse(text, place, NAMES)
    }

    fn written(text: &str, place: Place, query: Option<&[u8]>) -> String {
        let values = Values {
            client_ip: b"192.0.2.1",
            host: b"example.com",
            path: b"/a/b",
            query,
            parameters: &[&b"42"[..], b"p-host", b"rest/of"],
            ..Values::EMPTY
        };
        let mut out = Vec::new();
        parse(text, place).unwrap().write(&values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(written("ip={client_ip}; id={id}", Place::Field, None), "ip=192.0.2.1; id=42");
        assert_eq!(written("/x/{id}/{*}", Place::Path, None), "/x/42/rest/of");
        assert_eq!(written("plain", Place::Field, None), "plain");
        assert_eq!(written("", Place::Field, None), "");
    }

    #[test]
    fn a_parameter_hides_a_variable_of_its_name() {
        assert_eq!(written("{host}", Place::Field, None), "p-host");
    }

    #[test]
    fn doubled_braces_are_plain_in_fields() {
        assert_eq!(written(r#"{{"id":"{id}"}}"#, Place::Field, None), r#"{"id":"42"}"#);
        assert_eq!(parse("/{{id}}", Place::Path), Err(TemplateError::Unknown(2, 5)));
    }

    #[test]
    fn the_question_mark_goes_where_there_is_no_query() {
        assert_eq!(written("{path}?{query}", Place::Location, None), "/a/b");
        assert_eq!(written("{path}?{query}", Place::Location, Some(b"")), "/a/b?");
        assert_eq!(written("/x?{query}", Place::Location, Some(b"q=1")), "/x?q=1");
        assert_eq!(written("/x?y=1&{query}", Place::Location, Some(b"q=1")), "/x?y=1&q=1");
    }

    #[test]
    fn mistakes_are_found_with_their_place() {
        let cases = [
            ("a{b", Place::Field, TemplateError::Unclosed(1)),
            ("a}b", Place::Field, TemplateError::Unopened(1)),
            ("a{nope}", Place::Field, TemplateError::Unknown(2, 6)),
            ("/{query}", Place::Path, TemplateError::Unknown(2, 7)),
            ("{client_ip}", Place::Location, TemplateError::Unknown(1, 10)),
            ("a\r\nb", Place::Field, TemplateError::Byte(1)),
            ("a\0", Place::Field, TemplateError::Byte(1)),
            ("/a?b", Place::Path, TemplateError::Byte(2)),
            ("/a b", Place::Path, TemplateError::Byte(2)),
            ("/a b", Place::Location, TemplateError::Byte(2)),
        ];
        for (text, place, error) in cases {
            assert_eq!(parse(text, place), Err(error), "{text:?}");
        }
        assert_eq!(TemplateError::Unknown(2, 6).range(), 2..6);
    }

    #[test]
    fn without_a_catch_all_there_is_no_star() {
        let names = Names { parameters: &["id"], catch_all: false };
        let error = Template::parse("{*}", Place::Path, names);
        assert_eq!(error, Err(TemplateError::Unknown(1, 2)));
    }

    #[test]
    fn claims_are_told_where_a_field_can_say_them() {
        let template = parse("<{claim:/a/b}>", Place::Field).unwrap();
        let told = |value: &str| {
            let claims = Json::object(format!(r#"{{"a":{{"b":{value}}}}}"#).as_bytes()).unwrap();
            let mut out = Vec::new();
            template.write(&Values { claims: Some(&claims), ..Values::EMPTY }, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (value, said) in [
            (r#""x y""#, "<x y>"),
            ("12", "<12>"),
            ("true", "<true>"),
            (r#"["a",1,false]"#, "<a,1,false>"),
            (r#""a,b""#, "<a,b>"),
            ("[]", "<>"),
        ] {
            assert_eq!(told(value), said, "{value}");
        }
        for hidden in [
            r#""a\r\nX-Admin: 1""#,
            r#""a\nb""#,
            r#""a\u0000""#,
            r#""a\u007f""#,
            r#""a\tb""#,
            r#"" a""#,
            r#""a ""#,
            r#""é""#,
            r#"["a","b\n"]"#,
            r#"["a,b"]"#,
            r#"["",""]"#,
            r#"["a",null]"#,
            r#"["a",["b"]]"#,
            r#"{"c":"d"}"#,
            "null",
        ] {
            assert_eq!(told(hidden), "<>", "{hidden}");
        }
        let mut out = Vec::new();
        template.write(&Values::EMPTY, &mut out);
        assert_eq!(out, b"<>");
        for wrong in ["{claim:}", "{claim}"] {
            assert!(parse(wrong, Place::Field).is_err(), "{wrong}");
        }
        for place in [Place::Path, Place::Location] {
            assert!(parse("{claim:sub}", place).is_err());
        }
    }

    #[test]
    fn the_allowed_names_are_listed_for_messages() {
        assert!(Place::Location.variables().eq(["host", "path", "query", "scheme"]));
        assert!(Place::Path.variables().eq(["path"]));
    }
}
