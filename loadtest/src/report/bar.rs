//! Bars, what came of them, and the quartiles that they are judged by.

/// Median and the quartiles around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quartiles {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Quartiles {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * values.len().saturating_sub(1) as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            match (values.get(below), values.get(above)) {
                (Some(a), Some(b)) => a + (b - a) * place.fract(),
                _ => f64::NAN,
            }
        };
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }

    pub(super) fn text(&self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}

#[derive(Debug, Clone)]
pub(super) enum Against {
    BetterOfPeers,
    Nginx,
    Relay,
    Latency(&'static str),
    Pair { ours: String, theirs: String },
}

/// A bar to hold.
#[derive(Debug, Clone)]
pub struct Bar {
    pub(super) against: Against,
    pub(super) at_most: f64,
}

impl Bar {
    /// Cost at most `at_most` times that of the best of NGINX, HAProxy and, where it takes part, Envoy.
    pub fn better_of_peers(at_most: f64) -> Self {
        Self { against: Against::BetterOfPeers, at_most }
    }

    /// Cost at most `at_most` times NGINX's.
    pub fn nginx(at_most: f64) -> Self {
        Self { against: Against::Nginx, at_most }
    }

    /// Cost at most `at_most` times the relay's.
    pub fn relay(at_most: f64) -> Self {
        Self { against: Against::Relay, at_most }
    }

    /// Latency percentile at most NGINX's.
    pub fn latency(which: &'static str) -> Self {
        Self { against: Against::Latency(which), at_most: 1.0 }
    }

    /// Cost of one named proxy at most `at_most` times another's.
    pub fn of(ours: &str, theirs: &str, at_most: f64) -> Self {
        Self { against: Against::Pair { ours: ours.into(), theirs: theirs.into() }, at_most }
    }
}

/// What came of a bar.
pub(super) struct Verdict<'a> {
    pub(super) what: &'static str,
    pub(super) ours: &'a str,
    pub(super) theirs: &'a str,
    pub(super) at_most: f64,
    pub(super) found: Quartiles,
}

impl Verdict<'_> {
    pub(super) fn word(&self) -> &'static str {
        if self.found.median <= self.at_most { "holds" } else { "MISSED" }
    }

    pub(super) fn text(&self) -> String {
        let Self { what, ours, theirs, at_most, found } = self;
        let (found, word) = (found.text(), self.word());
        format!("bar {what}: {ours} ≤ {at_most:.2} × {theirs}: {found} {word}")
    }

    pub(super) fn row(&self, scenario: &str, label: &str) -> String {
        let Self { what, ours, theirs, at_most, found } = self;
        let (found, word) = (found.text(), self.word());
        format!(
            "| {scenario} | {label} | {what} of {ours} ÷ {theirs} | {found} | {at_most:.2} | {word} |\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_interpolate() {
        let found = Quartiles::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!((found.low, found.median, found.high), (1.75, 2.5, 3.25));
    }
}
