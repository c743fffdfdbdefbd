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
        number(&self.0, pointer)
    }

    /// Requests in flight.
    #[track_caller]
    pub fn in_flight(&self) -> u64 {
        self.number("/gateway/requests_in_flight")
    }

    /// Client connections open now.
    #[track_caller]
    pub fn connections(&self) -> u64 {
        self.number("/gateway/connections")
    }

    /// Generation of the configuration in force.
    #[track_caller]
    pub fn generation(&self) -> u64 {
        self.number("/config/generation")
    }

    /// A number of a listener.
    #[track_caller]
    pub fn listener(&self, name: &str, pointer: &str) -> u64 {
        number(named(&self.0["listeners"], "name", name), pointer)
    }

    /// A number of a route.
    #[track_caller]
    pub fn route(&self, name: &str, pointer: &str) -> u64 {
        number(named(&self.0["routes"], "name", name), pointer)
    }

    /// A number of an upstream.
    #[track_caller]
    pub fn upstream(&self, name: &str, pointer: &str) -> u64 {
        number(named(&self.0["upstreams"], "name", name), pointer)
    }

    /// A number of a target.
    #[track_caller]
    pub fn target(&self, upstream: &str, address: &str, pointer: &str) -> u64 {
        let targets = &named(&self.0["upstreams"], "name", upstream)["targets"];
        number(named(targets, "address", address), pointer)
    }
}

#[track_caller]
fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let mut all = list.as_array().into_iter().flatten();
    all.find(|v| v[key] == name).unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

#[track_caller]
fn number(value: &Value, pointer: &str) -> u64 {
    let number = value.pointer(pointer).and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("no number at {pointer}:\n{value:#}"))
}
