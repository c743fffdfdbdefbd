//! A configuration compiled as for a start, without sockets, addresses and keys: what the checks of
//! single values let pass and a start would refuse is a mistake of the file, whoever reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::Slots;
use super::compile::{Material, Plan};
use super::tls::{InForce, Targets};
use crate::config::{Remark, Settings, Severity};
use crate::policy::auth::forward_auth::Gatekeeper;
use crate::snapshot::Snapshot;
use crate::stats::Registry;

/// Compiles settings without mistakes.
///
/// # Errors
/// What a start would refuse.
pub fn rehearse(
    settings: &Settings,
    gatekeepers: &BTreeMap<String, Arc<Gatekeeper>>,
) -> Result<Snapshot, Box<Remark>> {
    let plan = Plan::new(settings, &BTreeMap::default());
    let ids = Registry::default().assign(&plan.names(), &[]).map_err(|full| {
        let (message, help) = (full.to_string(), String::new());
        Box::new(Remark { severity: Severity::Error, at: Vec::new(), message, help })
    })?;
    let sockets = vec![Arc::default(); settings.listeners.len()];
    let tls = InForce {
        listeners: vec![None; sockets.len()],
        targets: Targets::default(),
        acme_tokens: Arc::default(),
    };
    plan.compile(Material {
        ids: &ids,
        sockets,
        tls,
        slots: &Slots::default(),
        takers: Default::default(),
        gatekeepers,
        max_connections: 1,
    })
}
