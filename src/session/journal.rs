//! What a finished request leaves behind: counters, and a record for the access log.

use crate::config::AccessLogFormat;
use crate::http::{Known, first};
use crate::io::clock;
use crate::policy::transform::AddressText;
use crate::respond::access_log::{Record, write_combined, write_json};
use crate::respond::failure::{Blame, Failure};
use crate::stats::Finished;

use super::accounting;
use super::scratch::Scratch;
use super::task::Request;

/// Counts a request and writes its record.
pub(super) fn finish(r: &Request<'_>, s: &mut Scratch) {
    let core = &*r.connection.core;
    let account = &r.account;
    let now = clock::now_ns();
    let lasted_ns = now.saturating_sub(account.began_ns);
    let finished = Finished {
        listener: r.listener.id,
        route: r.route.map(|_| r.route_id),
        status: account.status,
        bytes_in: account.head_in + account.content_in,
        bytes_out: account.bytes_out,
        latency_ns: lasted_ns,
    };
    core.stats.finished(&match &account.tunnel {
        None => finished,
        Some(tunnel) => Finished {
            bytes_in: finished.bytes_in.saturating_sub(tunnel.counted_in),
            bytes_out: finished.bytes_out.saturating_sub(tunnel.counted_out),
            latency_ns: tunnel.since_ns.saturating_sub(account.began_ns),
            ..finished
        },
    });
    accounting::count(r, now);
    if let Some(failure) = account.failure {
        count_failure(r, failure);
        tell(r, s, failure);
    }
    if r.snapshot.access_log != AccessLogFormat::Off {
        record(r, s, now, lasted_ns);
    }
}

fn count_failure(r: &Request<'_>, failure: Failure) {
    let stats = &r.connection.core.stats;
    stats.failures.up(failure.kind());
    if let Failure::BadRequest(bad) | Failure::BadRequestBody(bad) = failure {
        stats.listener(r.listener.id).bad.up(bad as usize);
    }
    if r.route.is_some() {
        stats.route(r.route_id).rare().failures.up();
    }
}

/// One line in the gateway's own log with what the client is not told. What clients do wrong is
/// no news to an operator, and they choose how often they do it; so it is told at debug level.
fn tell(r: &Request<'_>, s: &Scratch, failure: Failure) {
    let meaning = failure.meaning();
    let by_client = meaning.blame == Blame::Client;
    if !by_client && !r.connection.core.may_tell(r.account.began_ns) {
        return;
    }
    let request_id = String::from_utf8_lossy(&s.words.request_id);
    let target = target_name(r).unwrap_or_default();
    let route = r.route.map(|_| &*r.route().name).unwrap_or_default();
    let (client, name, detail) = (r.client_ip(), meaning.name, &*failure.detail());
    let listener = &*r.listener.name;
    if by_client {
        tracing::debug!(%request_id, %client, listener, route, target, detail, "{name}");
    } else {
        tracing::warn!(%request_id, %client, listener, route, target, detail, "{name}");
    }
}

fn target_name<'a>(r: &'a Request<'_>) -> Option<&'a str> {
    let (group, id) = r.account.target?;
    let target = r.snapshot.groups[group].targets.iter().find(|t| t.id == id)?;
    Some(&target.name)
}

/// What of a request's query a log may have: no credential, whatever became of the request.
fn query_for_logs<'q>(
    r: &Request<'_>,
    query: Option<&'q [u8]>,
    cleaned: &'q mut Vec<u8>,
) -> Option<&'q [u8]> {
    let directory = &r.snapshot.directory;
    let slot = r.route.and_then(|_| r.route().access()?.product);
    if slot.is_some_and(|slot| directory.product(slot).is_none()) {
        // Nobody knows which parameters are keys.
        return None;
    }
    if directory.parameters.is_empty() {
        return query;
    }
    directory.parameters.without(query?, cleaned);
    Some(&**cleaned).filter(|query| !query.is_empty())
}

/// The same of the query in its Referer, which is one of ours where a page of ours led here.
fn referer_for_logs<'q>(r: &Request<'_>, referer: &'q [u8], cleaned: &'q mut Vec<u8>) -> &'q [u8] {
    let Some(at) = memchr::memchr(b'?', referer) else { return referer };
    let (before, query) = (&referer[..at], &referer[at + 1..]);
    match query_for_logs(r, Some(query), cleaned) {
        None => before,
        Some(same) if same.len() == query.len() => referer,
        Some(_) => {
            cleaned.insert(0, b'?');
            cleaned.splice(..0, before.iter().copied());
            cleaned
        }
    }
}

fn record(r: &Request<'_>, s: &mut Scratch, now: u64, lasted_ns: u64) {
    let core = &*r.connection.core;
    let account = &r.account;
    let Scratch { head, input, words, .. } = s;
    let buf = if head.len == 0 { &[] } else { input.data() };
    let query = head.query.map(|query| query.of(buf));
    let field = |known| first(&head.fields, known).map_or(&[][..], |f| f.value.of(buf));
    let group = account.target.map(|(group, _)| &r.snapshot.groups[group]);
    let proxy = r.connection.introduction.as_ref().map(|i| AddressText::of(i.proxy.ip()));
    let admitted = r.admitted.as_ref();
    let application = admitted.and_then(|admitted| admitted.application);
    let record = Record {
        client: r.client_text.as_bytes(),
        peer: proxy.as_ref().unwrap_or(&r.connection.peer_text).as_bytes(),
        listener: r.listener.name.as_bytes(),
        method: head.method_span.of(buf),
        identity: r.connection.identity.as_deref(),
        host: head.host.of(buf),
        path: head.path.of(buf),
        query: query_for_logs(r, query, &mut words.query),
        version: head.version,
        status: account.status,
        grpc_status: account.grpc_status,
        bytes_in: account.content_in,
        bytes_out: account.content_out,
        duration_us: lasted_ns / 1000,
        upstream_us: group.map(|_| account.response_ns / 1000),
        route: r.route.map_or(&[][..], |_| r.route().name.as_bytes()),
        upstream: group.map_or(&[][..], |g| g.name.as_bytes()),
        target: target_name(r).unwrap_or_default().as_bytes(),
        request_id: &words.request_id,
        user_agent: field(Known::UserAgent),
        referer: referer_for_logs(r, field(Known::Referer), &mut words.referer),
        product: r.product.map_or(&[][..], |(_, product)| product.name.as_bytes()),
        plan: admitted.map_or(&[][..], |admitted| admitted.plan.name.as_bytes()),
        application: application.map_or(&[][..], |application| application.app_id.as_bytes()),
        failure: account.failure.map_or(&[][..], |f| f.meaning().name.as_bytes()),
        retries: account.retries,
        reused: r.connection.requests.get() > 1,
        upstream_reused: account.reused,
    };
    let mut clock = core.wall.log.borrow_mut();
    clock.set(core.wall.of(now) / 1_000_000);
    let mut journal = core.journal.borrow_mut();
    match r.snapshot.access_log {
        AccessLogFormat::Json => journal.add(|out| write_json(&record, &clock, out)),
        AccessLogFormat::Combined => journal.add(|out| write_combined(&record, &clock, out)),
        AccessLogFormat::Off => {}
    }
}
