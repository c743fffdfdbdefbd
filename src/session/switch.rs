//! The answer that turns a request into a tunnel.

use crate::http::{Bad, ResponseHead};
use crate::io::Buffer;
use crate::respond::failure::Failure;
use crate::respond::head::Content;
use crate::upstream::{Carrier, Connection};

use super::account::{Account, Tunnelled};
use super::download::Download;
use super::ending::{Broken, Done};
use super::task::Fate;
use super::tunnel::{self, Ended, Sides};

impl Download<'_, '_, '_> {
    /// Passes the 101 on, and then whatever both sides say, to their ends.
    pub(super) async fn switch(
        &mut self,
        answer: &mut Buffer,
        reply: &mut Buffer,
        response: &ResponseHead,
        account: &mut Account,
    ) -> Result<Done, Broken> {
        // A stream knows no 101.
        let Carrier::Connection(connection) = self.carrier else {
            return Err(Broken::during(Failure::BadResponse(Bad::UnexpectedUpgrade), false));
        };
        *reply = Buffer::small();
        self.encode(answer, reply, response, Content::None(None), false);
        answer.consume(response.len);
        let (head, early) = (reply.len() as u64, answer.len() as u64);
        reply.append(answer.data());
        *answer = Buffer::empty();
        self.write_reply(reply).await?;
        account.bytes_out += head + early;
        account.content_out += early;
        let Ended { cut, whole, .. } = self.tunnel(connection, account).await;
        account.failure = cut;
        if cut == Some(Failure::ResponseIncomplete) {
            self.way.request.connection.core.stats.target(self.target.id).failures.up();
        }
        let whole = whole && matches!(cut, None | Some(Failure::TunnelTimeout));
        Ok(Done { fate: if whole { Fate::Close } else { Fate::Reset }, reusable: false })
    }
    async fn tunnel(&self, target: &Connection, account: &mut Account) -> Ended {
        let (way, request) = (self.way, self.way.request);
        let sides = Sides {
            core: &request.connection.core,
            client: &request.connection.stream,
            client_guard: &request.connection.guard,
            target,
            silence_ns: way.rules.tunnel_ns,
            total_ns: way.rules.tunnel_total_ns,
            listener: request.listener.id,
            route: Some(request.route_id()),
        };
        // What the client sent behind its head has waited for this.
        let early = &way.buf[way.head.len..];
        let mut first = Buffer::empty();
        if !early.is_empty() {
            first = Buffer::fitting(early.len());
            first.append(early);
        }
        let ended = tunnel::run(sides, first, early.len()).await;
        let Ended { since_ns, bytes_in: counted_in, bytes_out: counted_out, .. } = ended;
        account.content_in += counted_in;
        account.content_out += counted_out;
        account.bytes_out += counted_out;
        account.tunnel = Some(Tunnelled { since_ns, counted_in, counted_out });
        ended
    }
}
