//! What was used, and the ledger of quotas.
//!
//! [`commit`] takes what workers counted, [`query`] answers questions, [`export`] gives it to those who
//! write bills.
//!
//! Invariants:
//! - Usage and the counts of quotas of one batch are stored together or not at all.
//! - Hours become days by moving: a unit is in one of the two.
//! - What an export holds is never in another one.
//! - What was used is kept by the plan that let it in, whatever plan its application has later.
//! - What was used has the names that a bill needs, also of those that are deleted.

mod commit;
mod export;
mod query;

pub use commit::{Batch, Counted, Refused, Seen, Used};
pub use export::{Export, ExportFormat, Exports};
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

/// What bills call those that are deleted, and exports that keep the names that they were made with.
pub(super) const NAMES: &str = "
     CREATE TABLE gone_applications (
         id INTEGER PRIMARY KEY,
         account INTEGER NOT NULL,
         account_name TEXT NOT NULL,
         app_id TEXT NOT NULL,
         name TEXT NOT NULL,
         plan TEXT NOT NULL,
         -- NULL: it is known to have used something, and stays.
         gone_at INTEGER
     ) STRICT;
     CREATE INDEX gone_applications_by_time ON gone_applications (gone_at);
     CREATE TABLE gone_metrics (
         id INTEGER PRIMARY KEY,
         product TEXT NOT NULL,
         name TEXT NOT NULL
     ) STRICT;
     -- All that may have used something, by the names that it has or had.
     CREATE VIEW billed_applications AS
         SELECT a.id, a.account, c.name AS account_name, a.app_id, a.name, p.name AS plan
         FROM applications a JOIN accounts c ON c.id = a.account JOIN plans p ON p.id = a.plan
         UNION ALL SELECT id, account, account_name, app_id, name, plan FROM gone_applications;
     CREATE VIEW billed_metrics AS
         SELECT m.id, p.name AS product, m.name FROM metrics m JOIN products p ON p.id = m.product
         UNION ALL SELECT id, product, name FROM gone_metrics;
     ALTER TABLE exports ADD COLUMN rows INTEGER NOT NULL DEFAULT 0;
     UPDATE exports SET rows = (SELECT count(*) FROM export_rows WHERE export = exports.id);
     ALTER TABLE export_rows ADD COLUMN account INTEGER;
     ALTER TABLE export_rows ADD COLUMN account_name TEXT;
     ALTER TABLE export_rows ADD COLUMN app_id TEXT;
     ALTER TABLE export_rows ADD COLUMN application_name TEXT;
     ALTER TABLE export_rows ADD COLUMN plan TEXT;
     ALTER TABLE export_rows ADD COLUMN product TEXT;
     ALTER TABLE export_rows ADD COLUMN metric_name TEXT;
     UPDATE export_rows SET
         (account, account_name, app_id, application_name, plan) =
             (SELECT account, account_name, app_id, name, plan
              FROM billed_applications WHERE id = application),
         (product, metric_name) =
             (SELECT product, name FROM billed_metrics WHERE id = metric);";

/// Which plan let it in. Of what was there before that is not known (0), so that what is billed of it
/// already is billed no second time.
pub(super) const PLANS: &str = "
     CREATE TABLE gone_plans (
         id INTEGER PRIMARY KEY,
         name TEXT NOT NULL
     ) STRICT;
     CREATE VIEW billed_plans AS
         SELECT id, name FROM plans UNION ALL SELECT id, name FROM gone_plans;
     CREATE TABLE new_hours (
         application INTEGER NOT NULL,
         -- Without a default an old gateway that drains beside the new one could not commit.
         plan INTEGER NOT NULL DEFAULT 0,
         metric INTEGER NOT NULL,
         class INTEGER NOT NULL,
         hour INTEGER NOT NULL,
         count INTEGER NOT NULL,
         PRIMARY KEY (application, plan, metric, hour, class)
     ) STRICT, WITHOUT ROWID;
     INSERT INTO new_hours (application, metric, class, hour, count)
         SELECT application, metric, class, hour, count FROM usage_hours;
     DROP TABLE usage_hours;
     ALTER TABLE new_hours RENAME TO usage_hours;
     CREATE INDEX usage_hours_by_hour ON usage_hours (hour);
     CREATE TABLE new_days (
         application INTEGER NOT NULL,
         plan INTEGER NOT NULL DEFAULT 0,
         metric INTEGER NOT NULL,
         class INTEGER NOT NULL,
         day INTEGER NOT NULL,
         count INTEGER NOT NULL,
         PRIMARY KEY (application, plan, metric, day, class)
     ) STRICT, WITHOUT ROWID;
     INSERT INTO new_days (application, metric, class, day, count)
         SELECT application, metric, class, day, count FROM usage_days;
     DROP TABLE usage_days;
     ALTER TABLE new_days RENAME TO usage_days;
     CREATE INDEX usage_days_by_day ON usage_days (day);
     CREATE TABLE new_rows (
         month TEXT NOT NULL,
         application INTEGER NOT NULL,
         plan_id INTEGER NOT NULL DEFAULT 0,
         metric INTEGER NOT NULL,
         class INTEGER NOT NULL,
         export INTEGER NOT NULL REFERENCES exports ON DELETE CASCADE,
         count INTEGER NOT NULL,
         account INTEGER,
         account_name TEXT,
         app_id TEXT,
         application_name TEXT,
         plan TEXT,
         product TEXT,
         metric_name TEXT,
         PRIMARY KEY (month, application, plan_id, metric, class, export)
     ) STRICT, WITHOUT ROWID;
     INSERT INTO new_rows (month, application, metric, class, export, count, account, account_name,
             app_id, application_name, plan, product, metric_name)
         SELECT month, application, metric, class, export, count, account, account_name,
             app_id, application_name, plan, product, metric_name FROM export_rows;
     DROP TABLE export_rows;
     ALTER TABLE new_rows RENAME TO export_rows;
     CREATE INDEX export_rows_by_export ON export_rows (export);";

#[cfg(test)]
mod tests;
