//! The configuration's text: read, checked, and kept to be shown.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::config::{self, Diagnostic, Settings};
use crate::limits::CONFIG_FILE_MAX;

/// A configuration without mistakes.
pub struct Source {
    /// What it means.
    pub settings: Settings,
    /// What is doubtful about it.
    pub warnings: Vec<String>,
    /// As written: references to the environment, where secrets are, stand as references.
    pub text: String,
}

impl Source {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every mistake, each with its place and what to write instead.
    pub fn read(file: &Path) -> Result<Self, Vec<String>> {
        let origin = file.display().to_string();
        let unreadable = |e| vec![format!("{origin}: {e}")];
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        if size > CONFIG_FILE_MAX {
            return Err(vec![format!("{origin}: the file is larger than {CONFIG_FILE_MAX} bytes")]);
        }
        Self::check(std::fs::read_to_string(file).map_err(unreadable)?, &origin)
    }

    /// Checks a text; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn check(text: String, origin: &str) -> Result<Self, Vec<String>> {
        match config::load(&text, origin, &|name| std::env::var(name).ok()) {
            Ok((settings, warnings)) => Ok(Self { settings, warnings: lines(&warnings), text }),
            Err(mistakes) => Err(lines(&mistakes)),
        }
    }

    /// A short number that changes with the text.
    pub fn hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}
