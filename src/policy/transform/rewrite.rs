//! The path that goes upstream: as it came, without a prefix, or made from a template.

use super::template::{Names, Place, Template, TemplateError, Values};
use crate::config::Rewrite;

/// A compiled [`Rewrite`]. The query is never touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRewrite {
    /// As it is.
    #[default]
    Keep,
    /// Remove these whole segments; begins with a slash, does not end with one.
    Strip(Box<[u8]>),
    /// Made from the request.
    Template(Template),
}

/// The template and this request's values make no canonical path: the client's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewriteError;

impl PathRewrite {
    /// Compiles a route's rewriting; `names` are those of its path pattern.
    pub fn compile(rewrite: &Rewrite, names: Names<'_>) -> Result<Self, TemplateError> {
        match rewrite {
            Rewrite::None => Ok(Self::Keep),
            Rewrite::StripPrefix(prefix) => Self::strip(prefix),
            Rewrite::Template(text) => {
                Template::parse(text, Place::Path, names).map(Self::Template)
            }
        }
    }

    fn strip(prefix: &str) -> Result<Self, TemplateError> {
        let prefix = prefix.trim_matches('/');
        if prefix.is_empty() {
            return Ok(Self::Keep);
        }
        match Place::Path.refused(prefix) {
            Some(at) => Err(TemplateError::Byte(at)),
            None => Ok(Self::Strip(format!("/{prefix}").into_bytes().into_boxed_slice())),
        }
    }

    /// The prefix that responses' paths get back, empty where none is removed.
    pub fn stripped(&self) -> &[u8] {
        match self {
            Self::Strip(prefix) => prefix,
            Self::Keep | Self::Template(_) => b"",
        }
    }

    /// The path that goes upstream for a canonical path (which `values` holds too); `scratch`
    /// holds it where it had to be made.
    pub fn apply<'a>(
        &self,
        path: &'a [u8],
        values: &Values<'_>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], RewriteError> {
        match self {
            Self::Keep => Ok(path),
            Self::Strip(prefix) => Ok(strip(path, prefix)),
            Self::Template(template) => {
                scratch.clear();
                if !template.beginning().starts_with(b"/") {
                    scratch.push(b'/');
                }
                template.write(values, scratch);
                // `{path}` and such bring their own slash.
                let made = if scratch.starts_with(b"//") { &scratch[1..] } else { &scratch[..] };
                if is_canonical(made) { Ok(made) } else { Err(RewriteError) }
            }
        }
    }
}

/// The path behind a prefix of whole segments, or all of it where it does not begin so.
fn strip<'a>(path: &'a [u8], prefix: &[u8]) -> &'a [u8] {
    match path.strip_prefix(prefix) {
        Some([]) => b"/",
        Some(rest) if rest[0] == b'/' => rest,
        _ => path,
    }
}

/// The pieces were canonical; put together they must not have become a dot segment, nor hold what
/// ends a path. (`%` cannot come apart: values and literals hold whole encoded bytes.)
fn is_canonical(path: &[u8]) -> bool {
    let allowed = path.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    let dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    path.starts_with(b"/") && allowed && !path.split(|b| *b == b'/').any(dots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: Names<'_> = Names { parameters: &["a", "b"], catch_all: true };

    fn compile(rewrite: Rewrite) -> Result<PathRewrite, TemplateError> {
        PathRewrite::compile(&rewrite, NAMES)
    }

    fn stripped(prefix: &str, path: &str) -> String {
        let rewrite = compile(Rewrite::StripPrefix(prefix.into())).unwrap();
        let mut scratch = Vec::new();
        let path = rewrite.apply(path.as_bytes(), &Values::EMPTY, &mut scratch).unwrap();
        String::from_utf8(path.to_vec()).unwrap()
    }

    fn made(template: &str, parameters: [&str; 3]) -> Result<String, RewriteError> {
        let rewrite = compile(Rewrite::Template(template.into())).unwrap();
        let parameters = parameters.map(str::as_bytes);
        let values = Values { path: b"/the/path", parameters: &parameters, ..Values::EMPTY };
        let mut scratch = b"left over".to_vec();
        let path = rewrite.apply(values.path, &values, &mut scratch);
        path.map(|path| String::from_utf8(path.to_vec()).unwrap())
    }

    #[test]
    fn prefixes_go_by_whole_segments() {
        assert_eq!(stripped("/api", "/api/x"), "/x");
        assert_eq!(stripped("/api/", "/api/x/"), "/x/");
        assert_eq!(stripped("/api", "/api"), "/");
        assert_eq!(stripped("/api", "/api/"), "/");
        assert_eq!(stripped("/api", "/apix/y"), "/apix/y");
        assert_eq!(stripped("/api/v1", "/api/v1/x"), "/x");
        assert_eq!(stripped("/", "/x"), "/x");
        assert_eq!(stripped("", "/x"), "/x");
        assert_eq!(stripped("/api", "*"), "*");
    }

    #[test]
    fn a_prefix_is_given_back_as_it_is_stripped() {
        assert_eq!(compile(Rewrite::StripPrefix("api/".into())).unwrap().stripped(), b"/api");
        assert_eq!(compile(Rewrite::None).unwrap().stripped(), b"");
    }

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(made("/new/{a}/{*}", ["1", "2", "x/y"]).unwrap(), "/new/1/x/y");
        assert_eq!(made("/new{path}", ["", "", ""]).unwrap(), "/new/the/path");
        assert_eq!(made("{path}", ["", "", ""]).unwrap(), "/the/path");
        assert_eq!(made("{a}", ["1", "", ""]).unwrap(), "/1");
        assert_eq!(made("/%20/{a}", ["%2F", "", ""]).unwrap(), "/%20/%2F");
    }

    #[test]
    fn pieces_never_add_up_to_a_dot_segment() {
        assert_eq!(made("/{a}{b}/x", [".", ".", ""]), Err(RewriteError));
        assert_eq!(made("/.{*}", ["", "", ""]), Err(RewriteError));
        assert_eq!(made("/.{*}", ["", "", "./etc"]), Err(RewriteError));
        assert_eq!(made("/x/{*}", ["", "", "a/.."]), Err(RewriteError));
        assert_eq!(made("/.{*}", ["", "", "git"]).unwrap(), "/.git");
    }

    #[test]
    fn templates_that_end_a_path_early_are_refused() {
        for (text, at) in [("/a?b", 2), ("/a#b", 2), ("/a b", 2), ("/%", 1), ("/%4{a}", 1)] {
            let compiled = compile(Rewrite::Template(text.into()));
            assert_eq!(compiled, Err(TemplateError::Byte(at)), "{text}");
        }
        assert!(compile(Rewrite::StripPrefix("/a?b".into())).is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_values_the_path_is_canonical(
            template in "/?([a-z./]|\\{a\\}|\\{b\\}|\\{\\*\\}|\\{path\\}){0,8}",
            values in prop::array::uniform3("[!-~]{0,6}"),
        ) {
            let values = [&values[0][..], &values[1], &values[2]];
            if let Ok(path) = made(&template, values) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(path.split('/').all(|s| s != "." && s != ".."));
                prop_assert!(!path.contains(['?', '#', ' ']));
            }
        }
    }
}
