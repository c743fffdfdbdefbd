//! Mapping rules: patterns that can match, and rules that are asked.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Names;
use super::notes::Notes;
use crate::config::check::matcher;
use crate::config::check::words::Refusal;
use crate::config::file::MappingRule;
use crate::limits::{
    MAX_PATTERN_SEGMENTS, PRODUCT_INCREMENT_MAX, PRODUCT_PATTERN_MAX, PRODUCT_RULES_MAX,
    PRODUCT_VARIABLES_MAX,
};

pub(super) fn check(rules: &[MappingRule], names: &Names<'_>, notes: &mut Notes) {
    notes.at_most("mapping_rules", rules.len(), PRODUCT_RULES_MAX, "mapping rules");
    notes.within("mapping_rules", |notes| {
        for (position, rule) in rules.iter().enumerate() {
            notes.within(position, |notes| self::rule(rule, names, notes));
        }
        // Past the bound it is an error anyway.
        unasked(rules.get(..PRODUCT_RULES_MAX).unwrap_or(rules), notes);
    });
}

fn rule(rule: &MappingRule, names: &Names<'_>, notes: &mut Notes) {
    match rule.method.as_str() {
        "*" => {}
        "any" | "ANY" | "" => {
            let message = format!("{:?} is not a method", rule.method);
            notes.error("method", message, "write one like \"GET\", or \"*\" for any");
        }
        method => notes.refuse("method", matcher::method_refusal(method)),
    }
    match pattern_refusal(&rule.pattern) {
        None if rule.pattern.contains('*') => {
            let message = "a `*` stands for itself";
            let help = "write `{name}` for a segment; what follows a pattern is free without `$`";
            notes.warning("pattern", message, help);
        }
        refusal => notes.refuse("pattern", refusal),
    }
    names.counted(&rule.metric, notes);
    if !(1..=PRODUCT_INCREMENT_MAX).contains(&rule.increment) {
        let help = format!("write a number from 1 to {PRODUCT_INCREMENT_MAX}");
        notes.error("increment", format!("{} is out of range", rule.increment), help);
    }
}

/// What is wrong with a pattern: what does not parse, and what no request's path or query is like.
fn pattern_refusal(pattern: &str) -> Option<Refusal> {
    let (path, query) = match pattern.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (pattern, None),
    };
    let Some(rest) = path.strip_prefix('/') else {
        let help = match pattern.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => &format!("/{pattern}"),
        };
        return Some((format!("{pattern:?} does not begin with `/`"), format!("write {help:?}")));
    };
    if pattern.len() > PRODUCT_PATTERN_MAX {
        let help = format!("write at most {PRODUCT_PATTERN_MAX} bytes");
        return Some((format!("a pattern of {} bytes is too long", pattern.len()), help));
    }
    let variables = pattern.matches('{').count();
    if variables > PRODUCT_VARIABLES_MAX {
        let help = format!("write at most {PRODUCT_VARIABLES_MAX}");
        return Some((format!("{variables} variables are too many"), help));
    }
    let segments: Vec<&str> = rest.strip_suffix('$').unwrap_or(rest).split('/').collect();
    if segments.len() > MAX_PATTERN_SEGMENTS {
        let help = format!("write at most {MAX_PATTERN_SEGMENTS}");
        return Some((format!("{} segments are too many for a pattern", segments.len()), help));
    }
    if segments.iter().any(|segment| matcher::is_dots(segment)) {
        let message = "dot segments never reach a mapping rule".to_owned();
        return Some((message, "write the path without them".to_owned()));
    }
    let refusal = segments.into_iter().find_map(text_refusal);
    if refusal.is_some() {
        return refusal;
    }
    query.and_then(query_refusal)
}

/// What is wrong with a segment.
fn text_refusal(segment: &str) -> Option<Refusal> {
    let mut rest = segment;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        let inside = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let Some((_, after)) = inside.filter(|(name, _)| is_variable(name)) else {
            let message = "a variable is a name in braces".to_owned();
            return Some((message, "write `{name}` (letters, digits, `_`, `-`)".to_owned()));
        };
        let refusal = character_refusal(before).or_else(|| matcher::encoding_refusal(before));
        if refusal.is_some() {
            return refusal;
        }
        rest = after;
    }
    character_refusal(rest).or_else(|| matcher::encoding_refusal(rest))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

fn character_refusal(text: &str) -> Option<Refusal> {
    let c = text.chars().find(|c| !c.is_ascii_graphic() || "?#\\".contains(*c))?;
    let message = format!("no request holds {c:?} there as it is");
    Some((message, format!("write {:?}", matcher::encoded(c))))
}

fn query_refusal(query: &str) -> Option<Refusal> {
    let mut names = HashSet::new();
    for pair in query.split('&') {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let message = format!("{pair:?} is no query parameter with a value");
            let help = match pair {
                "" => "write `?name=value&other={x}`".to_owned(),
                pair => format!("write `{pair}={{value}}` for any value"),
            };
            return Some((message, help));
        };
        if name.contains(['{', '}']) {
            let message = "a query parameter's name has no variables".to_owned();
            return Some((message, "write its name".to_owned()));
        }
        let any = value.strip_prefix('{').and_then(|inside| inside.strip_suffix('}'));
        if value.contains(['{', '}']) && !any.is_some_and(is_variable) {
            let message = format!("{value:?} is neither a value nor a variable");
            return Some((message, "write the whole value, or `{name}` for any".to_owned()));
        }
        if !names.insert(name) {
            let message = format!("the query parameter {name:?} is asked for twice");
            return Some((message, "ask for it once".to_owned()));
        }
        if value.ends_with('$') {
            let message = "a `$` anchors the path, and stands before the `?`".to_owned();
            return Some((message, "write it there, or `%24` for the sign".to_owned()));
        }
        let refusal = character_refusal(name).or_else(|| character_refusal(value));
        if refusal.is_some() {
            return refusal;
        }
    }
    None
}

/// Rules that an earlier `last` one keeps every request from.
fn unasked(rules: &[MappingRule], notes: &mut Notes) {
    // By method and pattern, for those that take every path with a beginning.
    let mut last: HashMap<(&str, &str), usize> = HashMap::new();
    let mut lengths = BTreeSet::new();
    for (position, rule) in rules.iter().enumerate() {
        let pattern = rule.pattern.as_str();
        let same = [rule.method.as_str(), "*"].into_iter().find_map(|method| {
            let mut beginnings = lengths.iter().filter_map(|length| pattern.get(..*length));
            beginnings.find_map(|start| last.get(&(method, start))).or(last.get(&(method, pattern)))
        });
        if let Some(earlier) = same {
            let message = format!("no request gets here: rule {earlier} takes them all");
            notes.warning(position, message, "put it before that one, or remove it");
        } else if rule.last {
            last.entry((&rule.method, pattern)).or_insert(position);
            let literal = !pattern.contains(['{', '?']) && !pattern.ends_with('$');
            literal.then(|| lengths.insert(pattern.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let good = [
            "/",
            "/orders",
            "/orders/{id}$",
            "/orders/{id}.json",
            "/v1/{a}-{b}/$",
            "/$metadata",
            "/.well",
            "/a%20b",
            "/search?kind=book&page={p}",
            "/search$?kind=",
            "//a",
        ];
        for pattern in good {
            assert_eq!(pattern_refusal(pattern), None, "{pattern}");
        }
        let bad = [
            ("", "does not begin"),
            ("orders", "does not begin"),
            ("https://api.example.com/v1", "does not begin"),
            ("/a/../b", "dot segments"),
            ("/a/..$", "dot segments"),
            ("/a/.", "dot segments"),
            ("/a b", "' '"),
            ("/ä", "'ä'"),
            ("/a#b", "'#'"),
            ("/{}", "name in braces"),
            ("/{id", "name in braces"),
            ("/id}", "name in braces"),
            ("/{a b}", "name in braces"),
            ("/{a.b}", "name in braces"),
            ("/a?b=x{c}", "neither a value nor a variable"),
            ("/a?b={}", "neither a value nor a variable"),
            ("/%7Ea", "decoded before"),
            ("/%2f", "upper-case"),
            ("/%2", "two hex digits"),
            ("/a?", "no query parameter"),
            ("/a?b", "no query parameter"),
            ("/a?=b", "no query parameter"),
            ("/a?{b}=c", "no variables"),
            ("/a?b=1&b=2", "twice"),
            ("/a?b=1$", "before the `?`"),
            ("/a?b=1?", "'?'"),
        ];
        for (pattern, why) in bad {
            let (message, _) = pattern_refusal(pattern).expect(pattern);
            assert!(message.contains(why), "{pattern}: {message}");
        }
        let most = "/{a}".repeat(PRODUCT_VARIABLES_MAX);
        assert_eq!(pattern_refusal(&most), None);
        assert!(pattern_refusal(&"/a".repeat(MAX_PATTERN_SEGMENTS)).is_none());
        assert!(pattern_refusal(&"/a".repeat(MAX_PATTERN_SEGMENTS + 1)).is_some());
        assert!(pattern_refusal(&format!("{most}/{{b}}")).is_some());
        assert!(pattern_refusal(&format!("/{}", "a".repeat(PRODUCT_PATTERN_MAX))).is_some());
    }
}
