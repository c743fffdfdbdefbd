//! The configuration room, from outside: files that must load, files that must not, and what is
//! said about them.

use tollgate::config::{self, Diagnostic, Settings};

fn load(text: &str, origin: &str) -> Result<(Settings, Vec<Diagnostic>), Vec<Diagnostic>> {
    let env = |name: &str| match name {
        "API_TOKEN" => Some("s3cret".to_owned()),
        "WORKERS" => Some("2".to_owned()),
        _ => None,
    };
    config::load(text, origin, &env)
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

#[test]
fn first_file_loads() {
    let text = std::fs::read_to_string("config/first.toml").unwrap();
    match load(&text, "first.toml") {
        Ok((settings, warnings)) => {
            assert_eq!(lines(&warnings), "");
            println!("{settings:#?}");
        }
        Err(all) => panic!("{}", lines(&all)),
    }
}
