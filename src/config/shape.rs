//! The shape a file must have, and the walk that holds a file against it.
//!
//! The shape is derived from the schema of [`super::file`], so the walk knows every key without
//! being told. Unlike serde it reports every unknown key, missing key and wrong value of the
//! whole file at once. What is wrong is dropped from the tree, so that the rest can still be
//! checked for its meaning.

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::Value as Json;

use super::diagnostic::Report;
use super::document::{Entry, Node, Trail, Value};
use super::suggest;
use super::units::{HumanDuration, Percent, Rate, Size, UnitError};

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

/// Strings with a grammar of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Duration,
    Size,
    Rate,
    Percent,
    Address,
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
    fn wanted(&self) -> String {
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
    fn takes(&self, value: &Value<'_>) -> bool {
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

/// Holds the file against its shape.
pub(super) struct Walk<'w, 't> {
    pub(super) top: &'w Shape,
    pub(super) report: &'w mut Report<'t>,
    /// Whether the whole file was read, so that what is missing is missing.
    pub(super) complete: bool,
}

impl Walk<'_, '_> {
    /// Checks a value; `false`: it cannot be used.
    pub(super) fn value(&mut self, shape: &Shape, node: &mut Node<'_>, trail: &Trail<'_>) -> bool {
        if let Shape::Either(shapes) = shape {
            if let Some(shape) = shapes.iter().find(|shape| shape.takes(&node.value)) {
                return self.value(shape, node, trail);
            }
        }
        if matches!(node.value, Value::Refused) {
            return false;
        }
        read_expanded(shape, node);
        if !shape.takes(&node.value) {
            return self.wrong_kind(shape, node, trail);
        }
        match (shape, &mut node.value) {
            (Shape::Table(keys), Value::Table(entries)) => {
                self.table(keys, entries, trail);
                true
            }
            (Shape::Map(shape), Value::Table(entries)) => {
                for entry in entries {
                    self.entry(shape, entry, trail);
                }
                true
            }
            (Shape::Array(shape), Value::Array(items)) => {
                items.retain_mut(|item| {
                    let trail = trail.index(item.index, item.node.at);
                    self.value(shape, &mut item.node, &trail)
                });
                true
            }
            (Shape::Choice(words), Value::Text { text, .. }) => self.choice(words, text, trail),
            (Shape::Integer { min, max }, Value::Integer(number)) => {
                self.range(*number, *min, *max, trail)
            }
            (Shape::Quantity(Quantity::Percent), Value::Integer(number)) => {
                self.range(*number, 0, 100, trail)
            }
            (Shape::Quantity(Quantity::Size), Value::Integer(number)) => {
                self.range(*number, 0, i64::MAX, trail)
            }
            (Shape::Quantity(quantity), Value::Text { text, .. }) => {
                self.quantity(*quantity, text, trail)
            }
            _ => true,
        }
    }

    fn table(&mut self, keys: &[Key], entries: &mut [Entry<'_>], trail: &Trail<'_>) {
        // Required keys that are there under a wrong name are not reported as missing too.
        let mut meant = Vec::new();
        for entry in entries.iter_mut() {
            match keys.iter().find(|key| key.name == entry.key) {
                Some(key) => self.entry(&key.shape, entry, trail),
                None => meant.extend(self.unknown_key(keys, entry, trail)),
            }
        }
        let there = |name: &str| entries.iter().any(|e| e.key == name) || meant.contains(&name);
        for key in keys.iter().filter(|key| key.required && self.complete && !there(&key.name)) {
            let help = format!("write {}", example(&key.name));
            self.report.error(trail, format!("the key `{}` is missing", key.name), help);
        }
    }

    /// Reports an unknown key; the name it was meant for, where that is clear.
    fn unknown_key<'k>(
        &mut self,
        keys: &'k [Key],
        entry: &mut Entry<'_>,
        trail: &Trail<'_>,
    ) -> Option<&'k str> {
        entry.node.value = Value::Refused;
        let names = || keys.iter().map(|key| key.name.as_str());
        let foreign = || names().find(|name| suggest::translated(&entry.key).any(|w| w == *name));
        let meant = suggest::nearest(&entry.key, names()).or_else(foreign);
        let help = match meant {
            Some(name) => format!("write `{name}`"),
            None => self.key_elsewhere(keys, &entry.key),
        };
        let trail = trail.key(&entry.key, entry.key_at);
        self.report.error(&trail, "there is no such key", help);
        meant
    }

    fn entry(&mut self, shape: &Shape, entry: &mut Entry<'_>, trail: &Trail<'_>) {
        let trail = trail.key(&entry.key, entry.node.at);
        if !self.value(shape, &mut entry.node, &trail) {
            entry.node.value = Value::Refused;
        }
    }

    /// Where else a key is known, else the keys that are known here.
    fn key_elsewhere(&self, keys: &[Key], word: &str) -> String {
        let ours = suggest::translated(word).map(str::to_owned);
        for word in std::iter::once(word.to_owned()).chain(ours) {
            let mut places = Vec::new();
            places_of(self.top, &word, &mut String::new(), &mut places);
            if !places.is_empty() {
                return format!("`{word}` is a key of {}", places.join(", "));
            }
        }
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        format!("keys here: {}", names.join(", "))
    }

    fn wrong_kind(&mut self, shape: &Shape, node: &mut Node<'_>, trail: &Trail<'_>) -> bool {
        let message = format!("{} is wanted here, not {}", shape.wanted(), node.value.kind());
        self.report.error(trail, message, kind_help(shape, &node.value));
        // An empty table keeps the name (and the index) for the checks that follow.
        let is_table = matches!(shape, Shape::Table(_));
        if is_table {
            *node = Node::empty_table(node.at);
        }
        is_table
    }

    fn choice(&mut self, words: &[String], text: &str, trail: &Trail<'_>) -> bool {
        if words.iter().any(|word| word == text) {
            return true;
        }
        let near = suggest::nearest(text, words.iter().map(String::as_str));
        let foreign = suggest::translated_value(text).filter(|w| words.iter().any(|x| x == w));
        let help = match near.or(foreign) {
            Some(word) => format!("write {word:?}"),
            None => format!("write one of {}", quoted(words)),
        };
        self.report.error(trail, format!("{text:?} is not known"), help);
        false
    }

    fn range(&mut self, number: i64, min: i64, max: i64, trail: &Trail<'_>) -> bool {
        if (min..=max).contains(&number) {
            return true;
        }
        let help = match max {
            i64::MAX => format!("write {min} or more"),
            _ => format!("write a number from {min} to {max}"),
        };
        self.report.error(trail, format!("{number} is out of range"), help);
        false
    }

    fn quantity(&mut self, quantity: Quantity, text: &str, trail: &Trail<'_>) -> bool {
        match quantity.check(text) {
            Ok(()) => true,
            Err(why) => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                let message = format!("{text:?} is not {}{why}", quantity.name());
                self.report.error(trail, message, quantity.help(text));
                false
            }
        }
    }
}

impl Quantity {
    fn name(self) -> &'static str {
        match self {
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Rate => "a rate",
            Self::Percent => "a share in percent",
            Self::Address => "an IP address with port",
        }
    }

    fn check(self, text: &str) -> Result<(), Option<UnitError>> {
        match self {
            Self::Duration => text.parse::<HumanDuration>().map(drop).map_err(Some),
            Self::Size => text.parse::<Size>().map(drop).map_err(Some),
            Self::Rate => text.parse::<Rate>().map(drop).map_err(Some),
            Self::Percent => text.parse::<Percent>().map(drop).map_err(Some),
            Self::Address => text.parse::<SocketAddr>().map(drop).map_err(|_| None),
        }
    }

    /// What to write instead: the text mended where that is easy, else an example.
    fn help(self, text: &str) -> String {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let unit = text.get(digits.len()..).unwrap_or_default().trim();
        let mended = match self {
            Self::Duration => Some(format!("{digits}{}", time_unit(unit))),
            Self::Size => Some(format!("{digits}{}", size_unit(unit))),
            Self::Rate => {
                Some(format!("{digits}/{}", time_unit(unit.trim_start_matches(['r', '/']))))
            }
            Self::Percent => None,
            Self::Address => Some(address(text)),
        };
        let mended = mended.filter(|mended| mended != text && self.check(mended).is_ok());
        match (mended, self) {
            (Some(mended), _) => format!("write {mended:?}"),
            (None, Self::Duration) => "write one like \"30s\", \"250ms\", \"1h30m\"".to_owned(),
            (None, Self::Size) => {
                "write one like \"64KiB\", \"10MB\", or the number of bytes".to_owned()
            }
            (None, Self::Rate) => "write one like \"100/s\", \"1000/m\", \"10/500ms\"".to_owned(),
            (None, Self::Percent) => "write one like 20 or \"20%\"".to_owned(),
            (None, Self::Address) => {
                "write one like \"0.0.0.0:8080\", \"127.0.0.1:8080\", \"[::]:8080\"".to_owned()
            }
        }
    }
}

fn time_unit(unit: &str) -> &str {
    match unit.to_ascii_lowercase().as_str() {
        "" | "sec" | "secs" | "second" | "seconds" | "s" | "r/s" => "s",
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "hour" | "hours" | "hr" | "h" => "h",
        "day" | "days" | "d" => "d",
        "msec" | "millis" | "milliseconds" | "ms" => "ms",
        "µs" | "usec" => "us",
        _ => unit,
    }
}

fn size_unit(unit: &str) -> &str {
    match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "b" | "bytes" => "B",
        _ => unit,
    }
}

fn address(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return format!("0.0.0.0:{text}");
    }
    match text.rsplit_once(':') {
        Some(("" | "*", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some((host, port)) if host.contains(':') => format!("[{host}]:{port}"),
        _ => format!("{text}:8080"),
    }
}

/// A string from the environment stands for an integer or a boolean where one is wanted.
fn read_expanded(shape: &Shape, node: &mut Node<'_>) {
    let Value::Text { text, expanded: true } = &node.value else { return };
    let value = match shape {
        Shape::Integer { .. } => text.trim().parse().ok().map(Value::Integer),
        Shape::Boolean => text.trim().parse().ok().map(Value::Boolean),
        _ => None,
    };
    if let Some(value) = value {
        node.value = value;
    }
}

fn kind_help(shape: &Shape, value: &Value<'_>) -> String {
    match (shape, value) {
        (Shape::Quantity(Quantity::Duration), Value::Integer(n)) => format!("write \"{n}s\""),
        (Shape::Quantity(Quantity::Rate), Value::Integer(n)) => format!("write \"{n}/s\""),
        (Shape::Quantity(Quantity::Address), Value::Integer(n)) => {
            format!("write \"0.0.0.0:{n}\"")
        }
        (Shape::Integer { .. }, Value::Text { text, .. }) if text.parse::<i64>().is_ok() => {
            format!("write {text}")
        }
        (Shape::Boolean, Value::Text { text, .. }) => {
            boolean(text).map(|word| format!("write {word}")).unwrap_or_default()
        }
        (Shape::Text | Shape::Choice(_), Value::Integer(n)) => format!("write \"{n}\""),
        (Shape::Array(item), Value::Text { text, .. }) if item.takes(value) => {
            format!("write [{text:?}]")
        }
        (Shape::Array(item), Value::Table(_)) if item.takes(value) => {
            "write the table's name in double brackets, `[[…]]`, or its value as `[{ … }]`"
                .to_owned()
        }
        _ => String::new(),
    }
}

/// The boolean a word means.
fn boolean(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some("true"),
        "false" | "no" | "off" => Some("false"),
        _ => None,
    }
}

fn example(key: &str) -> String {
    match key {
        "listeners" => "a table [[listeners]] with `name` and `listen`".to_owned(),
        "name" => "`name = \"…\"`: what it is called in stats, logs and limits".to_owned(),
        "listen" => "`listen = \"127.0.0.1:8080\"`".to_owned(),
        "targets" => "`targets = [\"127.0.0.1:9001\"]`".to_owned(),
        "address" => "`address = \"127.0.0.1:9001\"`".to_owned(),
        "rate" => "`rate = \"100/s\"`".to_owned(),
        "to" => "`to = \"https://{host}{path}\"`".to_owned(),
        _ => format!("`{key} = …`"),
    }
}

/// The tables that have a key called `word`.
fn places_of(shape: &Shape, word: &str, path: &mut String, found: &mut Vec<String>) {
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
