//! What a connection that was passed on leaves behind: counters, and a record for the access log.

use crate::config::AccessLogFormat;
use crate::io::clock;
use crate::policy::transform::AddressText;
use crate::respond::access_log::Passed;
use crate::respond::failure::{Blame, Failure};

use super::client::Connection;

/// What is known of a connection when it is over.
#[derive(Default)]
pub(super) struct Outcome {
    /// When it began, nanoseconds of the core's clock.
    began_ns: u64,
    /// When it had a target.
    pub(super) connected_ns: Option<u64>,
    /// Bytes from the client.
    pub(super) bytes_in: u64,
    /// Bytes to the client.
    pub(super) bytes_out: u64,
    /// The upstream's name, where there was one.
    pub(super) upstream: Box<str>,
    /// The last target that was tried.
    pub(super) target: Box<str>,
    /// Tries after the first.
    pub(super) retries: u32,
    /// What went wrong.
    pub(super) failure: Option<Failure>,
}

impl Outcome {
    /// Of a connection that has begun.
    pub(super) fn of(c: &Connection) -> Self {
        Self { began_ns: c.silent_since_ns, ..Self::default() }
    }

    /// Counts, and writes the record.
    pub(super) fn finish(&self, c: &Connection) {
        if let Some(failure) = self.failure {
            c.core.stats.failures.up(failure.kind());
            c.core.stats.listener(c.listener.id).forward_failures.up();
            self.tell(c, failure);
        }
        self.record(c);
    }

    /// At debug level where the client did it: it chooses how often.
    fn tell(&self, c: &Connection, failure: Failure) {
        let meaning = failure.meaning();
        let by_client = meaning.blame == Blame::Client;
        if !by_client && !c.core.may_tell(clock::coarse_ns()) {
            return;
        }
        let (client, listener) = (c.peer.ip(), &*c.listener.settings().name);
        let server_name = c.server_name.as_deref().unwrap_or_default();
        let (upstream, target) = (&*self.upstream, &*self.target);
        let (name, detail) = (meaning.name, &*failure.detail());
        if by_client {
            tracing::debug!(%client, listener, server_name, upstream, target, detail, "{name}");
        } else {
            tracing::warn!(%client, listener, server_name, upstream, target, detail, "{name}");
        }
    }

    fn record(&self, c: &Connection) {
        let format = c.core.snapshot().access_log;
        if format == AccessLogFormat::Off {
            return;
        }
        let now_ns = clock::now_ns();
        let settings = c.listener.settings();
        let proxy = c.introduction.as_ref().map(|i| AddressText::of(i.proxy.ip()));
        let connected_ns = self.connected_ns.map(|at| at.saturating_sub(self.began_ns));
        let passed = Passed {
            client: c.peer_text.as_bytes(),
            peer: proxy.as_ref().unwrap_or(&c.peer_text).as_bytes(),
            listener: settings.name.as_bytes(),
            server_name: c.server_name.as_deref().unwrap_or_default().as_bytes(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_us: now_ns.saturating_sub(self.began_ns) / 1000,
            connected_us: connected_ns.map(|ns| ns / 1000),
            upstream: self.upstream.as_bytes(),
            target: self.target.as_bytes(),
            retries: self.retries,
            failure: self.failure.map_or(&[][..], |f| f.meaning().name.as_bytes()),
        };
        let mut clock = c.core.wall.log.borrow_mut();
        clock.set(c.core.wall.of(now_ns) / 1_000_000);
        let mut journal = c.core.journal.borrow_mut();
        match format {
            AccessLogFormat::Json => journal.add(|out| passed.write_json(&clock, out)),
            AccessLogFormat::Combined => journal.add(|out| passed.write_combined(&clock, out)),
            AccessLogFormat::Off => {}
        }
    }
}
