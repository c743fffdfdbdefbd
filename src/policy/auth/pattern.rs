//! Patterns of mapping rules, read from their text.

use crate::config::EncodedSlash;
use crate::http::canonicalise;
use crate::limits::{MAX_PATTERN_LENGTH, MAX_PATTERN_SEGMENTS};
use crate::policy::query::decoded;

/// A pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Segments that stand there whole.
    pub(super) segments: Vec<Segment>,
    /// What the segment after them begins with.
    pub(super) end: Segment,
    /// Whether the path ends there.
    pub(super) anchored: bool,
    /// Query parameters that must be there.
    pub(super) query: Box<[Wanted]>,
}

/// A query parameter that a pattern asks for, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: Box<[u8]>,
    /// `None`: any.
    pub(super) value: Option<Box<[u8]>>,
}

/// A segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<[u8]>),
    Glob(Glob),
}

/// A segment with wildcards, and what stands around them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Glob {
    pub(super) first: Box<[u8]>,
    pub(super) between: Vec<Box<[u8]>>,
    pub(super) last: Box<[u8]>,
}

impl Pattern {
    /// Reads a pattern; `Err`: what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN_LENGTH {
            return Err(format!("a pattern is at most {MAX_PATTERN_LENGTH} bytes long"));
        }
        if !text.starts_with('/') {
            return Err("a pattern begins with a slash".into());
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let (path, anchored) = match path.strip_suffix('$') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let path = canonical(path)?;
        let mut segments = Vec::new();
        for part in path.split(|byte| *byte == b'/').skip(1) {
            segments.push(Segment::parse(part)?);
        }
        if segments.len() > MAX_PATTERN_SEGMENTS {
            return Err(format!("a pattern has at most {MAX_PATTERN_SEGMENTS} segments"));
        }
        let end = segments.pop().unwrap_or(Segment::Literal(Box::default()));
        let query = query.map_or(Ok(Vec::new()), parse_query)?.into();
        Ok(Self { segments, end, anchored, query })
    }
}

/// The path as heads have it, with one slash for several.
fn canonical(path: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' if out.last() == Some(&b'/') => {}
            b'!'..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    let len = canonicalise(&mut out, EncodedSlash::Keep)
        .map_err(|bad| format!("no path is like it: {}", bad.detail()))?;
    out.truncate(len);
    Ok(out)
}

fn parse_query(query: &str) -> Result<Vec<Wanted>, String> {
    let plain = |text: &str| decoded(text.as_bytes()).collect::<Box<[u8]>>();
    let mut asked = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name.is_empty() {
            return Err("a query parameter has no name".into());
        }
        let any = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        asked.push(Wanted { name: plain(name), value: any.is_none().then(|| plain(value)) });
    }
    Ok(asked)
}

impl Segment {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut texts: Vec<Box<[u8]>> = Vec::new();
        let mut rest = text;
        while let Some(open) = memchr::memchr2(b'{', b'}', rest) {
            let close = memchr::memchr(b'}', rest).filter(|close| *close > open + 1);
            let name = close.map(|close| &rest[open + 1..close]);
            let is_name = |name: &[u8]| {
                name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            };
            let Some(close) = close.filter(|_| rest[open] == b'{' && name.is_some_and(is_name))
            else {
                let shown = String::from_utf8_lossy(text);
                return Err(format!(
                    "`{{` and `}}` stand around a name of letters, digits, `_` and `-`: {shown:?}"
                ));
            };
            texts.push(rest[..open].into());
            rest = &rest[close + 1..];
        }
        if texts.is_empty() {
            return Ok(Self::Literal(text.into()));
        }
        let first = texts.remove(0);
        Ok(Self::Glob(Glob { first, between: texts, last: rest.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_heads_have_them() {
        let end = |pattern: &str| Pattern::parse(pattern).unwrap().end;
        let literal = |text: &str| Segment::Literal(text.as_bytes().into());
        assert_eq!(end("/caf\u{e9}"), literal("caf%C3%A9"));
        assert_eq!(end("/caf%c3%a9"), literal("caf%C3%A9"));
        assert_eq!(end("/%7Ex"), literal("~x"));
        assert_eq!(Pattern::parse("/a//b").unwrap(), Pattern::parse("/a/b").unwrap());
    }

    #[test]
    fn mistakes_are_told() {
        for (pattern, part) in [
            ("", "slash"),
            ("a", "slash"),
            ("/{", "name"),
            ("/{a", "name"),
            ("/a}", "name"),
            ("/{}", "name"),
            ("/{a/b}", "name"),
            ("/{a b}", "name"),
            ("/%zz", "percent"),
            ("/../x", "root"),
            ("/x?=1", "no name"),
        ] {
            let why = Pattern::parse(pattern).unwrap_err();
            assert!(why.contains(part), "{pattern}: {why}");
        }
        let long = format!("/{}", "a".repeat(MAX_PATTERN_LENGTH));
        assert!(Pattern::parse(&long).is_err());
        assert!(Pattern::parse(&"/a".repeat(MAX_PATTERN_SEGMENTS + 1)).is_err());
    }
}
