//! What is due by the clock: products' next secrets take effect, and old audit records go.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::{Catalog, NotDone, Touched, now};
use crate::limits::{AUDIT_KEPT, CATALOG_UPKEEP};
use crate::store::StoreError;
use crate::store::catalog::Records;

/// Why it was not done.
enum Undone {
    Store(StoreError),
    Change(NotDone),
}

impl From<StoreError> for Undone {
    fn from(why: StoreError) -> Self {
        Self::Store(why)
    }
}

impl From<NotDone> for Undone {
    fn from(why: NotDone) -> Self {
        Self::Change(why)
    }
}

/// Does what is due, as long as the process lives.
pub(in crate::control) async fn keep(catalog: Arc<Catalog>) {
    let mut every = interval(CATALOG_UPKEEP);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match catalog.change(overdue).await {
            Ok(()) | Err(Undone::Change(NotDone::NoStore)) => {}
            Err(Undone::Store(error)) => tracing::error!(%error, "what is due in the store waits"),
            Err(Undone::Change(why)) => tracing::error!(?why, "what was due is not in force"),
        }
    }
}

fn overdue(records: &dyn Records) -> Result<((), Vec<Touched>), Undone> {
    records.forget_audit(now() - AUDIT_KEPT)?;
    let mut touched = Vec::new();
    for id in records.settle_product_secrets(now())? {
        let name = records.product(id)?.map(|product| product.name);
        touched.extend(name.map(|name| Touched::Product(id, name)));
    }
    Ok(((), touched))
}
