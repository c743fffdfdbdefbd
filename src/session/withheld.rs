//! Which of a client's trailers stay here.

use crate::policy::auth::Told;
use crate::policy::transform::Edits;

/// Names of trailers that stay here: those by which upstreams are told of callers, and those that the route
/// has the say on.
#[derive(Clone, Copy)]
pub(super) struct Withheld<'a> {
    pub(super) told: Told<'a>,
    pub(super) edits: Option<&'a Edits>,
}

impl Withheld<'_> {
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.told.withholds(name) || self.edits.is_some_and(|edits| edits.removes_name(name))
    }
}
