//! Which target gets a request.
//!
//! A [`Group`] is immutable and built by control; a [`Picker`] is what one core remembers about
//! one upstream between picks, and survives a new snapshot. A pick allocates nothing and looks at
//! a bounded number of targets unless most of them are being skipped.

use std::collections::BTreeMap;
use std::fmt;

use super::maglev::{self, Table, mix};
use crate::config::Balance;
use crate::limits::{MAX_PICK_STEPS, MAX_ROTATION, MAX_TARGETS, MAX_TRIES};

/// One target as control gives it to [`Group::build`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The address as text; decides its share in consistent hashing.
    pub name: &'a str,
    /// Share beside the others'; 0 counts as 1.
    pub weight: u32,
}

/// Why a group cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildError {
    /// No targets.
    Empty,
    /// More than [`MAX_TARGETS`].
    TooMany,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no target"),
            Self::TooMany => write!(f, "there are more than {MAX_TARGETS} targets"),
        }
    }
}

/// The targets of an upstream, ready to pick from. Targets are known by their index.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    weights: Box<[u32]>,
    /// Hash of each name, for what must not depend on the order of targets.
    names: Box<[u64]>,
    order: Order,
}

#[derive(Debug, Clone, PartialEq)]
enum Order {
    Rotation(Box<[u16]>),
    LeastRequest(Alias),
    Random(Alias),
    Maglev(Table, Alias),
}

impl Group {
    /// Builds the tables that `balance` needs.
    pub fn build(members: &[Member<'_>], balance: &Balance) -> Result<Self, BuildError> {
        match members.len() {
            0 => return Err(BuildError::Empty),
            n if n > MAX_TARGETS => return Err(BuildError::TooMany),
            _ => {}
        }
        let weights: Box<[u32]> = members.iter().map(|m| m.weight.max(1)).collect();
        let names = members.iter().map(|m| maglev::hash(m.name.as_bytes())).collect();
        let order = match balance {
            Balance::RoundRobin => Order::Rotation(rotation(&weights)),
            Balance::LeastRequest => Order::LeastRequest(Alias::build(&weights)),
            Balance::Random => Order::Random(Alias::build(&weights)),
            Balance::Maglev(_) => Order::Maglev(table(members), Alias::build(&weights)),
        };
        Ok(Self { weights, names, order })
    }

    /// Number of targets, at least 1.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Never: a group has at least one target.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Whether a pick uses a hash of the request.
    pub fn hashes(&self) -> bool {
        matches!(self.order, Order::Maglev(..))
    }
}

/// The targets that one request has tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tried {
    targets: [u16; MAX_TRIES],
    len: u8,
}

impl Tried {
    /// Adds a target. Beyond [`MAX_TRIES`] nothing is added: see [`Tried::is_full`].
    pub fn add(&mut self, target: usize) {
        if !self.is_full() {
            self.targets[usize::from(self.len)] = target as u16;
            self.len += 1;
        }
    }

    /// Whether the target was tried.
    pub fn contains(&self, target: usize) -> bool {
        self.targets[..usize::from(self.len)].iter().any(|t| usize::from(*t) == target)
    }

    /// Number of tries.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether nothing was tried yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no further try is allowed.
    pub fn is_full(&self) -> bool {
        self.len() == MAX_TRIES
    }
}

/// What one core remembers about an upstream between picks.
#[derive(Debug, Clone, Default)]
pub struct Picker {
    cursor: usize,
}

impl Picker {
    /// `start` shifts the round robin, so that cores do not all begin with the first target.
    pub fn new(start: usize) -> Self {
        Self { cursor: start }
    }

    /// The target for a request, `None` when every one was tried or the tries are used up.
    ///
    /// `hash` is the request's key for consistent hashing (`None`: it has none and goes anywhere);
    /// `skip` says whether a target is out of favour now, which is ignored when all are;
    /// `in_flight` is this core's number of requests on a target; `random` is fresh per call.
    pub fn pick(
        &mut self,
        group: &Group,
        tried: &Tried,
        hash: Option<u64>,
        random: u64,
        skip: impl Fn(usize) -> bool,
        in_flight: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        if tried.is_full() {
            return None;
        }
        let left = |ix: usize| !tried.contains(ix);
        self.choose(group, hash, random, |ix| left(ix) && !skip(ix), &in_flight)
            .or_else(|| self.choose(group, hash, random, left, &in_flight))
    }

    fn choose(
        &mut self,
        group: &Group,
        hash: Option<u64>,
        random: u64,
        fit: impl Fn(usize) -> bool,
        in_flight: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        if group.len() == 1 {
            return fit(0).then_some(0);
        }
        match (&group.order, hash) {
            (Order::Rotation(slots), _) => self.rotate(slots, &fit),
            (Order::LeastRequest(alias), _) => two_choices(group, alias, random, &fit, in_flight),
            (Order::Maglev(table, _), Some(hash)) => return hashed(group, table, hash, fit),
            (Order::Random(alias) | Order::Maglev(_, alias), _) => alias.fitting(random, &fit),
        }
        .or_else(|| scan(group, random, fit))
    }

    /// The next fitting slot among the next few.
    fn rotate(&mut self, slots: &[u16], fit: &impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..MAX_PICK_STEPS {
            if self.cursor >= slots.len() {
                self.cursor %= slots.len();
            }
            let target = usize::from(slots[self.cursor]);
            self.cursor += 1;
            if fit(target) {
                return Some(target);
            }
        }
        None
    }
}

/// Two different targets drawn by weight; the one with fewer requests in flight for its weight.
/// Ties go to the first drawn, so that an idle group is shared by weight.
fn two_choices(
    group: &Group,
    alias: &Alias,
    random: u64,
    fit: &impl Fn(usize) -> bool,
    in_flight: impl Fn(usize) -> u32,
) -> Option<usize> {
    let first = alias.fitting(random, fit)?;
    let other = |ix: usize| ix != first && fit(ix);
    let Some(second) = alias.fitting(mix(!random), &other) else { return Some(first) };
    let load =
        |ix: usize, beside: usize| u64::from(in_flight(ix)) * u64::from(group.weights[beside]);
    Some(if load(second, first) < load(first, second) { second } else { first })
}

/// The hash's target, or the next fitting one in the table: only the keys of a target that is
/// skipped move, and they spread over all others. Where that takes too long, the fitting target
/// that likes the key best, which is as stable.
fn hashed(group: &Group, table: &Table, hash: u64, fit: impl Fn(usize) -> bool) -> Option<usize> {
    let start = table.start(hash);
    (0..MAX_PICK_STEPS)
        .filter_map(|offset| table.target(start, offset))
        .find(|target| fit(*target))
        .or_else(|| {
            let liking = |ix: &usize| mix(hash ^ group.names[*ix]) / (1 << 32) * share(group, *ix);
            (0..group.len()).filter(|ix| fit(*ix)).max_by_key(liking)
        })
}

fn share(group: &Group, ix: usize) -> u64 {
    u64::from(group.weights[ix])
}

/// A draw by weight among all fitting targets, for when most are being skipped.
fn scan(group: &Group, random: u64, fit: impl Fn(usize) -> bool) -> Option<usize> {
    let fitting = || (0..group.len()).filter(|ix| fit(*ix));
    let total: u64 = fitting().map(|ix| share(group, ix)).sum();
    let mut point = ((u128::from(mix(random)) * u128::from(total)) >> 64) as u64;
    fitting().find(|ix| match point.checked_sub(share(group, *ix)) {
        Some(rest) => {
            point = rest;
            false
        }
        None => true,
    })
}

fn table(members: &[Member<'_>]) -> Table {
    let targets: Vec<_> = members.iter().map(|m| (m.name, m.weight)).collect();
    Table::build(&targets)
}

/// A smooth order of turns: a target of weight w has w turns, spread evenly over the round, and
/// targets of the same weight are spread evenly beside each other.
fn rotation(weights: &[u32]) -> Box<[u16]> {
    let turns = turns(weights);
    let mut alike: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
    for (ix, turns) in turns.iter().enumerate() {
        alike.entry(*turns).or_default().push(ix as u16);
    }
    let mut slots = Vec::with_capacity(turns.iter().map(|t| *t as usize).sum());
    for (turns, targets) in &alike {
        // The round cut into as many equal parts as these targets have turns together; they
        // take them in order, each at the middle of its part.
        let parts = u64::from(*turns) * targets.len() as u64;
        let at = |part: u64| ((2 * part + 1) << 32) / parts;
        let target = |part: u64| targets[(part % targets.len() as u64) as usize];
        slots.extend((0..parts).map(|part| (at(part), target(part))));
    }
    slots.sort_unstable();
    slots.into_iter().map(|(_, ix)| ix).collect()
}

/// Weights as numbers of turns: without their common divisor, and scaled down to a bounded sum.
fn turns(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, common_divisor).max(1);
    let sum: u64 = weights.iter().map(|w| u64::from(w / divisor)).sum();
    let scaled = |w: &u32| match sum > MAX_ROTATION as u64 {
        true => (u64::from(w / divisor) * MAX_ROTATION as u64 / sum).max(1) as u32,
        false => w / divisor,
    };
    weights.iter().map(scaled).collect()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Draws by weight in constant time (Walker's alias method).
#[derive(Debug, Clone, PartialEq)]
struct Alias {
    slots: Box<[AliasSlot]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct AliasSlot {
    /// The slot's own target is drawn while the coin is below.
    threshold: u32,
    other: u32,
}

impl Alias {
    fn build(weights: &[u32]) -> Self {
        let count = weights.len() as u64;
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut scaled: Vec<u64> = weights.iter().map(|w| u64::from(*w) * count).collect();
        let (mut under, mut over): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|ix| scaled[*ix] < total);
        let own = |ix: usize| AliasSlot { threshold: u32::MAX, other: ix as u32 };
        let mut slots: Box<[AliasSlot]> = (0..weights.len()).map(own).collect();
        while let (Some(small), Some(large)) = (under.pop(), over.last().copied()) {
            let threshold = ((u128::from(scaled[small]) << 32) / u128::from(total)) as u32;
            slots[small] = AliasSlot { threshold, other: large as u32 };
            scaled[large] -= total - scaled[small];
            if scaled[large] < total {
                over.pop();
                under.push(large);
            }
        }
        Self { slots }
    }

    fn draw(&self, random: u64) -> usize {
        let ix = (((random >> 32) * self.slots.len() as u64) >> 32) as usize;
        let slot = self.slots[ix];
        if (random as u32) < slot.threshold { ix } else { slot.other as usize }
    }

    /// The first fitting one of a few draws.
    fn fitting(&self, random: u64, fit: &impl Fn(usize) -> bool) -> Option<usize> {
        let draws = 0..MAX_PICK_STEPS as u64;
        draws.map(|n| self.draw(mix(random.wrapping_add(n)))).find(|ix| fit(*ix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HashKey;
    use proptest::prelude::*;
    use std::cell::RefCell;

    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

    fn group(weights: &[u32], balance: &Balance) -> Group {
        let members: Vec<_> =
            weights.iter().zip(NAMES).map(|(&weight, name)| Member { name, weight }).collect();
        Group::build(&members, balance).unwrap()
    }

    fn balances() -> [Balance; 4] {
        [
            Balance::RoundRobin,
            Balance::LeastRequest,
            Balance::Random,
            Balance::Maglev(HashKey::ClientIp),
        ]
    }

    /// The order of `count` picks with nothing skipped and nothing in flight.
    fn picks(group: &Group, count: u64) -> Vec<usize> {
        let mut picker = Picker::default();
        let pick = |n| picker.pick(group, &Tried::default(), Some(n), mix(n), |_| false, |_| 0);
        (0..count).map(pick).map(Option::unwrap).collect()
    }

    fn assert_shares(weights: &[u32], picks: &[usize], tolerance: f64) {
        let total: u32 = weights.iter().sum();
        for (ix, weight) in weights.iter().enumerate() {
            let share = picks.iter().filter(|p| **p == ix).count() as f64 / picks.len() as f64;
            let wanted = f64::from(*weight) / f64::from(total);
            assert!((share - wanted).abs() < tolerance, "{ix}: {share} for {wanted}");
        }
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(picks(&group(&[1, 1, 1], &Balance::RoundRobin), 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(picks(&group(&[7, 7], &Balance::RoundRobin), 4), [0, 1, 0, 1]);
    }

    #[test]
    fn unequal_turns_are_spread_evenly() {
        assert_eq!(picks(&group(&[1, 2], &Balance::RoundRobin), 6), [1, 0, 1, 1, 0, 1]);
        let order = picks(&group(&[5, 1, 1], &Balance::RoundRobin), 70);
        assert!(order.windows(4).all(|w| w.iter().any(|p| *p != 0)), "{order:?}");
    }

    #[test]
    fn huge_weights_are_scaled_down_and_nobody_starves() {
        let group = group(&[1_000_003, 3, 500_000], &Balance::RoundRobin);
        let Order::Rotation(slots) = &group.order else { panic!() };
        assert!(slots.len() <= MAX_ROTATION + 3);
        let order = picks(&group, 16_384);
        assert!(order.contains(&1));
        assert_shares(&[1_000_003, 3, 500_000], &order, 0.001);
    }

    #[test]
    fn groups_without_or_with_too_many_targets_are_refused() {
        assert_eq!(Group::build(&[], &Balance::Random), Err(BuildError::Empty));
        let many = vec![Member { name: "a", weight: 1 }; MAX_TARGETS + 1];
        assert_eq!(Group::build(&many, &Balance::Random), Err(BuildError::TooMany));
    }

    #[test]
    fn two_choices_prefer_the_idle_one() {
        let group = group(&[1, 1], &Balance::LeastRequest);
        let mut picker = Picker::default();
        for n in 0..1000 {
            let load = |ix| if ix == 0 { 3 } else { 2 };
            let picked = picker.pick(&group, &Tried::default(), None, n, |_| false, load);
            assert_eq!(picked, Some(1));
        }
    }

    #[test]
    fn two_choices_keep_the_load_in_proportion_to_weights() {
        let weights = [1, 2, 4, 8];
        let group = group(&weights, &Balance::LeastRequest);
        let load = RefCell::new([0u32; 4]);
        let mut picker = Picker::default();
        for n in 0..6000 {
            let at = |ix: usize| load.borrow()[ix];
            let to = picker.pick(&group, &Tried::default(), None, mix(n), |_| false, at).unwrap();
            load.borrow_mut()[to] += 1;
        }
        for (load, weight) in load.borrow().iter().zip(weights) {
            assert!(load.abs_diff(400 * weight) <= 8 * weight, "{load} for {weight}");
        }
    }

    #[test]
    fn a_request_without_a_key_goes_anywhere() {
        let group = group(&[1, 1, 1], &Balance::Maglev(HashKey::ClientIp));
        let mut picker = Picker::default();
        let mut any = |n| picker.pick(&group, &Tried::default(), None, mix(n), |_| false, |_| 0);
        let order: Vec<_> = (0..9000).map(|n| any(n).unwrap()).collect();
        assert_shares(&[1, 1, 1], &order, 0.03);
    }

    #[test]
    fn skipping_moves_only_the_keys_of_the_skipped_target() {
        let group = group(&[1; 10], &Balance::Maglev(HashKey::ClientIp));
        let mut picker = Picker::default();
        let mut pick = |key, gone| {
            picker.pick(&group, &Tried::default(), Some(key), 0, |ix| ix == gone, |_| 0)
        };
        let mut heirs = [0; 10];
        for key in 0..5000 {
            let (before, after) = (pick(key, 99).unwrap(), pick(key, 4).unwrap());
            assert_ne!(after, 4);
            if before == 4 {
                heirs[after] += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!(heirs.iter().enumerate().all(|(ix, n)| ix == 4 || *n > 20), "{heirs:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn weights_are_honoured(weights in prop::collection::vec(1u32..10, 1..8)) {
            for balance in balances() {
                assert_shares(&weights, &picks(&group(&weights, &balance), 10_000), 0.03);
            }
        }
    }

    proptest! {
        #[test]
        fn a_skipped_target_is_never_picked_while_another_is_left(
            weights in prop::collection::vec(1u32..2000, 1..12),
            skipped in any::<u16>(),
            already in prop::collection::vec(0usize..12, 0..6),
            seed in any::<u64>(),
        ) {
            let n = weights.len();
            let mut tried = Tried::default();
            already.iter().filter(|ix| **ix < n).for_each(|ix| tried.add(*ix));
            let skip = |ix: usize| skipped >> ix & 1 == 1;
            let healthy = (0..n).any(|ix| !skip(ix) && !tried.contains(ix));
            let left = (0..n).any(|ix| !tried.contains(ix));
            for balance in balances() {
                let group = group(&weights, &balance);
                let mut picker = Picker::new(seed as usize);
                for n in 0..20 {
                    let random = mix(seed ^ n);
                    let picked =
                        picker.pick(&group, &tried, Some(random), random, skip, |ix| ix as u32);
                    prop_assert_eq!(picked.is_some(), left);
                    if let Some(ix) = picked {
                        prop_assert!(!tried.contains(ix));
                        prop_assert!(!healthy || !skip(ix));
                    }
                }
            }
        }
    }

    #[test]
    fn tries_are_bounded() {
        let group = group(&[1; 12], &Balance::RoundRobin);
        let mut picker = Picker::default();
        let mut tried = Tried::default();
        while let Some(ix) = picker.pick(&group, &tried, None, 0, |_| true, |_| 0) {
            assert!(!tried.contains(ix));
            tried.add(ix);
        }
        assert_eq!(tried.len(), MAX_TRIES);
    }
}
