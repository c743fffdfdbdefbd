//! What workers counted, on its way to the disk; and what a gateway that starts takes up.

use std::fmt::Debug;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use crate::config::file::Period;
use crate::limits::USAGE_COUNT_MAX;
use crate::policy::quota::{self, Key};
use crate::store::{Store, StoreError};

/// What was used in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Id of the application; 0: requests without credentials.
    pub application: u64,
    /// Id of the plan that let it in; 0: not known.
    pub plan: u32,
    /// Id of the metric.
    pub metric: u32,
    /// First digit of the status; 0: none was sent.
    pub class: u8,
    /// When the hour began, seconds since 1970.
    pub hour: u64,
    /// How much, beyond what was committed before.
    pub count: u64,
}

/// What counts against a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Whose, of what.
    pub key: Key,
    /// End of its period, seconds since 1970.
    pub ends_at: u64,
    /// How much in all.
    pub count: u64,
}

/// When a credential was used last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub credential: u64,
    /// Seconds since 1970.
    pub at: u64,
}

/// What is committed together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Usage.
    pub used: Vec<Used>,
    /// Counts of quotas.
    pub counted: Vec<Counted>,
    /// What of some of these was given back since they were committed last.
    pub given_back: Vec<Counted>,
    /// Credentials.
    pub seen: Vec<Seen>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        let Self { used, counted, given_back, seen } = self;
        used.is_empty() && counted.is_empty() && given_back.is_empty() && seen.is_empty()
    }
}

/// A row that the store does not take, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The quota whose count it is, if it is one.
    pub counted: Option<Key>,
    /// What it is and why, for people.
    pub text: String,
}

impl Store {
    /// Stores a batch; it is on the disk when this returns, but for the rows that are told.
    ///
    /// # Errors
    /// Where the store can't be written; nothing of the batch is stored then.
    pub fn commit_usage(&self, batch: &Batch) -> Result<Vec<Refused>, StoreError> {
        let mut connection = self.connection();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut refused = Vec::new();
        add_used(&change, &batch.used, &mut refused)?;
        take_back(&change, &batch.given_back, &mut refused)?;
        set_counted(&change, &batch.counted, &mut refused)?;
        set_seen(&change, &batch.seen, &mut refused)?;
        change.commit()?;
        Ok(refused)
    }

    /// Tells the counts of quotas whose periods are not over. Of several under one key (the clock
    /// jumped) that of the present period is told, where there is none the latest.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn live_counts(&self, now_s: u64, mut each: impl FnMut(Counted)) -> Result<(), StoreError> {
        let connection = self.reader();
        let mut query = connection.prepare(
            "SELECT application, metric, period, ends_at, count FROM quotas
             WHERE ends_at > ?1 ORDER BY application, metric, period, ends_at",
        )?;
        let mut rows = query.query([now_s as i64])?;
        let mut held: Option<Counted> = None;
        while let Some(row) = rows.next()? {
            let Some(period) = period(&row.get::<_, String>(2)?) else { continue };
            let key = Key { holder: row.get::<_, i64>(0)? as u64, metric: row.get(1)?, period };
            let (ends_at, count) = (row.get::<_, i64>(3)? as u64, row.get::<_, i64>(4)? as u64);
            match &mut held {
                Some(held) if held.key == key => {
                    let plausible = |ends_at| ends_at <= now_s + longest(period);
                    if !plausible(held.ends_at) {
                        *held = Counted { key, ends_at, count };
                    } else if plausible(ends_at) {
                        // Two time zones ended one period: it is counted once.
                        *held = Counted { key, ends_at, count: count.max(held.count) };
                    }
                }
                _ => held.replace(Counted { key, ends_at, count }).into_iter().for_each(&mut each),
            }
        }
        held.into_iter().for_each(each);
        Ok(())
    }

    /// Turns hours into days: those of days that ended before this moment.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn roll_up(&self, before_s: u64) -> Result<usize, StoreError> {
        let mut connection = self.connection();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = (before_s / 86_400 * 86_400) as i64;
        change.execute(
            "INSERT INTO usage_days (application, plan, metric, class, day, count)
             SELECT application, plan, metric, class, hour / 86400 * 86400, sum(count)
             FROM usage_hours WHERE hour < ?1 GROUP BY 1, 2, 3, 4, 5
             ON CONFLICT DO UPDATE SET count = min(count + excluded.count, 9000000000000000)",
            [before],
        )?;
        let hours = change.execute("DELETE FROM usage_hours WHERE hour < ?1", [before])?;
        change.commit()?;
        Ok(hours)
    }

    /// Forgets counts of quotas whose periods ended long before this moment: longer than any lasts.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn forget_counts(&self, now_s: u64) -> Result<usize, StoreError> {
        let connection = self.connection();
        let mut forget =
            connection.prepare("DELETE FROM quotas WHERE ends_at < ?1 AND period = ?2")?;
        let mut forgotten = 0;
        for period in PERIODS {
            let before = now_s.saturating_sub(longest(period)) as i64;
            forgotten += forget.execute((before, quota::word(period)))?;
        }
        Ok(forgotten)
    }

    /// Forgets what bills call applications that were deleted before this moment, where they used
    /// nothing.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn forget_names(&self, before_s: u64) -> Result<usize, StoreError> {
        let connection = self.connection();
        connection.execute(
            "UPDATE gone_applications SET gone_at = NULL WHERE gone_at < ?1
             AND (EXISTS (SELECT 1 FROM usage_hours WHERE application = id)
                  OR EXISTS (SELECT 1 FROM usage_days WHERE application = id))",
            [before_s as i64],
        )?;
        let query = "DELETE FROM gone_applications WHERE gone_at < ?1";
        Ok(connection.execute(query, [before_s as i64])?)
    }
}

/// Goes on without a row that is at fault itself; any other fault is the store's, and of all rows.
fn go_on(
    done: rusqlite::Result<usize>,
    refused: &mut Vec<Refused>,
    (counted, row): (Option<Key>, &dyn Debug),
) -> Result<(), StoreError> {
    use ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
    let Err(error) = done else { return Ok(()) };
    match error.sqlite_error_code() {
        Some(ConstraintViolation | ParameterOutOfRange | TooBig | TypeMismatch) => {
            refused.push(Refused { counted, text: format!("{row:?}: {error}") });
            Ok(())
        }
        _ => Err(error.into()),
    }
}

fn add_used(
    change: &Connection,
    used: &[Used],
    refused: &mut Vec<Refused>,
) -> Result<(), StoreError> {
    let mut add = change.prepare(
        "INSERT INTO usage_hours (application, plan, metric, class, hour, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET count = min(count + excluded.count, 9000000000000000)",
    )?;
    for used in used {
        let done = add.execute(params![
            used.application as i64,
            used.plan,
            used.metric,
            used.class,
            used.hour as i64,
            used.count.min(USAGE_COUNT_MAX) as i64
        ]);
        go_on(done, refused, (None, used))?;
    }
    Ok(())
}

/// The count as it stands then is set after this, so no more is taken off than was given back.
fn take_back(
    change: &Connection,
    given_back: &[Counted],
    refused: &mut Vec<Refused>,
) -> Result<(), StoreError> {
    let mut take = change.prepare(
        "UPDATE quotas SET count = max(0, count - ?5)
         WHERE application = ?1 AND metric = ?2 AND period = ?3 AND ends_at = ?4",
    )?;
    for one in given_back {
        go_on(take.execute(row(one)), refused, (Some(one.key), one))?;
    }
    Ok(())
}

fn set_counted(
    change: &Connection,
    counted: &[Counted],
    refused: &mut Vec<Refused>,
) -> Result<(), StoreError> {
    // Of two gateways on one store, as while one takes over from the other, the higher count stands.
    let mut set = change.prepare(
        "INSERT INTO quotas (application, metric, period, ends_at, count)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET count = max(count, excluded.count)",
    )?;
    for one in counted {
        go_on(set.execute(row(one)), refused, (Some(one.key), one))?;
    }
    Ok(())
}

/// A count as the statements take it.
fn row(&Counted { key, ends_at, count }: &Counted) -> (i64, u32, &'static str, i64, i64) {
    (key.holder as i64, key.metric, quota::word(key.period), ends_at as i64, count as i64)
}

fn set_seen(
    change: &Connection,
    seen: &[Seen],
    refused: &mut Vec<Refused>,
) -> Result<(), StoreError> {
    let mut set = change.prepare(
        "UPDATE credentials SET last_used_at = max(?2, coalesce(last_used_at, ?2)) WHERE id = ?1",
    )?;
    for seen in seen {
        let done = set.execute([seen.credential as i64, seen.at as i64]);
        go_on(done, refused, (None, seen))?;
    }
    Ok(())
}

const PERIODS: [Period; 6] =
    [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year];

fn period(word: &str) -> Option<Period> {
    PERIODS.into_iter().find(|&period| quota::word(period) == word)
}

/// No period of this kind is longer, however clocks are set in it; seconds.
fn longest(period: Period) -> u64 {
    const DAY: u64 = 86_400;
    const SET: u64 = 2 * 3600;
    match period {
        Period::Minute => 60,
        Period::Hour => 3600,
        Period::Day => DAY + SET,
        Period::Week => 7 * DAY + SET,
        Period::Month => 31 * DAY + SET,
        Period::Year => 366 * DAY + SET,
    }
}
