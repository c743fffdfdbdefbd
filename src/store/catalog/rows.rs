//! What the catalog holds. Times are seconds since 1970; versions begin at 1 and count up with each
//! change. Rows with secrets in them can't be printed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::file::{self, CredentialKind};
use crate::policy::auth::Digest;

/// Names and values that people gave: upstreams get them as fields.
pub type Attributes = BTreeMap<String, String>;

/// Whether an account or application may call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits until somebody lets it in.
    Pending,
    /// May call.
    #[default]
    Live,
    /// May not, for now.
    Suspended,
}

/// Where a product is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In the configuration.
    File,
    /// By the admin API.
    Api,
}

/// A product.
#[derive(Clone, PartialEq)]
pub struct ProductRow {
    /// Id.
    pub id: u64,
    /// Name, unique.
    pub name: String,
    /// Where it is changed.
    pub origin: Origin,
    /// What it says, with its plans.
    pub definition: file::Product,
    /// Ids of its metrics and methods, `hits` among them, by name: those of the definition. They are
    /// the same for ever.
    pub metrics: BTreeMap<String, u32>,
    /// Ids of its plans by name.
    pub plans: BTreeMap<String, u32>,
    /// What tells upstreams who forwards.
    pub secret: String,
    /// What will be sent in its place.
    pub next_secret: Option<String>,
    /// From then on.
    pub next_secret_at: Option<i64>,
    /// Version.
    pub version: u64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

impl ProductRow {
    /// What tells upstreams at this time who forwards.
    pub fn secret_at(&self, now: i64) -> &str {
        match (&self.next_secret, self.next_secret_at) {
            (Some(next), Some(at)) if at <= now => next,
            _ => &self.secret,
        }
    }
}

/// An account: somebody who has applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Id.
    pub id: u64,
    /// Name, unique.
    pub name: String,
    /// Where people reach them.
    pub email: Option<String>,
    /// Whether its applications may call.
    pub state: State,
    /// For people and upstreams.
    pub attributes: Attributes,
    /// Version.
    pub version: u64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

/// An account to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // As in `AccountRow`.
pub struct NewAccount {
    pub name: String,
    pub email: Option<String>,
    pub state: State,
    pub attributes: Attributes,
}

/// An application: what an account uses a product with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationRow {
    /// Id.
    pub id: u64,
    /// Whose it is.
    pub account: u64,
    /// The product it may call.
    pub product: u64,
    /// By this plan of it.
    pub plan: u32,
    /// Its public id, unique: what stands beside an app_key.
    pub app_id: String,
    /// Name, for people.
    pub name: String,
    /// What it is for, for people.
    pub description: String,
    /// Whether it may call.
    pub state: State,
    /// Upstreams get them as fields.
    pub attributes: Attributes,
    /// From when on it is billed.
    pub trial_ends_at: Option<i64>,
    /// From when on it may no longer call.
    pub ends_at: Option<i64>,
    /// Version.
    pub version: u64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

/// An application to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // As in `ApplicationRow`.
pub struct NewApplication {
    pub account: u64,
    pub product: u64,
    pub plan: u32,
    pub app_id: String,
    pub name: String,
    pub description: String,
    pub state: State,
    pub attributes: Attributes,
    pub trial_ends_at: Option<i64>,
    pub ends_at: Option<i64>,
}

/// What an application proves itself with. The key itself is kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialRow {
    /// Id.
    pub id: u64,
    /// Whose it is.
    pub application: u64,
    /// What it is.
    pub kind: CredentialKind,
    /// What it is known by, keyed and hashed; no two that are not revoked have the same.
    pub digest: Digest,
    /// The first characters, by which its owner knows it.
    pub hint: String,
    /// Of `basic`: the password's hash (argon2, PHC string).
    pub password: Option<String>,
    /// For people.
    pub label: String,
    /// When it was made.
    pub created_at: i64,
    /// From when on it is refused.
    pub ends_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// When it was used last, to the ledger's interval.
    pub last_used_at: Option<i64>,
}

/// A credential to be made.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)] // As in `CredentialRow`.
pub struct NewCredential {
    pub application: u64,
    pub kind: CredentialKind,
    pub digest: Digest,
    pub hint: String,
    pub password: Option<String>,
    pub label: String,
    pub ends_at: Option<i64>,
}

/// What the one who has a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Read all.
    Read,
    /// Read and change all.
    Operate,
    /// Read and change what belongs to this account.
    Account(u64),
}

/// A token of the admin API.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Id.
    pub id: u64,
    /// What it is known by, keyed and hashed.
    pub digest: Digest,
    /// The first characters, by which its owner knows it.
    pub hint: String,
    /// For people.
    pub label: String,
    /// What it lets do.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: i64,
    /// From when on it is refused.
    pub ends_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// When it was used last.
    pub last_used_at: Option<i64>,
}

/// A token to be made.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)] // As in `TokenRow`.
pub struct NewToken {
    pub digest: Digest,
    pub hint: String,
    pub label: String,
    pub scope: TokenScope,
    pub ends_at: Option<i64>,
}

/// Who changed what.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Id; later ones are greater.
    pub id: u64,
    /// When.
    pub at: i64,
    /// Who: a token's id and label, or `file` or `cli`.
    pub actor: String,
    /// What was done: `create`, `change`, …
    pub action: String,
    /// To what: `product`, `account`, …
    pub kind: String,
    /// Its id.
    pub object: u64,
    /// How it was, without secrets; `None`: it was not there.
    pub before: Option<serde_json::Value>,
    /// How it is, without secrets; `None`: it is no longer there.
    pub after: Option<serde_json::Value>,
}

/// A change to be written down.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // As in `AuditRow`.
pub struct NewAudit {
    pub at: i64,
    pub actor: String,
    pub action: String,
    pub kind: String,
    pub object: u64,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// The answer to a call that may be repeated (Idempotency-Key).
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Id of the caller's token; a key is the caller's own.
    pub token: u64,
    /// The caller's key.
    pub key: String,
    /// Digest of the call: another one with the same key is a mistake.
    pub request: Digest,
    /// Status of the answer.
    pub status: u16,
    /// The answer, sealed: there may be secrets in it.
    pub answer: Vec<u8>,
    /// When it was given.
    pub at: i64,
}
