//! Environment references in strings: `${NAME}`, `${NAME:-default}`; `$${` stands for `${`.

use super::diagnostic::Report;
use super::document::{Node, Value};
use super::trail::Trail;

/// The environment: a variable's value by its name.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Replaces the references in every string of the tree.
pub(super) fn expand(
    node: &mut Node<'_>,
    trail: &Trail<'_>,
    env: Environment<'_>,
    report: &mut Report<'_>,
) {
    match &mut node.value {
        Value::Text { text, expanded } => match expanded_text(text, env) {
            Ok(None) => {}
            Ok(Some((new, referred))) => {
                *text = new.into();
                *expanded = referred;
            }
            Err(mistake) => {
                node.value = Value::Refused;
                tell(mistake, trail, report);
            }
        },
        Value::Array(items) => {
            for item in items {
                let at = item.node.at;
                expand(&mut item.node, &trail.index(item.index, at), env, report);
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                let at = entry.node.at;
                expand(&mut entry.node, &trail.key(&entry.key, at), env, report);
            }
        }
        Value::Integer(_) | Value::Other(_) | Value::Boolean(_) | Value::Refused => {}
    }
}

enum Mistake {
    Unset(String),
    Syntax,
}

fn tell(mistake: Mistake, trail: &Trail<'_>, report: &mut Report<'_>) {
    match mistake {
        Mistake::Unset(name) => {
            let message = format!("the environment variable {name} is not set");
            let help = format!("set it, or give a default: \"${{{name}:-…}}\"");
            report.error(trail, message, help);
        }
        Mistake::Syntax => report.error(
            trail,
            "a \"${\" does not begin an environment reference",
            "write \"${NAME}\" or \"${NAME:-default}\", or \"$${\" for the characters themselves",
        ),
    }
}

/// The new text and whether a variable was referred to; `None` where there is nothing to do.
fn expanded_text(text: &str, env: Environment<'_>) -> Result<Option<(String, bool)>, Mistake> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut out, mut rest, mut referred) = (String::with_capacity(text.len()), text, false);
    while let Some(dollar) = rest.find("${") {
        let (before, reference) = rest.split_at(dollar);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = reference.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let end = reference.find('}').ok_or(Mistake::Syntax)?;
        let inside = reference.get(2..end).ok_or(Mistake::Syntax)?;
        out.push_str(&value_of(inside, env)?);
        referred = true;
        rest = reference.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(Some((out, referred)))
}

fn value_of(inside: &str, env: Environment<'_>) -> Result<String, Mistake> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(part) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(Mistake::Syntax);
    }
    // As in the shell, `:-` takes the default for an empty variable too.
    let value = env(name).filter(|value| default.is_none() || !value.is_empty());
    value.or(default.map(str::to_owned)).ok_or_else(|| Mistake::Unset(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let env = |name: &str| match name {
            "HOST" => Some("db.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let got = match expanded_text(text, &env) {
            Ok(None) => text.to_owned(),
            Ok(Some((new, _))) => new,
            Err(Mistake::Unset(name)) => format!("unset {name}"),
            Err(Mistake::Syntax) => "syntax".to_owned(),
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn references() {
        check("plain $HOST {x}", "plain $HOST {x}");
        check("${HOST}:80", "db.example:80");
        check("${HOST}${HOST}", "db.exampledb.example");
        check("${NONE:-fallback}", "fallback");
        check("${EMPTY:-fallback}", "fallback");
        check("${EMPTY}", "");
        check("${NONE:-}", "");
        check("$${HOST}", "${HOST}");
        check("a$${b} ${HOST}", "a${b} db.example");
        check("${NONE}", "unset NONE");
        check("${HOST", "syntax");
        check("${}", "syntax");
        check("${1X}", "syntax");
        check("${häuser}", "syntax");
    }
}
