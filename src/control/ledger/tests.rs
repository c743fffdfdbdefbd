use jiff::tz::TimeZone;

use super::*;
use crate::config::file::Period;
use crate::policy::quota::{Charge, Charged, Ends, Quota};
use crate::session::usage::{Sheet, Unit, Usage};
use crate::store::usage::UsageQuery;

const RHYTHM: Rhythm = Rhythm {
    commit_interval: Duration::from_millis(20),
    keep_hours: Duration::from_secs(31 * 24 * 3600),
};

struct Bench {
    folder: tempfile::TempDir,
    quota: Quota,
}

/// A ledger with one worker.
struct Running {
    ledger: Ledger,
    counts: Arc<Counts>,
    inbox: Inbox<Written>,
    store: Arc<Store>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, quota: Quota::new("hits", 1, Period::Year, TimeZone::UTC, 1000, false) }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store.db")
    }

    fn start(&self) -> Running {
        let counts = Arc::new(Counts::with_slots(1 << 8));
        let (ledger, mut inboxes) = Ledger::start(counts.clone(), RHYTHM, 1).expect("started");
        let store = Arc::new(Store::open(&self.path()).expect("a store"));
        ledger.open(&store).expect("opened");
        Running { ledger, counts, inbox: inboxes.remove(0), store }
    }

    fn charge(&self, running: &Running, amount: u64) -> bool {
        let charge = Charge { quota: &self.quota, amount };
        let charged = running.counts.charge(
            1,
            std::iter::once(charge),
            now_s(),
            &mut |_| (),
            &mut Ends::default(),
        );
        matches!(charged, Charged::Taken(_))
    }
}

impl Running {
    fn report(&self, count: u64) {
        let mut sheet = Sheet::default();
        let unit =
            Unit { application: 1, plan: 1, metric: 1, class: 2, hour: now_s() / 3600 * 3600 };
        sheet.used.insert(unit, count);
        self.ledger.reports().leave(Report::Used(sheet)).expect("a place");
    }

    fn used(&self) -> u64 {
        let query = UsageQuery { to: u64::MAX >> 1, limit: 10, ..UsageQuery::default() };
        self.store.usage(&query).expect("an answer").iter().map(|row| row.count).sum()
    }

    fn facts(&self) -> Facts {
        self.ledger.facts()()
    }

    /// Waits for an answer.
    fn answer(&mut self) -> Written {
        until("an answer", || {
            self.inbox.wait(Duration::from_millis(10));
            self.inbox.take()
        })
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    panic!("no {what}");
}

#[test]
fn reports_are_committed_in_groups() {
    let bench = Bench::new();
    let running = bench.start();
    for _ in 0..100 {
        running.report(3);
    }
    until("usage", || (running.used() == 300).then_some(()));
    until("an end of waiting", || (running.facts().waiting == 0).then_some(()));
    let facts = running.facts();
    assert!((1..50).contains(&facts.commits), "{facts:?}");
    assert_eq!((facts.failures, facts.lost, facts.error, facts.lag_ms), (0, 0, None, 0));
}

#[test]
fn what_is_left_at_the_end_is_committed() {
    let bench = Bench::new();
    let running = bench.start();
    running.ledger.change(Rhythm { commit_interval: Duration::from_secs(3600), ..RHYTHM });
    running.report(7);
    let Running { ledger, store, .. } = running;
    assert!(ledger.finish(Duration::from_secs(20)));
    let query = UsageQuery { to: u64::MAX >> 1, limit: 10, ..UsageQuery::default() };
    assert_eq!(store.usage(&query).expect("an answer")[0].count, 7);
}

#[test]
fn counts_of_quotas_are_taken_up_by_the_next_process() {
    let bench = Bench::new();
    let mut running = bench.start();
    assert!(bench.charge(&running, 600));
    let keys = vec![bench.quota.key(1)];
    running.ledger.reports().send(Report::Strict { worker: 0, number: 5, keys }).expect("a place");
    // As soon as it is answered it is on the disk: the process may be killed now.
    assert_eq!(running.answer(), (5, true));
    let next = bench.start();
    assert!(bench.charge(&next, 400));
    assert!(!bench.charge(&next, 1));
}

#[test]
fn what_is_given_back_is_given_back_on_the_disk_and_no_more() {
    let bench = Bench::new();
    let mut running = bench.start();
    let key = bench.quota.key(1);
    let mut numbers = 0..;
    let mut commit = |running: &mut Running| {
        let number = numbers.next().expect("a number");
        let strict = Report::Strict { worker: 0, number, keys: vec![key] };
        running.ledger.reports().send(strict).expect("a place");
        assert_eq!(running.answer(), (number, true));
    };
    let give_back = |running: &Running, amount| {
        let charge = Charge { quota: &bench.quota, amount };
        let mut sheet = Sheet::default();
        let mut ends = Ends::default();
        // Charged with nothing, so that they are told.
        let nothing = std::iter::once(Charge { amount: 0, ..charge });
        running.counts.charge(1, nothing, now_s(), &mut |_| (), &mut ends);
        running.counts.refund(1, std::iter::once(charge), &ends, now_s(), |charge| {
            assert!(sheet.charge(key, charge.amount, 9));
        });
        running.ledger.reports().leave(Report::Used(sheet)).expect("a place");
    };
    let stored = |running: &Running| {
        let mut all = Vec::new();
        running.store.live_counts(now_s(), |counted| all.push(counted.count)).expect("counts");
        all
    };
    assert!(bench.charge(&running, 600));
    commit(&mut running);
    give_back(&running, 200);
    commit(&mut running);
    assert_eq!(stored(&running), [400]);
    // What came and went between two commits is on the disk as it stands.
    assert!(bench.charge(&running, 300));
    give_back(&running, 250);
    assert!(bench.charge(&running, 7));
    commit(&mut running);
    assert_eq!(stored(&running), [457]);
    let next = bench.start();
    assert!(bench.charge(&next, 543) && !bench.charge(&next, 1));
}

#[test]
fn strict_questions_are_answered_at_once_and_in_groups() {
    let bench = Bench::new();
    let mut running = bench.start();
    running.ledger.change(Rhythm { commit_interval: Duration::from_secs(3600), ..RHYTHM });
    let mut open: Vec<u64> = (0..500).collect();
    for &number in &open {
        assert!(bench.charge(&running, 1));
        let keys = vec![bench.quota.key(1)];
        running.ledger.reports().send(Report::Strict { worker: 0, number, keys }).expect("a place");
    }
    while !open.is_empty() {
        let (number, written) = running.answer();
        assert!(written);
        open.retain(|&one| one != number);
    }
    let facts = running.facts();
    assert!(facts.commits < 400, "{facts:?}");
    assert_eq!((facts.strict, facts.strict_refused), (500, 0));
}

#[test]
fn what_can_not_be_written_is_kept_and_told_and_strict_requests_are_refused() {
    let bench = Bench::new();
    let mut running = bench.start();
    running.report(1);
    until("usage", || (running.used() == 1).then_some(()));
    // Another process holds the store, for longer than a commit waits.
    let other = rusqlite::Connection::open(bench.path()).expect("a connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("held");
    running.report(2);
    until("a failure", || (running.facts().failures > 0).then_some(()));
    let facts = running.facts();
    assert_eq!(facts.error.as_deref(), Some("another process holds the store"));
    assert!(facts.waiting > 0 && facts.lag_ms > 0, "{facts:?}");
    let keys = vec![bench.quota.key(1)];
    running.ledger.reports().send(Report::Strict { worker: 0, number: 1, keys }).expect("a place");
    assert_eq!(running.answer(), (1, false));
    running.report(4);
    other.execute_batch("ROLLBACK").expect("let go");
    until("all of it", || (running.used() == 7).then_some(()));
    until("no error", || running.facts().error.is_none().then_some(()));
    assert_eq!(running.facts().lost, 0);
}

#[test]
fn a_full_disk_keeps_what_was_counted_until_there_is_room() {
    let bench = Bench::new();
    let running = bench.start();
    // SQLite answers as it does for a full disk.
    running.store.limit_pages(Some(1));
    let mut sheet = Sheet::default();
    for application in 1..=5000 {
        let unit = Unit { application, plan: 1, metric: 1, class: 2, hour: now_s() / 3600 * 3600 };
        sheet.used.insert(unit, 1);
    }
    running.ledger.reports().leave(Report::Used(sheet)).expect("a place");
    assert_eq!(until("a failure", || running.facts().error), "the disk is full");
    running.store.limit_pages(None);
    until("usage", || (running.used() == 5000).then_some(()));
}

#[test]
fn a_row_that_the_store_refuses_holds_up_no_other() {
    let bench = Bench::new();
    let mut running = bench.start();
    let other = rusqlite::Connection::open(bench.path()).expect("a connection");
    other
        .execute_batch(
            "CREATE TRIGGER no_usage BEFORE INSERT ON usage_hours WHEN NEW.application = 7
             BEGIN SELECT RAISE(ABORT, 'not this one'); END;
             CREATE TRIGGER no_count BEFORE INSERT ON quotas WHEN NEW.application = 7
             BEGIN SELECT RAISE(ABORT, 'nor that'); END;",
        )
        .expect("triggers");
    let hour = now_s() / 3600 * 3600;
    let mut sheet = Sheet::default();
    for application in [1, 7, 8] {
        sheet.used.insert(Unit { application, plan: 1, metric: 1, class: 2, hour }, 5);
    }
    running.ledger.reports().leave(Report::Used(sheet)).expect("a place");
    until("the others", || (running.used() == 10).then_some(()));
    until("its end", || (running.facts().waiting == 0).then_some(()));
    let facts = running.facts();
    assert_eq!((facts.lost, facts.failures, facts.error), (1, 0, None));
    // Who waits for the row that is refused is told so, and nobody else.
    for holder in [7, 8] {
        let charge = Charge { quota: &bench.quota, amount: 1 };
        running.counts.charge(
            holder,
            std::iter::once(charge),
            now_s(),
            &mut |_| (),
            &mut Ends::default(),
        );
    }
    for (number, holder) in [(1, 7), (2, 8)] {
        let keys = vec![bench.quota.key(holder)];
        running.ledger.reports().send(Report::Strict { worker: 0, number, keys }).expect("a place");
    }
    let mut answers = [running.answer(), running.answer()];
    answers.sort_unstable();
    assert_eq!(answers, [(1, false), (2, true)]);
}

#[test]
fn a_file_that_was_damaged_and_is_mended_gets_all_that_was_kept() {
    use std::os::unix::fs::FileExt;
    let bench = Bench::new();
    // Nothing of it is in a log beside it, nor in anybody's memory.
    drop(Store::open(&bench.path()).expect("a store"));
    let mut running = bench.start();
    let sound = std::fs::read(bench.path()).expect("the file");
    let file = std::fs::OpenOptions::new().write(true).open(bench.path()).expect("the file");
    file.write_all_at(&vec![0xff; sound.len() - 4096], 4096).expect("damaged");
    running.report(3);
    let error = until("a failure", || running.facts().error);
    assert!(error.contains("the store is damaged: `tollgate restore`"), "{error}");
    let keys = vec![bench.quota.key(1)];
    running.ledger.reports().send(Report::Strict { worker: 0, number: 1, keys }).expect("a place");
    assert_eq!(running.answer(), (1, false));
    running.report(4);
    file.write_all_at(&sound, 0).expect("mended");
    until("all of it", || (running.facts().waiting == 0).then_some(()));
    assert_eq!((running.used(), running.facts().lost), (7, 0));
}

#[test]
fn a_worker_asks_and_is_answered() {
    use crate::io::driver;
    let bench = Bench::new();
    let running = bench.start();
    assert!(bench.charge(&running, 1));
    let (key, reports) = (bench.quota.key(1), running.ledger.reports());
    let inbox = running.inbox;
    let (driver, _) = driver::choose(crate::config::DriverChoice::Auto).expect("a driver");
    let written = driver::block_on(driver, async move {
        let usage = Usage::new(0, reports);
        let questions = usage.questions();
        let mut inbox = inbox.on_worker().expect("taken");
        crate::io::spawn(async move {
            while inbox.wait().await {
                while let Some((number, written)) = inbox.take() {
                    questions.answer(number, written);
                }
            }
        });
        usage.written(vec![key]).await
    });
    assert!(written.expect("a runtime"));
}
