//! All records, in a transaction.

use rusqlite::TransactionBehavior;

use super::accounts::Accounts;
use super::applications::Applications;
use super::attributes::AttributeNames;
use super::audit::Audit;
use super::credentials::Credentials;
use super::live::Live;
use super::products::Products;
use super::sqlite::{Sqlite, number};
use super::tokens::Tokens;
use crate::store::usage::Exports;
use crate::store::{Store, StoreError};

/// All that can be asked of the catalog, and of exports. A database's transaction implements it.
pub trait Records:
    Products + Accounts + Applications + AttributeNames + Credentials + Live + Tokens + Audit + Exports
{
    /// How many of each there are.
    fn counts(&self) -> Result<Counts, StoreError>;
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub products: u64,
    pub accounts: u64,
    pub applications: u64,
    /// Those that were revoked or are over, too.
    pub credentials: u64,
}

impl Records for Sqlite<'_> {
    fn counts(&self) -> Result<Counts, StoreError> {
        let query = "SELECT (SELECT count(*) FROM products) AS products,
                            (SELECT count(*) FROM accounts) AS accounts,
                            (SELECT count(*) FROM applications) AS applications,
                            (SELECT count(*) FROM credentials) AS credentials";
        Ok(self.connection.query_row(query, [], |row| {
            Ok(Counts {
                products: number(row, "products")?,
                accounts: number(row, "accounts")?,
                applications: number(row, "applications")?,
                credentials: number(row, "credentials")?,
            })
        })?)
    }
}

impl Store {
    /// Reads: all of it from one state, the newest, beside those who write.
    ///
    /// # Errors
    /// Those of `work`, and where the store can't be read.
    pub fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&dyn Records) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.reader();
        let state = connection.transaction().map_err(StoreError::from)?;
        work(&Sqlite { connection: &state })
    }

    /// Changes: all of it, on the disk when this returns, or on an error nothing. One after another;
    /// `work` must not call the store itself.
    ///
    /// # Errors
    /// Those of `work`, and where the store can't be written.
    pub fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&dyn Records) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let done = work(&Sqlite { connection: &change })?;
        change.commit().map_err(StoreError::from)?;
        Ok(done)
    }
}
