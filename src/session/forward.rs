//! Stage 5 and 6 for a forwarded request: choose a target, exchange, pass the answer on, and try
//! another target where that is safe.

use std::time::Duration;

use crate::config::{HostPolicy, SendProxyProtocol};
use crate::http::Framing;
use crate::io::{Buffer, clock};
use crate::limits::{CONTENT_APART, HEAD_ROOM};
use crate::policy::Permit;
use crate::respond::failure::Failure;
use crate::snapshot::Forward;
use crate::upstream::balance::Tried;
use crate::upstream::emit::Outgoing;
use crate::upstream::key::hash_of;
use crate::upstream::retry::{Sent, may_retry};
use crate::upstream::{Carrier, ConnectError, ConnectTime, Connection, Target, TargetStream};

use super::account::Account;
use super::ending::Broken;
use super::exchange::{self, Exchange};
use super::grpc;
use super::scratch::{Scratch, Upload};
use super::task::{Fate, PathParameters, Request};
use super::way::Way;

/// Forwards the request, by the permit that the policies gave.
pub(super) async fn run(
    r: &mut Request<'_>,
    s: &mut Scratch,
    rules: &Forward,
    _permit: &Permit,
) -> Result<Fate, Failure> {
    let mut account = std::mem::take(&mut r.account);
    let result = run_counted(r, s, rules, &mut account).await;
    r.account = account;
    result
}

async fn run_counted(
    r: &Request<'_>,
    s: &mut Scratch,
    rules: &Forward,
    account: &mut Account,
) -> Result<Fate, Failure> {
    let last = r.is_last(s);
    let upload = take_upload(s);
    let Scratch { input, body, answer, out, reply, head, response, params, words, .. } = s;
    let buf = input.data();
    let path = head.path.of(buf);
    let parameters = PathParameters { params, path };
    let query = r.query_for_upstreams(head, buf, &words.query);
    let values = r.values(head, buf, query, &words.request_id, &parameters);
    let path = match &rules.rewrite {
        Some(rewrite) => {
            rewrite.apply(path, &values, &mut words.path).map_err(|_| Failure::BadRewrite)?
        }
        None => path,
    };
    let total_at_ns = grpc::deadline(r, rules, head, buf, account.began_ns)?;
    let hop = r.hop(&words.request_id);
    let way = Way {
        request: r,
        rules,
        group: &r.snapshot.groups[rules.group],
        head,
        buf,
        path,
        values: &values,
        hop: &hop,
        last,
        total_at_ns,
    };
    let mut exchange = Exchange { body, answer, out, reply, response };
    way.run(&mut exchange, upload, account).await
}

/// Splits the content off the head. What must be streamed goes to a buffer of its own, since the
/// head's bytes are needed to the end. A whole content of some size keeps its buffer, and the head
/// is copied off it instead: the new head is then put where the old one was.
fn take_upload(s: &mut Scratch) -> Upload {
    let here = s.input.len() - s.head.len;
    let upload = match s.head.framing {
        Framing::None | Framing::UntilClose | Framing::Length(0) => Upload::None,
        Framing::Length(n) if n <= here as u64 => Upload::Whole(n as usize),
        _ => Upload::Stream,
    };
    match upload {
        Upload::Stream => {
            s.body = Buffer::fitting(HEAD_ROOM + here);
            s.body.set_headroom(HEAD_ROOM);
            s.body.append(&s.input.data()[s.head.len..]);
            s.input.truncate(s.head.len);
        }
        Upload::Whole(n) if n == here && n >= CONTENT_APART => {
            let mut head = Buffer::fitting(s.head.len);
            head.append(&s.input.data()[..s.head.len]);
            s.body = std::mem::replace(&mut s.input, head);
            s.body.consume(s.head.len);
        }
        Upload::Whole(_) | Upload::None => {}
    }
    s.upload = Some(upload);
    upload
}

impl<'a> Way<'a, '_> {
    async fn run(
        &self,
        exchange: &mut Exchange<'_>,
        upload: Upload,
        account: &mut Account,
    ) -> Result<Fate, Failure> {
        let core = &*self.request.connection.core;
        let stats = &core.stats;
        stats.upstream(self.group.id).requests.up();
        core.upstreams.deposit(self.group, account.began_ns);
        let hash = self.hash();
        let mut tried = Tried::default();
        let mut target = self.choose(&mut tried, hash, account)?;
        let mut fresh = false;
        loop {
            let broken = match self.attempt(exchange, upload, target, fresh, account).await {
                Ok(fate) => return Ok(fate),
                Err(broken) => broken,
            };
            if broken.begun {
                return Ok(grpc::break_off(self.request, broken.failure, account));
            }
            let replayable = upload != Upload::Stream || broken.sent == Sent::Nothing;
            if !may_retry(broken.sent, self.head.method, replayable) {
                return Err(broken.failure);
            }
            // A kept connection that died says nothing against its target.
            fresh = matches!(broken.sent, Sent::OnReused | Sent::Refused) && !fresh;
            if !fresh {
                if account.retries >= self.group.retries {
                    return Err(broken.failure);
                }
                if !core.upstreams.withdraw(self.group, clock::coarse_ns()) {
                    stats.upstream(self.group.id).retries_over_budget.up();
                    return Err(broken.failure);
                }
                target = self.choose(&mut tried, hash, account).map_err(|_| broken.failure)?;
            }
            account.retries += 1;
            stats.upstream(self.group.id).retries.up();
            stats.target(target.id).retries.up();
            stats.route(self.request.route_id).rare().retries.up();
        }
    }

    fn choose(
        &self,
        tried: &mut Tried,
        hash: Option<u64>,
        account: &mut Account,
    ) -> Result<&'a Target, Failure> {
        let core = &self.request.connection.core;
        let random = core.random.borrow_mut().u64(..);
        let now = clock::coarse_ns();
        match core.upstreams.choose(self.group, tried, hash, random, now) {
            Some(target) => {
                account.target = Some((self.rules.group, target.id));
                Ok(target)
            }
            None => {
                core.stats.upstream(self.group.id).no_target.up();
                Err(Failure::NoTarget)
            }
        }
    }

    /// The request's key for consistent hashing.
    fn hash(&self) -> Option<u64> {
        let key = self.group.hash_key.as_ref()?;
        hash_of(key, self.head, self.buf, self.request.client_ip())
    }

    /// One try on one target.
    async fn attempt(
        &self,
        exchange: &mut Exchange<'_>,
        upload: Upload,
        target: &Target,
        fresh: bool,
        account: &mut Account,
    ) -> Result<Fate, Broken> {
        let carrier = match self.group.http2 {
            true => Carrier::Stream(Box::new(match self.ready_stream(target) {
                Some(stream) => stream,
                None => Box::pin(self.stream(target)).await?,
            })),
            false => Carrier::Connection(self.connect(target, fresh).await?),
        };
        account.reused = carrier.reused();
        account.forwarded = true;
        let core = &self.request.connection.core;
        core.upstreams.reached(target.id);
        let _busy = Busy::enter(core, self.group.id, target.id);
        core.stats.target(target.id).requests.up();
        *exchange.out = Buffer::fitting(self.length(upload));
        if let Carrier::Connection(connection) = &carrier {
            self.introduce(connection, exchange.out);
        }
        self.encode(target, exchange.out);
        exchange::run(self, exchange, carrier, upload, target, account).await
    }

    /// What the head and, where it is at hand, the content will take.
    fn length(&self, upload: Upload) -> usize {
        let content = match upload {
            Upload::Whole(n) if n < CONTENT_APART => n,
            _ => 0,
        };
        self.head.len + HEAD_ROOM + content
    }

    /// A stream that needs no waiting for; `None` too where the time for all is over.
    fn ready_stream(&self, target: &Target) -> Option<TargetStream> {
        let core = &self.request.connection.core;
        if self.total_at_ns <= clock::coarse_ns() {
            return None;
        }
        let stream = core.upstreams.ready_stream(target, self.group)?;
        core.stats.target(target.id).reused.up();
        Some(stream)
    }

    async fn stream(&self, target: &Target) -> Result<TargetStream, Broken> {
        let core = &self.request.connection.core;
        let stats = core.stats.target(target.id);
        let now = clock::coarse_ns();
        let time = self.time_to_connect(now)?;
        match core.upstreams.stream(target, self.group, time, now).await {
            Ok((stream, made)) => {
                if made {
                    stats.connects.up();
                } else {
                    stats.reused.up();
                }
                Ok(stream)
            }
            Err(error) => {
                stats.connect_failures.up();
                Err(unconnected(error, time.left < time.most))
            }
        }
    }

    /// How long connecting may take, and how long is left for all.
    fn time_to_connect(&self, now_ns: u64) -> Result<ConnectTime, Broken> {
        let most = self.rules.connect_ns.map_or(self.group.connect_timeout, Duration::from_nanos);
        let left = Duration::from_nanos(self.total_at_ns.saturating_sub(now_ns));
        match left.is_zero() {
            true => Err(Broken::before(Failure::TotalTimeout)),
            false => Ok(ConnectTime { most, left }),
        }
    }

    async fn connect(&self, target: &Target, fresh: bool) -> Result<Connection, Broken> {
        let core = &self.request.connection.core;
        let stats = core.stats.target(target.id);
        let now = clock::coarse_ns();
        // A kept connection that turned out dead would be no reason to ask for a tunnel twice.
        let fresh = fresh || self.request.upgrade.is_some();
        if self.request.upgrade.is_some() || self.group.proxy_protocol == SendProxyProtocol::Off {
            // It would be held for as long as this request takes, and of no use to it.
            self.request.connection.introduced.take();
        }
        if !fresh && let Some(kept) = self.reuse(target, now) {
            stats.reused.up();
            return Ok(kept);
        }
        let time = self.time_to_connect(now)?;
        let connected = core.upstreams.connect(target, self.group, self.preface(), time, now).await;
        clock::now_ns();
        match connected {
            Ok(connection) => {
                stats.connects.up();
                Ok(connection)
            }
            Err(error) => {
                stats.connect_failures.up();
                Err(unconnected(error, time.left < time.most))
            }
        }
    }

    fn encode(&self, target: &Target, out: &mut Buffer) {
        let host = match &self.rules.host {
            HostPolicy::Preserve if !self.head.authority.is_empty() => {
                self.head.authority.of(self.buf)
            }
            HostPolicy::Literal(host) => host.as_bytes(),
            HostPolicy::Preserve | HostPolicy::Target => target.authority.as_bytes(),
        };
        Outgoing {
            head: self.head,
            buf: self.buf,
            path: self.path,
            upgrade: self.request.upgrade,
            grpc: self.request.grpc,
            timeout_ns: self.time_left(),
            http2: self.group.http2,
            host,
            edits: self.rules.request_edits.as_ref(),
            values: self.values,
            told: self.request.told(),
            forward: &self.rules.forward,
            hop: self.hop,
        }
        .encode(out.writer());
    }
}

/// What it means that there is no connection. `total`: the time for all was the shorter one.
fn unconnected(error: ConnectError, total: bool) -> Broken {
    Broken::before(match error {
        ConnectError::TimedOut if total => Failure::TotalTimeout,
        error => error.into(),
    })
}

/// Counts a request, or a connection that is passed on, at a target while it is there.
pub(super) struct Busy<'a> {
    core: &'a super::core::Core,
    group: u32,
    target: u32,
}

impl<'a> Busy<'a> {
    pub(super) fn enter(core: &'a super::core::Core, group: u32, target: u32) -> Self {
        core.upstreams.enter(target);
        core.stats.upstream(group).in_flight.up();
        core.stats.target(target).in_flight.up();
        Self { core, group, target }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.core.upstreams.leave(self.target);
        self.core.stats.upstream(self.group).in_flight.down();
        self.core.stats.target(self.target).in_flight.down();
    }
}
