//! Lists, a page at a time.

use rusqlite::types::Value;
use rusqlite::{Row, ToSql};

use super::sqlite::Sqlite;
use crate::limits::STORE_PAGE_MAX;
use crate::store::StoreError;

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Behind the row with this id; `None`: from the beginning.
    pub after: Option<u64>,
    /// How many rows at most; [`STORE_PAGE_MAX`] bounds it.
    pub limit: usize,
}

impl Page {
    /// As much as there may be at once, from the beginning.
    pub const FIRST: Self = Self { after: None, limit: STORE_PAGE_MAX };
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows; the last one's id is where the next page begins.
    pub rows: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// One beyond SQLite's numbers is behind every row.
fn position(after: u64) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX)
}

/// A query of a list: what must hold is said only where it is asked for, so that an index is used.
pub(super) struct List {
    query: String,
    values: Vec<Value>,
    newest_first: bool,
}

impl List {
    /// Of the rows of this `SELECT`, which has no condition yet and an `id`.
    pub(super) fn of(select: &str) -> Self {
        Self { query: format!("{select} WHERE true"), values: Vec::new(), newest_first: false }
    }

    /// The newest first, where it is the oldest otherwise.
    pub(super) fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }

    /// `condition` has one `?` for the value; nothing is asked where there is none.
    pub(super) fn only<V: Into<Value>>(mut self, condition: &str, value: Option<V>) -> Self {
        if let Some(value) = value {
            self.query = format!("{} AND {condition}", self.query);
            self.values.push(value.into());
        }
        self
    }

    /// The rows of a page.
    pub(super) fn page<T>(
        self,
        from: &Sqlite<'_>,
        page: Page,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Paged<T>, StoreError> {
        let limit = page.limit.min(STORE_PAGE_MAX);
        let (behind, order) =
            if self.newest_first { ("id < ?", "DESC") } else { ("id > ?", "ASC") };
        let list = self.only(behind, page.after.map(position));
        let query = format!("{} ORDER BY id {order} LIMIT {}", list.query, limit + 1);
        let values: Vec<&dyn ToSql> = list.values.iter().map(|value| value as _).collect();
        let mut statement = from.connection.prepare(&query)?;
        let mut rows: Vec<T> =
            statement.query_map(&values[..], read)?.collect::<rusqlite::Result<_>>()?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Paged { rows, more })
    }
}
