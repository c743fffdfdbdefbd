//! What people see of questions about who calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::stats::WorkerStats;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Told {
    /// Of passwords.
    pub passwords: Asked,
}

impl Told {
    /// All counts, by what is asked about; with how often these workers remembered.
    pub fn all(&self, workers: &[Arc<WorkerStats>]) -> Vec<(String, Counts)> {
        let remembered = workers.iter().map(|worker| worker.passwords_remembered.value()).sum();
        vec![("password".to_owned(), self.passwords.counts(remembered))]
    }
}

/// Counts of one kind of questions.
#[derive(Debug, Default)]
pub struct Asked {
    asked: AtomicU64,
    answered: AtomicU64,
    overloaded: AtomicU64,
}

/// The same, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions that were asked; those for the same answer at the same time are one.
    pub asked: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Requests that were refused because too many asked.
    pub overloaded: u64,
    /// Requests whose answer a worker remembered.
    pub remembered: u64,
}

impl Asked {
    pub(super) fn asked(&self) {
        self.asked.fetch_add(1, Relaxed);
    }

    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub(super) fn overloaded(&self) {
        self.overloaded.fetch_add(1, Relaxed);
    }

    fn counts(&self, remembered: u64) -> Counts {
        Counts {
            asked: self.asked.load(Relaxed),
            answered: self.answered.load(Relaxed),
            overloaded: self.overloaded.load(Relaxed),
            remembered,
        }
    }
}
