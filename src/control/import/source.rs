//! Files of others as a tree: JSON or YAML, bounded.

use serde_json::Value;

use crate::config::{Remark, Severity, Step};
use crate::limits::{IMPORT_MAX, IMPORT_MAX_ALIASED, IMPORT_MAX_DEPTH, IMPORT_MAX_NODES};

/// Reads JSON, or YAML 1.2 with anchors, within bounds: what aliases stand for counts too, so that a
/// small file can't become a large tree.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Vec<Remark>> {
    if bytes.len() > IMPORT_MAX {
        return Err(refusal(format!("the file has more than {IMPORT_MAX} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| refusal("the file is not UTF-8".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|e| refusal(format!("this is no JSON: {e}"))),
        false => yaml(text),
    }?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(refusal("there is no object in the file".into())),
    }
}

fn yaml(text: &str) -> Result<Value, Vec<Remark>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: IMPORT_MAX_DEPTH,
            max_nodes: IMPORT_MAX_NODES,
            max_events: 3 * IMPORT_MAX_NODES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: IMPORT_MAX_ALIASED,
        },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let why = error.to_string();
        refusal(format!("this is no YAML: {}", why.lines().next().unwrap_or_default()))
    })
}

/// A mistake of the file as a whole.
fn refusal(message: String) -> Vec<Remark> {
    vec![Remark { severity: Severity::Error, at: Vec::new(), message, help: String::new() }]
}

/// A value with the way to it.
#[derive(Debug, Clone)]
pub(super) struct At<'v> {
    pub(super) value: &'v Value,
    pub(super) way: Vec<Step>,
}

impl<'v> At<'v> {
    pub(super) fn top(value: &'v Value) -> Self {
        Self { value, way: Vec::new() }
    }

    /// The value of a key; `null` counts as none.
    pub(super) fn key(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.below(Step::Name(key.to_owned()), value))
    }

    /// The values of an object; of anything else none.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.as_str(), self.below(Step::Name(key.clone()), value)))
    }

    /// The elements of an array; of anything else none.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(position, value)| self.below(Step::Item(position), value))
    }

    fn below(&self, step: Step, value: &'v Value) -> Self {
        let way = self.way.iter().cloned().chain([step]).collect();
        Self { value, way }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, why: &str) {
        let said = read(text.as_bytes()).expect_err(why);
        assert!(said[0].message.contains(why), "{said:?}");
    }

    #[test]
    fn json_and_yaml_are_the_same() {
        let json = read(br#"{"a": {"200": ["x", 1, true, null]}}"#).expect("JSON");
        let yaml =
            read(b"a:\n  200: &l\n    - x\n    - 1\n    - true\n    - null\n").expect("YAML");
        assert_eq!(json, yaml);
    }

    #[test]
    fn what_is_neither_is_refused() {
        refused("", "no object");
        refused("[1]", "no object");
        refused("{\"a\": }", "no JSON");
        refused("a: b: c: d", "no YAML");
        refused("a: 1\na: 2", "no YAML");
        assert!(read(&[0x66, 0xff]).is_err());
        refused(&" ".repeat(IMPORT_MAX + 1), "more than");
    }

    #[test]
    fn nesting_and_aliases_are_bounded() {
        refused(&format!("a: {}", "[".repeat(100_000)), "no YAML");
        refused(&format!("{{\"a\": {}", "[".repeat(100_000)), "no JSON");
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in b'b'..=b'k' {
            let (name, before) = (char::from(n), char::from(n - 1));
            let aliases = vec![format!("*{before}"); 10].join(", ");
            bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
        }
        refused(&bomb, "no YAML");
    }
}
