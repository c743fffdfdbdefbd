//! What there is to say about a product, with the way to what it is said about.

use crate::config::check::words::Refusal;
use crate::config::diagnostic::Severity;
use crate::config::remark::{Remark, Step};
use crate::config::suggest;
use crate::limits::CONFIG_MAX_DIAGNOSTICS;

/// Collects remarks on the way through a product.
#[derive(Default)]
pub(super) struct Notes {
    at: Vec<Step>,
    found: Vec<Remark>,
    errors: usize,
}

impl Notes {
    /// What is said meanwhile is said about a part.
    pub(super) fn within(&mut self, step: impl Into<Step>, say: impl FnOnce(&mut Self)) {
        self.at.push(step.into());
        say(self);
        self.at.pop();
    }

    /// Says that a part is wrong.
    pub(super) fn error(
        &mut self,
        step: impl Into<Step>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.within(step, |notes| notes.say(Severity::Error, message.into(), help.into()));
    }

    /// Says that a part is hardly what was meant.
    pub(super) fn warning(
        &mut self,
        step: impl Into<Step>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.within(step, |notes| notes.say(Severity::Warning, message.into(), help.into()));
    }

    /// Says why a part is refused, where it is.
    pub(super) fn refuse(&mut self, step: impl Into<Step>, refusal: Option<Refusal>) {
        if let Some((message, help)) = refusal {
            self.error(step, message, help);
        }
    }

    /// Says that a part is named what is not there.
    pub(super) fn unknown<'n>(
        &mut self,
        step: impl Into<Step>,
        kind: &str,
        name: &str,
        known: impl Iterator<Item = &'n str>,
    ) {
        // Advice costs a look at each name: not for remarks that nobody will read.
        let near = if self.is_full() { None } else { suggest::nearest(name, known) };
        let help = near.map(|near| format!("write {near:?}")).unwrap_or_default();
        self.error(step, format!("there is no {kind} {name:?}"), help);
    }

    /// Says that there are more of something than can be dealt with.
    pub(super) fn at_most(&mut self, step: &'static str, count: usize, most: usize, what: &str) {
        if count > most {
            let message = format!("{count} {what} are too many");
            self.error(step, message, format!("write at most {most}"));
        }
    }

    pub(super) fn into_remarks(self) -> Vec<Remark> {
        self.found
    }

    fn is_full(&self) -> bool {
        self.found.len() >= CONFIG_MAX_DIAGNOSTICS
    }

    /// However much there is to say: what was wrong once must not pass for right.
    fn say(&mut self, severity: Severity, message: String, help: String) {
        let first_error = severity == Severity::Error && self.errors == 0;
        self.errors += usize::from(severity == Severity::Error);
        if !self.is_full() || first_error {
            self.found.push(Remark { severity, at: self.at.clone(), message, help });
        }
    }
}
