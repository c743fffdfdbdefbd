//! Metric names: every metric of `/metrics`, by Prometheus' naming rules (base units, `_total` for
//! counters), each defined once.

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl MetricKind {
    /// The word of the exposition format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, unit included.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// One line for people.
    pub help: &'static str,
}

/// Upper bounds of the histogram buckets in `/metrics`, seconds. `/stats` has finer percentiles.
pub const BUCKETS_SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal [$($label:literal)*] $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: concat!("tollgate_", $name),
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All of the gateway's own metrics, in the order they are shown.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO Gauge "build_info" ["version" "driver"] "Constant 1; the version and driver are labels."
    CONFIG_GENERATION Gauge "config_generation" [] "Generation of the configuration in force."
    RELOADS Counter "reloads_total" ["result"] "Configuration reloads, by result (ok, failed)."
    DRAINING Gauge "draining" [] "1 while the gateway finishes its requests in order to stop."
    CONNECTIONS Gauge "connections" [] "Client connections open."
    IN_FLIGHT Gauge "requests_in_flight" [] "Requests being served."
    TUNNELS Gauge "tunnels" [] "Tunnels open: requests that became one (WebSocket and other upgrades), and connections that are passed on unread."
    FAILURES Counter "failures_total" ["reason"] "Requests the gateway answered with an error of its own, by reason."
    REQUEST_SECONDS Histogram "request_duration_seconds" [] "From the first byte of the request head to the last byte of the response."
    RECEIVED Counter "received_bytes_total" [] "Bytes received from clients."
    SENT Counter "sent_bytes_total" [] "Bytes sent to clients."

    LISTENER_REQUESTS Counter "listener_requests_total" ["listener" "code"] "Requests, by listener and status code."
    LISTENER_ACCEPTED Counter "listener_connections_accepted_total" ["listener"] "Connections accepted."
    LISTENER_OPEN Gauge "listener_connections" ["listener"] "Connections open."
    LISTENER_REFUSED Counter "listener_connections_refused_total" ["listener" "reason"] "Connections refused, by reason (max_connections, per_client, no_descriptors, proxy_protocol)."
    LISTENER_BAD Counter "listener_bad_requests_total" ["listener" "reason"] "Requests refused as malformed, by reason."
    LISTENER_HANDSHAKES Counter "listener_tls_handshakes_total" ["listener" "result"] "TLS handshakes, by result (full, resumed, failed, refused: too many at once)."
    LISTENER_HTTP2_CONNECTIONS Gauge "listener_http2_connections" ["listener"] "Connections open that speak HTTP/2."
    LISTENER_HTTP2_REFUSED Counter "listener_http2_refused_total" ["listener"] "Connections told to calm down (ENHANCE_YOUR_CALM)."
    LISTENER_RECEIVED Counter "listener_received_bytes_total" ["listener"] "Bytes received."
    LISTENER_SENT Counter "listener_sent_bytes_total" ["listener"] "Bytes sent."
    LISTENER_LIMITS Counter "listener_limit_decisions_total" ["listener" "decision"] "Decisions of the listener's and the gateway's rate limits (allowed, limited)."
    LISTENER_FORWARDED Counter "listener_forwarded_connections_total" ["listener"] "Connections that were passed on unread."
    LISTENER_FORWARDING Gauge "listener_forwarded_connections" ["listener"] "Those of them that are open."
    LISTENER_FORWARD_FAILURES Counter "listener_forward_failures_total" ["listener"] "Connections that were to be passed on and were not, or not to their end."
    ACME_CERTIFICATES Counter "acme_certificates_total" ["name" "result"] "Tries to get a certificate (obtained, failed)."
    ACME_FAILING Gauge "acme_consecutive_failures" ["name" "error"] "Failures in a row to get a certificate, by the last error (none, network, server, rate_limited, refused, challenge, certificate, store)."
    ACME_RENEWAL Gauge "acme_renewal_timestamp_seconds" ["name"] "When the next certificate is asked for, in seconds since unix epoch."
    IDENTITY_QUESTIONS Counter "identity_questions_total" ["about" "result"] "Questions about who calls that took more than a lookup (asked, answered, failed; overloaded: refused, since too many were open; joined: waited for a question that was asked already; remembered: not asked again)."
    JWT_FETCHES Counter "jwt_key_fetches_total" ["jwt" "result"] "Questions to issuers for their keys (answered, failed)."
    JWT_KEYS Gauge "jwt_keys" ["jwt"] "Keys of an issuer in force."
    CERTIFICATE_EXPIRY Gauge "certificate_expiry_timestamp_seconds" ["listener" "name"] "When a certificate ends, in seconds since unix epoch; by the first of its names, the soonest hundred of a listener."
    CLIENT_CRL_NEXT_UPDATE Gauge "client_crl_next_update_timestamp_seconds" ["listener"] "When the first of a listener's lists of revoked client certificates must be replaced, in seconds since unix epoch; clients of its authority are refused from then on."

    REQUESTS Counter "requests_total" ["route" "code"] "Requests, by route and status code."
    ROUTE_SECONDS Histogram "route_request_duration_seconds" ["route"] "Request durations by route."
    ROUTE_RECEIVED Counter "route_received_bytes_total" ["route"] "Bytes received."
    ROUTE_SENT Counter "route_sent_bytes_total" ["route"] "Bytes sent."
    ROUTE_IN_FLIGHT Gauge "route_requests_in_flight" ["route"] "Requests being served."
    LIMIT_DECISIONS Counter "limit_decisions_total" ["route" "decision"] "Decisions of the route's limits (allowed, limited, table_full, concurrency)."
    ROUTE_RETRIES Counter "route_retries_total" ["route"] "Tries on another target after the first."
    ROUTE_FAILURES Counter "route_failures_total" ["route"] "Requests the gateway answered with an error of its own."
    ROUTES_NOT_SHOWN Gauge "routes_not_shown" [] "Routes left out here: unused ones where there are many, and all but the busiest."

    UPSTREAM_REQUESTS Counter "upstream_requests_total" ["upstream"] "Requests that were to go to the upstream."
    UPSTREAM_IN_FLIGHT Gauge "upstream_requests_in_flight" ["upstream"] "Requests at the upstream's targets."
    UPSTREAM_RETRIES Counter "upstream_retries_total" ["upstream"] "Tries on another target after the first."
    UPSTREAM_OVER_BUDGET Counter "upstream_retries_over_budget_total" ["upstream"] "Retries that the budget did not allow."
    UPSTREAM_NO_TARGET Counter "upstream_no_target_total" ["upstream"] "Requests for which no target was usable."

    TARGET_TRIES Counter "target_tries_total" ["upstream" "target"] "Tries sent to the target."
    TARGET_RESPONSES Counter "target_responses_total" ["upstream" "target" "code"] "Responses of the target, by status code."
    TARGET_SECONDS Histogram "target_response_time_seconds" ["upstream" "target"] "From the request sent to the response head received."
    TARGET_IN_FLIGHT Gauge "target_requests_in_flight" ["upstream" "target"] "Requests at the target."
    TARGET_IDLE Gauge "target_idle_connections" ["upstream" "target"] "Idle connections in the pool."
    TARGET_CONNECTS Counter "target_connects_total" ["upstream" "target"] "Connections opened."
    TARGET_CONNECT_FAILURES Counter "target_connect_failures_total" ["upstream" "target"] "Connections that could not be opened."
    TARGET_REUSED Counter "target_connections_reused_total" ["upstream" "target"] "Requests sent on a connection from the pool."
    TARGET_STALE Counter "target_connections_stale_total" ["upstream" "target"] "Pooled connections found dead before reuse."
    TARGET_RETRIES Counter "target_retries_total" ["upstream" "target"] "Retries that went to the target."
    TARGET_SKIPPED Counter "target_skipped_total" ["upstream" "target"] "Times the target was passed over after it refused a connection."
    TARGET_FAILURES Counter "target_failures_total" ["upstream" "target"] "Responses cut short, malformed or late."
    DNS_ADDRESSES Gauge "dns_addresses" ["name"] "Addresses a DNS name was last resolved to."
    DNS_FAILURES Gauge "dns_consecutive_failures" ["name"] "Look-ups that failed since the last good one."

    WORKER_REQUESTS Counter "worker_requests_total" ["worker" "core"] "Requests finished."
    WORKER_CONNECTIONS Gauge "worker_connections" ["worker" "core"] "Client connections open."
    WORKER_TUNNELS Gauge "worker_tunnels" ["worker" "core"] "Tunnels open: upgraded requests, and connections that are passed on unread."
    WORKER_TURNS Counter "worker_turns_total" ["worker" "core"] "Turns of the event loop."
    WORKER_POOL_IDLE Gauge "worker_pool_idle_connections" ["worker" "core"] "Idle upstream connections."
    WORKER_BUFFER_BYTES Gauge "worker_buffer_bytes" ["worker" "core"] "Bytes of buffers in use."
    WORKER_ACCEPT_PAUSES Counter "worker_accept_pauses_total" ["worker" "core"] "Times accepting was paused for want of descriptors."
    WORKER_GENERATION Gauge "worker_config_generation" ["worker" "core"] "Generation of the configuration that new requests get."

    LIMIT_TABLE_USED Gauge "limit_table_used_ratio" ["table"] "Share of tables of a fixed size that holds state, by table (limits' buckets and counters, quotas, proofs of tokens' keys); an estimate from a sample."

    SOFT_QUOTAS_PASSED Counter "soft_quotas_passed_total" [] "Times an application passed a soft quota, once for each of its periods."
    BEYOND_SOFT_QUOTA Counter "beyond_soft_quota_total" [] "Requests that went on beyond a soft quota."

    LEDGER_COMMITS Counter "ledger_commits_total" ["result"] "Commits of usage to the store, by result (ok, failed: what they held is kept)."
    LEDGER_WAITING Gauge "ledger_waiting" [] "Sums of usage, and changed counts of quotas, that wait for a commit."
    LEDGER_LAG Gauge "ledger_lag_seconds" [] "How long the oldest of them has waited."
    LEDGER_STRICT Counter "ledger_strict_total" ["result"] "Requests of strict plans whose charges were to be on the disk first, by result (ok, refused)."
    LEDGER_LOST Counter "ledger_lost_total" [] "Sums of usage that were lost: the store could not be written and memory was full, or it refuses this row."

    LOG_WRITTEN Counter "access_log_records_written_total" [] "Access-log records written."
    LOG_DROPPED Counter "access_log_records_dropped_total" ["reason"] "Access-log records lost, by reason (queue_full, write_error)."
    LOG_QUEUED Gauge "access_log_queued_bytes" [] "Bytes of access-log records waiting to be written."
}

/// The standard metrics of a process, by the names every Prometheus client uses.
pub mod process {
    use super::{Metric, MetricKind};

    const fn metric(name: &'static str, kind: MetricKind, help: &'static str) -> Metric {
        Metric { name, kind, labels: &[], help }
    }

    /// CPU time.
    pub const CPU: Metric = metric(
        "process_cpu_seconds_total",
        MetricKind::Counter,
        "Total user and system CPU time spent in seconds.",
    );
    /// Resident memory.
    pub const RESIDENT: Metric = metric(
        "process_resident_memory_bytes",
        MetricKind::Gauge,
        "Resident memory size in bytes.",
    );
    /// Virtual memory.
    pub const VIRTUAL: Metric =
        metric("process_virtual_memory_bytes", MetricKind::Gauge, "Virtual memory size in bytes.");
    /// Open descriptors.
    pub const OPEN_FDS: Metric =
        metric("process_open_fds", MetricKind::Gauge, "Number of open file descriptors.");
    /// Allowed descriptors.
    pub const MAX_FDS: Metric =
        metric("process_max_fds", MetricKind::Gauge, "Maximum number of open file descriptors.");
    /// Threads.
    pub const THREADS: Metric =
        metric("process_threads", MetricKind::Gauge, "Number of OS threads in the process.");
    /// Start.
    pub const START: Metric = metric(
        "process_start_time_seconds",
        MetricKind::Gauge,
        "Start time of the process since unix epoch in seconds.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_and_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            let counter = metric.kind == MetricKind::Counter;
            assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(metric.name.bytes().all(allowed), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            if metric.kind == MetricKind::Histogram {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
            }
        }
        assert!(BUCKETS_SECONDS.is_sorted());
    }
}
