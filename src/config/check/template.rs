//! Texts with variables: `rewrite`, `redirect.to`, values of edited fields.

use super::matcher;
use super::words::Refusal;
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::settings::PathMatch;
use crate::config::suggest;
use crate::config::template::{Names, Place as Kind, TemplateError, parts};

/// What a route's path gives a name to.
pub(super) struct PathNames {
    /// Parameters of a pattern, named groups of an expression.
    pub(super) parameters: Vec<String>,
    catch_all: bool,
    is_regex: bool,
}

impl PathNames {
    pub(super) fn of(path: &PathMatch) -> Self {
        let catch_all = matches!(path, PathMatch::Pattern(pattern) if pattern.ends_with("/*"));
        let is_regex = matches!(path, PathMatch::Regex(_));
        Self { parameters: matcher::parameters(path), catch_all, is_regex }
    }
}

/// Tells every mistake in a text. Without its path a route's names are unknown.
pub(super) fn template(
    text: &str,
    kind: Kind,
    names: Option<&PathNames>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let parameters: Vec<&str> =
        names.iter().flat_map(|names| names.parameters.iter().map(String::as_str)).collect();
    let catch_all = names.is_some_and(|names| names.catch_all);
    let given = Names { parameters: &parameters, catch_all };
    for mistake in parts(text, kind, given).filter_map(Result::err) {
        let refusal = match mistake {
            TemplateError::Unknown(..) if names.is_none() => None,
            TemplateError::Unknown(..) => {
                let name = text.get(mistake.range()).unwrap_or_default();
                let is_regex = names.is_some_and(|names| names.is_regex);
                Some(unknown(name, kind, given, is_regex, place.is_expanded()))
            }
            TemplateError::Byte(at) => byte(text.get(at..).unwrap_or_default(), kind),
            TemplateError::Unclosed(_) | TemplateError::Unopened(_) => {
                let help = format!("write `{{name}}`{}", plain_brace(kind));
                Some((mistake.to_string(), help))
            }
        };
        if let Some((message, help)) = refusal {
            report.error(&place.trail, message, help);
        }
    }
}

/// How a brace is written that begins no variable, where one can be.
fn plain_brace(kind: Kind) -> &'static str {
    match kind {
        Kind::Field => "; for plain braces `{{` and `}}`",
        Kind::Path | Kind::Location => "",
    }
}

/// A name is not repeated where it may be part of a secret.
fn unknown(name: &str, kind: Kind, given: Names<'_>, is_regex: bool, is_secret: bool) -> Refusal {
    let plain = plain_brace(kind);
    if is_secret {
        let help = format!("look at what the environment says{plain}");
        return ("there is no such variable".to_owned(), help);
    }
    let part = |c: char| c.is_ascii_alphanumeric() || "_-*:/".contains(c);
    if kind == Kind::Field && !name.chars().all(part) {
        let help = "write `{{` and `}}` for plain braces".to_owned();
        return ("a brace begins a variable, and this is none".to_owned(), help);
    }
    let mut all: Vec<&str> = kind.variables().collect();
    all.extend(given.catch_all.then_some("*"));
    all.extend(given.parameters);
    let help = match suggest::nearest(name, all.iter().copied()) {
        Some(near) => format!("write `{{{near}}}`"),
        None if is_regex && kind != Kind::Field => {
            format!("name a group of the regular expression: `(?<{name}>…)`")
        }
        None => {
            let all: Vec<String> = all.iter().map(|name| format!("`{{{name}}}`")).collect();
            format!("there are {}", all.join(", "))
        }
    };
    (format!("there is no `{{{name}}}` here"), format!("{help}{plain}"))
}

/// What is wrong with the first character of `rest`. Control characters in fields have been told.
fn byte(rest: &str, kind: Kind) -> Option<Refusal> {
    let refused = rest.chars().next()?;
    let (message, help) = match kind {
        Kind::Path if refused == '%' => ("a `%` begins two hex digits".to_owned(), "write %25"),
        Kind::Path => {
            let help = "write it percent-encoded; the query goes upstream by itself";
            (format!("no path holds {refused:?} as it is"), help)
        }
        Kind::Location if !refused.is_ascii_control() => {
            let help = "write one like \"https://{host}{path}\"";
            (format!("a Location is a URI: it holds no {refused:?}"), help)
        }
        Kind::Location | Kind::Field => return None,
    };
    Some((message, help.to_owned()))
}
