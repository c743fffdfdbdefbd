//! The live page for people: rendered here, refreshed in place every two seconds by a few lines of
//! script, or by a whole reload where scripts are off. maud escapes every name.

use hdrhistogram::Histogram as Hdr;
use maud::{DOCTYPE, Markup, html};

use super::figures::{bytes, count, percent, rate, seconds, span};
use super::history::{History, Recent};
use super::parts::{alarming, card, classes, fact, table, time};
use super::shown::{Percentiles, Shown, busiest};
use crate::limits::ADMIN_PAGE_ROUTES;
use crate::stats::merge;
use crate::stats::{Buckets, Entry, Kind, UpstreamEntry, WorkerState, WorkerStats};

/// The page's style sheet.
pub(super) const STYLE: &str = include_str!("page.css");
/// The page's script.
pub(super) const SCRIPT: &str = include_str!("page.js");

/// The page; with `fragment` only what changes.
pub(super) fn render(shown: &Shown<'_>, history: &History, fragment: bool) -> String {
    let view = View { shown, history, recent: history.recent() };
    let content = view.content();
    if fragment {
        return content.into_string();
    }
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown.facts.name) " · Tollgate" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
                noscript { meta http-equiv="refresh" content="2"; }
            }
            body {
                p #lost role="status" hidden { "No answer from the gateway. Trying again." }
                main { (content) }
                footer {
                    a href="/stats" { "statistics (JSON)" } " "
                    a href="/metrics" { "metrics (Prometheus)" } " "
                    a href="/config" { "configuration in force" }
                }
            }
        }
    }
    .into_string()
}

struct View<'a> {
    shown: &'a Shown<'a>,
    history: &'a History,
    recent: Recent,
}

impl View<'_> {
    fn content(&self) -> Markup {
        let mut hdr = Buckets::empty_hdr();
        html! {
            (self.header())
            (self.cards(&mut hdr))
            (self.routes(&mut hdr))
            (self.upstreams(&mut hdr))
            (self.listeners())
            (self.workers(&mut hdr))
            (self.failures())
            (self.dns())
        }
    }

    fn header(&self) -> Markup {
        let facts = &self.shown.facts;
        let (class, state) = self.state();
        html! {
            header {
                h1 { "Tollgate" @if facts.name != "tollgate" { " " span.name { (facts.name) } } }
                span class={ "pill " (class) } { (state) }
                dl {
                    (fact("generation", html! { (facts.generation) }))
                    (fact("up", html! { (span(self.shown.uptime())) }))
                    (fact("driver", html! { span title=(facts.driver_reason) { (facts.driver) } }))
                    (fact("version", html! { (env!("CARGO_PKG_VERSION")) }))
                }
            }
            @if let Some(error) = &facts.last_reload_error {
                p.notice { strong { "The last reload was refused" } ": " (error) }
            }
        }
    }

    fn state(&self) -> (&'static str, &'static str) {
        let is = |state: WorkerState| self.shown.workers.iter().any(|w| w.state() == state);
        match () {
            () if self.shown.facts.draining => ("warn", "draining"),
            () if is(WorkerState::Stopped) => ("bad", "a worker stopped"),
            () if is(WorkerState::Starting) => ("warn", "starting"),
            () => ("good", "running"),
        }
    }

    fn cards(&self, hdr: &mut Hdr<u64>) -> Markup {
        let (recent, sum, process) = (&self.recent, &self.shown.gateway, &self.shown.process);
        let latency = Percentiles::of(&recent.latency, hdr);
        let share = |part: f64| if recent.requests > 0.0 { part / recent.requests } else { 0.0 };
        html! {
            section.cards aria-label="The gateway, last 10 seconds" {
                (card("Requests a second", &rate(recent.requests), html! {
                    (count(sum.requests)) " in all"
                }, Some(&self.history.request_rates())))
                (card("Latency p99", &time(latency, latency.p99), html! {
                    "p50 " (time(latency, latency.p50)) " · p99.9 " (time(latency, latency.p99_9))
                }, Some(&self.history.p99s())))
                (card("CPU a request", &recent.cpu_per_request().map_or("–".into(), seconds), html! {
                    (percent(recent.cpu)) " of a core"
                }, None))
                (card("Errors (5xx)", &percent(share(recent.errors)), html! {
                    (rate(recent.errors)) " a second"
                }, None))
                (card("Limited (429)", &percent(share(recent.limited)), html! {
                    (rate(recent.limited)) " a second"
                }, None))
                (card("Connections", &count(sum.connections), html! {
                    (count(sum.in_flight)) " requests in flight"
                }, None))
                (card("Sent a second", &bytes(recent.bytes_out), html! {
                    (bytes(recent.bytes_in)) " received"
                }, None))
                (card("Memory", &process.resident.map_or("–".into(), |n| bytes(n as f64)), html! {
                    @if let (Some(open), Some(max)) = (process.open_fds, process.max_fds) {
                        (count(open)) " of " (count(max)) " descriptors"
                    }
                }, None))
            }
        }
    }

    fn rate(&self, kind: Kind, id: u32) -> Markup {
        html! { @match self.history.rate(kind, id) { Some(n) => (rate(n)), None => "–" } }
    }

    /// The routes to show, the busiest first: by requests a second, then by requests in all.
    fn busiest_routes(&self) -> Vec<&Entry> {
        let busy = |entry: &Entry| {
            let requests = merge::route_requests(self.shown.workers, entry.id) as f64;
            // A request a second outweighs any number of old ones (2^53 at most).
            self.history.rate(Kind::Route, entry.id).unwrap_or(0.0) * 1e18 + requests
        };
        let mut all: Vec<(f64, &Entry)> =
            self.shown.directory.routes.iter().map(|e| (busy(e), e)).collect();
        busiest(&mut all, ADMIN_PAGE_ROUTES, |(busy, _)| *busy);
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    fn routes(&self, hdr: &mut Hdr<u64>) -> Markup {
        let shown = self.busiest_routes();
        let all = self.shown.directory.routes.len();
        html! {
            section {
                h2 { "Routes " small {
                    @if shown.len() < all {
                        "the busiest " (shown.len()) " of " (count(all as u64)) ", "
                    }
                    "percentiles since the start"
                } }
                (table(&[
                    "Route", "Req/s", "*Requests", "Share", "*2xx", "*3xx", "4xx", "5xx", "Limited",
                    "*In flight", "*p50", "p99", "*Sent",
                ], html! { @for entry in shown { (self.route(entry, hdr)) } }))
            }
        }
    }

    fn route(&self, entry: &Entry, hdr: &mut Hdr<u64>) -> Markup {
        let sum = merge::route(self.shown.workers, entry.id);
        let latency = Percentiles::of(&sum.latency, hdr);
        let refused = sum.limited + sum.limit_table_full + sum.concurrency_refused;
        html! {
            tr {
                th scope="row" { (entry.name) }
                td { (self.rate(Kind::Route, entry.id)) }
                td.wide { (count(sum.codes.total())) }
                td { (classes(&sum.codes)) }
                td.wide { (count(sum.codes.class(2))) }
                td.wide { (count(sum.codes.class(3))) }
                td { (count(sum.codes.class(4))) }
                (alarming(sum.codes.class(5)))
                td { (count(refused)) }
                td.wide { (count(sum.in_flight)) }
                td.wide { (time(latency, latency.p50)) }
                td { (time(latency, latency.p99)) }
                td.wide { (bytes(sum.bytes_out as f64)) }
            }
        }
    }

    fn upstreams(&self, hdr: &mut Hdr<u64>) -> Markup {
        let upstreams = &self.shown.directory.upstreams;
        html! {
            section {
                h2 { "Upstreams" }
                (table(&[
                    "Target", "Req/s", "*Tries", "5xx", "p50", "p99", "*In flight", "*Idle",
                    "Reused", "*Connects", "*Refused", "*Skipped", "Failed", "*Retries",
                ], html! { @for upstream in upstreams { (self.upstream(upstream, hdr)) } }))
            }
        }
    }

    fn upstream(&self, upstream: &UpstreamEntry, hdr: &mut Hdr<u64>) -> Markup {
        let sum = merge::upstream(self.shown.workers, upstream.entry.id);
        html! {
            tr.group {
                th scope="rowgroup" { (upstream.entry.name) }
                td { (self.rate(Kind::Upstream, upstream.entry.id)) }
                td colspan="12" {
                    (count(sum.retries)) " retries"
                    @if sum.retries_over_budget > 0 {
                        ", " (count(sum.retries_over_budget)) " over budget"
                    }
                    @if sum.no_target > 0 {
                        ", " span.bad { (count(sum.no_target)) " without a usable target" }
                    }
                }
            }
            @for target in &upstream.targets { (self.target(target, hdr)) }
        }
    }

    fn target(&self, entry: &Entry, hdr: &mut Hdr<u64>) -> Markup {
        let sum = merge::target(self.shown.workers, entry.id);
        let latency = Percentiles::of(&sum.response_time, hdr);
        html! {
            tr {
                th.inner scope="row" { (entry.name) }
                td { (self.rate(Kind::Target, entry.id)) }
                td.wide { (count(sum.requests)) }
                (alarming(sum.codes.class(5)))
                td { (time(latency, latency.p50)) }
                td { (time(latency, latency.p99)) }
                td.wide { (count(sum.in_flight)) }
                td.wide { (count(sum.idle)) }
                td { @match sum.reuse_share() { Some(share) => (percent(share)), None => "–" } }
                td.wide { (count(sum.connects)) }
                td.wide { (count(sum.connect_failures)) }
                td.wide { (count(sum.skipped)) }
                (alarming(sum.failures))
                td.wide { (count(sum.retries)) }
            }
        }
    }

    fn listeners(&self) -> Markup {
        html! {
            section {
                h2 { "Listeners" }
                (table(&[
                    "Listener", "Req/s", "*Requests", "Open", "Accepted", "Refused", "Malformed",
                    "Limited", "Passed on", "*Received", "*Sent",
                ], html! { @for entry in &self.shown.directory.listeners { (self.listener(entry)) } }))
            }
        }
    }

    fn listener(&self, entry: &Entry) -> Markup {
        let sum = merge::listener(self.shown.workers, entry.id);
        let refused = sum.refused_max_connections
            + sum.refused_per_client
            + sum.refused_no_descriptors
            + sum.refused_proxy_protocol;
        html! {
            tr {
                th scope="row" { (entry.name) }
                td { (self.rate(Kind::Listener, entry.id)) }
                td.wide { (count(sum.requests)) }
                td { (count(sum.open)) }
                td { (count(sum.accepted)) }
                (alarming(refused))
                td { (count(sum.bad.total())) }
                td { (count(sum.limited)) }
                td { (count(sum.forwarded)) }
                td.wide { (bytes(sum.bytes_in as f64)) }
                td.wide { (bytes(sum.bytes_out as f64)) }
            }
        }
    }

    fn workers(&self, hdr: &mut Hdr<u64>) -> Markup {
        html! {
            section {
                h2 { "Workers" }
                (table(&[
                    "Worker", "Core", "State", "*Driver", "Requests", "Open", "*In flight", "p99",
                    "*Pool idle", "*Buffers", "*Turns", "Generation", "*Accept pauses",
                ], html! { @for worker in self.shown.workers { (worker_row(worker, hdr)) } }))
            }
        }
    }

    fn failures(&self) -> Markup {
        let failures: Vec<_> =
            self.shown.gateway.failures.named(self.shown.kinds.failures).collect();
        html! {
            @if !failures.is_empty() {
                section {
                    h2 { "Failures the gateway answered" }
                    ul.tags { @for (name, n) in failures { li { (name) " " b { (count(n)) } } } }
                }
            }
        }
    }

    fn dns(&self) -> Markup {
        html! {
            @if !self.shown.names.is_empty() {
                section {
                    h2 { "DNS names" }
                    (table(&["Name", "~Addresses", "Failed in a row"], html! {
                        @for name in &self.shown.names {
                            tr {
                                th scope="row" { (name.name.0) ":" (name.name.1) }
                                td.text {
                                    @if name.addresses.is_empty() { span.bad { "none" } }
                                    @for (i, address) in name.addresses.iter().enumerate() {
                                        @if i > 0 { ", " } (address.ip())
                                    }
                                }
                                (alarming(u64::from(name.failures)))
                            }
                        }
                    }))
                }
            }
        }
    }
}

fn worker_row(worker: &WorkerStats, hdr: &mut Hdr<u64>) -> Markup {
    let mut buckets = Buckets::default();
    buckets.add(&worker.latency);
    let latency = Percentiles::of(&buckets, hdr);
    let core = worker.core().map_or("–".to_string(), |core| core.to_string());
    html! {
        tr {
            th scope="row" { (worker.index) }
            td { (core) }
            td { (worker.state().name()) }
            td.wide { (worker.driver().unwrap_or("–")) }
            td { (count(worker.requests.value())) }
            td { (count(worker.connections.value())) }
            td.wide { (count(worker.in_flight.value())) }
            td { (time(latency, latency.p99)) }
            td.wide { (count(worker.pool_idle.value())) }
            td.wide { (bytes(worker.buffer_bytes.value() as f64)) }
            td.wide { (count(worker.turns.value())) }
            td { (worker.generation.value()) }
            td.wide { (count(worker.accept_pauses.value())) }
        }
    }
}
