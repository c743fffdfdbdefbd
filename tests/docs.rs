//! The documents against the repository: every link leads somewhere, every file they name is there,
//! and every test that docs/THREATS.md cites exists.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Markdown file for people.
fn documents() -> Vec<(PathBuf, String)> {
    let folders = ["", "docs", "loadtest", "tests/fuzz"];
    let files = folders.iter().flat_map(|folder| {
        fs::read_dir(root().join(folder)).expect("a folder").map(|entry| entry.expect("one").path())
    });
    let found: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).expect("text")))
        .collect();
    assert!(found.len() > 5, "{found:?}");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The parts of a text between two marks.
fn between<'t>(text: &'t str, open: &'t str, close: char) -> impl Iterator<Item = &'t str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

/// What stands between backquotes on each line outside fenced blocks.
fn quoted(text: &str) -> Vec<&str> {
    text.split("```")
        .step_by(2)
        .flat_map(str::lines)
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for (file, text) in documents() {
        for link in between(&text, "](", ')').filter(|link| !link.contains("://")) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.parent().expect("a folder").join(path),
            };
            let there = match fragment {
                "" => target.exists(),
                fragment => fs::read_to_string(&target).is_ok_and(|text| {
                    text.lines().any(|line| line.starts_with('#') && anchor(line) == fragment)
                }),
            };
            if !there {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_that_is_named_is_there() {
    let folders = ["src/", "tests/", "docs/", "config/", "benches/", "loadtest/", ".ci/"];
    let mut missing = Vec::new();
    for (file, text) in documents() {
        let names = quoted(&text).into_iter().filter_map(|words| words.split(' ').next());
        for name in names.filter(|name| folders.iter().any(|folder| name.starts_with(folder))) {
            let beside = file.parent().expect("a folder").join(name);
            if !root().join(name).exists() && !beside.exists() {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_that_is_cited_exists() {
    let text = fs::read_to_string(root().join("docs/THREATS.md")).expect("a document");
    let (mut missing, mut cited) = (Vec::new(), 0);
    for line in text.lines().filter(|line| line.starts_with("**Tests** ")) {
        let mut source = String::new();
        for name in line.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                source = fs::read_to_string(root().join(name)).unwrap_or_default();
                continue;
            }
            cited += 1;
            let defined = [format!("fn {name}("), format!(" {name}:"), format!(" {name}: [")];
            if !defined.iter().any(|form| source.contains(form)) {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(cited > 100, "only {cited}");
}
