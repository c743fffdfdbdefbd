//! One stream of a client's connection: a request and its answer.

use std::cell::OnceCell;

use crate::http::h2::code::Code;
use crate::http::h2::machine::Unsent;
use crate::io::{Buffer, Expiry, Guard, Partner, clock};
use crate::limits::{LINGER_BYTES, LINGER_NS};
use crate::multiplexed::{Held, Inbound, Outbound};

/// One stream of a client's connection.
pub(in crate::session) struct ClientStream {
    /// Its deadline.
    pub(in crate::session) guard: Guard,
    /// The request's content.
    pub(in crate::session) content: Inbound,
    answer: OnceCell<Outbound>,
    held: Held,
}

impl ClientStream {
    pub(super) fn new(held: Held, guard: Guard) -> Self {
        Self { guard, content: held.inbound(), answer: OnceCell::new(), held }
    }

    /// Known to be gone once the client has reset it.
    pub(in crate::session) fn partner(&self) -> Partner {
        Partner::Stream(self.held.gone())
    }

    /// Sends an interim answer's head. Nobody waits for room to do that, so a client that takes nothing of
    /// what is sent gets none.
    ///
    /// # Errors
    /// It was not sent.
    pub(in crate::session) fn interim(&self, head: &[u8]) -> Result<(), Unsent> {
        match self.held.link.is_full() {
            true => Ok(()),
            false => self.say(head, false),
        }
    }

    /// Sends the answer's head. `ended`: it has no content.
    ///
    /// # Errors
    /// It was not sent.
    pub(in crate::session) fn head(&self, head: &[u8], ended: bool) -> Result<(), Unsent> {
        self.say(head, ended)?;
        let _ = self.answer.set(self.held.outbound());
        Ok(())
    }

    fn say(&self, head: &[u8], ended: bool) -> Result<(), Unsent> {
        let Held { link, key } = &self.held;
        link.say(|machine, out| machine.answer(*key, head, ended, out))
    }

    /// Sends an answer whose head is the first `head` bytes of `message`, and its content the rest.
    ///
    /// # Errors
    /// It was not sent whole.
    pub(in crate::session) async fn answer_with(
        &self,
        mut message: Buffer,
        head: usize,
    ) -> Result<(), Unsent> {
        self.head(&message.data()[..head], message.len() == head)?;
        message.consume(head);
        let Some(out) = self.answer.get() else { return Ok(()) };
        while !message.is_empty() {
            let (result, rest) = out.write(message, true, &self.guard).await;
            result.map_err(|_| Unsent::Gone)?;
            message = rest;
        }
        Ok(())
    }

    /// Where the answer's content goes; `None` before its head was sent.
    pub(in crate::session) fn answer(&self) -> Option<&Outbound> {
        self.answer.get()
    }

    /// Takes what still comes of a request that was answered already, within bounds: some clients take
    /// the reset that tells them to stop for the loss of their answer.
    pub(super) async fn linger(&self) {
        self.guard.arm(clock::coarse_ns() + LINGER_NS, Expiry::Wake);
        let mut left = LINGER_BYTES;
        let mut buffer = Buffer::empty();
        while left > 0 && !self.content.is_at_end() {
            if buffer.capacity() == 0 {
                buffer = Buffer::medium();
            }
            buffer.clear();
            let (result, back) = self.content.read(buffer, &self.guard).await;
            buffer = back;
            match result {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    }

    /// Ends the stream so that no answer, or only a part of one, was given.
    pub(super) fn reset(&self, code: Code) {
        self.held.reset(code);
    }

    /// Whether the client took nothing of the answer for as long as that may be.
    pub(super) fn is_stalled(&self) -> bool {
        self.answer.get().is_some_and(Outbound::is_stalled)
    }
}
