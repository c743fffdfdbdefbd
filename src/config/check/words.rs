//! The small grammars of names, tokens, hosts and values.

use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::trail::Trail;
use crate::limits::CONFIG_MAX_NAME;

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

/// Why a text is refused, and what to write.
pub(super) type Refusal = (String, String);

/// Tells a refusal.
fn tell(refusal: Option<Refusal>, trail: &Trail<'_>, report: &mut Report<'_>) {
    if let Some((message, help)) = refusal {
        report.error(trail, message, help);
    }
}

/// A name of a listener, route, upstream or limit: it goes into fields, metrics and logs.
pub(super) fn name(text: &str, trail: &Trail<'_>, report: &mut Report<'_>) {
    tell(name_refusal(text), trail, report);
}

/// What is wrong with such a name.
pub(super) fn name_refusal(text: &str) -> Option<Refusal> {
    let fits = |b: u8| b.is_ascii_graphic() && !b"\"\\'`{}".contains(&b);
    if text.is_empty() {
        let help = "write letters, digits, `-`, `_`, `.`, `/`, `:`";
        Some(("a name is empty".to_owned(), help.to_owned()))
    } else if text.len() > CONFIG_MAX_NAME {
        let message = format!("a name of {} bytes is too long", text.len());
        Some((message, format!("write at most {CONFIG_MAX_NAME} bytes")))
    } else if !text.bytes().all(fits) {
        let fitting: String =
            text.chars().map(|c| if c.is_ascii() && fits(c as u8) { c } else { '-' }).collect();
        let message = "a name holds letters, digits and signs without quotes, braces and spaces";
        Some((message.to_owned(), format!("write {fitting:?}")))
    } else {
        None
    }
}

/// A field name, lower-cased.
pub(super) fn field_name(text: &str, trail: &Trail<'_>, report: &mut Report<'_>) -> String {
    tell(field_name_refusal(text), trail, report);
    text.to_ascii_lowercase()
}

/// What is wrong with a field name.
pub(super) fn field_name_refusal(text: &str) -> Option<Refusal> {
    if is_token(text) {
        return None;
    }
    let message = format!("{text:?} is not a field name (RFC 9110 section 5.1)");
    let plain: String = text.trim().trim_end_matches(':').replace([' ', '\t'], "-");
    let help = if is_token(&plain) { format!("write {plain:?}") } else { String::new() };
    Some((message, help))
}

/// A field value. It is not repeated in the message: it may be a secret.
pub(super) fn field_value(text: &str, trail: &Trail<'_>, report: &mut Report<'_>) {
    tell(field_value_refusal(text), trail, report);
}

/// What is wrong with a field value.
pub(super) fn field_value_refusal(text: &str) -> Option<Refusal> {
    let (message, help) = if text.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        let message = "a field value holds no CR, LF or NUL: it would end the field";
        (message, "remove it, or write a space")
    } else if text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        ("a field value holds no control characters", "remove them")
    } else if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
        ("a field value neither begins nor ends with a space", "remove it")
    } else {
        return None;
    };
    Some((message.to_owned(), help.to_owned()))
}

/// A DNS name as a request may have it, without wildcard and port; lower case.
pub(super) fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        let part = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(part)
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A name as languages have them: letters, digits and `_`, no digit first.
pub(super) fn is_identifier(text: &str) -> bool {
    let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.bytes().all(part) && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty()
}

/// A URL of http or https: absolute, with a host, and without what goes nowhere (a fragment) or into
/// logs (a password).
pub(super) fn url(text: String, like: &str, place: &Place<'_>, report: &mut Report<'_>) -> String {
    if text.is_empty() && !place.given() {
        return text;
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    let good = host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b));
    if !good {
        let help = format!("write one like {like:?}");
        report.error(&place.trail, "this is not a URL of http or https", help);
    }
    text
}

/// `header:NAME` and the like, split.
pub(super) fn selector(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((kind, name)) => (kind.trim(), Some(name.trim())),
        None => (text.trim(), None),
    }
}
