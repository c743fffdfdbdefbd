//! The Location of a redirect that a route answers with.

use super::alphabet::hex;
use super::template::{Names, Place, Template, TemplateError, Values};
use crate::config::template::is_uri_byte;

/// A compiled redirect target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    to: Template,
}

impl Redirect {
    /// Compiles the `to` of a redirect; `names` are those of the route's path pattern.
    pub fn compile(to: &str, names: Names<'_>) -> Result<Self, TemplateError> {
        Ok(Self { to: Template::parse(to, Place::Location, names)? })
    }

    /// Appends the Location's value. What a client chose can neither leave the URI reference nor
    /// name another host: were the whole to begin with two slashes where the template does not,
    /// `/.` is put before them (RFC 3986 section 4.2), which leads to the same path here.
    pub fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        self.to.write_by(values, out, encode);
        if out[start..].starts_with(b"//") && !self.to.beginning().starts_with(b"//") {
            out.splice(start..start, *b"/.");
        }
    }
}

/// Appends a value, percent-encoding what a URI cannot hold. That includes the backslash, which
/// browsers take for a slash.
fn encode(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value.iter().copied() {
        if is_uri_byte(byte) {
            out.push(byte);
        } else {
            let digits: [u8; 2] = hex([byte]);
            out.extend_from_slice(&[
                b'%',
                digits[0].to_ascii_uppercase(),
                digits[1].to_ascii_uppercase(),
            ]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn location(to: &str, path: &str, query: Option<&str>, rest: &str) -> String {
        let names = Names { parameters: &[], catch_all: true };
        let values = Values {
            host: b"example.com",
            scheme: b"http",
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            parameters: &[rest.as_bytes()],
            ..Values::EMPTY
        };
        let mut out = b"before ".to_vec();
        Redirect::compile(to, names).unwrap().write(&values, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn the_usual_redirects_work() {
        let to = "https://{host}{path}?{query}";
        assert_eq!(location(to, "/a/b", Some("c=d"), ""), "https://example.com/a/b?c=d");
        assert_eq!(location(to, "/a/b", None, ""), "https://example.com/a/b");
        assert_eq!(location("/new/{*}", "/old/x/y", None, "x/y"), "/new/x/y");
        assert_eq!(
            location("https://elsewhere.example/", "/x", None, ""),
            "https://elsewhere.example/"
        );
        assert_eq!(location("//cdn.example{path}", "/x", None, ""), "//cdn.example/x");
    }

    #[test]
    fn a_path_never_becomes_a_host() {
        assert_eq!(location("{path}", "//evil.example/x", None, ""), "/.//evil.example/x");
        assert_eq!(
            location("/{*}", "/old//evil.example", None, "/evil.example"),
            "/.//evil.example"
        );
        assert_eq!(location("/{*}", "/x", None, "\\evil.example"), "/%5Cevil.example");
    }

    #[test]
    fn values_are_encoded_where_a_uri_must_be() {
        let to = "{path}?{query}";
        assert_eq!(location(to, "/a", Some("q=\"<x>\"é"), ""), "/a?q=%22%3Cx%3E%22%C3%A9");
        assert_eq!(location(to, "/a%20b", Some("%41"), ""), "/a%20b?%41");
    }

    proptest! {
        #[test]
        fn no_value_leaves_the_reference(rest in "[ -~]{0,10}", query in "[ -~]{0,10}") {
            let to = location("/{*}?{query}", "/", Some(&query), &rest);
            prop_assert!(to.bytes().all(is_uri_byte));
            prop_assert!(!to.starts_with("//"));
        }
    }
}
