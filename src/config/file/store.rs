//! `[store]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::HumanDuration;
use crate::limits;

/// The store: one SQLite file with what must outlive the process: accounts and certificates of
/// `[acme]`; products, accounts, applications, keys and usage. Where nothing needs it, it is neither
/// made nor opened: that is without `[acme]`, `[products.NAME]` and routes with a `product`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The file; a relative name is looked up beside the configuration file. Its folder must exist,
    /// on a local disk, and the gateway may write there (SQLite keeps a log beside the file). It is
    /// made readable for its owner only, and refused where others may read it. Changes with a
    /// restart only.
    pub path: String,
    /// How old usage and counts of quotas get before they are on the disk: what a crash may forget of
    /// them, but for plans that are `strict`. 200ms to 1m.
    pub commit_interval: HumanDuration,
    /// How long usage is kept by the hour; after that it is by the day. 1d or more.
    pub keep_hours: HumanDuration,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: limits::STORE_PATH.to_owned(),
            commit_interval: HumanDuration(limits::COMMIT_INTERVAL),
            keep_hours: HumanDuration(limits::KEEP_HOURS),
        }
    }
}
