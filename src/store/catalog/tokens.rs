//! Tokens of the admin API.

use rusqlite::{OptionalExtension, Row, params};

use super::pages::{List, Page, Paged};
use super::rows::{NewToken, TokenRow, TokenScope};
use super::sqlite::{Sqlite, key, number};
use crate::policy::auth::Digest;
use crate::store::StoreError;

/// Tokens of the admin API.
pub trait Tokens {
    /// The token of this id.
    fn token(&self, id: u64) -> Result<Option<TokenRow>, StoreError>;

    /// The token with this digest, also one that is revoked or over.
    fn token_of(&self, digest: &Digest) -> Result<Option<TokenRow>, StoreError>;

    /// Tokens, those of an account where one is given, the oldest first.
    fn tokens(&self, account: Option<u64>, page: Page) -> Result<Paged<TokenRow>, StoreError>;

    /// Makes a token.
    ///
    /// # Errors
    /// `NotFound` where its account is not there; `Duplicate`.
    fn insert_token(&self, new: &NewToken, now: i64) -> Result<TokenRow, StoreError>;

    /// Revokes it for ever. One that was revoked stays so since then.
    ///
    /// # Errors
    /// `NotFound`.
    fn revoke_token(&self, id: u64, now: i64) -> Result<TokenRow, StoreError>;

    /// Notes when tokens were used, by id. Those that are gone are passed over.
    fn touch_tokens(&self, used: &[(u64, i64)]) -> Result<(), StoreError>;
}

const SELECT: &str = "SELECT * FROM tokens";

impl Tokens for Sqlite<'_> {
    fn token(&self, id: u64) -> Result<Option<TokenRow>, StoreError> {
        let query = format!("{SELECT} WHERE id = ?1");
        Ok(self.connection.query_row(&query, [key(id)], token).optional()?)
    }

    fn token_of(&self, digest: &Digest) -> Result<Option<TokenRow>, StoreError> {
        let query = format!("{SELECT} WHERE digest = ?1");
        Ok(self.connection.query_row(&query, [digest], token).optional()?)
    }

    fn tokens(&self, account: Option<u64>, page: Page) -> Result<Paged<TokenRow>, StoreError> {
        List::of(SELECT).only("account = ?", account.map(key)).page(self, page, token)
    }

    fn insert_token(&self, new: &NewToken, now: i64) -> Result<TokenRow, StoreError> {
        let (scope, account) = match new.scope {
            TokenScope::Read => ("read", None),
            TokenScope::Operate => ("operate", None),
            TokenScope::Account(account) => ("account", Some(self.known_account(account)?.id)),
        };
        let query = "INSERT INTO tokens (digest, hint, label, scope, account, created_at, ends_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING *";
        let account = account.map(key);
        let values = params![new.digest, new.hint, new.label, scope, account, now, new.ends_at];
        let made = self.connection.query_row(query, values, token);
        made.map_err(|error| StoreError::from(error).taken("such a token"))
    }

    fn revoke_token(&self, id: u64, now: i64) -> Result<TokenRow, StoreError> {
        let query = "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2)
                     WHERE id = ?1 RETURNING *";
        let revoked = self.connection.query_row(query, params![key(id), now], token).optional()?;
        revoked.ok_or_else(|| StoreError::not_found("the token"))
    }

    fn touch_tokens(&self, used: &[(u64, i64)]) -> Result<(), StoreError> {
        let query = "UPDATE tokens SET last_used_at = max(?2, coalesce(last_used_at, ?2))
                     WHERE id = ?1";
        let mut statement = self.connection.prepare(query)?;
        for (id, at) in used {
            statement.execute(params![key(*id), at])?;
        }
        Ok(())
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: number(row, "id")?,
        digest: row.get("digest")?,
        hint: row.get("hint")?,
        label: row.get("label")?,
        scope: scope(row)?,
        created_at: row.get("created_at")?,
        ends_at: row.get("ends_at")?,
        revoked_at: row.get("revoked_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

fn scope(row: &Row<'_>) -> rusqlite::Result<TokenScope> {
    // No right but what is written: a word that nobody knows reads an account that is not there.
    Ok(match row.get::<_, String>("scope")?.as_str() {
        "read" => TokenScope::Read,
        "operate" => TokenScope::Operate,
        _ => TokenScope::Account(number(row, "account")?),
    })
}
