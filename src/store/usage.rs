//! What was used, and the ledger of quotas.

/// Their tables. Times are seconds since 1970.
pub(super) const SCHEMA: &str = "
     -- Of each hour (UTC): kept for a while, then only the days are.
     CREATE TABLE usage_hours (
         application INTEGER NOT NULL,
         metric INTEGER NOT NULL,
         -- 2 to 5, the first digit of the status; 0: none was sent.
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
     -- Bills that were drawn: the next export begins where the last one that was confirmed ended.
     CREATE TABLE exports (
         cursor TEXT PRIMARY KEY,
         month TEXT NOT NULL,
         made_at INTEGER NOT NULL,
         confirmed_at INTEGER,
         content TEXT NOT NULL
     ) STRICT;";
