//! The account with an ACME server: made once, then kept in the store.

use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};

use super::Wanted;
use super::client::Http;
use super::failure::{Failure, Kind};
use crate::store;

/// The account that certificates are asked with.
pub(super) async fn account(wanted: &Wanted, http: &Http) -> Result<Account, Failure> {
    let directory = &wanted.settings.directory;
    match wanted.store.acme_account(directory)? {
        Some(stored) => known(wanted, stored, http).await,
        None => new(wanted, http).await,
    }
}

/// The account is no longer there: the next time a new one is made.
pub(super) fn forget(wanted: &Wanted) -> Result<(), Failure> {
    Ok(wanted.store.forget_acme_account(&wanted.settings.directory)?)
}

async fn known(wanted: &Wanted, stored: store::Account, http: &Http) -> Result<Account, Failure> {
    let failed = |error: Error| Failure::of(&error, &http.heard());
    let credentials: AccountCredentials = serde_json::from_str(&stored.credentials)
        .map_err(|e| Failure::new(Kind::Store, format!("the account is damaged: {e}")))?;
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let account = builder.from_credentials(credentials).await.map_err(failed)?;
    let contact = contact(wanted);
    if stored.contact != contact.join(" ") {
        account.update_contacts(&contact).await.map_err(failed)?;
        let stored = store::Account { contact: contact.join(" "), ..stored };
        wanted.store.set_acme_account(&wanted.settings.directory, &stored)?;
    }
    Ok(account)
}

async fn new(wanted: &Wanted, http: &Http) -> Result<Account, Failure> {
    let directory = &wanted.settings.directory;
    let contact = contact(wanted);
    let asked = NewAccount {
        contact: &contact,
        // The configuration is not taken without.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let bound = wanted.settings.external_account.as_ref();
    let bound = bound.map(|bound| ExternalAccountKey::new(bound.key_id.clone(), &bound.key));
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let made = builder.create(&asked, directory.clone(), bound.as_ref()).await;
    let (account, credentials) = made.map_err(|error| Failure::of(&error, &http.heard()))?;
    let credentials = serde_json::to_string(&credentials)
        .map_err(|e| Failure::new(Kind::Store, format!("the account can't be written: {e}")))?;
    let stored = store::Account { contact: contact.join(" "), credentials };
    wanted.store.set_acme_account(directory, &stored)?;
    tracing::info!(directory, account = account.id(), "an ACME account was made");
    Ok(account)
}

fn contact(wanted: &Wanted) -> Vec<&str> {
    wanted.settings.contact.iter().map(String::as_str).collect()
}
