//! Things counted while they last: requests in flight, connections.

use std::ops::Deref;

use crate::limits::TABLE_TRIES;

use super::Shared;
use super::counter::{count, with_count};
use crate::policy::table::{Position, Slot};

/// Why something was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// As many as allowed are in.
    AtLimit,
    /// No place to count it in; counting nothing would admit too many.
    TableFull,
}

/// One counted thing. Must be given to [`Shared::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is dropped is counted for ever"]
pub struct Ticket {
    position: Position,
}

impl Shared {
    /// Lets one more in under `hash` (see [`Shared::scope_hash`], [`Shared::client_hash`]) unless
    /// `max` are. One exchange on a shared cache line; exact on any number of cores.
    pub fn try_enter(&self, hash: u64, max: u32) -> Result<Ticket, Crowded> {
        for _ in 0..TABLE_TRIES {
            let (position, slot) =
                self.counters.find_or_claim(hash, 0).ok_or(Crowded::TableFull)?;
            let count = count(slot.word);
            if count >= max {
                return Err(Crowded::AtLimit);
            }
            if self.counters.exchange(position, slot, changed(slot, count + 1)) {
                return Ok(Ticket { position });
            }
        }
        Err(Crowded::TableFull)
    }

    /// Lets one out.
    pub fn leave(&self, ticket: Ticket) {
        self.leave_at(ticket.position);
    }

    /// How many are in under `hash`.
    pub fn inside(&self, hash: u64) -> u32 {
        self.counters.find(hash).map_or(0, |(_, slot)| count(slot.word))
    }

    /// A counter above 0 stays where it is, so the position is enough.
    fn leave_at(&self, position: Position) {
        loop {
            let slot = self.counters.load(position);
            let count = count(slot.word);
            debug_assert!(count > 0);
            if self.counters.exchange(position, slot, changed(slot, count.saturating_sub(1))) {
                return;
            }
        }
    }
}

fn changed(slot: Slot, count: u32) -> Slot {
    slot.with(0, with_count(slot.word, count))
}

/// A ticket that leaves by itself. `S` is whatever keeps the tables alive cheaply: `&'static
/// Shared`, or an `Rc` of what holds them (cloning one `Arc` on every core would contend).
#[derive(Debug)]
pub struct Seat<S: Deref<Target = Shared>> {
    shared: S,
    position: Position,
}

impl<S: Deref<Target = Shared>> Seat<S> {
    /// See [`Shared::try_enter`].
    pub fn take(shared: S, hash: u64, max: u32) -> Result<Self, Crowded> {
        let Ticket { position } = shared.try_enter(hash, max)?;
        Ok(Self { shared, position })
    }
}

impl<S: Deref<Target = Shared>> Drop for Seat<S> {
    fn drop(&mut self) {
        self.shared.leave_at(self.position);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn counts_up_to_the_limit() {
        let shared = Shared::with_slots(8, 64);
        let route = shared.scope_hash(7);
        let first = shared.try_enter(route, 2).unwrap();
        let second = shared.try_enter(route, 2).unwrap();
        assert_eq!(shared.try_enter(route, 2), Err(Crowded::AtLimit));
        assert_eq!(shared.inside(route), 2);
        shared.leave(first);
        let third = shared.try_enter(route, 2).unwrap();
        shared.leave(second);
        shared.leave(third);
        assert_eq!(shared.inside(route), 0);
        assert_eq!(shared.try_enter(route, 0), Err(Crowded::AtLimit));
    }

    #[test]
    fn clients_are_counted_apart() {
        let shared = Shared::with_slots(8, 64);
        let hash = |client: &str, prefix| shared.client_hash(1, client.parse().unwrap(), prefix);
        assert_ne!(hash("192.0.2.1", 64), hash("192.0.2.2", 64));
        assert_eq!(hash("2001:db8::1", 64), hash("2001:db8::2", 64));
        assert_ne!(hash("2001:db8::1", 128), hash("2001:db8::2", 128));
        assert_ne!(hash("192.0.2.1", 64), shared.scope_hash(1));
    }

    #[test]
    fn a_seat_leaves_by_itself() {
        let shared = Shared::with_slots(8, 64);
        let seat = Seat::take(&shared, 5 << 20, 1).unwrap();
        assert!(Seat::take(&shared, 5 << 20, 1).is_err());
        drop(seat);
        assert!(Seat::take(&shared, 5 << 20, 1).is_ok());
    }

    #[test]
    fn places_are_used_again_and_a_full_table_refuses() {
        let shared = Shared::with_slots(8, 8);
        for round in 0..10u64 {
            let seats: Vec<_> = (1..=28)
                .map(|n| Seat::take(&shared, (round * 100 + n) << 20, 1).unwrap())
                .collect();
            assert_eq!(shared.try_enter((round * 100 + 99) << 20, 1), Err(Crowded::TableFull));
            drop(seats);
        }
    }

    #[test]
    fn never_more_inside_than_allowed() {
        let shared = Shared::with_slots(8, 8);
        let inside: Vec<AtomicU32> = (0..40).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (shared, inside) = (&shared, &inside);
                scope.spawn(move || {
                    for n in 0..20_000u64 {
                        let key = (n * 7 + thread * 13) % 40;
                        if let Ok(seat) = Seat::take(shared, (key + 1) << 20, 2) {
                            let count = &inside[key as usize];
                            assert!(count.fetch_add(1, Ordering::SeqCst) < 2);
                            count.fetch_sub(1, Ordering::SeqCst);
                            drop(seat);
                        }
                    }
                });
            }
        });
        assert!((0..40).all(|key| shared.inside((key + 1) << 20) == 0));
    }
}
