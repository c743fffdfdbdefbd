//! `/metrics`: the Prometheus text exposition format, version 0.0.4.

use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::time::UNIX_EPOCH;

use super::shown::Shown;
use crate::limits::ADMIN_MAX_ROUTES;
use crate::stats::merge::{self, ListenerSum, RouteSum, TargetSum, UpstreamSum};
use crate::stats::names::{self as n, BUCKETS_SECONDS, Metric, process};
use crate::stats::{Buckets, StatusSums};

/// Content-Type of the answer.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole exposition.
pub(super) fn render(shown: &Shown<'_>) -> String {
    let mut text = Text(String::with_capacity(64 * 1024));
    gateway(&mut text, shown);
    listeners(&mut text, shown);
    routes(&mut text, shown);
    upstreams(&mut text, shown);
    targets(&mut text, shown);
    workers(&mut text, shown);
    limit_tables(&mut text, shown);
    ledger(&mut text, shown);
    access_log(&mut text, shown);
    own_process(&mut text, shown);
    text.0
}

/// The text so far. All samples of a metric stand together, below its HELP and TYPE.
struct Text(String);

impl Text {
    fn head(&mut self, metric: &Metric) {
        // Writing to a String cannot fail; here and below.
        let _ = writeln!(self.0, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(self.0, "# TYPE {} {}", metric.name, metric.kind.name());
    }

    /// A sample; `values` are those of the metric's labels, in order.
    fn sample(&mut self, metric: &Metric, values: &[&dyn Display], number: impl Display) {
        debug_assert_eq!(metric.labels.len(), values.len());
        self.0.push_str(metric.name);
        self.labels(metric, values, None);
        let _ = writeln!(self.0, " {number}");
    }

    fn single(&mut self, metric: &Metric, number: impl Display) {
        self.head(metric);
        self.sample(metric, &[], number);
    }

    fn histogram(
        &mut self,
        metric: &Metric,
        values: &[&dyn Display],
        buckets: &Buckets,
        sum_ns: u64,
    ) {
        let count = buckets.count();
        for bound in BUCKETS_SECONDS {
            self.bucket(metric, values, &bound, buckets.at_most(bound));
        }
        self.bucket(metric, values, &"+Inf", count);
        for (suffix, number) in [("_sum", sum_ns as f64 / 1e9), ("_count", count as f64)] {
            self.0.push_str(metric.name);
            self.0.push_str(suffix);
            self.labels(metric, values, None);
            let _ = writeln!(self.0, " {number}");
        }
    }

    fn bucket(&mut self, metric: &Metric, values: &[&dyn Display], le: &dyn Display, n: u64) {
        self.0.push_str(metric.name);
        self.0.push_str("_bucket");
        self.labels(metric, values, Some(le));
        let _ = writeln!(self.0, " {n}");
    }

    fn labels(&mut self, metric: &Metric, values: &[&dyn Display], le: Option<&dyn Display>) {
        let own = metric.labels.iter().copied().zip(values.iter().copied());
        let mut before = '{';
        for (name, value) in own.chain(le.map(|le| ("le", le))) {
            let _ = write!(self.0, "{before}{name}=\"");
            let _ = write!(Escaped(&mut self.0), "{value}");
            self.0.push('"');
            before = ',';
        }
        if before == ',' {
            self.0.push('}');
        }
    }

    fn codes(&mut self, metric: &Metric, values: &[&dyn Display], codes: &StatusSums) {
        for (code, n) in codes.seen() {
            let mut all = values.to_vec();
            all.push(&code);
            self.sample(metric, &all, n);
        }
    }
}

/// Writes label values: backslash, quote and line feed escaped.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        for c in s.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

fn gateway(text: &mut Text, shown: &Shown<'_>) {
    let (facts, sum) = (&shown.facts, &shown.gateway);
    text.head(&n::BUILD_INFO);
    text.sample(&n::BUILD_INFO, &[&env!("CARGO_PKG_VERSION"), &facts.driver], 1);
    text.single(&n::CONFIG_GENERATION, facts.generation);
    text.head(&n::RELOADS);
    text.sample(&n::RELOADS, &[&"ok"], facts.reloads_ok);
    text.sample(&n::RELOADS, &[&"failed"], facts.reloads_failed);
    text.single(&n::DRAINING, u8::from(facts.draining));
    text.single(&n::CONNECTIONS, sum.connections);
    text.single(&n::IN_FLIGHT, sum.in_flight);
    text.single(&n::TUNNELS, sum.tunnels);
    text.head(&n::FAILURES);
    for (reason, count) in sum.failures.named(shown.kinds.failures) {
        text.sample(&n::FAILURES, &[&reason], count);
    }
    text.head(&n::REQUEST_SECONDS);
    text.histogram(&n::REQUEST_SECONDS, &[], &sum.latency, sum.latency_sum_ns);
    text.single(&n::RECEIVED, sum.bytes_in);
    text.single(&n::SENT, sum.bytes_out);
}

/// One metric of every one of `all`: its head, then a sample each.
fn each<T>(text: &mut Text, metric: &Metric, all: &[(Vec<&str>, T)], number: impl Fn(&T) -> u64) {
    text.head(metric);
    for (names, sum) in all {
        let values: Vec<&dyn Display> = names.iter().map(|name| name as &dyn Display).collect();
        text.sample(metric, &values, number(sum));
    }
}

/// The same for a metric with one label more, whose values and numbers `of` gives.
fn each_by<T, const N: usize>(
    text: &mut Text,
    metric: &Metric,
    all: &[(Vec<&str>, T)],
    of: impl Fn(&T) -> [(&'static str, u64); N],
) {
    text.head(metric);
    for (names, sum) in all {
        for (label, number) in of(sum) {
            let mut values: Vec<&dyn Display> =
                names.iter().map(|name| name as &dyn Display).collect();
            values.push(&label);
            text.sample(metric, &values, number);
        }
    }
}

fn each_code<T>(
    text: &mut Text,
    metric: &Metric,
    all: &[(Vec<&str>, T)],
    codes: impl Fn(&T) -> &StatusSums,
) {
    text.head(metric);
    for (names, sum) in all {
        let values: Vec<&dyn Display> = names.iter().map(|name| name as &dyn Display).collect();
        text.codes(metric, &values, codes(sum));
    }
}

fn each_histogram<T>(
    text: &mut Text,
    metric: &Metric,
    all: &[(Vec<&str>, T)],
    of: impl Fn(&T) -> (&Buckets, u64),
) {
    text.head(metric);
    for (names, sum) in all {
        let values: Vec<&dyn Display> = names.iter().map(|name| name as &dyn Display).collect();
        let (buckets, sum_ns) = of(sum);
        text.histogram(metric, &values, buckets, sum_ns);
    }
}

fn listeners(text: &mut Text, shown: &Shown<'_>) {
    let entries = &shown.directory.listeners;
    let all: Vec<(Vec<&str>, ListenerSum)> =
        entries.iter().map(|e| (vec![&*e.name], merge::listener(shown.workers, e.id))).collect();
    each_code(text, &n::LISTENER_REQUESTS, &all, |l| &l.codes);
    each(text, &n::LISTENER_ACCEPTED, &all, |l| l.accepted);
    each(text, &n::LISTENER_OPEN, &all, |l| l.open);
    each_by(text, &n::LISTENER_REFUSED, &all, |l| {
        [
            ("max_connections", l.refused_max_connections),
            ("per_client", l.refused_per_client),
            ("no_descriptors", l.refused_no_descriptors),
            ("proxy_protocol", l.refused_proxy_protocol),
        ]
    });
    text.head(&n::LISTENER_BAD);
    for (names, sum) in &all {
        for (reason, count) in sum.bad.named(shown.kinds.bad_requests) {
            text.sample(&n::LISTENER_BAD, &[&names[0], &reason], count);
        }
    }
    each_by(text, &n::LISTENER_HANDSHAKES, &all, |l| {
        [
            ("full", l.handshakes.saturating_sub(l.handshakes_resumed)),
            ("resumed", l.handshakes_resumed),
            ("failed", l.handshakes_failed),
            ("refused", l.handshakes_refused),
        ]
    });
    each(text, &n::LISTENER_HTTP2_CONNECTIONS, &all, |l| l.http2_open);
    each(text, &n::LISTENER_HTTP2_REFUSED, &all, |l| l.http2_refused);
    each(text, &n::LISTENER_RECEIVED, &all, |l| l.bytes_in);
    each(text, &n::LISTENER_SENT, &all, |l| l.bytes_out);
    each_by(text, &n::LISTENER_LIMITS, &all, |l| [("allowed", l.allowed), ("limited", l.limited)]);
    each(text, &n::LISTENER_FORWARDED, &all, |l| l.forwarded);
    each(text, &n::LISTENER_FORWARDING, &all, |l| l.forwarding);
    each(text, &n::LISTENER_FORWARD_FAILURES, &all, |l| l.forward_failures);
    certificates(text, shown);
    acme(text, shown);
    issuers(text, shown);
    inquiries(text, shown);
}

fn inquiries(text: &mut Text, shown: &Shown<'_>) {
    text.head(&n::IDENTITY_QUESTIONS);
    for (about, counts) in &shown.inquiries {
        let each = [
            ("asked", counts.asked),
            ("answered", counts.answered),
            ("failed", counts.failed),
            ("overloaded", counts.overloaded),
            ("joined", counts.joined),
            ("remembered", counts.remembered),
        ];
        for (what, count) in each {
            text.sample(&n::IDENTITY_QUESTIONS, &[about, &what], count);
        }
    }
}

fn issuers(text: &mut Text, shown: &Shown<'_>) {
    text.head(&n::JWT_FETCHES);
    for (name, told) in &shown.issuers {
        for (result, count) in [("answered", told.fetched), ("failed", told.failed)] {
            text.sample(&n::JWT_FETCHES, &[name, &result], count);
        }
    }
    text.head(&n::JWT_KEYS);
    for (name, told) in &shown.issuers {
        text.sample(&n::JWT_KEYS, &[name], told.keys);
    }
}

fn acme(text: &mut Text, shown: &Shown<'_>) {
    text.head(&n::ACME_CERTIFICATES);
    for (name, told) in &shown.acme {
        for (result, count) in [("obtained", told.obtained), ("failed", told.failed)] {
            text.sample(&n::ACME_CERTIFICATES, &[name, &result], count);
        }
    }
    text.head(&n::ACME_FAILING);
    for (name, told) in &shown.acme {
        let error = told.last_error.as_ref().map_or("none", |(kind, _)| kind.name());
        text.sample(&n::ACME_FAILING, &[name, &error], told.failures);
    }
    text.head(&n::ACME_RENEWAL);
    for (name, told) in &shown.acme {
        if let Some(at) = told.renew_at {
            text.sample(&n::ACME_RENEWAL, &[name], at);
        }
    }
}

fn certificates(text: &mut Text, shown: &Shown<'_>) {
    text.head(&n::CERTIFICATE_EXPIRY);
    for one in shown.certificates.iter() {
        // Of certificates with one name, as with two kinds of keys, the first to expire: a series
        // must not come twice.
        let mut seen = HashSet::new();
        for certificate in &one.validities.soonest {
            let Some(name) = certificate.names.first().filter(|name| seen.insert(*name)) else {
                continue;
            };
            let values: [&dyn Display; 2] = [&one.listener, name];
            text.sample(&n::CERTIFICATE_EXPIRY, &values, certificate.not_after);
        }
    }
    text.head(&n::CLIENT_CRL_NEXT_UPDATE);
    for one in shown.certificates.iter() {
        if let Some(at) = one.validities.lists_until {
            text.sample(&n::CLIENT_CRL_NEXT_UPDATE, &[&one.listener], at);
        }
    }
}

fn routes(text: &mut Text, shown: &Shown<'_>) {
    let (entries, left_out) = shown.routes(ADMIN_MAX_ROUTES);
    let sum = |e: &&crate::stats::Entry| merge::route(shown.workers, e.id);
    let all: Vec<(Vec<&str>, RouteSum)> =
        entries.iter().map(|e| (vec![&*e.name], sum(e))).collect();
    each_code(text, &n::REQUESTS, &all, |r| &r.codes);
    each_histogram(text, &n::ROUTE_SECONDS, &all, |r| (&r.latency, r.latency_sum_ns));
    each(text, &n::ROUTE_RECEIVED, &all, |r| r.bytes_in);
    each(text, &n::ROUTE_SENT, &all, |r| r.bytes_out);
    each(text, &n::ROUTE_IN_FLIGHT, &all, |r| r.in_flight);
    each_by(text, &n::LIMIT_DECISIONS, &all, |r| {
        [
            ("allowed", r.allowed),
            ("limited", r.limited),
            ("table_full", r.limit_table_full),
            ("concurrency", r.concurrency_refused),
        ]
    });
    each(text, &n::ROUTE_RETRIES, &all, |r| r.retries);
    each(text, &n::ROUTE_FAILURES, &all, |r| r.failures);
    text.single(&n::ROUTES_NOT_SHOWN, left_out);
}

fn upstreams(text: &mut Text, shown: &Shown<'_>) {
    let of = |u: &crate::stats::UpstreamEntry| merge::upstream(shown.workers, u.entry.id);
    let all: Vec<(Vec<&str>, UpstreamSum)> =
        shown.directory.upstreams.iter().map(|u| (vec![&*u.entry.name], of(u))).collect();
    each(text, &n::UPSTREAM_REQUESTS, &all, |u| u.requests);
    each(text, &n::UPSTREAM_IN_FLIGHT, &all, |u| u.in_flight);
    each(text, &n::UPSTREAM_RETRIES, &all, |u| u.retries);
    each(text, &n::UPSTREAM_OVER_BUDGET, &all, |u| u.retries_over_budget);
    each(text, &n::UPSTREAM_NO_TARGET, &all, |u| u.no_target);
}

fn targets(text: &mut Text, shown: &Shown<'_>) {
    let mut all: Vec<(Vec<&str>, TargetSum)> = Vec::new();
    let mut seen = HashSet::new();
    for upstream in &shown.directory.upstreams {
        // An address written twice is one target: a series must not come twice.
        for target in upstream.targets.iter().filter(|target| seen.insert(target.id)) {
            let names = vec![&*upstream.entry.name, &*target.name];
            all.push((names, merge::target(shown.workers, target.id)));
        }
    }
    each(text, &n::TARGET_TRIES, &all, |t| t.requests);
    each_code(text, &n::TARGET_RESPONSES, &all, |t| &t.codes);
    each_histogram(text, &n::TARGET_SECONDS, &all, |t| (&t.response_time, t.response_time_sum_ns));
    each(text, &n::TARGET_IN_FLIGHT, &all, |t| t.in_flight);
    each(text, &n::TARGET_IDLE, &all, |t| t.idle);
    each(text, &n::TARGET_CONNECTS, &all, |t| t.connects);
    each(text, &n::TARGET_CONNECT_FAILURES, &all, |t| t.connect_failures);
    each(text, &n::TARGET_REUSED, &all, |t| t.reused);
    each(text, &n::TARGET_STALE, &all, |t| t.stale);
    each(text, &n::TARGET_RETRIES, &all, |t| t.retries);
    each(text, &n::TARGET_SKIPPED, &all, |t| t.skipped);
    each(text, &n::TARGET_FAILURES, &all, |t| t.failures);
    for (metric, number) in [(&n::DNS_ADDRESSES, 0), (&n::DNS_FAILURES, 1)] {
        text.head(metric);
        for name in &shown.names {
            let label = format!("{}:{}", name.name.0, name.name.1);
            let numbers = [name.addresses.len(), name.failures as usize];
            text.sample(metric, &[&label], numbers[number]);
        }
    }
}

fn workers(text: &mut Text, shown: &Shown<'_>) {
    type Of = fn(&crate::stats::WorkerStats) -> u64;
    let metrics: [(&Metric, Of); 8] = [
        (&n::WORKER_REQUESTS, |w| w.requests.value()),
        (&n::WORKER_CONNECTIONS, |w| w.connections.value()),
        (&n::WORKER_TUNNELS, |w| w.tunnels.value()),
        (&n::WORKER_TURNS, |w| w.turns.value()),
        (&n::WORKER_POOL_IDLE, |w| w.pool_idle.value()),
        (&n::WORKER_BUFFER_BYTES, |w| w.buffer_bytes.value()),
        (&n::WORKER_ACCEPT_PAUSES, |w| w.accept_pauses.value()),
        (&n::WORKER_GENERATION, |w| w.generation.value()),
    ];
    for (metric, number) in metrics {
        text.head(metric);
        for worker in shown.workers {
            let core = worker.core().map(|core| core.to_string()).unwrap_or_default();
            text.sample(metric, &[&worker.index, &core], number(worker));
        }
    }
}

fn limit_tables(text: &mut Text, shown: &Shown<'_>) {
    text.head(&n::LIMIT_TABLE_USED);
    for (table, used) in shown.facts.limit_tables {
        text.sample(&n::LIMIT_TABLE_USED, &[&table], used);
    }
    text.sample(&n::LIMIT_TABLE_USED, &[&"quotas"], shown.facts.quota_table);
    text.sample(&n::LIMIT_TABLE_USED, &[&"proofs"], shown.facts.proof_table);
    text.single(&n::SOFT_QUOTAS_PASSED, shown.gateway.soft_quotas_passed);
    text.single(&n::BEYOND_SOFT_QUOTA, shown.gateway.beyond_soft_quota);
}

fn ledger(text: &mut Text, shown: &Shown<'_>) {
    let ledger = &shown.facts.ledger;
    text.head(&n::LEDGER_COMMITS);
    text.sample(&n::LEDGER_COMMITS, &[&"ok"], ledger.commits);
    text.sample(&n::LEDGER_COMMITS, &[&"failed"], ledger.failures);
    text.single(&n::LEDGER_WAITING, ledger.waiting);
    text.single(&n::LEDGER_LAG, ledger.lag_ms as f64 / 1000.0);
    text.head(&n::LEDGER_STRICT);
    text.sample(&n::LEDGER_STRICT, &[&"ok"], ledger.strict - ledger.strict_refused);
    text.sample(&n::LEDGER_STRICT, &[&"refused"], ledger.strict_refused);
    text.single(&n::LEDGER_LOST, ledger.lost);
}

fn access_log(text: &mut Text, shown: &Shown<'_>) {
    text.single(&n::LOG_WRITTEN, shown.log.written);
    text.head(&n::LOG_DROPPED);
    let full = shown.log.dropped + shown.gateway.log_dropped;
    text.sample(&n::LOG_DROPPED, &[&"queue_full"], full);
    text.sample(&n::LOG_DROPPED, &[&"write_error"], shown.log.failed);
    text.single(&n::LOG_QUEUED, shown.log.queued_bytes);
}

fn own_process(text: &mut Text, shown: &Shown<'_>) {
    let own = &shown.process;
    if let Some(cpu) = own.cpu() {
        text.single(&process::CPU, cpu);
    }
    let numbers = [
        (&process::RESIDENT, own.resident),
        (&process::VIRTUAL, own.virtual_memory),
        (&process::OPEN_FDS, own.open_fds),
        (&process::MAX_FDS, own.max_fds),
        (&process::THREADS, own.threads),
    ];
    for (metric, number) in numbers {
        if let Some(number) = number {
            text.single(metric, number);
        }
    }
    let start = shown.facts.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.single(&process::START, start.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text(String::new());
        text.sample(&n::ROUTE_SENT, &[&"a\"b\\c\nd"], 7);
        assert_eq!(text.0, "tollgate_route_sent_bytes_total{route=\"a\\\"b\\\\c\\nd\"} 7\n");
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_the_count() {
        let histogram = crate::stats::Histogram::default();
        [40_000, 3_000_000, 3_000_000, 100_000_000_000].iter().for_each(|ns| histogram.record(*ns));
        let mut buckets = Buckets::default();
        buckets.add(&histogram);
        let mut text = Text(String::new());
        text.histogram(&n::REQUEST_SECONDS, &[], &buckets, 5_000_000);
        for line in [
            "_bucket{le=\"0.0001\"} 1\n",
            "_bucket{le=\"0.0025\"} 1\n",
            "_bucket{le=\"0.005\"} 3\n",
            "_bucket{le=\"1\"} 3\n",
            "_bucket{le=\"+Inf\"} 4\n",
            "_sum 0.005\n",
            "_count 4\n",
        ] {
            assert!(text.0.contains(line), "{line} in {}", text.0);
        }
    }
}
