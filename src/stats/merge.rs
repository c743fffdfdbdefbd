//! Sums over workers: what control shows.

use std::sync::Arc;

use super::blocks::{ListenerStats, RouteStats, TargetStats, UpstreamStats};
use super::counter::Kinds;
use super::histogram::Buckets;
use super::status::StatusSums;
use super::worker::WorkerStats;
use crate::limits::STATS_MAX_KINDS;

/// Sums of [`Kinds`].
#[derive(Debug, Clone)]
pub struct KindSums([u64; STATS_MAX_KINDS]);

impl Default for KindSums {
    fn default() -> Self {
        Self([0; STATS_MAX_KINDS])
    }
}

impl KindSums {
    fn add(&mut self, kinds: &Kinds) {
        self.0.iter_mut().enumerate().for_each(|(kind, sum)| *sum += kinds.value(kind));
    }

    /// Names and counts, `names` giving a kind's name by its index; kinds without one and kinds
    /// never seen are left out.
    pub fn named<'a>(
        &'a self,
        names: &'a [&'static str],
    ) -> impl Iterator<Item = (&'static str, u64)> + 'a {
        names.iter().zip(&self.0).filter(|(_, n)| **n > 0).map(|(name, n)| (*name, *n))
    }

    /// All kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The gateway, or one worker of it.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct GatewaySum {
    pub requests: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub latency_sum_ns: u64,
    pub connections: u64,
    pub in_flight: u64,
    pub tunnels: u64,
    pub pool_idle: u64,
    pub buffer_bytes: u64,
    pub accept_pauses: u64,
    pub log_dropped: u64,
    pub beyond_soft_quota: u64,
    pub soft_quotas_passed: u64,
    pub codes: StatusSums,
    pub failures: KindSums,
    pub latency: Buckets,
}

impl GatewaySum {
    /// Adds one worker.
    pub fn add(&mut self, w: &WorkerStats) {
        self.requests += w.requests.value();
        self.bytes_in += w.bytes_in.value();
        self.bytes_out += w.bytes_out.value();
        self.latency_sum_ns += w.latency_sum.value();
        self.connections += w.connections.value();
        self.in_flight += w.in_flight.value();
        self.tunnels += w.tunnels.value();
        self.pool_idle += w.pool_idle.value();
        self.buffer_bytes += w.buffer_bytes.value();
        self.accept_pauses += w.accept_pauses.value();
        self.log_dropped += w.log_dropped.value();
        self.beyond_soft_quota += w.beyond_soft_quota.value();
        self.soft_quotas_passed += w.soft_quotas_passed.value();
        self.codes.add(&w.codes);
        self.failures.add(&w.failures);
        self.latency.add(&w.latency);
    }
}

/// One route.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct RouteSum {
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub latency_sum_ns: u64,
    pub in_flight: u64,
    pub allowed: u64,
    pub limited: u64,
    pub limit_table_full: u64,
    pub concurrency_refused: u64,
    pub retries: u64,
    pub failures: u64,
    pub codes: StatusSums,
    pub latency: Buckets,
}

impl RouteSum {
    fn add(&mut self, r: &RouteStats) {
        self.bytes_in += r.bytes_in.value();
        self.bytes_out += r.bytes_out.value();
        self.in_flight += r.in_flight.value();
        self.codes.add_status(200, r.ok());
        if let Some(times) = r.peek_times() {
            self.latency_sum_ns += times.latency_sum.value();
            self.allowed += times.allowed.value();
            self.latency.add(&times.latency);
        }
        let Some(rare) = r.peek_rare() else { return };
        self.codes.add(&rare.codes);
        self.limited += rare.limited.value();
        self.limit_table_full += rare.limit_table_full.value();
        self.concurrency_refused += rare.concurrency_refused.value();
        self.retries += rare.retries.value();
        self.failures += rare.failures.value();
    }
}

/// One listener.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ListenerSum {
    pub requests: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub accepted: u64,
    pub open: u64,
    pub refused_max_connections: u64,
    pub refused_per_client: u64,
    pub refused_no_descriptors: u64,
    pub handshakes: u64,
    pub handshakes_resumed: u64,
    pub handshakes_failed: u64,
    pub handshakes_refused: u64,
    pub http2_open: u64,
    pub http2_refused: u64,
    pub refused_proxy_protocol: u64,
    pub allowed: u64,
    pub limited: u64,
    pub bad: KindSums,
    pub codes: StatusSums,
    pub forwarded: u64,
    pub forwarding: u64,
    pub forward_failures: u64,
}

impl ListenerSum {
    fn add(&mut self, l: &ListenerStats) {
        self.requests += l.requests.value();
        self.bytes_in += l.bytes_in.value();
        self.bytes_out += l.bytes_out.value();
        self.accepted += l.accepted.value();
        self.open += l.open.value();
        self.refused_max_connections += l.refused_max_connections.value();
        self.refused_per_client += l.refused_per_client.value();
        self.refused_no_descriptors += l.refused_no_descriptors.value();
        self.handshakes += l.handshakes.value();
        self.handshakes_resumed += l.handshakes_resumed.value();
        self.handshakes_failed += l.handshakes_failed.value();
        self.handshakes_refused += l.handshakes_refused.value();
        self.http2_open += l.http2_open.value();
        self.http2_refused += l.http2_refused.value();
        self.refused_proxy_protocol += l.refused_proxy_protocol.value();
        self.allowed += l.allowed.value();
        self.limited += l.limited.value();
        self.bad.add(&l.bad);
        self.forwarded += l.forwarded.value();
        self.forwarding += l.forwarding.value();
        self.forward_failures += l.forward_failures.value();
        self.codes.add(&l.codes);
    }
}

/// One upstream.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct UpstreamSum {
    pub requests: u64,
    pub in_flight: u64,
    pub retries: u64,
    pub retries_over_budget: u64,
    pub no_target: u64,
}

impl UpstreamSum {
    fn add(&mut self, u: &UpstreamStats) {
        self.requests += u.requests.value();
        self.in_flight += u.in_flight.value();
        self.retries += u.retries.value();
        self.retries_over_budget += u.retries_over_budget.value();
        self.no_target += u.no_target.value();
    }
}

/// One target.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct TargetSum {
    pub requests: u64,
    pub in_flight: u64,
    pub idle: u64,
    pub reused: u64,
    pub response_time_sum_ns: u64,
    pub connects: u64,
    pub connect_failures: u64,
    pub stale: u64,
    pub retries: u64,
    pub skipped: u64,
    pub failures: u64,
    pub codes: StatusSums,
    pub response_time: Buckets,
}

impl TargetSum {
    fn add(&mut self, t: &TargetStats) {
        self.requests += t.requests.value();
        self.in_flight += t.in_flight.value();
        self.idle += t.idle.value();
        self.reused += t.reused.value();
        self.response_time_sum_ns += t.response_time_sum.value();
        self.connects += t.connects.value();
        self.connect_failures += t.connect_failures.value();
        self.stale += t.stale.value();
        self.retries += t.retries.value();
        self.skipped += t.skipped.value();
        self.failures += t.failures.value();
        self.codes.add(&t.codes);
        self.response_time.add(&t.response_time);
    }

    /// Share of tries that went on a pooled connection, 0 to 1; `None` before the first.
    pub fn reuse_share(&self) -> Option<f64> {
        let tries = self.reused + self.connects;
        (tries > 0).then(|| self.reused as f64 / tries as f64)
    }
}

/// The whole gateway.
pub fn gateway(workers: &[Arc<WorkerStats>]) -> GatewaySum {
    let mut sum = GatewaySum::default();
    workers.iter().for_each(|w| sum.add(w));
    sum
}

/// The listener with this id.
pub fn listener(workers: &[Arc<WorkerStats>], id: u32) -> ListenerSum {
    let mut sum = ListenerSum::default();
    workers.iter().filter_map(|w| w.listeners.peek(id)).for_each(|l| sum.add(l));
    sum
}

/// The route with this id.
pub fn route(workers: &[Arc<WorkerStats>], id: u32) -> RouteSum {
    let mut sum = RouteSum::default();
    workers.iter().filter_map(|w| w.route(id)).for_each(|r| sum.add(r));
    sum
}

/// Only the number of the route's requests: cheap enough to ask for every route.
pub fn route_requests(workers: &[Arc<WorkerStats>], id: u32) -> u64 {
    let of = |r: &RouteStats| {
        let mut codes = StatusSums::default();
        if let Some(rare) = r.peek_rare() {
            codes.add(&rare.codes);
        }
        r.ok() + codes.total()
    };
    workers.iter().filter_map(|w| w.route(id)).map(of).sum()
}

/// The upstream with this id.
pub fn upstream(workers: &[Arc<WorkerStats>], id: u32) -> UpstreamSum {
    let mut sum = UpstreamSum::default();
    workers.iter().filter_map(|w| w.upstreams.peek(id)).for_each(|u| sum.add(u));
    sum
}

/// The target with this id.
pub fn target(workers: &[Arc<WorkerStats>], id: u32) -> TargetSum {
    let mut sum = TargetSum::default();
    workers.iter().filter_map(|w| w.targets.peek(id)).for_each(|t| sum.add(t));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Finished;

    #[test]
    fn sums_are_taken_over_all_workers_that_know_the_id() {
        let workers: Vec<_> = (0..3).map(WorkerStats::new).collect();
        let (a, b) = (workers[0].writer().unwrap(), workers[2].writer().unwrap());
        a.route(5).record(200, 1, 2, 1000);
        b.route(5).record(503, 3, 4, 2000);
        b.route(5).rare().limited.up();
        let sum = route(&workers, 5);
        assert_eq!((sum.bytes_in, sum.bytes_out, sum.limited), (4, 6, 1));
        assert_eq!((sum.codes.class(2), sum.codes.class(5)), (1, 1));
        assert_eq!(sum.latency.count(), 2);
        assert_eq!(route_requests(&workers, 5), 2);
        assert_eq!(route(&workers, 6).codes.total(), 0);

        a.target(0).connects.up();
        b.target(0).reused.add(3);
        assert_eq!(target(&workers, 0).reuse_share(), Some(0.75));
        assert_eq!(target(&workers, 1).reuse_share(), None);
    }

    #[test]
    fn kinds_are_shown_by_name() {
        let workers = [WorkerStats::new(0)];
        let writer = workers[0].writer().unwrap();
        writer.failures.up(1);
        writer.failures.up(9);
        let sum = gateway(&workers);
        let named: Vec<_> = sum.failures.named(&["a", "b", "c"]).collect();
        assert_eq!(named, [("b", 1)]);
        assert_eq!(sum.failures.total(), 2);
    }

    #[test]
    fn readers_never_see_a_number_go_back() {
        let stats = WorkerStats::new(0);
        let reader = Arc::clone(&stats);
        const N: u64 = 20_000;
        let done = Finished {
            listener: 0,
            route: Some(2000),
            status: 200,
            bytes_in: 1,
            bytes_out: 1,
            latency_ns: 1,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let writer = stats.writer().unwrap();
                (0..N).for_each(|n| writer.finished(&Finished { latency_ns: n << 12, ..done }));
            });
            let mut last = 0;
            while last < N {
                let sum = route(std::slice::from_ref(&reader), 2000);
                assert!(sum.codes.total() >= last);
                last = sum.codes.total();
            }
        });
        let sum = route(&[reader], 2000);
        assert_eq!((sum.bytes_in, sum.latency.count()), (N, N));
    }
}
