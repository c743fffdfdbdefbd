//! One exchange on a connection that many share: a stream of HTTP/2 to a target.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::rc::Rc;

use super::shared::{Lease, Shared};
use crate::http::Bad;
use crate::http::h2::machine::{Asking, End, Unsent};
use crate::io::deadline::Expired;
use crate::io::{Buffer, Guard, clock};
use crate::multiplexed::{Held, Inbound, Outbound};

/// A stream to a target: not begun, or with a request under way.
pub struct TargetStream {
    /// Its deadline.
    pub guard: Guard,
    /// The target's stable id.
    pub target: u32,
    /// Whether its connection carried a stream before.
    pub reused: bool,
    // Before the lease: a place is free when the stream in it is over.
    begun: OnceCell<Begun>,
    nothing: Inbound,
    lease: Lease,
    began_ns: u64,
}

struct Begun {
    upload: Outbound,
    download: Inbound,
    held: Held,
}

/// What a target says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// An interim answer; more follows.
    Interim,
    /// The final one. `true`: no content follows.
    Final(bool),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The target did nothing with the request, and says so (RFC 9113 section 8.7).
    Refused,
    /// The target reset the stream, and its connection goes on.
    Reset,
    /// What came of it is malformed.
    Malformed,
    /// So is its head, in this way.
    Bad(Bad),
    /// Its connection ended.
    Ended,
}

impl TargetStream {
    pub(super) fn new(lease: Lease, guard: Guard, target: u32) -> Self {
        Self {
            guard,
            target,
            reused: lease.of().has_carried(),
            begun: OnceCell::new(),
            nothing: Inbound::empty(),
            lease,
            began_ns: clock::coarse_ns(),
        }
    }

    fn shared(&self) -> &Rc<Shared> {
        self.lease.of()
    }

    /// Whether its target opens tunnels (RFC 8441).
    pub fn may_tunnel(&self) -> bool {
        self.shared().may_tunnel()
    }

    /// Whether its connection speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.shared().is_secure()
    }

    /// Sends the request's head.
    ///
    /// # Errors
    /// The head can't be told, or the connection takes no more streams: nothing was sent.
    pub fn request(&self, asking: &Asking<'_>) -> Result<(), Unsent> {
        let held = self.shared().request(asking)?;
        let (upload, download) = (held.outbound(), held.inbound());
        let _ = self.begun.set(Begun { upload, download, held });
        Ok(())
    }

    /// Where the request's content goes; `None` before the head was sent.
    pub fn upload(&self) -> Option<&Outbound> {
        self.begun.get().map(|begun| &begun.upload)
    }

    /// Where the answer's content comes from: nothing before the head was sent.
    pub fn download(&self) -> &Inbound {
        self.begun.get().map_or(&self.nothing, |begun| &begun.download)
    }

    /// Waits for the next head of the answer, whose lines are all that `lines` holds then.
    ///
    /// # Errors
    /// There is none; whether the guard's deadline passed, that says itself.
    pub async fn answer(&self, lines: &mut Buffer) -> Result<Answer, Lost> {
        let Some(Begun { held, .. }) = self.begun.get() else { return Err(Lost::Ended) };
        let come = poll_fn(|cx| {
            held.link.ask(|machine| {
                machine.poll_head(held.key, cx, |head| {
                    *lines = Buffer::fitting(head.lines.len());
                    lines.append(&head.lines);
                    match head.about.status {
                        ..200 => Answer::Interim,
                        _ => Answer::Final(head.ended),
                    }
                })
            })
        });
        match self.guard.unless_expired(come).await {
            Some(come) => come.map_err(lost),
            None => {
                // A client that left says nothing about the target.
                if self.guard.expired() == Some(Expired::Deadline) {
                    self.shared().suspect(self.began_ns);
                }
                Err(Lost::Ended)
            }
        }
    }
}

fn lost(end: End) -> Lost {
    match end {
        End::Refused => Lost::Refused,
        End::Reset(_) => Lost::Reset,
        End::Malformed => Lost::Malformed,
        End::Bad(bad) => Lost::Bad(bad),
        // What breaks its whole connection says nothing of this stream's answer.
        End::GivenUp | End::Lost => Lost::Ended,
    }
}
