//! Where a listener's connections go that are passed on unread.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::ServerName;
use crate::policy::Concurrency;

/// One entry: an upstream, and what holds for the connections that are passed on to it.
pub struct ForwardTo {
    /// Index into [`Snapshot::groups`](super::Snapshot::groups).
    pub group: usize,
    /// Nanoseconds that both directions together may be silent.
    pub silence_ns: u64,
    /// Nanoseconds that a connection may last; `u64::MAX`: no bound.
    pub total_ns: u64,
    /// How many may be open.
    pub concurrency: Concurrency,
}

/// A listener's entries by the server's name that a client asks for.
#[derive(Default)]
pub struct Forwards {
    exact: HashMap<Box<str>, Arc<ForwardTo>>,
    /// By the part behind the star, with its dot.
    below: HashMap<Box<str>, Arc<ForwardTo>>,
    rest: Option<Arc<ForwardTo>>,
}

impl Forwards {
    /// Adds an entry; without names it is for all that no other is for.
    pub fn add(&mut self, names: &[ServerName], to: ForwardTo) {
        let to = Arc::new(to);
        for name in names {
            match name {
                ServerName::Exact(name) => self.exact.insert(name.as_str().into(), to.clone()),
                ServerName::Below(end) => self.below.insert(end.as_str().into(), to.clone()),
            };
        }
        if names.is_empty() {
            self.rest = Some(to);
        }
    }

    /// Whether the name that a client asks for makes a difference.
    pub fn asks_for_names(&self) -> bool {
        !self.exact.is_empty() || !self.below.is_empty()
    }

    /// The entry for a name (in lower case): the exact one, else the longest wildcard, else the one
    /// for the rest, which alone is for connections without a name.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<ForwardTo>> {
        let named = name.and_then(|name| self.exact.get(name).or_else(|| self.above(name)));
        named.or(self.rest.as_ref())
    }

    fn above(&self, name: &str) -> Option<&Arc<ForwardTo>> {
        if self.below.is_empty() {
            return None;
        }
        name.match_indices('.').find_map(|(dot, _)| self.below.get(&name[dot..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwards(entries: &[&[&str]]) -> Forwards {
        let mut forwards = Forwards::default();
        for (group, names) in entries.iter().enumerate() {
            let name = |name: &&str| match name.strip_prefix('*') {
                Some(end) => ServerName::Below(end.to_owned()),
                None => ServerName::Exact((*name).to_owned()),
            };
            let names: Vec<ServerName> = names.iter().map(name).collect();
            let concurrency = Concurrency { scope: 0, max: None, max_per_client: None };
            forwards.add(&names, ForwardTo { group, silence_ns: 1, total_ns: 1, concurrency });
        }
        forwards
    }

    #[test]
    fn exact_names_come_before_the_longest_wildcard_and_that_before_the_rest() {
        let all = forwards(&[&["a.example", "*.example"], &["*.b.example"], &[], &["c.b.example"]]);
        let group = |name| all.find(name).map(|to| to.group);
        assert_eq!(group(Some("a.example")), Some(0));
        assert_eq!(group(Some("x.y.example")), Some(0));
        assert_eq!(group(Some("x.b.example")), Some(1));
        assert_eq!(group(Some("c.b.example")), Some(3));
        assert_eq!(group(Some("b.example")), Some(0));
        for none in [Some("example"), Some("x.test"), Some(""), None] {
            assert_eq!(group(none), Some(2), "{none:?}");
        }
        assert!(all.asks_for_names());
    }

    #[test]
    fn without_an_entry_for_the_rest_there_may_be_none() {
        let named = forwards(&[&["a.example"]]);
        assert!(named.find(Some("b.example")).is_none());
        assert!(named.find(None).is_none());
        assert!(!forwards(&[&[]]).asks_for_names());
    }
}
