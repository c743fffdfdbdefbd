//! What was used, and the ledger of quotas.
//!
//! [`commit`] takes what workers counted, [`query`] answers questions, [`export`] gives it to those who
//! write bills.
//!
//! Invariants:
//! - Usage and the counts of quotas of one batch are stored together or not at all.
//! - Hours become days by moving: a unit is in one of the two.
//! - What an export holds is never in another one.

mod commit;
mod export;
mod query;

pub use commit::{Batch, Counted, Refused, Seen, Used};
pub use export::{Export, ExportFormat};
pub use query::{Grain, Group, Order, UsageQuery, UsageRow};

/// Their tables. Times are seconds since 1970.
pub(super) const SCHEMA: &str = "
     -- Of each hour (UTC): kept for a while, then only the days are.
     CREATE TABLE usage_hours (
         application INTEGER NOT NULL,
         metric INTEGER NOT NULL,
         -- 1 to 5, the first digit of the status; 0: none was sent.
         class INTEGER NOT NULL,
         hour INTEGER NOT NULL,
         count INTEGER NOT NULL,
         PRIMARY KEY (application, metric, hour, class)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX usage_hours_by_hour ON usage_hours (hour);
     CREATE TABLE usage_days (
         application INTEGER NOT NULL,
         metric INTEGER NOT NULL,
         class INTEGER NOT NULL,
         day INTEGER NOT NULL,
         count INTEGER NOT NULL,
         PRIMARY KEY (application, metric, day, class)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX usage_days_by_day ON usage_days (day);
     -- What counts against a quota in the period that ends then.
     CREATE TABLE quotas (
         application INTEGER NOT NULL,
         metric INTEGER NOT NULL,
         period TEXT NOT NULL,
         ends_at INTEGER NOT NULL,
         count INTEGER NOT NULL,
         PRIMARY KEY (application, metric, period, ends_at)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX quotas_by_end ON quotas (ends_at);
     -- Exports for bills, and what each holds: usage beyond that goes into the next one of its month.
     CREATE TABLE exports (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         cursor TEXT NOT NULL UNIQUE,
         month TEXT NOT NULL,
         made_at INTEGER NOT NULL,
         confirmed_at INTEGER
     ) STRICT;
     CREATE TABLE export_rows (
         month TEXT NOT NULL,
         application INTEGER NOT NULL,
         metric INTEGER NOT NULL,
         class INTEGER NOT NULL,
         export INTEGER NOT NULL REFERENCES exports ON DELETE CASCADE,
         count INTEGER NOT NULL,
         PRIMARY KEY (month, application, metric, class, export)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX export_rows_by_export ON export_rows (export);";

#[cfg(test)]
mod tests;
