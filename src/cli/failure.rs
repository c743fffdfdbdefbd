//! Why a command was not done, and what its process ends with.

use std::fmt;

use serde_json::Value;

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// The command makes no sense.
    Usage(String),
    /// The gateway can't be asked.
    Unreachable(String),
    /// The gateway refuses.
    Refused {
        /// Status of its answer.
        status: u16,
        /// Problem details.
        problem: Value,
    },
    /// A file, or the store, is in the way.
    Local(String),
}

impl Failure {
    /// The process's status.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Local(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, problem) = match self {
            Self::Usage(why) | Self::Unreachable(why) | Self::Local(why) => {
                return f.write_str(why);
            }
            Self::Refused { status, problem } => (status, problem),
        };
        let text = |name: &str| problem[name].as_str().unwrap_or_default();
        write!(f, "{}: {} ({status})", text("title"), text("detail"))?;
        for error in problem["errors"].as_array().into_iter().flatten() {
            let part = |name: &str| error[name].as_str().unwrap_or_default();
            write!(f, "\n  at {}: {}", part("pointer"), part("detail"))?;
        }
        Ok(())
    }
}
