//! Blots out the secrets of a configuration's text that is to be shown.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Fields whose values are secrets, whether a route sets them or asks for them.
const SECRET_FIELDS: &[&str] =
    &["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

const BLOT: &str = "\"***\"";

/// The text with `"***"` for the values of secret fields in `[[routes]]` and plans of products, for the
/// key of `acme.external_account` and for secrets of `[jwt.NAME]` and `[introspection.NAME]`. What refers to the environment (`"Bearer ${TOKEN}"`) says nothing and
/// stays. A text that is not TOML is blotted out whole; the gateway has loaded what it shows, so that
/// is not expected.
pub(super) fn redacted(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let mut words = SECRET_FIELDS.iter().chain(&["external_account", "secret"]);
    if !words.any(|word| lower.contains(word)) && !lower.contains('\\') {
        return text.into();
    }
    let Ok(table) = DeTable::parse(text) else { return BLOT.into() };
    let mut spans = Vec::new();
    for part in ["routes", "products"].iter().filter_map(|key| table.get_ref().get(*key)) {
        find(part, false, &mut spans);
    }
    let acme = table.get_ref().get("acme").and_then(|acme| acme.get_ref().get("external_account"));
    if let Some(key) = acme.and_then(|account| account.get_ref().get("key")) {
        find(key, true, &mut spans);
    }
    for (kind, key) in [("jwt", "secret"), ("introspection", "client_secret")] {
        let all = table.get_ref().get(kind).and_then(|all| all.get_ref().as_table());
        for one in all.into_iter().flat_map(|all| all.values()) {
            if let Some(secret) = one.get_ref().get(key) {
                find(secret, true, &mut spans);
            }
        }
    }
    spans.sort_by_key(|span: &Range<usize>| span.start);
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        shown.push_str(text.get(at..span.start).unwrap_or_default());
        shown.push_str(BLOT);
        at = span.end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown.into()
}

/// Where secret strings stand; `secret`: below a secret field's name.
fn find(value: &Spanned<DeValue<'_>>, secret: bool, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(text) if secret && !only_refers(text) => spans.push(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| find(item, secret, spans)),
        DeValue::Table(table) => table.iter().for_each(|(key, value)| {
            let named = SECRET_FIELDS.iter().any(|field| key.get_ref().eq_ignore_ascii_case(field));
            find(value, secret || named, spans);
        }),
        _ => {}
    }
}

/// Whether a text is nothing but a reference to the environment, be it behind a scheme's name.
fn only_refers(text: &str) -> bool {
    let rest = match text.split_once(' ') {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => rest,
        _ => text,
    };
    let name = rest.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blotted_out_and_nothing_else() {
        let text = r#"
[[routes]] # a comment
name = "one"
headers = { X-Api-Key = "s3cret", x-tier = "gold" }
request_headers = { set = { Authorization = "Bearer s3cret", x-a = "b" }, add = { cookie = ["s3cret", '''s3cret'''] } }
[[routes]]
[routes.request_headers.set]
"authori\u007aation" = "s3cret"
proxy-authorization = "Basic ${PROXY}"
x-api-key = "${KEY:-s3cret}"
[upstreams.cookie]
targets = ["10.0.0.1:80"]
"#;
        let wanted = r#"
[[routes]] # a comment
name = "one"
headers = { X-Api-Key = "***", x-tier = "gold" }
request_headers = { set = { Authorization = "***", x-a = "b" }, add = { cookie = ["***", "***"] } }
[[routes]]
[routes.request_headers.set]
"authori\u007aation" = "***"
proxy-authorization = "Basic ${PROXY}"
x-api-key = "***"
[upstreams.cookie]
targets = ["10.0.0.1:80"]
"#;
        assert_eq!(redacted(text), wanted);
    }

    #[test]
    fn what_a_plan_tells_upstreams_may_be_secret() {
        let text = "[products.a.plans.gold]\nattributes = { authorization = \"s3cret\", x-tier = \"gold\" }\n";
        assert_eq!(redacted(text), text.replace("\"s3cret\"", BLOT));
    }

    #[test]
    fn the_key_of_an_external_account_is_a_secret() {
        let text = "[acme]\nexternal_account = { key_id = \"kid\", key = \"s3cret\" }\n";
        assert_eq!(redacted(text), text.replace("\"s3cret\"", BLOT));
        let text = "[acme.external_account]\nkey_id = \"kid\"\nkey = \"${HMAC}\"\n";
        assert_eq!(redacted(text), text);
    }

    #[test]
    fn the_secret_of_tokens_is_a_secret() {
        let text = "[introspection.a]\nclient_id = \"id\"\nclient_secret = \"s3cret\"\n";
        assert_eq!(redacted(text), text.replace("\"s3cret\"", BLOT));
        let text = "[jwt.a]\nsecret = \"s3cret\"\n[jwt.b]\nsecret = \"${JWT}\"\n";
        assert_eq!(redacted(text), text.replace("\"s3cret\"", BLOT));
    }

    #[test]
    fn references_stay_and_literals_do_not() {
        for text in ["${KEY}", "Bearer ${KEY_2}"] {
            assert!(only_refers(text), "{text}");
        }
        for text in ["", "s3cret", "Bearer s3cret", "$${KEY}", "a${KEY}", "${A}b${C}", "s3 ${KEY}"]
        {
            assert!(!only_refers(text), "{text}");
        }
    }

    #[test]
    fn a_text_without_secrets_is_not_even_read() {
        assert!(matches!(redacted("not = toml = at all"), Cow::Borrowed(_)));
        assert_eq!(redacted("cookie = toml = at all"), BLOT);
    }
}
