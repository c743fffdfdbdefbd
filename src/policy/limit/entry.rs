//! One key's lease, as a worker has it.

use crate::limits::{LEASE_MAX, LEASE_TICK_NS, TABLE_TRIES};

use super::Shared;
use super::bucket::{Bucket, Lease, Terms, steps};
use crate::policy::table::{Position, Slot};

/// One key's lease. A cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Entry {
    pub(super) hash: u64,
    /// Under which the lease was granted.
    pub(super) terms: Terms,
    /// The bucket's level when this core last looked, its own lease included; steps.
    pub(super) level: u64,
    /// How far its spending reaches (see [`Lease::reach`]), steps.
    pub(super) reach: u64,
    /// When this core last looked, steps.
    pub(super) looked: u64,
    pub(super) position: Position,
    /// Tokens that may be spent.
    pub(super) left: u16,
    /// Tokens of the lease that were spent; not reported yet.
    pub(super) spent: u16,
    /// Tokens to ask for next time.
    pub(super) batch: u16,
    /// Whether it is in [`Local::held`].
    pub(super) listed: bool,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// Why a token was not to be had.
pub(super) enum Refusal {
    /// None for that many steps.
    Wait(u64),
    Full,
}

impl Entry {
    pub(super) fn new(hash: u64, terms: Terms) -> Self {
        Self { hash, terms, batch: 1, ..Self::default() }
    }

    /// Tokens that the authority counts as lent to this core.
    pub(super) fn lent(&self) -> u16 {
        self.left + self.spent
    }

    /// Room in the bucket as far as this core knows, its own tokens included; steps.
    pub(super) fn room(&self, now: u64) -> u64 {
        let own = self.terms.interval.saturating_mul(u64::from(self.left));
        let level = self.level.max(self.reach).max(now.saturating_add(own));
        now.saturating_add(self.terms.brim).saturating_sub(level).saturating_add(own)
    }

    /// What it reports.
    pub(super) fn lease(&self) -> Lease {
        Lease { held: self.lent(), left: self.left, reach: self.reach }
    }

    /// Spends tokens of the lease, which has as many. Of those that go at once the first reaches
    /// farthest, since most are held then.
    pub(super) fn spend(&mut self, now: u64, tokens: u16) {
        let time = self.terms.interval.saturating_mul(u64::from(self.left));
        self.reach = self.reach.max(now.saturating_add(time));
        self.left -= tokens;
        self.spent += tokens;
    }

    /// How many tokens to ask for: twice as many when the last were gone within a tick, half when
    /// they lasted for several.
    pub(super) fn next_batch(&self, now: u64) -> u16 {
        let lasted = now.saturating_sub(self.looked);
        if self.looked == 0 || lasted > 4 * steps(LEASE_TICK_NS) {
            (self.batch / 2).max(1)
        } else if lasted <= steps(LEASE_TICK_NS) {
            (self.batch * 2).min(LEASE_MAX)
        } else {
            self.batch
        }
    }

    /// Reports the spent tokens and takes up to `wanted` new ones, one of which is spent.
    pub(super) fn renew(
        &mut self,
        shared: &Shared,
        now: u64,
        wanted: u16,
        share: u64,
    ) -> Result<(), Refusal> {
        debug_assert_eq!(self.left, 0);
        self.looked = now;
        for _ in 0..TABLE_TRIES {
            let (position, slot) = self.locate(shared, now).ok_or(Refusal::Full)?;
            let bucket = Bucket { tat: slot.word, lent: slot.spare };
            let grant = match bucket.grant(self.terms, now, self.lease(), wanted, share) {
                Ok(grant) => grant,
                Err(wait) => {
                    let next = now.saturating_add(self.terms.brim).saturating_add(wait);
                    self.level = next.saturating_sub(self.terms.interval);
                    return Err(Refusal::Wait(wait));
                }
            };
            let changed = slot.with(grant.bucket.lent, grant.bucket.tat);
            if shared.buckets.exchange(position, slot, changed) {
                self.position = position;
                self.level = grant.bucket.tat;
                self.left = grant.tokens - 1;
                self.spent = 0;
                self.reach = 0;
                self.batch = wanted;
                return Ok(());
            }
        }
        Err(Refusal::Full)
    }

    /// Takes several tokens that are spent at once. The lease must be settled.
    pub(super) fn take_at_once(
        &mut self,
        shared: &Shared,
        now: u64,
        tokens: u32,
    ) -> Result<(), Refusal> {
        debug_assert_eq!(self.lent(), 0);
        self.looked = now;
        for _ in 0..TABLE_TRIES {
            let (position, slot) = self.locate(shared, now).ok_or(Refusal::Full)?;
            let bucket = Bucket { tat: slot.word, lent: slot.spare };
            match bucket.take(self.terms, now, Lease::default(), tokens) {
                Err(wait) => {
                    let time = self.terms.interval.saturating_mul(u64::from(tokens.max(1)));
                    let next = now.saturating_add(self.terms.brim).saturating_add(wait);
                    self.level = next.saturating_sub(time);
                    return Err(Refusal::Wait(wait));
                }
                Ok(taken) => {
                    let changed = slot.with(taken.lent, taken.tat);
                    if taken == bucket || shared.buckets.exchange(position, slot, changed) {
                        self.position = position;
                        self.level = taken.tat;
                        return Ok(());
                    }
                }
            }
        }
        Err(Refusal::Full)
    }

    /// Takes tokens that may not be there. The lease must be settled. `false`: there is no room to note
    /// it.
    pub(super) fn owe(&mut self, shared: &Shared, now: u64, tokens: u64, most: u64) -> bool {
        debug_assert_eq!(self.lent(), 0);
        self.looked = now;
        for _ in 0..TABLE_TRIES {
            let Some((position, slot)) = self.locate(shared, now) else { break };
            let owing = Bucket { tat: slot.word, lent: slot.spare };
            let owing = owing.owe(self.terms, now, tokens, most);
            if shared.buckets.exchange(position, slot, slot.with(owing.lent, owing.tat)) {
                self.position = position;
                self.level = owing.tat;
                return true;
            }
        }
        false
    }

    /// The key's slot: where it was last time, most often.
    pub(super) fn locate(&self, shared: &Shared, now: u64) -> Option<(Position, Slot)> {
        if self.position != 0 {
            let slot = shared.buckets.load(self.position);
            if slot.is(self.hash) {
                return Some((self.position, slot));
            }
        }
        shared.buckets.find_or_claim(self.hash, now)
    }

    /// Reports what was spent and gives back what was not.
    pub(super) fn settle(&mut self, shared: &Shared, now: u64) {
        if self.lent() == 0 {
            return;
        }
        let (interval, own) = (self.terms.interval, self.lease());
        change(shared, self.position, self.hash, |bucket| bucket.settle(interval, now, own));
        if self.left > 0 {
            self.batch = (self.spent + 1).next_power_of_two().min(self.batch);
        }
        self.left = 0;
        self.spent = 0;
        self.reach = 0;
    }
}

/// Changes a bucket whose slot cannot have been taken by another key: one with lent tokens or in
/// debt is not forgotten.
pub(super) fn change(
    shared: &Shared,
    position: Position,
    hash: u64,
    to: impl Fn(Bucket) -> Bucket,
) {
    loop {
        let slot = shared.buckets.load(position);
        debug_assert!(slot.is(hash));
        if !slot.is(hash) {
            return;
        }
        let bucket = to(Bucket { tat: slot.word, lent: slot.spare });
        if shared.buckets.exchange(position, slot, slot.with(bucket.lent, bucket.tat)) {
            return;
        }
    }
}
