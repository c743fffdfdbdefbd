//! The shape a file must have, derived from the schema of [`super::file`], so that the walk knows
//! every key without being told.

use std::sync::OnceLock;

use serde_json::Value as Json;

use super::document::Value;
use super::quantity::Quantity;

/// What a value must look like.
#[derive(Debug)]
pub(super) enum Shape {
    Table(Vec<Key>),
    /// A table with names of the operator's choice.
    Map(Box<Shape>),
    Array(Box<Shape>),
    Choice(Vec<String>),
    Text,
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    Quantity(Quantity),
    /// Told apart by the kind of value.
    Either(Vec<Shape>),
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

impl Shape {
    /// From a schema without references.
    pub(super) fn from_schema(schema: &Json) -> Self {
        if let Some(parts) = alternatives(schema) {
            let parts: Vec<&Json> = parts.iter().filter(|part| part["type"] != "null").collect();
            let constants: Vec<String> = parts.iter().flat_map(|part| constants(part)).collect();
            return match parts.as_slice() {
                [one] => Self::from_schema(one),
                _ if constants.len() >= parts.len() => Self::Choice(constants),
                _ => Self::Either(parts.into_iter().map(Self::from_schema).collect()),
            };
        }
        match schema["format"].as_str() {
            Some("duration") => return Self::Quantity(Quantity::Duration),
            Some("size") => return Self::Quantity(Quantity::Size),
            Some("rate") => return Self::Quantity(Quantity::Rate),
            Some("percent") => return Self::Quantity(Quantity::Percent),
            Some("address") => return Self::Quantity(Quantity::Address),
            _ => {}
        }
        match type_name(schema) {
            "object" => Self::table(schema),
            "array" => Self::Array(Box::new(Self::from_schema(&schema["items"]))),
            "boolean" => Self::Boolean,
            "integer" => Self::Integer {
                min: schema["minimum"].as_i64().unwrap_or(0),
                max: schema["maximum"].as_i64().unwrap_or(i64::MAX),
            },
            _ if constants(schema).is_empty() => Self::Text,
            _ => Self::Choice(constants(schema)),
        }
    }

    fn table(schema: &Json) -> Self {
        let Some(properties) = schema["properties"].as_object() else {
            return Self::Map(Box::new(Self::from_schema(&schema["additionalProperties"])));
        };
        let key = |(name, schema): (&String, &Json)| Key {
            name: name.clone(),
            shape: Self::from_schema(schema),
            required: schema[super::file::REQUIRED] == true,
        };
        Self::Table(properties.iter().map(key).collect())
    }

    /// What is wanted, for messages.
    pub(super) fn wanted(&self) -> String {
        match self {
            Self::Table(_) | Self::Map(_) => "a table".to_owned(),
            Self::Array(_) => "an array".to_owned(),
            Self::Choice(words) => format!("one of {}", quoted(words)),
            Self::Text => "a string".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { .. } => "an integer".to_owned(),
            Self::Quantity(quantity) => quantity.name().to_owned(),
            Self::Either(shapes) => {
                let parts: Vec<String> = shapes.iter().map(Self::wanted).collect();
                parts.join(" or ")
            }
        }
    }

    /// Whether a value of this kind can be right here.
    pub(super) fn takes(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Table(_) | Self::Map(_), Value::Table(_))
            | (Self::Array(_), Value::Array(_))
            | (Self::Choice(_) | Self::Text | Self::Quantity(_), Value::Text { .. })
            | (Self::Boolean, Value::Boolean(_))
            | (Self::Integer { .. }, Value::Integer(_))
            | (Self::Quantity(Quantity::Size | Quantity::Percent), Value::Integer(_)) => true,
            (Self::Either(shapes), value) => shapes.iter().any(|shape| shape.takes(value)),
            _ => false,
        }
    }
}

/// The shape of the whole file. Made once: a fuzzer loads thousands of files a second.
pub(super) fn of_file() -> &'static Shape {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    SHAPE.get_or_init(|| Shape::from_schema(&super::reference::schema_value(true)))
}

fn alternatives(schema: &Json) -> Option<&Vec<Json>> {
    schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array())
}

fn type_name(schema: &Json) -> &str {
    match &schema["type"] {
        Json::Array(types) => types.iter().filter_map(Json::as_str).find(|t| *t != "null"),
        other => other.as_str(),
    }
    .unwrap_or_default()
}

fn constants(schema: &Json) -> Vec<String> {
    let listed = schema["enum"].as_array().map(Vec::as_slice).unwrap_or_default();
    let single = schema.get("const").into_iter();
    listed.iter().chain(single).filter_map(Json::as_str).map(str::to_owned).collect()
}

pub(super) fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(", ")
}

/// The tables that have a key called `word`.
pub(super) fn places_of(shape: &Shape, word: &str, path: &mut String, found: &mut Vec<String>) {
    match shape {
        Shape::Table(keys) => {
            let len = path.len();
            for key in keys {
                if key.name == word {
                    found.push(if len == 0 { "the top of the file".into() } else { path.clone() });
                }
                path.push_str(if len > 0 { "." } else { "" });
                path.push_str(&key.name);
                places_of(&key.shape, word, path, found);
                path.truncate(len);
            }
        }
        Shape::Map(inner) => {
            let len = path.len();
            path.push_str(".NAME");
            places_of(inner, word, path, found);
            path.truncate(len);
        }
        Shape::Array(inner) => {
            let len = path.len();
            path.push_str("[]");
            places_of(inner, word, path, found);
            path.truncate(len);
        }
        Shape::Either(shapes) => shapes.iter().for_each(|s| places_of(s, word, path, found)),
        _ => {}
    }
}
