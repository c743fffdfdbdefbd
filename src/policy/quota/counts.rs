//! The counts of all quotas, and charging them.

use std::hash::BuildHasher;

use super::tally::{Tallies, Tally, minutes};
use super::{Key, Quota, is_address};
use crate::limits::{QUOTA_ADDRESS_PART, QUOTA_SLOTS, TABLE_TRIES};
use crate::policy::few::Few;
use crate::policy::keyed::Keyed;
use crate::policy::table::{Position, Slot, Table};

/// The counts of all quotas of the node. Lock-free; fixed size; one a process. Applications and addresses
/// each have a table, so that neither drives out the other.
pub struct Counts {
    /// Keyed by random numbers of this process: nobody outside can aim at a slot.
    hasher: Keyed,
    /// Of applications.
    table: Table<Tallies>,
    /// Of holders that are addresses, which are strangers': however many come, they take no place from
    /// applications.
    addresses: Table<Tallies>,
}

/// Where a count is kept.
#[derive(Clone, Copy)]
struct Place<'t> {
    table: &'t Table<Tallies>,
    hash: u64,
}

/// What is charged to a quota.
#[derive(Clone, Copy)]
pub struct Charge<'q> {
    /// The quota.
    pub quota: &'q Quota,
    /// How much. 0: nothing, where something is left, for what an answer costs is only known later
    /// (see [`Counts::add`]).
    pub amount: u64,
}

/// How a holder stands with a quota.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'q> {
    /// The quota.
    pub quota: &'q Quota,
    /// What is left of it; 0 also beyond a soft one.
    pub remaining: u64,
    /// When its period began, seconds since 1970.
    pub began_at: u64,
    /// When it ends.
    pub ends_at: u64,
    /// Seconds until then, at least 1.
    pub reset: u64,
}

/// What the quotas say to a request.
#[derive(Debug, Clone, Copy)]
pub enum Charged<'q> {
    /// All were charged; how it stands with the one of which the smallest part is left.
    Taken(Option<Standing<'q>>),
    /// This one has not so much left, and none was charged: 429.
    Exceeded(Standing<'q>),
    /// There is no place to count this one in. Admitting would be uncounted, so it is refused: 503.
    TableFull(&'q Quota),
}

/// A request that went on beyond a soft quota.
#[derive(Debug, Clone, Copy)]
pub struct Beyond<'q> {
    /// The quota.
    pub quota: &'q Quota,
    /// Whether it was the one that passed it, on all cores; see [`Counts::is_news`].
    pub first: bool,
    /// When its period ends, seconds since 1970.
    pub ends_at: u64,
}

/// Who is told of [`Beyond`].
pub type Told<'t, 'q> = dyn FnMut(Beyond<'q>) + 't;

/// The ends of the periods that a request was charged in, minutes since 2020, in the order of its
/// charges: not always those that its time falls in (see [`Counts::refund`]).
pub type Ends = Few<u32, 4>;

/// What is told of a charge.
struct Noted<'n, 't, 'q> {
    told: &'n mut Told<'t, 'q>,
    ends: &'n mut Ends,
}

/// Why a quota was not charged.
enum Refusal<'q> {
    Exceeded(Standing<'q>),
    Full(&'q Quota),
}

/// What was charged, to be undone.
struct Taken<'t, 'q> {
    place: Place<'t>,
    end: u64,
    amount: u64,
    beyond: Option<Beyond<'q>>,
}

impl Counts {
    /// Tables of the default size (`limits.rs`).
    pub fn new() -> Self {
        Self::with_slots(QUOTA_SLOTS)
    }

    /// Tables of about that many slots for applications, and a part of that for addresses.
    pub fn with_slots(slots: usize) -> Self {
        let addresses = Table::new(slots / QUOTA_ADDRESS_PART);
        Self { hasher: Keyed::default(), table: Table::new(slots), addresses }
    }

    /// Address space that the tables take, bytes; memory is used as keys arrive.
    pub fn size(&self) -> usize {
        self.table.size() + self.addresses.size()
    }

    /// The share that holds counts of periods that are not over, 0 to 1, estimated: that of the table
    /// which is fuller.
    pub fn used(&self, now_s: u64) -> f64 {
        let of = |table: &Table<Tallies>| table.used(minutes(now_s));
        of(&self.table).max(of(&self.addresses))
    }

    /// Charges all quotas or none. One exchange on a shared cache line each; exact on any number of
    /// cores. A refusal changes nothing, unless another core takes what was there in between: while
    /// the rest is being given back, others may find it fuller than it is. `told` is told of each soft
    /// one that it went beyond; `ends` says what [`Counts::refund`] has to know.
    pub fn charge<'q>(
        &self,
        holder: u64,
        charges: impl Iterator<Item = Charge<'q>> + Clone,
        now_s: u64,
        told: &mut Told<'_, 'q>,
        ends: &mut Ends,
    ) -> Charged<'q> {
        // Of several, none is charged where one lacks, so that others never see what is given back. One
        // alone needs no look before.
        if charges.clone().nth(1).is_some() {
            let full = charges.clone().find_map(|charge| self.lacks(holder, charge, now_s));
            if let Some(standing) = full {
                return Charged::Exceeded(standing);
            }
        }
        match self.take_all(holder, charges, now_s, (None, &mut Noted { told, ends })) {
            Ok(tightest) => Charged::Taken(tightest),
            Err(Refusal::Exceeded(standing)) => Charged::Exceeded(standing),
            Err(Refusal::Full(quota)) => Charged::TableFull(quota),
        }
    }

    /// Charges what an answer said that it cost: too late to refuse. `false`: it could not be
    /// counted, since the table is full.
    pub fn add<'q>(
        &self,
        holder: u64,
        charge: Charge<'q>,
        now_s: u64,
        told: &mut Told<'_, 'q>,
    ) -> bool {
        let (_, ends_at) = charge.quota.calendar.at(now_s);
        let place = self.place(charge.quota.key(holder));
        let change =
            |tally: Tally| Some(added(tally.in_period(minutes(ends_at), now_s), charge.amount));
        let Change::Made(tally) = place.change(minutes(now_s), change) else { return false };
        beyond(charge, tally).into_iter().for_each(told);
        true
    }

    /// Gives back what a request was charged that came to nothing after all, and tells of each. What was
    /// charged to a period that has ended since stays, and is nobody's loss: the next one never had it.
    /// By the request's own time it is not known which that was, since another request may have begun the
    /// next period before this one was charged, or another time zone's plan have made the period longer.
    pub fn refund<'q>(
        &self,
        holder: u64,
        charges: impl Iterator<Item = Charge<'q>>,
        ends: &Ends,
        now_s: u64,
        mut told: impl FnMut(Charge<'q>),
    ) {
        for (charge, &end) in charges.zip(ends.as_slice()) {
            let Charge { quota, amount } = charge;
            let (place, end) = (self.place(quota.key(holder)), u64::from(end));
            if self.give_back(&Taken { place, end, amount, beyond: None }, now_s) {
                told(charge);
            }
        }
    }

    /// Whether it is to be told that a soft quota was passed: once in a period. To be asked when the
    /// request that passed it is over: where it, or another, gave back so much that the quota is not
    /// passed any more, whoever passes it next is asked.
    pub fn is_news(&self, holder: u64, beyond: &Beyond<'_>, now_s: u64) -> bool {
        let &Beyond { quota, first, ends_at } = beyond;
        let was_taken_back = || {
            let count = self.count(quota.key(holder));
            count.is_some_and(|(end, count)| end == ends_at && count <= quota.max)
        };
        first && !was_taken_back() && self.mark(quota.key(holder), ends_at, now_s)
    }

    /// Notes in a place of its own that it was told; `false`: it was before. Where there is no place it
    /// is rather told twice.
    fn mark(&self, key: Key, ends_at: u64, now_s: u64) -> bool {
        let change = |tally: Tally| {
            let held = tally.in_period(minutes(ends_at), now_s);
            (held.count == 0).then_some(Tally { count: 1, ..held })
        };
        let Place { table, hash } = self.place(key);
        let mark = Place { table, hash: self.hasher.hash_one(("told", hash)) };
        !matches!(mark.change(minutes(now_s), change), Change::Refused(_))
    }

    /// Has the count under a key fetched from memory while other work goes on.
    pub fn prefetch(&self, key: Key) {
        let Place { table, hash } = self.place(key);
        table.prefetch(hash);
    }

    /// The end of the period and the count that stand under a key: what the ledger writes.
    pub fn count(&self, key: Key) -> Option<(u64, u64)> {
        let (_, slot) = self.place(key).find()?;
        let tally = Tally::unpack(slot.word);
        Some((tally.ends_at(), tally.count))
    }

    /// Sets what the ledger had, unless there is more already. `false`: the table is full.
    pub fn restore(&self, key: Key, ends_at: u64, count: u64, now_s: u64) -> bool {
        let change = |tally: Tally| {
            let held = tally.in_period(minutes(ends_at), now_s);
            let is_its = held.end == minutes(ends_at);
            Some(if is_its { Tally { count: held.count.max(count), ..held } } else { held })
        };
        matches!(self.place(key).change(minutes(now_s), change), Change::Made(..))
    }

    /// How it stands with a quota that has not so much left.
    fn lacks<'q>(&self, holder: u64, charge: Charge<'q>, now_s: u64) -> Option<Standing<'q>> {
        let (_, slot) = self.place(charge.quota.key(holder)).find()?;
        let (_, ends_at) = charge.quota.calendar.at(now_s);
        let tally = Tally::unpack(slot.word).in_period(minutes(ends_at), now_s);
        (!fits(charge, tally)).then(|| standing(charge.quota, tally, now_s))
    }

    /// One after the other; what was taken is given back when a later one refuses.
    fn take_all<'q>(
        &self,
        holder: u64,
        mut charges: impl Iterator<Item = Charge<'q>>,
        now_s: u64,
        (tightest, noted): (Option<Standing<'q>>, &mut Noted<'_, '_, 'q>),
    ) -> Result<Option<Standing<'q>>, Refusal<'q>> {
        let Some(charge) = charges.next() else { return Ok(tightest) };
        let (standing, taken) = self.take(holder, charge, now_s)?;
        noted.ends.push(u32::try_from(taken.end).unwrap_or(u32::MAX));
        let tightest = match tightest {
            held if charge.quota.only_counted => held,
            Some(held) if !is_tighter(&standing, &held) => Some(held),
            _ => Some(standing),
        };
        // As a trait object, since the type of an iterator that is handed on must not grow.
        let rest: &mut dyn Iterator<Item = Charge<'q>> = &mut charges;
        let result = self.take_all(holder, rest, now_s, (tightest, noted));
        match result {
            // Not before it is sure that nothing is given back.
            Ok(_) => taken.beyond.into_iter().for_each(&mut *noted.told),
            Err(_) => {
                self.give_back(&taken, now_s);
            }
        }
        result
    }

    fn take<'q>(
        &self,
        holder: u64,
        charge: Charge<'q>,
        now_s: u64,
    ) -> Result<(Standing<'q>, Taken<'_, 'q>), Refusal<'q>> {
        let Charge { quota, amount } = charge;
        let end = minutes(quota.calendar.at(now_s).1);
        let place = self.place(quota.key(holder));
        let change = |tally: Tally| {
            let tally = tally.in_period(end, now_s);
            fits(charge, tally).then(|| added(tally, amount))
        };
        let (tally, amount) = match place.change(minutes(now_s), change) {
            Change::Made(tally) => (tally, amount),
            Change::Refused(tally) => {
                return Err(Refusal::Exceeded(standing(quota, tally.in_period(end, now_s), now_s)));
            }
            // It refuses nothing; what it missed is in the usage.
            Change::Full if quota.soft => (Tally { end, count: 0 }, 0),
            Change::Full => return Err(Refusal::Full(quota)),
        };
        let beyond = beyond(Charge { quota, amount }, tally);
        Ok((standing(quota, tally, now_s), Taken { place, end: tally.end, amount, beyond }))
    }

    /// Undoes a [`Counts::take`]; `false`: its period has ended since, and there is nothing to undo.
    fn give_back(&self, &Taken { place, end, amount, .. }: &Taken<'_, '_>, now_s: u64) -> bool {
        let change = |tally: Tally| {
            let count = tally.count.saturating_sub(amount);
            tally.is_still(end, now_s).then_some(Tally { count, ..tally })
        };
        amount > 0
            && place.find().is_some()
            && matches!(place.change(minutes(now_s), change), Change::Made(_))
    }

    fn place(&self, key: Key) -> Place<'_> {
        let hash = self.hasher.hash_one((key.holder, key.metric, key.period as u8));
        let table = if is_address(key.holder) { &self.addresses } else { &self.table };
        Place { table, hash }
    }
}

impl Place<'_> {
    fn find(self) -> Option<(Position, Slot)> {
        self.table.find(self.hash)
    }

    /// Exchanges its tally for what `to` makes of it; `to` may refuse.
    fn change(self, now_min: u64, to: impl Fn(Tally) -> Option<Tally>) -> Change {
        for _ in 0..TABLE_TRIES {
            let Some((position, slot)) = self.table.find_or_claim(self.hash, now_min) else {
                break;
            };
            let tally = Tally::unpack(slot.word);
            let Some(changed) = to(tally) else { return Change::Refused(tally) };
            let new = slot.with(0, changed.pack());
            if changed == tally || self.table.exchange(position, slot, new) {
                return Change::Made(changed);
            }
        }
        Change::Full
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of a change.
enum Change {
    Made(Tally),
    Refused(Tally),
    Full,
}

fn fits(Charge { quota, amount }: Charge<'_>, tally: Tally) -> bool {
    quota.soft || tally.count.saturating_add(amount.max(1)) <= quota.max
}

/// What is to be told where this was charged, and the tally is that since.
fn beyond(Charge { quota, amount }: Charge<'_>, tally: Tally) -> Option<Beyond<'_>> {
    let is_beyond = quota.soft && amount > 0 && tally.count > quota.max;
    let first = tally.count.saturating_sub(amount) <= quota.max;
    is_beyond.then(|| Beyond { quota, first, ends_at: tally.ends_at() })
}

fn standing(quota: &Quota, tally: Tally, now_s: u64) -> Standing<'_> {
    let (began_at, ends_at) = quota.calendar.at(now_s);
    // Of a later period, where the clock went back.
    let ends_at = tally.ends_at().max(ends_at);
    Standing {
        quota,
        remaining: quota.max.saturating_sub(tally.count),
        began_at,
        ends_at,
        reset: ends_at.saturating_sub(now_s).max(1),
    }
}

fn added(tally: Tally, amount: u64) -> Tally {
    Tally { count: tally.count.saturating_add(amount), ..tally }
}

/// Whether `a` leaves a smaller part of its quota than `b`.
fn is_tighter(a: &Standing<'_>, b: &Standing<'_>) -> bool {
    let part = |of: &Standing<'_>, max: u64| u128::from(of.remaining) * u128::from(max);
    part(a, b.quota.max) < part(b, a.quota.max)
}

#[cfg(test)]
mod tests;
