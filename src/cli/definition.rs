//! Definitions of products and plans, from files.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use crate::limits::ADMIN_BODY_MAX;

/// A file with a definition.
#[derive(Args, Debug)]
pub(super) struct File {
    /// JSON, or TOML where its name ends with .toml; `-`: JSON from standard input.
    #[arg(short, long = "file", value_name = "FILE")]
    file: PathBuf,
}

impl File {
    /// What it says.
    ///
    /// # Errors
    /// Where it can't be read.
    pub(super) fn value(&self) -> Result<Value, Failure> {
        let text = text(&self.file)?;
        let wrong =
            |why: &dyn std::fmt::Display| Failure::Local(format!("{}: {why}", self.file.display()));
        match self.file.extension().is_some_and(|ending| ending == "toml") {
            true => toml::from_str(&text).map_err(|why| wrong(&why)),
            false => serde_json::from_str(&text).map_err(|why| wrong(&why)),
        }
    }
}

/// A file's text, or standard input's.
///
/// # Errors
/// Where it can't be read, or is larger than any that may be sent.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::Local(format!("{}: {why}", path.display()));
    let mut text = String::new();
    let limit = ADMIN_BODY_MAX as u64 + 1;
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(limit).read_to_string(&mut text),
        false => {
            std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
        }
    };
    read.map_err(|why| wrong(&why))?;
    match text.len() as u64 == limit {
        true => Err(wrong(&format!("it has more than {ADMIN_BODY_MAX} bytes"))),
        false => Ok(text),
    }
}
