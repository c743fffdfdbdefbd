//! Which proofs were used: each is good once on this node, whichever worker gets it.

use std::hash::{BuildHasher, RandomState};

use super::dpop::Proof;
use crate::limits::{DPOP_SLOTS, TABLE_TRIES};
use crate::policy::table::{Kind, Table};

/// The proofs that were used and still hold. Lock-free; fixed size; one a process.
pub struct Proofs {
    /// Keyed by random numbers of this process: nobody outside can aim at a slot.
    hasher: RandomState,
    table: Table<Ends>,
}

/// What becomes of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It was not used before.
    First,
    /// It was.
    Again,
    /// There is no place to remember it in. It could be used again, so it is refused.
    NoRoom,
}

/// A word is the second up to which a proof is remembered, and in its lower bits a number that makes it
/// another one whenever a key takes the slot over; the last of them says that the proof was used.
struct Ends;

const NUMBER_BITS: u32 = 20;
const USED: u64 = 1;
/// Seconds that one core may see pass before another.
const MARGIN_S: u64 = 5;

impl Kind for Ends {
    fn free(word: u64, _: u16, now: u64) -> bool {
        word >> NUMBER_BITS <= now
    }

    fn successor(word: u64) -> u64 {
        (word | USED) + 1
    }
}

impl Proofs {
    /// A table of the default size (`limits.rs`).
    pub fn new() -> Self {
        Self::with_slots(DPOP_SLOTS)
    }

    /// A table of about that many slots.
    pub fn with_slots(slots: usize) -> Self {
        Self { hasher: RandomState::new(), table: Table::new(slots) }
    }

    /// Uses a proof up at `now`, seconds since 1970, at which it holds. Of all that use the same one, on
    /// whatever cores, one is the first.
    pub fn take(&self, proof: &Proof, now: u64) -> Use {
        let hash = self.hasher.hash_one(proof.id);
        let word = (proof.ends_at + MARGIN_S) << NUMBER_BITS | USED;
        for _ in 0..TABLE_TRIES {
            let Some((position, slot)) = self.table.find_or_claim(hash, now) else { break };
            if slot.word & USED != 0 && !Ends::free(slot.word, 0, now) {
                return Use::Again;
            }
            if self.table.exchange(position, slot, slot.with(0, word)) {
                return Use::First;
            }
        }
        Use::NoRoom
    }

    /// The share of its places that hold proofs at `now`, seconds since 1970, 0 to 1; an estimate.
    pub fn used(&self, now: u64) -> f64 {
        self.table.used(now)
    }
}

impl Default for Proofs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(n: u64, ends_at: u64) -> Proof {
        let id = *blake3::hash(&n.to_le_bytes()).as_bytes();
        Proof { thumbprint: "k".into(), id, ends_at }
    }

    #[test]
    fn a_proof_is_good_once_until_it_holds_no_more() {
        let proofs = Proofs::with_slots(1024);
        assert_eq!(proofs.take(&proof(1, 160), 100), Use::First);
        for now in [100, 130, 159] {
            assert_eq!(proofs.take(&proof(1, 160), now), Use::Again);
        }
        assert_eq!(proofs.take(&proof(2, 160), 159), Use::First);
        // Another that its maker calls the same, when the first holds no more.
        assert_eq!(proofs.take(&proof(1, 230), 170), Use::First);
        assert_eq!(proofs.take(&proof(1, 230), 229), Use::Again);
    }

    #[test]
    fn a_full_table_refuses_and_forgets_nothing() {
        let proofs = Proofs::with_slots(64);
        let (mut first, mut refused) = (Vec::new(), 0);
        for n in 0..1000 {
            match proofs.take(&proof(n, 160), 100) {
                Use::First => first.push(n),
                Use::NoRoom => refused += 1,
                Use::Again => panic!("{n} was never used"),
            }
        }
        assert!(refused > 900 && first.len() > 20, "{refused} refused, {} taken", first.len());
        for n in &first {
            assert_eq!(proofs.take(&proof(*n, 160), 159), Use::Again, "{n}");
        }
        assert!(proofs.used(100) > 0.9 && proofs.used(200) == 0.0);
        // When they hold no more there is room for others, also many times over.
        for round in 1..50 {
            let now = 100 + round * 100;
            let taken = (0..20)
                .filter(|n| proofs.take(&proof(round * 100 + n, now + 60), now) == Use::First);
            assert_eq!(taken.count(), 20, "round {round}");
        }
    }

    #[test]
    fn of_many_cores_one_is_the_first() {
        let proofs = Proofs::with_slots(4096);
        let wins: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let takes = |n: &u64| proofs.take(&proof(*n, 160), 100) == Use::First;
                    scope.spawn(move || (0..1000).filter(takes).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(wins, 1000);
    }
}
