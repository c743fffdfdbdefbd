//! Who changed what, and answers to calls that may be repeated.

use rusqlite::{OptionalExtension, Row, params};

use super::pages::{List, Page, Paged};
use super::rows::{AuditRow, IdempotencyRow, NewAudit};
use super::sqlite::{Json, Sqlite, key, number};
use crate::store::StoreError;

/// Which changes; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of things of this kind.
    pub kind: Option<String>,
    /// Of the thing with this id.
    pub object: Option<u64>,
    /// By this one.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<i64>,
    /// Before.
    pub until: Option<i64>,
}

/// Who changed what, and answers to calls that may be repeated.
pub trait Audit {
    /// Changes, the newest first; a page goes on with those before the last.
    fn audit(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditRow>, StoreError>;

    /// Writes a change down: its id.
    fn insert_audit(&self, new: &NewAudit) -> Result<u64, StoreError>;

    /// Forgets changes before this time: how many they were.
    fn forget_audit(&self, before: i64) -> Result<usize, StoreError>;

    /// The answer that a token's call with this key got.
    fn idempotency(&self, token: u64, key: &str) -> Result<Option<IdempotencyRow>, StoreError>;

    /// Keeps an answer.
    ///
    /// # Errors
    /// `Duplicate` where the key was used.
    fn insert_idempotency(&self, row: &IdempotencyRow) -> Result<(), StoreError>;

    /// Forgets answers before this time: how many they were.
    fn forget_idempotency(&self, before: i64) -> Result<usize, StoreError>;
}

impl Audit for Sqlite<'_> {
    fn audit(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditRow>, StoreError> {
        List::of("SELECT * FROM audit")
            .newest_first()
            .only("kind = ?", filter.kind.clone())
            .only("object = ?", filter.object.map(key))
            .only("actor = ?", filter.actor.clone())
            .only("action = ?", filter.action.clone())
            .only("at >= ?", filter.since)
            .only("at < ?", filter.until)
            .page(self, page, change)
    }

    fn insert_audit(&self, new: &NewAudit) -> Result<u64, StoreError> {
        let query = "INSERT INTO audit (at, actor, action, kind, object, before, after)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
        let values = params![
            new.at,
            new.actor,
            new.action,
            new.kind,
            key(new.object),
            new.before.as_ref().map(Json),
            new.after.as_ref().map(Json)
        ];
        Ok(self.connection.query_row(query, values, |row| number(row, "id"))?)
    }

    fn forget_audit(&self, before: i64) -> Result<usize, StoreError> {
        Ok(self.connection.execute("DELETE FROM audit WHERE at < ?1", [before])?)
    }

    fn idempotency(&self, token: u64, used: &str) -> Result<Option<IdempotencyRow>, StoreError> {
        let query = "SELECT * FROM idempotency WHERE token = ?1 AND key = ?2";
        Ok(self.connection.query_row(query, params![key(token), used], answer).optional()?)
    }

    fn insert_idempotency(&self, row: &IdempotencyRow) -> Result<(), StoreError> {
        let query = "INSERT INTO idempotency (token, key, request, status, answer, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![key(row.token), row.key, row.request, row.status, row.answer, row.at];
        let kept = self.connection.execute(query, values);
        kept.map(drop).map_err(|error| StoreError::from(error).taken("a call with this key"))
    }

    fn forget_idempotency(&self, before: i64) -> Result<usize, StoreError> {
        Ok(self.connection.execute("DELETE FROM idempotency WHERE at < ?1", [before])?)
    }
}

fn change(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: number(row, "id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        kind: row.get("kind")?,
        object: number(row, "object")?,
        before: row.get::<_, Option<Json<_>>>("before")?.map(|json| json.0),
        after: row.get::<_, Option<Json<_>>>("after")?.map(|json| json.0),
    })
}

fn answer(row: &Row<'_>) -> rusqlite::Result<IdempotencyRow> {
    Ok(IdempotencyRow {
        token: number(row, "token")?,
        key: row.get("key")?,
        request: row.get("request")?,
        status: row.get("status")?,
        answer: row.get("answer")?,
        at: row.get("at")?,
    })
}
