//! A connection to a target is begun, and driven to its end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use h2::client::{Builder, Connection};

use super::shared::{Shared, Terms};
use crate::http::h2::frames::Frames;
use crate::io::multiplexed::Piece;
use crate::io::polled::{Look, Slowest, Wire, WireEnd};
use crate::io::{Expiry, Guard, Stream, Watch, clock};
use crate::limits::{
    H2_GIVEN_UP, H2_HEAD_FACTOR, H2_LAST_WORDS_NS, H2_SEND_BUFFER, H2_STUCK_NS, H2_TARGET_SMALL,
    H2_UPSTREAM_CONNECTION_WINDOW, H2_UPSTREAM_STREAM_WINDOW,
};
use crate::upstream::open::ConnectError;

pub(super) async fn begin(
    watch: &Rc<Watch>,
    stream: Stream,
    terms: Terms,
) -> Result<(Driver, Rc<Shared>), ConnectError> {
    let deadline = watch.stream_guard();
    let slowest = Slowest { idle_ns: H2_STUCK_NS, rate: 0, grace_ns: 0 };
    let wire = Wire::new(Rc::new(Own(stream)), watch, slowest, look());
    let head = u32::try_from(terms.max_head.saturating_mul(H2_HEAD_FACTOR)).unwrap_or(u32::MAX);
    let mut handshake = pin!(
        Builder::new()
            .initial_window_size(H2_UPSTREAM_STREAM_WINDOW)
            .initial_connection_window_size(connection_window(terms.max_streams))
            .initial_max_send_streams(terms.max_streams)
            .max_header_list_size(head)
            .max_send_buffer_size(H2_SEND_BUFFER)
            .max_concurrent_reset_streams(H2_GIVEN_UP)
            .data_frame_budget(H2_TARGET_SMALL * connection_window(terms.max_streams) as usize)
            .enable_push(false)
            .handshake::<_, Piece>(wire.end())
    );
    let made = poll_fn(|cx| wire.poll_turn(cx, |cx| handshake.as_mut().poll(cx))).await;
    let (mut requests, mut machine) = made.map_err(|_| ConnectError::Failed)?;
    // What the target sends first says how many streams it takes, and whether it opens tunnels; or
    // that it speaks something else.
    let ended = poll_fn(|cx| match wire.poll_turn(cx, |cx| Pin::new(&mut machine).poll(cx)) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if wire.has_come() => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    });
    let ended = ended.await;
    // Where it speaks something else, the machine may not have said all it has to say of that.
    let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
    if ended || matches!(ready, Poll::Ready(Err(_))) {
        return Err(ConnectError::NoHttp2);
    }
    if requests.current_max_send_streams() == 0 {
        // Who waits for a stream would make one connection after the other.
        return Err(ConnectError::Failed);
    }
    let shared = Shared::new(requests, wire.clone(), terms);
    let said = false;
    Ok((Driver { machine, wire, deadline, shared: shared.clone(), said }, shared))
}

/// A target is listened to as long as a client would be.
fn look() -> Look {
    let frames = RefCell::new(Frames::new(0, clock::coarse_ns()));
    Box::new(move |bytes: &[u8], sent| frames.borrow_mut().take(bytes, sent, clock::coarse_ns()))
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

/// Drives a connection: a task of its own.
pub(super) struct Driver {
    // Dropped before the wire, whose other end it holds.
    machine: Connection<WireEnd, Piece>,
    deadline: Guard,
    shared: Rc<Shared>,
    wire: Rc<Wire>,
    /// The target was told that no more streams come.
    said: bool,
}

impl Driver {
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.set_driver(cx.waker());
        loop {
            let Self { machine, wire, .. } = self;
            if wire.poll_turn(cx, |cx| Pin::new(&mut *machine).poll(cx)).is_ready() {
                return Poll::Ready(());
            }
            if self.wire.is_refused() {
                return Poll::Ready(());
            }
            if !self.is_over_due(cx) {
                return Poll::Pending;
            }
            if self.said || !self.shared.say_end() {
                return Poll::Ready(());
            }
            self.said = true;
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
