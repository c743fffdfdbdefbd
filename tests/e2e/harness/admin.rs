//! The stats page, read by meaning, so that its layout is known in one place.

use serde_json::Value;

/// `/stats` at one moment.
#[derive(Debug, Clone)]
pub struct Stats(pub Value);

impl Stats {
    /// From the page's bytes.
    #[track_caller]
    pub fn parse(page: &[u8]) -> Self {
        Self(serde_json::from_slice(page).expect("JSON"))
    }

    /// A number by its JSON pointer; fails if there is none.
    #[track_caller]
    pub fn number(&self, pointer: &str) -> u64 {
        self.0
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no number at {pointer}:\n{:#}", self.0))
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u64 {
        self.number("/in_flight")
    }

    /// Client connections open now.
    pub fn connections(&self) -> u64 {
        self.number("/connections")
    }
}
