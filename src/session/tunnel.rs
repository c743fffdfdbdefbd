//! A tunnel: both connections carry what the two sides say, unread, until both are done. After a 101
//! a request's do, and those of a connection that is passed on without a request from its start.
//!
//! A direction holds one piece ([`Piece`]) while bytes pass and none while it is silent; it reads nothing
//! before that was written, so a slow reader stops the fast writer. The end of one side is
//! passed on, and the other may go on. Silence of both directions together is bounded, and so is
//! the tunnel's life.

use std::cell::Cell;
use std::io;

use crate::io::deadline::Expired;
use crate::io::join::both;
use crate::io::{Buffer, Expiry, Guard, Partner, Stream, clock};
use crate::limits::LINGER_NS;
use crate::respond::failure::Failure;
use crate::stats::Passed;
use crate::upstream::Connection;

use super::core::Core;
use super::piece::{Piece, Source, Splicing};

/// The two sides, and what holds for them.
pub(super) struct Sides<'a> {
    pub(super) core: &'a Core,
    pub(super) client: &'a Stream,
    pub(super) client_guard: &'a Guard,
    pub(super) target: &'a Connection,
    /// How long both may be silent, nanoseconds.
    pub(super) silence_ns: u64,
    /// How long the tunnel may live, nanoseconds.
    pub(super) total_ns: u64,
    /// Stable ids, to count bytes by.
    pub(super) listener: u32,
    pub(super) route: Option<u32>,
}

/// How a tunnel ended.
pub(super) struct Ended {
    /// Why it was cut off, if it was.
    pub(super) cut: Option<Failure>,
    /// All that was taken from one side reached the other.
    pub(super) whole: bool,
    /// When it began, nanoseconds of the core's clock.
    pub(super) since_ns: u64,
    /// Bytes from the client.
    pub(super) bytes_in: u64,
    /// Bytes to the client.
    pub(super) bytes_out: u64,
}

/// Passes bytes on until both sides have ended. `first` goes to the target before anything else;
/// its last `early` bytes are the client's.
pub(super) async fn run(sides: Sides<'_>, first: Buffer, early: usize) -> Ended {
    let since_ns = clock::now_ns();
    let tunnel = Tunnel {
        ends_ns: since_ns.saturating_add(sides.total_ns),
        sides,
        bytes_in: Cell::new(0),
        bytes_out: Cell::new(0),
        down_ended: Cell::new(false),
        cut: Cell::new(None),
        lost: Cell::new(false),
        splicing: Splicing::default(),
    };
    let stats = &tunnel.sides.core.stats;
    stats.tunnels.up();
    tunnel.touch();
    tunnel.count_in(early);
    both(tunnel.pass_up(first.into()), tunnel.pass_down()).await;
    stats.tunnels.down();
    tunnel.conclude(since_ns)
}

/// A tunnel while it lives.
struct Tunnel<'a> {
    sides: Sides<'a>,
    /// When its life is over, nanoseconds.
    ends_ns: u64,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    /// The target has said all it had to say.
    down_ended: Cell<bool>,
    /// Why it was cut off: the first reason is the true one.
    cut: Cell<Option<Failure>>,
    /// Bytes that were taken from one side did not all reach the other.
    lost: Cell<bool>,
    splicing: Splicing,
}

impl Tunnel<'_> {
    /// From the client to the target.
    async fn pass_up(&self, mut piece: Piece) {
        let (client, target) = (self.client(), &self.sides.target.stream);
        let mut source = self.source(client);
        loop {
            // Nobody reads from the client meanwhile, so nobody else would see that it is gone. But
            // with both of its directions at an end it looks like that, too.
            if !self.down_ended.get() {
                self.sides.target.guard.watch_partner(Partner::Socket(client.fd()));
            }
            let written = self.write(target, &mut piece, |_| {}).await;
            self.sides.target.guard.watch_partner(Partner::Nobody);
            if written.is_err() {
                return self.cut_off(Failure::ResponseIncomplete);
            }
            match self.read(&mut source, &mut piece).await {
                Ok(0) => return self.end(target),
                Ok(n) => self.count_in(n),
                Err(_) => return self.cut_off(Failure::ClientGone),
            }
        }
    }

    /// From the target to the client.
    async fn pass_down(&self) {
        let (client, target) = (self.client(), &self.sides.target.stream);
        let mut source = self.source(target);
        let mut piece = Piece::default();
        loop {
            match self.read(&mut source, &mut piece).await {
                Ok(0) => {
                    self.down_ended.set(true);
                    self.sides.target.guard.watch_partner(Partner::Nobody);
                    return self.end(client);
                }
                Ok(_) => {}
                Err(_) => return self.cut_off(Failure::ResponseIncomplete),
            }
            let count = |n| self.count_out(n);
            if self.write(client, &mut piece, count).await.is_err() {
                return self.cut_off(Failure::ClientGone);
            }
        }
    }

    fn source<'s>(&'s self, stream: &'s Stream) -> Source<'s> {
        let pause = self.sides.core.watch.guard(stream.fd());
        let both = [self.client(), &self.sides.target.stream];
        Source::new(stream, pause, self.splicing.between(both))
    }

    /// Reads a piece; 0 is the end.
    async fn read(&self, source: &mut Source<'_>, piece: &mut Piece) -> io::Result<usize> {
        let n = source.read(piece).await?;
        clock::now_ns();
        self.touch();
        Ok(n)
    }

    async fn write(&self, to: &Stream, piece: &mut Piece, count: impl Fn(usize)) -> io::Result<()> {
        while piece.len() > 0 || to.owes() {
            let before = piece.len();
            self.patient(to);
            let result = piece.write(to).await;
            self.lost.set(self.lost.get() || result.is_err());
            result?;
            count(before - piece.len());
            self.touch();
        }
        Ok(())
    }

    fn client(&self) -> &Stream {
        self.sides.client
    }

    fn guards(&self) -> [&Guard; 2] {
        [self.sides.client_guard, &self.sides.target.guard]
    }

    /// Something moved: both directions have time again. Not where time was over already, since
    /// arming would forget that.
    fn touch(&self) {
        if self.expired().is_some() || self.cut.get().is_some() {
            return;
        }
        let at = clock::coarse_ns().saturating_add(self.sides.silence_ns).min(self.ends_ns);
        for guard in self.guards() {
            guard.arm(at, Expiry::ShutBoth);
        }
    }

    /// The reader of what is written may read though the kernel does not say so yet.
    fn patient(&self, to: &Stream) {
        if self.expired().is_some() || self.cut.get().is_some() {
            return;
        }
        let [client, target] = self.guards();
        let guard = if std::ptr::eq(to, self.client()) { client } else { target };
        let silence = self.sides.silence_ns;
        guard.arm_write(clock::coarse_ns().saturating_add(silence), silence, self.ends_ns);
    }

    fn expired(&self) -> Option<Failure> {
        self.guards().into_iter().find_map(Guard::expired).map(|why| match why {
            Expired::Deadline => Failure::TunnelTimeout,
            Expired::PartnerGone => Failure::ClientGone,
        })
    }

    /// One side has said all it had to say; the other learns of it.
    fn end(&self, other: &Stream) {
        // A reading that was shut because of the other direction is no end.
        if self.cut.get().is_some() {
            return;
        }
        match self.expired() {
            Some(why) => self.cut_off(why),
            None => other.shut_write(),
        }
    }

    /// Ends the other direction too: its reading now, and a write that nobody takes soon.
    fn cut_off(&self, why: Failure) {
        if self.cut.get().is_some() {
            return;
        }
        self.cut.set(Some(self.expired().unwrap_or(why)));
        self.client().shut_read();
        self.sides.target.stream.shut_read();
        for guard in self.guards() {
            guard.arm(clock::coarse_ns().saturating_add(LINGER_NS), Expiry::ShutBoth);
        }
    }

    fn count_in(&self, n: usize) {
        self.bytes_in.set(self.bytes_in.get() + n as u64);
        self.publish(n as u64, 0);
    }

    fn count_out(&self, n: usize) {
        self.bytes_out.set(self.bytes_out.get() + n as u64);
        self.publish(0, n as u64);
    }

    fn publish(&self, bytes_in: u64, bytes_out: u64) {
        let Sides { listener, route, .. } = self.sides;
        self.sides.core.stats.passed(&Passed { listener, route, bytes_in, bytes_out });
    }

    fn conclude(&self, since_ns: u64) -> Ended {
        let cut = self.cut.get();
        if self.lost.get() || cut == Some(Failure::ClientGone) {
            // The target must not take what it got for all there was.
            self.sides.target.stream.reset_on_close();
        }
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        Ended { cut, whole: !self.lost.get(), since_ns, bytes_in, bytes_out }
    }
}
