//! Applications.

use rusqlite::{OptionalExtension, Row, params};

use super::pages::{List, Page, Paged};
use super::rows::{ApplicationRow, NewApplication, State};
use super::sqlite::{Json, Sqlite, expected, key, number};
use crate::limits::ACCOUNT_APPLICATIONS_MAX;
use crate::store::{ErrorKind, StoreError};

/// Which applications; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplicationFilter {
    /// Of this account.
    pub account: Option<u64>,
    /// Of this product.
    pub product: Option<u64>,
    /// Of this plan.
    pub plan: Option<u32>,
    /// In this state.
    pub state: Option<State>,
    /// With this public id.
    pub app_id: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// With this text in their name, whatever its case (of ASCII letters).
    pub search: Option<String>,
}

/// Applications.
pub trait Applications {
    /// The application of this id.
    fn application(&self, id: u64) -> Result<Option<ApplicationRow>, StoreError>;

    /// Applications, the oldest first.
    fn applications(
        &self,
        filter: &ApplicationFilter,
        page: Page,
    ) -> Result<Paged<ApplicationRow>, StoreError>;

    /// Makes an application.
    ///
    /// # Errors
    /// `NotFound` where account, product or the product's plan is not there; `Duplicate` where there
    /// is one of its app_id; `TooMany` where the account has [`ACCOUNT_APPLICATIONS_MAX`], or there
    /// are too many names of attributes.
    fn insert_application(
        &self,
        new: &NewApplication,
        now: i64,
    ) -> Result<ApplicationRow, StoreError>;

    /// Changes plan, name, description, state, attributes and ends to those of this row. Account,
    /// product and app_id stay.
    ///
    /// # Errors
    /// `NotFound` where it or the product's plan is not there; `Changed`.
    fn update_application(
        &self,
        row: &ApplicationRow,
        expect: Option<u64>,
        now: i64,
    ) -> Result<ApplicationRow, StoreError>;

    /// Deletes an application with its credentials. What it used stays, and what it was called by.
    ///
    /// # Errors
    /// `NotFound`, `Changed`.
    fn delete_application(&self, id: u64, expect: Option<u64>) -> Result<(), StoreError>;
}

const SELECT: &str = "SELECT * FROM applications";

impl Applications for Sqlite<'_> {
    fn application(&self, id: u64) -> Result<Option<ApplicationRow>, StoreError> {
        let query = format!("{SELECT} WHERE id = ?1");
        Ok(self.connection.query_row(&query, [key(id)], application).optional()?)
    }

    fn applications(
        &self,
        filter: &ApplicationFilter,
        page: Page,
    ) -> Result<Paged<ApplicationRow>, StoreError> {
        List::of(SELECT)
            .only("account = ?", filter.account.map(key))
            .only("product = ?", filter.product.map(key))
            .only("plan = ?", filter.plan)
            .only("state = ?", filter.state)
            .only("app_id = ?", filter.app_id.clone())
            .only("name = ?", filter.name.clone())
            .only("instr(lower(name), lower(?)) > 0", filter.search.clone())
            .page(self, page, application)
    }

    fn insert_application(
        &self,
        new: &NewApplication,
        now: i64,
    ) -> Result<ApplicationRow, StoreError> {
        self.known_account(new.account)?;
        self.room_for_an_application(new.account)?;
        self.keep_attribute_names(new.attributes.keys())?;
        self.known_plan(new.product, new.plan)?;
        let query = "INSERT INTO applications (account, product, plan, app_id, name, description,
                         state, attributes, trial_ends_at, ends_at, version, created_at, updated_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11) RETURNING *";
        let values = params![
            key(new.account),
            key(new.product),
            new.plan,
            new.app_id,
            new.name,
            new.description,
            new.state,
            Json(&new.attributes),
            new.trial_ends_at,
            new.ends_at,
            now
        ];
        let made = self.connection.query_row(query, values, application);
        made.map_err(|error| StoreError::from(error).taken("an application of this app_id"))
    }

    fn update_application(
        &self,
        row: &ApplicationRow,
        expect: Option<u64>,
        now: i64,
    ) -> Result<ApplicationRow, StoreError> {
        let found = self.known_application(row.id)?;
        expected(found.version, expect)?;
        self.known_plan(found.product, row.plan)?;
        self.keep_attribute_names(row.attributes.keys())?;
        let query = "UPDATE applications SET plan = ?2, name = ?3, description = ?4, state = ?5,
                         attributes = ?6, trial_ends_at = ?7, ends_at = ?8,
                         version = version + 1, updated_at = ?9 WHERE id = ?1 RETURNING *";
        let values = params![
            key(row.id),
            row.plan,
            row.name,
            row.description,
            row.state,
            Json(&row.attributes),
            row.trial_ends_at,
            row.ends_at,
            now
        ];
        Ok(self.connection.query_row(query, values, application)?)
    }

    fn delete_application(&self, id: u64, expect: Option<u64>) -> Result<(), StoreError> {
        expected(self.known_application(id)?.version, expect)?;
        self.remember_names("id", id)?;
        self.connection.execute("DELETE FROM applications WHERE id = ?1", [key(id)])?;
        Ok(())
    }
}

impl Sqlite<'_> {
    pub(super) fn known_application(&self, id: u64) -> Result<ApplicationRow, StoreError> {
        self.application(id)?.ok_or_else(|| StoreError::not_found("the application"))
    }

    /// Keeps what bills call applications that go, those with this in a column of theirs. Whether they
    /// used anything is not known yet: requests may be under way.
    pub(super) fn remember_names(&self, column: &str, value: u64) -> Result<(), StoreError> {
        let query = format!(
            "INSERT OR IGNORE INTO gone_applications
             SELECT id, account, account_name, app_id, name, plan, unixepoch()
             FROM billed_applications WHERE {column} = ?1"
        );
        self.connection.execute(&query, [key(value)])?;
        Ok(())
    }

    fn room_for_an_application(&self, account: u64) -> Result<(), StoreError> {
        let query = "SELECT count(*) AS n FROM applications WHERE account = ?1";
        let found = self.connection.query_row(query, [key(account)], |row| number(row, "n"))?;
        if found >= ACCOUNT_APPLICATIONS_MAX {
            let text = format!("the account has {found} applications, as many as may be");
            return Err(StoreError::new(ErrorKind::TooMany, text));
        }
        Ok(())
    }

    fn known_plan(&self, product: u64, plan: u32) -> Result<(), StoreError> {
        let query = "SELECT true FROM plans WHERE id = ?1 AND product = ?2";
        let found = self.connection.query_row(query, params![plan, key(product)], |_| Ok(()));
        found.optional()?.ok_or_else(|| StoreError::not_found("this plan of the product"))
    }
}

fn application(row: &Row<'_>) -> rusqlite::Result<ApplicationRow> {
    Ok(ApplicationRow {
        id: number(row, "id")?,
        account: number(row, "account")?,
        product: number(row, "product")?,
        plan: row.get("plan")?,
        app_id: row.get("app_id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        state: row.get("state")?,
        attributes: row.get::<_, Json<_>>("attributes")?.0,
        trial_ends_at: row.get("trial_ends_at")?,
        ends_at: row.get("ends_at")?,
        version: number(row, "version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
