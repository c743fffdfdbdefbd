//! What happened lately: a look a second, kept for two minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{ADMIN_HISTORY, ADMIN_WINDOW};
use crate::stats::merge::{self, GatewaySum};
use crate::stats::{Buckets, Directory, Kind, WorkerStats};

/// Rates by name are taken while somebody looked within this time: with 100,000 routes a look
/// costs milliseconds.
const WATCHED_FOR: Duration = Duration::from_secs(30);

/// One look at the whole gateway.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    requests: u64,
    /// Responses 500 and up.
    errors: u64,
    bytes_in: u64,
    bytes_out: u64,
    limited: u64,
    cpu: f64,
    latency: Buckets,
}

/// Rates over the last [`ADMIN_WINDOW`] seconds (or since the start, where that is less).
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    /// What all rates are taken over.
    pub(super) seconds: f64,
    pub(super) requests: f64,
    /// Responses 500 and up a second.
    pub(super) errors: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
    /// Responses 429 a second.
    pub(super) limited: f64,
    /// CPU seconds of the process a second.
    pub(super) cpu: f64,
    pub(super) latency: Buckets,
}

impl Recent {
    /// CPU seconds a request; `None` without requests.
    pub(super) fn cpu_per_request(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.cpu / self.requests)
    }
}

/// Requests by id at one time.
#[derive(Debug)]
struct Counts {
    at: Instant,
    by_kind: [Vec<u64>; 4],
}

/// The looks, and what is derived from them.
#[derive(Debug, Default)]
pub(super) struct History {
    looks: VecDeque<Look>,
    counts: VecDeque<Counts>,
    watched: Option<Instant>,
}

impl History {
    /// Takes a look. `cpu`: CPU seconds of the process so far.
    pub(super) fn look(
        &mut self,
        now: Instant,
        workers: &[Arc<WorkerStats>],
        directory: &Directory,
        cpu: f64,
    ) {
        let sum = merge::gateway(workers);
        self.remember(now, &sum, cpu);
        if self.watched.is_some_and(|at| now.saturating_duration_since(at) < WATCHED_FOR) {
            self.counts.push_back(count(now, workers, directory));
            if self.counts.len() > ADMIN_WINDOW + 1 {
                self.counts.pop_front();
            }
        } else {
            self.counts.clear();
        }
    }

    fn remember(&mut self, now: Instant, sum: &GatewaySum, cpu: f64) {
        self.looks.push_back(Look {
            at: now,
            requests: sum.requests,
            errors: sum.codes.class(5),
            bytes_in: sum.bytes_in,
            bytes_out: sum.bytes_out,
            limited: sum.codes.exactly(429),
            cpu,
            latency: sum.latency.clone(),
        });
        if self.looks.len() > ADMIN_HISTORY + 1 {
            self.looks.pop_front();
        }
    }

    /// Somebody looks: rates by name are taken from the next look on.
    pub(super) fn watched(&mut self, now: Instant) {
        self.watched = Some(now);
    }

    /// Rates over the window.
    pub(super) fn recent(&self) -> Recent {
        let Some(last) = self.looks.back() else { return Recent::default() };
        let first = &self.looks[self.looks.len().saturating_sub(ADMIN_WINDOW + 1)];
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Recent::default();
        }
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        Recent {
            seconds,
            requests: rate(last.requests, first.requests),
            errors: rate(last.errors, first.errors),
            bytes_in: rate(last.bytes_in, first.bytes_in),
            bytes_out: rate(last.bytes_out, first.bytes_out),
            limited: rate(last.limited, first.limited),
            cpu: (last.cpu - first.cpu).max(0.0) / seconds,
            latency: last.latency.since(&first.latency),
        }
    }

    /// Requests a second, second by second, oldest first.
    pub(super) fn request_rates(&self) -> Vec<f64> {
        self.pairs(|then, now, seconds| (now.requests - then.requests) as f64 / seconds)
    }

    /// The 99th percentile of latency, second by second, in seconds; 0 without requests.
    pub(super) fn p99s(&self) -> Vec<f64> {
        let mut hdr = Buckets::empty_hdr();
        self.pairs(|then, now, _| {
            now.latency.since(&then.latency).fill(&mut hdr);
            hdr.value_at_quantile(0.99) as f64 / 1e9
        })
    }

    fn pairs(&self, mut of: impl FnMut(&Look, &Look, f64) -> f64) -> Vec<f64> {
        let looks = self.looks.iter().zip(self.looks.iter().skip(1));
        looks
            .map(|(then, now)| {
                let seconds = now.at.saturating_duration_since(then.at).as_secs_f64();
                if seconds > 0.0 { of(then, now, seconds) } else { 0.0 }
            })
            .collect()
    }

    /// Requests a second of one name over the window; `None` until two looks were taken.
    pub(super) fn rate(&self, kind: Kind, id: u32) -> Option<f64> {
        let (first, last) = (self.counts.front()?, self.counts.back()?);
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        let of =
            |counts: &Counts| counts.by_kind[kind as usize].get(id as usize).copied().unwrap_or(0);
        (seconds > 0.0).then(|| of(last).saturating_sub(of(first)) as f64 / seconds)
    }
}

fn count(now: Instant, workers: &[Arc<WorkerStats>], directory: &Directory) -> Counts {
    let mut counts = Counts { at: now, by_kind: Default::default() };
    let mut note = |kind: Kind, id: u32, n: u64| {
        let by_id = &mut counts.by_kind[kind as usize];
        if by_id.len() <= id as usize {
            by_id.resize(id as usize + 1, 0);
        }
        by_id[id as usize] = n;
    };
    for entry in &directory.listeners {
        note(Kind::Listener, entry.id, merge::listener(workers, entry.id).requests);
    }
    for entry in &directory.routes {
        note(Kind::Route, entry.id, merge::route_requests(workers, entry.id));
    }
    for upstream in &directory.upstreams {
        let id = upstream.entry.id;
        note(Kind::Upstream, id, merge::upstream(workers, id).requests);
        for target in &upstream.targets {
            note(Kind::Target, target.id, merge::target(workers, target.id).requests);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Finished, Names, Registry};

    #[test]
    fn rates_are_taken_over_the_window() {
        let workers = [WorkerStats::new(0)];
        let writer = workers[0].writer().unwrap();
        let names = Names { listeners: vec!["web"], routes: vec!["a"], upstreams: Vec::new() };
        let directory = Registry::default().assign(&names, &workers).unwrap().directory;
        let start = Instant::now();
        let mut history = History::default();
        assert_eq!(history.recent().requests, 0.0);
        history.watched(start);
        for second in 0..20u64 {
            history.look(start + Duration::from_secs(second), &workers, &directory, second as f64);
            for _ in 0..second * 10 {
                writer.finished(&Finished {
                    listener: 0,
                    route: Some(0),
                    status: 200,
                    bytes_in: 1,
                    bytes_out: 2,
                    latency_ns: 2_000_000,
                });
            }
        }
        let recent = history.recent();
        assert_eq!(recent.seconds, 10.0);
        // Seconds 9 to 18, ten requests times the second.
        assert_eq!(recent.requests, 135.0);
        assert_eq!(recent.cpu, 1.0);
        assert_eq!(recent.cpu_per_request(), Some(1.0 / 135.0));
        assert_eq!(recent.latency.count(), 1350);
        assert_eq!(history.rate(Kind::Route, 0), Some(135.0));
        assert_eq!(history.rate(Kind::Route, 77), Some(0.0));
        assert_eq!(history.request_rates()[..3], [0.0, 10.0, 20.0]);
        assert!((history.p99s()[5] / 0.002 - 1.0).abs() < 0.04);

        history.look(start + Duration::from_secs(100), &workers, &directory, 20.0);
        assert_eq!(history.rate(Kind::Route, 0), None, "nobody watched for long");
    }

    #[test]
    fn the_history_is_bounded() {
        let start = Instant::now();
        let mut history = History::default();
        for second in 0..500 {
            history.look(start + Duration::from_secs(second), &[], &Directory::default(), 0.0);
        }
        assert_eq!(history.request_rates().len(), ADMIN_HISTORY);
    }
}
