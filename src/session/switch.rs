//! The answer that turns a request into a tunnel.

use std::cell::Cell;

use crate::http::{ResponseHead, Span};
use crate::io::{Buffer, clock};
use crate::respond::failure::Failure;
use crate::respond::head::Content;
use crate::upstream::{Carrier, Connection};

use super::account::{Account, Tunnelled};
use super::client::Connection as ClientConnection;
use super::download::Download;
use super::downstream::Downstream;
use super::ending::{Broken, Done};
use super::pump::{Inlet, Outlet};
use super::relay::{Relay, Side};
use super::task::Fate;
use super::tunnel::{self, Ended, Sides};

impl Download<'_, '_, '_> {
    /// Passes the 101 on, and then whatever both sides say, to their ends.
    pub(super) async fn switch(
        &mut self,
        answer: &mut Buffer,
        reply: &mut Buffer,
        response: &mut ResponseHead,
        account: &mut Account,
    ) -> Result<Done, Broken> {
        let downstream = self.way.request.downstream();
        if let Downstream::Stream(_) = downstream {
            grant(response, answer.data());
        }
        *reply = Buffer::small();
        self.encode(answer, reply, response, Content::None(None), false);
        answer.consume(response.len);
        account.status = response.status;
        account.bytes_out += reply.len() as u64;
        let ended = match (downstream, self.carrier) {
            (Downstream::Connection(client), Carrier::Connection(target)) => {
                account.bytes_out += answer.len() as u64;
                account.content_out += answer.len() as u64;
                reply.append(answer.data());
                *answer = Buffer::empty();
                self.write_reply(reply).await?;
                self.tunnel(client, target).await
            }
            _ => {
                match downstream {
                    Downstream::Stream(stream) => self.begin_stream(stream, reply, false)?,
                    Downstream::Connection(_) => self.write_reply(reply).await?,
                }
                self.relay(std::mem::take(answer)).await?
            }
        };
        self.conclude(&ended, account);
        let Ended { cut, whole, .. } = ended;
        let whole = whole && matches!(cut, None | Some(Failure::TunnelTimeout));
        Ok(Done { fate: if whole { Fate::Close } else { Fate::Reset }, reusable: false })
    }

    /// Between two connections.
    async fn tunnel(&self, client: &ClientConnection, target: &Connection) -> Ended {
        let (way, request) = (self.way, self.way.request);
        let sides = Sides {
            core: &client.core,
            client: &client.stream,
            client_guard: &client.guard,
            target,
            silence_ns: way.rules.tunnel_ns,
            total_ns: way.rules.tunnel_total_ns,
            listener: request.listener.id,
            route: Some(request.route_id),
        };
        let first = self.early();
        let early = first.len();
        tunnel::run(sides, first, early).await
    }

    /// With a stream on one side or both.
    async fn relay(&self, to_client: Buffer) -> Result<Ended, Broken> {
        let (way, request) = (self.way, self.way.request);
        let downstream = request.downstream();
        let gone = Broken::during(Failure::ClientGone, true);
        let relay = Relay {
            core: &request.connection.core,
            client: Side {
                says: downstream.inlet(),
                hears: downstream.outlet().ok_or(gone)?,
                guard: downstream.guard(),
                expiry: downstream.expiry_of_writing(),
            },
            target: Side {
                says: Inlet::of(self.carrier),
                hears: Outlet::of(self.carrier).ok_or(gone)?,
                guard: self.carrier.guard(),
                expiry: self.carrier.expiry(),
            },
            silence_ns: way.rules.tunnel_ns,
            ends_ns: clock::coarse_ns().saturating_add(way.rules.tunnel_total_ns),
            listener: request.listener.id,
            route: request.route_id,
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            holding: Cell::new(0),
        };
        Ok(Box::pin(relay.run(self.early(), to_client)).await)
    }

    /// What the client sent behind its head has waited for this.
    fn early(&self) -> Buffer {
        let early = &self.way.buf[self.way.head.len..];
        let mut first = Buffer::empty();
        if !early.is_empty() {
            first = Buffer::fitting(early.len());
            first.append(early);
        }
        first
    }

    fn conclude(&self, ended: &Ended, account: &mut Account) {
        let &Ended { since_ns, bytes_in: counted_in, bytes_out: counted_out, cut, .. } = ended;
        account.content_in += counted_in;
        account.content_out += counted_out;
        account.bytes_out += counted_out;
        account.tunnel = Some(Tunnelled { since_ns, counted_in, counted_out });
        account.failure = cut;
        if cut == Some(Failure::ResponseIncomplete) {
            self.way.request.connection.core.stats.target(self.target.id).failures.up();
        }
    }
}

/// A stream is granted what it asked for by a 200, and knows no key (RFC 8441 section 5).
fn grant(response: &mut ResponseHead, buf: &[u8]) {
    response.status = 200;
    response.reason = Span::default();
    for field in &mut response.fields {
        field.hop |= field.name.of(buf).eq_ignore_ascii_case(b"sec-websocket-accept");
    }
}
