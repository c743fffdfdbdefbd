//! A client's connection that speaks HTTP/2: takes the streams it begins, each a task of its own,
//! and ends it in good order.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::http::Request;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, server};

use crate::http::Framing;
use crate::http::h2::decode;
use crate::http::h2::frames::Frames;
use crate::io::multiplexed::Piece;
use crate::io::polled::{Slowest, Wire, WireEnd};
use crate::io::{Buffer, Expiry, Guard, Stream, clock, spawn};
use crate::limits::{
    BUFFER_SMALL, H2_CLIENT_SMALL, H2_CONNECTION_WINDOW, H2_CONTENT_ALONG, H2_ENDING, H2_GIVEN_UP,
    H2_HEAD_FACTOR, H2_LAST_WORDS_NS, H2_SEND_BUFFER, H2_STREAM_WINDOW,
};
use crate::respond::failure::Failure;

use super::super::client::Connection;
use super::super::request;
use super::super::scratch::Scratch;
use super::super::task::Fate;
use super::stream::ClientStream;

/// Bytes of the connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// Serves a connection to its end. `early` was read from it already.
pub(in crate::session) async fn serve(connection: Connection, early: Buffer) {
    let connection = Rc::new(connection);
    let listener = connection.listener.id;
    connection.core.stats.listener(listener).http2_open.up();
    if let Some(driver) = Driver::begin(&connection, early).await {
        driver.run().await;
    }
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
    driver: RefCell<Option<Waker>>,
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
        self.0.silent_since_ns.set(clock::coarse_ns());
        let waker = self.0.driver.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
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
    machine: server::Connection<WireEnd, Piece>,
    wire: Rc<Wire>,
    frames: Rc<RefCell<Frames>>,
    open: Rc<Open>,
    /// Since when something that should come at once has not.
    within_since_ns: Option<u64>,
    stage: Stage,
}

impl Driver {
    async fn begin(connection: &Rc<Connection>, early: Buffer) -> Option<Self> {
        let settings = connection.listener.settings();
        let frames = Rc::new(RefCell::new(Frames::strict(PREFACE, clock::coarse_ns())));
        let wire = wire(connection, &frames);
        wire.begin_with(early);
        // What it waited for has come.
        connection.guard.disarm();
        let deadline = connection.core.watch.stream_guard();
        let at = clock::coarse_ns().saturating_add(settings.header_ns);
        deadline.arm(at, Expiry::Wake);
        let max_head = settings.http.max_head.saturating_mul(H2_HEAD_FACTOR);
        let mut handshake = pin!(
            Builder::new()
                .initial_window_size(H2_STREAM_WINDOW)
                .initial_connection_window_size(H2_CONNECTION_WINDOW)
                .max_concurrent_streams(settings.max_streams)
                .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
                .max_send_buffer_size(H2_SEND_BUFFER)
                .data_frame_budget(H2_CLIENT_SMALL * H2_CONNECTION_WINDOW as usize)
                .max_concurrent_reset_streams(H2_GIVEN_UP)
                .enable_connect_protocol()
                .handshake::<_, Piece>(wire.end())
        );
        let turns = poll_fn(|cx| wire.poll_turn(cx, |cx| handshake.as_mut().poll(cx)));
        let machine = deadline.unless_expired(turns).await?.ok()?;
        let open = Rc::new(Open {
            count: Cell::new(0),
            stood_still: Cell::new(false),
            silent_since_ns: Cell::new(clock::coarse_ns()),
            driver: RefCell::default(),
        });
        Some(Self {
            deadline,
            connection: connection.clone(),
            machine,
            wire,
            frames,
            open,
            within_since_ns: None,
            stage: Stage::Serving,
        })
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.poll_expired(cx).is_ready() && self.is_over_due() {
            return Poll::Ready(());
        }
        loop {
            let Self { machine, wire, .. } = self;
            match wire.poll_turn(cx, |cx| machine.poll_accept(cx)) {
                Poll::Ready(Some(Ok((request, respond)))) => self.take(request, respond),
                Poll::Ready(end) => {
                    self.note(end.and_then(Result::err));
                    return Poll::Ready(());
                }
                Poll::Pending if self.turns() => {}
                Poll::Pending => break,
            }
        }
        *self.open.driver.borrow_mut() = Some(cx.waker().clone());
        self.arm();
        self.deadline.poll_expired(cx).map(|_| ())
    }

    /// The machine has bounds of its own, and says the same of who breaks them.
    fn note(&self, error: Option<h2::Error>) {
        let known = matches!(self.stage, Stage::Refused(_));
        let calms = |e: h2::Error| e.is_library() && e.reason() == Some(Reason::ENHANCE_YOUR_CALM);
        if !known && error.is_some_and(calms) {
            self.count_refusal();
        }
    }

    fn count_refusal(&self) {
        let listener = self.connection.listener.id;
        self.connection.core.stats.listener(listener).http2_refused.up();
    }

    /// A stream begins. Who was told long ago to begin no more, and does not even answer that, has them
    /// refused.
    fn take(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Piece>) {
        if matches!(self.stage, Stage::Leaving(at) if clock::coarse_ns() > at + H2_LAST_WORDS_NS) {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        // A stream that was reset is none any more to the machine, but its request still ends.
        let most = H2_ENDING.saturating_mul(self.connection.listener.settings().max_streams);
        if self.open.count.get() >= most as usize {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let guard = self.connection.core.watch.stream_guard();
        let (parts, body) = request.into_parts();
        let stream = ClientStream::new(body, respond, guard);
        let connection = self.connection.clone();
        let place = Place::take(&self.open);
        connection.requests.set(connection.requests.get() + 1);
        spawn(async move {
            let stalled = serve_stream(&connection, &stream, parts).await;
            drop(stream);
            drop(connection);
            place.end(stalled);
        });
    }

    /// Whether the connection turned towards its end just now, so that the machine has something to
    /// say.
    fn turns(&mut self) -> bool {
        let now = clock::coarse_ns();
        // Not while answers that were handed over whole are on their way: they would be cut off.
        let stood_still = self.open.stood_still.get() && !self.machine.has_streams();
        let refused = self.wire.is_refused() || stood_still;
        if refused && !matches!(self.stage, Stage::Refused(_)) {
            self.refuse(now);
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

    fn refuse(&mut self, now_ns: u64) {
        self.stage = Stage::Refused(now_ns);
        let fault = self.frames.borrow().fault();
        if fault == Reason::ENHANCE_YOUR_CALM {
            self.count_refusal();
        }
        self.machine.abrupt_shutdown(fault);
    }

    fn leave(&mut self, now_ns: u64) {
        self.stage = Stage::Leaving(now_ns);
        self.machine.graceful_shutdown();
    }

    /// A deadline has passed. True: the connection is over.
    fn is_over_due(&mut self) -> bool {
        let now = clock::coarse_ns();
        match self.stage {
            Stage::Refused(_) => return true,
            _ if self.within_until_ns() <= now => self.refuse(now),
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
        let within = self.frames.borrow().is_within();
        let since = self.within_since_ns.unwrap_or_else(clock::coarse_ns);
        self.within_since_ns = within.then_some(since);
        let silent = self.open.count.get() == 0;
        // Answers that were handed over whole may still be on their way.
        let owes = self.machine.has_streams();
        let moved = if owes { self.wire.last_gone_ns() } else { 0 };
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

fn wire(connection: &Rc<Connection>, frames: &Rc<RefCell<Frames>>) -> Rc<Wire> {
    let settings = connection.listener.settings();
    let slowest = Slowest {
        idle_ns: settings.idle_ns,
        rate: settings.body_min_rate,
        grace_ns: settings.body_grace_ns,
    };
    let frames = frames.clone();
    let look = Box::new(move |bytes: &[u8], sent| {
        frames.borrow_mut().take(bytes, sent, clock::coarse_ns())
    });
    Wire::new(connection.clone(), &connection.core.watch, slowest, look)
}

/// Serves a stream to its end. True: that came because the client took nothing of the answer.
async fn serve_stream(
    connection: &Connection,
    stream: &ClientStream,
    parts: ::http::request::Parts,
) -> bool {
    let mut scratch = connection.core.take_scratch();
    scratch.input = Buffer::fitting(size(&parts).min(BUFFER_SMALL));
    let bounds = &connection.listener.settings().http;
    let ended = stream.content.is_at_end();
    let mut read = Ok(());
    let key = connection.core.random.borrow_mut().u128(..).to_ne_bytes();
    let head = &mut scratch.head;
    scratch.input.append_with(|buf| read = decode::request(&parts, ended, key, bounds, buf, head));
    drop(parts);
    if read.is_ok() && scratch.head.framing != Framing::None {
        take_content(stream, &mut scratch);
    }
    let refused = read.err().map(Failure::BadRequest);
    // In a box from the start: it is large, and would be copied with every future around it.
    let served = Box::pin(request::serve_stream(connection, stream, &mut scratch, refused));
    let fate = stream.attend(served).await;
    let stalled = fate == Fate::Reset && stream.is_stalled();
    match fate {
        Fate::Reset if stalled => stream.reset(Reason::ENHANCE_YOUR_CALM),
        Fate::Reset => stream.reset(Reason::INTERNAL_ERROR),
        _ if stream.content.is_at_end() => {}
        _ => stream.attend(Box::pin(stream.linger())).await,
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

/// About how many bytes a head takes in lines.
fn size(parts: &::http::request::Parts) -> usize {
    decode::lines_len(&parts.headers) + parts.uri.path().len() + 128
}
