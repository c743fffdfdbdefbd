//! A tunnel of which at least one side is a stream of HTTP/2 (RFC 8441): content passes both ways as
//! it comes. The end of a stream is the end of that direction, as a connection's half-close is.
//!
//! Silence of both directions together is bounded, and so is the tunnel's life.

use std::cell::Cell;
use std::io;

use crate::io::deadline::Expired;
use crate::io::join::either_fails;
use crate::io::{Buffer, Expiry, Guard, clock};
use crate::respond::failure::Failure;
use crate::stats::Passed;

use super::core::Core;
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
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        Ended { cut, whole: cut.is_none(), since_ns, bytes_in, bytes_out }
    }

    /// One direction to its end. The error is whose doing it was.
    async fn pass(
        &self,
        from: &Side<'_>,
        to: &Side<'_>,
        mut piece: Buffer,
        count: impl Fn(u64),
    ) -> Result<(), Failure> {
        let (gone_from, gone_to) = (self.blame(from), self.blame(to));
        let mut filled = false;
        loop {
            count(piece.len() as u64);
            while !piece.is_empty() || to.hears.owes() {
                let (result, rest) = to.hears.write(piece, to.guard).await;
                result.map_err(|_| gone_to)?;
                piece = rest;
                self.touch();
            }
            if piece.capacity() == 0 {
                piece = if filled { Buffer::medium() } else { Buffer::small() };
            }
            let (result, read) = from.says.read(piece, from.guard).await;
            piece = read;
            clock::now_ns();
            match result.map_err(|_| gone_from)? {
                0 if from.guard.expired().is_some() => return Err(gone_from),
                0 => return to.hears.end(to.guard).await.map_err(|_| gone_to),
                _ => filled = piece.is_full(),
            }
            self.touch();
        }
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

    /// Something moved: both sides have time again. Not where time was over already, since arming
    /// would forget that.
    fn touch(&self) {
        let sides = [&self.client, &self.target];
        if sides.iter().any(|side| side.guard.expired().is_some()) {
            return;
        }
        let at = clock::coarse_ns().saturating_add(self.silence_ns).min(self.ends_ns);
        for side in sides {
            side.guard.arm(at, side.expiry);
        }
    }

    fn count(&self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in.set(self.bytes_in.get() + bytes_in);
        self.bytes_out.set(self.bytes_out.get() + bytes_out);
        let (listener, route) = (self.listener, Some(self.route));
        self.core.stats.passed(&Passed { listener, route, bytes_in, bytes_out });
    }
}

impl Outlet<'_> {
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
