//! What a call came to, for people: tables.

use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

/// A column: its head, and where its values are (a JSON pointer).
pub(super) type Column = (&'static str, &'static str);

/// A table of these columns; the widest ones give way on a narrow terminal.
pub(super) fn table(columns: &[Column], rows: &[Value]) -> String {
    let mut table = bare();
    table.set_header(columns.iter().map(|(head, _)| *head));
    for row in rows {
        let cell = |(_, place): &Column| row.pointer(place).map(cell).unwrap_or_default();
        table.add_row(columns.iter().map(cell));
    }
    format!("{}\n", table.trim_fmt())
}

/// One thing, a line for each of its members, and for each of those of a member that is a thing itself.
pub(super) fn one(value: &Value) -> String {
    let mut table = bare();
    for (name, value) in said(value) {
        match value {
            Value::Object(_) => said(value).for_each(|(part, value)| {
                table.add_row([printed(&format!("{name}.{part}")), cell(value)]);
            }),
            _ => drop(table.add_row([printed(name), cell(value)])),
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// Members of an object that say something.
fn said(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.filter(|(_, value)| !cell(value).is_empty())
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value in words: a thing by its name, several things by theirs, others by what they say.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printed(text),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(members) => match members.get("name") {
            Some(name) => cell(name),
            None if members.values().any(Value::is_object) => {
                members.keys().map(|name| printed(name)).collect::<Vec<_>>().join(", ")
            }
            None => {
                let each =
                    said(value).map(|(name, value)| format!("{} {}", printed(name), cell(value)));
                each.collect::<Vec<_>>().join(" ")
            }
        },
        other => other.to_string(),
    }
}

/// Control characters of what others wrote do nothing to a terminal.
fn printed(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_words() {
        let limits =
            json!([{ "metric": "hits", "rate": "100/m" }, { "rate": "5/s", "burst": null }]);
        assert_eq!(cell(&limits), "metric hits rate 100/m, rate 5/s");
        assert_eq!(
            cell(&json!([{ "name": "read", "title": "" }, { "name": "place" }])),
            "read, place"
        );
        assert_eq!(cell(&json!({ "gold": {}, "bronze": { "strict": true } })), "gold, bronze");
        assert_eq!(cell(&json!("a\u{1b}[2J")), "a\u{fffd}[2J");
    }

    #[test]
    fn one_thing_is_a_line_for_each_of_its_parts() {
        let told =
            one(&json!({ "id": 1, "account": { "id": 2, "name": "acme", "attributes": {} } }));
        let lines: Vec<Vec<_>> = told.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines, [["id", "1"], ["account.id", "2"], ["account.name", "acme"]]);
    }
}
