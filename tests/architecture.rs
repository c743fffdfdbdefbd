//! The house rules, checked on the source text: which room may import which, no module cycles,
//! where the runtime may be named, and a few habits that rot when nobody checks them.
//!
//! When a feature truly needs a new room or another order, change `FLOORS` in the same commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor, lowest first. A room imports only from floors below its own.
const FLOORS: &[&[&str]] = &[
    &["limits"],
    &["config"],
    &["http", "io", "stats"],
    &["multiplexed"],
    &["route"],
    &["policy"],
    &["accept", "upstream"],
    &["respond"],
    &["snapshot"],
    &["session"],
    &["worker"],
    &["store"],
    &["control"],
    &["cli"],
    &["main"],
];

/// Rooms that may name the runtime.
const RUNTIME_ROOMS: &[&str] = &["io", "worker"];

/// Rooms in which a panic would be one hostile message away.
const PANIC_FREE_ROOMS: &[&str] = &["http", "route", "policy", "config"];

/// Longest source file, lines.
const MAX_LINES: usize = 600;

const FORBIDDEN_MODULES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];

#[test]
fn imports_point_downward() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let Some(floor) = floor(file.room()) else { continue };
        for import in file.imports() {
            let room = import.path[0].as_str();
            if room == file.room() {
                continue;
            }
            if let Some(other) = self::floor(room)
                && other >= floor
            {
                wrong.push(format!(
                    "{}:{}: `{}` may not import `{room}`",
                    file.shown(),
                    import.line,
                    file.room()
                ));
            }
        }
    }
    report("imports that point up or sideways", wrong);
}

#[test]
fn every_file_belongs_to_a_room() {
    let homeless: Vec<String> = sources("src")
        .iter()
        .filter(|f| f.room() != "lib" && floor(f.room()).is_none())
        .map(|f| format!("{}: room `{}` is not in FLOORS", f.shown(), f.room()))
        .collect();
    report("files outside the house", homeless);
}

#[test]
fn files_in_a_room_do_not_import_each_other_in_circles() {
    let files = sources("src");
    let modules: BTreeMap<Vec<String>, usize> =
        files.iter().enumerate().map(|(i, f)| (f.module.clone(), i)).collect();
    let resolver = Resolver { files: &files, modules: &modules };
    let mut edges: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); files.len()];
    for (i, file) in files.iter().enumerate() {
        for import in file.imports().iter().filter(|m| !m.reexport) {
            if let Some(j) = resolver.file_of(&import.path, 0)
                && j != i
                && files[j].room() == file.room()
            {
                edges[i].insert(j);
            }
        }
    }
    let wrong = cycles(&edges)
        .into_iter()
        .map(|ring| ring.iter().map(|&i| files[i].shown()).collect::<Vec<_>>().join(" → "))
        .collect();
    report("module cycles", wrong);
}

#[test]
fn only_io_and_worker_know_the_runtime() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|f| !RUNTIME_ROOMS.contains(&f.room())) {
        for token in file.tokens().iter().filter(|t| t.text == "monoio") {
            wrong.push(format!("{}:{}", file.shown(), file.line_of(token.at)));
        }
    }
    report("monoio outside io/ and worker/", wrong);
}

#[test]
fn files_stay_short() {
    let wrong = sources("src")
        .iter()
        .map(|f| (f, f.raw.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(f, lines)| format!("{}: {lines} lines, at most {MAX_LINES}", f.shown()))
        .collect();
    report("files too long", wrong);
}

#[test]
fn pure_rooms_do_not_panic() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|f| PANIC_FREE_ROOMS.contains(&f.room())) {
        let shipped = file.shipped();
        for (n, line) in shipped.lines().enumerate() {
            let risky = [".unwrap()", ".expect(", "panic!(", "unreachable!("];
            let found = risky.iter().find(|r| line.contains(**r));
            let reasoned = file.raw.lines().nth(n).is_some_and(|raw| raw.contains("// "));
            if let Some(found) = found
                && !reasoned
            {
                wrong.push(format!("{}:{}: `{found}` without a `// reason`", file.shown(), n + 1));
            }
        }
    }
    report("possible panics in pure rooms", wrong);
}

#[test]
fn names_say_what_they_are() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().chain(&sources("tests")) {
        for module in &file.module {
            if FORBIDDEN_MODULES.contains(&module.as_str()) {
                wrong.push(format!("{}: a module called `{module}`", file.shown()));
            }
        }
        for pair in file.tokens().windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let bad_module = a.text == "mod" && FORBIDDEN_MODULES.contains(&b.text);
            if bad_module || (a.text == "fn" && b.text.starts_with("get_")) {
                let line = file.line_of(b.at);
                wrong.push(format!("{}:{line}: `{} {}`", file.shown(), a.text, b.text));
            }
        }
    }
    report("names that say nothing", wrong);
}

#[test]
fn no_test_sleeps() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().chain(&sources("tests")) {
        let in_tests = file.room() == "tests";
        let test_code = file.test_regions();
        for pair in file.tokens().windows(2) {
            let here = in_tests || test_code.iter().any(|r| r.contains(&pair[0].at));
            if here && pair[0].text == "sleep" && pair[1].text == "(" {
                wrong.push(format!("{}:{}", file.shown(), file.line_of(pair[0].at)));
            }
        }
    }
    report("sleeps in tests (wait for an event, with a deadline)", wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let macros = ["todo", "unimplemented"];
    let mut wrong = Vec::new();
    for file in sources("src") {
        for (n, line) in file.raw.lines().enumerate() {
            if let Some(word) = words.iter().find(|w| line.contains(**w)) {
                wrong.push(format!("{}:{}: {word}", file.shown(), n + 1));
            }
        }
        for pair in file.tokens().windows(2) {
            if macros.contains(&pair[0].text) && pair[1].text == "!" {
                wrong.push(format!(
                    "{}:{}: {}!",
                    file.shown(),
                    file.line_of(pair[0].at),
                    pair[0].text
                ));
            }
        }
    }
    report("things left for later", wrong);
}

#[test]
fn the_checker_sees_what_it_must() {
    let file = Source::new(
        PathBuf::from("src/route/host.rs"),
        "// crate::control in a comment\n\
         use crate::{config::Settings, http::{self, head::Span as S}};\n\
         use super::table::Table;\n\
         const A: &str = \"crate::worker\"; const B: char = '\"';\n\
         fn f<'a>(x: &'a u8) { crate::limits::MAX; r#\"crate::session\"#; }\n\
         #[cfg(test)]\nmod tests { use super::*; use super::super::Found; use crate::snapshot::X; }\n"
            .to_owned(),
    );
    let paths: Vec<String> = file.imports().iter().map(|i| i.path.join("::")).collect();
    assert_eq!(
        paths,
        [
            "config::Settings",
            "http",
            "http::head::Span",
            "route::table::Table",
            "limits::MAX",
            "route::host::*",
            "route::Found",
            "snapshot::X",
        ]
    );
    assert_eq!(file.test_regions().len(), 1);
    assert!(!file.shipped().contains("snapshot"));
    assert_eq!(cycles(&[[1].into(), [2].into(), [0].into(), [0].into()]), [vec![0, 1, 2, 0]]);
}

fn report(what: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Every Rust file under a folder of the repository (fuzz targets and build output left out).
fn sources(folder: &str) -> Vec<Source> {
    fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() && name != "target" && name != "fuzz" {
                walk(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no source under {folder}");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable source");
            Source::new(path.strip_prefix(root).expect("below the root").to_owned(), text)
        })
        .collect()
}

/// One source file: as written, and with comments and literals blanked out.
struct Source {
    path: PathBuf,
    /// Module path below the crate; `src/http/h1/mod.rs` is `[http, h1]`.
    module: Vec<String>,
    raw: String,
    code: String,
}

struct Token<'a> {
    at: usize,
    text: &'a str,
}

struct Import {
    line: usize,
    /// Absolute path below the crate.
    path: Vec<String>,
    /// `pub use` in the parent of what it names.
    reexport: bool,
}

impl Source {
    fn new(path: PathBuf, raw: String) -> Self {
        let mut module: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if module[0] == "src" {
            module.remove(0);
        }
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let code = blank_out(&raw);
        Self { path, module, raw, code }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn room(&self) -> &str {
        &self.module[0]
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.code)
    }

    /// Byte ranges of `#[cfg(test)]` items.
    fn test_regions(&self) -> Vec<std::ops::Range<usize>> {
        // A module called `tests` is declared for tests only, with all that is below it.
        if self.module.iter().any(|module| module == "tests") {
            return std::iter::once(0..self.code.len()).collect();
        }
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = self.code[from..].find("#[cfg(test)]").map(|i| i + from) {
            let end = item_end(&self.code, start + "#[cfg(test)]".len());
            found.push(start..end);
            from = end;
        }
        found
    }

    /// The code without its tests, line for line.
    fn shipped(&self) -> String {
        let mut bytes = self.code.clone().into_bytes();
        for region in self.test_regions() {
            for byte in bytes[region].iter_mut().filter(|b| **b != b'\n') {
                *byte = b' ';
            }
        }
        String::from_utf8(bytes).expect("blanked by characters")
    }

    /// Every path that begins with `crate::`, `self::` or `super::`, groups taken apart.
    fn imports(&self) -> Vec<Import> {
        let tokens = self.tokens();
        let mut found = Vec::new();
        let mut scopes: Vec<Option<String>> = Vec::new();
        let mut i = 0;
        while i < tokens.len() {
            match tokens[i].text {
                "{" => scopes.push(inline_module(&tokens, i)),
                "}" => {
                    scopes.pop();
                }
                "crate" | "super" | "self"
                    if text_at(&tokens, i + 1) == "::"
                        && text_at(&tokens, i.wrapping_sub(1)) != "::" =>
                {
                    let mut here = self.module.clone();
                    here.extend(scopes.iter().flatten().cloned());
                    let reexport =
                        i >= 2 && text_at(&tokens, i - 1) == "use" && reexports(&tokens, i - 2);
                    let line = self.line_of(tokens[i].at);
                    let mut paths = Vec::new();
                    i = use_tree(&tokens, i, &mut Vec::new(), &mut paths);
                    found.extend(
                        paths.iter().filter_map(|p| absolute(&here, p)).map(|path| Import {
                            line,
                            path,
                            reexport,
                        }),
                    );
                    continue;
                }
                // `use child::X` in a parent: a path relative to this module.
                "use" if !matches!(text_at(&tokens, i + 1), "crate" | "super" | "self" | "::") => {
                    let mut here = self.module.clone();
                    here.extend(scopes.iter().flatten().cloned());
                    let reexport = i >= 1 && reexports(&tokens, i - 1);
                    let line = self.line_of(tokens[i].at);
                    let mut paths = Vec::new();
                    let end = use_tree(&tokens, i + 1, &mut Vec::new(), &mut paths);
                    for path in paths {
                        if self.declares_module(&path[0]) {
                            let path = here.iter().cloned().chain(path).collect();
                            found.push(Import { line, path, reexport });
                        }
                    }
                    i = end.max(i + 1);
                    continue;
                }
                _ => {}
            }
            i += 1;
        }
        found
    }

    fn declares_module(&self, name: &str) -> bool {
        self.tokens()
            .windows(3)
            .any(|t| t[0].text == "mod" && t[1].text == name && t[2].text == ";")
    }

    fn declares_item(&self, name: &str) -> bool {
        const KINDS: &[&str] =
            &["struct", "enum", "fn", "trait", "const", "static", "type", "union", "macro_rules"];
        self.tokens().windows(2).any(|t| KINDS.contains(&t[0].text) && t[1].text == name)
    }
}

/// Finds the file that an absolute path's item stands in, following `pub use` in parents.
struct Resolver<'a> {
    files: &'a [Source],
    modules: &'a BTreeMap<Vec<String>, usize>,
}

impl Resolver<'_> {
    fn file_of(&self, path: &[String], depth: usize) -> Option<usize> {
        let (length, file) =
            (1..=path.len()).rev().find_map(|n| Some((n, *self.modules.get(&path[..n])?)))?;
        let Some(item) = path.get(length) else { return Some(file) };
        if depth > 4 || item == "*" || self.files[file].declares_item(item) {
            return Some(file);
        }
        for import in self.files[file].imports().iter().filter(|i| i.reexport) {
            let last = import.path.last()?;
            if last == item {
                return self.file_of(&import.path, depth + 1);
            }
            if last == "*" {
                let mut inner = import.path[..import.path.len() - 1].to_vec();
                inner.push(item.clone());
                let behind = self.file_of(&inner, depth + 1);
                if behind.is_some_and(|f| self.files[f].declares_item(item)) {
                    return behind;
                }
            }
        }
        Some(file)
    }
}

fn text_at<'a>(tokens: &[Token<'a>], i: usize) -> &'a str {
    tokens.get(i).map_or("", |t| t.text)
}

/// Whether the tokens up to `end` close with `pub` or `pub(…)`.
fn reexports(tokens: &[Token<'_>], end: usize) -> bool {
    let text = text_at(tokens, end);
    text == "pub"
        || (text == ")" && end >= 3 && tokens[end - 3..end].iter().any(|t| t.text == "pub"))
}

/// The name of the inline module that the brace at `i` opens.
fn inline_module(tokens: &[Token<'_>], i: usize) -> Option<String> {
    (i >= 2 && tokens[i - 2].text == "mod").then(|| tokens[i - 1].text.to_owned())
}

/// Takes a path or use tree apart from token `i`; returns the token after it.
fn use_tree(
    tokens: &[Token<'_>],
    mut i: usize,
    prefix: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let depth = prefix.len();
    loop {
        match text_at(tokens, i) {
            "{" => {
                i += 1;
                while !matches!(text_at(tokens, i), "}" | "") {
                    i = use_tree(tokens, i, prefix, paths);
                    if text_at(tokens, i) == "," {
                        i += 1;
                    }
                }
                prefix.truncate(depth);
                return i + 1;
            }
            // `{self, …}` names the module itself; a leading `self::` is a segment.
            "self" if !prefix.is_empty() => {}
            segment => prefix.push(segment.to_owned()),
        }
        i += 1;
        if text_at(tokens, i) != "::" || text_at(tokens, i + 1) == "<" {
            paths.push(prefix.clone());
            prefix.truncate(depth);
            if text_at(tokens, i) == "as" {
                i += 2;
            }
            return i;
        }
        i += 1;
    }
}

/// Resolves a leading `crate`, `self` or chain of `super` against the module it stands in.
fn absolute(here: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = here.to_vec();
    let mut rest = path;
    match path[0].as_str() {
        "crate" => {
            base.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        _ => {}
    }
    while let Some((first, more)) = rest.split_first().filter(|(first, _)| *first == "super") {
        debug_assert_eq!(first, "super");
        base.pop()?;
        rest = more;
    }
    base.extend_from_slice(rest);
    (!base.is_empty()).then_some(base)
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let word = |c: char| c == '_' || c.is_alphanumeric();
    let mut found = Vec::new();
    let mut rest = code.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let mut end = at + c.len_utf8();
        if word(c) {
            while let Some((i, c)) = rest.next_if(|(_, c)| word(*c)) {
                end = i + c.len_utf8();
            }
        } else if c == ':' && rest.next_if(|(_, c)| *c == ':').is_some() {
            end += 1;
        } else if c.is_whitespace() {
            continue;
        }
        found.push(Token { at, text: &code[at..end] });
    }
    found
}

/// One past the item that begins at `from`: its closing brace or semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (i, c) in code[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return from + i + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return from + i + 1,
            _ => {}
        }
    }
    code.len()
}

/// Comments, strings and character literals become spaces; line breaks stay.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut blank = |from: usize, to: usize| {
        for byte in out[from..to].iter_mut().filter(|b| **b != b'\n') {
            *byte = b' ';
        }
    };
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        i = match bytes[i] {
            b'/' if bytes[i..].starts_with(b"//") => line_end(bytes, i),
            b'/' if bytes[i..].starts_with(b"/*") => block_end(bytes, i),
            b'"' => string_end(bytes, i),
            b'r' if !follows_word(bytes, i) && raw_hashes(bytes, i).is_some() => raw_end(text, i),
            b'\'' => char_end(bytes, i),
            _ => {
                i += 1;
                continue;
            }
        };
        blank(start, i);
    }
    String::from_utf8(out).expect("only whole literals were blanked")
}

fn line_end(bytes: &[u8], i: usize) -> usize {
    bytes[i..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| i + n)
}

fn block_end(bytes: &[u8], mut i: usize) -> usize {
    let mut depth = 0;
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    i
}

fn string_end(bytes: &[u8], mut i: usize) -> usize {
    i += 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

fn follows_word(bytes: &[u8], i: usize) -> bool {
    // `br"…"` is a raw string too.
    i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_') && bytes[i - 1] != b'b'
}

fn raw_hashes(bytes: &[u8], i: usize) -> Option<usize> {
    let hashes = bytes[i + 1..].iter().take_while(|&&b| b == b'#').count();
    (bytes.get(i + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_end(text: &str, i: usize) -> usize {
    let hashes = raw_hashes(text.as_bytes(), i).unwrap_or(0);
    let body = i + hashes + 2;
    let close = format!("\"{}", "#".repeat(hashes));
    text[body..].find(&close).map_or(text.len(), |n| body + n + close.len())
}

fn char_end(bytes: &[u8], i: usize) -> usize {
    match bytes.get(i + 1) {
        Some(b'\\') => {
            let from = i + 3;
            bytes[from.min(bytes.len())..]
                .iter()
                .position(|&b| b == b'\'')
                .map_or(bytes.len(), |n| from + n + 1)
        }
        // A lifetime has no closing quote after one character.
        Some(first) => {
            let width = match first {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
            if bytes.get(i + 1 + width) == Some(&b'\'') { i + width + 2 } else { i + 1 }
        }
        None => i + 1,
    }
}

/// Each cycle once, as the ring of nodes from its smallest.
fn cycles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    (0..edges.len()).filter_map(|start| shortest_ring(edges, start)).collect()
}

/// The shortest way from `start` back to it over larger nodes only.
fn shortest_ring(edges: &[BTreeSet<usize>], start: usize) -> Option<Vec<usize>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.first().cloned() {
        ways.remove(0);
        for &next in &edges[*way.last()?] {
            let mut longer = way.clone();
            longer.push(next);
            if next == start {
                return Some(longer);
            }
            if next > start && seen.insert(next) {
                ways.push(longer);
            }
        }
    }
    None
}
