//! What the directory is made of.

use rusqlite::{Row, params};

use super::rows::{Attributes, State};
use super::sqlite::{Json, Sqlite, key, number};
use crate::policy::auth::Digest;
use crate::store::StoreError;

/// Whose credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// All.
    All,
    /// Of a product's applications.
    Product(u64),
    /// Of an account's applications.
    Account(u64),
    /// Of an application.
    Application(u64),
}

/// An application that has live credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveApplication {
    /// Id.
    pub id: u64,
    /// Id of its account.
    pub account: u64,
    /// Id of its product.
    pub product: u64,
    /// Id of its plan.
    pub plan: u32,
    /// Its public id.
    pub app_id: String,
    /// Whether it and its account are live; otherwise its calls are refused.
    pub may_call: bool,
    /// From when on its calls are refused.
    pub ends_at: Option<i64>,
    /// Upstreams get them as fields.
    pub attributes: Attributes,
}

/// A credential that is not revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveCredential {
    /// Id.
    pub id: u64,
    /// What it is known by.
    pub digest: Digest,
    /// From when on it is refused.
    pub ends_at: Option<i64>,
    /// Of `basic`: the password's hash (argon2, PHC string).
    pub password: Option<String>,
}

/// What is done with an application and its live credentials.
pub type Each<'e> = dyn FnMut(LiveApplication, Vec<LiveCredential>) -> Result<(), StoreError> + 'e;

/// What the directory is made of.
pub trait Live {
    /// Hands over each application with its credentials that are neither revoked nor over, one after
    /// the other by id. Those with none are passed over.
    ///
    /// # Errors
    /// Where the store can't be read, and the first of `each`.
    fn live(&self, whose: Whose, now: i64, each: &mut Each<'_>) -> Result<(), StoreError>;
}

impl Live for Sqlite<'_> {
    fn live(&self, whose: Whose, now: i64, each: &mut Each<'_>) -> Result<(), StoreError> {
        let (query, id) = query(whose);
        let mut statement = self.connection.prepare(&query)?;
        let mut rows = statement.query(params![now, key(id)])?;
        let mut open: Option<(LiveApplication, Vec<LiveCredential>)> = None;
        while let Some(row) = rows.next()? {
            let id = number(row, 0)?;
            match &mut open {
                Some((application, credentials)) if application.id == id => {
                    credentials.push(credential(row)?);
                }
                _ => {
                    let next = (application(row)?, vec![credential(row)?]);
                    if let Some((application, credentials)) = open.replace(next) {
                        each(application, credentials)?;
                    }
                }
            }
        }
        open.map_or(Ok(()), |(application, credentials)| each(application, credentials))
    }
}

/// The query, and the id that it asks for.
pub(super) fn query(whose: Whose) -> (String, u64) {
    let (condition, id) = match whose {
        Whose::All => ("?2 = 0", 0),
        Whose::Product(id) => ("a.product = ?2", id),
        Whose::Account(id) => ("a.account = ?2", id),
        Whose::Application(id) => ("a.id = ?2", id),
    };
    // CROSS JOIN: in this order, so that all applications come by their ids and nothing is sorted.
    let query = format!(
        "SELECT a.id, a.account, a.product, a.plan, a.app_id, a.state, o.state, a.ends_at,
             a.attributes, c.id, c.digest, c.ends_at, c.password, o.attributes
         FROM applications AS a CROSS JOIN accounts AS o ON o.id = a.account
             CROSS JOIN credentials AS c ON c.application = a.id
         WHERE c.revoked_at IS NULL AND coalesce(c.ends_at > ?1, true) AND {condition}
         ORDER BY a.id"
    );
    (query, id)
}

fn application(row: &Row<'_>) -> rusqlite::Result<LiveApplication> {
    let states: [State; 2] = [row.get(5)?, row.get(6)?];
    Ok(LiveApplication {
        id: number(row, 0)?,
        account: number(row, 1)?,
        product: number(row, 2)?,
        plan: row.get(3)?,
        app_id: row.get(4)?,
        may_call: states == [State::Live; 2],
        ends_at: row.get(7)?,
        attributes: {
            // The account's, but for those that the application has itself.
            let mut attributes = row.get::<_, Json<Attributes>>(13)?.0;
            attributes.extend(row.get::<_, Json<Attributes>>(8)?.0);
            attributes
        },
    })
}

fn credential(row: &Row<'_>) -> rusqlite::Result<LiveCredential> {
    Ok(LiveCredential {
        id: number(row, 9)?,
        digest: row.get(10)?,
        ends_at: row.get(11)?,
        password: row.get(12)?,
    })
}
