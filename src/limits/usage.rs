//! Bounds of quotas, usage and the ledger.

use std::time::Duration;

/// Slots of the table that holds the counts of quotas, 16 bytes each (so 64 MiB of address space;
/// pages that no count has touched cost no memory): three quotas for each of a million applications.
/// One slot in eight is a set's header. A power of two.
pub const QUOTA_SLOTS: usize = 1 << 22;

/// The table of those who are known by their addresses only has this part of as many slots: some 900,000
/// counts of strangers. Where it is full, further ones are refused, and no application is.
pub const QUOTA_ADDRESS_PART: usize = 4;

/// How long a count is kept after its period's end, minutes: longer than the cores' clocks may lie
/// apart, so that none of them still charges it.
pub const QUOTA_KEPT_MIN: u64 = 5;

/// Age at which usage is committed at the latest, by default: what a crash may forget.
pub const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest that may be set: cores report every [`USAGE_REPORT`], and a disk needs its time.
pub const COMMIT_INTERVAL_LEAST: Duration = Duration::from_millis(200);
/// Longest that may be set.
pub const COMMIT_INTERVAL_MOST: Duration = Duration::from_secs(60);
/// How long usage is kept by the hour, by default: a month.
pub const KEEP_HOURS: Duration = Duration::from_secs(31 * 24 * 3600);
/// Shortest that may be set: days are whole before they are made of hours.
pub const KEEP_HOURS_LEAST: Duration = Duration::from_secs(24 * 3600);
/// Longest that may be set: ten years.
pub const KEEP_HOURS_MOST: Duration = Duration::from_secs(3660 * 24 * 3600);
/// Sums of usage that a core holds while control is behind, some 60 bytes each: a million
/// applications in an hour. What is more is lost, and told.
pub const USAGE_ENTRIES: usize = 1 << 20;
/// Between a core's reports of usage.
pub const USAGE_REPORT: Duration = Duration::from_millis(100);
/// The same in ticks.
pub const USAGE_TICKS: u64 = USAGE_REPORT.as_millis() as u64 / super::TICK_MS;
/// The part of a commit interval that is left for the commit itself, one in so many: disks that others
/// use too take hundreds of milliseconds at times.
pub const COMMIT_SHARE: u32 = 2;
/// From one commit to the next at the least, but for what strict plans wait for.
pub const COMMIT_PERIOD_LEAST: Duration = Duration::from_millis(20);
/// Tries, a tick apart, of a core that ends to hand up what it has.
pub const USAGE_LAST_TRIES: u32 = 100;
/// Reports of all cores that wait for the ledger: a report of sums every 100 ms, and one for each
/// request of a strict plan that is being let in.
pub const LEDGER_REPORTS: usize = 64 * 1024;
/// Answers on their way to a core: those that it asked for and can get in one turn.
pub const LEDGER_ANSWERS: usize = 64 * 1024;
/// Sums that the ledger holds while the store can't be written, some 60 bytes each. What is more is
/// lost, and told; a request of a strict plan whose counts find no place is refused.
pub const LEDGER_ENTRIES: usize = 1 << 22;
/// How long a request of a strict plan waits until what it is charged is on the disk. A commit takes
/// milliseconds; behind this it is refused.
pub const STRICT_WAIT: Duration = Duration::from_secs(5);
/// Pause before a request asks again where the ledger had no place for its question, milliseconds.
pub const STRICT_PAUSE_MS: u64 = 2;
/// How long the last commit of a gateway that ends may take.
pub const LEDGER_LAST: Duration = Duration::from_secs(5);
/// How often the ledger says in the log that the store can't be written.
pub const LEDGER_TOLD_EVERY: Duration = Duration::from_secs(60);
/// Rows of one commit of which the log says that the store refuses them; the counter has all.
pub const LEDGER_REFUSED_TOLD: usize = 20;
/// How often it forgets counts of periods that are long over, and turns old hours into days.
pub const LEDGER_TIDIED_EVERY: Duration = Duration::from_secs(60);
/// By how much the wall clock must go back for the ledger to take up again what it had of the time
/// before, seconds.
pub const CLOCK_WENT_BACK_S: u64 = 2;

/// How much a metric grows at most by one field of an answer: the largest quota.
pub const METRIC_GROWTH_MAX: u64 = 1_000_000_000_000;

/// The largest count that is stored: sums of a thousand of them still fit 64 bits.
pub const USAGE_COUNT_MAX: u64 = 9_000_000_000_000_000;
