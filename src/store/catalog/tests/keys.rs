//! Credentials, what the directory is made of, tokens and secrets.

use super::*;

fn live(store: &Store, whose: Whose, now: i64) -> Vec<(LiveApplication, Vec<u64>)> {
    let mut found = Vec::new();
    read(store, |records| {
        records.live(whose, now, &mut |application, credentials| {
            found.push((application, credentials.iter().map(|c| c.id).collect()));
            Ok(())
        })
    });
    found
}

#[test]
fn a_key_is_rotated_with_an_overlap_and_revoked_once() {
    let (_folder, store) = store();
    let (.., application, first) = one_of_each(&store);
    let rotate = |id, digest| {
        store.write(|r| r.rotate_credential(id, &key(application.id, digest), NOW + 60, NOW))
    };
    let (old, new) = rotate(first.id, 2).unwrap_or_else(|error: StoreError| panic!("{error}"));
    assert_eq!((old.ends_at, new.ends_at), (Some(NOW + 60), None));
    let ids = |now| live(&store, Whose::Application(application.id), now).pop().expect("one").1;
    assert_eq!(ids(NOW), [old.id, new.id]);
    assert_eq!(ids(NOW + 59), [old.id, new.id]);
    assert_eq!(ids(NOW + 60), [new.id]);
    write(&store, |records| records.revoke_credential(old.id, NOW + 5));
    let revoked = write(&store, |records| records.revoke_credential(old.id, NOW + 9));
    assert_eq!(revoked.revoked_at, Some(NOW + 5));
    assert_eq!(ids(NOW), [new.id]);
    let dead = rotate(old.id, 3).err().expect("refused");
    assert_eq!(dead.kind(), ErrorKind::NotFound);
    assert_eq!(ids(NOW), [new.id], "nothing was made");
}

#[test]
fn what_nobody_can_find_any_more_does_not_look_as_if_it_were_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    // As it was when digests did not name products.
    crate::store::schema::old(&path, 5);
    let old = "INSERT INTO products VALUES (1, 'orders', 'api', '{}', '', NULL, NULL, 1, 0, 0);
               INSERT INTO plans VALUES (1, 1, 'gold');
               INSERT INTO accounts VALUES (1, 'acme', NULL, 'live', '{}', 1, 0, 0);
               INSERT INTO applications
                   VALUES (1, 1, 1, 1, 'a1', 'shop', '', 'live', '{}', NULL, NULL, 1, 0, 0);
               INSERT INTO credentials (id, application, kind, digest, hint, label, created_at)
                   VALUES (1, 1, 'user_key', zeroblob(32), '', '', 0),
                          (2, 1, 'jwt', randomblob(32), '', '', 0);";
    rusqlite::Connection::open(&path).and_then(|c| c.execute_batch(old)).expect("old rows");
    let store = Store::open(&path).expect("the store");
    let revoked = |id| {
        read(&store, |records| records.credential(id)).expect("a credential").revoked_at.is_some()
    };
    assert_eq!((revoked(1), revoked(2)), (false, true));
}

#[test]
fn a_credential_that_is_over_leaves_its_digest_to_others() {
    let (_folder, store) = store();
    let (.., application, first) = one_of_each(&store);
    write(&store, |r| {
        let ends_at = Some(NOW + 5);
        r.update_credential(&CredentialRow { ends_at, ..first.clone() })
    });
    let insert = |now| store.write(|r| r.insert_credential(&key(application.id, 1), now));
    let early: StoreError = insert(NOW + 4).err().expect("refused");
    assert_eq!(early.kind(), ErrorKind::Duplicate);
    let second = insert(NOW + 5).unwrap_or_else(|error| panic!("{error}"));
    assert!(second.id > first.id);
}

#[test]
fn an_application_has_so_many_live_credentials() {
    let (_folder, store) = store();
    let (.., application, first) = one_of_each(&store);
    let insert =
        |n: u64| store.write(|r| r.insert_credential(&key(application.id, n as u8 + 1), NOW));
    let max = crate::limits::APPLICATION_CREDENTIALS_MAX;
    assert!((1..max).all(|n| insert(n).is_ok()));
    let error: StoreError = insert(max).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::TooMany);
    write(&store, |records| records.revoke_credential(first.id, NOW));
    assert!(insert(max).is_ok());
}

#[test]
fn of_keys_that_were_revoked_the_latest_stay() {
    use crate::limits::APPLICATION_CREDENTIALS_PAST as PAST;
    let (_folder, store) = store();
    let (.., application, first) = one_of_each(&store);
    let mut last = first.id;
    for n in 0..PAST as i64 + 20 {
        let (revoked, ends) = (last, NOW + n);
        last = write(&store, |records| {
            // Some are revoked, others end by themselves.
            match n % 2 {
                0 => records.revoke_credential(revoked, ends).map(drop)?,
                _ => {
                    let row = records.credential(revoked)?.expect("a credential");
                    let row = CredentialRow { ends_at: Some(ends), ..row };
                    records.update_credential(&row).map(drop)?;
                }
            }
            records.insert_credential(&key(application.id, 9), ends).map(|row| row.id)
        });
    }
    let filter = CredentialFilter { application: Some(application.id), ..Default::default() };
    let rows = read(&store, |records| records.credentials(&filter, Page::FIRST)).rows;
    assert!((PAST..PAST + 4).contains(&(rows.len() as u64)), "{}", rows.len());
    assert!(rows.iter().all(|row| row.id > 15) && rows.last().expect("rows").id == last);
}

#[test]
fn when_keys_were_used_is_noted_and_those_that_were_not_are_found() {
    let (_folder, store) = store();
    let (.., application, first) = one_of_each(&store);
    let second = write(&store, |r| r.insert_credential(&key(application.id, 2), NOW));
    write(&store, |r| r.touch_credentials(&[(first.id, NOW + 50), (99, NOW), (u64::MAX, NOW)]));
    write(&store, |records| records.touch_credentials(&[(first.id, NOW + 40)]));
    let used = |id| read(&store, |r| r.credential(id)).expect("a credential").last_used_at;
    assert_eq!((used(first.id), used(second.id)), (Some(NOW + 50), None));
    let unused = |since| {
        let filter = CredentialFilter { unused_since: Some(since), ..CredentialFilter::default() };
        let page = read(&store, |records| records.credentials(&filter, Page::FIRST));
        page.rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(unused(NOW + 50), [second.id]);
    assert_eq!(unused(NOW + 51), [first.id, second.id]);
    assert_eq!(unused(NOW), [0; 0]);
}

#[test]
fn the_directory_gets_each_application_once_with_what_lives() {
    let (_folder, store) = store();
    let (product, acme, first, _) = one_of_each(&store);
    let second = write(&store, |records| {
        records
            .insert_credential(&NewCredential { ends_at: Some(NOW), ..key(first.id, 2) }, NOW)?;
        records.insert_credential(&key(first.id, 3), NOW)?;
        let silent = application(records, acme.id, &product, "no keys")?;
        let dead = records.insert_credential(&key(silent.id, 4), NOW)?;
        records.revoke_credential(dead.id, NOW)?;
        let other = account(records, "other")?;
        let second = application(records, other.id, &product, "a2")?;
        let password = Some("$argon2id$".to_owned());
        records.insert_credential(&NewCredential { password, ..key(second.id, 5) }, NOW)?;
        records.update_account(&AccountRow { state: State::Suspended, ..other }, None, NOW)?;
        Ok(second)
    });
    let found = live(&store, Whose::All, NOW);
    let brief = |(a, ids): &(LiveApplication, Vec<u64>)| (a.id, a.may_call, ids.clone());
    let all: Vec<_> = found.iter().map(brief).collect();
    assert_eq!(all, [(first.id, true, vec![1, 3]), (second.id, false, vec![5])]);
    assert_eq!((found[0].0.product, found[0].0.plan), (product.id, first.plan));
    assert_eq!(live(&store, Whose::Product(product.id), NOW), found);
    assert_eq!(live(&store, Whose::Account(acme.id), NOW), found[..1]);
    assert_eq!(live(&store, Whose::Application(second.id), NOW), found[1..]);
    assert_eq!(live(&store, Whose::Product(99), NOW), []);
    let stopped: Result<(), StoreError> = store.read(|records| {
        records.live(Whose::All, NOW, &mut |_, _| Err(StoreError::new(ErrorKind::Other, "enough")))
    });
    assert_eq!(stopped.expect_err("stopped").to_string(), "enough");
}

#[test]
fn a_hundred_thousand_applications_are_handed_over() {
    let (_folder, store) = store();
    one_of_each(&store);
    let many = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        INSERT INTO applications SELECT i, 1, 1, 1, 'app ' || i, '', '', 'live', '{}', NULL, NULL,
            1, 0, 0 FROM n;
        INSERT INTO credentials SELECT id, id, 'user_key', CAST(printf('%032d', id) AS BLOB), '',
            NULL, '', 0, NULL, NULL, NULL FROM applications WHERE id > 1;";
    store.connection().execute_batch(many).expect("many");
    let mut sum = 0;
    read(&store, |records| {
        records.live(Whose::All, NOW, &mut |application, credentials| {
            assert_eq!(credentials.len(), 1);
            sum += application.id;
            Ok(())
        })
    });
    assert_eq!(sum, 100_000 * 100_001 / 2);
    let last = read(&store, |records| {
        records.applications(&ApplicationFilter::default(), Page { after: Some(99_998), limit: 9 })
    });
    assert_eq!(last.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [99_999, 100_000]);
}

#[test]
fn nothing_of_the_directory_is_sorted_or_searched_through() {
    let (_folder, store) = store();
    let plan_of = |whose| {
        let query = format!("EXPLAIN QUERY PLAN {}", crate::store::catalog::live::query(whose).0);
        let connection = store.connection();
        let mut statement = connection.prepare(&query).expect("a query");
        let steps = statement.query_map([NOW, 1], |row| row.get::<_, String>(3)).expect("steps");
        steps.collect::<rusqlite::Result<Vec<_>>>().expect("steps").join("\n")
    };
    for (whose, first) in [
        (Whose::All, "SCAN a"),
        (Whose::Product(1), "SEARCH a USING INDEX applications_by_product (product=?)"),
        (Whose::Account(1), "SEARCH a USING INDEX applications_by_account (account=?)"),
        (Whose::Application(1), "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)"),
    ] {
        let plan = plan_of(whose);
        assert!(plan.starts_with(first), "{plan}");
        let credentials = "SEARCH c USING INDEX credentials_by_application (application=?)";
        assert!(plan.contains(credentials), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[test]
fn a_product_s_secret_changes_when_upstreams_know_the_next_one() {
    let (_folder, store) = store();
    let first = write(&store, orders);
    assert_eq!(first.secret.len(), 44);
    let told = write(&store, |r| r.rotate_product_secret(first.id, NOW + 60, NOW));
    let next = told.next_secret.clone().expect("a next one");
    assert_eq!((&told.secret, told.next_secret_at), (&first.secret, Some(NOW + 60)));
    assert_ne!(next, first.secret);
    assert_eq!(
        (told.secret_at(NOW + 59), told.secret_at(NOW + 60)),
        (&first.secret[..], &next[..])
    );
    assert_eq!(write(&store, |r| r.settle_product_secrets(NOW + 59)), [0; 0]);
    assert_eq!(write(&store, |r| r.settle_product_secrets(NOW + 60)), [first.id]);
    let settled = read(&store, |r| r.product(first.id)).expect("a product");
    assert_eq!((settled.secret, settled.next_secret), (next.clone(), None));
    // One that is due is in force, also where nobody settled it.
    let at_once = write(&store, |r| r.rotate_product_secret(first.id, NOW + 70, NOW + 70));
    let again = write(&store, |r| r.rotate_product_secret(first.id, NOW + 99, NOW + 71));
    assert_eq!(Some(again.secret), at_once.next_secret);
}

#[test]
fn tokens_are_found_by_their_digests_and_keep_their_scope() {
    let (_folder, store) = store();
    let acme = write(&store, |records| account(records, "acme"));
    let scopes = [TokenScope::Read, TokenScope::Operate, TokenScope::Account(acme.id)];
    for (n, scope) in (1..).zip(scopes) {
        write(&store, |records| records.insert_token(&token(n, scope), NOW));
    }
    let found = |digest| read(&store, |r| r.token_of(&[digest; 32])).expect("a token");
    assert_eq!([1, 2, 3].map(|n| found(n).scope), scopes);
    assert!(read(&store, |records| records.token_of(&[9; 32])).is_none());
    let own = read(&store, |records| records.tokens(Some(acme.id), Page::FIRST)).rows;
    assert!(own == [found(3)]);
    write(&store, |records| records.touch_tokens(&[(found(1).id, NOW + 3)]));
    write(&store, |records| records.revoke_token(found(1).id, NOW + 4));
    assert_eq!((found(1).last_used_at, found(1).revoked_at), (Some(NOW + 3), Some(NOW + 4)));
    assert_eq!(found(1).ends_at, Some(NOW + 10));
    let stranger = TokenScope::Account(99);
    assert_eq!(
        refused(&store, |r| r.insert_token(&token(4, stranger), NOW)).0,
        ErrorKind::NotFound
    );
    assert_eq!(
        refused(&store, |r| r.insert_token(&token(1, scopes[0]), NOW)).0,
        ErrorKind::Duplicate
    );
}
