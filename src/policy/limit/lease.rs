//! A worker's share of the buckets, and the judging of a request.

use crate::limits::{LEASE_ENTRIES, LEASE_TICK_NS, LEASES_PER_TICK, RULES_AT_HAND};

use super::bucket::{Terms, steps};
use super::entry::{Entry, Refusal, change};
use super::judgement::{Judgement, admitted, is_tighter, limited};
use super::{Charge, KeySource, Rule, Shared};

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

const _: () = assert!(LEASE_ENTRIES.is_power_of_two() && LEASE_ENTRIES <= 1 << 16);

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
        self.charge(shared, Charge::one_of_each(scopes), keys, now_ns)
    }

    /// Judges a request by these rules. From each as much is taken as is charged, or nothing from any.
    pub fn charge<'r>(
        &mut self,
        shared: &Shared,
        charges: impl Iterator<Item = Charge<'r>> + Clone,
        keys: &KeySource<'_>,
        now_ns: u64,
    ) -> Judgement<'r> {
        let now = steps(now_ns);
        // What this core can refuse by itself goes first: it takes nothing and shares nothing.
        let mut hashes = [0; RULES_AT_HAND];
        for (index, charge) in charges.clone().enumerate() {
            let hash = keys.hash(shared, charge.rule);
            if let Some(wait) = self.known_refusal(charge, hash, now) {
                return limited(charge.rule, wait);
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
        for (index, charge) in charges.clone().enumerate() {
            let rule = charge.rule;
            match self.take(shared, charge, hash_of(index, rule), now) {
                Ok(room) => {
                    if tightest.is_none_or(|held| is_tighter((rule, room), held)) {
                        tightest = Some((rule, room));
                    }
                }
                Err(refusal) => {
                    for (taken, charge) in charges.enumerate().take(index) {
                        self.hand_back(shared, charge, hash_of(taken, charge.rule), now);
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

    /// Takes tokens of a rule whether they are there or not: what an answer said that it cost. At most a
    /// window's are owed then, so who was let in too far waits a window at most. `false`: there is no
    /// room to note it.
    pub fn owe(
        &mut self,
        shared: &Shared,
        (rule, amount): (&Rule, u64),
        keys: &KeySource<'_>,
        now_ns: u64,
    ) -> bool {
        let (hash, now) = (keys.hash(shared, rule), steps(now_ns));
        let most = rule.quota.max(1);
        let (mut passing, entry) =
            (Entry::new(hash, rule.terms), self.place(shared, rule, hash, now));
        entry.unwrap_or(&mut passing).owe(shared, now, amount, most)
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

    fn known_refusal(&self, charge: Charge<'_>, hash: u64, now: u64) -> Option<u64> {
        let entry = &self.entries[index(hash)];
        let fresh = now < entry.looked.saturating_add(steps(LEASE_TICK_NS));
        let same = entry.hash == hash && entry.terms == charge.rule.terms;
        let known = fresh && same && entry.left == 0;
        let Terms { interval, brim } = entry.terms;
        let needed = interval.saturating_mul(u64::from(charge.amount.max(1)));
        let next = entry.level.saturating_add(needed);
        let wait = next.saturating_sub(now.saturating_add(brim));
        (known && wait > 0).then_some(wait)
    }

    /// Takes what is charged; returns the room left in the bucket, steps.
    fn take(
        &mut self,
        shared: &Shared,
        charge: Charge<'_>,
        hash: u64,
        now: u64,
    ) -> Result<u64, Refusal> {
        let Charge { rule, amount } = charge;
        let index = index(hash);
        let entry = &mut self.entries[index];
        let same = entry.hash == hash && entry.terms == rule.terms;
        if same && u32::from(entry.left) >= amount.max(1) {
            if amount > 0 {
                entry.spend(now, amount as u16);
            }
            return Ok(entry.room(now));
        }
        if amount != 1 {
            return self.take_several(shared, charge, hash, now);
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

    /// Takes several tokens from the authority at once.
    fn take_several(
        &mut self,
        shared: &Shared,
        charge: Charge<'_>,
        hash: u64,
        now: u64,
    ) -> Result<u64, Refusal> {
        let Charge { rule, amount } = charge;
        let mut passing = Entry::new(hash, rule.terms);
        let entry = self.place(shared, rule, hash, now).unwrap_or(&mut passing);
        entry.take_at_once(shared, now, amount)?;
        Ok(entry.room(now))
    }

    /// The place of a key's lease, with nothing lent; `None`: it is another key's, which is using it.
    fn place(&mut self, shared: &Shared, rule: &Rule, hash: u64, now: u64) -> Option<&mut Entry> {
        let entry = &mut self.entries[index(hash)];
        if entry.hash != hash && entry.left > 0 {
            return None;
        }
        entry.settle(shared, now);
        if entry.hash != hash || entry.terms != rule.terms {
            *entry = Entry { listed: entry.listed, ..Entry::new(hash, rule.terms) };
        }
        Some(entry)
    }

    /// Undoes a [`Local::take`] at the same `now`.
    fn hand_back(&mut self, shared: &Shared, charge: Charge<'_>, hash: u64, now: u64) {
        let Charge { rule, amount } = charge;
        if amount == 0 {
            return;
        }
        let entry = &mut self.entries[index(hash)];
        let same = entry.hash == hash && entry.terms == rule.terms;
        if same && entry.spent > 0 && u32::from(entry.spent) >= amount {
            entry.spent -= amount as u16;
            entry.left += amount as u16;
            return;
        }
        // It was a grant's first token or several, or the lease has been settled since: either way
        // the authority counts it as spent.
        if let Some((position, _)) = shared.buckets.find(hash) {
            let interval = rule.terms.interval;
            if entry.hash == hash {
                let time = interval.saturating_mul(u64::from(amount));
                entry.level = entry.level.saturating_sub(time);
            }
            change(shared, position, hash, |bucket| bucket.refund(interval, now, amount));
        }
    }
}

fn index(hash: u64) -> usize {
    // Other bits than the table's home set, so that neighbours there are not neighbours here.
    (hash >> 24) as usize & (LEASE_ENTRIES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitKey;
    use crate::policy::limit::Standing;
    use crate::policy::limit::bucket::Bucket;
    use crate::policy::limit::rule::test_limit;

    const MS: u64 = 1_000_000;
    const START: u64 = 3_000 * MS;

    fn rule(name: &str, rate: u64, burst: u64) -> Rule {
        Rule::new(name, &test_limit(rate, burst, LimitKey::Route), None)
    }

    fn keys() -> KeySource<'static> {
        KeySource::of_caller(std::net::Ipv4Addr::LOCALHOST.into(), 64, None)
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

        fn admits_several(&mut self, rule: &Rule, amount: u32, now: u64) -> bool {
            let charges = [Charge { rule, amount }];
            let charges = charges.iter().copied();
            let judgement = self.core.charge(&self.shared, charges, &keys(), now);
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
    fn what_is_owed_is_waited_for_a_window_at_most() {
        let mut bench = Bench::new(8);
        // A token each 10 ms.
        let rule = rule("a", 100, 100);
        assert!(bench.admits_several(&rule, 0, START));
        assert!(bench.core.owe(&bench.shared, (&rule, 90), &keys(), START));
        assert!(bench.admits_several(&rule, 0, START), "some are left");
        assert_eq!(bench.admitted(std::slice::from_ref(&rule), START), 10);
        assert!(!bench.admits_several(&rule, 0, START + 9 * MS));
        assert!(bench.core.owe(&bench.shared, (&rule, u64::MAX), &keys(), START + 9 * MS));
        // Those of a second, and one.
        assert!(!bench.admits_several(&rule, 0, START + 1018 * MS));
        assert!(bench.admits_several(&rule, 0, START + 1020 * MS));
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
    fn several_tokens_are_taken_together() {
        let mut bench = Bench::new(1);
        let rule = rule("a", 10, 100);
        assert!(bench.admits_several(&rule, 60, START));
        assert!(!bench.admits_several(&rule, 41, START));
        assert!(bench.admits_several(&rule, 40, START));
        assert!(!bench.admits_several(&rule, 2, START + 199 * MS));
        assert!(bench.admits_several(&rule, 2, START + 200 * MS));
        // More than the bucket ever holds.
        assert!(!bench.admits_several(&rule, 101, START + 100_000 * MS));
    }

    #[test]
    fn several_tokens_come_out_of_a_lease_or_give_it_back() {
        let mut bench = Bench::new(1);
        let rules = [rule("a", 10, 1000)];
        (0..20).for_each(|_| assert!(bench.admits(&rules, START)));
        let left = bench.core.entries[index(keys().hash(&bench.shared, &rules[0]))].left;
        assert!(left > 2, "{left}");
        let before = bench.bucket(&rules[0]);
        assert!(bench.admits_several(&rules[0], 2, START));
        assert_eq!(bench.bucket(&rules[0]), before);
        assert!(bench.admits_several(&rules[0], 500, START));
        assert_eq!(bench.bucket(&rules[0]).lent, 0);
        assert_eq!(bench.admitted(&rules, START), 1000 - 20 - 2 - 500);
    }

    #[test]
    fn a_refusal_hands_several_back() {
        let mut bench = Bench::new(1);
        let rules = [rule("wide", 1, 1000), rule("narrow", 1, 3)];
        let charges =
            [Charge { rule: &rules[0], amount: 7 }, Charge { rule: &rules[1], amount: 4 }];
        for _ in 0..5 {
            let charges = charges.iter().copied();
            let judgement = bench.core.charge(&bench.shared, charges, &keys(), START);
            assert!(matches!(judgement, Judgement::Limited { .. }));
        }
        assert_eq!(bench.admitted(&rules[..1], START), 1000);
    }

    #[test]
    fn two_judgements_make_one() {
        let (wide, narrow) = (rule("wide", 1, 100), rule("narrow", 1, 10));
        let allowed =
            |rule, remaining| Judgement::Allowed(Some(Standing { rule, remaining, reset: 1 }));
        let name = |judgement: Judgement<'_>| match judgement {
            Judgement::Allowed(Some(standing)) => {
                standing.rule.name().to_owned() + &standing.rule.burst().to_string()
            }
            other => panic!("{other:?}"),
        };
        let tighter = name(allowed(&narrow, 4));
        assert_eq!(name(allowed(&wide, 50).and(allowed(&narrow, 4))), tighter);
        assert_eq!(name(allowed(&narrow, 4).and(allowed(&wide, 50))), tighter);
        assert_eq!(name(allowed(&narrow, 4).and(Judgement::Allowed(None))), tighter);
        let full = allowed(&wide, 50).and(Judgement::TableFull(&narrow));
        assert!(matches!(full, Judgement::TableFull(_)));
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
                    // Until it is full; at the end until there is one.
                    let until = if used < 20 { used.div_ceil(10) } else { 1 };
                    assert_eq!(standing.reset, until);
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
