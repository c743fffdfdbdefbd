//! Accounts with ACME servers, and the certificates that came of them. Both belong to the server's
//! directory URL: what a staging server gave is never taken for the real one's.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};

/// An account with an ACME server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Addresses that the server was told, in its order, a space between two.
    pub contact: String,
    /// Its URL and key, as the ACME client writes them.
    pub credentials: String,
}

/// A certificate that an ACME server gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and its chain, PEM.
    pub chain: String,
    /// Its private key, PEM.
    pub key: String,
}

impl Store {
    /// The account with the server of this directory.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn acme_account(&self, directory: &str) -> Result<Option<Account>, StoreError> {
        let query = "SELECT contact, credentials FROM acme_accounts WHERE directory = ?1";
        let found = self.connection().query_row(query, [directory], |row| {
            Ok(Account { contact: row.get(0)?, credentials: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    /// Stores the account with the server of this directory, in the place of the one before.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn set_acme_account(&self, directory: &str, account: &Account) -> Result<(), StoreError> {
        let query = "INSERT OR REPLACE INTO acme_accounts (directory, contact, credentials)
                     VALUES (?1, ?2, ?3)";
        let values = params![directory, account.contact, account.credentials];
        self.connection().execute(query, values)?;
        Ok(())
    }

    /// Forgets the account with the server of this directory.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn forget_acme_account(&self, directory: &str) -> Result<(), StoreError> {
        let query = "DELETE FROM acme_accounts WHERE directory = ?1";
        self.connection().execute(query, [directory])?;
        Ok(())
    }

    /// The newest certificate for a name from the server of this directory.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn acme_certificate(
        &self,
        directory: &str,
        name: &str,
    ) -> Result<Option<Certificate>, StoreError> {
        let query = "SELECT chain, private_key FROM acme_certificates
                     WHERE directory = ?1 AND name = ?2";
        let found = self.connection().query_row(query, [directory, name], |row| {
            Ok(Certificate { chain: row.get(0)?, key: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    /// Stores a name's certificate, in the place of the one before.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn set_acme_certificate(
        &self,
        directory: &str,
        name: &str,
        certificate: &Certificate,
    ) -> Result<(), StoreError> {
        let query = "INSERT OR REPLACE INTO acme_certificates (directory, name, chain, private_key)
                     VALUES (?1, ?2, ?3, ?4)";
        let values = params![directory, name, certificate.chain, certificate.key];
        self.connection().execute(query, values)?;
        Ok(())
    }
}
