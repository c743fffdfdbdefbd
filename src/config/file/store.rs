//! `[store]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

impl Default for Store {
    fn default() -> Self {
        Self { path: limits::STORE_PATH.to_owned() }
    }
}
