//! On real files: what each part of the trait promises, and what a transaction does.

mod keys;

use super::*;
use crate::config::file::{self, CredentialKind};
use crate::store::{ErrorKind, Store, StoreError};

const NOW: i64 = 1_900_000_000;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("store.db")).expect("a store");
    (folder, store)
}

fn write<T>(store: &Store, work: impl FnOnce(&dyn Records) -> Result<T, StoreError>) -> T {
    store.write(work).unwrap_or_else(|error| panic!("written: {error}"))
}

fn read<T>(store: &Store, work: impl FnOnce(&dyn Records) -> Result<T, StoreError>) -> T {
    store.read(work).unwrap_or_else(|error| panic!("read: {error}"))
}

/// Why a change was refused.
fn refused<T>(
    store: &Store,
    work: impl FnOnce(&dyn Records) -> Result<T, StoreError>,
) -> (ErrorKind, String) {
    let error = store.write(work).err().expect("refused");
    (error.kind(), error.to_string())
}

fn definition(text: &str) -> file::Product {
    toml::from_str(text).expect("a product")
}

const ORDERS: &str = r#"
    metrics = [{ name = "bytes" }]
    methods = [{ name = "list" }]
    [plans.bronze]
    [plans.gold]
"#;

fn orders(records: &dyn Records) -> Result<ProductRow, StoreError> {
    records.put_product("orders", Origin::Api, &definition(ORDERS), None, NOW)
}

fn account(records: &dyn Records, name: &str) -> Result<AccountRow, StoreError> {
    records.insert_account(&NewAccount { name: name.into(), ..NewAccount::default() }, NOW)
}

fn application(
    records: &dyn Records,
    account: u64,
    product: &ProductRow,
    app_id: &str,
) -> Result<ApplicationRow, StoreError> {
    let plan = product.plans["bronze"];
    let (app_id, product) = (app_id.into(), product.id);
    let new = NewApplication { account, product, plan, app_id, ..NewApplication::default() };
    records.insert_application(&new, NOW)
}

fn key(application: u64, digest: u8) -> NewCredential {
    NewCredential {
        application,
        kind: CredentialKind::UserKey,
        digest: [digest; 32],
        hint: "tg_ab".into(),
        password: None,
        label: String::new(),
        ends_at: None,
    }
}

/// One account with one application of a product, and a key of it.
fn one_of_each(store: &Store) -> (ProductRow, AccountRow, ApplicationRow, CredentialRow) {
    write(store, |records| {
        let product = orders(records)?;
        let account = account(records, "acme")?;
        let application = application(records, account.id, &product, "a1")?;
        let credential = records.insert_credential(&key(application.id, 1), NOW)?;
        Ok((product, account, application, credential))
    })
}

fn token(digest: u8, scope: TokenScope) -> NewToken {
    let (hint, label) = ("tgt_a".into(), "ops".into());
    NewToken { digest: [digest; 32], hint, label, scope, ends_at: Some(NOW + 10) }
}

#[test]
fn names_of_a_product_have_ids_that_stay() {
    let (_folder, store) = store();
    let first = write(&store, orders);
    assert_eq!(first.metrics.keys().collect::<Vec<_>>(), ["bytes", "hits", "list"]);
    assert_eq!(first.plans.keys().collect::<Vec<_>>(), ["bronze", "gold"]);
    let put = |text: &str| {
        write(&store, |r| r.put_product("orders", Origin::Api, &definition(text), None, NOW + 5))
    };
    let less = put("[plans.gold]\n[plans.silver]");
    assert_eq!(less.metrics.keys().collect::<Vec<_>>(), ["hits"]);
    assert_eq!((less.id, less.version, less.updated_at), (first.id, 2, NOW + 5));
    assert_eq!(less.plans["gold"], first.plans["gold"]);
    assert_eq!(put(ORDERS).metrics, first.metrics);
    let again = read(&store, |records| records.product_named("orders")).expect("a product");
    assert_eq!(again.definition, definition(ORDERS));
    assert_eq!((again.created_at, again.version), (NOW, 3));
}

#[test]
fn a_plan_with_applications_can_not_go() {
    let (_folder, store) = store();
    let (product, ..) = one_of_each(&store);
    let without = definition("[plans.gold]");
    let (kind, text) =
        refused(&store, |r| r.put_product("orders", Origin::Api, &without, None, NOW));
    assert_eq!(kind, ErrorKind::Referenced);
    assert!(
        text.starts_with("products.orders.plans.bronze: 1 application has this plan"),
        "{text}"
    );
    let (kind, text) = refused(&store, |r| r.delete_product(product.id, Origin::Api, None));
    assert_eq!((kind, &text[..]), (ErrorKind::Referenced, "the product has applications"));
    assert!(read(&store, |r| r.product(product.id)) == Some(product));
}

#[test]
fn a_declared_product_is_changed_by_its_file_only() {
    let (_folder, store) = store();
    let empty = file::Product::default();
    let put = |origin| store.write(|r| r.put_product("orders", origin, &empty, None, NOW));
    let made: Result<_, StoreError> = put(Origin::Api);
    let taken = put(Origin::File).expect("adopted");
    assert_eq!((made.expect("made").id, taken.origin), (taken.id, Origin::File));
    assert_eq!(put(Origin::Api).err().expect("refused").kind(), ErrorKind::Declared);
    let (kind, text) = refused(&store, |r| r.delete_product(taken.id, Origin::Api, None));
    assert_eq!(kind, ErrorKind::Declared);
    assert!(text.contains("product orders is declared in the configuration"), "{text}");
    let listed = |origin| read(&store, |r| r.products(origin, Page::FIRST)).rows.len();
    assert_eq!((listed(Some(Origin::Api)), listed(Some(Origin::File)), listed(None)), (0, 1, 1));
    write(&store, |records| records.delete_product(taken.id, Origin::File, None));
    assert_eq!(listed(None), 0);
}

#[test]
fn who_did_not_see_the_newest_changes_nothing() {
    let (_folder, store) = store();
    let (product, account, application, _) = one_of_each(&store);
    let renamed = AccountRow { name: "new".into(), ..account.clone() };
    let now = write(&store, |r| r.update_account(&renamed, Some(1), NOW + 1));
    assert_eq!((now.version, now.created_at, now.updated_at), (2, NOW, NOW + 1));
    let (kind, text) = refused(&store, |r| r.update_account(&account, Some(1), NOW));
    assert_eq!(kind, ErrorKind::Changed);
    assert_eq!(text, "its version is 2, not 1: it was changed meanwhile");
    let stale = Some(7);
    let put = |records: &dyn Records| {
        records.put_product("orders", Origin::Api, &definition(ORDERS), stale, NOW)
    };
    assert_eq!(refused(&store, put).0, ErrorKind::Changed);
    let kinds = [
        refused(&store, |r| r.delete_account(account.id, stale)).0,
        refused(&store, |r| r.update_application(&application, stale, NOW)).0,
        refused(&store, |r| r.delete_application(application.id, stale)).0,
        refused(&store, |r| r.delete_product(product.id, Origin::Api, stale)).0,
    ];
    assert_eq!(kinds, [ErrorKind::Changed; 4]);
    assert_eq!(read(&store, |records| records.account(account.id)), Some(now));
}

#[test]
fn a_product_that_must_be_new_or_there_is() {
    let (_folder, store) = store();
    let empty = file::Product::default();
    let put = |expect| store.write(|r| r.put_product("orders", Origin::Api, &empty, expect, NOW));
    let kind = |expect| {
        let put: Result<_, StoreError> = put(expect);
        put.err().expect("refused").kind()
    };
    assert_eq!(kind(Some(1)), ErrorKind::NotFound);
    assert!(put(Some(0)).is_ok());
    assert_eq!(kind(Some(0)), ErrorKind::Duplicate);
    assert!(put(Some(1)).is_ok());
}

#[test]
fn what_is_not_there_is_told() {
    let (_folder, store) = store();
    let (product, account, application, credential) = one_of_each(&store);
    for id in [99, u64::MAX] {
        assert_eq!(read(&store, |records| records.account(id)), None);
        let new = NewApplication { account: id, product: product.id, ..Default::default() };
        let found = [
            refused(&store, |r| r.delete_account(id, None)),
            refused(&store, |r| r.insert_application(&new, NOW)),
            refused(&store, |r| r.update_account(&AccountRow { id, ..account.clone() }, None, NOW)),
            refused(&store, |r| r.delete_application(id, None)),
            refused(&store, |r| r.insert_credential(&key(id, 2), NOW)),
            refused(&store, |r| r.revoke_credential(id, NOW)),
            refused(&store, |r| r.update_credential(&CredentialRow { id, ..credential.clone() })),
            refused(&store, |r| r.delete_product(id, Origin::Api, None)),
            refused(&store, |r| r.rotate_product_secret(id, NOW, NOW)),
            refused(&store, |r| r.revoke_token(id, NOW)),
        ];
        assert!(found.iter().all(|(kind, _)| *kind == ErrorKind::NotFound), "{found:?}");
    }
    let other = write(&store, |r| {
        r.put_product("other", Origin::Api, &definition("[plans.bronze]"), None, NOW)
    });
    let moved = ApplicationRow { plan: other.plans["bronze"], ..application };
    let (kind, text) = refused(&store, |records| records.update_application(&moved, None, NOW));
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(text, "this plan of the product is not there");
}

#[test]
fn names_are_taken_once() {
    let (_folder, store) = store();
    let (product, first, application_, credential) = one_of_each(&store);
    let second = write(&store, |records| account(records, "other"));
    let found = [
        refused(&store, |records| account(records, "acme")),
        refused(&store, |r| r.update_account(&AccountRow { id: second.id, ..first }, None, NOW)),
        refused(&store, |records| application(records, second.id, &product, "a1")),
        refused(&store, |records| records.insert_credential(&key(application_.id, 1), NOW)),
    ];
    let texts = found.each_ref().map(|(kind, text)| {
        assert_eq!(*kind, ErrorKind::Duplicate);
        &text[..]
    });
    let (name, app_id) = ("an account of this name", "an application of this app_id");
    let there = |what| format!("{what} is there already");
    assert_eq!(texts[0], there(name));
    assert_eq!(texts[1..], [there(name), there(app_id), there("such a credential")]);
    // What is revoked may be given again, such as a certificate.
    write(&store, |records| records.revoke_credential(credential.id, NOW));
    write(&store, |records| records.insert_credential(&key(application_.id, 1), NOW));
}

#[test]
fn an_error_takes_the_whole_change_back() {
    let (_folder, store) = store();
    let failed: Result<(), StoreError> = store.write(|records| {
        let product = orders(records)?;
        let account = account(records, "acme")?;
        application(records, account.id, &product, "a1")?;
        Err(StoreError::new(ErrorKind::Other, "ours"))
    });
    assert_eq!(failed.expect_err("failed").to_string(), "ours");
    assert_eq!(read(&store, |records| records.counts()), Counts::default());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.write(|records| -> Result<(), StoreError> {
            account(records, "acme")?;
            panic!("ours")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(read(&store, |records| records.counts()), Counts::default());
    one_of_each(&store);
    let counts = Counts { products: 1, accounts: 1, applications: 1, credentials: 1 };
    assert_eq!(read(&store, |records| records.counts()), counts);
}

#[test]
fn readers_see_the_last_whole_state_and_do_not_wait() {
    let (_folder, store) = store();
    write(&store, |records| {
        account(records, "acme")?;
        assert_eq!(read(&store, |records| records.counts()), Counts::default());
        assert_eq!(records.counts()?.accounts, 1);
        Ok(())
    });
    assert_eq!(read(&store, |records| records.counts()).accounts, 1);
    let written: Result<_, StoreError> = store.read(|records| account(records, "other"));
    assert_eq!(written.expect_err("refused").kind(), ErrorKind::ReadOnly);
}

#[test]
fn what_an_account_has_goes_with_it() {
    let (_folder, store) = store();
    let (product, account, application, credential) = one_of_each(&store);
    let token = write(&store, |records| {
        let scope = TokenScope::Account(account.id);
        records.insert_token(&token(5, scope), NOW)
    });
    write(&store, |records| records.delete_account(account.id, Some(1)));
    assert_eq!(read(&store, |records| records.application(application.id)), None);
    assert!(read(&store, |records| records.credential(credential.id)).is_none());
    assert!(read(&store, |records| records.token(token.id)).is_none());
    write(&store, |records| records.delete_product(product.id, Origin::Api, None));
    let again = write(&store, orders);
    assert!(again.id > product.id && again.plans["gold"] > product.plans["gold"], "never again");
}

#[test]
fn lists_come_in_pages_and_by_what_is_asked() {
    let (_folder, store) = store();
    write(&store, |records| {
        for n in 1..=25 {
            let state = if n % 5 == 0 { State::Suspended } else { State::Live };
            let email = (n == 7).then(|| "Seven@x.example".to_owned());
            let name = format!("account {n}");
            let new = NewAccount { name, email, state, ..NewAccount::default() };
            records.insert_account(&new, NOW)?;
        }
        Ok(())
    });
    let ids = |filter: &AccountFilter, after, limit| {
        let page = read(&store, |r| r.accounts(filter, Page { after, limit }));
        (page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), page.more)
    };
    let all = AccountFilter::default();
    assert_eq!(ids(&all, None, 3), (vec![1, 2, 3], true));
    assert_eq!(ids(&all, Some(3), 22), ((4..=25).collect(), false));
    assert_eq!(ids(&all, Some(25), 3), (vec![], false));
    assert_eq!(ids(&all, Some(u64::MAX), 3), (vec![], false));
    assert_eq!(ids(&all, None, 0), (vec![], true));
    let suspended = AccountFilter { state: Some(State::Suspended), ..all.clone() };
    assert_eq!(ids(&suspended, Some(5), 2), (vec![10, 15], true));
    let found = AccountFilter { search: Some("SEVEN@".into()), ..all.clone() };
    assert_eq!(ids(&found, None, 9), (vec![7], false));
    let wild = AccountFilter { search: Some("%".into()), ..all.clone() };
    assert_eq!(ids(&wild, None, 9), (vec![], false));
    let named = AccountFilter { name: Some("account 9".into()), ..all };
    assert_eq!(ids(&named, None, 9), (vec![9], false));
}

#[test]
fn applications_are_listed_by_whose_they_are() {
    let (_folder, store) = store();
    let (product, acme, first, _) = one_of_each(&store);
    let second = write(&store, |records| {
        let other = account(records, "other")?;
        let new = application(records, other.id, &product, "a2")?;
        let gold = ApplicationRow {
            plan: product.plans["gold"],
            state: State::Pending,
            ends_at: Some(NOW + 9),
            attributes: [("X-Tier".to_owned(), "1".to_owned())].into(),
            ..new
        };
        records.update_application(&gold, Some(1), NOW)
    });
    assert_eq!((second.version, second.ends_at), (2, Some(NOW + 9)));
    let found = |filter| {
        let page = read(&store, |records| records.applications(&filter, Page::FIRST));
        page.rows
    };
    let all = ApplicationFilter::default();
    assert_eq!(found(all.clone()), [first.clone(), second.clone()]);
    let first = [first];
    let second = [second];
    assert_eq!(found(ApplicationFilter { account: Some(acme.id), ..all.clone() }), first);
    assert_eq!(found(ApplicationFilter { app_id: Some("a2".into()), ..all.clone() }), second);
    assert_eq!(found(ApplicationFilter { state: Some(State::Pending), ..all.clone() }), second);
    let (product, plan) = (Some(product.id), Some(product.plans["gold"]));
    assert_eq!(found(ApplicationFilter { product, plan, ..all }), second);
}

#[test]
fn changes_are_told_the_newest_first() {
    let (_folder, store) = store();
    let change = |at, object| NewAudit {
        at,
        actor: "1 ops".into(),
        action: "change".into(),
        kind: "account".into(),
        object,
        before: None,
        after: Some(serde_json::json!({ "name": "acme" })),
    };
    write(&store, |records| {
        (1..=5).try_for_each(|n| records.insert_audit(&change(NOW + n, n as u64 % 2)).map(drop))
    });
    let ids = |filter: &AuditFilter, after| {
        let page = read(&store, |records| records.audit(filter, Page { after, limit: 2 }));
        (page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), page.more)
    };
    let all = AuditFilter::default();
    assert_eq!(ids(&all, None), (vec![5, 4], true));
    assert_eq!(ids(&all, Some(4)), (vec![3, 2], true));
    assert_eq!(ids(&all, Some(2)), (vec![1], false));
    let even = AuditFilter { object: Some(0), ..all.clone() };
    assert_eq!(ids(&even, None), (vec![4, 2], false));
    let between = AuditFilter { since: Some(NOW + 2), until: Some(NOW + 4), ..all.clone() };
    assert_eq!(ids(&between, None), (vec![3, 2], false));
    let nobody = AuditFilter { actor: Some("2 ops".into()), ..all.clone() };
    assert_eq!(ids(&nobody, None), (vec![], false));
    let row = read(&store, |records| records.audit(&all, Page::FIRST)).rows.swap_remove(0);
    assert_eq!((row.before, row.after), (None, change(0, 0).after));
    assert_eq!(write(&store, |records| records.forget_audit(NOW + 4)), 3);
    assert_eq!(ids(&all, None), (vec![5, 4], false));
}

#[test]
fn an_answer_is_kept_for_the_caller_and_key() {
    let (_folder, store) = store();
    let row = IdempotencyRow {
        token: 1,
        key: "a".into(),
        request: [7; 32],
        status: 201,
        answer: vec![0, 159, 146],
        at: NOW,
    };
    write(&store, |records| records.insert_idempotency(&row));
    let found = |token, key| read(&store, |records| records.idempotency(token, key));
    assert!(found(1, "a") == Some(row.clone()));
    assert!(found(2, "a").is_none() && found(1, "b").is_none());
    assert_eq!(refused(&store, |r| r.insert_idempotency(&row)).0, ErrorKind::Duplicate);
    assert_eq!(write(&store, |records| records.forget_idempotency(NOW)), 0);
    assert_eq!(write(&store, |records| records.forget_idempotency(NOW + 1)), 1);
    assert!(found(1, "a").is_none());
}

#[test]
fn a_full_disk_and_one_that_can_not_be_written_are_told_apart() {
    let (_folder, store) = store();
    one_of_each(&store);
    let pragma = |name: &str, value: i64| {
        // Some answer with the value that is in force.
        let set = |connection: &rusqlite::Connection| {
            connection.pragma_update_and_check(None, name, value, |_| Ok(()))
        };
        match set(&store.connection()) {
            Ok(()) | Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let fill = |records: &dyn Records| {
        (0..10_000).try_for_each(|n| account(records, &format!("account {n}")).map(drop))
    };
    pragma("max_page_count", 1);
    let (kind, text) = refused(&store, fill);
    assert_eq!((kind, &text[..]), (ErrorKind::Full, "the disk is full"));
    pragma("max_page_count", 1 << 30);
    pragma("query_only", 1);
    let (kind, text) = refused(&store, |records| account(records, "other"));
    assert_eq!((kind, &text[..]), (ErrorKind::ReadOnly, "the store can't be written to"));
    pragma("query_only", 0);
    // Nothing of it stayed, and it goes on.
    assert_eq!(read(&store, |records| records.counts()).accounts, 1);
    write(&store, |records| account(records, "other"));
}

#[test]
fn one_who_writes_too_long_is_told_of() {
    let (_folder, store) = store();
    let other = rusqlite::Connection::open(store.path()).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("begun");
    store.connection().busy_timeout(std::time::Duration::ZERO).expect("no patience");
    let (kind, text) = refused(&store, |records| account(records, "acme"));
    assert_eq!((kind, &text[..]), (ErrorKind::Busy, "another process holds the store"));
    assert_eq!(read(&store, |records| records.counts()).accounts, 0);
    other.execute_batch("ROLLBACK").expect("ended");
    write(&store, |records| account(records, "acme"));
}

#[test]
fn a_list_by_whose_it_is_is_not_sorted() {
    let (_folder, store) = store();
    let connection = store.connection();
    for (table, condition) in [
        ("applications", "account = 1"),
        ("applications", "product = 1"),
        ("applications", "product = 1 AND plan = 1"),
        ("credentials", "application = 1"),
        ("audit", "kind = 'account' AND object = 1"),
    ] {
        let query = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE true AND {condition} AND id > 1
             ORDER BY id LIMIT 9"
        );
        let mut statement = connection.prepare(&query).expect("a query");
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).expect("steps");
        let steps = steps.collect::<rusqlite::Result<Vec<_>>>().expect("steps").join("\n");
        assert!(steps.contains("USING INDEX") && !steps.contains("TEMP B-TREE"), "{steps}");
    }
}

#[test]
fn a_row_that_nobody_wrote_so_is_damage() {
    let (_folder, store) = store();
    let (product, ..) = one_of_each(&store);
    for change in ["definition = '{\"plans\": 1}'", "definition = '{}', version = -1"] {
        let query = format!("UPDATE products SET {change}");
        store.connection().execute(&query, []).expect("changed");
        let found: Result<_, StoreError> = store.read(|records| records.product(product.id));
        let error = found.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("the store is damaged"), "{error}");
    }
}

#[test]
fn an_account_has_so_many_applications() {
    use crate::limits::ACCOUNT_APPLICATIONS_MAX as MAX;
    let (_folder, store) = store();
    let (product, account, ..) = one_of_each(&store);
    let other = write(&store, |records| self::account(records, "other"));
    let query = format!(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX})
         INSERT INTO applications (account, product, plan, app_id, name, description, state,
             attributes, version, created_at, updated_at)
         SELECT {}, {}, {}, 'n' || i, '', '', 'live', '{{}}', 1, 0, 0 FROM n",
        account.id, product.id, product.plans["bronze"]
    );
    store.connection().execute(&query, []).expect("applications");
    let (kind, text) = refused(&store, |r| application(r, account.id, &product, "more"));
    assert_eq!((kind, text.contains("10000 applications")), (ErrorKind::TooMany, true));
    write(&store, |records| application(records, other.id, &product, "more"));
}

#[test]
fn names_of_attributes_stay_when_nobody_has_them_and_are_bounded() {
    let (_folder, store) = store();
    let named = |name: String| NewAccount {
        name: name.clone(),
        attributes: Attributes::from([(name, String::new())]),
        ..NewAccount::default()
    };
    let made = write(&store, |records| records.insert_account(&named("X-Org".into()), NOW));
    write(&store, |records| records.delete_account(made.id, None));
    let plan = definition("[plans.gold]\nattributes = { x-org = \"a\", X-Tier = \"b\" }");
    write(&store, |records| records.put_product("orders", Origin::Api, &plan, None, NOW));
    write(&store, |records| orders(records));
    assert_eq!(read(&store, |records| records.attribute_names()), ["x-org", "x-tier"]);
    let (kind, _) = refused(&store, |records| {
        (0..crate::limits::ATTRIBUTE_NAMES_MAX)
            .try_for_each(|n| records.insert_account(&named(format!("X-{n}")), NOW).map(drop))
    });
    assert_eq!(kind, ErrorKind::TooMany);
    assert_eq!(read(&store, |records| records.attribute_names()).len(), 2);
}
