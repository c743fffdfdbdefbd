//! Deadlines without timers: each connection owns an entry in its core's table, arming one is a
//! store, and the worker's tick looks at all of them.
//!
//! A deadline that passes does not drop the operation that is pending (the kernel owns its
//! buffer, and bytes could be lost). It shuts the socket down or cancels the read; the operation
//! then completes, and whoever awaited it asks [`Guard::expired`] why.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use monoio::io::{CancelHandle, Canceller};

use super::socket::{has_unread, shut_down};

/// What happens when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Reads end as if the peer had closed its side; an answer can still be written.
    ShutRead,
    /// Reads and writes end.
    ShutBoth,
    /// The pending cancellable read ends with `ECANCELED`; the connection lives on. It waits for
    /// a request.
    CancelRead,
    /// As `ShutRead`, for a connection that waits for a request.
    CloseIdle,
    /// As `CancelRead`, for a connection that waits for more of what it is in.
    PauseRead,
    /// Whoever waits in [`Guard::unless_expired`] is woken. For one of many streams on a connection,
    /// whose socket is not its own; what it waits for may be dropped.
    Wake,
}

/// Why an operation ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Its deadline passed.
    Deadline,
    /// The peer of the watched partner connection is gone (reset, not merely half-closed).
    PartnerGone,
}

/// The other side of an exchange, which may be gone while this side is waited for.
#[derive(Debug, Clone, Default)]
pub enum Partner {
    /// There is none.
    #[default]
    Nobody,
    /// A connection.
    Socket(RawFd),
    /// A stream: set once it is gone.
    Stream(Rc<Cell<bool>>),
}

impl Partner {
    fn is_gone(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Socket(fd) => peer_is_gone(*fd),
            Self::Stream(gone) => gone.get(),
        }
    }
}

const NEVER: u64 = u64::MAX;

struct Entry {
    fd: RawFd,
    partner: Partner,
    expiry: Expiry,
    expired: Option<Expired>,
    patience: Option<Patience>,
    canceller: Option<Canceller>,
    waker: Option<Waker>,
}

/// A write may wait for long although its reader reads: the kernel reports room only when much of
/// its queue is free. So when such a deadline passes, the queue is looked at.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Nanoseconds until the next look.
    step_ns: u64,
    /// When it ends whatever the reader does.
    hard_at_ns: u64,
    /// Bytes queued at the last look.
    queued: libc::c_int,
}

/// The deadlines of one core.
#[derive(Default)]
pub struct Watch {
    // Apart from the entries, so that a tick reads eight bytes a connection.
    at: RefCell<Vec<u64>>,
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
    ticks: Cell<u32>,
}

/// Partners are looked at every so many ticks.
const PARTNER_TICKS: u32 = 8;

impl Watch {
    /// A table without entries.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// An unarmed entry for a stream, which has no descriptor of its own: it can only be woken.
    pub fn stream_guard(self: &Rc<Self>) -> Guard {
        self.guard(-1)
    }

    /// An unarmed entry for a connection's descriptor.
    pub fn guard(self: &Rc<Self>, fd: RawFd) -> Guard {
        let entry = Entry {
            fd,
            partner: Partner::Nobody,
            expiry: Expiry::ShutBoth,
            expired: None,
            patience: None,
            canceller: None,
            waker: None,
        };
        let index = if let Some(index) = self.free.borrow_mut().pop() {
            self.entries.borrow_mut()[index as usize] = entry;
            index
        } else {
            self.entries.borrow_mut().push(entry);
            self.at.borrow_mut().push(NEVER);
            (self.entries.borrow().len() - 1) as u32
        };
        Guard { watch: self.clone(), index }
    }

    /// Acts on every deadline that has passed. Linear in the number of connections, eight bytes
    /// each; called once a tick.
    pub fn tick(&self, now_ns: u64) {
        let look_at_partners = self.ticks.get().is_multiple_of(PARTNER_TICKS);
        self.ticks.set(self.ticks.get().wrapping_add(1));
        let mut at = self.at.borrow_mut();
        for (index, due) in at.iter_mut().enumerate() {
            if *due == NEVER {
                continue;
            }
            if *due <= now_ns {
                if let Some(later) = self.patient_until(index, now_ns) {
                    *due = later;
                    continue;
                }
                if self.has_come(index) {
                    // Its reader was just not woken yet: we are late, not the peer.
                    *due = now_ns + 1;
                    continue;
                }
                *due = NEVER;
                self.expire(index, Expired::Deadline);
            } else if look_at_partners && self.partner_gone(index) {
                *due = NEVER;
                self.expire(index, Expired::PartnerGone);
            }
        }
    }

    /// Has every deadline pass that is set.
    pub fn end_all(&self) {
        // In the middle of a clock that lasts centuries: what is armed meanwhile can be later still.
        self.tick(NEVER / 2);
    }

    /// A later deadline for a write whose reader has taken something since the last look.
    fn patient_until(&self, index: usize, now_ns: u64) -> Option<u64> {
        let entry = &mut self.entries.borrow_mut()[index];
        let patience = entry.patience.as_mut()?;
        let queued = queued(entry.fd)?;
        let moves = queued < patience.queued && now_ns < patience.hard_at_ns;
        patience.queued = queued;
        moves.then(|| (now_ns + patience.step_ns).min(patience.hard_at_ns))
    }

    /// Whether a read that is waited for has something to read.
    fn has_come(&self, index: usize) -> bool {
        let entry = &self.entries.borrow()[index];
        entry.expiry != Expiry::ShutBoth && has_unread(entry.fd)
    }

    fn partner_gone(&self, index: usize) -> bool {
        self.entries.borrow()[index].partner.is_gone()
    }

    fn expire(&self, index: usize, why: Expired) {
        let mut entries = self.entries.borrow_mut();
        let entry = &mut entries[index];
        entry.expired = Some(why);
        match entry.expiry {
            Expiry::ShutRead | Expiry::CloseIdle => shut_down(entry.fd, libc::SHUT_RD),
            Expiry::ShutBoth => shut_down(entry.fd, libc::SHUT_RDWR),
            Expiry::CancelRead | Expiry::PauseRead => {
                let canceller = entry.canceller.take();
                // Cancelling may wake a task at once; it must find the table free.
                drop(entries);
                let fresh = canceller.map(Canceller::cancel);
                self.entries.borrow_mut()[index].canceller = fresh;
            }
            Expiry::Wake => {
                let waker = entry.waker.take();
                drop(entries);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// Ends the reads of every connection that waits for a request, and wakes whoever waits to be
    /// woken; used when draining.
    pub fn shut_idle(&self) {
        let waits = |entry: &mut Entry| entry.waker.take();
        let wakers: Vec<Waker> = self.entries.borrow_mut().iter_mut().filter_map(waits).collect();
        wakers.into_iter().for_each(Waker::wake);
        let mut at = self.at.borrow_mut();
        let entries = self.entries.borrow();
        for (due, entry) in at.iter_mut().zip(entries.iter()) {
            let waiting = matches!(entry.expiry, Expiry::CancelRead | Expiry::CloseIdle);
            if *due != NEVER && waiting {
                *due = NEVER;
                shut_down(entry.fd, libc::SHUT_RD);
            }
        }
    }

    /// Connections with an entry.
    pub fn len(&self) -> usize {
        self.entries.borrow().len() - self.free.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One connection's entry. Dropping it frees the entry; it must be dropped before the descriptor
/// is closed, so that a reused number is never shut down by an old deadline.
pub struct Guard {
    watch: Rc<Watch>,
    index: u32,
}

impl Guard {
    /// Sets the deadline and what it does; replaces the one before.
    pub fn arm(&self, at_ns: u64, expiry: Expiry) {
        self.watch.at.borrow_mut()[self.index as usize] = at_ns;
        let entry = &mut self.watch.entries.borrow_mut()[self.index as usize];
        entry.expiry = expiry;
        entry.expired = None;
        entry.patience = None;
    }

    /// The same for a write: as long as the peer takes bytes out of the socket's queue, the
    /// deadline moves on by a quarter of `idle_ns`, up to `hard_at_ns`.
    pub fn arm_write(&self, at_ns: u64, idle_ns: u64, hard_at_ns: u64) {
        self.arm(at_ns.min(hard_at_ns), Expiry::ShutBoth);
        let queued = libc::c_int::MAX;
        self.watch.entries.borrow_mut()[self.index as usize].patience =
            Some(Patience { step_ns: idle_ns / 4, hard_at_ns, queued });
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        self.watch.at.borrow_mut()[self.index as usize] = NEVER;
    }

    /// While armed, that `partner` is gone (its connection reset) counts as expiry too.
    pub fn watch_partner(&self, partner: Partner) {
        self.watch.entries.borrow_mut()[self.index as usize].partner = partner;
    }

    /// Whether the last armed deadline passed and was to cancel a read.
    pub(super) fn was_cancelled(&self) -> bool {
        let entry = &self.watch.entries.borrow()[self.index as usize];
        let cancels = matches!(entry.expiry, Expiry::CancelRead | Expiry::PauseRead);
        cancels && entry.expired.is_some()
    }

    /// Why the last armed deadline ended an operation, if it did.
    pub fn expired(&self) -> Option<Expired> {
        self.watch.entries.borrow()[self.index as usize].expired
    }

    /// Waits for `work`; `None`: the deadline passed, as [`Self::expired`] says, and it was dropped.
    /// For what is armed with [`Expiry::Wake`].
    pub async fn unless_expired<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_expired(cx).map(|_| None),
        })
        .await
    }

    /// Ready once the deadline has passed.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<Expired> {
        let entry = &mut self.watch.entries.borrow_mut()[self.index as usize];
        if let Some(expired) = entry.expired {
            return Poll::Ready(expired);
        }
        if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            entry.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The handle by which [`Expiry::CancelRead`] and [`Expiry::PauseRead`] reach a read.
    pub(super) fn cancel_handle(&self) -> CancelHandle {
        let entry = &mut self.watch.entries.borrow_mut()[self.index as usize];
        entry.canceller.get_or_insert_with(Canceller::new).handle()
    }

    /// Frees the memory that cancelling needs, for a connection that goes to sleep.
    pub fn forget_canceller(&self) {
        self.watch.entries.borrow_mut()[self.index as usize].canceller = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.disarm();
        {
            let entry = &mut self.watch.entries.borrow_mut()[self.index as usize];
            entry.canceller = None;
            entry.partner = Partner::Nobody;
            entry.waker = None;
        }
        self.watch.free.borrow_mut().push(self.index);
    }
}

/// Bytes in a socket's send queue that the peer has not acknowledged; `None` where nobody knows.
fn queued(fd: RawFd) -> Option<libc::c_int> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one int.
    let known = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) } == 0;
    known.then_some(bytes)
}

/// Whether the peer has reset the connection (or both sides are closed). A half-close by the
/// peer alone does not count: it may still want its answer.
fn peer_is_gone(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one valid pollfd, no waiting.
    let n = unsafe { libc::poll(&mut poll, 1, 0) };
    n > 0 && poll.revents & (libc::POLLERR | libc::POLLHUP) != 0
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_deadline_shuts_the_socket_and_says_so() {
        let (mut a, _b) = UnixStream::pair().expect("socket pair");
        let watch = Watch::new();
        let guard = watch.guard(a.as_raw_fd());
        guard.arm(100, Expiry::ShutRead);
        watch.tick(99);
        assert_eq!(guard.expired(), None);
        watch.tick(100);
        assert_eq!(guard.expired(), Some(Expired::Deadline));
        assert_eq!(a.read(&mut [0; 8]).expect("end of file"), 0);
    }

    #[test]
    fn a_peer_whose_bytes_wait_is_not_too_late() {
        let (mut a, mut b) = UnixStream::pair().expect("socket pair");
        let watch = Watch::new();
        let guard = watch.guard(a.as_raw_fd());
        guard.arm(100, Expiry::ShutRead);
        b.write_all(b"x").expect("write");
        watch.tick(100);
        assert_eq!(guard.expired(), None);
        assert_eq!(a.read(&mut [0; 8]).expect("its byte"), 1);
        watch.tick(200);
        assert_eq!(guard.expired(), Some(Expired::Deadline));
    }

    #[test]
    fn a_disarmed_or_dropped_deadline_does_nothing() {
        let (a, mut b) = UnixStream::pair().expect("socket pair");
        let watch = Watch::new();
        let guard = watch.guard(a.as_raw_fd());
        guard.arm(5, Expiry::ShutBoth);
        guard.disarm();
        watch.tick(10);
        assert_eq!(guard.expired(), None);
        guard.arm(5, Expiry::ShutBoth);
        drop(guard);
        watch.tick(10);
        b.set_nonblocking(true).expect("nonblocking");
        assert_eq!(b.read(&mut [0; 8]).map_err(|e| e.kind()), Err(std::io::ErrorKind::WouldBlock));
        assert!(watch.is_empty());
    }
}
