//! Why the store did not do what it was asked.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

/// Why the store did not do what it was asked. Nothing has been changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    kind: ErrorKind,
    text: String,
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The disk is full.
    Full,
    /// The file or its disk can't be written to.
    ReadOnly,
    /// The file is damaged.
    Corrupt,
    /// Another process holds it.
    Busy,
    /// The disk failed, or the file is gone.
    Disk,
    /// A file that is not taken for a store: another program's, a newer Tollgate's, one that others
    /// may read.
    Refused,
    /// Somebody else changed it meanwhile: its version is not the expected one.
    Changed,
    /// It is not there.
    NotFound,
    /// There is such a one already.
    Duplicate,
    /// Others still refer to it.
    Referenced,
    /// It is declared in the configuration, and changed there only.
    Declared,
    /// No more of these.
    TooMany,
    /// A mistake of ours.
    Other,
}

const FULL: &str = "the disk is full";

/// Whether nothing is left of the disk that a file is on.
fn is_full(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: plain numbers, for which zero is valid.
    let mut disk: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends in NUL, and a struct that lives over the call.
    let known = unsafe { libc::statvfs(path.as_ptr(), &raw mut disk) } == 0;
    known && disk.f_blocks > 0 && disk.f_bavail == 0
}

impl ErrorKind {
    /// Whether the file or its disk is at fault, so that what is open of it may be worth nothing.
    pub fn is_of_the_file(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Corrupt | Self::Disk | Self::Refused)
    }
}

impl StoreError {
    /// An error of a kind; the text is for people.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, text)
    }

    /// `what` as in "the account".
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} is not there"))
    }

    /// With the file's name.
    pub(super) fn of(self, path: &Path) -> Self {
        match self.kind {
            // SQLite tells a full disk from one that fails only where it writes pages.
            ErrorKind::Disk if is_full(path) => Self::new(ErrorKind::Full, FULL).of(path),
            _ => Self { text: format!("{}: {}", path.display(), self.text), ..self },
        }
    }

    /// Says what it is that is there already, where that is what went wrong.
    pub(super) fn taken(self, what: &str) -> Self {
        match self.kind {
            ErrorKind::Duplicate => Self { text: format!("{what} is there already"), ..self },
            _ => self,
        }
    }

    /// Says what it is that others refer to, where that is what went wrong.
    pub(super) fn referenced(self, what: &str) -> Self {
        match self.kind {
            ErrorKind::Referenced => Self { text: format!("{what} has applications"), ..self },
            _ => self,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorKind::{Busy, Corrupt, Disk, Full, Other, ReadOnly};
        if let rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) = error
        {
            return Self::new(Corrupt, format!("the store is damaged: {error}"));
        }
        let said = |kind, text: &str| Self::new(kind, text);
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::refused(
                "this is no store: not an SQLite file (where it was one: `tollgate restore` puts a \
                 backup in its place)",
            ),
            Some(ErrorCode::ReadOnly) => said(ReadOnly, "the store can't be written to"),
            Some(ErrorCode::DatabaseBusy) => said(Busy, "another process holds the store"),
            Some(ErrorCode::DiskFull) => said(Full, FULL),
            Some(ErrorCode::DatabaseCorrupt) => {
                said(Corrupt, "the store is damaged: `tollgate restore` puts a backup in its place")
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                Self::new(Disk, format!("the disk failed: {error}"))
            }
            Some(ErrorCode::ConstraintViolation) => constraint(&error),
            _ => Self::new(Other, error.to_string()),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Self::new(ErrorKind::Full, FULL),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::new(ErrorKind::ReadOnly, error.to_string())
            }
            io::ErrorKind::NotFound => Self::refused("there is no such file"),
            io::ErrorKind::AlreadyExists => Self::refused("there is such a file already"),
            // Words of ours.
            io::ErrorKind::Other => Self::refused(error.to_string()),
            _ => Self::new(ErrorKind::Disk, format!("the disk failed: {error}")),
        }
    }
}

/// Which rule between rows was broken.
fn constraint(error: &rusqlite::Error) -> StoreError {
    use ErrorKind::{Duplicate, Other, Referenced};
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
            StoreError::new(Duplicate, "such a one is there already")
        }
        Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => {
            StoreError::new(Referenced, "others still refer to it")
        }
        _ => StoreError::new(Other, error.to_string()),
    }
}
