//! What people see of questions about who calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::limits::SERVICE_FAILURES_TOLD;
use crate::policy::auth::Service;
use crate::stats::WorkerStats;

/// Counts since the start.
#[derive(Default)]
pub struct Told {
    /// Of passwords.
    pub passwords: Asked,
    /// Of services, by name.
    services: Mutex<Services>,
}

type Services = BTreeMap<Arc<str>, (Arc<Service>, Arc<Asked>)>;

impl Told {
    fn services(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All counts, by what is asked about; with how often these workers remembered.
    pub fn all(&self, workers: &[Arc<WorkerStats>]) -> Vec<(String, Counts)> {
        let remembered = workers.iter().map(|worker| worker.passwords_remembered.value()).sum();
        let mut all = vec![("password".to_owned(), self.passwords.counts(remembered))];
        let services = self.services();
        all.extend(services.iter().map(|(name, (service, asked))| {
            (name.to_string(), asked.counts(service.remembered()))
        }));
        all
    }

    /// Counts for these services and no others.
    pub(super) fn keep(&self, services: impl Iterator<Item = Arc<Service>>) {
        let mut told = self.services();
        let mut before = std::mem::take(&mut *told);
        for service in services {
            let asked = before.remove(&service.name).map(|(_, asked)| asked).unwrap_or_default();
            told.insert(service.name.clone(), (service, asked));
        }
    }

    /// The counts of a service; those of one that is gone are seen by nobody.
    pub(super) fn of(&self, service: &Service) -> Arc<Asked> {
        self.services().get(&service.name).map(|(_, asked)| asked.clone()).unwrap_or_default()
    }
}

/// Counts of one kind of questions.
#[derive(Debug, Default)]
pub struct Asked {
    asked: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    overloaded: AtomicU64,
    joined: AtomicU64,
    /// When the log was last told of a failure, and how many it was not told of since.
    failures: Mutex<(Option<Instant>, u64)>,
}

/// The same, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions that were asked; those for the same answer at the same time are one.
    pub asked: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were not, or not so that it could be understood.
    pub failed: u64,
    /// Requests that were refused because too many asked.
    pub overloaded: u64,
    /// Requests that waited for the answer to a question that was asked already.
    pub joined: u64,
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

    pub(super) fn joined(&self) {
        self.joined.fetch_add(1, Relaxed);
    }

    /// Counts a failure, and tells the log, unless it heard of another a moment ago.
    pub(super) fn failed(&self, service: &str, why: &str) {
        self.failed.fetch_add(1, Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.0.is_some_and(|last| last.elapsed() < SERVICE_FAILURES_TOLD) {
            failures.1 += 1;
            return;
        }
        let untold = std::mem::replace(&mut *failures, (Some(Instant::now()), 0)).1;
        tracing::warn!(service, untold, "a service that is asked fails: {why}");
    }

    fn counts(&self, remembered: u64) -> Counts {
        Counts {
            asked: self.asked.load(Relaxed),
            answered: self.answered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            overloaded: self.overloaded.load(Relaxed),
            joined: self.joined.load(Relaxed),
            remembered,
        }
    }
}
