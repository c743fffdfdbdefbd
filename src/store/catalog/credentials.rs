//! Credentials of applications.

use rusqlite::{OptionalExtension, Row, params};

use super::pages::{List, Page, Paged};
use super::rows::{CredentialRow, NewCredential};
use super::sqlite::{Sqlite, key, number};
use crate::config::file::CredentialKind;
use crate::limits::{APPLICATION_CREDENTIALS_MAX, APPLICATION_CREDENTIALS_PAST};
use crate::policy::auth::Digest;
use crate::store::{ErrorKind, StoreError};

/// Which credentials; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialFilter {
    /// Of this application.
    pub application: Option<u64>,
    /// Of this kind.
    pub kind: Option<CredentialKind>,
    /// Neither revoked nor over at this time.
    pub live_at: Option<i64>,
    /// Not used since then: later neither made nor used.
    pub unused_since: Option<i64>,
}

/// Credentials of applications.
pub trait Credentials {
    /// The credential of this id.
    fn credential(&self, id: u64) -> Result<Option<CredentialRow>, StoreError>;

    /// Credentials, the oldest first.
    fn credentials(
        &self,
        filter: &CredentialFilter,
        page: Page,
    ) -> Result<Paged<CredentialRow>, StoreError>;

    /// Makes a credential.
    ///
    /// # Errors
    /// `NotFound` where the application is not there; `Duplicate` where one with this digest is
    /// neither revoked nor over; `TooMany` where it has [`APPLICATION_CREDENTIALS_MAX`] that live. Of
    /// those that were revoked the latest [`APPLICATION_CREDENTIALS_PAST`] stay.
    fn insert_credential(&self, new: &NewCredential, now: i64)
    -> Result<CredentialRow, StoreError>;

    /// Makes the credential that follows another one of the same application and kind, which ends at
    /// `until` (or before, if it would anyway): the old one and the new one.
    ///
    /// # Errors
    /// As `insert_credential`; `NotFound` also where the old one is not there or lives no more.
    fn rotate_credential(
        &self,
        id: u64,
        new: &NewCredential,
        until: i64,
        now: i64,
    ) -> Result<(CredentialRow, CredentialRow), StoreError>;

    /// Changes label and end to those of this row.
    ///
    /// # Errors
    /// `NotFound`.
    fn update_credential(&self, row: &CredentialRow) -> Result<CredentialRow, StoreError>;

    /// Revokes it for ever. One that was revoked stays so since then.
    ///
    /// # Errors
    /// `NotFound`.
    fn revoke_credential(&self, id: u64, now: i64) -> Result<CredentialRow, StoreError>;

    /// Notes when credentials were used, by id. Those that are gone are passed over.
    fn touch_credentials(&self, used: &[(u64, i64)]) -> Result<(), StoreError>;
}

/// Users, certificates and claims are known by digests that name their product. Those of before name none and
/// are found by nobody, so they are not to look as if they were good.
pub(in crate::store) const SCHEMA: &str = "
    UPDATE credentials SET revoked_at = unixepoch()
        WHERE kind IN ('basic', 'certificate', 'jwt') AND revoked_at IS NULL;";

const SELECT: &str = "SELECT * FROM credentials";

impl Credentials for Sqlite<'_> {
    fn credential(&self, id: u64) -> Result<Option<CredentialRow>, StoreError> {
        let query = format!("{SELECT} WHERE id = ?1");
        Ok(self.connection.query_row(&query, [key(id)], credential).optional()?)
    }

    fn credentials(
        &self,
        filter: &CredentialFilter,
        page: Page,
    ) -> Result<Paged<CredentialRow>, StoreError> {
        List::of(SELECT)
            .only("application = ?", filter.application.map(key))
            .only("kind = ?", filter.kind)
            .only("revoked_at IS NULL AND coalesce(ends_at > ?, true)", filter.live_at)
            .only("max(created_at, coalesce(last_used_at, 0)) < ?", filter.unused_since)
            .page(self, page, credential)
    }

    fn insert_credential(
        &self,
        new: &NewCredential,
        now: i64,
    ) -> Result<CredentialRow, StoreError> {
        self.known_application(new.application)?;
        self.room_for_one(new.application, now)?;
        self.forget_past(new.application, now)?;
        self.free_digest(&new.digest, now)?;
        let query = "INSERT INTO credentials
                         (application, kind, digest, hint, password, label, created_at, ends_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING *";
        let values = params![
            key(new.application),
            new.kind,
            new.digest,
            new.hint,
            new.password,
            new.label,
            now,
            new.ends_at
        ];
        let made = self.connection.query_row(query, values, credential);
        made.map_err(|error| StoreError::from(error).taken("such a credential"))
    }

    fn rotate_credential(
        &self,
        id: u64,
        new: &NewCredential,
        until: i64,
        now: i64,
    ) -> Result<(CredentialRow, CredentialRow), StoreError> {
        let old = self.known_credential(id)?;
        let lives = old.revoked_at.is_none() && old.ends_at.is_none_or(|end| end > now);
        if !lives || (old.application, old.kind) != (new.application, new.kind) {
            return Err(StoreError::not_found("a live credential to follow"));
        }
        let ends_at = Some(old.ends_at.map_or(until, |end| end.min(until)));
        let old = self.update_credential(&CredentialRow { ends_at, ..old })?;
        Ok((old, self.insert_credential(new, now)?))
    }

    fn update_credential(&self, row: &CredentialRow) -> Result<CredentialRow, StoreError> {
        let query = "UPDATE credentials SET label = ?2, ends_at = ?3 WHERE id = ?1 RETURNING *";
        let values = params![key(row.id), row.label, row.ends_at];
        let changed = self.connection.query_row(query, values, credential).optional()?;
        changed.ok_or_else(|| StoreError::not_found("the credential"))
    }

    fn revoke_credential(&self, id: u64, now: i64) -> Result<CredentialRow, StoreError> {
        let query = "UPDATE credentials SET revoked_at = coalesce(revoked_at, ?2)
                     WHERE id = ?1 RETURNING *";
        let values = params![key(id), now];
        let revoked = self.connection.query_row(query, values, credential).optional()?;
        revoked.ok_or_else(|| StoreError::not_found("the credential"))
    }

    fn touch_credentials(&self, used: &[(u64, i64)]) -> Result<(), StoreError> {
        let query = "UPDATE credentials SET last_used_at = max(?2, coalesce(last_used_at, ?2))
                     WHERE id = ?1";
        let mut statement = self.connection.prepare(query)?;
        for (id, at) in used {
            statement.execute(params![key(*id), at])?;
        }
        Ok(())
    }
}

impl Sqlite<'_> {
    fn known_credential(&self, id: u64) -> Result<CredentialRow, StoreError> {
        self.credential(id)?.ok_or_else(|| StoreError::not_found("the credential"))
    }

    /// One that is over keeps nobody from having its digest, such as a certificate's, again.
    fn free_digest(&self, digest: &Digest, now: i64) -> Result<(), StoreError> {
        let query = "UPDATE credentials SET revoked_at = ends_at
                     WHERE digest = ?1 AND revoked_at IS NULL AND ends_at <= ?2";
        self.connection.execute(query, params![digest, now])?;
        Ok(())
    }

    /// Those that are over count as revoked from now on, and are forgotten the next time: whoever made
    /// a directory of them must still learn that they are none of it.
    fn forget_past(&self, application: u64, now: i64) -> Result<(), StoreError> {
        let query = "DELETE FROM credentials WHERE id IN (
                         SELECT id FROM credentials
                         WHERE application = ?1 AND revoked_at IS NOT NULL
                         ORDER BY revoked_at DESC, id DESC LIMIT -1 OFFSET ?2)";
        let values = params![key(application), key(APPLICATION_CREDENTIALS_PAST)];
        self.connection.execute(query, values)?;
        let query = "UPDATE credentials SET revoked_at = ends_at
                     WHERE application = ?1 AND revoked_at IS NULL AND ends_at <= ?2";
        self.connection.execute(query, params![key(application), now])?;
        Ok(())
    }

    fn room_for_one(&self, application: u64, now: i64) -> Result<(), StoreError> {
        let query = "SELECT count(*) AS n FROM credentials WHERE application = ?1
                         AND revoked_at IS NULL AND coalesce(ends_at > ?2, true)";
        let values = params![key(application), now];
        let live = self.connection.query_row(query, values, |row| number(row, "n"))?;
        if live >= APPLICATION_CREDENTIALS_MAX {
            let text = format!("the application has {live} live credentials, as many as may be");
            return Err(StoreError::new(ErrorKind::TooMany, text));
        }
        Ok(())
    }
}

fn credential(row: &Row<'_>) -> rusqlite::Result<CredentialRow> {
    Ok(CredentialRow {
        id: number(row, "id")?,
        application: number(row, "application")?,
        kind: row.get("kind")?,
        digest: row.get("digest")?,
        hint: row.get("hint")?,
        password: row.get("password")?,
        label: row.get("label")?,
        created_at: row.get("created_at")?,
        ends_at: row.get("ends_at")?,
        revoked_at: row.get("revoked_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}
