//! What requests used, on its way to the ledger.
//!
//! Each core adds up in a sheet of its own and hands that up a few times a second, without waiting:
//! where control is behind, the sheet stays here and grows, by one entry for each application, plan,
//! metric, class and hour at most. Counts of quotas are not in it, since they stand in a table that control
//! reads; a sheet says which of them changed.

use std::collections::HashMap;
use std::rc::Rc;

use crate::io::{self, Mailer, Questions};
use crate::limits::{STRICT_PAUSE_MS, STRICT_WAIT, USAGE_ENTRIES};
use crate::policy::keyed::Keyed;
use crate::policy::quota::Key;

/// What usage is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// Id of the application; 0: requests without credentials.
    pub application: u64,
    /// Id of the plan that let it in.
    pub plan: u32,
    /// Id of the metric.
    pub metric: u32,
    /// First digit of the status; 0: none was sent.
    pub class: u8,
    /// When the hour began, seconds since 1970.
    pub hour: u64,
}

/// Sums.
#[derive(Debug, Default)]
pub struct Sheet {
    /// Usage.
    pub used: HashMap<Unit, u64, Keyed>,
    /// Quotas whose counts have changed, with what was given back of each.
    pub charged: HashMap<Key, u64, Keyed>,
    /// When credentials were used last, seconds since 1970.
    pub seen: HashMap<u64, u64, Keyed>,
    /// Entries that found no place.
    pub lost: u64,
}

impl Sheet {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.used.len() + self.charged.len() + self.seen.len()
    }

    /// Adds another sheet's sums. Beyond `most` entries no new ones are made; they are lost.
    pub fn merge(&mut self, other: Self, most: usize) {
        self.lost += other.lost;
        other.used.into_iter().for_each(|(unit, count)| self.add(unit, count, most));
        for (key, given_back) in other.charged {
            self.lost += u64::from(!self.charge(key, given_back, most));
        }
        other.seen.into_iter().for_each(|(credential, at)| self.see(credential, at, most));
    }

    fn add(&mut self, unit: Unit, count: u64, most: usize) {
        let fits = self.len() < most;
        match self.used.get_mut(&unit) {
            Some(sum) => *sum = sum.saturating_add(count),
            None if fits => drop(self.used.insert(unit, count)),
            None => self.lost += 1,
        }
    }

    /// Notes that the count of a quota has changed; `false`: there is no place for it.
    pub fn charge(&mut self, key: Key, given_back: u64, most: usize) -> bool {
        let fits = self.len() < most;
        match self.charged.get_mut(&key) {
            Some(sum) => *sum = sum.saturating_add(given_back),
            None if fits => drop(self.charged.insert(key, given_back)),
            None => return false,
        }
        true
    }

    fn see(&mut self, credential: u64, at: u64, most: usize) {
        let fits = self.len() < most;
        match self.seen.get_mut(&credential) {
            Some(last) => *last = at.max(*last),
            None if fits => drop(self.seen.insert(credential, at)),
            None => self.lost += 1,
        }
    }
}

/// What a core tells the ledger.
#[derive(Debug)]
pub enum Report {
    /// Sums, to be committed with the next group.
    Used(Sheet),
    /// Counts that a request waits for: they are to be on the disk before it is let in.
    Strict {
        /// Which core asks.
        worker: usize,
        /// The question's number.
        number: u64,
        /// The quotas that it was charged to.
        keys: Vec<Key>,
    },
}

/// An answer of the ledger's: the question's number, and whether the counts are on the disk.
pub type Written = (u64, bool);

/// A core's sums.
pub struct Usage {
    sheet: Sheet,
    ledger: Mailer<Report>,
    worker: usize,
    questions: Rc<Questions<bool>>,
}

impl Usage {
    /// Sums of this worker.
    pub fn new(worker: usize, ledger: Mailer<Report>) -> Self {
        Self { sheet: Sheet::default(), ledger, worker, questions: Rc::default() }
    }

    /// Counts what a request used.
    pub fn add(&mut self, unit: Unit, count: u64) {
        self.sheet.add(unit, count, USAGE_ENTRIES);
    }

    /// Notes that a quota was charged.
    pub fn charged(&mut self, key: Key) {
        self.gave_back(key, 0);
    }

    /// Notes that so much of what it was charged was given back.
    pub fn gave_back(&mut self, key: Key, amount: u64) {
        self.sheet.lost += u64::from(!self.sheet.charge(key, amount, USAGE_ENTRIES));
    }

    /// Notes that a credential was used.
    pub fn seen(&mut self, credential: u64, now_s: u64) {
        self.sheet.see(credential, now_s, USAGE_ENTRIES);
    }

    /// Entries that wait here.
    pub fn waiting(&self) -> usize {
        self.sheet.len()
    }

    /// Hands the sums up; `false`: control is behind, and they are still here.
    pub fn hand_up(&mut self) -> bool {
        if self.sheet.is_empty() {
            return true;
        }
        match self.ledger.leave(Report::Used(std::mem::take(&mut self.sheet))) {
            Err(Report::Used(sheet)) => {
                self.sheet = sheet;
                false
            }
            _ => true,
        }
    }

    /// The open questions, for who answers them.
    pub fn questions(&self) -> Rc<Questions<bool>> {
        self.questions.clone()
    }

    /// Asks that the counts under these keys be on the disk; the future says whether they are. Not
    /// while this is borrowed.
    pub fn written(&self, keys: Vec<Key>) -> impl Future<Output = bool> + use<> {
        let (ledger, worker) = (self.ledger.clone(), self.worker);
        let answer = self.questions.ask();
        async move {
            let asking = async {
                let mut report = Report::Strict { worker, number: answer.number(), keys };
                while let Err(back) = ledger.send(report) {
                    report = back;
                    io::sleep_ms(STRICT_PAUSE_MS).await;
                }
                answer.await
            };
            io::timeout(STRICT_WAIT, asking).await.unwrap_or(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Period;
    use crate::io::inbox::inbox;

    fn unit(application: u64) -> Unit {
        Unit { application, plan: 1, metric: 1, class: 2, hour: 3600 }
    }

    fn key(holder: u64) -> Key {
        Key { holder, metric: 1, period: Period::Day }
    }

    #[test]
    fn nothing_is_lost_while_control_is_behind() {
        let (ledger, mut reports) = inbox(1).unwrap();
        let mut usage = Usage::new(0, ledger);
        usage.add(unit(1), 5);
        assert!(usage.hand_up() && usage.hand_up());
        for _ in 0..3 {
            usage.add(unit(1), 2);
            usage.charged(key(1));
            usage.seen(9, 100);
            assert!(!usage.hand_up());
        }
        assert_eq!(usage.waiting(), 3);
        let Some(Report::Used(first)) = reports.take() else { panic!() };
        assert!(usage.hand_up());
        let Some(Report::Used(second)) = reports.take() else { panic!() };
        assert_eq!((first.used[&unit(1)], second.used[&unit(1)]), (5, 6));
        assert!(second.charged.contains_key(&key(1)) && second.seen[&9] == 100);
    }

    #[test]
    fn a_sheet_is_bounded_and_says_what_it_could_not_hold() {
        let mut sheet = Sheet::default();
        sheet.add(unit(1), 1, 2);
        assert!(sheet.charge(key(1), 5, 2));
        assert_eq!(sheet.lost, 0);
        sheet.add(unit(2), 1, 2);
        assert!(!sheet.charge(key(2), 0, 2));
        sheet.see(1, 1, 2);
        assert_eq!(sheet.lost, 2);
        sheet.add(unit(1), 1, 2);
        let mut other = Sheet::default();
        other.add(unit(1), 10, 9);
        other.add(unit(3), 10, 9);
        other.see(4, 1, 9);
        assert!(other.charge(key(1), 3, 9) && other.charge(key(2), 3, 9));
        sheet.merge(other, 2);
        assert_eq!((sheet.used[&unit(1)], sheet.len(), sheet.lost), (12, 2, 5));
        assert_eq!(sheet.charged[&key(1)], 8);
    }

    #[test]
    fn the_latest_use_of_a_credential_stands() {
        let mut sheet = Sheet::default();
        for at in [5, 9, 7] {
            sheet.see(1, at, 9);
        }
        assert_eq!(sheet.seen[&1], 9);
    }
}
