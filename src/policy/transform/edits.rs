//! A route's edits of fields: remove, set, add.

use std::fmt;

use super::alphabet::is_token_byte;
use super::field_names::FieldNames;
use super::template::{Names, Place, Template, TemplateError, Values};
use crate::config::HeaderEdits;
use crate::http::Field;

/// Compiled edits of request or response fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    /// Fields that must not pass: those removed and those set.
    removed: FieldNames,
    /// The set and added lines, as one text.
    lines: Template,
}

/// Which edit is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EditError {
    /// The list it is in.
    pub list: EditList,
    /// Its index in that list.
    pub index: usize,
    /// What is wrong.
    pub why: EditMistake,
}

/// The lists of [`HeaderEdits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EditList {
    Remove,
    Set,
    Add,
}

/// What can be wrong with an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditMistake {
    /// The name is no token (RFC 9110 section 5.1).
    Name,
    /// The field is the gateway's own: framing, connection handling, or Host, which has
    /// `host_policy`.
    Reserved,
    /// The value.
    Value(TemplateError),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            EditMistake::Name => f.write_str("this is not a field name"),
            EditMistake::Reserved => f.write_str("the field cannot be edited"),
            EditMistake::Value(why) => why.fmt(f),
        }
    }
}

impl Edits {
    /// Compiles the edits of a route whose path gives `names`.
    pub fn compile(edits: &HeaderEdits, names: Names<'_>) -> Result<Self, EditError> {
        let mut compiled = Self::default();
        for (index, name) in edits.remove.iter().enumerate() {
            check_name(name).map_err(|why| EditError { list: EditList::Remove, index, why })?;
            compiled.removed.add(name.as_bytes());
        }
        for (index, (name, value)) in edits.set.iter().enumerate() {
            let wrong = |why| EditError { list: EditList::Set, index, why };
            compiled.line(name, value, names).map_err(wrong)?;
            compiled.removed.add(name.as_bytes());
        }
        for (index, (name, value)) in edits.add.iter().enumerate() {
            let wrong = |why| EditError { list: EditList::Add, index, why };
            compiled.line(name, value, names).map_err(wrong)?;
        }
        Ok(compiled)
    }

    fn line(&mut self, name: &str, value: &str, names: Names<'_>) -> Result<(), EditMistake> {
        check_name(name)?;
        let value = Template::parse(value.trim(), Place::Field, names);
        let value = value.map_err(EditMistake::Value)?;
        self.lines.literal(name.as_bytes());
        self.lines.literal(b": ");
        self.lines.join(value);
        self.lines.literal(b"\r\n");
        Ok(())
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.lines.is_empty()
    }

    /// Whether this field of a message must be left out.
    #[inline]
    pub fn removes(&self, field: &Field, buf: &[u8]) -> bool {
        !self.removed.is_empty() && self.removes_name(field.name.of(buf))
    }

    /// Whether a field of this name (any case) is left out. The gateway's own fields ask too, so
    /// that a route has the last word on them.
    #[inline]
    pub fn removes_name(&self, name: &[u8]) -> bool {
        self.removed.has(name)
    }

    /// Appends the set and added lines, each with its line end.
    #[inline]
    pub fn append(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        self.lines.write(values, out);
    }
}

fn check_name(name: &str) -> Result<(), EditMistake> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(EditMistake::Name);
    }
    match is_reserved(name) {
        true => Err(EditMistake::Reserved),
        false => Ok(()),
    }
}

/// Fields (any case) that no edit may touch: an edit of the framing would make the message mean
/// two things.
pub fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Known, Span};

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderEdits {
        let remove = remove.iter().map(|n| n.to_string()).collect();
        HeaderEdits { remove, set: owned(set), add: owned(add) }
    }

    fn compile(edits: &HeaderEdits) -> Result<Edits, EditError> {
        Edits::compile(edits, Names { parameters: &["id"], catch_all: false })
    }

    fn removes(edits: &Edits, name: &str) -> bool {
        let name_span = Span::new(0, name.len());
        let field =
            Field { name: name_span, value: Span::default(), known: Known::Other, hop: false };
        edits.removes(&field, name.as_bytes())
    }

    #[test]
    fn no_edits_change_nothing() {
        let edits = compile(&HeaderEdits::default()).unwrap();
        assert!(edits.is_empty());
        assert!(!removes(&edits, "x"));
        let mut out = Vec::new();
        edits.append(&Values::EMPTY, &mut out);
        assert_eq!(out, b"");
    }

    #[test]
    fn removed_and_set_names_go_in_any_case() {
        let edits = compile(&edits(&["x-secret"], &[("X-Tier", "gold")], &[("x-more", "1")]));
        let edits = edits.unwrap();
        for name in ["X-Secret", "x-secret", "x-tier", "X-TIER"] {
            assert!(removes(&edits, name), "{name}");
        }
        for name in ["x-more", "x-secreT2", "y-secret", "", "x"] {
            assert!(!removes(&edits, name), "{name}");
        }
    }

    #[test]
    fn lines_come_in_order_with_their_values() {
        let edits = edits(&[], &[("X-Id", "n {id}")], &[("x-a", "1"), ("x-a", " {route} ")]);
        let values = Values { route: b"orders", parameters: &[&b"42"[..]], ..Values::EMPTY };
        let mut out = Vec::new();
        compile(&edits).unwrap().append(&values, &mut out);
        assert_eq!(out, b"X-Id: n 42\r\nx-a: 1\r\nx-a: orders\r\n");
    }

    #[test]
    fn mistakes_name_their_edit() {
        let cases = [
            (edits(&["a b"], &[], &[]), EditList::Remove, EditMistake::Name),
            (edits(&["Content-Length"], &[], &[]), EditList::Remove, EditMistake::Reserved),
            (edits(&[], &[("Host", "x")], &[]), EditList::Set, EditMistake::Reserved),
            (edits(&[], &[("", "x")], &[]), EditList::Set, EditMistake::Name),
            (
                edits(&[], &[], &[("x", "a\r\nb: c")]),
                EditList::Add,
                EditMistake::Value(TemplateError::Byte(1)),
            ),
            (
                edits(&[], &[], &[("x", "{nope}")]),
                EditList::Add,
                EditMistake::Value(TemplateError::Unknown(1, 5)),
            ),
        ];
        for (edits, list, why) in cases {
            assert_eq!(compile(&edits), Err(EditError { list, index: 0, why }));
        }
    }
}
