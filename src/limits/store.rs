//! Bounds of the store.

/// Where the store is by default: where programs keep what must outlive them.
pub const STORE_PATH: &str = "/var/lib/tollgate/store.db";

/// How long the store waits for another process that writes to it (the old one during an upgrade, a
/// backup): commits take milliseconds, and control waits with it.
pub const STORE_BUSY: std::time::Duration = std::time::Duration::from_secs(2);

/// Rows of one page of a list: an answer stays below some MiB.
pub const STORE_PAGE_MAX: usize = 1_000;

/// Live credentials of one application: keys in rotation, and one or two of every kind. Each is found
/// by its own digest, so this bounds memory, not time.
pub const APPLICATION_CREDENTIALS_MAX: u64 = 100;

/// Credentials of an application that were revoked and are still shown, the latest: keys may be rotated
/// every minute for years.
pub const APPLICATION_CREDENTIALS_PAST: u64 = 100;

/// Applications of one account: a change of the account makes them all anew for requests, and must be in
/// force in milliseconds. Whoever needs more has several accounts.
pub const ACCOUNT_APPLICATIONS_MAX: u64 = 10_000;

/// Names of fields that upstreams get of attributes, in the whole store, those of old included: each
/// request's fields are looked up among them.
pub const ATTRIBUTE_NAMES_MAX: u64 = 1_000;

/// How often what is due by the clock is looked for in the catalog: a product's next secret is late by as
/// much at most, and upstreams take both until it is sent.
pub const CATALOG_UPKEEP: std::time::Duration = std::time::Duration::from_secs(10);

/// Seconds that audit records are kept: two years, as auditors ask for one.
pub const AUDIT_KEPT: i64 = 2 * 366 * 24 * 3600;
