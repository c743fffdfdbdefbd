//! SQLite's side of the model: a transaction, and how values stand in its columns.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, RowIndex};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::{Origin, State};
use crate::config::file::CredentialKind;
use crate::store::{ErrorKind, StoreError};

/// The records in a transaction on an SQLite file.
pub(in crate::store) struct Sqlite<'c> {
    pub(in crate::store) connection: &'c Connection,
}

/// An id as SQLite has it. One that is beyond its numbers is nobody's.
pub(super) fn key(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(-1)
}

/// A column with an id, a version or a count.
pub(super) fn number(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    u64::try_from(found).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, found))
}

/// Whether a version is the one that was expected.
pub(super) fn expected(version: u64, expect: Option<u64>) -> Result<(), StoreError> {
    match expect {
        Some(expect) if expect != version => Err(StoreError::new(
            ErrorKind::Changed,
            format!("its version is {version}, not {expect}: it was changed meanwhile"),
        )),
        _ => Ok(()),
    }
}

/// A value as JSON in a column.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(ToSqlOutput::from(text))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let read = serde_json::from_str(value.as_str()?);
        read.map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// Enums as words in a column.
macro_rules! words {
    ($type:ident: $($value:ident $word:literal),+) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Owned(Value::from(*self)))
            }
        }

        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::from(match value { $($type::$value => $word.to_owned(),)+ })
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                match value.as_str()? {
                    $($word => Ok(Self::$value),)+
                    other => Err(FromSqlError::Other(format!("{other:?} is no such word").into())),
                }
            }
        }
    };
}

words!(State: Pending "pending", Live "live", Suspended "suspended");
words!(Origin: File "file", Api "api");
words!(CredentialKind: UserKey "user_key", AppKey "app_key", Basic "basic",
       Certificate "certificate", Jwt "jwt");
