//! What must outlive the process: one SQLite file. Opened by control only; a worker never waits for
//! a disk.
//!
//! [`schema`] holds the numbered steps from an empty file to the newest schema, [`acme`] accounts and
//! certificates, [`catalog`] products, applications and their credentials, [`usage`] what they used;
//! [`backup`] copies it. While a [`Store`] is open, [`lock`] says so to whom would replace it.
//!
//! Invariants:
//! - What was stored is on the disk when the call returns (a write-ahead log, synced at each commit).
//! - Only its owner may read the file: there are private keys in it.
//! - A file of another program, or of a newer Tollgate, is left as it is.

mod acme;
mod backup;
pub mod catalog;
mod error;
mod lock;
mod schema;
pub mod usage;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::limits::STORE_BUSY;
use crate::policy::auth::Digest;

pub use acme::{Account, Certificate};
pub use backup::{back_up, check, missing_plans, restore};
pub use error::{ErrorKind, StoreError};

/// An open store.
pub struct Store {
    path: PathBuf,
    secret: Digest,
    connection: Mutex<Connection>,
    /// Readers wait neither for a commit's disk nor for those who write.
    reader: Mutex<Connection>,
    /// Questions about usage may take seconds: they wait for each other only.
    reports: Mutex<Connection>,
    _lock: lock::Lock,
}

impl Store {
    /// Opens the file, makes it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// Where it can't be read and written, others may read it, or it is not a store that this
    /// version knows; nothing has been changed then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open(path).map_err(|error| error.of(path))
    }

    /// Opens the file anew, where its disk or its content was at fault and may be mended: connections
    /// keep what they read.
    ///
    /// # Errors
    /// Where it can't be opened, or is another store; it goes on with what was open.
    pub fn open_again(&self) -> Result<(), StoreError> {
        let opened = connections(&self.path).and_then(|(secret, connections)| match secret {
            secret if secret == self.secret => Ok(connections),
            _ => Err(StoreError::refused("another store has taken its place: start again")),
        });
        let [writer, reader, reports] = opened.map_err(|error| error.of(&self.path))?;
        *self.connection() = writer;
        *self.reader() = reader;
        *self.reports() = reports;
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What digests of keys and tokens are keyed with: made once, with the store.
    pub fn secret(&self) -> &Digest {
        &self.secret
    }

    /// Of the one who writes. A second call on the same thread would wait for ever.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in the middle of a transaction rolled it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the file grow no further, as on a disk that is full.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, most: Option<u32>) {
        let most = most.unwrap_or(u32::MAX - 1);
        self.connection().pragma_update(None, "max_page_count", most).expect("set");
    }

    fn reports(&self) -> MutexGuard<'_, Connection> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> Result<Store, StoreError> {
    claim(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::refused("there is no such folder"),
        _ => StoreError::from(error),
    })?;
    let lock = lock::shared(path)?;
    let (secret, [connection, reader, reports]) = connections(path)?;
    Ok(Store {
        path: path.to_owned(),
        secret,
        connection: Mutex::new(connection),
        reader: Mutex::new(reader),
        reports: Mutex::new(reports),
        _lock: lock,
    })
}

/// The store's secret, and its connections: who writes, who reads, and who makes reports.
fn connections(path: &Path) -> Result<(Digest, [Connection; 3]), StoreError> {
    let mut writer = connect(path)?;
    prepare(&mut writer)?;
    let secret = catalog::secret(&writer)?;
    let [reader, reports] = [connect(path)?, connect(path)?];
    reader.pragma_update(None, "query_only", true)?;
    reports.pragma_update(None, "query_only", true)?;
    Ok((secret, [writer, reader, reports]))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(STORE_BUSY)?;
    Ok(connection)
}

/// Brings a file to how it must be; leaves it as it is where it is no store.
fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    schema::check(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // A key that was replaced is not to be found in the file's free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::update(connection)
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
