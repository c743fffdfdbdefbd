//! Bounds of the admin API, and of commands that speak to it.

use std::ops::RangeInclusive;

use super::STORE_PAGE_MAX;

/// Bytes of a body that the admin API takes: a product with a thousand rules and a hundred plans.
pub const ADMIN_BODY_MAX: usize = 2 << 20;
/// How long a body may take: nobody holds one of the connections with half of it.
pub const ADMIN_BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Rows on a page of the admin API's lists, where no number is asked for.
pub const ADMIN_PAGE_ROWS: usize = 100;
/// Rows on a page that may be asked for: what the store gives at once.
pub const ADMIN_PAGE_ROWS_MAX: usize = STORE_PAGE_MAX;
/// Seconds between two notes that a token is in use: a note is a write.
pub const TOKEN_USE_NOTED_EVERY: i64 = 60;
/// Seconds that answers are kept for calls that come again: a day, as clients retry.
pub const IDEMPOTENCY_KEPT: i64 = 24 * 3600;
/// Characters of an Idempotency-Key: a UUID has 36.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;
/// Live credentials of one kind that an application has: two for a rotation, and some for a fleet.
pub const LIVE_KEYS_MAX: usize = 5;
/// Characters of a key that comes from elsewhere: fewer are guessed, more no field should hold.
pub const OWN_KEY: RangeInclusive<usize> = 8..=256;
/// Characters of an app_id that comes from elsewhere: those of 3scale have 4 or more.
pub const OWN_APP_ID: RangeInclusive<usize> = 4..=256;
/// Seconds that two keys, or two secrets, are good side by side: long enough for any roll-out.
pub const OVERLAP_MAX: i64 = 30 * 24 * 3600;
/// Bytes of an export's rows that are sent at a time, and how many such pieces wait for who reads them.
pub const EXPORT_PIECE: usize = 64 << 10;
/// As said there.
pub const EXPORT_PIECES: usize = 4;
/// Characters of names and labels that people give.
pub const TITLE_MAX: usize = 200;
/// Characters of descriptions.
pub const TEXT_MAX: usize = 4_000;

/// How long a command waits for an answer: changes wait for the workers, some seconds at worst.
pub const CLI_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
/// Bytes of an answer: a page of products is the largest.
pub const CLI_ANSWER_MAX: usize = 64 << 20;
