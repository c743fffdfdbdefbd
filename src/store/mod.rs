//! What must outlive the process: one SQLite file. Opened by control only; a worker never waits for
//! a disk.
//!
//! [`schema`] holds the numbered steps from an empty file to the newest schema, [`acme`] accounts and
//! certificates, [`catalog`] products, applications and their credentials, [`usage`] what they used.
//!
//! Invariants:
//! - What was stored is on the disk when the call returns (a write-ahead log, synced at each commit).
//! - Only its owner may read the file: there are private keys in it.
//! - A file of another program, or of a newer Tollgate, is left as it is.

mod acme;
mod catalog;
mod schema;
mod usage;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::limits::STORE_BUSY;

pub use acme::{Account, Certificate};

/// An open store.
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// Why a store can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => "this is no store: not an SQLite file".into(),
            Some(ErrorCode::ReadOnly) => "the store can't be written to".into(),
            Some(ErrorCode::DatabaseBusy) => "another process holds the store".into(),
            Some(ErrorCode::DiskFull) => "the disk is full".into(),
            _ => error.to_string(),
        })
    }
}

impl Store {
    /// Opens the file, makes it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// Where it can't be read and written, others may read it, or it is not a store that this
    /// version knows; nothing has been changed then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let named = |StoreError(why)| StoreError(format!("{}: {why}", path.display()));
        let connection = open(path).map_err(named)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in the middle of a transaction rolled it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    claim(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError("there is no such folder".into()),
        _ => StoreError(error.to_string()),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(STORE_BUSY)?;
    schema::check(&connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // A key that was replaced is not to be found in the file's free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::update(&mut connection)?;
    Ok(connection)
}

/// Makes the file where it is missing, for its owner only; SQLite gives the files beside it the same
/// permissions.
fn claim(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(drop),
    }
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("this is no file"));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("others may read the keys in it (mode {mode:o}); set it to 600");
        return Err(io::Error::other(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
