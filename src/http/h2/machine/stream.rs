//! One stream's state, and the slots that streams are kept in.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::http::Bad;
use crate::http::h2::code::Code;
use crate::http::h2::heads::Arrived;
use crate::limits::H2_CONTENT_KEPT;

/// A stream of a connection, as who holds it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub(super) at: u32,
    pub(super) id: u32,
}

/// What a stream's task waits for.
pub(super) const READS: u8 = 1;
/// Room to write.
pub(super) const WRITES: u8 = 2;

/// Why a stream ended before both sides had said all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer did nothing with it, and says so.
    Refused,
    /// The peer reset it.
    Reset(Code),
    /// What came of it breaks a rule, and it was reset for that.
    Malformed,
    /// So does its head, in this way.
    Bad(Bad),
    /// It was reset by who has it here.
    GivenUp,
    /// Its connection ended.
    Lost,
}

/// A stream's place among those who wait for the connection's room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It does not wait.
    #[default]
    None,
    /// It waits.
    Queued,
    /// It has waited, and there is room for it.
    Called,
}

/// A head that came.
#[derive(Debug)]
pub struct Head {
    /// Its lines.
    pub lines: Vec<u8>,
    /// What is known of them.
    pub about: Arrived,
    /// Nothing follows.
    pub ended: bool,
}

/// One stream.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) id: u32,
    /// Its peer has said all.
    pub(super) in_ended: bool,
    /// We have said all.
    pub(super) out_ended: bool,
    /// Its final head has come; a request's has from the start.
    pub(super) headed: bool,
    /// An answer to it has no content, whatever length it tells.
    pub(super) asks_head: bool,
    pub(super) end: Option<End>,
    /// Bytes that the peer may still send.
    pub(super) in_window: i64,
    /// Bytes that were taken, of which it was not told.
    pub(super) taken: u32,
    /// What is left of the length that its head tells.
    pub(super) left: Option<u64>,
    content: Vec<u8>,
    /// How much of that was taken.
    from: usize,
    pub(super) trailers: Option<Vec<u8>>,
    pub(super) heads: Vec<Head>,
    /// Bytes that we may still send; below zero where its peer took back what it gave.
    pub(super) out_window: i64,
    pub(super) turn: Turn,
    /// How much room it wants.
    pub(super) wants: usize,
    interest: u8,
    waker: Option<Waker>,
    gone: Option<Rc<Cell<bool>>>,
}

impl Slot {
    /// Whether both sides have said all, or it was broken off.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.in_ended && self.out_ended
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content[self.from..]
    }

    pub(super) fn put(&mut self, content: &[u8]) {
        self.content.extend_from_slice(content);
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.from += n;
        if self.from == self.content.len() {
            self.from = 0;
            self.content.clear();
        } else if self.from >= self.content.len() / 2 && self.from >= H2_CONTENT_KEPT {
            // Or a stream whose reader is always a little behind would grow for ever.
            self.content.drain(..self.from);
            self.from = 0;
        }
    }

    /// Its task waits for this.
    pub(super) fn wait(&mut self, interest: u8, cx: &Context<'_>) {
        self.interest |= interest;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    /// What its task may have waited for is there.
    pub(super) fn wake(&mut self, interest: u8) {
        if self.interest & interest != 0 {
            self.interest = 0;
            self.waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    pub(super) fn break_off(&mut self, end: End) {
        if self.is_over() {
            return;
        }
        self.end = Some(end);
        if let Some(gone) = &self.gone
            && end != End::GivenUp
        {
            gone.set(true);
        }
        self.wake(READS | WRITES);
    }

    /// Set once its peer has reset it, or its connection has ended.
    pub(super) fn gone(&mut self) -> Rc<Cell<bool>> {
        let is = self.end.is_some();
        self.gone.get_or_insert_with(|| Rc::new(Cell::new(is))).clone()
    }

    /// What the slot keeps for the next stream in it.
    fn emptied(&mut self) -> Self {
        let mut content = std::mem::take(&mut self.content);
        content.clear();
        content.shrink_to(H2_CONTENT_KEPT);
        let mut heads = std::mem::take(&mut self.heads);
        heads.clear();
        Self { content, heads, ..Self::default() }
    }
}

/// Numbers of streams are hashed by themselves: a peer can choose them only in rising order.
#[derive(Default)]
struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, id: u32) {
        // The golden ratio: bits at both ends are used.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The streams of a connection.
#[derive(Default)]
pub(super) struct Streams {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_id: HashMap<u32, u32, BuildHasherDefault<ById>>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn insert(&mut self, id: u32, fill: impl FnOnce(&mut Slot)) -> Key {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[at as usize];
        slot.id = id;
        fill(slot);
        self.by_id.insert(id, at);
        Key { at, id }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.by_id.remove(&key.id).is_some() {
            let slot = &mut self.slots[key.at as usize];
            *slot = slot.emptied();
            self.free.push(key.at);
        }
        if self.by_id.is_empty() && self.slots.len() > 1 {
            // What a burst needed goes with it.
            self.slots.truncate(1);
            self.free = vec![0];
        }
    }

    pub(super) fn find(&self, id: u32) -> Option<Key> {
        self.by_id.get(&id).map(|at| Key { at: *at, id })
    }

    pub(super) fn of(&self, key: Key) -> Option<&Slot> {
        self.slots.get(key.at as usize).filter(|slot| slot.id == key.id)
    }

    pub(super) fn of_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.at as usize).filter(|slot| slot.id == key.id)
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().filter(|slot| slot.id != 0)
    }
}
