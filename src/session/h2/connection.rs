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
use crate::io::polled::{Wire, WireEnd};
use crate::io::{Buffer, Expiry, Stream, clock, spawn};
use crate::limits::{
    BUFFER_SMALL, H2_CONNECTION_WINDOW, H2_CONTENT_ALONG, H2_HEAD_FACTOR, H2_LAST_WORDS_NS,
    H2_SEND_BUFFER, H2_STREAM_WINDOW,
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
    if let Some(mut connection) = Rc::into_inner(connection) {
        connection.linger().await;
    }
}

impl AsRef<Stream> for Connection {
    fn as_ref(&self) -> &Stream {
        &self.stream
    }
}

/// The streams that are open.
struct Open {
    count: Cell<usize>,
    silent_since_ns: Cell<u64>,
    driver: RefCell<Option<Waker>>,
}

/// One of them.
struct Place(Rc<Open>);

impl Place {
    fn take(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(open.clone())
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
        let frames = Rc::new(RefCell::new(Frames::new(PREFACE, clock::coarse_ns())));
        let wire = wire(connection, &frames, settings.idle_ns);
        wire.begin_with(early);
        let at = clock::coarse_ns().saturating_add(settings.header_ns);
        connection.guard.arm(at, Expiry::ShutBoth);
        let max_head = settings.http.max_head.saturating_mul(H2_HEAD_FACTOR);
        let mut handshake = pin!(
            Builder::new()
                .initial_window_size(H2_STREAM_WINDOW)
                .initial_connection_window_size(H2_CONNECTION_WINDOW)
                .max_concurrent_streams(settings.max_streams)
                .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
                .max_send_buffer_size(H2_SEND_BUFFER)
                .handshake::<_, Piece>(wire.end())
        );
        let made = poll_fn(|cx| wire.poll_turn(cx, |cx| handshake.as_mut().poll(cx))).await;
        connection.guard.disarm();
        let open = Rc::new(Open {
            count: Cell::new(0),
            silent_since_ns: Cell::new(clock::coarse_ns()),
            driver: RefCell::default(),
        });
        Some(Self {
            connection: connection.clone(),
            machine: made.ok()?,
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
        if self.connection.guard.poll_expired(cx).is_ready() && self.is_over_due() {
            return Poll::Ready(());
        }
        loop {
            let Self { machine, wire, .. } = self;
            match wire.poll_turn(cx, |cx| machine.poll_accept(cx)) {
                Poll::Ready(Some(Ok((request, respond)))) => self.take(request, respond),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.turns() => {}
                Poll::Pending => break,
            }
        }
        *self.open.driver.borrow_mut() = Some(cx.waker().clone());
        self.arm();
        self.connection.guard.poll_expired(cx).map(|_| ())
    }

    /// A stream begins.
    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Piece>) {
        let guard = self.connection.core.watch.stream_guard();
        let (parts, body) = request.into_parts();
        let stream = ClientStream::new(body, respond, guard);
        let connection = self.connection.clone();
        let place = Place::take(&self.open);
        connection.requests.set(connection.requests.get() + 1);
        spawn(async move {
            serve_stream(&connection, &stream, parts).await;
            drop(stream);
            drop(connection);
            drop(place);
        });
    }

    /// Whether the connection turned towards its end just now, so that the machine has something to
    /// say.
    fn turns(&mut self) -> bool {
        let now = clock::coarse_ns();
        if self.wire.is_refused() && !matches!(self.stage, Stage::Refused(_)) {
            let listener = self.connection.listener.id;
            self.connection.core.stats.listener(listener).http2_refused.up();
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
        self.machine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
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
            Stage::Leaving(_) if self.open.count.get() == 0 => return true,
            Stage::Leaving(_) | Stage::Serving if self.within_since_ns.is_some() => {
                self.refuse(now)
            }
            Stage::Serving => self.leave(now),
            Stage::Leaving(_) => {}
        }
        false
    }

    /// Sets the deadline of what is waited for.
    fn arm(&mut self) {
        let settings = self.connection.listener.settings();
        let within = self.frames.borrow().is_within();
        let since = self.within_since_ns.unwrap_or_else(clock::coarse_ns);
        self.within_since_ns = within.then_some(since);
        let silent = self.open.count.get() == 0;
        let since = self.open.silent_since_ns.get();
        let idle_ns = match self.connection.requests.get() {
            0 => settings.header_ns,
            _ => settings.idle_ns,
        };
        let idle_at = match self.stage {
            Stage::Serving if silent => since.saturating_add(idle_ns),
            Stage::Leaving(at) if silent => at.max(since).saturating_add(H2_LAST_WORDS_NS),
            Stage::Refused(at) => at.saturating_add(H2_LAST_WORDS_NS),
            Stage::Serving | Stage::Leaving(_) => u64::MAX,
        };
        let within_at = self.within_since_ns.map(|at| at.saturating_add(settings.header_ns));
        let at = idle_at.min(within_at.unwrap_or(u64::MAX));
        self.connection.guard.arm(at, Expiry::Wake);
    }
}

fn wire(connection: &Rc<Connection>, frames: &Rc<RefCell<Frames>>, idle_ns: u64) -> Rc<Wire> {
    let frames = frames.clone();
    let look = Box::new(move |bytes: &[u8], sent| {
        frames.borrow_mut().take(bytes, sent, clock::coarse_ns())
    });
    Wire::new(connection.clone(), &connection.core.watch, idle_ns, look)
}

async fn serve_stream(
    connection: &Connection,
    stream: &ClientStream,
    parts: ::http::request::Parts,
) {
    let mut scratch = connection.core.take_scratch();
    scratch.input = Buffer::fitting(size(&parts).min(BUFFER_SMALL));
    let bounds = &connection.listener.settings().http;
    let ended = stream.content.is_at_end();
    let mut read = Ok(());
    let head = &mut scratch.head;
    scratch.input.append_with(|buf| read = decode::request(&parts, ended, bounds, buf, head));
    drop(parts);
    if read.is_ok() && scratch.head.framing != Framing::None {
        take_content(stream, &mut scratch);
    }
    let refused = read.err().map(Failure::BadRequest);
    let served = request::serve_stream(connection, stream, &mut scratch, refused);
    match stream.attend(served).await {
        Fate::Reset => stream.reset(),
        _ => stream.attend(stream.linger()).await,
    }
    connection.core.give_back(scratch);
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
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    lines.sum::<usize>() + parts.uri.path().len() + 128
}
