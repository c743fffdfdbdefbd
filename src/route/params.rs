//! Where a path's parameters lie.

use crate::http::Span;
use crate::limits::MAX_PATH_PARAMETERS;

/// The parameters of the route found, in the order of [`super::Table::parameter_names`]; spans
/// are relative to the path. Reused from request to request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    spans: [Span; MAX_PATH_PARAMETERS],
    len: u8,
}

impl Params {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The span of one, relative to the path.
    pub fn span(&self, ix: usize) -> Option<Span> {
        self.spans[..self.len()].get(ix).copied()
    }

    /// The value of one in the path that was looked up; empty where there is no such parameter
    /// (or the path is another, shorter one).
    pub fn value<'p>(&self, ix: usize, path: &'p [u8]) -> &'p [u8] {
        let span = self.span(ix).unwrap_or_default();
        path.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds one, by its offsets; tables are built so that there is room.
    pub(super) fn push(&mut self, start: usize, end: usize) {
        debug_assert!(self.len() < MAX_PATH_PARAMETERS);
        if let Some(place) = self.spans.get_mut(usize::from(self.len)) {
            *place = Span::new(start, end);
            self.len += 1;
        }
    }
}
