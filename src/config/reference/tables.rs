//! One section for each table of the file: heading, meaning, and its keys.

use serde_json::Value as Json;

use crate::config::file::{DEFAULT, REQUIRED};

/// A table of the file: what it is called there, and its schema.
struct Section<'s> {
    /// Where it stands, as `routes[].limits[]`.
    places: Vec<String>,
    schema: &'s Json,
}

/// Appends all sections.
pub(super) fn write(root: &Json, page: &mut String) {
    let mut sections = vec![Section { places: vec![String::new()], schema: root }];
    // The list grows while it is walked: breadth first, each table once.
    let mut next = 0;
    while let Some(section) = sections.get(next) {
        let place = section.places.first().cloned().unwrap_or_default();
        let mut found = Vec::new();
        for (name, property) in properties(section.schema) {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            tables_in(property, root, &place, &mut found);
        }
        for (place, schema) in found {
            match sections.iter_mut().find(|section| std::ptr::eq(section.schema, schema)) {
                Some(known) => known.places.push(place),
                None => sections.push(Section { places: vec![place], schema }),
            }
        }
        next += 1;
    }
    sections.sort_by_key(|section| order(root, section));
    let tables = Tables { root, sections: &sections };
    for section in &sections {
        tables.write_section(section, page);
    }
}

/// Tables follow the key of the file they stand under.
fn order(root: &Json, section: &Section<'_>) -> (usize, usize) {
    let place = section.places.first().map(String::as_str).unwrap_or_default();
    let top = place.split(['.', '[']).next().unwrap_or_default();
    let position = properties(root).position(|(name, _)| name == top);
    (position.map_or(0, |position| position + 1), place.matches(['.', '[']).count())
}

fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// What a reference refers to.
fn resolved<'s>(schema: &'s Json, root: &'s Json) -> &'s Json {
    let reference = schema["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
    reference.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn alternatives(schema: &Json) -> impl Iterator<Item = &Json> {
    let parts = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    parts.into_iter().flatten().filter(|part| part["type"] != "null")
}

/// The tables that a key's value consists of.
fn tables_in<'s>(
    schema: &'s Json,
    root: &'s Json,
    place: &str,
    found: &mut Vec<(String, &'s Json)>,
) {
    let schema = resolved(schema, root);
    if schema["properties"].is_object() {
        found.push((place.to_owned(), schema));
    }
    if schema["items"].is_object() {
        tables_in(&schema["items"], root, &format!("{place}[]"), found);
    }
    if schema["additionalProperties"].is_object() {
        tables_in(&schema["additionalProperties"], root, &format!("{place}.NAME"), found);
    }
    for part in alternatives(schema) {
        tables_in(part, root, place, found);
    }
}

/// All tables, so that keys can refer to them.
struct Tables<'s> {
    root: &'s Json,
    sections: &'s [Section<'s>],
}

impl Tables<'_> {
    fn write_section(&self, section: &Section<'_>, page: &mut String) {
        let place = section.places.first().map(String::as_str).unwrap_or_default();
        page.push_str(&format!("\n## {}\n\n", heading(place)));
        if let Some(meaning) = section.schema["description"].as_str().filter(|_| !place.is_empty())
        {
            page.push_str(&format!("{}\n\n", meaning.replace('\n', " ")));
        }
        if section.places.len() > 1 {
            let others: Vec<String> = section.places.iter().map(|place| header(place)).collect();
            page.push_str(&format!("Stands in {}.\n\n", others.join(", ")));
        }
        page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for (name, property) in properties(section.schema) {
            let cells = [
                format!("`{name}`"),
                self.value_type(property),
                default(property, self.root),
                meaning(property, self.root),
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            page.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }

    fn value_type(&self, schema: &Json) -> String {
        let schema = resolved(schema, self.root);
        if schema["properties"].is_object() {
            return format!("[table](#{})", self.anchor_of(schema));
        }
        if let Some(name) = schema["format"].as_str() {
            match name {
                "duration" | "size" | "rate" | "percent" => return format!("[{name}](#{name})"),
                "address" => return "address and port".to_owned(),
                _ => {}
            }
        }
        let parts: Vec<&Json> = alternatives(schema).collect();
        match parts.as_slice() {
            [] => {}
            [one] => return self.value_type(one),
            parts if parts.iter().all(|part| is_choice(part)) => return choices(parts),
            parts => {
                let parts: Vec<String> = parts.iter().map(|part| self.value_type(part)).collect();
                return parts.join(" or ");
            }
        }
        if is_choice(schema) {
            return choices(&[schema]);
        }
        self.plain_type(schema)
    }

    fn plain_type(&self, schema: &Json) -> String {
        let names = match &schema["type"] {
            Json::Array(names) => {
                names.iter().filter_map(Json::as_str).find(|name| *name != "null")
            }
            name => name.as_str(),
        };
        match names.unwrap_or_default() {
            "boolean" => "`true` or `false`".to_owned(),
            "integer" => integer(schema),
            "array" => {
                let item = self.value_type(&schema["items"]);
                format!("array of {}", plural(&item))
            }
            "object" => {
                let value = self.value_type(&schema["additionalProperties"]);
                format!("table: name = {value}")
            }
            other => other.to_owned(),
        }
    }

    fn anchor_of(&self, schema: &Json) -> String {
        let section = self.sections.iter().find(|section| std::ptr::eq(section.schema, schema));
        let place = section.and_then(|section| section.places.first());
        anchor(&heading(place.map(String::as_str).unwrap_or_default()))
    }
}

fn heading(place: &str) -> String {
    if place.is_empty() { "Top of the file".to_owned() } else { header(place) }
}

/// How the table begins in a file.
fn header(place: &str) -> String {
    match place.strip_suffix("[]") {
        Some(array) => format!("`[[{}]]`", array.replace("[]", "")),
        None => format!("`[{}]`", place.replace("[]", "")),
    }
}

/// As GitHub makes them from headings.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn plural(kind: &str) -> String {
    match kind {
        "string" | "integer" => format!("{kind}s"),
        kind => kind.replace("[table]", "[tables]"),
    }
}

fn integer(schema: &Json) -> String {
    let min = schema["minimum"].as_u64().unwrap_or(0);
    match schema["maximum"].as_u64() {
        Some(max) if max < u64::from(u32::MAX) => format!("integer, {min} to {max}"),
        _ if min > 0 => format!("integer, {min} or more"),
        _ => "integer".to_owned(),
    }
}

fn is_choice(schema: &Json) -> bool {
    schema["const"].is_string() || schema["enum"].is_array()
}

/// The words of a choice.
fn words<'s>(parts: &[&'s Json]) -> Vec<&'s str> {
    let words = parts.iter().flat_map(|part| {
        let listed = part["enum"].as_array().into_iter().flatten();
        listed.chain(std::iter::once(&part["const"])).filter_map(Json::as_str)
    });
    words.collect()
}

fn choices(parts: &[&Json]) -> String {
    let words: Vec<String> = words(parts).iter().map(|word| format!("`\"{word}\"`")).collect();
    words.join(", ")
}

fn default(property: &Json, root: &Json) -> String {
    if property[REQUIRED] == true {
        return "*required*".to_owned();
    }
    if let Some(words) = property[DEFAULT].as_str() {
        return words.to_owned();
    }
    match &property["default"] {
        Json::Null => "—".to_owned(),
        _ if resolved(property, root)["properties"].is_object() => "see there".to_owned(),
        Json::Array(items) if items.is_empty() => "none".to_owned(),
        Json::String(text) if text.is_empty() => "empty".to_owned(),
        value => format!("`{value}`"),
    }
}

/// The key's comment, with what each word of a choice means.
fn meaning(property: &Json, root: &Json) -> String {
    let mut meaning = property["description"].as_str().unwrap_or_default().to_owned();
    for part in alternatives(resolved(property, root)).filter(|part| is_choice(part)) {
        if let (Some(word), Some(text)) = (part["const"].as_str(), part["description"].as_str()) {
            let text = text.trim_end_matches('.');
            meaning.push_str(&format!(" `{word}`: {text}."));
        }
    }
    meaning
}
