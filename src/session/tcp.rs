//! A connection that is passed on unread: its plot, as [`request`](super::request) is a request's.
//! Where the listener has upstreams by name, the name stands in the client's first message of TLS;
//! then all bytes go to one target, and the target's back, until both sides have ended.
//!
//! A connection may live for days and through many reloads. So it holds its snapshot until it has a
//! target, and then only what it needs.

use std::sync::Arc;

use crate::config::ListenerMode;
use crate::io::{Buffer, buffer, clock};
use crate::policy::limit::KeySource;
use crate::policy::{Denied, Permit, judge};
use crate::respond::failure::Failure;
use crate::snapshot::{ForwardTo, Snapshot};

use super::client::Connection;
use super::core::OwnCount;
use super::forward::Busy;
use super::hello::{self, Heard};
use super::outcome::Outcome;
use super::passage::Passage;
use super::tunnel::{self, Ended, Sides};

impl Connection {
    /// Passes the connection on where it is for that. What comes back is still to be served, with
    /// the bytes that were read of it already.
    pub(super) async fn pass_on(&mut self) -> Option<Buffer> {
        if self.serves() && !self.listener.settings().forwards.asks_for_names() {
            return Some(Buffer::empty());
        }
        Box::pin(pass_on(self)).await
    }

    fn serves(&self) -> bool {
        self.listener.settings().mode == ListenerMode::Http
    }
}

async fn pass_on(c: &mut Connection) -> Option<Buffer> {
    // 1: a connection says whom it is for.
    let (heard, bytes) = listen(c).await;
    let snapshot = c.core.snapshot();
    // 2: where that goes.
    let found = match &heard {
        Heard::Name(name) => find(c, &snapshot, name.as_deref()),
        Heard::End => Err(Failure::ClientGone),
        Heard::TooLate => Err(Failure::HelloTimeout),
        Heard::Crowded => Err(Failure::Overloaded),
    };
    if found.is_err() && c.serves() {
        return Some(bytes);
    }
    if matches!(heard, Heard::End) && bytes.is_empty() {
        // As a load balancer looks whether the port is open.
        return None;
    }
    if let Heard::Name(name) = heard {
        c.server_name = name;
    }
    let mut outcome = Outcome::of(c);
    let result = match found {
        Ok(to) => run(c, snapshot, &to, bytes, &mut outcome).await,
        Err(failure) => Err(failure),
    };
    outcome.failure = result.err();
    outcome.finish(c);
    None
}

/// Waits for the name, where there are upstreams by name.
async fn listen(c: &Connection) -> (Heard, Buffer) {
    let settings = c.listener.settings();
    if !settings.forwards.asks_for_names() {
        return (Heard::Name(None), Buffer::empty());
    }
    let within_ns = settings.tls.as_ref().map_or(settings.header_ns, |tls| tls.handshake_ns);
    hello::listen(c, c.silent_since_ns.saturating_add(within_ns)).await
}

fn find(
    c: &Connection,
    snapshot: &Snapshot,
    name: Option<&str>,
) -> Result<Arc<ForwardTo>, Failure> {
    let listener = snapshot.listener(c.listener.id).ok_or(Failure::NoForward)?;
    listener.forwards.find(name).cloned().ok_or(Failure::NoForward)
}

/// 3 to 5: its limits, a target, and the bytes both ways.
async fn run(
    c: &Connection,
    snapshot: OwnCount<Snapshot>,
    to: &ForwardTo,
    bytes: Buffer,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let permit = judge_connection(c, &snapshot, to)?;
    let stats = c.core.stats.listener(c.listener.id);
    stats.forwarded.up();
    stats.forwarding.up();
    let result = relay(c, snapshot, to, bytes, outcome).await;
    stats.forwarding.down();
    permit.leave(&c.core.shared.limits);
    result
}

fn judge_connection(
    c: &Connection,
    snapshot: &Snapshot,
    to: &ForwardTo,
) -> Result<Permit, Failure> {
    if buffer::is_over() {
        return Err(Failure::Overloaded);
    }
    let keys = KeySource {
        client: c.peer.ip().to_canonical(),
        ipv6_prefix: snapshot.ipv6_prefix,
        fields: &[],
        buf: &[],
        query: None,
        identity: None,
        application: None,
        claims: None,
        path_parameter: &|_| &[],
    };
    let (core, id) = (&c.core, c.listener.id);
    let limits = snapshot.listener(id).map_or(&[][..], |listener| &listener.limits);
    let (shared, local) = (&core.shared.limits, &mut core.limits.borrow_mut());
    // Nothing may have been read yet, and a core whose clock is behind would refuse too much.
    let now_ns = clock::now_ns();
    let (permit, judgement) = judge(local, shared, &[limits], &keys, &to.concurrency, now_ns);
    let stats = core.stats.listener(id);
    match &permit {
        Ok(_) if judgement.is_some() => stats.allowed.up(),
        Err(Denied::RateLimited) => stats.limited.up(),
        _ => {}
    }
    permit.map_err(Failure::from)
}

async fn relay(
    c: &Connection,
    snapshot: OwnCount<Snapshot>,
    to: &ForwardTo,
    bytes: Buffer,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let group = &snapshot.groups[to.group];
    let passage = Passage { client: c, group };
    let target = passage.connect(outcome).await?;
    let early = bytes.len();
    let first = passage.introduce(bytes);
    let _busy = Busy::enter(&c.core, group.id, target.target);
    // The ids in use are not to stand for something else meanwhile.
    let _ids = snapshot.ids.clone();
    drop(snapshot);
    let sides = Sides {
        core: &c.core,
        client: &c.stream,
        client_guard: &c.guard,
        target: &target,
        silence_ns: to.silence_ns,
        total_ns: to.total_ns,
        listener: c.listener.id,
        route: None,
    };
    let Ended { cut, whole, bytes_in, bytes_out, .. } = tunnel::run(sides, first, early).await;
    (outcome.bytes_in, outcome.bytes_out) = (bytes_in, bytes_out);
    if cut == Some(Failure::ResponseIncomplete) {
        c.core.stats.target(target.target).failures.up();
    }
    if !whole || !matches!(cut, None | Some(Failure::TunnelTimeout)) {
        // The client must not take what it got for all there was.
        c.stream.reset_on_close();
    }
    cut.map_or(Ok(()), Err)
}
