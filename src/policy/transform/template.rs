//! Text with variables, written: the parts that [`crate::config::template`] reads, and what a request puts in
//! their place.

use crate::config::template::{self, Variable, parts};
pub use crate::config::template::{Names, Place, TemplateError};
use crate::http::Identity;
use crate::policy::auth::jwt::Json;

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
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn parse(text: &str, place: Place, names: Names<'_>) -> Result<Self, TemplateError> {
        let mut template = Self::default();
        for part in parts(text, place, names) {
            template.add(part?);
        }
        Ok(template)
    }

    fn add(&mut self, part: template::Part<'_>) {
        let part = match part {
            template::Part::Literal(text) => return self.literal(text.as_bytes()),
            template::Part::Variable(Variable::Query) if self.unmark() => Part::MarkedQuery,
            template::Part::Variable(variable) => Part::Variable(variable),
            template::Part::Parameter(index) => Part::Parameter(index),
            template::Part::Claim(name) => Part::Claim(name.into()),
        };
        self.parts.push(part);
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
    }

    #[test]
    fn the_question_mark_goes_where_there_is_no_query() {
        assert_eq!(written("{path}?{query}", Place::Location, None), "/a/b");
        assert_eq!(written("{path}?{query}", Place::Location, Some(b"")), "/a/b?");
        assert_eq!(written("/x?{query}", Place::Location, Some(b"q=1")), "/x?q=1");
        assert_eq!(written("/x?y=1&{query}", Place::Location, Some(b"q=1")), "/x?y=1&q=1");
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
    }
}
