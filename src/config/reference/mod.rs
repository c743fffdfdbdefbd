//! The reference and the JSON schema, made from the comments and defaults of [`super::file`].

mod tables;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::file::{DEFAULT, File, REQUIRED};

/// The JSON schema of the file, for editors.
pub fn schema() -> String {
    let mut schema = schema_value(false);
    list_required(&mut schema);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// docs/CONFIG.md.
pub fn reference() -> String {
    let mut page = include_str!("intro.md").to_owned();
    tables::write(&schema_value(false), &mut page);
    page
}

/// The schema; `inline`: without references.
pub(super) fn schema_value(inline: bool) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = inline;
    });
    settings.into_generator().into_root_schema_for::<File>().to_value()
}

/// Moves our marks of required keys to where JSON schema has them.
fn list_required(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            let required: Vec<Json> = object
                .get("properties")
                .and_then(Json::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| property[REQUIRED] == true)
                .map(|(name, _)| Json::String(name.clone()))
                .collect();
            if !required.is_empty() {
                object.insert("required".to_owned(), Json::Array(required));
            }
            for key in [REQUIRED, DEFAULT] {
                object.remove(key);
            }
            object.values_mut().for_each(list_required);
        }
        Json::Array(items) => items.iter_mut().for_each(list_required),
        _ => {}
    }
}
