//! The directory that workers have, from the store's rows: whole, or what a change touched.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::slots::Slots;
use crate::config::file;
use crate::policy::auth::{
    Application, Credential, Definition, Digest, Directory, Mistake, Product, attribute_lines,
};
use crate::store::catalog::{
    Attributes, CredentialFilter, LiveApplication, LiveCredential, NewAudit, Origin, Page,
    ProductRow, Records, Whose,
};
use crate::store::{ErrorKind, StoreError};

/// What a change touched: what stands in the directory of it is made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// A product, by id and name; it may be gone.
    Product(u64, String),
    /// An account, and so its applications.
    Account(u64),
    /// An application, and so its credentials.
    Application(u64),
    /// Credentials that are gone from the store.
    Gone(Vec<Digest>),
}

/// Stores what the configuration declares, and says what that touched. What it no longer declares is
/// deleted, or, where there are applications of it, kept as a draft.
pub(super) fn declare(
    records: &dyn Records,
    products: &BTreeMap<String, file::Product>,
    now: i64,
) -> Result<Vec<Touched>, StoreError> {
    let mut touched = Vec::new();
    for (name, definition) in products {
        let found = records.product_named(name)?;
        let same = |row: &ProductRow| row.origin == Origin::File && row.definition == *definition;
        if !found.as_ref().is_some_and(same) {
            let row = records.put_product(name, Origin::File, definition, None, now)?;
            note(records, found.as_ref(), Some(&row), now)?;
            touched.push(Touched::Product(row.id, row.name));
        }
    }
    let stored = each_product(records, Some(Origin::File))?;
    for row in stored.iter().filter(|row| !products.contains_key(&row.name)) {
        match records.delete_product(row.id, Origin::File, None) {
            Ok(()) => note(records, Some(row), None, now)?,
            Err(error) if error.kind() == ErrorKind::Referenced => withdraw(records, row, now)?,
            Err(error) => return Err(error),
        }
        touched.push(Touched::Product(row.id, row.name.clone()));
    }
    Ok(touched)
}

fn withdraw(records: &dyn Records, row: &ProductRow, now: i64) -> Result<(), StoreError> {
    if row.definition.state == file::Lifecycle::Draft {
        return Ok(());
    }
    let definition = file::Product { state: file::Lifecycle::Draft, ..row.definition.clone() };
    let after = records.put_product(&row.name, Origin::File, &definition, None, now)?;
    tracing::warn!(
        product = row.name,
        "it is no longer declared but has applications: it is a draft now, and its routes answer 404"
    );
    note(records, Some(row), Some(&after), now)
}

fn note(
    records: &dyn Records,
    before: Option<&ProductRow>,
    after: Option<&ProductRow>,
    now: i64,
) -> Result<(), StoreError> {
    let told = |row: &ProductRow| serde_json::to_value(&row.definition).ok();
    let action = match (before, after) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "change",
    };
    records.insert_audit(&NewAudit {
        at: now,
        actor: "file".into(),
        action: action.into(),
        kind: "product".into(),
        object: after.or(before).map_or(0, |row| row.id),
        before: before.and_then(told),
        after: after.and_then(told),
    })?;
    Ok(())
}

/// All products, those of an origin where one is given.
pub(in crate::control) fn each_product(
    records: &dyn Records,
    origin: Option<Origin>,
) -> Result<Vec<ProductRow>, StoreError> {
    let mut page = Page::FIRST;
    let mut all = Vec::new();
    loop {
        let found = records.products(origin, page)?;
        page.after = found.rows.last().map(|row| row.id);
        all.extend(found.rows);
        if !found.more {
            return Ok(all);
        }
    }
}

/// What was known before, with what a change touched made anew; where nothing was, all there is.
pub(super) fn after(
    before: Option<&Directory>,
    records: &dyn Records,
    (secret, slots): (&Digest, &Slots),
    touched: Vec<Touched>,
    now: i64,
) -> Result<Directory, StoreError> {
    let mut directory = match before {
        None => whole(records, (secret, slots), now)?,
        Some(before) => changed(before.clone(), records, slots, touched, now)?,
    };
    // Fields that were ever said of callers are no client's to say.
    let names = records.attribute_names()?;
    directory.withhold(names.iter().map(String::as_str));
    Ok(directory)
}

fn whole(
    records: &dyn Records,
    (secret, slots): (&Digest, &Slots),
    now: i64,
) -> Result<Directory, StoreError> {
    let mut directory = Directory::empty(*secret);
    let mut products = HashMap::new();
    for row in each_product(records, None)? {
        let slot = slots.of(&row.name);
        products.insert(row.id, slot);
        directory.set_product(slot, compile(&row, now));
    }
    directory.fill(|take| {
        records.live(Whose::All, now, &mut |application, credentials| {
            let entries = entries(application, credentials, &products);
            entries.into_iter().for_each(|(digest, credential)| take(digest, credential));
            Ok(())
        })
    })?;
    Ok(directory)
}

fn changed(
    mut directory: Directory,
    records: &dyn Records,
    slots: &Slots,
    touched: Vec<Touched>,
    now: i64,
) -> Result<Directory, StoreError> {
    for touched in touched {
        match touched {
            Touched::Product(id, name) => {
                let row = records.product(id)?;
                let product = row.and_then(|row| compile(&row, now));
                directory.set_product(slots.of(&name), product);
            }
            Touched::Account(id) => {
                refresh(&mut directory, records, slots, Whose::Account(id), now)?;
            }
            Touched::Application(id) => {
                let gone = known(&directory, records, id)?;
                directory.change(gone.into_iter().map(|digest| (digest, None)));
                refresh(&mut directory, records, slots, Whose::Application(id), now)?;
            }
            Touched::Gone(digests) => {
                directory.change(digests.into_iter().map(|digest| (digest, None)));
            }
        }
    }
    Ok(directory)
}

/// All credentials that the directory has of an application: those that live are put in again.
fn known(
    directory: &Directory,
    records: &dyn Records,
    application: u64,
) -> Result<Vec<Digest>, StoreError> {
    let filter = CredentialFilter { application: Some(application), ..Default::default() };
    let mut page = Page::FIRST;
    let mut all = Vec::new();
    loop {
        let found = records.credentials(&filter, page)?;
        page.after = found.rows.last().map(|row| row.id);
        let digests = found.rows.iter().map(|row| row.digest);
        // A user's name that was revoked here may be another's by now.
        all.extend(digests.filter(|digest| {
            let now = directory.credential(digest);
            now.is_some_and(|credential| credential.application.id == application)
        }));
        if !found.more {
            return Ok(all);
        }
    }
}

fn refresh(
    directory: &mut Directory,
    records: &dyn Records,
    slots: &Slots,
    whose: Whose,
    now: i64,
) -> Result<(), StoreError> {
    let mut products = HashMap::new();
    let mut changes = Vec::new();
    records.live(whose, now, &mut |application, credentials| {
        if !products.contains_key(&application.product)
            && let Some(row) = records.product(application.product)?
        {
            products.insert(row.id, slots.of(&row.name));
        }
        let entries = entries(application, credentials, &products);
        changes.extend(entries.into_iter().map(|(digest, credential)| (digest, Some(credential))));
        Ok(())
    })?;
    directory.change(changes);
    Ok(())
}

/// An application's credentials as the directory has them.
fn entries(
    application: LiveApplication,
    credentials: Vec<LiveCredential>,
    products: &HashMap<u64, u32>,
) -> Vec<(Digest, Credential)> {
    let Some(&slot) = products.get(&application.product) else { return Vec::new() };
    let application = Arc::new(Application {
        id: application.id,
        account: application.account,
        product: slot,
        plan: application.plan,
        app_id: application.app_id.into(),
        suspended: !application.may_call,
        ends_at: moment(application.ends_at),
        lines: lines(&application.attributes),
    });
    credentials
        .into_iter()
        .map(|row| {
            let credential = Credential {
                id: row.id,
                application: application.clone(),
                ends_at: moment(row.ends_at),
                password: row.password.map(Into::into),
            };
            (row.digest, credential)
        })
        .collect()
}

/// Seconds since 1970; `None`: never.
fn moment(at: Option<i64>) -> u64 {
    at.map_or(u64::MAX, |at| u64::try_from(at).unwrap_or(0))
}

/// A product for requests. One with mistakes, which nobody let in, is as if it were not there.
fn compile(row: &ProductRow, now: i64) -> Option<Arc<Product>> {
    let compiled = Product::compile(&Definition {
        id: row.id,
        name: &row.name,
        product: &row.definition,
        metrics: &row.metrics,
        plans: &row.plans,
        secret: row.secret_at(now),
    });
    let told = |mistakes: &Vec<Mistake>| {
        let mistakes: Vec<_> = mistakes.iter().map(Mistake::to_string).collect();
        tracing::error!(product = row.name, "left out: {}", mistakes.join("; "));
    };
    compiled.inspect_err(told).ok().map(Arc::new)
}

/// What upstreams get of an application's attributes. Those that no field can hold are left out.
fn lines(attributes: &Attributes) -> Box<[u8]> {
    attribute_lines(attributes).unwrap_or_else(|_| {
        let held = attributes.iter().filter(|(name, value)| {
            let one = Attributes::from([((*name).clone(), (*value).clone())]);
            attribute_lines(&one).is_ok()
        });
        let held = held.map(|(name, value)| (name.clone(), value.clone())).collect();
        attribute_lines(&held).unwrap_or_default()
    })
}
