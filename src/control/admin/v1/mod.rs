//! `/v1`: products, plans, accounts, applications, keys and what became of them, for programs.
//!
//! Each resource has a file of its own with what it looks like and what can be done with it; the rest
//! is the same for all: who calls ([`caller`]), what they ask ([`extract`], [`paging`]), what is
//! changed and how that is kept ([`change`]), answers ([`answer`]) and refusals ([`problem`]). The
//! OpenAPI document ([`document`]) is made of the same code.
//!
//! Invariants:
//! - Nothing here is answered without a token, and no answer, log line or row has a secret in it, but
//!   the one answer that made it.
//! - What an account's token may not see is not there for it: 404, as if it had never been.
//! - A change and what the audit log says of it are one transaction, in force when it is answered.

mod accounts;
mod answer;
mod applications;
mod audit;
mod caller;
mod change;
mod checked;
mod credential;
mod document;
mod exports;
mod extract;
mod keys;
mod moment;
mod paging;
mod patch;
mod plans;
mod problem;
mod products;
mod seal;
mod secret;
mod signups;
mod strict;
mod tokens;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::middleware;

use super::Control;
use crate::control::catalog::NotDone;
use crate::policy::auth::Digest;
use crate::store::Store;
use crate::store::catalog::Records;
pub use problem::Problem;
use problem::rules;
pub use tokens::first as first_token;

/// What calls work with.
#[derive(Clone)]
pub(super) struct Api {
    control: Arc<dyn Control>,
}

impl Api {
    fn store(&self) -> Result<Arc<Store>, Problem> {
        self.control.catalog().store().cloned().ok_or_else(|| NotDone::NoStore.into())
    }

    /// What digests are keyed with.
    fn secret(&self) -> Result<Digest, Problem> {
        Ok(*self.store()?.secret())
    }

    /// Reads, beside the runtime's own thread.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Records) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.with_store(move |store| store.read(read)).await
    }

    /// Works with the store, beside the runtime's own thread.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.store()?;
        let working = tokio::task::spawn_blocking(move || work(&store));
        let ended = |why: tokio::task::JoinError| Problem::new(rules::INTERNAL, why.to_string());
        working.await.map_err(ended)?
    }

    /// Notes that a token was used. That it can't be is no reason to refuse its bearer.
    async fn note_use(&self, token: u64, at: i64) {
        let Ok(store) = self.store() else { return };
        let noting = move || store.write(|records| records.touch_tokens(&[(token, at)]));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(noting).await {
            tracing::warn!(%error, token, "the use of a token can't be noted");
        }
    }
}

/// All that is answered below `/v1`.
pub(super) fn router(control: Arc<dyn Control>) -> Router {
    let api = Api { control };
    document::routes()
        .fallback(|| async { Problem::not_found("resource") })
        .method_not_allowed_fallback(|| async {
            Problem::new(rules::METHOD, "another method is needed, see Allow")
        })
        .layer(middleware::from_fn_with_state(api.clone(), caller::authenticate))
        .with_state(api)
}
