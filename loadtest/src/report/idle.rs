//! Idle connections.

use std::fmt::Write;

/// What idle connections cost.
#[derive(Debug)]
pub struct Idle {
    /// The scenario.
    pub scenario: &'static str,
    /// Proxy.
    pub name: String,
    /// Whether it is Tollgate, for which the bar is.
    pub ours: bool,
    /// Bytes that a connection may hold.
    pub at_most: f64,
    /// Connections opened.
    pub connections: usize,
    /// Connections still open at the end.
    pub open: usize,
    /// Requests that failed.
    pub failures: u64,
    /// Resident bytes before.
    pub before: u64,
    /// Resident bytes after.
    pub after: u64,
    /// CPU time during the silence.
    pub silence_cpu_ns: u64,
}

impl Idle {
    pub(super) fn row(&self) -> String {
        let (each, at_most) = (self.bytes_each(), self.at_most);
        let word = if each <= at_most { "holds" } else { "MISSED" };
        format!(
            "| {} | {} connections | bytes each, {} | {each:.0} | {at_most:.0} | {word} |\n",
            self.scenario, self.connections, self.name
        )
    }

    pub(super) fn bytes_each(&self) -> f64 {
        self.after.saturating_sub(self.before) as f64 / self.connections.max(1) as f64
    }
}

/// The table of what `scenario` made of `all`.
pub(super) fn table(all: &[Idle], scenario: &str) -> String {
    let mut rows = String::new();
    for idle in all.iter().filter(|idle| idle.scenario == scenario) {
        let _ = writeln!(
            rows,
            "| {} | {} | {} | {:.0} | {} KiB | {} KiB | {:.1} |",
            idle.name,
            idle.connections,
            idle.open,
            idle.bytes_each(),
            idle.before / 1024,
            idle.after / 1024,
            idle.silence_cpu_ns as f64 / 1e6
        );
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n### {scenario}: keep-alive connections after one request each and a silence\n\n\
         | proxy | connections | still open | bytes each | RSS before | RSS after | CPU ms in \
         the silence |\n|---|---|---|---|---|---|---|\n{rows}"
    )
}
