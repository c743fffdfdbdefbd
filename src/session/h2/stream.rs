//! One stream of a client's connection: a request and its answer.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;

use h2::server::SendResponse;
use h2::{Reason, RecvStream};

use crate::http::Bad;
use crate::http::h2::encode;
use crate::io::multiplexed::{Inbound, Outbound, Piece};
use crate::io::{Buffer, Expiry, Guard, Partner, clock};
use crate::limits::{LINGER_BYTES, LINGER_NS};

/// One stream of a client's connection.
pub(in crate::session) struct ClientStream {
    /// Its deadline.
    pub(in crate::session) guard: Guard,
    /// The request's content.
    pub(in crate::session) content: Inbound,
    respond: RefCell<SendResponse<Piece>>,
    answer: OnceCell<Outbound>,
    gone: Rc<Cell<bool>>,
}

/// Why an answer can't be sent.
pub(in crate::session) enum Unsent {
    /// HTTP/2 has no way to tell this.
    Bad(Bad),
    /// The client reset the stream, or its connection ended.
    Gone,
}

impl ClientStream {
    pub(super) fn new(body: RecvStream, respond: SendResponse<Piece>, guard: Guard) -> Self {
        Self {
            guard,
            content: Inbound::new(body),
            respond: RefCell::new(respond),
            answer: OnceCell::new(),
            gone: Rc::default(),
        }
    }

    /// Known to be gone once the client has reset it.
    pub(in crate::session) fn partner(&self) -> Partner {
        Partner::Stream(self.gone.clone())
    }

    /// Sends an interim answer's head.
    ///
    /// # Errors
    /// It was not sent.
    pub(in crate::session) fn interim(&self, head: &[u8]) -> Result<(), Unsent> {
        let head = encode::response(head).map_err(Unsent::Bad)?;
        self.respond.borrow_mut().send_informational(head).map_err(|_| Unsent::Gone)
    }

    /// Sends the answer's head. `ended`: it has no content.
    ///
    /// # Errors
    /// It was not sent.
    pub(in crate::session) fn head(&self, head: &[u8], ended: bool) -> Result<(), Unsent> {
        let head = encode::response(head).map_err(Unsent::Bad)?;
        let sent = self.respond.borrow_mut().send_response(head, ended);
        let _ = self.answer.set(Outbound::new(sent.map_err(|_| Unsent::Gone)?));
        Ok(())
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
    pub(super) fn reset(&self, reason: Reason) {
        match self.answer.get() {
            Some(answer) => answer.reset(reason),
            None => self.respond.borrow_mut().send_reset(reason),
        }
    }

    /// Whether the client took nothing of the answer for as long as that may be.
    pub(super) fn is_stalled(&self) -> bool {
        self.answer.get().is_some_and(Outbound::is_stalled)
    }

    /// Does `work`, and notes meanwhile whether the client resets the stream.
    pub(super) async fn attend<T>(&self, mut work: impl Future<Output = T> + Unpin) -> T {
        poll_fn(|cx| {
            let polled = Pin::new(&mut work).poll(cx);
            if polled.is_pending() {
                self.note_reset(cx);
            }
            polled
        })
        .await
    }

    fn note_reset(&self, cx: &mut Context<'_>) {
        if self.gone.get() {
            return;
        }
        let gone = match self.answer.get() {
            Some(answer) => answer.poll_reset(cx).is_ready(),
            None => self.respond.borrow_mut().poll_reset(cx).is_ready(),
        };
        self.gone.set(gone);
    }
}
