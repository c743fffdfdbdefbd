//! From visits to tables: medians, quartiles, ratios within a cycle, bars.

mod bar;
mod idle;

use std::fmt::Write;

use serde_json::{Value, json};

use crate::engine::Slice;
use crate::histogram::Histogram;
use crate::peer::Kind;

pub use self::bar::Bar;
use self::bar::{Against, Quartiles, Verdict};
pub use self::idle::Idle;

/// One visit to one proxy.
#[derive(Debug, Clone)]
pub struct Visit {
    slice: Slice,
    outside_ns: u64,
    p50: u64,
    p99: u64,
    p999: u64,
}

impl Visit {
    /// From a slice, the CPU the proxy used between this visit and its last, and the latencies.
    pub fn new(slice: Slice, outside_ns: u64, latencies: &Histogram) -> Self {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| latencies.quantile(q));
        Self { slice, outside_ns, p50, p99, p999 }
    }

    /// CPU microseconds per request.
    pub fn cost(&self) -> f64 {
        self.slice.cpu_ns as f64 / 1e3 / (self.slice.requests as f64).max(1.0)
    }

    /// Requests a second.
    pub fn per_second(&self) -> f64 {
        self.slice.requests as f64 * 1e9 / (self.slice.wall_ns as f64).max(1.0)
    }

    fn busy(&self) -> f64 {
        self.slice.cpu_ns as f64 / (self.slice.wall_ns as f64).max(1.0)
    }

    fn load_idle(&self) -> f64 {
        self.slice.idle_ns as f64 / (self.slice.wall_ns as f64).max(1.0)
    }

    fn p99(&self) -> f64 {
        self.p99 as f64
    }

    fn p999(&self) -> f64 {
        self.p999 as f64
    }
}

/// All visits to one proxy.
#[derive(Debug)]
pub struct Measured {
    name: String,
    kind: Kind,
    visits: Vec<Visit>,
    latencies: Histogram,
    user_share: f64,
    /// Connections the proxy opened to the backend while it was measured.
    pub upstream_connects: u64,
    /// Access log lines, where there is a log.
    pub log_lines: Option<u64>,
}

impl Measured {
    /// Nothing yet.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            visits: Vec::new(),
            latencies: Histogram::default(),
            user_share: 0.0,
            upstream_connects: 0,
            log_lines: None,
        }
    }

    /// One more visit.
    pub fn add(&mut self, visit: Visit, latencies: &Histogram) {
        self.visits.push(visit);
        self.latencies.merge(latencies);
    }

    /// Notes how CPU time was split over the run.
    pub fn split(&mut self, user: u64, system: u64) {
        self.user_share = user as f64 / ((user + system) as f64).max(1.0);
    }

    /// The median of something over all visits.
    pub fn median(&self, of: impl Fn(&Visit) -> f64) -> f64 {
        Quartiles::of(self.visits.iter().map(of).collect()).median
    }

    fn sum(&self, of: impl Fn(&Visit) -> u64) -> u64 {
        self.visits.iter().map(of).sum()
    }
}

/// One table.
#[derive(Debug)]
pub struct Measurement {
    /// Scenario's name.
    pub scenario: &'static str,
    /// What was measured.
    pub label: String,
    /// Body bytes of each response.
    pub body_bytes: usize,
    /// Visit length.
    pub slice_ms: u64,
    /// Each proxy's visits.
    pub peers: Vec<Measured>,
    /// Share of time stolen from the gateway core and the load core.
    pub stolen: [f64; 2],
    /// Bars to hold.
    pub bars: Vec<Bar>,
    /// The first failures in words.
    pub failures: Vec<String>,
}

impl Measurement {
    fn find(&self, name: &str) -> Option<&Measured> {
        self.peers.iter().find(|peer| peer.name == name)
    }

    fn of_kind(&self, kind: Kind) -> Option<&Measured> {
        self.peers.iter().find(|peer| peer.kind == kind)
    }

    fn better_of_peers(&self) -> Option<&Measured> {
        self.peers
            .iter()
            .filter(|peer| matches!(peer.kind, Kind::Nginx | Kind::Haproxy | Kind::Envoy))
            .min_by(|a, b| a.median(Visit::cost).total_cmp(&b.median(Visit::cost)))
    }

    /// The proxy that the others are compared with: ours, or the relay where we are absent.
    fn base(&self) -> &Measured {
        self.of_kind(Kind::Tollgate).or(self.of_kind(Kind::Relay)).unwrap_or(&self.peers[0])
    }

    fn failed(&self) -> u64 {
        self.peers.iter().map(|peer| peer.sum(|visit| visit.slice.failures)).sum()
    }

    fn table(&self) -> String {
        let base = self.base();
        let relay = self.of_kind(Kind::Relay);
        let mut text = format!(
            "\n### {}: {}\n\n{} visits of {} ms each; stolen: {:.1} % of the gateway core, {:.1} % \
             of the load core\n\n",
            self.scenario,
            self.label,
            base.visits.len(),
            self.slice_ms,
            self.stolen[0] * 100.0,
            self.stolen[1] * 100.0
        );
        let _ = writeln!(
            text,
            "| proxy | requests/s | CPU µs/request | user | system | CPU ms/GiB | {} ÷ it | it ÷ \
             relay | p50 µs | p99 µs | p99.9 µs | gateway busy | load idle | outside | failed |",
            base.name
        );
        text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        for peer in &self.peers {
            let cost = peer.median(Visit::cost);
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| peer.latencies.quantile(q) / 1000);
            let spent = peer.sum(|visit| visit.slice.cpu_ns);
            let outside = peer.sum(|visit| visit.outside_ns);
            let _ = writeln!(
                text,
                "| {} | {:.0} | {cost:.2} | {:.2} | {:.2} | {:.0} | {} | {} | {p50} | {p99} | \
                 {p999} | {:.0} % | {:.0} % | {:.1} % | {} |",
                peer.name,
                peer.median(Visit::per_second),
                cost * peer.user_share,
                cost * (1.0 - peer.user_share),
                cost / self.body_bytes as f64 * 1_073_741_824.0 / 1e3,
                ratio(base, peer, Visit::cost).text(),
                relay.map_or("–".into(), |relay| ratio(peer, relay, Visit::cost).text()),
                peer.median(Visit::busy) * 100.0,
                peer.median(Visit::load_idle) * 100.0,
                outside as f64 / (spent + outside) as f64 * 100.0,
                peer.sum(|visit| visit.slice.failures),
            );
        }
        text.push('\n');
        text.push_str(&self.remarks());
        text
    }

    /// Bars, log lines, reconnects, failures.
    fn remarks(&self) -> String {
        let mut text = String::new();
        for bar in &self.bars {
            if let Some(verdict) = self.judge(bar) {
                let _ = writeln!(text, "- {}", verdict.text());
            }
        }
        for peer in &self.peers {
            let requests = peer.sum(|visit| visit.slice.requests);
            if let Some(lines) = peer.log_lines {
                let share = lines as f64 / requests as f64 * 100.0;
                let _ = writeln!(
                    text,
                    "- {}: access log lines for {share:.1} % of requests",
                    peer.name
                );
            }
            if peer.upstream_connects > requests / 1000 {
                let _ = writeln!(
                    text,
                    "- {}: {} new upstream connections in {requests} requests",
                    peer.name, peer.upstream_connects
                );
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "- FAILED: {failure}");
        }
        text
    }

    fn judge(&self, bar: &Bar) -> Option<Verdict<'_>> {
        let tollgate = self.of_kind(Kind::Tollgate);
        let (ours, theirs, what, of): (_, _, _, fn(&Visit) -> f64) = match &bar.against {
            Against::BetterOfPeers => (tollgate?, self.better_of_peers()?, "CPU", Visit::cost),
            Against::Nginx => (tollgate?, self.of_kind(Kind::Nginx)?, "CPU", Visit::cost),
            Against::Relay => (tollgate?, self.of_kind(Kind::Relay)?, "CPU", Visit::cost),
            Against::Pair { ours, theirs } => {
                (self.find(ours)?, self.find(theirs)?, "CPU", Visit::cost)
            }
            Against::Latency("p99") => (tollgate?, self.of_kind(Kind::Nginx)?, "p99", Visit::p99),
            Against::Latency(_) => (tollgate?, self.of_kind(Kind::Nginx)?, "p99.9", Visit::p999),
        };
        let found = ratio(ours, theirs, of);
        Some(Verdict { what, ours: &ours.name, theirs: &theirs.name, at_most: bar.at_most, found })
    }

    fn json(&self) -> Value {
        let peers: Vec<Value> = self.peers.iter().map(|peer| peer.json(self)).collect();
        json!({
            "scenario": self.scenario,
            "label": self.label,
            "body_bytes": self.body_bytes,
            "slice_ms": self.slice_ms,
            "stolen_share": { "gateway_core": self.stolen[0], "load_core": self.stolen[1] },
            "bars": self
                .bars
                .iter()
                .filter_map(|bar| self.judge(bar))
                .map(|verdict| verdict.text())
                .collect::<Vec<_>>(),
            "failures": self.failures,
            "proxies": peers,
        })
    }
}

/// `ours` over `theirs` within each cycle.
fn ratio(ours: &Measured, theirs: &Measured, of: impl Fn(&Visit) -> f64) -> Quartiles {
    let pairs = ours.visits.iter().zip(&theirs.visits);
    Quartiles::of(pairs.map(|(a, b)| of(a) / of(b)).filter(|r| r.is_finite()).collect())
}

impl Measured {
    fn json(&self, all: &Measurement) -> Value {
        let column = |of: fn(&Visit) -> u64| self.visits.iter().map(of).collect::<Vec<u64>>();
        let latencies = [0.5, 0.99, 0.999].map(|q| self.latencies.quantile(q) / 1000);
        let mut ratios = serde_json::Map::new();
        for other in &all.peers {
            let found = ratio(self, other, Visit::cost);
            ratios.insert(other.name.clone(), json!([found.low, found.median, found.high]));
        }
        json!({
            "name": self.name,
            "requests_per_second": self.median(Visit::per_second),
            "cpu_us_per_request": self.median(Visit::cost),
            "user_share": self.user_share,
            "latency_us": latencies,
            "gateway_busy": self.median(Visit::busy),
            "load_idle": self.median(Visit::load_idle),
            "upstream_connects": self.upstream_connects,
            "log_lines": self.log_lines,
            "cost_ratio_to": ratios,
            "visits": {
                "requests": column(|v| v.slice.requests),
                "failures": column(|v| v.slice.failures),
                "cpu_ns": column(|v| v.slice.cpu_ns),
                "outside_cpu_ns": column(|v| v.outside_ns),
                "wall_ns": column(|v| v.slice.wall_ns),
                "load_idle_ns": column(|v| v.slice.idle_ns),
                "p50_ns": column(|v| v.p50),
                "p99_ns": column(|v| v.p99),
                "p99.9_ns": column(|v| v.p999),
            },
        })
    }
}

/// What 100,000 routes cost at start.
#[derive(Debug)]
pub struct Routes {
    /// How many.
    pub routes: usize,
    /// Milliseconds from start to the first answer.
    pub ready_ms: f64,
    /// The same with 10 routes.
    pub ready_few_ms: f64,
    /// Resident bytes for each route more.
    pub bytes_per_route: f64,
}

/// Everything that was found.
#[derive(Debug)]
pub struct Report {
    machine: String,
    seed: u64,
    gateway_core: usize,
    load_core: usize,
    measurements: Vec<Measurement>,
    notes: Vec<String>,
    problems: Vec<String>,
    /// The routes scenario's other numbers.
    pub routes: Option<Routes>,
    /// The idle scenario.
    pub idle: Vec<Idle>,
}

impl Report {
    /// An empty one.
    pub fn new(machine: String, seed: u64, gateway_core: usize, load_core: usize) -> Self {
        Self {
            machine,
            seed,
            gateway_core,
            load_core,
            measurements: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
            routes: None,
            idle: Vec::new(),
        }
    }

    /// Adds a table, printing it at once.
    pub fn add(&mut self, measurement: Measurement) {
        println!("{}", measurement.table());
        self.measurements.push(measurement);
    }

    /// Notes what was left out.
    pub fn note(&mut self, what: String) {
        eprintln!("note: {what}");
        self.notes.push(what);
    }

    /// Notes what went wrong.
    pub fn fail(&mut self, what: String) {
        eprintln!("error: {what}");
        self.problems.push(what);
    }

    /// Prints the table of idle connections that a scenario made.
    pub fn show_idle(&self, scenario: &str) {
        println!("{}", idle::table(&self.idle, scenario));
    }

    /// Whether a request failed, a connection was lost or a proxy did not start.
    pub fn failed(&self) -> bool {
        !self.problems.is_empty()
            || self.measurements.iter().any(|m| m.failed() > 0 || !m.failures.is_empty())
            || self.idle.iter().any(|idle| idle.failures > 0 || idle.open != idle.connections)
    }

    fn routes_text(&self) -> String {
        self.routes.as_ref().map_or(String::new(), |routes| {
            format!(
                "\n{} routes: ready after {:.0} ms (10 routes: {:.0} ms), {:.0} bytes resident a \
                 route\n",
                routes.routes, routes.ready_ms, routes.ready_few_ms, routes.bytes_per_route
            )
        })
    }

    /// The whole report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("Measured on {}.\n", self.machine);
        self.measurements.iter().for_each(|m| text.push_str(&m.table()));
        text.push_str(&self.routes_text());
        ["idle", "tls_idle"].iter().for_each(|name| text.push_str(&idle::table(&self.idle, name)));
        text.push_str(&self.outcome());
        for note in self.notes.iter().chain(&self.problems) {
            let _ = writeln!(text, "\nNote: {note}");
        }
        text
    }

    /// What standard output has not shown yet, at the end of a run.
    pub fn last_words(&self) -> String {
        let left_out: String = self.notes.iter().map(|note| format!("\nNote: {note}\n")).collect();
        self.routes_text() + &self.outcome() + &left_out
    }

    /// Every bar and what came of it.
    fn outcome(&self) -> String {
        let mut rows = String::new();
        for measurement in &self.measurements {
            for verdict in measurement.bars.iter().filter_map(|bar| measurement.judge(bar)) {
                rows.push_str(&verdict.row(measurement.scenario, &measurement.label));
            }
        }
        self.idle.iter().filter(|idle| idle.ours).for_each(|idle| rows.push_str(&idle.row()));
        if rows.is_empty() {
            return rows;
        }
        let head =
            "| scenario | what | compared | ratio (quartiles) | bar | |\n|---|---|---|---|---|---|";
        format!("\n### Outcome\n\n{head}\n{rows}")
    }

    /// The raw data.
    pub fn json(&self) -> Value {
        json!({
            "machine": self.machine,
            "seed": self.seed,
            "gateway_core": self.gateway_core,
            "load_core": self.load_core,
            "measurements": self.measurements.iter().map(Measurement::json).collect::<Vec<_>>(),
            "routes": self.routes.as_ref().map(|routes| json!({
                "routes": routes.routes,
                "ready_ms": routes.ready_ms,
                "ready_ms_with_10": routes.ready_few_ms,
                "bytes_per_route": routes.bytes_per_route,
            })),
            "idle": self.idle.iter().map(|idle| json!({
                "scenario": idle.scenario,
                "name": idle.name,
                "connections": idle.connections,
                "open": idle.open,
                "bytes_each": idle.bytes_each(),
                "resident_before": idle.before,
                "resident_after": idle.after,
                "silence_cpu_ns": idle.silence_cpu_ns,
            })).collect::<Vec<_>>(),
            "notes": self.notes,
            "problems": self.problems,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, kind: Kind, costs_us: &[u64]) -> Measured {
        let mut measured = Measured::new(name, kind);
        for cost in costs_us {
            let slice =
                Slice { requests: 10, cpu_ns: cost * 10_000, wall_ns: 1000, ..Slice::default() };
            let mut latencies = Histogram::default();
            latencies.record(1000);
            measured.add(Visit::new(slice, 0, &latencies), &latencies);
        }
        measured
    }

    fn measurement() -> Measurement {
        Measurement {
            scenario: "get",
            label: "test".into(),
            body_bytes: 1024,
            slice_ms: 100,
            peers: vec![
                measured("tollgate", Kind::Tollgate, &[5, 50, 6]),
                measured("nginx", Kind::Nginx, &[10, 100, 10]),
                measured("haproxy", Kind::Haproxy, &[20, 200, 20]),
            ],
            stolen: [0.0; 2],
            bars: vec![Bar::better_of_peers(0.5)],
            failures: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_cycle() {
        // The second cycle was ten times slower for everybody: no matter.
        let all = measurement();
        let found = ratio(&all.peers[0], &all.peers[1], Visit::cost);
        assert_eq!(found.median, 0.5);
    }

    #[test]
    fn the_better_peer_is_the_bar() {
        let mut all = measurement();
        assert!(all.judge(&all.bars[0]).unwrap().text().ends_with("holds"));
        all.bars[0].at_most = 0.49;
        let line = all.judge(&all.bars[0]).unwrap().text();
        assert!(line.contains("× nginx") && line.ends_with("MISSED"), "{line}");
    }

    #[test]
    fn a_bar_may_name_its_peer() {
        let mut all = measurement();
        all.peers[1] = measured("nginx", Kind::Nginx, &[100, 100, 100]);
        let verdict = all.judge(&Bar::nginx(0.07)).unwrap();
        assert_eq!(
            (verdict.theirs, verdict.found.median, verdict.word()),
            ("nginx", 0.06, "holds")
        );
        all.peers.remove(1);
        assert!(all.judge(&Bar::nginx(0.07)).is_none());
    }

    #[test]
    fn the_outcome_lists_every_bar() {
        let mut report = Report::new("a machine".into(), 1, 0, 1);
        assert_eq!(report.outcome(), "");
        report.measurements.push(measurement());
        report.idle.push(Idle {
            scenario: "tls_idle",
            name: "tollgate".into(),
            ours: true,
            at_most: 7168.0,
            connections: 10,
            open: 10,
            failures: 0,
            before: 0,
            after: 100_000,
            silence_cpu_ns: 0,
        });
        let outcome = report.outcome();
        assert!(
            outcome.contains("| CPU of tollgate ÷ nginx | 0.50 (0.50–0.55) | 0.50 | holds |"),
            "{outcome}"
        );
        assert!(outcome.contains("bytes each, tollgate | 10000 | 7168 | MISSED |"), "{outcome}");
    }
}
