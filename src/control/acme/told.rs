//! What people see of certificates that are looked after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::{Failure, Kind};

/// How things stand, by name. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<BTreeMap<String, NameTold>>>);

/// How things stand with one name. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameTold {
    /// When its certificate ends; `None`: it has none.
    pub not_after: Option<i64>,
    /// When a new one is to be asked for.
    pub renew_at: Option<i64>,
    /// Failures in a row.
    pub failures: u32,
    /// What went wrong last, and in words; `None`: nothing since the last success.
    pub last_error: Option<(Kind, String)>,
    /// Certificates that were got since the start.
    pub obtained: u64,
    /// Tries that failed since the start.
    pub failed: u64,
}

impl NameTold {
    /// Its state in a word.
    pub fn state(&self) -> &'static str {
        match (self.failures, self.not_after) {
            (1.., _) => "failing",
            (0, Some(_)) => "valid",
            (0, None) => "pending",
        }
    }
}

impl Told {
    fn names(&self) -> MutexGuard<'_, BTreeMap<String, NameTold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All names, in alphabetical order.
    pub fn all(&self) -> Vec<(String, NameTold)> {
        self.names().iter().map(|(name, told)| (name.clone(), told.clone())).collect()
    }

    /// Keeps these names and no others; new ones are pending.
    pub(super) fn keep<'a>(&self, names: impl Iterator<Item = &'a String>) {
        let mut told = self.names();
        let mut before = std::mem::take(&mut *told);
        *told = names.map(|name| (name.clone(), before.remove(name).unwrap_or_default())).collect();
    }

    /// A name's certificate, and when the next is asked for.
    pub(super) fn has(&self, name: &str, not_after: i64, renew_at: i64) {
        if let Some(told) = self.names().get_mut(name) {
            told.not_after = Some(not_after);
            told.renew_at = Some(renew_at);
        }
    }

    /// Failures in a row.
    pub(super) fn failures(&self, name: &str) -> u32 {
        self.names().get(name).map_or(0, |told| told.failures)
    }

    /// A certificate came.
    pub(super) fn obtained(&self, name: &str) {
        if let Some(told) = self.names().get_mut(name) {
            told.obtained += 1;
            told.failures = 0;
            told.last_error = None;
        }
    }

    /// None came; tells how often in a row.
    pub(super) fn failed(&self, name: &str, failure: &Failure) -> u32 {
        let mut names = self.names();
        let Some(told) = names.get_mut(name) else { return 1 };
        told.failed += 1;
        told.failures = told.failures.saturating_add(1);
        told.last_error = Some((failure.kind, failure.why.clone()));
        told.failures
    }
}
