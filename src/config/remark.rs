//! What others have to say about a file's values: they know what stands behind them, this room
//! knows where they stand.

use std::fmt;

use super::diagnostic::{Report, Severity};
use super::document::Place;

/// A step on the way from the top of the file to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key.
    Key(&'static str),
    /// To what the file itself has named.
    Name(String),
    /// To an element, as the settings count them.
    Item(usize),
}

impl From<&'static str> for Step {
    fn from(key: &'static str) -> Self {
        Self::Key(key)
    }
}

impl From<&String> for Step {
    fn from(name: &String) -> Self {
        Self::Name(name.clone())
    }
}

impl From<usize> for Step {
    fn from(position: usize) -> Self {
        Self::Item(position)
    }
}

/// The way as a JSON pointer (RFC 6901), for those who were sent JSON.
pub fn pointer(steps: &[Step]) -> String {
    let escaped = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let token = |step: &Step| match step {
        Step::Key(key) => escaped(key),
        Step::Name(name) => escaped(name),
        Step::Item(position) => format!("/{position}"),
    };
    steps.iter().map(token).collect()
}

/// Something to be said about a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whether the file may be used.
    pub severity: Severity,
    /// Where the value is; where it is not written, the table it would stand in is shown.
    pub at: Vec<Step>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty where nothing is sure to help.
    pub help: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", pointer(&self.at), self.message)
    }
}

impl Remark {
    pub(super) fn tell(self, top: &Place<'_>, report: &mut Report<'_>) {
        let Self { severity, at, message, help } = self;
        walk(top, &at, &mut |place| match severity {
            Severity::Error => report.error(&place.trail, message.clone(), help.clone()),
            Severity::Warning => report.warning(&place.trail, message.clone(), help.clone()),
        });
    }
}

/// Places live on the stack: the last of them is only there within the call.
fn walk(place: &Place<'_>, steps: &[Step], then: &mut dyn FnMut(&Place<'_>)) {
    match steps {
        [] => then(place),
        [Step::Key(key), rest @ ..] => walk(&place.key(key), rest, then),
        [Step::Name(name), rest @ ..] => walk(&place.key(name), rest, then),
        [Step::Item(position), rest @ ..] => walk(&place.item(*position), rest, then),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_as_a_pointer() {
        assert_eq!(pointer(&[]), "");
        let plan = "gold/~2".to_owned();
        let steps = ["plans".into(), Step::from(&plan), "limits".into(), 3.into(), "rate".into()];
        assert_eq!(pointer(&steps), "/plans/gold~1~02/limits/3/rate");
    }
}
