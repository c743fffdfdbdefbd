//! The admin listener: statistics for programs and people, health, and reloading.
//!
//! Runs on the control plane and knows the data plane only by what it counts. Whatever it needs of
//! the process (settings in force, the state of reloads) it asks through [`Control`].

mod figures;
mod guard;
mod history;
mod json;
mod listener;
mod page;
mod parts;
mod process;
mod prometheus;
mod routes;
mod server;
mod shown;
pub mod v1;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::acme::NameTold;
use crate::control::catalog::Catalog;
use crate::control::identity;
use crate::control::jwks::IssuerTold;
use crate::control::ledger;
use crate::control::log_writer::LogCounts;
use crate::control::resolve::Resolution;
use crate::control::tls::ListenerCertificates;
use crate::limits::ADMIN_MAX_RENDERINGS;
use crate::stats::{Directory, WorkerState, WorkerStats};

use history::History;
pub use process::Process;
pub use server::{Change, Server};

/// What a reload came to: the new generation, or every mistake of the refused configuration.
pub type Reloading = Pin<Box<dyn Future<Output = Result<u64, Vec<String>>> + Send>>;

/// What the admin listener asks the running gateway.
pub trait Control: Send + Sync + 'static {
    /// Names and ids in force.
    fn directory(&self) -> Arc<Directory>;
    /// Facts about the process as a whole.
    fn facts(&self) -> Facts;
    /// The configuration in force as it was written, secrets blotted out.
    fn config(&self) -> String;
    /// What became of the access log's records.
    fn log_counts(&self) -> LogCounts;
    /// What DNS names were found to be.
    fn resolutions(&self) -> Vec<Resolution>;
    /// The certificates of the listeners that speak TLS.
    fn certificates(&self) -> Arc<[ListenerCertificates]>;
    /// The names that certificates are asked for, and how things stand with each.
    fn acme(&self) -> Vec<(String, NameTold)>;
    /// Questions about who calls, by what they are about.
    fn inquiries(&self) -> Vec<(String, identity::Counts)>;
    /// The issuers whose keys are asked for, by the name of their `[jwt.NAME]`.
    fn issuers(&self) -> Vec<(String, IssuerTold)>;
    /// Who takes tokens: names of `[jwt.NAME]`, and `introspection:NAME` of the others.
    fn takers(&self) -> Vec<String>;
    /// Who may call.
    fn catalog(&self) -> Arc<Catalog>;
    /// Loads the configuration again.
    fn reload(&self) -> Reloading;
}

/// Facts about the process as a whole.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The share of the table of quotas that holds counts, 0 to 1.
    pub quota_table: f64,
    /// The share of the table of proofs that holds some that were used (DPoP), 0 to 1.
    pub proof_table: f64,
    /// How usage gets to the store.
    pub ledger: ledger::Facts,
    /// `server.name`: what it calls itself.
    pub name: String,
    /// Generation of the configuration in force.
    pub generation: u64,
    /// A short hash of the configuration in force.
    pub config_hash: String,
    /// Reloads that took effect.
    pub reloads_ok: u64,
    /// Reloads that were refused.
    pub reloads_failed: u64,
    /// The first mistake of the last reload, when that was refused.
    pub last_reload_error: Option<String>,
    /// When the process started.
    pub started: SystemTime,
    /// The driver of the workers, `io_uring` or `epoll`.
    pub driver: &'static str,
    /// Why that one.
    pub driver_reason: String,
    /// Whether the gateway finishes its requests in order to stop.
    pub draining: bool,
    /// The share of each of the limits' tables that holds state, 0 to 1.
    pub limit_tables: [(&'static str, f64); 2],
}

/// Names of the kinds that workers count by index.
#[derive(Debug, Clone, Copy, Default)]
pub struct KindNames {
    /// Failures the gateway answers itself.
    pub failures: &'static [&'static str],
    /// Malformed requests.
    pub bad_requests: &'static [&'static str],
}

/// All that the admin listener works with.
pub struct AdminState {
    control: Arc<dyn Control>,
    workers: Vec<Arc<WorkerStats>>,
    kinds: KindNames,
    history: Mutex<History>,
    renderings: Semaphore,
}

impl AdminState {
    /// The state for these workers.
    pub fn new(
        control: Arc<dyn Control>,
        workers: Vec<Arc<WorkerStats>>,
        kinds: KindNames,
    ) -> Arc<Self> {
        let (history, renderings) = (Mutex::default(), Semaphore::new(ADMIN_MAX_RENDERINGS));
        Arc::new(Self { control, workers, kinds, history, renderings })
    }

    /// Takes the look that rates come from; [`serve`] does so every second.
    pub fn look(&self, now: Instant) {
        let cpu = Process::look_at_cpu().cpu().unwrap_or(0.0);
        let directory = self.control.directory();
        self.history().look(now, &self.workers, &directory, cpu);
    }

    /// Whether requests are welcome: all workers run and the gateway is not draining.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.control.facts().draining {
            return Err("draining");
        }
        let runs = |worker: &Arc<WorkerStats>| worker.state() == WorkerState::Running;
        if self.workers.is_empty() || !self.workers.iter().all(runs) {
            return Err("not all workers run");
        }
        Ok(())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminState").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

/// Serves the admin listener until `shutdown`, then finishes what was asked.
///
/// # Errors
/// When the listener's own address cannot be told.
pub async fn serve(
    listener: tokio::net::TcpListener,
    state: Arc<AdminState>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let guard = guard::Guard::new(listener.local_addr()?);
    let looks = tokio::spawn(look_every_second(Arc::clone(&state)));
    let app = routes::router(state, guard);
    let shutdown = async move {
        shutdown.await;
        // Another listener may take the looks from here on.
        looks.abort();
    };
    axum::serve(listener::Bounded::new(listener), app).with_graceful_shutdown(shutdown).await
}

async fn look_every_second(state: Arc<AdminState>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = Arc::clone(&state);
        let _ = tokio::task::spawn_blocking(move || state.look(Instant::now())).await;
    }
}

#[cfg(test)]
mod tests;
