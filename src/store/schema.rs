//! The schema, as numbered steps. A step that was released is never changed; the next one changes
//! what it made.

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, catalog, usage};

/// `toll` in ASCII: tells our files from other programs' (SQLite's `application_id`).
const OURS: i32 = 0x746f_6c6c;

/// Step N brings a file from version N to N + 1 (SQLite's `user_version`).
const STEPS: &[&str] = &[
    // Accounts and certificates of ACME. Times are seconds since 1970.
    "CREATE TABLE acme_accounts (
         directory TEXT PRIMARY KEY,
         contact TEXT NOT NULL,
         credentials TEXT NOT NULL
     ) STRICT;
     CREATE TABLE acme_certificates (
         directory TEXT NOT NULL,
         name TEXT NOT NULL,
         chain TEXT NOT NULL,
         private_key TEXT NOT NULL,
         PRIMARY KEY (directory, name)
     ) STRICT;",
    catalog::SCHEMA,
    usage::SCHEMA,
    usage::NAMES,
    catalog::ATTRIBUTE_NAMES,
    catalog::CREDENTIALS_BY_PRODUCT,
    usage::PLANS,
];

/// Whether this is a store, or an empty file that may become one. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let (version, owner) = marks(connection)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_empty = version == 0 && owner == 0 && tables == 0;
    if owner != OURS && !is_empty {
        return Err(StoreError::refused("this is no store: another program's database"));
    }
    if version > STEPS.len() {
        let known = STEPS.len();
        let message = format!("its schema {version} is newer than {known}, the newest known here");
        return Err(StoreError::refused(message));
    }
    Ok(())
}

/// Takes the steps that are missing: all or none.
pub(super) fn update(connection: &mut Connection) -> Result<(), StoreError> {
    // Also where nothing is missing: a store that can't be written to is found out now.
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (version, _) = marks(&change)?;
    for step in STEPS.iter().skip(version) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "application_id", OURS)?;
    change.pragma_update(None, "user_version", STEPS.len() as i64)?;
    change.commit()?;
    Ok(())
}

/// Makes a store as an older version left it.
#[cfg(test)]
pub(super) fn old(path: &std::path::Path, version: usize) {
    use std::os::unix::fs::PermissionsExt;
    let store = Connection::open(path).expect("a database");
    STEPS[..version].iter().for_each(|step| store.execute_batch(step).expect("a step"));
    store.pragma_update(None, "application_id", OURS).expect("set");
    store.pragma_update(None, "user_version", version as i64).expect("set");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("permissions");
}

/// The version of the schema, and whose it is.
fn marks(connection: &Connection) -> Result<(usize, i32), StoreError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let version = number("user_version")?;
    // Below 0 it is nobody's that we know.
    Ok((usize::try_from(version).unwrap_or(usize::MAX), number("application_id")?))
}
