//! What is said about a file: where, which key, what is wrong, what to write instead.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::trail::Trail;
use crate::limits::CONFIG_MAX_DIAGNOSTICS;

/// Whether a file with this diagnostic may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file works, but hardly as it was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One remark on a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file's name, as the caller of `load` gave it.
    pub origin: Arc<str>,
    /// Line, from 1; 0: of the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Dotted path of the key, like `routes[2].limits[0].rate`; empty: the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead; empty where nothing is sure to help.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, origin, line, column, key, message, help } = self;
        match line {
            0 => write!(f, "{origin}: {severity}: ")?,
            line => write!(f, "{origin}:{line}:{column}: {severity}: ")?,
        }
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        f.write_str(message)?;
        if help.is_empty() { Ok(()) } else { write!(f, " ({help})") }
    }
}

impl Diagnostic {
    /// An error of a file that can't be read.
    pub fn of_file(origin: &str, message: String, help: &str) -> Self {
        Self {
            severity: Severity::Error,
            origin: origin.into(),
            line: 0,
            column: 0,
            key: String::new(),
            message,
            help: help.to_owned(),
        }
    }

    /// An error of a file whose text is UTF-8 only as far as `good`.
    pub fn not_utf8(origin: &str, text: &[u8], good: usize) -> Self {
        let before = text.get(..good).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let in_line = before.get(line_start..).unwrap_or_default();
        let column = String::from_utf8_lossy(in_line).chars().count() + 1;
        let byte = text.get(good).copied().unwrap_or_default();
        let message = format!("this is not UTF-8: 0x{byte:02x} at byte {good} of the file");
        Self { line, column, ..Self::of_file(origin, message, "save the file as UTF-8") }
    }
}

/// Collects diagnostics while a file is checked.
pub(super) struct Report<'t> {
    text: &'t str,
    origin: Arc<str>,
    line_starts: Vec<usize>,
    found: Vec<(usize, Diagnostic)>,
    errors: usize,
    /// Lines that could not be read: nothing more is said about them.
    broken_lines: BTreeSet<usize>,
    /// More were found than are kept.
    left_out: usize,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, origin: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self {
            text,
            origin: origin.into(),
            line_starts,
            found: Vec::new(),
            errors: 0,
            broken_lines: BTreeSet::new(),
            left_out: 0,
        }
    }

    /// An error that leaves a line unread.
    pub(super) fn syntax_error(&mut self, trail: &Trail<'_>, message: String, help: String) {
        self.error(trail, message, help);
        self.broken_lines.insert(self.line(trail.at()));
    }

    pub(super) fn error(
        &mut self,
        trail: &Trail<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.errors += 1;
        self.push(Severity::Error, trail.at(), trail, message.into(), help.into());
    }

    pub(super) fn warning(
        &mut self,
        trail: &Trail<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, trail.at(), trail, message.into(), help.into());
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether further diagnostics would only be counted: costly advice can be left out.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= CONFIG_MAX_DIAGNOSTICS
    }

    /// Line (from 1) of a byte offset.
    pub(super) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    fn push(
        &mut self,
        severity: Severity,
        at: usize,
        trail: &Trail<'_>,
        message: String,
        help: String,
    ) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let line = self.line(at);
        if self.broken_lines.contains(&line) {
            return;
        }
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = 1 + self.text.get(start..at).map_or(0, |before| before.chars().count());
        let (origin, key) = (self.origin.clone(), trail.path());
        self.found.push((at, Diagnostic { severity, origin, line, column, key, message, help }));
    }

    /// All diagnostics in the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(at, diagnostic)| (*at, diagnostic.severity));
        let mut all: Vec<_> = self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        if self.left_out > 0 {
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            let message = format!("{} more are not shown", self.left_out);
            let help = "mend these first".to_owned();
            let (origin, line) = (self.origin, self.line_starts.len());
            let key = String::new();
            all.push(Diagnostic { severity, origin, line, column: 1, key, message, help });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_is_told_with_its_place() {
        let text = [b"[server]\nname = \"caf".as_slice(), b"\xe9\"\n"].concat();
        let good = std::str::from_utf8(&text).unwrap_err().valid_up_to();
        let told = Diagnostic::not_utf8("a.toml", &text, good).to_string();
        let place = "a.toml:2:12: error: this is not UTF-8: 0xe9 at byte 20 of the file";
        assert_eq!(told, format!("{place} (save the file as UTF-8)"));
    }
}
