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

/// One thing, a line for each of its members.
pub(super) fn one(value: &Value) -> String {
    let mut table = bare();
    if let Value::Object(members) = value {
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            table.add_row([name.clone(), cell(value)]);
        }
    }
    format!("{}\n", table.trim_fmt())
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Control characters of what others wrote do nothing to a terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}
