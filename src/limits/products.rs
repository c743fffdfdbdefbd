//! Bounds of products, plans and applications.

/// Longest name of a product, bytes: it stands in paths of the admin API, in metrics and in log lines.
pub const PRODUCT_NAME_MAX: usize = 64;
/// Metrics and methods of one product: each plan has a slot for each.
pub const PRODUCT_METRICS_MAX: usize = 1_000;
/// Mapping rules of one product; APIs that are described in full have some hundred operations.
pub const PRODUCT_RULES_MAX: usize = 10_000;
/// Bytes of a mapping rule's pattern: that of the longest target there is by default.
pub const PRODUCT_PATTERN_MAX: usize = 8 * 1024;
/// Variables of one pattern: each is a place at which matching may have to try again.
pub const PRODUCT_VARIABLES_MAX: usize = 16;
/// Plans of one product.
pub const PRODUCT_PLANS_MAX: usize = 1_000;
/// Bytes of a title.
pub const PRODUCT_TITLE_MAX: usize = 256;
/// Bytes of a description. It is text for people, kept with each change in the audit log.
pub const PRODUCT_DESCRIPTION_MAX: usize = 64 * 1024;
/// Places where one credential is looked for, one after another.
pub const PRODUCT_PLACES_MAX: usize = 8;
/// Ways to prove who one is.
pub const PRODUCT_WAYS_MAX: usize = 8;
/// Fields of one plan that upstreams get.
pub const PLAN_ATTRIBUTES_MAX: usize = 32;
/// Bytes of such a field's value.
pub const PLAN_ATTRIBUTE_MAX: usize = 1_024;
/// Most of a quota: counts have 40 bits in the quotas' table.
pub const PLAN_QUOTA_MAX: u64 = 1_000_000_000_000;
/// Largest increment of a mapping rule.
pub const PRODUCT_INCREMENT_MAX: u32 = 1_000_000;
/// Tiers of prices in one plan.
pub const PLAN_PRICES_MAX: usize = 1_000;
/// Digits of a price before and behind its point: what decimals of databases and spreadsheets take.
pub const PRICE_DIGITS: (usize, usize) = (12, 9);
/// Networks that one route allows, or denies: they are looked through one by one.
pub const CONFIG_MAX_NETWORKS: usize = 256;

/// Bytes of an OpenAPI file or an export that is imported; the largest public ones have some 10 MB.
pub const IMPORT_MAX: usize = 16 << 20;
/// Nesting of such a file, and its values in all: each takes some hundred bytes while it is read.
pub const IMPORT_MAX_DEPTH: usize = 64;
/// See [`IMPORT_MAX_DEPTH`].
pub const IMPORT_MAX_NODES: usize = 1_000_000;
/// Events that YAML's aliases may repeat: a file of a few lines can ask for billions.
pub const IMPORT_MAX_ALIASED: usize = 200_000;
/// Paths of servers: each operation gets a mapping rule for each.
pub const IMPORT_MAX_SERVERS: usize = 8;

/// Shards of the directory of credentials, at most. With a million of them a change copies some 250 entries,
/// and a list of so many pointers.
pub const DIRECTORY_SHARDS: usize = 4096;
/// Credentials in one shard before there are sixteen times as many shards: at most some 40,000 are moved
/// at once, in a few milliseconds.
pub const DIRECTORY_SHARD_FILL: usize = 128;
