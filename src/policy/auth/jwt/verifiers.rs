//! The verifiers of a configuration.

use std::sync::Arc;

use super::verifier::Verifier;

/// All verifiers, sorted by name. Indices hold as long as the configuration does.
#[derive(Default, Clone)]
pub struct Verifiers(Vec<Arc<Verifier>>);

impl Verifiers {
    /// These.
    pub fn new(mut all: Vec<Arc<Verifier>>) -> Self {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Self(all)
    }

    /// The index of a name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|one| (*one.name).cmp(name)).ok()
    }

    /// The verifier at an index.
    pub fn at(&self, index: usize) -> Option<&Arc<Verifier>> {
        self.0.get(index)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Verifier>> {
        self.0.iter()
    }
}
