//! A worker's share of the buckets, and the judging of a request.

use crate::limits::{
    LEASE_ENTRIES, LEASE_MAX, LEASE_TICK_NS, LEASES_PER_TICK, RULES_AT_HAND, TABLE_TRIES,
};

use super::bucket::{Bucket, Lease, Terms, nanoseconds, steps};
use super::{KeySource, Rule, Shared};
use crate::policy::table::Position;

/// How a client stands with the limit that leaves it least.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'r> {
    /// The limit.
    pub rule: &'r Rule,
    /// Tokens that may be had now, by what this core knows; what other cores did since it last
    /// asked the authority is missing.
    pub remaining: u64,
    /// Admitted: whole seconds until the bucket is full. Refused: until there is a token. Rounded
    /// up, so at least 1.
    pub reset: u64,
}

/// What the limits say to a request.
#[derive(Debug, Clone, Copy)]
pub enum Judgement<'r> {
    /// Every limit admitted it; `None`: it has no limits.
    Allowed(Option<Standing<'r>>),
    /// A limit refused it, and it took nothing from the others: 429.
    Limited {
        /// How it stands with that limit.
        standing: Standing<'r>,
        /// Until that limit has a token, ns (unless others take it).
        retry_after_ns: u64,
    },
    /// All places for this limit's bucket are taken by buckets in debt. Admitting would be
    /// uncounted, so it is refused: 503.
    TableFull(&'r Rule),
}

/// One worker's leases and the refusals it knows of. Plain memory of a fixed size.
///
/// Its `now` must not go back.
pub struct Local {
    entries: Box<[Entry]>,
    /// Entries that hold or have held tokens the authority does not know to be spent.
    held: Vec<u16>,
    /// Where in `held` the next tick goes on.
    next: usize,
    /// Of what is left, a lease is at most one part in so many.
    share: u64,
}

/// One key's lease. A cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Entry {
    hash: u64,
    /// Under which the lease was granted.
    terms: Terms,
    /// The bucket's level when this core last looked, its own lease included; steps.
    level: u64,
    /// How far its spending reaches (see [`Lease::reach`]), steps.
    reach: u64,
    /// When this core last looked, steps.
    looked: u64,
    position: Position,
    /// Tokens that may be spent.
    left: u16,
    /// Tokens of the lease that were spent; not reported yet.
    spent: u16,
    /// Tokens to ask for next time.
    batch: u16,
    /// Whether it is in [`Local::held`].
    listed: bool,
}

const _: () = assert!(size_of::<Entry>() == 64);
const _: () = assert!(LEASE_ENTRIES.is_power_of_two() && LEASE_ENTRIES <= 1 << 16);

/// Why a token was not to be had.
enum Refusal {
    /// None for that many steps.
    Wait(u64),
    Full,
}

impl Local {
    /// For one of `workers` workers that share a [`Shared`].
    pub fn new(workers: usize) -> Self {
        Self {
            entries: vec![Entry::default(); LEASE_ENTRIES].into_boxed_slice(),
            held: Vec::with_capacity(LEASE_ENTRIES),
            next: 0,
            share: 2 * workers.max(1) as u64,
        }
    }

    /// Judges a request by all `scopes`' rules (its listener's, its route's, the gateway's). One
    /// token is taken from each, or none from any.
    pub fn judge<'r>(
        &mut self,
        shared: &Shared,
        scopes: &[&'r [Rule]],
        keys: &KeySource<'_>,
        now_ns: u64,
    ) -> Judgement<'r> {
        let now = steps(now_ns);
        let rules = || scopes.iter().flat_map(|rules| rules.iter()).enumerate();
        // What this core can refuse by itself goes first: it takes nothing and shares nothing.
        let mut hashes = [0; RULES_AT_HAND];
        for (index, rule) in rules() {
            let hash = keys.hash(shared, rule);
            if let Some(wait) = self.known_refusal(rule, hash, now) {
                return limited(rule, wait);
            }
            if let Some(kept) = hashes.get_mut(index) {
                *kept = hash;
            }
        }
        let hash_of = |index: usize, rule: &Rule| match hashes.get(index) {
            Some(&hash) => hash,
            None => keys.hash(shared, rule),
        };
        let mut tightest: Option<(&Rule, u64)> = None;
        for (index, rule) in rules() {
            match self.take(shared, rule, hash_of(index, rule), now) {
                Ok(room) => {
                    if tightest.is_none_or(|held| is_tighter((rule, room), held)) {
                        tightest = Some((rule, room));
                    }
                }
                Err(refusal) => {
                    for (taken, rule) in rules().take(index) {
                        self.hand_back(shared, rule, hash_of(taken, rule), now);
                    }
                    return match refusal {
                        Refusal::Wait(wait) => limited(rule, wait),
                        Refusal::Full => Judgement::TableFull(rule),
                    };
                }
            }
        }
        Judgement::Allowed(tightest.map(|(rule, room)| admitted(rule, room)))
    }

    /// Gives back what leases left unused. To be called every
    /// [`LEASE_TICK_NS`](crate::limits::LEASE_TICK_NS) while [`Local::holds`]; looks at a bounded
    /// number of leases.
    pub fn tick(&mut self, shared: &Shared, now_ns: u64) {
        let now = steps(now_ns);
        for _ in 0..self.held.len().min(LEASES_PER_TICK) {
            if self.next >= self.held.len() {
                self.next = 0;
            }
            let entry = &mut self.entries[usize::from(self.held[self.next])];
            if entry.lent() > 0 && now.saturating_sub(entry.looked) < steps(LEASE_TICK_NS) {
                self.next += 1;
                continue;
            }
            entry.settle(shared, now);
            entry.listed = false;
            self.held.swap_remove(self.next);
        }
    }

    /// Gives back everything. For a worker that ends.
    pub fn surrender(&mut self, shared: &Shared, now_ns: u64) {
        for index in self.held.drain(..) {
            let entry = &mut self.entries[usize::from(index)];
            entry.settle(shared, steps(now_ns));
            entry.listed = false;
        }
    }

    /// Whether there may be anything to give back; without it, no tick is needed.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn known_refusal(&self, rule: &Rule, hash: u64, now: u64) -> Option<u64> {
        let entry = &self.entries[index(hash)];
        let fresh = now < entry.looked.saturating_add(steps(LEASE_TICK_NS));
        let known = fresh && entry.hash == hash && entry.left == 0 && entry.terms == rule.terms;
        let Terms { interval, brim } = entry.terms;
        let next = entry.level.saturating_add(interval);
        let wait = next.saturating_sub(now.saturating_add(brim));
        (known && wait > 0).then_some(wait)
    }

    /// Takes one token; returns the room left in the bucket, steps.
    fn take(&mut self, shared: &Shared, rule: &Rule, hash: u64, now: u64) -> Result<u64, Refusal> {
        let index = index(hash);
        let entry = &mut self.entries[index];
        let same = entry.hash == hash && entry.terms == rule.terms;
        if same && entry.left > 0 {
            entry.spend(now);
            return Ok(entry.room(now));
        }
        if !same && entry.hash != hash && entry.left > 0 {
            // The place is another key's, which is using it: do without.
            let mut passing = Entry::new(hash, rule.terms);
            passing.renew(shared, now, 1, self.share)?;
            return Ok(passing.room(now));
        }
        if !same {
            entry.settle(shared, now);
            *entry = Entry { listed: entry.listed, ..Entry::new(hash, rule.terms) };
        }
        let wanted = entry.next_batch(now);
        entry.renew(shared, now, wanted, self.share)?;
        if entry.left > 0 && !entry.listed {
            entry.listed = true;
            self.held.push(index as u16);
        }
        Ok(entry.room(now))
    }

    /// Undoes a [`Local::take`] at the same `now`.
    fn hand_back(&mut self, shared: &Shared, rule: &Rule, hash: u64, now: u64) {
        let entry = &mut self.entries[index(hash)];
        if entry.hash == hash && entry.terms == rule.terms && entry.spent > 0 {
            entry.spent -= 1;
            entry.left += 1;
            return;
        }
        // It was a grant's first token, or the lease has been settled since: either way the
        // authority counts it as spent.
        if let Some((position, _)) = shared.buckets.find(hash) {
            if entry.hash == hash {
                entry.level = entry.level.saturating_sub(entry.terms.interval);
            }
            let interval = rule.terms.interval;
            change(shared, position, hash, |bucket| bucket.refund(interval, now));
        }
    }
}

impl Entry {
    fn new(hash: u64, terms: Terms) -> Self {
        Self { hash, terms, batch: 1, ..Self::default() }
    }

    /// Tokens that the authority counts as lent to this core.
    fn lent(&self) -> u16 {
        self.left + self.spent
    }

    /// Room in the bucket as far as this core knows, its own tokens included; steps.
    fn room(&self, now: u64) -> u64 {
        let own = self.terms.interval.saturating_mul(u64::from(self.left));
        let level = self.level.max(self.reach).max(now.saturating_add(own));
        now.saturating_add(self.terms.brim).saturating_sub(level).saturating_add(own)
    }

    /// What it reports.
    fn lease(&self) -> Lease {
        Lease { held: self.lent(), left: self.left, reach: self.reach }
    }

    /// Spends a token of the lease.
    fn spend(&mut self, now: u64) {
        let time = self.terms.interval.saturating_mul(u64::from(self.left));
        self.reach = self.reach.max(now.saturating_add(time));
        self.left -= 1;
        self.spent += 1;
    }

    /// How many tokens to ask for: twice as many when the last were gone within a tick, half when
    /// they lasted for several.
    fn next_batch(&self, now: u64) -> u16 {
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
    fn renew(&mut self, shared: &Shared, now: u64, wanted: u16, share: u64) -> Result<(), Refusal> {
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

    /// The key's slot: where it was last time, most often.
    fn locate(&self, shared: &Shared, now: u64) -> Option<(Position, crate::policy::table::Slot)> {
        if self.position != 0 {
            let slot = shared.buckets.load(self.position);
            if slot.is(self.hash) {
                return Some((self.position, slot));
            }
        }
        shared.buckets.find_or_claim(self.hash, now)
    }

    /// Reports what was spent and gives back what was not.
    fn settle(&mut self, shared: &Shared, now: u64) {
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
fn change(shared: &Shared, position: Position, hash: u64, to: impl Fn(Bucket) -> Bucket) {
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

fn index(hash: u64) -> usize {
    // Other bits than the table's home set, so that neighbours there are not neighbours here.
    (hash >> 24) as usize & (LEASE_ENTRIES - 1)
}

/// Whether `a` leaves a smaller part of its bucket than `b`.
fn is_tighter(a: (&Rule, u64), b: (&Rule, u64)) -> bool {
    let of = |room: u64, rule: &Rule| u128::from(room) * u128::from(rule.terms.brim);
    of(a.1, b.0) < of(b.1, a.0)
}

fn admitted(rule: &Rule, room: u64) -> Standing<'_> {
    let remaining = (room / rule.terms.interval).min(rule.burst);
    let debt = rule.terms.brim.saturating_sub(room);
    Standing { rule, remaining, reset: whole_seconds(nanoseconds(debt)) }
}

fn limited(rule: &Rule, wait: u64) -> Judgement<'_> {
    let retry_after_ns = nanoseconds(wait);
    let standing = Standing { rule, remaining: 0, reset: whole_seconds(retry_after_ns) };
    Judgement::Limited { standing, retry_after_ns }
}

/// Rounded up; at least 1.
pub(super) fn whole_seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitKey;
    use crate::policy::limit::rule::test_limit;

    const MS: u64 = 1_000_000;
    const START: u64 = 3_000 * MS;

    fn rule(name: &str, rate: u64, burst: u64) -> Rule {
        Rule::new(name, &test_limit(rate, burst, LimitKey::Route), None)
    }

    fn keys() -> KeySource<'static> {
        KeySource {
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            ipv6_prefix: 64,
            fields: &[],
            buf: &[],
            query: None,
            identity: None,
            path_parameter: &|_| b"",
        }
    }

    struct Bench {
        shared: Shared,
        core: Local,
    }

    impl Bench {
        fn new(workers: usize) -> Self {
            Self { shared: Shared::with_slots(1 << 10, 8), core: Local::new(workers) }
        }

        fn admits(&mut self, rules: &[Rule], now: u64) -> bool {
            let judgement = self.core.judge(&self.shared, &[rules], &keys(), now);
            matches!(judgement, Judgement::Allowed(_))
        }

        fn admitted(&mut self, rules: &[Rule], now: u64) -> usize {
            (0..).take_while(|_| self.admits(rules, now)).count()
        }

        fn bucket(&self, rule: &Rule) -> Bucket {
            let (_, slot) = self.shared.buckets.find(keys().hash(&self.shared, rule)).unwrap();
            Bucket { tat: slot.word, lent: slot.spare }
        }
    }

    #[test]
    fn no_rules_no_limit() {
        let judgement = Local::new(1).judge(&Shared::with_slots(8, 8), &[&[]], &keys(), START);
        assert!(matches!(judgement, Judgement::Allowed(None)));
    }

    #[test]
    fn one_core_gets_the_whole_burst_and_then_the_rate() {
        let mut bench = Bench::new(8);
        let rules = [rule("a", 100, 1000)];
        assert_eq!(bench.admitted(&rules, START), 1000);
        assert_eq!(bench.admitted(&rules, START + 9 * MS), 0);
        assert_eq!(bench.admitted(&rules, START + 10 * MS), 1);
        assert_eq!(bench.admitted(&rules, START + 1010 * MS), 100);
    }

    #[test]
    fn a_busy_core_seldom_asks_the_authority() {
        let mut bench = Bench::new(1);
        let rules = [rule("a", 1_000_000, 1_000_000)];
        let mut changes = 0;
        let mut last = None;
        for n in 0..10_000 {
            assert!(bench.admits(&rules, START + n * 2000));
            let bucket = Some(bench.bucket(&rules[0]));
            changes += usize::from(bucket != last);
            last = bucket;
        }
        assert!(changes < 60, "{changes} exchanges for 10,000 requests");
    }

    #[test]
    fn a_tick_gives_back_what_was_not_used() {
        let mut bench = Bench::new(1);
        let rules = [rule("a", 1000, 1000)];
        (0..4).for_each(|_| assert!(bench.admits(&rules, START)));
        assert!(bench.bucket(&rules[0]).lent > 0 && bench.core.holds());
        bench.core.tick(&bench.shared, START + 9 * MS);
        assert!(bench.core.holds());
        bench.core.tick(&bench.shared, START + 10 * MS);
        assert!(!bench.core.holds());
        assert_eq!(bench.bucket(&rules[0]).lent, 0);
        // Of the four spent tokens none is missed any more, nor has the bucket more than its brim.
        assert_eq!(bench.admitted(&rules, START + 20 * MS), 1000);
    }

    #[test]
    fn tokens_are_not_lost_by_giving_back_in_debt() {
        let mut bench = Bench::new(1);
        let rules = [rule("a", 1, 1000)];
        (0..500).for_each(|_| assert!(bench.admits(&rules, START)));
        bench.core.surrender(&bench.shared, START);
        assert_eq!(bench.bucket(&rules[0]).lent, 0);
        let mut other = Local::new(1);
        let judge = |_: &usize| {
            let judgement = other.judge(&bench.shared, &[&rules], &keys(), START);
            matches!(judgement, Judgement::Allowed(_))
        };
        assert_eq!((0..).take_while(judge).count(), 500);
    }

    #[test]
    fn a_refusal_takes_nothing_from_the_other_rules() {
        let mut bench = Bench::new(1);
        let rules = [rule("wide", 1, 1000), rule("narrow", 1, 3)];
        assert_eq!(bench.admitted(&rules, START), 3);
        for n in 0..50 {
            assert!(!bench.admits(&rules, START + n * 11 * MS));
        }
        assert_eq!(bench.admitted(&rules[..1], START), 997);
    }

    #[test]
    fn refusals_say_when_to_come_back() {
        let mut bench = Bench::new(1);
        let rules = [rule("a", 2, 1)];
        assert!(bench.admits(&rules, START));
        for after in [0, 1, 100, 499] {
            match bench.core.judge(&bench.shared, &[&rules], &keys(), START + after * MS) {
                Judgement::Limited { standing, retry_after_ns } => {
                    assert_eq!(retry_after_ns, (500 - after) * MS);
                    assert_eq!((standing.remaining, standing.reset), (0, 1));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(bench.admits(&rules, START + 500 * MS));
    }

    #[test]
    fn the_tightest_rule_is_reported() {
        let mut bench = Bench::new(1);
        let rules = [rule("wide", 10, 100), rule("narrow", 10, 20), rule("widest", 10, 1000)];
        for used in 1..=20u64 {
            match bench.core.judge(&bench.shared, &[&rules[..1], &rules[1..]], &keys(), START) {
                Judgement::Allowed(Some(standing)) => {
                    assert_eq!(standing.rule.id(), rules[1].id());
                    assert_eq!(standing.remaining, 20 - used);
                    assert_eq!(standing.reset, used.div_ceil(10));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_changed_rate_holds_at_once_and_keeps_the_debt() {
        let mut bench = Bench::new(1);
        let before = [rule("a", 1000, 1000)];
        assert_eq!((0..600).filter(|_| bench.admits(&before, START)).count(), 600);
        let after = [rule("a", 100, 100)];
        // 0.6 s of debt are 60 tokens at the new rate; one request more or less by rounding.
        assert_eq!(bench.admitted(&after, START), 40);
    }

    #[test]
    fn a_full_table_refuses() {
        let shared = Shared::with_slots(1, 8);
        let mut core = Local::new(1);
        let mut full = 0;
        for n in 0..40 {
            let rules = [rule(&n.to_string(), 1, 1)];
            match core.judge(&shared, &[&rules], &keys(), START) {
                Judgement::TableFull(_) => full += 1,
                Judgement::Allowed(_) => {}
                Judgement::Limited { .. } => panic!("a fresh bucket refused"),
            }
        }
        assert_eq!(full, 40 - 28);
    }

    #[test]
    fn more_rules_than_are_kept_at_hand() {
        let mut bench = Bench::new(1);
        let mut rules: Vec<Rule> =
            (0..RULES_AT_HAND + 4).map(|n| rule(&n.to_string(), 1, 100)).collect();
        assert_eq!(bench.admitted(&rules, START), 100);
        rules.push(rule("last", 1, 1));
        assert_eq!(bench.admitted(&rules, START + 10_000 * MS), 1);
        assert_eq!(bench.admitted(&rules[..2], START + 10_000 * MS), 9);
    }
}
