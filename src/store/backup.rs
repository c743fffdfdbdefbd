//! Copies of the store, and whether a file is a sound one.
//!
//! A copy is made beside running gateways: what one transaction sees. Putting one back is for when
//! none runs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::catalog::{MissingPlan, Products, Sqlite};
use super::{ErrorKind, StoreError, connect, lock, schema};
use crate::config::file::Product;

/// Copies the store to a new file, which only its owner may read. Nobody has to wait.
///
/// # Errors
/// Where the store can't be read, there is a file of this name, or it can't be written; no part of one
/// stays then.
pub fn back_up(store: &Path, to: &Path) -> Result<(), StoreError> {
    let connection = existing(store)?;
    copy(&connection, to)?;
    sync_folder(to).map_err(|error| StoreError::from(error).of(to))
}

/// Looks at every page and every reference of a store; a gateway may run on it.
///
/// # Errors
/// `Corrupt` with what was found; others where it can't be read.
pub fn check(store: &Path) -> Result<(), StoreError> {
    let connection = existing(store)?;
    sound(&connection).map_err(|error| error.of(store))
}

/// Plans of these products that applications have and the products have not; nothing of the store is
/// touched, and a gateway may run on it.
///
/// # Errors
/// Where it can't be read.
pub fn missing_plans(
    store: &Path,
    products: &BTreeMap<String, Product>,
) -> Result<Vec<MissingPlan>, StoreError> {
    let connection = readable(store)?;
    schema::check(&connection)?;
    let records = Sqlite { connection: &connection };
    let mut missing = Vec::new();
    for (name, definition) in products {
        missing.extend(records.missing_plans(name, definition)?);
    }
    Ok(missing)
}

/// Puts a backup in the store's place, once it was found sound. What was there is gone.
///
/// # Errors
/// `Busy` where a gateway has the store open; `Refused` and `Corrupt` where the backup is no store or
/// not sound; others where it can't be read or written. The store is as it was then.
pub fn restore(backup: &Path, store: &Path) -> Result<(), StoreError> {
    let from = readable(backup)?;
    schema::check(&from).and_then(|()| sound(&from)).map_err(|error| error.of(backup))?;
    let _lock = lock::exclusive(store).map_err(|error| error.of(store))?;
    let made = named(store, ".restored");
    // What an attempt left that was cut off.
    match fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::from(error).of(&made));
        }
        _ => {}
    }
    copy(&from, &made)?;
    exchange(&made, store).map_err(|error| StoreError::from(error).of(store))
}

/// A store that is there, for reading; its schema may be older.
fn existing(store: &Path) -> Result<Connection, StoreError> {
    fs::metadata(store).map_err(|error| StoreError::from(error).of(store))?;
    let opened = connect(store).and_then(|connection| {
        schema::check(&connection)?;
        Ok(connection)
    });
    opened.map_err(|error| error.of(store))
}

/// A backup, which may lie where nobody can write, or a store that is not ours to write to.
fn readable(backup: &Path) -> Result<Connection, StoreError> {
    fs::metadata(backup).map_err(|error| StoreError::from(error).of(backup))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(backup, flags).map_err(|error| StoreError::from(error).of(backup))
}

fn sound(connection: &Connection) -> Result<(), StoreError> {
    let mut found = Vec::new();
    // Ten say enough.
    connection.pragma(None, "integrity_check", 10, |row| {
        found.push(row.get::<_, String>(0)?);
        Ok(())
    })?;
    if found != ["ok"] {
        let text = format!("the store is damaged: {}", found.join("; "));
        return Err(StoreError::new(ErrorKind::Corrupt, text));
    }
    let mut lost = Vec::new();
    connection.pragma_query(None, "foreign_key_check", |row| {
        lost.push(row.get::<_, String>(0)?);
        Ok(())
    })?;
    match lost.first() {
        Some(table) => {
            let text = format!("the store is damaged: rows of {table} refer to what is not there");
            Err(StoreError::new(ErrorKind::Corrupt, text))
        }
        None => Ok(()),
    }
}

/// Copies to a new file, and waits until it is on the disk.
fn copy(from: &Connection, to: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let file = file.map_err(|error| StoreError::from(error).of(to))?;
    // Without free pages, in which there may be keys that were replaced.
    let name = to.to_str().ok_or_else(|| StoreError::refused("its name is not UTF-8"));
    let copied = name.and_then(|name| {
        from.execute("VACUUM INTO ?1", [name])?;
        Ok(file.sync_all()?)
    });
    copied.map_err(|error| {
        // The error that is told is the one that led here.
        let _ = fs::remove_file(to);
        error.of(to)
    })
}

/// Puts the file that was made in the store's place.
fn exchange(made: &Path, store: &Path) -> io::Result<()> {
    // They belong to the old one: SQLite would read them into the new one.
    for beside in ["-wal", "-shm"] {
        match fs::remove_file(named(store, beside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(made, store)?;
    sync_folder(store)
}

/// So that the file's name is on the disk as well.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;
    use crate::store::catalog::{AccountFilter, NewAccount, Page};
    use crate::store::{Account, Store};

    fn insert(store: &Store, names: impl IntoIterator<Item = String>) {
        let done: Result<(), StoreError> = store.write(|records| {
            names.into_iter().try_for_each(|name| {
                records.insert_account(&NewAccount { name, ..NewAccount::default() }, 1).map(drop)
            })
        });
        done.expect("written");
    }

    fn names(store: &Store) -> Result<Vec<String>, StoreError> {
        store.read(|records| {
            let page = records.accounts(&AccountFilter::default(), Page::FIRST)?;
            Ok(page.rows.into_iter().map(|row| row.name).collect())
        })
    }

    fn kind(done: Result<(), StoreError>) -> (ErrorKind, String) {
        let error = done.expect_err("refused");
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_backup_of_a_store_in_use_is_put_back_when_it_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, copy) = (folder.path().join("store.db"), folder.path().join("copy.db"));
        let store = Store::open(&path).expect("a store");
        let secret = *store.secret();
        insert(&store, ["one".into()]);
        back_up(&path, &copy).expect("a copy");
        let mode = fs::metadata(&copy).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert!(kind(back_up(&path, &copy)).1.contains("there is such a file already"));
        insert(&store, ["two".into()]);
        let (why, text) = kind(restore(&copy, &path));
        assert_eq!(why, ErrorKind::Busy);
        assert!(text.contains("a gateway has it open: stop that first"), "{text}");
        drop(store);
        restore(&copy, &path).expect("restored");
        let store = Store::open(&path).expect("a store");
        assert_eq!((names(&store), *store.secret()), (Ok(vec!["one".into()]), secret));
        insert(&store, ["three".into()]);
        check(&path).expect("sound");
        check(&copy).expect("sound");
    }

    #[test]
    fn what_a_killed_process_left_in_its_log_is_not_read_into_the_restored_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, copy) = (folder.path().join("store.db"), folder.path().join("copy.db"));
        let store = Store::open(&path).expect("a store");
        back_up(&path, &copy).expect("a copy");
        insert(&store, (0..100).map(|n| n.to_string()));
        let log = fs::read(named(&path, "-wal")).expect("a log");
        assert!(log.len() > 4096);
        drop(store);
        fs::write(named(&path, "-wal"), log).expect("a log");
        fs::write(named(&path, ".restored"), "cut off").expect("a file");
        restore(&copy, &path).expect("restored");
        assert!(!named(&path, "-wal").exists() && !named(&path, ".restored").exists());
        assert_eq!(names(&Store::open(&path).expect("a store")), Ok(vec![]));
    }

    #[test]
    fn a_store_is_made_of_a_backup_and_over_a_damaged_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy.db");
        let account = Account { contact: String::new(), credentials: "{}".into() };
        let store = Store::open(&copy).expect("a store");
        store.set_acme_account("d", &account).expect("stored");
        drop(store);
        fs::write(folder.path().join("bad.db"), "no database").expect("a file");
        for name in ["new.db", "bad.db"] {
            let path = folder.path().join(name);
            restore(&copy, &path).expect("restored");
            let store = Store::open(&path).expect("a store");
            assert_eq!(store.acme_account("d"), Ok(Some(account.clone())));
        }
    }

    #[test]
    fn a_damaged_file_is_told_and_never_restored() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, sound) = (folder.path().join("store.db"), folder.path().join("sound.db"));
        let store = Store::open(&path).expect("a store");
        insert(&store, (0..2_000).map(|n| format!("account {n}")));
        back_up(&path, &sound).expect("a copy");
        drop(store);
        let file = OpenOptions::new().write(true).open(&path).expect("the file");
        let length = file.metadata().expect("its length").len();
        // All pages but the first: it has the schema, by which the file is known as a store.
        file.write_all_at(&vec![0xff; length as usize - 4096], 4096).expect("damaged");
        let damaged = "the store is damaged";
        let opened = Store::open(&path).and_then(|store| names(&store)).expect_err("refused");
        assert_eq!(opened.kind(), ErrorKind::Corrupt);
        assert!(opened.to_string().contains(damaged), "{opened}");
        let before = fs::read(&sound).expect("a file");
        for (why, text) in [kind(check(&path)), kind(restore(&path, &sound))] {
            assert_eq!(why, ErrorKind::Corrupt);
            assert!(text.contains(damaged) && text.contains("store.db"), "{text}");
        }
        file.set_len(length / 2).expect("cut off");
        let opened = Store::open(&path).err().expect("refused");
        assert_eq!(opened.kind(), ErrorKind::Corrupt);
        assert_eq!(fs::read(&sound).expect("a file"), before);
        restore(&sound, &path).expect("restored");
        assert_eq!(Store::open(&path).and_then(|s| names(&s)).expect("names").len(), 1_000);
    }

    #[test]
    fn what_is_no_store_is_neither_copied_nor_restored() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        Store::open(&at("store.db")).map(drop).expect("a store");
        fs::write(at("text"), "certainly no database, and longer than its header\n".repeat(3))
            .expect("a file");
        Connection::open(at("other.db"))
            .and_then(|other| other.execute_batch("CREATE TABLE theirs (a)"))
            .expect("a database");
        for (name, text) in [
            ("none", "there is no such file"),
            ("text", "not an SQLite file"),
            ("other.db", "another program's database"),
        ] {
            let tried = [
                restore(&at(name), &at("store.db")),
                back_up(&at(name), &at("copy")),
                check(&at(name)),
            ];
            for (why, told) in tried.map(kind) {
                assert_eq!(why, ErrorKind::Refused);
                assert!(told.contains(text) && told.contains(name), "{told}");
            }
            assert!(!at("copy").exists());
        }
        assert!(kind(back_up(&at("store.db"), &at("no/copy"))).1.contains("no such file"));
        check(&at("store.db")).expect("as it was");
    }

    #[test]
    fn references_to_nothing_are_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        Store::open(&path).map(drop).expect("a store");
        let lost = "PRAGMA foreign_keys = off;
            INSERT INTO plans (product, name) VALUES (7, 'lost')";
        Connection::open(&path).and_then(|store| store.execute_batch(lost)).expect("a row");
        let (why, text) = kind(check(&path));
        assert_eq!(why, ErrorKind::Corrupt);
        assert!(text.contains("rows of plans refer to what is not there"), "{text}");
    }
}
