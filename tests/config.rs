//! The configuration room, from outside: files that must load, files that must not, and what is
//! said about them.
//!
//! `UPDATE_DOCS=1 cargo test --test config` writes what is generated anew: docs/CONFIG.md and the
//! expected messages beside tests/bad_configs/*.toml. Read the difference before committing it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value as Json;
use tollgate::config::{self, Diagnostic, Settings};

fn load(text: &str, origin: &str) -> Result<(Settings, Vec<Diagnostic>), Vec<Diagnostic>> {
    let env = |name: &str| match name {
        "API_TOKEN" => Some("s3cret".to_owned()),
        "NONSENSE" => Some("many".to_owned()),
        "WORKERS" => Some("2".to_owned()),
        _ => None,
    };
    config::load(text, origin, &env)
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// The TOML files of a folder of this repository, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Compares with a file that this test can write.
fn check_generated(path: &Path, now: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, now).unwrap();
        return Ok(());
    }
    let before = fs::read_to_string(path).unwrap_or_default();
    if before == now {
        return Ok(());
    }
    Err(format!(
        "{} has drifted; UPDATE_DOCS=1 writes it anew.\n--- in the file\n{before}\n--- now\n{now}",
        path.display()
    ))
}

#[test]
fn every_file_under_config_loads_without_a_remark() {
    for path in files("config") {
        let text = fs::read_to_string(&path).unwrap();
        match load(&text, &name(&path)) {
            Ok((settings, warnings)) => {
                assert_eq!(lines(&warnings), "");
                assert!(!settings.listeners.is_empty() && !settings.routes.is_empty());
            }
            Err(all) => panic!("{}", lines(&all)),
        }
        assert!(text.contains("# try: curl"), "{} says how to try it", path.display());
    }
}

#[test]
fn every_bad_file_says_what_is_wrong() {
    let mut wrong = String::new();
    for path in files("tests/bad_configs") {
        let text = fs::read_to_string(&path).unwrap();
        let said = match load(&text, &name(&path)) {
            Ok((_, warnings)) => {
                assert!(!warnings.is_empty(), "{} is accepted", path.display());
                lines(&warnings)
            }
            Err(all) => lines(&all),
        };
        if let Err(difference) = check_generated(&path.with_extension("expected"), &said) {
            wrong.push_str(&difference);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIG.md");
    check_generated(&path, &config::reference()).unwrap();
}

/// Every key that the schema knows, as paths like `routes[].limits[].rate`.
fn keys_of_schema(schema: &Json, path: &str, keys: &mut BTreeSet<String>) {
    for word in ["anyOf", "oneOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            keys_of_schema(part, path, keys);
        }
    }
    if let Some(reference) = schema["$ref"].as_str() {
        keys.insert(format!("{path} -> {reference}"));
    }
    keys_of_schema_in(&schema["items"], &format!("{path}[]"), keys);
    keys_of_schema_in(&schema["additionalProperties"], &format!("{path}.*"), keys);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        keys.insert(path.clone());
        keys_of_schema(property, &path, keys);
    }
}

fn keys_of_schema_in(schema: &Json, path: &str, keys: &mut BTreeSet<String>) {
    if schema.is_object() {
        keys_of_schema(schema, path, keys);
    }
}

/// Replaces references by what they refer to.
fn resolved(schema: &Json, root: &Json) -> Json {
    match schema {
        Json::Object(object) => match object.get("$ref").and_then(Json::as_str) {
            Some(reference) => {
                let target = root.pointer(reference.trim_start_matches('#')).unwrap();
                resolved(target, root)
            }
            None => {
                let parts = object.iter().filter(|(key, _)| *key != "$defs");
                parts.map(|(key, part)| (key.clone(), resolved(part, root))).collect()
            }
        },
        Json::Array(items) => items.iter().map(|item| resolved(item, root)).collect(),
        other => other.clone(),
    }
}

/// Every key that a file sets. Names of the operator's choice count as `*`.
fn keys_of_file(
    value: &toml::Value,
    path: &str,
    known: &BTreeSet<String>,
    keys: &mut BTreeSet<String>,
) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let exact = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let any = format!("{path}.*");
                let path = if known.contains(&exact) { exact } else { any };
                keys.insert(path.clone());
                keys_of_file(value, &path, known, keys);
            }
        }
        toml::Value::Array(items) => {
            for item in items {
                keys_of_file(item, &format!("{path}[]"), known, keys);
            }
        }
        _ => {}
    }
}

#[test]
fn the_full_file_sets_every_key() {
    let root: Json = serde_json::from_str(&config::schema()).unwrap();
    let mut known = BTreeSet::new();
    keys_of_schema(&resolved(&root, &root), "", &mut known);
    assert!(known.contains("routes[].limits[].rate"), "{known:#?}");
    assert!(known.contains("upstreams.*.targets[].weight"), "{known:#?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/full.toml");
    let full: toml::Value = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut set = BTreeSet::new();
    keys_of_file(&full, "", &known, &mut set);
    let missing: Vec<&String> = known.difference(&set).collect();
    assert!(missing.is_empty(), "config/full.toml does not set {missing:#?}");
}

#[test]
fn the_environment_is_read_where_it_is_referred_to() {
    let text = r#"
        [server]
        workers = "${WORKERS}"
        watch = "${WATCH:-false}"
        [[listeners]]
        name = "web"
        listen = "127.0.0.1:${PORT:-8080}"
        [upstreams.app]
        targets = ["127.0.0.1:9001"]
        [[routes]]
        name = "all"
        path = "/*"
        upstream = "app"
        request_headers = { set = { authorization = "Bearer ${API_TOKEN}", x-raw = "$${{API_TOKEN}}" } }
    "#;
    let (settings, warnings) = load(text, "tollgate.toml").map_err(|all| lines(&all)).unwrap();
    assert_eq!(lines(&warnings), "");
    assert_eq!(settings.server.workers, Some(2));
    assert!(!settings.server.watch);
    assert_eq!(settings.listeners[0].listen, "127.0.0.1:8080".parse().unwrap());
    let set = &settings.routes[0].request_headers.set;
    assert_eq!(set[0], ("authorization".to_owned(), "Bearer s3cret".to_owned()));
    assert_eq!(set[1], ("x-raw".to_owned(), "${{API_TOKEN}}".to_owned()));
}

#[test]
fn a_secret_is_not_repeated_in_a_message() {
    let text = r#"
        [[listeners]]
        name = "web"
        listen = "127.0.0.1:8080"
        [upstreams.app]
        targets = ["127.0.0.1:9001"]
        [[routes]]
        name = "all"
        path = "/*"
        upstream = "app"
        request_headers = { set = { authorization = "${API_TOKEN}\n" } }
    "#;
    let said = lines(&load(text, "tollgate.toml").unwrap_err());
    assert!(said.contains("CR, LF or NUL") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_line_ends_with_cr_lf_too() {
    let text = fs::read_to_string(files("config").remove(0)).unwrap().replace('\n', "\r\n");
    assert!(load(&text, "crlf.toml").is_ok());
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let many = 50_000;
    let texts = [
        format!("a = {}", "[".repeat(many)),
        format!("a = {}", "{ a = ".repeat(many)),
        format!("{}b = 1", "a.".repeat(many)),
        format!("[a{}]\nx = 1", ".a".repeat(many)),
        format!("[[routes]]\nheaders{} = 1", ".a".repeat(many)),
    ];
    for text in texts {
        assert!(load(&text, "deep.toml").is_err());
    }
}

#[test]
fn very_many_mistakes_are_counted() {
    let text = "x = 1\n[[listeners]]\nname = \"a\"\nlisten = \"[::1]:80\"\n".to_owned()
        + &"[[routes]]\n".repeat(5000);
    let all = load(&text, "tollgate.toml").unwrap_err();
    assert_eq!(all.len(), tollgate::limits::CONFIG_MAX_DIAGNOSTICS + 1);
    assert!(all.last().unwrap().message.ends_with("more are not shown"));
}

/// Files to mutate: all good ones and all bad ones.
fn seeds() -> Vec<String> {
    let all = files("config").into_iter().chain(files("tests/bad_configs"));
    all.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Pieces of text that mean something to one of the readers.
const PIECES: [&str; 40] = [
    "=",
    "\"",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    ".",
    "\n",
    "\0",
    "é",
    "${",
    "${X}",
    "$${",
    ":-",
    "[[routes]]\n",
    "[upstreams.x]\n",
    "limits = [{}]\n",
    "path = \"/{a}/{a}\"\n",
    "*",
    "/",
    "%",
    "%2",
    "%2f",
    "-1",
    "99999999999999999999",
    "0x10",
    "1e9",
    "inf",
    "true",
    "2020-01-01",
    "\"1d\"",
    "\"0/s\"",
    "\"9/0s\"",
    "\"unix:\"",
    "(((((",
    "\\",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = load(&text, "random.toml");
    }

    #[test]
    fn no_mutated_file_panics(
        seed in any::<prop::sample::Index>(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..12),
            1..6,
        ),
    ) {
        let seeds = seeds();
        let mut text: Vec<char> = seed.get(&seeds).chars().collect();
        for (at, piece, cut) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.get(&PIECES).chars());
        }
        let text: String = text.into_iter().collect();
        match load(&text, "mutated.toml") {
            Ok((_, remarks)) | Err(remarks) => {
                let count = text.lines().count().max(1) + 1;
                for remark in &remarks {
                    prop_assert!((1..=count).contains(&remark.line), "{remark}");
                    prop_assert!(!remark.to_string().contains('\n'), "{remark}");
                }
            }
        }
    }

    #[test]
    fn no_value_panics(
        key in 0usize..24,
        value in "\"[ -!#-\\[\\]-~]{0,20}\"|-?[0-9]{1,20}|\\[\\]|\\{\\}|true",
    ) {
        let keys = [
            "host", "path", "path_regex", "methods", "headers", "query", "upstream", "redirect",
            "respond", "strip_prefix", "rewrite", "request_headers", "host_policy", "timeouts",
            "max_body", "limits", "max_concurrent", "redirect.to", "redirect.status",
            "timeouts.total", "query.q", "query.q.regex", "headers.h.prefix", "respond.status",
        ];
        let text = format!("[[routes]]\nname = \"x\"\n{} = {value}\n", keys[key]);
        let _ = load(&text, "value.toml");
    }
}
