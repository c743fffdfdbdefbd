//! `/stats`: everything as one JSON object. Durations in seconds, sizes in bytes.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram as Hdr;
use serde_json::{Map, Value, json};

use super::history::Recent;
use super::shown::{Percentiles, Shown};
use crate::control::tls::Validities;
use crate::limits::ADMIN_MAX_ROUTES;
use crate::stats::merge::{self, KindSums};
use crate::stats::{Buckets, Entry, StatusSums, UpstreamEntry, WorkerStats};

/// The object as text.
pub(super) fn render(shown: &Shown<'_>, recent: &Recent) -> String {
    let mut hdr = Buckets::empty_hdr();
    let (routes, left_out) = shown.routes(ADMIN_MAX_ROUTES);
    let workers = shown.workers.iter().map(|w| worker(w, &mut hdr)).collect::<Vec<_>>();
    let listeners = shown.directory.listeners.iter().map(|e| listener(shown, e));
    let listeners = listeners.collect::<Vec<_>>();
    let routes = routes.into_iter().map(|e| route(shown, e, &mut hdr)).collect::<Vec<_>>();
    let upstreams = shown.directory.upstreams.iter().map(|u| upstream(shown, u, &mut hdr));
    let upstreams = upstreams.collect::<Vec<_>>();
    let all = json!({
        "name": shown.facts.name,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": shown.uptime().as_secs_f64(),
        "draining": shown.facts.draining,
        "driver": shown.facts.driver,
        "driver_reason": shown.facts.driver_reason,
        "config": config(shown),
        "process": process(shown),
        "gateway": gateway(shown, recent, &mut hdr),
        "limit_tables_used": shown.facts.limit_tables.into_iter().collect::<BTreeMap<_, _>>(),
        "quota_table_used": shown.facts.quota_table,
        "proof_table_used": shown.facts.proof_table,
        "soft_quotas": {
            "passed": shown.gateway.soft_quotas_passed,
            "requests_beyond": shown.gateway.beyond_soft_quota,
        },
        "ledger": ledger(shown),
        "access_log": access_log(shown),
        "workers": workers,
        "listeners": listeners,
        "routes": routes,
        "routes_not_shown": left_out,
        "upstreams": upstreams,
        "dns": dns(shown),
        "acme": acme(shown),
        "jwt_issuers": issuers(shown),
        "identity": inquiries(shown),
    });
    let mut text = all.to_string();
    text.push('\n');
    text
}

fn config(shown: &Shown<'_>) -> Value {
    let facts = &shown.facts;
    json!({
        "generation": facts.generation,
        "hash": facts.config_hash,
        "reloads": {
            "ok": facts.reloads_ok,
            "failed": facts.reloads_failed,
            "last_error": facts.last_reload_error,
        },
    })
}

fn process(shown: &Shown<'_>) -> Value {
    let process = &shown.process;
    json!({
        "cpu_user_seconds": process.cpu_user,
        "cpu_system_seconds": process.cpu_system,
        "resident_bytes": process.resident,
        "virtual_bytes": process.virtual_memory,
        "threads": process.threads,
        "open_fds": process.open_fds,
        "max_fds": process.max_fds,
    })
}

fn gateway(shown: &Shown<'_>, recent: &Recent, hdr: &mut Hdr<u64>) -> Value {
    let sum = &shown.gateway;
    json!({
        "requests": sum.requests,
        "requests_in_flight": sum.in_flight,
        "tunnels": sum.tunnels,
        "responses": responses(&sum.codes),
        "failures": kinds(&sum.failures, shown.kinds.failures),
        "bytes_in": sum.bytes_in,
        "bytes_out": sum.bytes_out,
        "latency_seconds": latency(&sum.latency, sum.latency_sum_ns, hdr),
        "connections": sum.connections,
        "pool_idle": sum.pool_idle,
        "buffer_bytes": sum.buffer_bytes,
        "accept_pauses": sum.accept_pauses,
        "recent": {
            "seconds": recent.seconds,
            "requests_per_second": recent.requests,
            "errors_per_second": recent.errors,
            "limited_per_second": recent.limited,
            "bytes_in_per_second": recent.bytes_in,
            "bytes_out_per_second": recent.bytes_out,
            "cpu_cores": recent.cpu,
            "cpu_seconds_per_request": recent.cpu_per_request(),
            "latency_seconds": Percentiles::of(&recent.latency, hdr),
        },
    })
}

fn ledger(shown: &Shown<'_>) -> Value {
    let ledger = &shown.facts.ledger;
    json!({
        "commits": ledger.commits,
        "failures": ledger.failures,
        "last_error": ledger.error,
        "waiting": ledger.waiting,
        "lag_seconds": ledger.lag_ms as f64 / 1000.0,
        "strict": ledger.strict,
        "strict_refused": ledger.strict_refused,
        "lost": ledger.lost,
    })
}

fn access_log(shown: &Shown<'_>) -> Value {
    json!({
        "written": shown.log.written,
        "dropped_queue_full": shown.log.dropped + shown.gateway.log_dropped,
        "dropped_write_error": shown.log.failed,
        "queued_bytes": shown.log.queued_bytes,
    })
}

fn worker(worker: &WorkerStats, hdr: &mut Hdr<u64>) -> Value {
    let mut sum = merge::GatewaySum::default();
    sum.add(worker);
    json!({
        "worker": worker.index,
        "core": worker.core(),
        "state": worker.state().name(),
        "driver": worker.driver(),
        "generation": worker.generation.value(),
        "turns": worker.turns.value(),
        "requests": sum.requests,
        "requests_in_flight": sum.in_flight,
        "tunnels": sum.tunnels,
        "responses": responses(&sum.codes),
        "bytes_in": sum.bytes_in,
        "bytes_out": sum.bytes_out,
        "latency_seconds": latency(&sum.latency, sum.latency_sum_ns, hdr),
        "connections": sum.connections,
        "pool_idle": sum.pool_idle,
        "buffer_bytes": sum.buffer_bytes,
        "accept_pauses": sum.accept_pauses,
        "access_log_dropped": sum.log_dropped,
    })
}

fn listener(shown: &Shown<'_>, entry: &Entry) -> Value {
    let sum = merge::listener(shown.workers, entry.id);
    json!({
        "name": *entry.name,
        "requests": sum.requests,
        "responses": responses(&sum.codes),
        "bad_requests": kinds(&sum.bad, shown.kinds.bad_requests),
        "bytes_in": sum.bytes_in,
        "bytes_out": sum.bytes_out,
        "connections": {
            "open": sum.open,
            "accepted": sum.accepted,
            "refused": {
                "max_connections": sum.refused_max_connections,
                "per_client": sum.refused_per_client,
                "no_descriptors": sum.refused_no_descriptors,
                "proxy_protocol": sum.refused_proxy_protocol,
            },
        },
        "tls_handshakes": {
            "full": sum.handshakes.saturating_sub(sum.handshakes_resumed),
            "resumed": sum.handshakes_resumed,
            "failed": sum.handshakes_failed,
            "refused": sum.handshakes_refused,
        },
        "http2": { "open": sum.http2_open, "refused": sum.http2_refused },
        "limits": { "allowed": sum.allowed, "limited": sum.limited },
        "forwarded": {
            "connections": sum.forwarded,
            "open": sum.forwarding,
            "failed": sum.forward_failures,
        },
        "tls": shown.certificates(&entry.name).map(certificates),
    })
}

fn certificates(validities: &Validities) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let each = validities.soonest.iter().map(|one| {
        json!({
            "names": one.names,
            "not_after": one.not_after,
            "days_left": one.days_left(now),
            "ocsp_next_update": one.ocsp_until,
        })
    });
    json!({
        "certificates": each.collect::<Vec<_>>(),
        "certificates_not_shown": validities.total - validities.soonest.len(),
        "client_crl_next_update": validities.lists_until,
    })
}

fn route(shown: &Shown<'_>, entry: &Entry, hdr: &mut Hdr<u64>) -> Value {
    let sum = merge::route(shown.workers, entry.id);
    json!({
        "name": *entry.name,
        "requests": sum.codes.total(),
        "requests_in_flight": sum.in_flight,
        "responses": responses(&sum.codes),
        "failures": sum.failures,
        "retries": sum.retries,
        "bytes_in": sum.bytes_in,
        "bytes_out": sum.bytes_out,
        "latency_seconds": latency(&sum.latency, sum.latency_sum_ns, hdr),
        "limits": {
            "allowed": sum.allowed,
            "limited": sum.limited,
            "table_full": sum.limit_table_full,
            "concurrency": sum.concurrency_refused,
        },
    })
}

fn upstream(shown: &Shown<'_>, upstream: &UpstreamEntry, hdr: &mut Hdr<u64>) -> Value {
    let sum = merge::upstream(shown.workers, upstream.entry.id);
    let targets = upstream.targets.iter().map(|e| target(shown, e, hdr)).collect::<Vec<_>>();
    json!({
        "name": *upstream.entry.name,
        "requests": sum.requests,
        "requests_in_flight": sum.in_flight,
        "retries": sum.retries,
        "retries_over_budget": sum.retries_over_budget,
        "no_target": sum.no_target,
        "targets": targets,
    })
}

fn target(shown: &Shown<'_>, entry: &Entry, hdr: &mut Hdr<u64>) -> Value {
    let sum = merge::target(shown.workers, entry.id);
    json!({
        "address": *entry.name,
        "tries": sum.requests,
        "requests_in_flight": sum.in_flight,
        "responses": responses(&sum.codes),
        "failures": sum.failures,
        "retries": sum.retries,
        "skipped": sum.skipped,
        "response_time_seconds": latency(&sum.response_time, sum.response_time_sum_ns, hdr),
        "pool": {
            "idle": sum.idle,
            "connects": sum.connects,
            "connect_failures": sum.connect_failures,
            "reused": sum.reused,
            "stale": sum.stale,
            "reuse_share": sum.reuse_share(),
        },
    })
}

fn dns(shown: &Shown<'_>) -> Vec<Value> {
    let of = |name: &crate::control::resolve::Resolution| {
        json!({
            "name": name.name.0,
            "port": name.name.1,
            "addresses": name.addresses.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>(),
            "consecutive_failures": name.failures,
        })
    };
    shown.names.iter().map(of).collect()
}

fn acme(shown: &Shown<'_>) -> Vec<Value> {
    let each = shown.acme.iter().map(|(name, told)| {
        let error = told.last_error.as_ref();
        json!({
            "name": name,
            "state": told.state(),
            "not_after": told.not_after,
            "renew_at": told.renew_at,
            "obtained": told.obtained,
            "failed": told.failed,
            "consecutive_failures": told.failures,
            "last_error": error.map(|(kind, why)| json!({ "kind": kind.name(), "message": why })),
        })
    });
    each.collect()
}

fn inquiries(shown: &Shown<'_>) -> Vec<Value> {
    let each = shown.inquiries.iter().map(|(about, counts)| {
        json!({
            "about": about,
            "asked": counts.asked,
            "answered": counts.answered,
            "failed": counts.failed,
            "overloaded": counts.overloaded,
            "joined": counts.joined,
            "remembered": counts.remembered,
        })
    });
    each.collect()
}

fn issuers(shown: &Shown<'_>) -> Vec<Value> {
    let each = shown.issuers.iter().map(|(name, told)| {
        json!({
            "name": name,
            "keys": told.keys,
            "fetched_at": told.fetched_at,
            "fetched": told.fetched,
            "failed": told.failed,
            "consecutive_failures": told.failures,
            "last_error": told.last_error,
        })
    });
    each.collect()
}

fn responses(codes: &StatusSums) -> Value {
    Value::Object(codes.seen().map(|(label, n)| (label.to_string(), n.into())).collect())
}

fn kinds(sums: &KindSums, names: &[&'static str]) -> Value {
    Value::Object(sums.named(names).map(|(name, n)| (name.to_string(), n.into())).collect())
}

fn latency(buckets: &Buckets, sum_ns: u64, hdr: &mut Hdr<u64>) -> Value {
    let percentiles = Percentiles::of(buckets, hdr);
    let mut object = match json!(percentiles) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let mean = match percentiles.count {
        0 => 0.0,
        n => sum_ns as f64 / 1e9 / n as f64,
    };
    object.insert("mean".into(), json!(mean));
    Value::Object(object)
}
