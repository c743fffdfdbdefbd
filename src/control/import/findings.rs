//! Reads parts of a tree, and remembers what was not as it should be.

use std::borrow::Cow;

use serde_json::Value;

use super::source::At;
use crate::config::{Remark, Severity, Step};
use crate::limits::{PRODUCT_DESCRIPTION_MAX, PRODUCT_TITLE_MAX};

/// Values that lie behind one another by reference: more are a circle.
const MAX_REFERENCES: usize = 16;

/// What was found while reading.
#[derive(Default)]
pub(super) struct Findings {
    remarks: Vec<Remark>,
}

impl Findings {
    /// What can't be read.
    pub(super) fn error(&mut self, at: &At<'_>, message: impl Into<String>, help: &str) {
        self.say(Severity::Error, at, message.into(), help);
    }

    /// What has no counterpart.
    pub(super) fn warning(&mut self, at: &At<'_>, message: impl Into<String>, help: &str) {
        self.say(Severity::Warning, at, message.into(), help);
    }

    fn say(&mut self, severity: Severity, at: &At<'_>, message: String, help: &str) {
        self.remarks.push(Remark { severity, at: at.way.clone(), message, help: help.to_owned() });
    }

    /// What there is to say of a product that was read; where something could not be read, an error.
    pub(super) fn into_result(self) -> Result<Vec<Remark>, Vec<Remark>> {
        match self.remarks.iter().any(|remark| remark.severity == Severity::Error) {
            true => Err(self.remarks),
            false => Ok(self.remarks),
        }
    }

    /// A string; YAML reads versions and amounts as numbers.
    pub(super) fn text(&mut self, of: &At<'_>, key: &str) -> Option<String> {
        let at = of.key(key)?;
        match at.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            _ => self.wrong(&at, "a string"),
        }
    }

    /// A whole number of at least 0.
    pub(super) fn number(&mut self, of: &At<'_>, key: &str) -> Option<u64> {
        let at = of.key(key)?;
        let text = at.value.as_str().and_then(|text| text.parse().ok());
        at.value.as_u64().or(text).or_else(|| self.wrong(&at, "a number of at least 0"))
    }

    /// `true` or `false`; without the key `false`.
    pub(super) fn flag(&mut self, of: &At<'_>, key: &str) -> bool {
        let Some(at) = of.key(key) else { return false };
        at.value.as_bool().or_else(|| self.wrong(&at, "true or false")).unwrap_or(false)
    }

    /// An object.
    pub(super) fn table<'v>(&mut self, of: &At<'v>, key: &str) -> Option<At<'v>> {
        let at = of.key(key)?;
        if at.value.is_object() { Some(at) } else { self.wrong(&at, "an object") }
    }

    /// The values of an object.
    pub(super) fn entries<'v>(&mut self, of: &At<'v>, key: &str) -> Vec<(&'v str, At<'v>)> {
        self.table(of, key).map(|at| at.entries().collect()).unwrap_or_default()
    }

    /// The elements of an array.
    pub(super) fn items<'v>(&mut self, of: &At<'v>, key: &str) -> Vec<At<'v>> {
        let Some(at) = of.key(key) else { return Vec::new() };
        if !at.value.is_array() {
            return self.wrong(&at, "an array").unwrap_or_default();
        }
        at.items().collect()
    }

    /// What a value stands for that may refer to another one of the file.
    pub(super) fn resolved<'v>(&mut self, at: At<'v>, top: &'v Value) -> Option<At<'v>> {
        let mut here = at.clone();
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = here.value.get("$ref").and_then(Value::as_str) else {
                return Some(here);
            };
            let Some(pointer) = reference.strip_prefix('#') else {
                let help = "put what it refers to into the file";
                self.error(&at, format!("{reference:?} is in another file"), help);
                return None;
            };
            let Some(value) = top.pointer(pointer) else {
                self.error(&at, format!("{reference:?} leads nowhere"), "");
                return None;
            };
            here = At { value, way: steps(pointer) };
        }
        self.error(&at, "references go round in a circle", "");
        None
    }

    /// Tells each key of an object that is not known and says something.
    pub(super) fn others(&mut self, of: &At<'_>, known: &[&str]) {
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::Bool(yes) => !yes,
            Value::Number(_) => false,
        };
        for (key, at) in of.entries() {
            if !known.contains(&key) && !empty(at.value) {
                self.warning(&at, format!("`{key}` has no counterpart"), "");
            }
        }
    }

    fn wrong<T>(&mut self, at: &At<'_>, wanted: &str) -> Option<T> {
        self.error(at, format!("{wanted} is wanted here"), "");
        None
    }
}

/// The way that a JSON pointer goes.
fn steps(pointer: &str) -> Vec<Step> {
    let name = |token: &str| Step::Name(token.replace("~1", "/").replace("~0", "~"));
    pointer.split('/').skip(1).map(name).collect()
}

/// A name made of a text: what does not fit becomes a hyphen.
pub(super) fn slug(text: &str, fits: impl Fn(char) -> bool, most: usize) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        let c = if fits(c) { c } else { '-' };
        // One hyphen stands for several, and none at the beginning.
        if c == '-' && (slug.is_empty() || slug.ends_with('-')) {
            continue;
        }
        if slug.len() + c.len_utf8() > most {
            break;
        }
        slug.push(c);
    }
    slug.trim_end_matches('-').to_owned()
}

/// A product's name.
pub(super) fn product_name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let name = slug(&text.to_lowercase(), fits, crate::limits::PRODUCT_NAME_MAX);
    if name.is_empty() { "api".to_owned() } else { name }
}

/// A title: one line, no longer than it may be.
pub(super) fn title(text: &str) -> String {
    shortened(&text.replace(char::is_control, " "), PRODUCT_TITLE_MAX).into_owned()
}

/// A text of some lines, no longer than it may be.
pub(super) fn description(text: &str) -> String {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    shortened(&text.replace(odd, " "), PRODUCT_DESCRIPTION_MAX).into_owned()
}

fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = (0..=most.saturating_sub(3)).rev().find(|end| text.is_char_boundary(*end));
    format!("{}…", text.get(..end.unwrap_or_default()).unwrap_or_default()).into()
}
