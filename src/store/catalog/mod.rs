//! Products, accounts, applications and credentials; who changed what; and who may.
//!
//! [`Records`] is all that can be asked of them, in one transaction ([`Store::read`],
//! [`Store::write`]); [`rows`] is what it takes and gives. The model knows no database: SQLite's side
//! stands beside each part of the trait, and stands on [`sqlite`].
//!
//! [`Store::read`]: crate::store::Store::read
//! [`Store::write`]: crate::store::Store::write

mod accounts;
mod applications;
mod attributes;
mod audit;
mod credentials;
mod live;
mod pages;
mod products;
mod records;
mod rows;
mod schema;
mod secrets;
mod sqlite;
mod tokens;

pub use accounts::{AccountFilter, Accounts};
pub use applications::{ApplicationFilter, Applications};
pub use attributes::AttributeNames;
pub(super) use attributes::SCHEMA as ATTRIBUTE_NAMES;
pub use audit::{Audit, AuditFilter};
pub(super) use credentials::SCHEMA as CREDENTIALS_BY_PRODUCT;
pub use credentials::{CredentialFilter, Credentials};
pub use live::{Each, Live, LiveApplication, LiveCredential, Whose};
pub use pages::{Page, Paged};
pub use products::{MissingPlan, Products};
pub use records::{Counts, Records};
pub use rows::{
    AccountRow, ApplicationRow, Attributes, AuditRow, CredentialRow, IdempotencyRow, NewAccount,
    NewApplication, NewAudit, NewCredential, NewToken, Origin, ProductRow, State, TokenRow,
    TokenScope,
};
pub(super) use schema::SCHEMA;
pub use secrets::random_text;
pub(super) use secrets::secret;
pub(super) use sqlite::Sqlite;
pub use tokens::Tokens;

#[cfg(test)]
mod tests;
