//! Accounts.

use rusqlite::{OptionalExtension, Row, params};

use super::pages::{List, Page, Paged};
use super::rows::{AccountRow, NewAccount, State};
use super::sqlite::{Json, Sqlite, expected, key, number};
use crate::store::StoreError;

/// Which accounts; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// With this id.
    pub id: Option<u64>,
    /// In this state.
    pub state: Option<State>,
    /// With this name.
    pub name: Option<String>,
    /// With this mail address.
    pub email: Option<String>,
    /// With this text in name or email, whatever its case (of ASCII letters).
    pub search: Option<String>,
}

/// Accounts.
pub trait Accounts {
    /// The account of this id.
    fn account(&self, id: u64) -> Result<Option<AccountRow>, StoreError>;

    /// Accounts, the oldest first.
    fn accounts(&self, filter: &AccountFilter, page: Page)
    -> Result<Paged<AccountRow>, StoreError>;

    /// Makes an account.
    ///
    /// # Errors
    /// `Duplicate` where there is one of its name.
    fn insert_account(&self, new: &NewAccount, now: i64) -> Result<AccountRow, StoreError>;

    /// Changes name, email, state and attributes to those of this row.
    ///
    /// # Errors
    /// `NotFound`, `Changed`, `Duplicate`.
    fn update_account(
        &self,
        row: &AccountRow,
        expect: Option<u64>,
        now: i64,
    ) -> Result<AccountRow, StoreError>;

    /// Deletes an account with its applications, their credentials and its tokens. What they used
    /// stays, and what they were called by.
    ///
    /// # Errors
    /// `NotFound`, `Changed`.
    fn delete_account(&self, id: u64, expect: Option<u64>) -> Result<(), StoreError>;
}

const SELECT: &str = "SELECT * FROM accounts";

impl Accounts for Sqlite<'_> {
    fn account(&self, id: u64) -> Result<Option<AccountRow>, StoreError> {
        let query = format!("{SELECT} WHERE id = ?1");
        Ok(self.connection.query_row(&query, [key(id)], account).optional()?)
    }

    fn accounts(
        &self,
        filter: &AccountFilter,
        page: Page,
    ) -> Result<Paged<AccountRow>, StoreError> {
        let found = "instr(lower(name || char(10) || coalesce(email, '')), lower(?)) > 0";
        List::of(SELECT)
            .only("id = ?", filter.id.map(key))
            .only("state = ?", filter.state)
            .only("email = ?", filter.email.clone())
            .only("name = ?", filter.name.clone())
            .only(found, filter.search.clone())
            .page(self, page, account)
    }

    fn insert_account(&self, new: &NewAccount, now: i64) -> Result<AccountRow, StoreError> {
        self.keep_attribute_names(new.attributes.keys())?;
        let query = "INSERT INTO accounts
                         (name, email, state, attributes, version, created_at, updated_at)
                     VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5) RETURNING *";
        let values = params![new.name, new.email, new.state, Json(&new.attributes), now];
        self.connection.query_row(query, values, account).map_err(taken)
    }

    fn update_account(
        &self,
        row: &AccountRow,
        expect: Option<u64>,
        now: i64,
    ) -> Result<AccountRow, StoreError> {
        expected(self.known_account(row.id)?.version, expect)?;
        self.keep_attribute_names(row.attributes.keys())?;
        let query = "UPDATE accounts SET name = ?2, email = ?3, state = ?4, attributes = ?5,
                         version = version + 1, updated_at = ?6 WHERE id = ?1 RETURNING *";
        let values =
            params![key(row.id), row.name, row.email, row.state, Json(&row.attributes), now];
        self.connection.query_row(query, values, account).map_err(taken)
    }

    fn delete_account(&self, id: u64, expect: Option<u64>) -> Result<(), StoreError> {
        expected(self.known_account(id)?.version, expect)?;
        self.remember_names("account", id)?;
        self.connection.execute("DELETE FROM accounts WHERE id = ?1", [key(id)])?;
        Ok(())
    }
}

impl Sqlite<'_> {
    pub(super) fn known_account(&self, id: u64) -> Result<AccountRow, StoreError> {
        self.account(id)?.ok_or_else(|| StoreError::not_found("the account"))
    }
}

fn taken(error: rusqlite::Error) -> StoreError {
    StoreError::from(error).taken("an account of this name")
}

fn account(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    Ok(AccountRow {
        id: number(row, "id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        state: row.get("state")?,
        attributes: row.get::<_, Json<_>>("attributes")?.0,
        version: number(row, "version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
