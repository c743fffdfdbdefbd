//! Path templates as patterns of mapping rules.

use std::cmp::Reverse;

/// The path at which a server's paths begin, without `/` at its end; `None`: this is no URL.
pub(super) fn base(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => url,
    };
    if path.contains(['?', '#']) {
        return None;
    }
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Some(String::new());
    }
    pattern(&format!("/{path}")).ok()
}

/// A template in the form in which paths reach mapping rules: percent-encoded where it must be, and
/// nowhere else.
pub(super) fn pattern(template: &str) -> Result<String, &'static str> {
    if !template.starts_with('/') {
        return Err("a path begins with `/`");
    }
    if template.contains(['?', '#']) {
        return Err("a path has neither query nor fragment");
    }
    let mut pattern = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, brace) = rest.split_at(at);
        let inside = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let (name, after) = inside.ok_or("a brace is left open")?;
        if name.is_empty() || name.contains('{') {
            return Err("a parameter in braces has no name");
        }
        canonical(literal, &mut pattern);
        pattern.push('{');
        let part = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        pattern.extend(name.chars().map(|c| if part(c) { c } else { '_' }));
        pattern.push('}');
        rest = after;
    }
    canonical(rest, &mut pattern);
    Ok(pattern)
}

/// As the gateway has paths: letters, digits, `-`, `.`, `_` and `~` as they are, triplets in upper case.
fn canonical(text: &str, out: &mut String) {
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let digits =
            text.get(at + 1..at + 3).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        let encoded = digits.filter(|_| byte == b'%').and_then(|d| u8::from_str_radix(d, 16).ok());
        at += if encoded.is_some() { 3 } else { 1 };
        match encoded {
            Some(plain) if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => {
                out.push(char::from(plain));
            }
            Some(encoded) => out.push_str(&format!("%{encoded:02X}")),
            None if byte.is_ascii_graphic() && !b"%\\".contains(&byte) => {
                out.push(char::from(byte));
            }
            None => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// A pattern without the names of its variables.
pub(super) fn shape(pattern: &str) -> String {
    let mut parts = pattern.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shape, part| {
        let after = part.split_once('}').map_or(part, |(_, after)| after);
        format!("{shape}{{}}{after}")
    })
}

/// Patterns that others would match as well come first: what the first segment in which they differ
/// says literally, at the length of it.
pub(super) fn specificity(pattern: &str) -> Vec<(bool, Reverse<usize>)> {
    let segment = |segment: &str| {
        let variables = segment.split('{').skip(1).map(|rest| rest.find('}').unwrap_or(0) + 2);
        let inside: usize = variables.sum();
        (segment.contains('{'), Reverse(segment.len().saturating_sub(inside)))
    };
    pattern.split('/').map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases() {
        for (url, want) in [
            ("https://api.example.com", ""),
            ("https://api.example.com/", ""),
            ("https://api.example.com/v1/", "/v1"),
            ("https://api.example.com/{tenant}/v 1", "/{tenant}/v%201"),
            ("/v2", "/v2"),
            ("v2", "/v2"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(base(url).as_deref(), Some(want), "{url}");
        }
        assert_eq!(base("https://api.example.com/?v=1"), None);
    }

    #[test]
    fn patterns_are_canonical() {
        for (template, want) in [
            ("/", "/"),
            ("/orders/{order id}/lines", "/orders/{order_id}/lines"),
            ("/a%7Eb%2fc%zz/ä", "/a~b%2Fc%25zz/%C3%A4"),
            ("/r('{x}')", "/r('{x}')"),
        ] {
            assert_eq!(pattern(template).as_deref(), Ok(want), "{template}");
        }
        for template in ["orders", "/a?b=c", "/a#b", "/{a", "/a}", "/{}", "/{{a}}"] {
            assert!(pattern(template).is_err(), "{template}");
        }
    }

    #[test]
    fn text_comes_before_variables() {
        let mut patterns =
            ["/{a}/b$", "/{x}", "/a/{x}$", "/a/{x}.json$", "/a/b$", "/{file}.json$", "/a/{x}/c$"];
        patterns.sort_by_cached_key(|pattern| specificity(pattern));
        let place = |pattern| patterns.iter().position(|p| *p == pattern);
        assert!(place("/a/b$") < place("/a/{x}.json$"));
        assert!(place("/a/{x}.json$") < place("/a/{x}$"));
        assert!(place("/a/{x}$") < place("/{a}/b$"));
        assert!(place("/{file}.json$") < place("/{x}"));
    }
}
