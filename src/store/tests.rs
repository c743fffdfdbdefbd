use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn refused(path: &Path) -> String {
    Store::open(path).err().expect("refused").to_string()
}

fn certificate(chain: &str) -> Certificate {
    Certificate { chain: chain.into(), key: "key".into() }
}

#[test]
fn what_was_stored_is_there_again_and_belongs_to_its_server() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let account = Account { contact: "mailto:a@x.example".into(), credentials: "{}".into() };
    {
        let store = Store::open(&path).expect("a store");
        assert_eq!(store.acme_account("https://one/").expect("read"), None);
        store.set_acme_account("https://one/", &account).expect("stored");
        store.set_acme_certificate("https://one/", "a.example", &certificate("1")).expect("stored");
        store.set_acme_certificate("https://one/", "a.example", &certificate("2")).expect("stored");
    }
    let store = Store::open(&path).expect("the same store");
    assert_eq!(store.acme_account("https://one/").expect("read"), Some(account));
    let found = |directory, name| store.acme_certificate(directory, name).expect("read");
    assert!(found("https://one/", "a.example") == Some(certificate("2")));
    assert!(found("https://one/", "b.example").is_none());
    assert!(found("https://two/", "a.example").is_none());
    store.forget_acme_account("https://one/").expect("forgotten");
    assert_eq!(store.acme_account("https://one/").expect("read"), None);
}

#[test]
fn only_the_owner_may_read_it_and_the_files_beside_it() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).expect("a store");
    store.set_acme_certificate("d", "a.example", &certificate("1")).expect("stored");
    let mut seen = 0;
    for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
        let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
        seen += 1;
    }
    assert!(seen >= 2, "a log beside the store");
    drop(store);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("permissions");
    assert!(refused(&path).contains("others may read the keys in it (mode 640)"));
}

#[test]
fn commits_wait_for_the_disk() {
    let folder = folder();
    let store = Store::open(&folder.path().join("store.db")).expect("a store");
    let connection = store.connection();
    let pragma = |name| connection.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    // FULL (https://www.sqlite.org/pragma.html#pragma_synchronous).
    assert_eq!(pragma("synchronous").expect("a number"), 2);
    let mode = connection.pragma_query_value(None, "journal_mode", |r| r.get::<_, String>(0));
    assert_eq!(mode.expect("a word"), "wal");
}

#[test]
fn files_that_are_no_store_are_refused_and_left_as_they_are() {
    let folder = folder();
    let text = folder.path().join("text");
    fs::write(
        &text,
        "certainly no database, and longer than its header of a hundred bytes\n".repeat(3),
    )
    .expect("a file");
    fs::set_permissions(&text, PermissionsExt::from_mode(0o600)).expect("permissions");
    let before = fs::read(&text).expect("a file");
    assert!(refused(&text).contains("not an SQLite file"));
    assert_eq!(fs::read(&text).expect("a file"), before);

    let other = folder.path().join("other.db");
    let connection = Connection::open(&other).expect("a database");
    connection.execute_batch("CREATE TABLE theirs (a)").expect("a table");
    drop(connection);
    fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).expect("permissions");
    let before = fs::read(&other).expect("a file");
    assert!(refused(&other).contains("another program's database"));
    assert_eq!(fs::read(&other).expect("a file"), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).expect("a store");
    store.connection().pragma_update(None, "user_version", 1000).expect("a number");
    drop(store);
    assert!(refused(&path).contains("its schema 1000 is newer"));
}

#[test]
fn places_where_no_file_can_be_are_told() {
    let folder = folder();
    assert!(refused(&folder.path().join("none/store.db")).contains("there is no such folder"));
    assert!(refused(folder.path()).contains("this is no file"));
    symlink("nowhere/store.db", folder.path().join("link")).expect("a link");
    assert!(refused(&folder.path().join("link")).contains("there is no such folder"));
}

/// What the first version wrote: accounts and certificates of ACME.
const FIRST: &str = "
    CREATE TABLE acme_accounts (
        directory TEXT PRIMARY KEY, contact TEXT NOT NULL, credentials TEXT NOT NULL
    ) STRICT;
    CREATE TABLE acme_certificates (
        directory TEXT NOT NULL, name TEXT NOT NULL, chain TEXT NOT NULL,
        private_key TEXT NOT NULL, PRIMARY KEY (directory, name)
    ) STRICT;
    INSERT INTO acme_accounts VALUES ('https://one/', 'mailto:a@x.example', '{}');
    INSERT INTO acme_certificates VALUES ('https://one/', 'a.example', '1', 'key');
    PRAGMA application_id = 0x746f6c6c;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = wal;";

#[test]
fn the_first_schema_becomes_the_newest_with_what_is_in_it() {
    let folder = folder();
    let path = folder.path().join("store.db");
    Connection::open(&path).expect("a database").execute_batch(FIRST).expect("written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("permissions");
    let secret = {
        let store = Store::open(&path).expect("a store");
        let account = store.acme_account("https://one/").expect("read").expect("an account");
        assert_eq!(account.contact, "mailto:a@x.example");
        let found = store.acme_certificate("https://one/", "a.example").expect("read");
        assert!(found == Some(certificate("1")));
        let empty: Result<_, StoreError> = store.write(|records| records.counts());
        assert_eq!(empty.expect("counts"), catalog::Counts::default());
        *store.secret()
    };
    assert_ne!(secret, [0; 32]);
    assert_eq!(*Store::open(&path).expect("the same store").secret(), secret);
    check(&path).expect("sound");
    let other = Store::open(&folder.path().join("other.db")).expect("a store");
    assert_ne!(*other.secret(), secret);
}
