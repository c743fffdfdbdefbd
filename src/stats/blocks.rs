//! What is counted for a listener, a route, an upstream and a target, by one worker.
//!
//! Only the owning worker, through its [`Writer`](super::Writer), may call what changes a number.

use std::sync::OnceLock;

use super::counter::{Counter, Gauge, Kinds};
use super::histogram::Histogram;
use super::prefetch::prefetch;
use super::status::StatusCounts;

/// Routes whose counters lie in a row: allocated when one of them is first requested.
pub(super) const ROUTES_IN_A_ROW: usize = 64;

/// Counters of routes with neighbouring ids.
#[derive(Debug)]
pub(super) struct RouteRow([RouteStats; ROUTES_IN_A_ROW]);

impl Default for RouteRow {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RouteStats::default()))
    }
}

impl RouteRow {
    /// The counters of one of them.
    #[inline]
    pub(super) fn at(&self, id: u32) -> &RouteStats {
        &self.0[id as usize % ROUTES_IN_A_ROW]
    }
}

/// One route. One cache line, found by its id alone, since where 100,000 routes are requested each
/// line is a wait for memory: it holds what every request touches, and the ways to the rest.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RouteStats {
    ok: Counter,
    /// Bytes of request heads and bodies received.
    pub bytes_in: Counter,
    /// Bytes of response heads and bodies sent.
    pub bytes_out: Counter,
    /// Requests being served.
    pub in_flight: Gauge,
    times: OnceLock<Box<RouteTimes>>,
    rare: OnceLock<Box<RouteRare>>,
}

/// The part of [`RouteStats`] that exists after the first request: some 500 bytes, in the order in
/// which they are touched.
#[derive(Debug, Default)]
#[repr(C)]
pub struct RouteTimes {
    /// Sum of all latencies, nanoseconds.
    pub latency_sum: Counter,
    /// Requests that all rate limits admitted (counted only where the route has limits).
    pub allowed: Counter,
    /// From the first byte of the request head to the last byte of the response handed to the
    /// kernel.
    pub latency: Histogram,
}

/// The parts of [`RouteStats`] that most routes never need.
#[derive(Debug, Default)]
pub struct RouteRare {
    /// Responses by status, all but 200.
    pub codes: StatusCounts,
    /// Requests refused by a rate limit.
    pub limited: Counter,
    /// Requests refused because the limit table was full.
    pub limit_table_full: Counter,
    /// Requests refused by a concurrency limit.
    pub concurrency_refused: Counter,
    /// Tries on another target after the first.
    pub retries: Counter,
    /// Failures the gateway answered itself (by kind: see the worker's).
    pub failures: Counter,
}

impl RouteStats {
    /// A finished request: its final status, bytes on the client's side, and latency.
    #[inline]
    pub fn record(&self, status: u16, bytes_in: u64, bytes_out: u64, latency_ns: u64) {
        if status == 200 {
            self.ok.up();
        } else {
            self.rare().codes.up(status);
        }
        self.bytes_in.add(bytes_in);
        self.bytes_out.add(bytes_out);
        let times = self.times();
        times.latency_sum.add(latency_ns);
        times.latency.record(latency_ns);
    }

    /// What is counted when a request ends, made at first use.
    #[inline]
    pub fn times(&self) -> &RouteTimes {
        self.times.get_or_init(Box::default)
    }

    /// The same, where there ever was any.
    pub fn peek_times(&self) -> Option<&RouteTimes> {
        self.times.get().map(|times| &**times)
    }

    /// A request begins that will be [recorded](Self::record): has memory fetch what that needs.
    #[inline]
    pub fn begin(&self) {
        self.in_flight.up();
        if let Some(times) = self.times.get() {
            prefetch(&**times);
        }
    }

    /// That request will end soon, having lasted so long by now: the same for its count among latencies.
    #[inline]
    pub fn expect_end(&self, lasted_ns: u64) {
        if let Some(times) = self.times.get() {
            times.latency.expect(lasted_ns);
        }
    }

    /// The rare counters, made at first use.
    #[inline]
    pub fn rare(&self) -> &RouteRare {
        self.rare.get_or_init(Box::default)
    }

    /// The rare counters, where there ever were any.
    pub fn peek_rare(&self) -> Option<&RouteRare> {
        self.rare.get().map(|rare| &**rare)
    }

    /// Responses with status 200.
    pub fn ok(&self) -> u64 {
        self.ok.value()
    }

    pub(super) fn zero(&self) {
        [&self.ok, &self.bytes_in, &self.bytes_out].into_iter().for_each(Counter::zero);
        self.in_flight.set(0);
        if let Some(times) = self.peek_times() {
            times.latency_sum.zero();
            times.allowed.zero();
            times.latency.zero();
        }
        if let Some(rare) = self.peek_rare() {
            rare.codes.zero();
            [
                &rare.limited,
                &rare.limit_table_full,
                &rare.concurrency_refused,
                &rare.retries,
                &rare.failures,
            ]
            .into_iter()
            .for_each(Counter::zero);
        }
    }
}

/// One listener.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ListenerStats {
    /// Requests whose head was read, bad ones not included.
    pub requests: Counter,
    /// Bytes received.
    pub bytes_in: Counter,
    /// Bytes sent.
    pub bytes_out: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections open.
    pub open: Gauge,
    /// Responses by status, those without a route included.
    pub codes: StatusCounts,
    /// Connections refused: as many as allowed in all were open.
    pub refused_max_connections: Counter,
    /// Connections refused: as many as allowed for the client's address were open.
    pub refused_per_client: Counter,
    /// Connections refused: no descriptor was free.
    pub refused_no_descriptors: Counter,
    /// TLS handshakes that came to an agreement.
    pub handshakes: Counter,
    /// Those of them that continued an earlier session.
    pub handshakes_resumed: Counter,
    /// Those that did not.
    pub handshakes_failed: Counter,
    /// Connections refused because too many handshakes were under way.
    pub handshakes_refused: Counter,
    /// Those of the open ones that speak HTTP/2.
    pub http2_open: Gauge,
    /// Connections told to calm down (ENHANCE_YOUR_CALM): too much beside content, or too slow.
    pub http2_refused: Counter,
    /// Connections refused: no PROXY header, a bad one, or one from a peer that may send none.
    pub refused_proxy_protocol: Counter,
    /// Requests that all of the listener's (and the gateway's) rate limits admitted.
    pub allowed: Counter,
    /// Requests refused by one of them.
    pub limited: Counter,
    /// Requests that were refused as malformed, by kind.
    pub bad: Kinds,
    /// Connections that were passed on unread.
    pub forwarded: Counter,
    /// Those that are open.
    pub forwarding: Gauge,
    /// Connections that were to be passed on and were not, or not to their end.
    pub forward_failures: Counter,
}

impl ListenerStats {
    pub(super) fn zero(&self) {
        [
            &self.requests,
            &self.bytes_in,
            &self.bytes_out,
            &self.accepted,
            &self.refused_max_connections,
            &self.refused_per_client,
            &self.refused_no_descriptors,
            &self.handshakes,
            &self.handshakes_resumed,
            &self.handshakes_failed,
            &self.handshakes_refused,
            &self.http2_refused,
            &self.refused_proxy_protocol,
            &self.allowed,
            &self.limited,
            &self.forwarded,
            &self.forward_failures,
        ]
        .into_iter()
        .for_each(Counter::zero);
        self.open.set(0);
        self.http2_open.set(0);
        self.forwarding.set(0);
        self.codes.zero();
        self.bad.zero();
    }
}

/// One upstream.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct UpstreamStats {
    /// Requests that were to go to one of its targets.
    pub requests: Counter,
    /// Requests at one of its targets now.
    pub in_flight: Gauge,
    /// Tries on another target after the first.
    pub retries: Counter,
    /// Retries that would have been safe but that the budget did not allow.
    pub retries_over_budget: Counter,
    /// Requests for which no target was usable.
    pub no_target: Counter,
}

impl UpstreamStats {
    pub(super) fn zero(&self) {
        [&self.requests, &self.retries, &self.retries_over_budget, &self.no_target]
            .into_iter()
            .for_each(Counter::zero);
        self.in_flight.set(0);
    }
}

/// One target.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct TargetStats {
    /// Tries sent to it (a retried request counts at each target it was sent to).
    pub requests: Counter,
    /// Requests at it now.
    pub in_flight: Gauge,
    /// Idle connections in the pool.
    pub idle: Gauge,
    /// Requests sent on a connection from the pool.
    pub reused: Counter,
    /// Sum of all response times, nanoseconds.
    pub response_time_sum: Counter,
    /// Connections opened.
    pub connects: Counter,
    /// Connections that could not be opened.
    pub connect_failures: Counter,
    /// Pooled connections found dead before reuse.
    pub stale: Counter,
    /// Retries that went to it.
    pub retries: Counter,
    /// Times it was passed over because it had refused a connection lately.
    pub skipped: Counter,
    /// Responses cut short, malformed or late.
    pub failures: Counter,
    /// Its responses by status.
    pub codes: StatusCounts,
    /// From the request handed to the kernel to the response head's last byte.
    pub response_time: Histogram,
}

impl TargetStats {
    /// A response head came: its status and how long it took.
    #[inline]
    pub fn record(&self, status: u16, response_ns: u64) {
        self.codes.up(status);
        self.response_time_sum.add(response_ns);
        self.response_time.record(response_ns);
    }

    pub(super) fn zero(&self) {
        [
            &self.requests,
            &self.reused,
            &self.response_time_sum,
            &self.connects,
            &self.connect_failures,
            &self.stale,
            &self.retries,
            &self.skipped,
            &self.failures,
        ]
        .into_iter()
        .for_each(Counter::zero);
        self.in_flight.set(0);
        self.idle.set(0);
        self.codes.zero();
        self.response_time.zero();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_200_touches_one_line_and_the_histogram() {
        assert_eq!(size_of::<RouteStats>(), 64);
        let route = RouteStats::default();
        route.record(200, 100, 1000, 50_000);
        assert!(route.peek_rare().is_none());
        route.record(404, 1, 1, 1);
        assert!(route.peek_rare().is_some());
        assert_eq!(route.ok(), 1);
        assert_eq!(route.bytes_out.value(), 1001);
        route.zero();
        assert_eq!(route.ok() + route.bytes_in.value() + route.times().latency_sum.value(), 0);
    }
}
