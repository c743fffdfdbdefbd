//! One request on its way: what every stage may look at.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::http::RequestHead;
use crate::http::grpc::{Call, Dialect};
use crate::io::clock;
use crate::policy::auth::forward_auth::{Answer, Judged, Verdict};
use crate::policy::auth::jwt::Verified;
use crate::policy::auth::{Admitted, Presented, Product, Told, places};
use crate::policy::client;
use crate::policy::quota::{Beyond, Ends};
use crate::policy::transform::{AddressText, Hop, Parameters, RequestId, Trust, Values};
use crate::route::Params;
use crate::snapshot::{Listener, Route, Snapshot};

use super::account::Account;
use super::client::Connection;
use super::downstream::Downstream;
use super::h2::ClientStream;
use super::scratch::Scratch;

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
    /// The stream of it that this request has to itself.
    pub(super) stream: Option<&'a ClientStream>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) listener: &'a Listener,
    pub(super) client: client::Client,
    pub(super) client_text: AddressText,
    /// The route it took, once it is known: its index.
    pub(super) route: Option<usize>,
    /// That route's stable id.
    pub(super) route_id: u32,
    /// The protocol that it asks to switch to, where its route allows that.
    pub(super) upgrade: Option<&'a str>,
    /// The gRPC call that it is. One of gRPC-Web is none unless its route says so.
    pub(super) grpc: Option<Call>,
    /// What the service said that is asked about its route's requests.
    pub(super) judged: Option<Arc<Answer>>,
    /// The token that it showed, where its route takes one.
    pub(super) token: Option<Rc<Verified>>,
    pub(super) account: Account,
    /// The product that its route is part of, and the slot that this has.
    pub(super) product: Option<(u32, &'a Product)>,
    /// Who calls, and what it counts as; of requests to a product that its plan let in.
    pub(super) admitted: Option<Admitted<'a>>,
    /// Whether the words hold what its query is without credentials.
    pub(super) query_cleaned: bool,
    /// Whether what lies behind its head is a whole form, whose parameters mapping rules may ask for.
    pub(super) is_form: bool,
    /// What its quotas are charged to; an application's id, or what stands for an address.
    pub(super) holder: u64,
    /// Which periods of theirs it was charged in.
    pub(super) charged_until: Ends,
    /// Soft quotas that it went beyond, told of when it is over: it may come to nothing.
    pub(super) beyond: Vec<Beyond<'a>>,
    /// The limit that refused it, and seconds until that has a token.
    pub(super) limited_by: Option<(Box<str>, u64)>,
    /// Field lines that the rules add to the answer.
    pub(super) answer_fields: Vec<u8>,
}

impl<'a> Request<'a> {
    /// Where it came from, and where its answer goes.
    pub(super) fn downstream(&self) -> Downstream<'a> {
        self.stream.map_or(Downstream::Connection(self.connection), Downstream::Stream)
    }

    /// The route it took; only asked after routing.
    pub(super) fn route(&self) -> &Route {
        &self.snapshot.routes[self.route.unwrap_or_default()]
    }

    /// Whether this is the connection's last answer, as far as is known before it begins. One to an
    /// upgrade always is: what the client sends behind such a request it may have meant for a tunnel.
    pub(super) fn is_last(&self, s: &Scratch) -> bool {
        !s.head.keep_alive
            || self.connection.requests.get() >= self.listener.max_requests
            || self.upgrade.is_some()
            || self.is_unwelcome()
    }

    /// Whether its connection is to end as soon as it can: the gateway drains, or the listener
    /// is gone.
    pub(super) fn is_unwelcome(&self) -> bool {
        self.connection.core.draining.get() || self.connection.listener.removed.get()
    }

    /// The address that limits and logs know the client by.
    pub(super) fn client_ip(&self) -> IpAddr {
        self.client.addr
    }

    /// Takes these parameters out of the query that upstreams get.
    pub(super) fn hide(&mut self, parameters: &places::Parameters, s: &mut Scratch) {
        let Some(query) = s.head.query.filter(|_| !parameters.is_empty()) else { return };
        match std::mem::replace(&mut self.query_cleaned, true) {
            false => parameters.without(query.of(s.input.data()), &mut s.words.query),
            true => {
                let before = std::mem::take(&mut s.words.query);
                parameters.without(&before, &mut s.words.query);
            }
        }
    }

    /// Its query as it is for upstreams: without credentials, unless its product lets them see these.
    /// `cleaned` is what the words hold.
    pub(super) fn query_for_upstreams<'v>(
        &self,
        head: &RequestHead,
        buf: &'v [u8],
        cleaned: &'v [u8],
    ) -> Option<&'v [u8]> {
        match self.query_cleaned {
            true => Some(cleaned).filter(|query| !query.is_empty()),
            false => head.query.map(|q| q.of(buf)),
        }
    }

    /// Who calls, as upstreams are told.
    pub(super) fn told(&self) -> Told<'_> {
        Told { caller: self.presented(), judged: self.judged() }
    }

    /// By the service that was asked; where it said nothing the client may say nothing in its place.
    fn judged(&self) -> Option<Judged<'_>> {
        let by = self.route().gatekeeper()?;
        let fields = match self.judged.as_ref().map(|answer| &answer.verdict) {
            Some(Verdict::Passes(fields)) => &fields[..],
            _ => &[],
        };
        Some(Judged { by, fields })
    }

    /// By the product.
    fn presented(&self) -> Option<Presented<'_>> {
        let &Admitted { product, application, plan, .. } = self.admitted.as_ref()?;
        Some(Presented { product, application, plan, directory: &self.snapshot.directory })
    }

    /// What templates may name.
    pub(super) fn values<'v>(
        &'v self,
        head: &'v RequestHead,
        buf: &'v [u8],
        query: Option<&'v [u8]>,
        request_id: &'v [u8],
        parameters: &'v PathParameters<'v>,
    ) -> Values<'v> {
        Values {
            client_ip: self.client_text.as_bytes(),
            host: head.host.of(buf),
            method: head.method_span.of(buf),
            path: head.path.of(buf),
            query,
            request_id,
            route: self.route().name.as_bytes(),
            scheme: self.connection.scheme().as_bytes(),
            identity: self.connection.identity.as_deref(),
            claims: self.token.as_ref().map(|token| &token.claims),
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
            scheme: self.connection.scheme(),
            early: self.connection.is_early(),
            identity: self.connection.identity.as_deref(),
            request_id,
            random: (random.u128(..), random.u64(..)),
        }
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
pub(super) fn begin<'a>(
    c: &'a Connection,
    stream: Option<&'a ClientStream>,
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
    // Whom a proxy in front cannot name is not that proxy, though it has its address.
    let unnamed = c.introduction.as_ref().is_some_and(|introduction| !introduction.named);
    let client = client::client_address(
        c.peer.ip(),
        if unnamed { &[] } else { &listener.trusted_proxies },
        listener.client_address_from,
        &s.head.fields,
        buf,
    );
    let random = c.core.random.borrow_mut().u128(..);
    let id = RequestId::choose(&s.head.fields, buf, client.trusted, random);
    s.words.request_id.clear();
    s.words.request_id.extend_from_slice(id.text(buf));
    let head_in = if parsed { s.head.len } else { s.input.len() } as u64;
    Request {
        connection: c,
        stream,
        snapshot,
        listener,
        client_text: if client.trusted { AddressText::of(client.addr) } else { c.peer_text },
        client,
        route: None,
        route_id: 0,
        upgrade: None,
        grpc: Call::of(&s.head, buf).filter(|call| call.asked == Dialect::Plain),
        judged: None,
        token: None,
        account: Account { began_ns, head_in, ..Account::default() },
        product: None,
        admitted: None,
        query_cleaned: false,
        is_form: false,
        holder: 0,
        charged_until: Ends::default(),
        beyond: Vec::new(),
        limited_by: None,
        answer_fields: std::mem::take(&mut s.words.answer_fields),
    }
}
