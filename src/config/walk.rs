//! Holds a file against its shape.
//!
//! Unlike serde the walk reports every unknown key, missing key and wrong value of the whole file
//! at once. What is wrong is refused in the tree, so that the rest can still be checked for its
//! meaning.

use super::diagnostic::Report;
use super::document::{Entry, Node, Value};
use super::quantity::Quantity;
use super::shape::{Key, Shape, places_of, quoted};
use super::suggest;
use super::trail::Trail;

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
        if let Shape::Either(shapes) = shape
            && let Some(shape) = shapes.iter().find(|shape| shape.takes(&node.value))
        {
            return self.value(shape, node, trail);
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
            let help = format!("write {}", example(&key.name, &key.shape));
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

fn example(key: &str, shape: &Shape) -> String {
    match key {
        "key" if matches!(shape, Shape::Array(_)) => {
            "`key = [\"header:authorization\"]`".to_owned()
        }
        "listeners" => "a table [[listeners]] with `name` and `listen`".to_owned(),
        "name" => "`name = \"…\"`: what it is called in stats, logs and limits".to_owned(),
        "listen" => "`listen = \"127.0.0.1:8080\"`".to_owned(),
        "targets" => "`targets = [\"127.0.0.1:9001\"]`".to_owned(),
        "address" => "`address = \"127.0.0.1:9001\"`".to_owned(),
        "rate" => "`rate = \"100/s\"`".to_owned(),
        "to" => "`to = \"https://{host}{path}\"`".to_owned(),
        "certificate" => "`certificate = \"chain.pem\"`".to_owned(),
        "key" => "`key = \"key.pem\"`".to_owned(),
        "ca" => "`ca = \"ca.pem\"`".to_owned(),
        _ => format!("`{key} = …`"),
    }
}
