//! The file as a tree whose every part knows its place.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Report;
use super::trail::Trail;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) at: usize,
    pub(super) value: Value<'t>,
}

/// A TOML value.
#[derive(Debug)]
pub(super) enum Value<'t> {
    /// A string; `expanded` where environment references were replaced.
    Text {
        text: Cow<'t, str>,
        expanded: bool,
    },
    Integer(i64),
    /// An integer too large for 64 bits, a float, or a date: no key takes one.
    Other(&'static str),
    Boolean(bool),
    /// A value that was refused: the key is there, its value is not.
    Refused,
    Array(Vec<Item<'t>>),
    Table(Vec<Entry<'t>>),
}

/// An array's element with the index it has in the file (others may have been dropped).
#[derive(Debug)]
pub(super) struct Item<'t> {
    pub(super) index: usize,
    pub(super) node: Node<'t>,
}

/// A table's entry; a table's entries are sorted by key.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) key_at: usize,
    pub(super) node: Node<'t>,
}

impl Value<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a string",
            Self::Integer(_) => "an integer",
            Self::Other(kind) => kind,
            Self::Boolean(_) => "true or false",
            Self::Refused => "a refused value",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl<'t> Node<'t> {
    pub(super) fn empty_table(at: usize) -> Self {
        Self { at, value: Value::Table(Vec::new()) }
    }

    fn entry(&self, key: &str) -> Option<&Entry<'t>> {
        let Value::Table(entries) = &self.value else { return None };
        let found = entries.binary_search_by(|entry| entry.key.as_ref().cmp(key)).ok()?;
        entries.get(found)
    }
}

/// A node with the way to it. A place that is not in the file stands where its table does.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) trail: Trail<'a>,
    node: Option<&'a Node<'a>>,
}

impl<'a> Place<'a> {
    pub(super) fn top(node: &'a Node<'a>) -> Self {
        Self { trail: Trail::top(), node: Some(node) }
    }

    /// The value of a key of this table.
    pub(super) fn key(&'a self, key: &'a str) -> Place<'a> {
        let entry = self.node.and_then(|node| node.entry(key));
        let at = entry.map_or(self.trail.at(), |entry| entry.node.at);
        Place { trail: self.trail.key(key, at), node: entry.map(|entry| &entry.node) }
    }

    /// The key itself (not its value), for messages about names.
    pub(super) fn name(&'a self, key: &'a str) -> Trail<'a> {
        let entry = self.node.and_then(|node| node.entry(key));
        self.trail.key(key, entry.map_or(self.trail.at(), |entry| entry.key_at))
    }

    /// As [`Place::name`], as a place.
    pub(super) fn named(table: &'a Place<'a>, key: &'a str) -> Place<'a> {
        Place { trail: table.name(key), node: None }
    }

    /// The element of this array that is at `position` once bad ones were dropped.
    pub(super) fn item(&'a self, position: usize) -> Place<'a> {
        let item = match self.node.map(|node| &node.value) {
            Some(Value::Array(items)) => items.get(position),
            _ => None,
        };
        let index = item.map_or(position, |item| item.index);
        let at = item.map_or(self.trail.at(), |item| item.node.at);
        Place { trail: self.trail.index(index, at), node: item.map(|item| &item.node) }
    }

    /// Whether it is in the file, with a value that can be used.
    pub(super) fn given(&self) -> bool {
        self.node.is_some_and(|node| !matches!(node.value, Value::Refused))
    }

    /// Whether this table has a key that was refused: what it lacks may have been meant by that.
    pub(super) fn damaged(&self) -> bool {
        let Some(Value::Table(entries)) = self.node.map(|node| &node.value) else { return false };
        entries.iter().any(|entry| matches!(entry.node.value, Value::Refused))
    }

    /// Whether the environment had a say in this string: it may be a secret.
    pub(super) fn is_expanded(&self) -> bool {
        matches!(self.node.map(|node| &node.value), Some(Value::Text { expanded: true, .. }))
    }

    /// Whether it is in the file, be its value ever so wrong.
    pub(super) fn written(&self) -> bool {
        self.node.is_some()
    }
}

/// Reads the text; syntax errors go to the report.
pub(super) fn read<'t>(text: &'t str, report: &mut Report<'_>) -> Node<'t> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let trail = Trail::place(span.start);
        let (message, help) = syntax_help(text, span, error.message());
        report.syntax_error(&trail, message, help);
    }
    let at = table.span().start;
    Node { at, value: from_table(table.into_inner()) }
}

/// The parser's message on one line, and what to write where that can be guessed.
fn syntax_help(text: &str, span: Range<usize>, message: &str) -> (String, String) {
    let mut message = message.lines().map(str::trim).collect::<Vec<_>>().join(", ");
    if message == "duplicate key" {
        message = format!("the key `{}` is there twice", text.get(span).unwrap_or_default().trim());
        return (message, "write it once".to_owned());
    }
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let help = unquoted(line).map(|(key, value)| format!("write {key} = \"{value}\""));
    (message, help.unwrap_or_default())
}

/// A line `key = value` whose value lacks its quotes.
fn unquoted(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let value = value.split('#').next().unwrap_or_default().trim();
    let plain = !value.is_empty() && !value.contains(['"', '\'', '[', '{', '\\']);
    plain.then_some((key.trim(), value))
}

fn from_table<'t>(table: DeTable<'t>) -> Value<'t> {
    let mut entries: Vec<_> =
        table.into_iter().map(|(key, value)| from_entry(key, value)).collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Value::Table(entries)
}

fn from_entry<'t>(key: Spanned<Cow<'t, str>>, value: Spanned<DeValue<'t>>) -> Entry<'t> {
    let key_at = key.span().start;
    Entry { key: key.into_inner(), key_at, node: from_value(value) }
}

fn from_value<'t>(value: Spanned<DeValue<'t>>) -> Node<'t> {
    let at = value.span().start;
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text { text, expanded: false },
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("an integer beyond 64 bits"),
        },
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(yes) => Value::Boolean(yes),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(array) => {
            let items = array.into_iter().enumerate();
            let item = |(index, value)| Item { index, node: from_value(value) };
            Value::Array(items.map(item).collect())
        }
        DeValue::Table(table) => from_table(table),
    };
    Node { at, value }
}
