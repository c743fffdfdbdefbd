//! One exchange on a connection that many share: a stream of HTTP/2 to a target.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};

use super::shared::{Lease, Shared};
use crate::io::deadline::Expired;
use crate::io::multiplexed::{Inbound, Outbound};
use crate::io::{Guard, clock};

/// A stream to a target: not begun, or with a request under way.
pub struct TargetStream {
    /// Its deadline.
    pub guard: Guard,
    /// The target's stable id.
    pub target: u32,
    /// Whether its connection carried a stream before.
    pub reused: bool,
    lease: Lease,
    began_ns: u64,
    answer: RefCell<Option<ResponseFuture>>,
    upload: OnceCell<Outbound>,
    download: OnceCell<Inbound>,
}

/// What a target says first.
pub enum Answer {
    /// An interim answer; more follows.
    Interim(Response<()>),
    /// The final one. `true`: no content follows.
    Final(Response<()>, bool),
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
    /// Its connection ended.
    Ended,
}

impl TargetStream {
    pub(super) fn new(lease: Lease, guard: Guard, target: u32) -> Self {
        Self {
            guard,
            target,
            reused: lease.of().has_carried(),
            lease,
            began_ns: clock::coarse_ns(),
            answer: RefCell::new(None),
            upload: OnceCell::new(),
            download: OnceCell::new(),
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

    /// Sends the request's head. `ended`: it has no content.
    ///
    /// # Errors
    /// The connection takes no more streams: nothing was sent.
    pub fn request(&self, head: Request<()>, ended: bool) -> Result<(), Lost> {
        let (answer, upload) = self.shared().request(head, ended).map_err(|_| Lost::Refused)?;
        *self.answer.borrow_mut() = Some(answer);
        let _ = self.upload.set(Outbound::new(upload));
        Ok(())
    }

    /// Where the request's content goes; `None` before the head was sent.
    pub fn upload(&self) -> Option<&Outbound> {
        self.upload.get()
    }

    /// Where the answer's content comes from: nothing before its final head came.
    pub fn download(&self) -> &Inbound {
        self.download.get_or_init(Inbound::empty)
    }

    /// Waits for the next head of the answer.
    ///
    /// # Errors
    /// There is none; whether the guard's deadline passed, that says itself.
    pub async fn answer(&self) -> Result<Answer, Lost> {
        let come = self.guard.unless_expired(poll_fn(|cx| self.poll_answer(cx))).await;
        let Some(result) = come else {
            // A client that left says nothing about the target.
            if self.guard.expired() == Some(Expired::Deadline) {
                self.shared().suspect(self.began_ns);
            }
            return Err(Lost::Ended);
        };
        match result {
            Ok(Come::Interim(response)) => Ok(Answer::Interim(response)),
            Ok(Come::Final(response)) => {
                let (parts, body) = response.into_parts();
                let ended = body.is_end_stream();
                let _ = self.download.set(Inbound::new(body));
                Ok(Answer::Final(Response::from_parts(parts, ()), ended))
            }
            Err(error) => Err(lost(&error)),
        }
    }

    fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Come, h2::Error>> {
        let mut answer = self.answer.borrow_mut();
        let Some(answer) = answer.as_mut() else { return Poll::Pending };
        if let Poll::Ready(Some(interim)) = answer.poll_informational(cx) {
            return Poll::Ready(interim.map(Come::Interim));
        }
        Pin::new(answer).poll(cx).map_ok(Come::Final)
    }
}

enum Come {
    Interim(Response<()>),
    Final(Response<RecvStream>),
}

/// A target that goes away resets what it did not begin (RFC 9113 section 6.8).
fn lost(error: &h2::Error) -> Lost {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    match error {
        _ if refused || error.is_remote() && error.is_go_away() => Lost::Refused,
        _ if error.is_remote() => Lost::Reset,
        // What breaks its whole connection says nothing of this stream's answer.
        _ if error.is_library() && error.is_reset() => Lost::Malformed,
        _ => Lost::Ended,
    }
}
