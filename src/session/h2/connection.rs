//! A client's connection that speaks HTTP/2: takes the streams it begins, each a task of its own,
//! and ends it in good order.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::http::Framing;
use crate::http::h2::code::Code;
use crate::http::h2::machine::{Begun, Machine, Reading, Role, Terms};
use crate::io::{Buffer, Expiry, Guard, Stream, clock, spawn};
use crate::limits::{
    H2_CONNECTION_WINDOW, H2_CONTENT_ALONG, H2_ENDING, H2_LAST_WORDS_NS, H2_STREAM_WINDOW,
};
use crate::multiplexed::{Held, Link, Slowest, Takes};
use crate::respond::failure::Failure;

use super::super::client::Connection;
use super::super::request;
use super::super::scratch::Scratch;
use super::super::task::Fate;
use super::stream::ClientStream;

/// Serves a connection to its end. `early` was read from it already.
pub(in crate::session) async fn serve(connection: Connection, early: Buffer) {
    let connection = Rc::new(connection);
    let listener = connection.listener.id;
    connection.core.stats.listener(listener).http2_open.up();
    Driver::new(&connection, early).run().await;
    connection.core.stats.listener(listener).http2_open.down();
    // Also where streams are left, which end by themselves: the last word is not to be lost.
    connection.linger().await;
}

impl AsRef<Stream> for Connection {
    fn as_ref(&self) -> &Stream {
        &self.stream
    }
}

/// The streams that are open.
struct Open {
    count: Cell<usize>,
    /// The last of them ended because the client took nothing of it for too long: they all stood still.
    stood_still: Cell<bool>,
    silent_since_ns: Cell<u64>,
    link: Rc<Link>,
}

/// One of them.
struct Place(Rc<Open>);

impl Place {
    fn take(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        open.stood_still.set(false);
        Self(open.clone())
    }

    /// Ends the stream. `stalled`: by its client, who took nothing of the answer.
    fn end(self, stalled: bool) {
        self.0.stood_still.set(stalled && self.0.count.get() == 1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.silent_since_ns.set(clock::coarse_ns());
            self.0.link.wake();
        }
    }
}

/// How far a connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// New streams are welcome.
    Serving,
    /// The client was told to begin no more; those there are go on.
    Leaving(u64),
    /// The client broke the rules, and was told to go.
    Refused(u64),
}

struct Driver {
    /// No descriptor's: what the client sends and nobody reads any more must not move it.
    deadline: Guard,
    connection: Rc<Connection>,
    link: Rc<Link>,
    open: Rc<Open>,
    /// Where the next request's head goes, while some may have come.
    scratch: Option<Box<Scratch>>,
    /// Since when something that should come at once has not.
    within_since_ns: Option<u64>,
    stage: Stage,
}

impl Driver {
    fn new(connection: &Rc<Connection>, early: Buffer) -> Self {
        // What it waited for has come.
        connection.guard.disarm();
        let link = link(connection, early);
        let open = Open {
            count: Cell::new(0),
            stood_still: Cell::new(false),
            silent_since_ns: Cell::new(clock::coarse_ns()),
            link: link.clone(),
        };
        Self {
            deadline: connection.core.watch.stream_guard(),
            connection: connection.clone(),
            link,
            open: Rc::new(open),
            scratch: None,
            within_since_ns: None,
            stage: Stage::Serving,
        }
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.poll_expired(cx).is_ready() && self.is_over_due() {
            return Poll::Ready(());
        }
        let link = self.link.clone();
        loop {
            let ended = link.poll_turn(cx, self).is_ready();
            if let Some(scratch) = self.scratch.take() {
                self.connection.core.give_back(scratch);
            }
            if ended || link.ask(|machine| machine.is_done()) && link.poll_sent(cx).is_ready() {
                return Poll::Ready(());
            }
            if !self.turns() {
                break;
            }
        }
        self.arm();
        self.deadline.poll_expired(cx).map(|_| ())
    }

    fn count_refusal(&self) {
        let listener = self.connection.listener.id;
        self.connection.core.stats.listener(listener).http2_refused.up();
    }

    /// Whether a stream that begins is one too many. Who was told long ago to begin no more, and does not
    /// even answer that, has them refused.
    fn is_beyond(&self) -> bool {
        if matches!(self.stage, Stage::Leaving(at) if clock::coarse_ns() > at + H2_LAST_WORDS_NS) {
            return true;
        }
        // A stream that was reset is none any more to the machine, but its request still ends.
        let most = H2_ENDING.saturating_mul(self.connection.listener.settings().max_streams);
        self.open.count.get() >= most as usize
    }

    /// Whether the connection turned towards its end just now, so that the machine has something to
    /// say.
    fn turns(&mut self) -> bool {
        let now = clock::coarse_ns();
        // Not while answers that were handed over whole are on their way: they would be cut off.
        let stood_still = self.open.stood_still.get() && !self.link.is_writing();
        let calm = stood_still.then_some(Code::ENHANCE_YOUR_CALM);
        if let Some(code) = self.link.fault().or(calm)
            && !matches!(self.stage, Stage::Refused(_))
        {
            self.refuse(now, code);
            return true;
        }
        if self.stage == Stage::Serving && self.is_to_leave() {
            self.leave(now);
            return true;
        }
        false
    }

    fn is_to_leave(&self) -> bool {
        let connection = &self.connection;
        let most = connection.listener.settings().max_requests;
        connection.core.draining.get()
            || connection.listener.removed.get()
            || connection.requests.get() >= most
    }

    fn refuse(&mut self, now_ns: u64, code: Code) {
        self.stage = Stage::Refused(now_ns);
        if code == Code::ENHANCE_YOUR_CALM {
            self.count_refusal();
        }
        self.link.say(|machine, out| machine.refuse(code, out));
    }

    fn leave(&mut self, now_ns: u64) {
        self.stage = Stage::Leaving(now_ns);
        self.link.say(Machine::leave);
    }

    /// A deadline has passed. True: the connection is over.
    fn is_over_due(&mut self) -> bool {
        let now = clock::coarse_ns();
        match self.stage {
            Stage::Refused(_) => return true,
            // Who says nothing else need not be told anything either.
            _ if self.within_until_ns() <= now && !self.link.ask(|m| m.has_settings()) => {
                return true;
            }
            _ if self.within_until_ns() <= now => self.refuse(now, Code::ENHANCE_YOUR_CALM),
            Stage::Leaving(_) => return self.open.count.get() == 0,
            Stage::Serving => self.leave(now),
        }
        false
    }

    /// Until when what has begun, and should come at once, must have come.
    fn within_until_ns(&self) -> u64 {
        let header_ns = self.connection.listener.settings().header_ns;
        self.within_since_ns.map_or(u64::MAX, |at| at.saturating_add(header_ns))
    }

    /// Sets the deadline of what is waited for.
    fn arm(&mut self) {
        let settings = self.connection.listener.settings();
        let within = self.link.is_within();
        let since = self.within_since_ns.unwrap_or_else(clock::coarse_ns);
        self.within_since_ns = within.then_some(since);
        let silent = self.open.count.get() == 0;
        // Answers that were handed over whole may still be on their way.
        let owes = self.link.is_writing();
        let moved = if owes { self.link.last_gone_ns() } else { 0 };
        let since = self.open.silent_since_ns.get().max(moved);
        let idle_ns = match self.connection.requests.get() {
            0 => settings.header_ns,
            _ => settings.idle_ns,
        };
        let last_ns = if owes { idle_ns } else { H2_LAST_WORDS_NS };
        let idle_at = match self.stage {
            Stage::Serving if silent => since.saturating_add(idle_ns),
            Stage::Leaving(at) if silent => at.max(since).saturating_add(last_ns),
            Stage::Refused(at) => at.saturating_add(H2_LAST_WORDS_NS),
            Stage::Serving | Stage::Leaving(_) => u64::MAX,
        };
        self.deadline.arm(idle_at.min(self.within_until_ns()), Expiry::Wake);
    }
}

impl Takes for Driver {
    fn reading(&mut self) -> Reading<'_> {
        let core = &self.connection.core;
        let key = core.random.borrow_mut().u128(..).to_ne_bytes();
        let scratch = self.scratch.get_or_insert_with(|| core.take_scratch());
        if scratch.input.capacity() == 0 {
            scratch.input = Buffer::small();
        }
        let Scratch { input, head, .. } = &mut **scratch;
        Reading { lines: input.writer(), head, key }
    }

    /// A stream begins.
    fn take(&mut self, begun: Begun) {
        let held = Held { link: self.link.clone(), key: begun.key };
        let Some(mut scratch) = self.scratch.take() else { return };
        if self.is_beyond() {
            scratch.release();
            self.scratch = Some(scratch);
            return self.link.say(|machine, out| machine.decline(held.key, out));
        }
        let stream = ClientStream::new(held, self.connection.core.watch.stream_guard());
        let connection = self.connection.clone();
        let place = Place::take(&self.open);
        connection.requests.set(connection.requests.get() + 1);
        let refused = begun.bad.map(Failure::BadRequest);
        spawn(async move {
            let stalled = serve_stream(&connection, &stream, scratch, refused).await;
            drop(stream);
            drop(connection);
            place.end(stalled);
        });
    }
}

fn link(connection: &Rc<Connection>, early: Buffer) -> Rc<Link> {
    let settings = connection.listener.settings();
    let slowest = Slowest {
        idle_ns: settings.idle_ns,
        rate: settings.body_min_rate,
        grace_ns: settings.body_grace_ns,
    };
    let terms = Terms {
        bounds: settings.http,
        max_streams: settings.max_streams,
        stream_window: H2_STREAM_WINDOW,
        connection_window: H2_CONNECTION_WINDOW,
    };
    let watch = &connection.core.watch;
    Link::new(connection.clone(), watch, slowest, (Role::Server, &terms), early)
}

/// Serves a stream to its end. True: that came because the client took nothing of the answer.
async fn serve_stream(
    connection: &Connection,
    stream: &ClientStream,
    mut scratch: Box<Scratch>,
    refused: Option<Failure>,
) -> bool {
    if refused.is_none() && scratch.head.framing != Framing::None {
        take_content(stream, &mut scratch);
    }
    // In a box from the start: it is large, and would be copied with every future around it.
    let fate = Box::pin(request::serve_stream(connection, stream, &mut scratch, refused)).await;
    let stalled = fate == Fate::Reset && stream.is_stalled();
    match fate {
        Fate::Reset if stalled => stream.reset(Code::ENHANCE_YOUR_CALM),
        Fate::Reset => stream.reset(Code::INTERNAL_ERROR),
        _ if stream.content.is_at_end() => {}
        _ => Box::pin(stream.linger()).await,
    }
    connection.core.give_back(scratch);
    stalled
}

/// Puts content that came along behind the head. If that is all of it, it can be sent again where a
/// target refuses it.
fn take_content(stream: &ClientStream, scratch: &mut Scratch) {
    let whole = stream.content.take_come(&mut scratch.input, H2_CONTENT_ALONG);
    if whole {
        let length = scratch.input.len() - scratch.head.len;
        scratch.head.framing = Framing::Length(length as u64);
    }
}
