//! What is shown of many routes, and a look at everything at once for all the renderings.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram as Hdr;

use super::{AdminState, Facts, KindNames, Process};
use crate::control::acme::NameTold;
use crate::control::identity;
use crate::control::jwks::IssuerTold;
use crate::control::log_writer::LogCounts;
use crate::control::resolve::Resolution;
use crate::control::tls::{ListenerCertificates, Validities};
use crate::limits::ADMIN_MAX_UNUSED_ROUTES;
use crate::stats::merge::{self, GatewaySum};
use crate::stats::{Buckets, Directory, Entry, WorkerStats};

/// One look for one rendering.
pub(super) struct Shown<'a> {
    pub(super) workers: &'a [Arc<WorkerStats>],
    pub(super) kinds: KindNames,
    pub(super) directory: Arc<Directory>,
    pub(super) facts: Facts,
    pub(super) gateway: GatewaySum,
    pub(super) process: Process,
    pub(super) log: LogCounts,
    pub(super) names: Vec<Resolution>,
    pub(super) certificates: Arc<[ListenerCertificates]>,
    pub(super) acme: Vec<(String, NameTold)>,
    pub(super) inquiries: Vec<(String, identity::Counts)>,
    pub(super) issuers: Vec<(String, IssuerTold)>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(state: &'a AdminState) -> Self {
        Self {
            workers: &state.workers,
            kinds: state.kinds,
            directory: state.control.directory(),
            facts: state.control.facts(),
            gateway: merge::gateway(&state.workers),
            process: Process::look(),
            log: state.control.log_counts(),
            names: state.control.resolutions(),
            certificates: state.control.certificates(),
            acme: state.control.acme(),
            inquiries: state.control.inquiries(),
            issuers: state.control.issuers(),
        }
    }

    pub(super) fn uptime(&self) -> Duration {
        SystemTime::now().duration_since(self.facts.started).unwrap_or_default()
    }

    /// The certificates of a listener; `None`: it speaks no TLS.
    pub(super) fn certificates(&self, listener: &str) -> Option<&Validities> {
        let found = self.certificates.iter().find(|one| *one.listener == *listener);
        found.map(|one| &one.validities)
    }

    /// The routes to show, in the configuration's order, and how many are left out: all where
    /// there are few, else those that served requests, the busiest `max` of them.
    pub(super) fn routes(&self, max: usize) -> (Vec<&Entry>, usize) {
        let all = &self.directory.routes;
        let requests = |entry: &Entry| merge::route_requests(self.workers, entry.id);
        let with_counts = all.iter().enumerate().map(|(place, e)| (requests(e), place));
        let unused_too = all.len() <= ADMIN_MAX_UNUSED_ROUTES;
        let mut places: Vec<(u64, usize)> =
            with_counts.filter(|(requests, _)| unused_too || *requests > 0).collect();
        busiest(&mut places, max, |(requests, _)| *requests as f64);
        places.sort_unstable_by_key(|(_, place)| *place);
        let shown: Vec<_> = places.iter().map(|(_, place)| &all[*place]).collect();
        let left_out = all.len() - shown.len();
        (shown, left_out)
    }
}

/// Keeps the `max` largest, in no order.
pub(super) fn busiest<T>(all: &mut Vec<T>, max: usize, by: impl Fn(&T) -> f64) {
    if all.len() > max {
        all.select_nth_unstable_by(max, |a, b| by(b).total_cmp(&by(a)));
        all.truncate(max);
    }
}

/// Latency percentiles, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// Of these buckets; `hdr` is a scratch histogram.
    pub(super) fn of(buckets: &Buckets, hdr: &mut Hdr<u64>) -> Self {
        let count = buckets.count();
        if count == 0 {
            return Self::default();
        }
        buckets.fill(hdr);
        let at = |q| hdr.value_at_quantile(q) as f64 / 1e9;
        let max = hdr.max() as f64 / 1e9;
        Self { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max }
    }
}
