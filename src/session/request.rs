//! THE PLOT: the way of one request, in order. Stages decide; the branching is here.

use std::net::IpAddr;

use crate::http::{Framing, Method, RequestHead};
use crate::io::{buffer, clock};
use crate::policy::limit::{self, KeySource, Rule};
use crate::policy::transform::{AddressText, Hop, Parameters, RequestId, Scheme, Trust, Values};
use crate::policy::{Concurrency, Denied, Permit, client, judge};
use crate::respond::failure::Failure;
use crate::route::{self, Found, Params};
use crate::snapshot::{Action, Listener, Route, Snapshot};

use super::account::Account;
use super::arrival::{self, Arrival};
use super::connection::{After, Connection};
use super::scratch::Scratch;
use super::{answers, forward, journal};

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The next request may come.
    Keep,
    /// No bytes are to come from the client.
    Close,
    /// Bytes may still come.
    Linger,
    /// The answer was cut short.
    Reset,
}

/// One request on its way: what every stage may look at.
pub(super) struct Request<'a> {
    pub(super) connection: &'a Connection,
    pub(super) snapshot: &'a Snapshot,
    pub(super) listener: &'a Listener,
    pub(super) client: client::Client,
    pub(super) client_text: AddressText,
    pub(super) route: Option<usize>,
    pub(super) account: Account,
    /// Field lines that the limits add to the answer.
    pub(super) limit_fields: Vec<u8>,
}

impl Request<'_> {
    /// The route it took; only asked after routing.
    pub(super) fn route(&self) -> &Route {
        &self.snapshot.routes[self.route.unwrap_or_default()]
    }

    /// Whether this is the connection's last answer, as far as is known before it begins.
    pub(super) fn is_last(&self, s: &Scratch) -> bool {
        !s.head.keep_alive
            || self.connection.core.draining.get()
            || self.connection.requests >= self.listener.max_requests
    }

    /// The address that limits and logs know the client by.
    pub(super) fn client_ip(&self) -> IpAddr {
        self.client.addr
    }
}

/// Serves one request. `None`: the next one may come.
pub(super) async fn serve(c: &mut Connection, s: &mut Scratch) -> Option<After> {
    // 1, 2: a head arrives.
    let refused = match arrival::head(c, s).await {
        Arrival::Request => None,
        Arrival::Silence => return Some(After::Sleep),
        Arrival::End => return Some(After::Close),
        Arrival::Refused(failure) => Some(failure),
    };
    c.requests += 1;
    let snapshot = c.core.snapshot();
    let listener = c.listener.settings();
    let mut request = begin(c, s, &snapshot, &listener, refused.is_none());
    let outcome = match refused {
        Some(failure) => Err(failure),
        None => run(&mut request, s).await,
    };
    let fate = match outcome {
        Ok(fate) => fate,
        Err(failure) => answers::failure(&mut request, s, failure).await,
    };
    journal::finish(&request, s);
    take_off(s);
    c.guard.disarm();
    c.silent_since_ns = clock::coarse_ns();
    match fate {
        Fate::Keep => None,
        Fate::Close => Some(After::Close),
        Fate::Linger => Some(After::Linger),
        Fate::Reset => Some(After::Reset),
    }
}

/// Stages 3 to 6.
async fn run(r: &mut Request<'_>, s: &mut Scratch) -> Result<Fate, Failure> {
    if buffer::held() > r.snapshot.max_buffer_memory {
        return Err(Failure::Overloaded);
    }
    if s.head.method == Method::Connect {
        return Err(Failure::ConnectMethod);
    }
    // 3: the route.
    r.route = Some(find_route(r, s)?);
    // 4: its rules.
    let permit = judge_request(r, s)?;

    // 5, 6: an answer.
    let fate = match check_length(r.route(), s.head.framing) {
        Ok(()) => answer(r, s, &permit).await,
        Err(failure) => Err(failure),
    };
    permit.leave(&r.connection.core.shared.limits);
    fate
}

async fn answer(r: &mut Request<'_>, s: &mut Scratch, permit: &Permit) -> Result<Fate, Failure> {
    match &r.snapshot.routes[r.route.unwrap_or_default()].action {
        Action::Forward(rules) => forward::run(r, s, rules, permit).await,
        Action::Redirect(status, redirect) => answers::redirect(r, s, *status, redirect).await,
        Action::Respond(fixed) => answers::fixed(r, s, fixed).await,
    }
}

/// A request's path parameters by their place in its route's pattern.
pub(super) struct PathParameters<'a> {
    pub(super) params: &'a Params,
    pub(super) path: &'a [u8],
}

impl Parameters for PathParameters<'_> {
    fn value(&self, ix: usize) -> &[u8] {
        self.params.value(ix, self.path)
    }
}

/// What is known of a request once its head is there.
fn begin<'a>(
    c: &'a Connection,
    s: &mut Scratch,
    snapshot: &'a Snapshot,
    listener: &'a Listener,
    parsed: bool,
) -> Request<'a> {
    let began_ns = clock::coarse_ns();
    if !parsed {
        s.head.clear();
    }
    let buf = s.input.data();
    let client = client::client_address(
        c.peer.ip(),
        &listener.trusted_proxies,
        listener.client_address_from,
        &s.head.fields,
        buf,
    );
    let random = c.core.random.borrow_mut().u128(..);
    let id = RequestId::choose(&s.head.fields, buf, client.trusted, random);
    s.words.request_id.clear();
    s.words.request_id.extend_from_slice(id.text(buf));
    let bytes_in = if parsed { s.head.len } else { s.input.len() } as u64;
    Request {
        connection: c,
        snapshot,
        listener,
        client_text: AddressText::of(client.addr),
        client,
        route: None,
        account: Account { began_ns, bytes_in, ..Account::default() },
        limit_fields: Vec::new(),
    }
}

fn find_route(r: &mut Request<'_>, s: &mut Scratch) -> Result<usize, Failure> {
    let buf = s.input.data();
    let asked = route::Request {
        host: s.head.host.of(buf),
        path: s.head.path.of(buf),
        query: s.head.query.map(|q| q.of(buf)),
        method: s.head.method,
        method_text: s.head.method_span.of(buf),
        fields: &s.head.fields,
        buf,
    };
    match r.snapshot.table.find(&asked, &mut s.params) {
        Found::Route(index) => Ok(index as usize),
        Found::MethodNotAllowed(allowed) => {
            r.limit_fields.extend_from_slice(b"Allow: ");
            r.snapshot.table.write_allow(allowed, &mut r.limit_fields);
            r.limit_fields.extend_from_slice(b"\r\n");
            Err(Failure::MethodNotAllowed)
        }
        Found::NotFound => Err(Failure::NoRoute),
    }
}

fn judge_request(r: &mut Request<'_>, s: &Scratch) -> Result<Permit, Failure> {
    let snapshot = r.snapshot;
    let route = r.route();
    let buf = s.input.data();
    let path = s.head.path.of(buf);
    let keys = KeySource {
        client: r.client.addr,
        ipv6_prefix: snapshot.ipv6_prefix,
        fields: &s.head.fields,
        buf,
        query: s.head.query.map(|q| q.of(buf)),
        path_parameter: &|ix| s.params.value(ix, path),
    };
    let concurrency = Concurrency {
        scope: route.scope,
        max: route.max_concurrent,
        max_per_client: route.max_concurrent_per_client,
    };
    let core = &r.connection.core;
    let scopes: [&[Rule]; 3] = [&r.listener.limits, &route.limits, &snapshot.limits];
    let shared = &core.shared.limits;
    let local = &mut core.limits.borrow_mut();
    let (permit, judgement) =
        judge(local, shared, &scopes, &keys, &concurrency, r.account.began_ns);
    let mut fields = Vec::new();
    if let Some(judgement) = judgement {
        limit::fields::append(&mut fields, snapshot.rate_limit_fields, &scopes, &judgement);
    }
    r.count_verdict(permit.as_ref().err().copied(), judgement.is_some());
    r.limit_fields = fields;
    permit.map_err(|denied| match denied {
        Denied::RateLimited => Failure::RateLimited,
        Denied::StateFull => Failure::LimitState,
        Denied::RouteFull => Failure::RouteConcurrency,
        Denied::ClientFull => Failure::ClientConcurrency,
    })
}

/// Refuses content that is announced too long before any of it is read.
fn check_length(route: &Route, framing: Framing) -> Result<(), Failure> {
    match framing {
        Framing::Length(n) if n > route.max_body => Err(Failure::BodyTooLarge),
        _ => Ok(()),
    }
}

impl<'a> Request<'a> {
    fn count_verdict(&self, denied: Option<Denied>, limited: bool) {
        let stats = &self.connection.core.stats;
        let route = stats.route(self.route().id);
        match denied {
            None if limited => {
                route.allowed.up();
                stats.listener(self.listener.id).allowed.up();
            }
            None => {}
            Some(Denied::RateLimited) => {
                route.rare().limited.up();
                stats.listener(self.listener.id).limited.up();
            }
            Some(Denied::StateFull) => route.rare().limit_table_full.up(),
            Some(_) => route.rare().concurrency_refused.up(),
        }
    }

    /// What templates may name.
    pub(super) fn values<'v>(
        &'v self,
        head: &'v RequestHead,
        buf: &'v [u8],
        request_id: &'v [u8],
        parameters: &'v PathParameters<'v>,
    ) -> Values<'v> {
        Values {
            client_ip: self.client_text.as_bytes(),
            host: head.host.of(buf),
            method: head.method_span.of(buf),
            path: head.path.of(buf),
            query: head.query.map(|q| q.of(buf)),
            request_id,
            route: self.route().name.as_bytes(),
            scheme: b"http",
            parameters,
        }
    }

    /// Where the request came from, for forwarding fields.
    pub(super) fn hop<'v>(&'v self, request_id: &'v [u8]) -> Hop<'v> {
        let mut random = self.connection.core.random.borrow_mut();
        Hop {
            peer: &self.connection.peer_text,
            client: &self.client_text,
            trust: Trust::of(self.client.trusted, self.listener.client_address_from),
            scheme: Scheme::Http,
            request_id,
            random: (random.u128(..), random.u64(..)),
        }
    }
}

/// Drops the request's bytes; what follows it stays for the next one.
fn take_off(s: &mut Scratch) {
    s.input.consume(s.head.len.min(s.input.len()));
    if let Framing::Length(n) = s.head.framing
        && s.body.capacity() == 0
    {
        s.input.consume((n as usize).min(s.input.len()));
    }
    if s.body.capacity() > 0 {
        debug_assert!(s.input.is_empty());
        s.input = std::mem::take(&mut s.body);
    }
}
