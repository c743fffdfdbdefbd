//! Changing a part: JSON merge patches (RFC 7396).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::extract;
use super::problem::{Problem, rules};

/// What there is, with the members of a patch in their places.
pub(super) fn patched<T: Serialize + DeserializeOwned>(
    there: &T,
    patch: Value,
) -> Result<T, Problem> {
    if !patch.is_object() {
        return Err(Problem::invalid("", "an object is needed: the members to change"));
    }
    let broken = |why: serde_json::Error| Problem::new(rules::INTERNAL, why.to_string());
    let mut value = serde_json::to_value(there).map_err(broken)?;
    merge(&mut value, patch);
    extract::value(value)
}

/// A member that is `null` is taken away; its default is in force then. Depth is that of the body,
/// which the parser bounds.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(serde_json::Map::new());
    }
    let Value::Object(there) = into else { return };
    for (name, value) in members {
        match value {
            Value::Null => drop(there.shift_remove(&name)),
            value => merge(there.entry(name).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Product;
    use serde_json::json;

    #[test]
    fn a_patch_changes_its_members_only() {
        let mut value = json!({ "a": { "b": 1, "c": [1, 2] }, "d": 3 });
        merge(&mut value, json!({ "a": { "c": [4], "e": { "f": null, "g": 1 } }, "d": null }));
        assert_eq!(value, json!({ "a": { "b": 1, "c": [4], "e": { "g": 1 } } }));
    }

    #[test]
    fn what_is_taken_away_has_its_default() {
        let there = Product { title: Some("x".into()), ..Product::default() };
        let after = patched(&there, json!({ "title": null, "state": "draft" })).unwrap();
        assert_eq!(after.title, None);
        assert!(patched(&there, json!({ "titel": 1 })).is_err());
        assert!(patched(&there, json!([])).is_err());
    }
}
