//! The part of the gateway that other tasks may look at: what the admin listener shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::acme::{NameTold, Told as AcmeTold};
use super::admin;
use super::catalog::Catalog;
use super::identity;
use super::jwks::{self, IssuerTold};
use super::ledger;
use super::log_writer::LogCounts;
use super::redact::redacted;
use super::resolve::Resolution;
use super::tls::ListenerCertificates;
use crate::io::{Driver, clock};
use crate::policy::auth::jwt;
use crate::policy::{limit, quota};
use crate::snapshot::Snapshot;
use crate::stats::{Directory, WorkerStats};

/// What is told to the admin listener.
pub(super) struct Told {
    pub(super) name: String,
    pub(super) text: Arc<str>,
    pub(super) config_hash: String,
    pub(super) directory: Arc<Directory>,
    pub(super) reloads_ok: u64,
    pub(super) reloads_failed: u64,
    pub(super) last_reload_error: Option<String>,
    pub(super) draining: bool,
    pub(super) certificates: Arc<[ListenerCertificates]>,
}

/// The part of the gateway that other tasks may look at.
pub(super) struct Face {
    pub(super) told: Mutex<Told>,
    pub(super) started: SystemTime,
    pub(super) driver: Driver,
    pub(super) driver_reason: String,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) limits: Arc<limit::Shared>,
    pub(super) quotas: Arc<quota::Counts>,
    pub(super) proofs: Arc<jwt::Proofs>,
    pub(super) ledger: Box<dyn Fn() -> ledger::Facts + Send + Sync>,
    pub(super) log_counts: Box<dyn Fn() -> LogCounts + Send + Sync>,
    pub(super) resolutions: Box<dyn Fn() -> Vec<Resolution> + Send + Sync>,
    pub(super) acme: AcmeTold,
    pub(super) issuers: jwks::Told,
    pub(super) catalog: Arc<Catalog>,
    pub(super) identity: Arc<identity::Told>,
    pub(super) workers: Vec<Arc<WorkerStats>>,
    pub(super) reloads: mpsc::Sender<ReloadRequest>,
}

/// A wish to reload, and where the result goes.
pub type ReloadRequest = oneshot::Sender<Result<u64, Vec<String>>>;

impl Face {
    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl admin::Control for Face {
    fn directory(&self) -> Arc<Directory> {
        self.told().directory.clone()
    }

    fn facts(&self) -> admin::Facts {
        let told = self.told();
        admin::Facts {
            name: told.name.clone(),
            generation: self.snapshot.load().generation,
            config_hash: told.config_hash.clone(),
            reloads_ok: told.reloads_ok,
            reloads_failed: told.reloads_failed,
            last_reload_error: told.last_reload_error.clone(),
            started: self.started,
            driver: self.driver.name(),
            driver_reason: self.driver_reason.clone(),
            draining: told.draining,
            limit_tables: self.limits.used(clock::now_ns()),
            quota_table: self.quotas.used(ledger::now_s()),
            proof_table: self.proofs.used(ledger::now_s()),
            ledger: (self.ledger)(),
        }
    }

    fn config(&self) -> String {
        let text = self.told().text.clone();
        redacted(&text).into_owned()
    }

    fn log_counts(&self) -> LogCounts {
        (self.log_counts)()
    }

    fn resolutions(&self) -> Vec<Resolution> {
        (self.resolutions)()
    }

    fn certificates(&self) -> Arc<[ListenerCertificates]> {
        self.told().certificates.clone()
    }

    fn acme(&self) -> Vec<(String, NameTold)> {
        self.acme.all()
    }

    fn inquiries(&self) -> Vec<(String, identity::Counts)> {
        self.identity.all(&self.workers)
    }

    fn issuers(&self) -> Vec<(String, IssuerTold)> {
        self.issuers.all()
    }

    fn takers(&self) -> Vec<String> {
        let snapshot = self.snapshot.load();
        let verifiers = (0..).map_while(|at| Some(snapshot.verifiers.at(at)?.name.to_string()));
        let servers = (0..).map_while(|at| Some(&snapshot.introspectors.at(at)?.name));
        verifiers.chain(servers.map(|name| format!("introspection:{name}"))).collect()
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    fn reload(&self) -> admin::Reloading {
        let reloads = self.reloads.clone();
        Box::pin(async move {
            let stopping = || vec!["the gateway is stopping".to_string()];
            let (answer, result) = oneshot::channel();
            reloads.send(answer).await.map_err(|_| stopping())?;
            result.await.map_err(|_| stopping())?
        })
    }
}
