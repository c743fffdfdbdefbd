//! `[server]`, `[admin]`, `[access_log]`, `[log]`, `[store]`, `[forwarding]`.

use std::collections::HashSet;

use super::tls::path;
use super::{timeout, words};
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::settings::{AccessLog, Admin, Forwarding, Log, Server, Store};
use crate::config::suggest;
use crate::config::units::Size;
use crate::limits::{
    COMMIT_INTERVAL_LEAST, COMMIT_INTERVAL_MOST, KEEP_HOURS_LEAST, KEEP_HOURS_MOST,
    MAX_BUFFER_MEMORY_LEAST, MAX_CORE,
};

pub(super) fn server(written: file::Server, place: &Place<'_>, report: &mut Report<'_>) -> Server {
    cores(&written, place, report);
    let drain = place.key("drain_timeout");
    // Nothing to wait for is a choice here, unlike in other timeouts.
    let drain_timeout = match written.drain_timeout.0 {
        time if time.is_zero() => time,
        _ => timeout(written.drain_timeout, &drain, report),
    };
    let name = place.key("name");
    if !words::is_token(&written.name) {
        let message = format!("{:?} cannot stand in Via and Proxy-Status", written.name);
        report.error(&name.trail, message, "write a word of letters, digits, `-`, `.`, `_`");
    }
    let memory = place.key("max_buffer_memory");
    if written.max_buffer_memory.0 < MAX_BUFFER_MEMORY_LEAST {
        let message = format!("{} are too few to serve requests from", written.max_buffer_memory);
        let least = Size(MAX_BUFFER_MEMORY_LEAST);
        report.error(&memory.trail, message, format!("write \"{least}\" or more"));
    }
    Server {
        workers: written.workers,
        cores: written.cores,
        driver: written.driver,
        drain_timeout,
        max_connections: written.max_connections,
        max_connections_per_client: written.max_connections_per_client,
        ipv6_prefix: written.ipv6_prefix,
        name: written.name,
        watch: written.watch,
        max_buffer_memory: super::bytes(written.max_buffer_memory),
    }
}

fn cores(written: &file::Server, place: &Place<'_>, report: &mut Report<'_>) {
    let cores = place.key("cores");
    let mut seen = HashSet::new();
    for (position, core) in written.cores.iter().enumerate() {
        let item = cores.item(position);
        if *core > MAX_CORE {
            let message = format!("there is no core {core}");
            report.error(&item.trail, message, format!("write numbers from 0 to {MAX_CORE}"));
        }
        if !seen.insert(*core) {
            let message = format!("core {core} is listed twice: two workers would share it");
            report.error(&item.trail, message, "list each core once");
        }
    }
    match written.workers {
        Some(workers) if !written.cores.is_empty() && workers > written.cores.len() => {
            let have = written.cores.len();
            let message = format!("{workers} workers cannot each have one of {have} cores");
            let help = format!("write {have} or fewer, or leave `workers` out");
            report.error(&place.key("workers").trail, message, help);
        }
        _ => {}
    }
}

pub(super) fn admin(
    written: &file::Admin,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Admin> {
    let listen: std::net::SocketAddr = written.listen.parse().ok()?;
    if !written.enabled {
        return None;
    }
    if !listen.ip().to_canonical().is_loopback() {
        let message = format!("everybody who reaches {listen} can read the stats and reload");
        let help = "write a loopback address like \"127.0.0.1:9900\", or keep it behind a firewall";
        report.warning(&place.key("listen").trail, message, help);
    }
    Some(Admin { listen })
}

pub(super) fn access_log(
    written: file::AccessLog,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> AccessLog {
    let path = place.key("path");
    if written.path.as_ref().is_some_and(|path| path.is_empty() || path.contains('\0')) {
        let help = "write a file, or leave `path` out for standard output";
        report.error(&path.trail, "this is not a path of a file", help);
    }
    if written.queue.0 < 4096 {
        let message = format!("{} cannot hold a record", written.queue);
        report.error(&place.key("queue").trail, message, "write \"4KiB\" or more");
    }
    AccessLog {
        format: written.format,
        path: written.path.map(Into::into),
        queue: super::bytes(written.queue),
    }
}

pub(super) fn log(written: file::Log, place: &Place<'_>, report: &mut Report<'_>) -> Log {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let level = place.key("level");
    let is_level = |word: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(word));
    for directive in written.level.split(',').map(str::trim) {
        // A bare word that is no level would be taken for a module that does not exist.
        let word = directive.rsplit_once('=').map_or(directive, |(_, word)| word);
        let target_only = !directive.contains('=') && directive.contains("::");
        if is_level(word) || target_only {
            continue;
        }
        let near = suggest::nearest(word, LEVELS.into_iter()).unwrap_or("info");
        let message = format!("{word:?} is not a log level");
        let help = format!("write {near:?}; there are error, warn, info, debug, trace, off");
        report.error(&level.trail, message, help);
        return Log { level: written.level, json: written.json };
    }
    if tracing_subscriber::EnvFilter::try_new(&written.level).is_err() {
        let help =
            "write a level like \"info\", or a filter like \"info,tollgate::upstream=debug\"";
        report.error(&level.trail, "this is not a log filter", help);
    }
    Log { level: written.level, json: written.json }
}

pub(super) fn store(written: file::Store, place: &Place<'_>, report: &mut Report<'_>) -> Store {
    let interval = place.key("commit_interval");
    if !(COMMIT_INTERVAL_LEAST..=COMMIT_INTERVAL_MOST).contains(&written.commit_interval.0) {
        let message = format!("{} is no time between commits", written.commit_interval);
        report.error(&interval.trail, message, "write a time from 200ms to 1m");
    }
    if !(KEEP_HOURS_LEAST..=KEEP_HOURS_MOST).contains(&written.keep_hours.0) {
        let message = format!("{} is no time to keep hours for", written.keep_hours);
        let help = "write a time from 1d to 3660d";
        report.error(&place.key("keep_hours").trail, message, help);
    }
    Store {
        path: path(Some(written.path), &place.key("path"), "file", report),
        commit_interval: written.commit_interval.0,
        keep_hours: written.keep_hours.0,
    }
}

pub(super) fn forwarding(written: &file::Forwarding) -> Forwarding {
    let file::Forwarding { via, x_forwarded, forwarded, request_id, traceparent } = *written;
    Forwarding { via, x_forwarded, forwarded, request_id, traceparent }
}
