//! The answer that turns a request into a tunnel.

use crate::http::{Bad, ResponseHead};
use crate::io::Buffer;
use crate::respond::failure::Failure;
use crate::respond::head::Content;
use crate::upstream::Carrier;

use super::account::Account;
use super::download::Download;
use super::outcome::{Broken, Done};
use super::task::Fate;
use super::tunnel::{self, Ended};

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
        let Ended { cut, whole } = tunnel::run(self.way, connection, account).await;
        account.failure = cut;
        if cut == Some(Failure::ResponseIncomplete) {
            self.way.request.connection.core.stats.target(self.target.id).failures.up();
        }
        let whole = whole && matches!(cut, None | Some(Failure::TunnelTimeout));
        Ok(Done { fate: if whole { Fate::Close } else { Fate::Reset }, reusable: false })
    }
}
