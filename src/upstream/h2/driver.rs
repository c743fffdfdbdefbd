//! A connection to a target is begun, and driven to its end.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::shared::{Shared, Terms};
use crate::http::RequestHead;
use crate::http::h2::machine::{self, Begun, Machine, Reading, Role};
use crate::io::{Buffer, Expiry, Guard, Stream, Watch, clock};
use crate::limits::{
    H2_LAST_WORDS_NS, H2_STUCK_NS, H2_UPSTREAM_CONNECTION_WINDOW, H2_UPSTREAM_STREAM_WINDOW,
};
use crate::multiplexed::{Link, Slowest, Takes};
use crate::upstream::open::ConnectError;

pub(super) async fn begin(
    watch: &Rc<Watch>,
    stream: Stream,
    terms: Terms,
) -> Result<(Driver, Rc<Shared>), ConnectError> {
    let deadline = watch.stream_guard();
    let slowest = Slowest { idle_ns: H2_STUCK_NS, rate: 0, grace_ns: 0 };
    let spoken = machine::Terms {
        bounds: terms.bounds,
        max_streams: 0,
        stream_window: H2_UPSTREAM_STREAM_WINDOW,
        connection_window: connection_window(terms.max_streams),
    };
    let stream = Rc::new(Own(stream));
    let link = Link::new(stream, watch, slowest, (Role::Client, &spoken), Buffer::empty());
    // What the target sends first says how many streams it takes, and whether it opens tunnels; or
    // that it speaks something else.
    let mut nobody = Nobody::default();
    let begun = poll_fn(|cx| match link.poll_turn(cx, &mut nobody) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending if link.fault().is_some() => Poll::Ready(false),
        Poll::Pending if link.ask(|machine| machine.has_settings()) => Poll::Ready(true),
        Poll::Pending => Poll::Pending,
    });
    if !begun.await {
        return Err(ConnectError::NoHttp2);
    }
    if link.ask(|machine| machine.allows()) == 0 {
        // Who waits for a stream would make one connection after the other.
        return Err(ConnectError::Failed);
    }
    let shared = Shared::new(link.clone(), terms);
    Ok((Driver { deadline, shared: shared.clone(), link, nobody, said: false }, shared))
}

/// As many streams as there may be, none of whose answers anybody reads, leave room for another's.
fn connection_window(max_streams: usize) -> u32 {
    let streams = u32::try_from(max_streams).unwrap_or(u32::MAX);
    let all = streams.saturating_add(1).saturating_mul(H2_UPSTREAM_STREAM_WINDOW);
    all.clamp(H2_UPSTREAM_CONNECTION_WINDOW, i32::MAX as u32)
}

struct Own(Stream);

impl AsRef<Stream> for Own {
    fn as_ref(&self) -> &Stream {
        &self.0
    }
}

/// A target begins no streams.
#[derive(Default)]
struct Nobody {
    lines: Vec<u8>,
    head: RequestHead,
}

impl Takes for Nobody {
    fn reading(&mut self) -> Reading<'_> {
        Reading { lines: &mut self.lines, head: &mut self.head, key: [0; 16] }
    }

    fn take(&mut self, _: Begun) {}
}

/// Drives a connection: a task of its own.
pub(super) struct Driver {
    deadline: Guard,
    shared: Rc<Shared>,
    link: Rc<Link>,
    nobody: Nobody,
    /// The target was told that no more streams come.
    said: bool,
}

impl Driver {
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let link = &self.link;
            if link.poll_turn(cx, &mut self.nobody).is_ready() {
                return Poll::Ready(());
            }
            if let Some(code) = link.fault() {
                link.say(|machine, out| machine.refuse(code, out));
                // As far as it goes out at once.
                let _ = link.poll_shut(cx);
                return Poll::Ready(());
            }
            if link.ask(|machine| machine.is_done()) {
                self.shared.note_end();
                ready!(link.poll_shut(cx));
                return Poll::Ready(());
            }
            if !self.is_over_due(cx) {
                return Poll::Pending;
            }
            if self.said {
                return Poll::Ready(());
            }
            self.said = true;
            self.shared.note_end();
            link.say(Machine::leave);
            let at = clock::coarse_ns().saturating_add(H2_LAST_WORDS_NS);
            self.deadline.arm(at, Expiry::Wake);
        }
    }

    /// Whether it has been without streams for as long as it may, or, having said that it goes, for as
    /// long as that may take.
    fn is_over_due(&self, cx: &mut Context<'_>) -> bool {
        if !self.said {
            match self.shared.ends_at_ns() {
                None => self.deadline.arm(u64::MAX, Expiry::Wake),
                Some(at) if at <= clock::coarse_ns() => return true,
                Some(at) => self.deadline.arm(at, Expiry::Wake),
            }
        }
        self.deadline.poll_expired(cx).is_ready()
    }
}
