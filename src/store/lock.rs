//! Whether somebody has the store open: a lock on a file beside it. (SQLite's own locks tell who reads
//! or writes at the moment.) The system gives it back when a process ends, however it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{ErrorKind, StoreError};

/// Held until it is dropped.
pub(super) struct Lock(#[allow(dead_code)] File);

/// For those who use the store: several at once, such as the old and the new process of an upgrade.
pub(super) fn shared(store: &Path) -> Result<Lock, StoreError> {
    lock(store, libc::LOCK_SH)?
        .ok_or_else(|| StoreError::new(ErrorKind::Busy, "a backup is being restored to it"))
}

/// For the one who puts another in its place, while nobody uses it.
pub(super) fn exclusive(store: &Path) -> Result<Lock, StoreError> {
    lock(store, libc::LOCK_EX)?
        .ok_or_else(|| StoreError::new(ErrorKind::Busy, "a gateway has it open: stop that first"))
}

/// `None`: another one holds it.
fn lock(store: &Path, how: libc::c_int) -> io::Result<Option<Lock>> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(beside(store))?;
    // SAFETY: the descriptor is open for as long as the call.
    if unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) } == 0 {
        return Ok(Some(Lock(file)));
    }
    match io::Error::last_os_error() {
        held if held.kind() == io::ErrorKind::WouldBlock => Ok(None),
        failed => Err(failed),
    }
}

/// By the file itself, whatever links lead to it.
fn beside(store: &Path) -> PathBuf {
    let mut name = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned()).into_os_string();
    name.push(".lock");
    name.into()
}
