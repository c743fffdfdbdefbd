//! A connection and its machine: driven by one task, used by the tasks of its streams.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::wire::{Slowest, Wire};
use crate::http::h2::code::{Code, Fault};
use crate::http::h2::machine::{Begun, Machine, Reading, Received, Role, Terms};
use crate::io::{Buffer, Stream, Watch, clock};
use crate::limits::{GATHERED_MAX, H2_READS};

/// Who takes the requests that come.
pub trait Takes {
    /// Room for the head of the next one.
    fn reading(&mut self) -> Reading<'_>;

    /// One has come, with its head in that room.
    fn take(&mut self, begun: Begun);
}

/// A connection that carries many streams.
pub struct Link {
    machine: RefCell<Machine>,
    /// What is to be written.
    out: RefCell<Buffer>,
    /// What has come and was not taken yet: the beginning of a frame.
    rest: RefCell<Buffer>,
    wire: Wire,
    driver: RefCell<Option<Waker>>,
    /// The driver was woken since its last turn.
    woken: Cell<bool>,
    /// What came before its first turn is to be looked at.
    early: Cell<bool>,
    fault: Cell<Option<Code>>,
    /// See [`Self::is_within`]. Noted when something comes: a read takes the rest with it.
    within: Cell<bool>,
}

impl Link {
    /// A connection that nothing was read from but `early`. Writes may not be slower than `slowest`.
    pub fn new(
        stream: Rc<dyn AsRef<Stream>>,
        watch: &Rc<Watch>,
        slowest: Slowest,
        (role, terms): (Role, &Terms),
        early: Buffer,
    ) -> Rc<Self> {
        let mut out = Buffer::small();
        let machine = Machine::new(role, terms, clock::coarse_ns(), out.writer());
        Rc::new(Self {
            machine: RefCell::new(machine),
            out: RefCell::new(out),
            early: Cell::new(!early.is_empty()),
            rest: RefCell::new(early),
            wire: Wire::new(stream, watch, slowest),
            driver: RefCell::default(),
            woken: Cell::new(false),
            fault: Cell::new(None),
            within: Cell::new(role == Role::Server),
        })
    }

    /// Asks the machine.
    pub fn ask<T>(&self, ask: impl FnOnce(&mut Machine) -> T) -> T {
        ask(&mut self.machine.borrow_mut())
    }

    /// Has the machine say something, which goes out with the driver's next turn.
    pub fn say<T>(&self, say: impl FnOnce(&mut Machine, &mut Vec<u8>) -> T) -> T {
        self.say_some(0, say)
    }

    /// The same of about so many bytes.
    pub fn say_some<T>(&self, n: usize, say: impl FnOnce(&mut Machine, &mut Vec<u8>) -> T) -> T {
        let mut out = self.out.borrow_mut();
        match out.capacity() {
            0 => *out = Buffer::fitting(n),
            _ => out.reserve(n),
        }
        let before = out.len();
        let said = out.append_with(|out| say(&mut self.machine.borrow_mut(), out));
        if out.len() > before {
            self.wake();
        } else if out.is_empty() {
            *out = Buffer::empty();
        }
        said
    }

    /// Gives the driver a turn.
    pub fn wake(&self) {
        if !self.woken.replace(true)
            && let Some(driver) = &*self.driver.borrow()
        {
            driver.wake_by_ref();
        }
    }

    /// What the peer did wrong; nothing more of it is heard then.
    pub fn fault(&self) -> Option<Code> {
        self.fault.get()
    }

    /// Whether something has begun and not ended that comes at once from those who mean well.
    pub fn is_within(&self) -> bool {
        self.within.get()
    }

    /// Whether something is on its way out.
    pub fn is_writing(&self) -> bool {
        self.wire.is_writing() || !self.out.borrow().is_empty()
    }

    /// When something came last, nanoseconds.
    pub fn last_come_ns(&self) -> u64 {
        self.wire.last_come_ns.get()
    }

    /// When the last write had gone out, nanoseconds.
    pub fn last_gone_ns(&self) -> u64 {
        self.wire.last_gone_ns.get()
    }

    /// A turn of the driver: reads what has come, and writes what was gathered. Ready when the connection
    /// has ended, and all its streams with it.
    pub fn poll_turn(&self, cx: &mut Context<'_>, takes: &mut impl Takes) -> Poll<()> {
        self.note_driver(cx);
        if self.early.take() {
            self.digest(takes);
        }
        let (ended, heard) = self.hear(cx, takes);
        let sent = self.poll_sent(cx);
        if !heard && !self.is_full() {
            // What has come, nobody waits for.
            cx.waker().wake_by_ref();
        }
        if ended || matches!(sent, Poll::Ready(Err(_))) {
            self.ask(Machine::end);
            return Poll::Ready(());
        }
        self.ask(|machine| machine.call(self.out.borrow().len()));
        Poll::Pending
    }

    /// Reads what has come. Gives whether that was the end, and whether more of it will wake the driver:
    /// not while more was gathered than content can be, or a fault was found, or others have a turn.
    fn hear(&self, cx: &mut Context<'_>, takes: &mut impl Takes) -> (bool, bool) {
        for _ in 0..H2_READS {
            if self.fault.get().is_some() || self.ask(|machine| machine.is_over()) {
                return (false, true);
            }
            if self.is_full() {
                return (false, false);
            }
            match self.poll_read(cx) {
                Poll::Pending => return (false, true),
                Poll::Ready(Ok(1..)) => self.digest(takes),
                Poll::Ready(Ok(0) | Err(_)) => return (true, true),
            }
        }
        (false, false)
    }

    /// Whether so much is to be sent that nothing more is heard before some of it has gone. More than
    /// content alone can come to: two ends that both wait for the other to read would wait for ever.
    pub fn is_full(&self) -> bool {
        self.out.borrow().len() >= 2 * GATHERED_MAX
    }

    fn note_driver(&self, cx: &Context<'_>) {
        self.woken.set(false);
        match &mut *self.driver.borrow_mut() {
            Some(driver) => driver.clone_from(cx.waker()),
            driver @ None => *driver = Some(cx.waker().clone()),
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut rest = self.rest.borrow_mut();
        let whole = Machine::wants(rest.data());
        self.wire.poll_read(cx, &mut rest, whole)
    }

    /// Takes what has come.
    fn digest(&self, takes: &mut impl Takes) {
        let mut rest = std::mem::take(&mut *self.rest.borrow_mut());
        self.ask(|machine| machine.turn(clock::coarse_ns()));
        loop {
            let mut reading = takes.reading();
            let received = self.say(|machine, out| machine.receive(rest.data(), &mut reading, out));
            match received {
                Ok(Received { taken, begun }) => {
                    rest.consume(taken);
                    let Some(begun) = begun else { break };
                    takes.take(begun);
                    if rest.is_empty() {
                        break;
                    }
                }
                Err(Fault(code)) => {
                    self.fault.set(Some(code));
                    rest = Buffer::empty();
                    break;
                }
            }
        }
        self.within.set(self.machine.borrow().is_within(rest.data()));
        if !rest.is_empty() {
            *self.rest.borrow_mut() = rest;
        }
    }

    /// Sends what was gathered; ready when all has gone out.
    ///
    /// # Errors
    /// Nothing can be sent any more.
    pub fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_sent(cx, &self.out)
    }

    /// The same, and ends our side of the connection.
    pub fn poll_shut(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = ready!(self.poll_sent(cx));
        self.wire.shut();
        Poll::Ready(())
    }
}
