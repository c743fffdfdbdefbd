//! Path patterns as written: literal segments, `{name}` segments, and a last `*`.

use super::error::BuildProblem;
use crate::limits::{MAX_PATH_PARAMETERS, MAX_PATTERN_LENGTH, MAX_PATTERN_SEGMENTS};

/// A parsed pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern<'a> {
    /// As written.
    pub(super) text: &'a str,
    /// Without the catch-all.
    pub(super) segments: Vec<Segment>,
    /// Ends in `/*`.
    pub(super) catch_all: bool,
}

/// One segment, as a place in the pattern's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    start: usize,
    end: usize,
    pub(super) is_parameter: bool,
}

/// The name of what the star stands for.
pub(super) const CATCH_ALL_NAME: &str = "*";

impl<'a> Pattern<'a> {
    /// Parses and checks.
    pub(super) fn parse(text: &'a str) -> Result<Self, BuildProblem> {
        if text.len() > MAX_PATTERN_LENGTH {
            return Err(BuildProblem::PathTooLong);
        }
        let whole = |start, end| Segment { start, end, is_parameter: false };
        if text == "*" {
            return Ok(Self { text, segments: vec![whole(0, 1)], catch_all: false });
        }
        if !text.starts_with('/') {
            return Err(BuildProblem::NoLeadingSlash);
        }
        let catch_all = text.ends_with("/*");
        let body = if catch_all { &text[..text.len() - 2] } else { text };
        let mut segments = Vec::new();
        let mut start = 1;
        for part in body.split('/').skip(1) {
            let is_parameter = check(part)?;
            segments.push(Segment { start, end: start + part.len(), is_parameter });
            start += part.len() + 1;
        }
        let pattern = Self { text, segments, catch_all };
        pattern.check_bounds()?;
        Ok(pattern)
    }

    /// Neither parameters nor a catch-all: compared as a whole.
    pub(super) fn is_plain(&self) -> bool {
        !self.catch_all && self.segments.iter().all(|s| !s.is_parameter)
    }

    /// Parameter names in order, the catch-all's last.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        let text = self.text;
        let parameters = self.segments.iter().filter(|s| s.is_parameter);
        let names = parameters.map(move |s| &text[s.start + 1..s.end - 1]);
        names.chain(self.catch_all.then_some(CATCH_ALL_NAME))
    }

    /// A segment's text as written.
    pub(super) fn text_of(&self, segment: &Segment) -> &'a str {
        &self.text[segment.start..segment.end]
    }

    /// Whether it matches this path. Slow and plain: for explanations, not for requests.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        if self.is_plain() {
            return path == self.text.as_bytes();
        }
        let Some(rest) = path.strip_prefix(b"/") else { return false };
        let mut parts = rest.split(|byte| *byte == b'/');
        let fits = |segment: &Segment| match parts.next() {
            Some(part) if segment.is_parameter => !part.is_empty(),
            Some(part) => part == self.text_of(segment).as_bytes(),
            None => false,
        };
        self.segments.iter().all(fits) && (self.catch_all || parts.next().is_none())
    }

    fn check_bounds(&self) -> Result<(), BuildProblem> {
        let names: Vec<&str> = self.names().collect();
        if names.len() > MAX_PATH_PARAMETERS {
            return Err(BuildProblem::TooManyParameters);
        }
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            return Err(BuildProblem::RepeatedParameter);
        }
        if !self.is_plain() && self.segments.len() > MAX_PATTERN_SEGMENTS {
            return Err(BuildProblem::TooManySegments);
        }
        Ok(())
    }
}

/// Whether a segment is a parameter; an error where it is neither that nor a literal.
fn check(part: &str) -> Result<bool, BuildProblem> {
    let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let text = name.unwrap_or(part);
    if text.contains(['{', '}']) || name == Some("") {
        return Err(BuildProblem::Brace);
    }
    if text.contains('*') {
        return Err(BuildProblem::Star);
    }
    Ok(name.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("", BuildProblem::NoLeadingSlash),
            ("orders", BuildProblem::NoLeadingSlash),
            ("/a*", BuildProblem::Star),
            ("/*/a", BuildProblem::Star),
            ("/{*}", BuildProblem::Star),
            ("/v{x}", BuildProblem::Brace),
            ("/{}", BuildProblem::Brace),
            ("/{a}/{b}/{a}", BuildProblem::RepeatedParameter),
        ];
        for (text, problem) in cases {
            assert_eq!(Pattern::parse(text), Err(problem), "{text}");
        }
        let deep = "/a".repeat(MAX_PATTERN_SEGMENTS + 1);
        assert!(Pattern::parse(&deep).is_ok_and(|p| p.is_plain()));
        assert_eq!(Pattern::parse(&(deep + "/*")), Err(BuildProblem::TooManySegments));
        let many: String = (0..MAX_PATH_PARAMETERS).map(|n| format!("/{{p{n}}}")).collect();
        assert!(Pattern::parse(&many).is_ok());
        assert_eq!(Pattern::parse(&(many + "/*")), Err(BuildProblem::TooManyParameters));
        let long = "/".repeat(MAX_PATTERN_LENGTH + 1);
        assert_eq!(Pattern::parse(&long), Err(BuildProblem::PathTooLong));
    }

    #[test]
    fn names_come_in_order_with_the_star_last() {
        let pattern = Pattern::parse("/{a}/x/{b}/*").unwrap();
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["a", "b", "*"]);
        assert_eq!(pattern.text_of(&pattern.segments[1]), "x");
    }

    #[test]
    fn what_matches() {
        let cases = [
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/{x}", "/", false),
            ("/{x}", "/a", true),
            ("/{x}", "/a/", false),
            ("/{x}/", "/a/", true),
            ("/*", "/", true),
            ("/*", "*", false),
            ("*", "*", true),
            ("/a/*", "/a", true),
            ("/a/*", "/a/", true),
            ("/a/*", "/ab", false),
            ("/a/*", "/a/b/c", true),
            ("/{x}/b/*", "/1/b", true),
            ("//", "//", true),
        ];
        for (text, path, expected) in cases {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(pattern.matches(path.as_bytes()), expected, "{text} {path}");
        }
    }
}
