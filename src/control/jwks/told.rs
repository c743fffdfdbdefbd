//! What people see of issuers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// How things stand with each issuer. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<BTreeMap<String, IssuerTold>>>);

/// How things stand with one issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerTold {
    /// Keys in force.
    pub keys: usize,
    /// When it last answered well, seconds since 1970.
    pub fetched_at: Option<u64>,
    /// Good answers since the start.
    pub fetched: u64,
    /// Failures since the start.
    pub failed: u64,
    /// Failures in a row.
    pub failures: u32,
    /// What went wrong last; `None`: nothing since the last good answer.
    pub last_error: Option<String>,
}

impl Told {
    fn issuers(&self) -> MutexGuard<'_, BTreeMap<String, IssuerTold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All issuers, by the name of their `[jwt.NAME]`.
    pub fn all(&self) -> Vec<(String, IssuerTold)> {
        self.issuers().iter().map(|(name, told)| (name.clone(), told.clone())).collect()
    }

    /// Keeps these and no others.
    pub(super) fn keep<'a>(&self, names: impl Iterator<Item = &'a String>) {
        let mut told = self.issuers();
        let mut before = std::mem::take(&mut *told);
        *told = names.map(|name| (name.clone(), before.remove(name).unwrap_or_default())).collect();
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut IssuerTold)) {
        if let Some(told) = self.issuers().get_mut(name) {
            change(told);
        }
    }

    pub(super) fn keys(&self, name: &str, keys: usize) {
        self.change(name, |told| told.keys = keys);
    }

    pub(super) fn came(&self, name: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.change(name, |told| {
            told.fetched += 1;
            told.fetched_at = Some(now.as_secs());
            told.failures = 0;
            told.last_error = None;
        });
    }

    pub(super) fn failed(&self, name: &str, why: &str) {
        self.change(name, |told| {
            told.failed += 1;
            told.failures += 1;
            told.last_error = Some(why.to_owned());
        });
    }
}
