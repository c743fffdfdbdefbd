//! A tunnel of which at least one side is a stream of HTTP/2 (RFC 8441): content passes both ways as
//! it comes. The end of a stream is the end of that direction, as a connection's half-close is.
//!
//! Silence of both directions together is bounded, and so is the tunnel's life.

use std::cell::Cell;
use std::io;

use crate::http::h2::code::Code;
use crate::io::deadline::Expired;
use crate::io::join::either_fails;
use crate::io::{Buffer, Expiry, Guard, Partner, clock};
use crate::limits::BUFFER_SMALL;
use crate::multiplexed::Inbound;
use crate::respond::failure::Failure;
use crate::stats::Passed;

use super::core::Core;
use super::piece::{Piece, Source};
use super::pump::{Inlet, Outlet};
use super::tunnel::Ended;

/// One side of a tunnel.
pub(super) struct Side<'a> {
    /// What it says.
    pub(super) says: Inlet<'a>,
    /// What it is told.
    pub(super) hears: Outlet<'a>,
    pub(super) guard: &'a Guard,
    /// What a deadline does to it.
    pub(super) expiry: Expiry,
}

/// A tunnel while it lives.
pub(super) struct Relay<'a> {
    pub(super) core: &'a Core,
    pub(super) client: Side<'a>,
    pub(super) target: Side<'a>,
    /// How long both may be silent, nanoseconds.
    pub(super) silence_ns: u64,
    /// When the tunnel's life is over, nanoseconds.
    pub(super) ends_ns: u64,
    /// Stable ids, to count bytes by.
    pub(super) listener: u32,
    pub(super) route: u32,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    /// How many directions hold bytes that the other side has not got yet.
    pub(super) holding: Cell<u8>,
}

impl Relay<'_> {
    /// Passes content on until both sides have ended. `to_target` and `to_client` go first.
    pub(super) async fn run(&self, to_target: Buffer, to_client: Buffer) -> Ended {
        let since_ns = clock::now_ns();
        self.core.stats.tunnels.up();
        self.touch();
        let up = self.pass(&self.client, &self.target, to_target, |n| self.count(n, 0));
        let down = self.pass(&self.target, &self.client, to_client, |n| self.count(0, n));
        let failed = either_fails(up, down).await;
        self.core.stats.tunnels.down();
        let cut = failed.map(|side| self.why(side));
        let in_order = matches!(cut, None | Some(Failure::TunnelTimeout));
        let whole = in_order && self.holding.get() == 0;
        if cut.is_some() {
            for side in [&self.client, &self.target] {
                side.end_early(whole).await;
            }
        }
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        Ended { cut, whole, since_ns, bytes_in, bytes_out }
    }

    /// One direction to its end. The error is whose doing it was.
    async fn pass(
        &self,
        from: &Side<'_>,
        to: &Side<'_>,
        mut piece: Buffer,
        count: impl Fn(u64),
    ) -> Result<(), Failure> {
        let mut mouth = self.mouth(from);
        loop {
            count(piece.len() as u64);
            piece = self.write(to, piece).await.map_err(|_| self.blame(to))?;
            piece = mouth.read(piece, from.guard).await.map_err(|_| self.blame(from))?;
            clock::now_ns();
            if piece.is_empty() {
                return self.end(from, to).await;
            }
            self.touch();
        }
    }

    fn mouth<'s>(&self, side: &Side<'s>) -> Mouth<'s> {
        match side.says {
            Inlet::Socket(stream) => {
                Mouth::Socket(Source::new(stream, self.core.watch.guard(stream.fd()), None))
            }
            Inlet::Stream(content) => Mouth::Stream(content),
        }
    }

    async fn write(&self, to: &Side<'_>, mut piece: Buffer) -> io::Result<Buffer> {
        // Stays so where this fails or is dropped.
        self.holding.set(self.holding.get() + 1);
        while !piece.is_empty() || to.hears.owes() {
            self.patient(to);
            let (result, rest) = to.hears.write(piece, to.guard).await;
            result?;
            piece = rest;
            self.touch();
        }
        self.holding.set(self.holding.get() - 1);
        Ok(piece)
    }

    /// One side has said all it had to say; the other learns of it.
    async fn end(&self, from: &Side<'_>, to: &Side<'_>) -> Result<(), Failure> {
        // A reading that a deadline ended is no end.
        if from.guard.expired().is_some() {
            return Err(self.blame(from));
        }
        if let Outlet::Socket(_) = self.client.hears
            && std::ptr::eq(to, &self.client)
        {
            // With both of its directions at an end a connection looks as if it were gone.
            self.target.guard.watch_partner(Partner::Nobody);
        }
        to.hears.end(to.guard).await.map_err(|_| self.blame(to))
    }

    fn blame(&self, side: &Side<'_>) -> Failure {
        match std::ptr::eq(side, &self.client) {
            true => Failure::ClientGone,
            false => Failure::ResponseIncomplete,
        }
    }

    fn why(&self, blamed: Failure) -> Failure {
        let expired = [&self.client, &self.target].into_iter().find_map(|s| s.guard.expired());
        match expired {
            Some(Expired::Deadline) => Failure::TunnelTimeout,
            Some(Expired::PartnerGone) => Failure::ClientGone,
            None => blamed,
        }
    }

    fn is_over(&self) -> bool {
        [&self.client, &self.target].iter().any(|side| side.guard.expired().is_some())
    }

    /// Something moved: both sides have time again. Not where time was over already, since arming
    /// would forget that.
    fn touch(&self) {
        let sides = [&self.client, &self.target];
        if self.is_over() {
            return;
        }
        let at = clock::coarse_ns().saturating_add(self.silence_ns).min(self.ends_ns);
        for side in sides {
            side.guard.arm(at, side.expiry);
        }
    }

    /// The reader of what is written may read though the kernel does not say so yet.
    fn patient(&self, to: &Side<'_>) {
        if let Outlet::Socket(_) = to.hears
            && !self.is_over()
        {
            let at = clock::coarse_ns().saturating_add(self.silence_ns);
            to.guard.arm_write(at, self.silence_ns, self.ends_ns);
        }
    }

    fn count(&self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in.set(self.bytes_in.get() + bytes_in);
        self.bytes_out.set(self.bytes_out.get() + bytes_out);
        let (listener, route) = (self.listener, Some(self.route));
        self.core.stats.passed(&Passed { listener, route, bytes_in, bytes_out });
    }
}

/// Where a direction's bytes come from. None waits with memory in hand.
enum Mouth<'a> {
    Socket(Source<'a>),
    Stream(&'a Inbound),
}

impl Mouth<'_> {
    /// Reads a piece in the place of one that was written; an empty one is the end.
    async fn read(&mut self, written: Buffer, guard: &Guard) -> io::Result<Buffer> {
        match self {
            Self::Socket(source) => {
                let mut piece = Piece::from(written);
                let n = source.read(&mut piece).await?;
                Ok(if n == 0 { Buffer::empty() } else { piece.take_buffer() })
            }
            Self::Stream(content) => {
                drop(written);
                let buffer = match content.come(guard).await? {
                    0 => return Ok(Buffer::empty()),
                    n if n <= BUFFER_SMALL => Buffer::small(),
                    _ => Buffer::medium(),
                };
                let (result, buffer) = content.read(buffer, guard).await;
                result.map(|_| buffer)
            }
        }
    }
}

impl Side<'_> {
    /// The tunnel is over before both sides have ended. `whole`: what each said has reached the other.
    async fn end_early(&self, whole: bool) {
        if whole {
            // Who can't be told is gone.
            let _ = self.hears.end(self.guard).await;
        } else {
            self.hears.break_off();
        }
    }
}

impl Outlet<'_> {
    /// Makes the end one that can't be taken for an orderly one (RFC 8441 section 5).
    fn break_off(self) {
        match self {
            Self::Socket(stream) => stream.reset_on_close(),
            Self::Stream(stream) => stream.reset(Code::CANCEL),
        }
    }

    /// Whether bytes that were taken are yet to be sent.
    fn owes(self) -> bool {
        match self {
            Self::Socket(stream) => stream.owes(),
            Self::Stream(_) => false,
        }
    }

    /// Writes some of the piece, and takes that off it.
    async fn write(self, piece: Buffer, guard: &Guard) -> (io::Result<usize>, Buffer) {
        match self {
            Self::Socket(stream) => stream.write(piece).await,
            Self::Stream(stream) => stream.write(piece, false, guard).await,
        }
    }

    /// Says that this direction has ended.
    async fn end(self, guard: &Guard) -> io::Result<()> {
        match self {
            Self::Socket(stream) => {
                stream.shut_write();
                Ok(())
            }
            Self::Stream(stream) => stream.write(Buffer::empty(), true, guard).await.0.map(|_| ()),
        }
    }
}
