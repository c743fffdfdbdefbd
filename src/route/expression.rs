//! Regular expressions over whole values, bounded in size.

use std::collections::HashMap;

use regex::bytes::{Regex, RegexBuilder};

use super::error::BuildProblem;
use crate::limits::{MAX_PATTERN_LENGTH, MAX_REGEX_SIZE};

/// Compiles each distinct expression once; copies share the program.
#[derive(Default)]
pub(super) struct Expressions<'a> {
    compiled: HashMap<&'a str, Regex>,
}

impl<'a> Expressions<'a> {
    /// The expression, anchored at both ends.
    pub(super) fn compile(&mut self, text: &'a str) -> Result<Regex, BuildProblem> {
        if let Some(known) = self.compiled.get(text) {
            return Ok(known.clone());
        }
        let regex = compile(text)?;
        self.compiled.insert(text, regex.clone());
        Ok(regex)
    }
}

/// Bytes, not characters: `.` takes any byte, classes are ASCII, and a value need not be UTF-8.
pub(super) fn compile(text: &str) -> Result<Regex, BuildProblem> {
    if text.len() > MAX_PATTERN_LENGTH {
        return Err(BuildProblem::PathTooLong);
    }
    // Alone first: an unbalanced `a)|(?:b` would slip out of the anchors' group.
    builder(text)?;
    builder(&format!(r"\A(?:{text})\z"))
}

fn builder(text: &str) -> Result<Regex, BuildProblem> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(MAX_REGEX_SIZE)
        .dfa_size_limit(MAX_REGEX_SIZE)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => BuildProblem::RegexTooLarge,
            _ => BuildProblem::Regex,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_values_only() {
        let regex = compile("a|ab").unwrap();
        assert!(regex.is_match(b"ab"));
        assert!(!regex.is_match(b"abc"));
        assert!(!regex.is_match(b"xab"));
    }

    #[test]
    fn a_dot_takes_any_byte() {
        assert!(compile(".*").unwrap().is_match(b"\xff\n\x00"));
    }

    #[test]
    fn bad_ones_are_refused() {
        for text in ["(", "a)|(?:b", r"[z-a]"] {
            assert_eq!(compile(text).map(|_| ()), Err(BuildProblem::Regex), "{text}");
        }
        let large = compile(r"(?u)\w{900}").map(|_| ());
        assert_eq!(large, Err(BuildProblem::RegexTooLarge));
    }
}
