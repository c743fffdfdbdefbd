//! The running gateway as control sees it: what is in force, and how something new gets there.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::acme::{Acme, Wish};
use super::admin::{self, AdminState, KindNames};
use super::announce::{self, say};
use super::catalog::{self, Catalog, Slots};
use super::compile::{Material, Plan, Takers};
use super::face::{Face, Told};
use super::forward_auth::Gatekeepers;
use super::identity::Identity;
use super::introspection::Introspection;
use super::jwks::{self, Jwks};
use super::ledger::{Ledger, Rhythm};
use super::log_writer::{LogDestination, LogWriter};
use super::publisher::Publisher;
use super::resolve::{Resolver, wanted};
use super::sockets::Bound;
use super::source::Source;
use super::store_file::StoreFile;
use super::tls::{Files, InForce, Issued, ListenerCertificates, Loaded, Resumption, Targets};
use super::watch::Seen;
use crate::accept::Admission;
use crate::config::{Diagnostic, Settings, Severity};
use crate::http::Bad;
use crate::io::{Driver, Inbox};
use crate::limits::DESCRIPTORS_RESERVED;
use crate::policy::{auth, limit, quota};
use crate::respond::failure::Failure;
use crate::session::core::Shared;
use crate::session::inquiry::Reply;
use crate::session::usage::Written;
use crate::snapshot::Snapshot;
use crate::stats::{Directory, Registry, WorkerStats};

pub use super::face::ReloadRequest;

/// Changes the level of the gateway's own log, to one that was checked.
pub type SetLevel = Box<dyn Fn(&str)>;

/// Control's own state. One task owns it, so that reloads come one after another.
pub struct Gateway {
    file: Option<PathBuf>,
    /// What the workers share.
    pub shared: Arc<Shared>,
    /// Counters of each worker.
    pub workers: Vec<Arc<WorkerStats>>,
    /// Names to addresses.
    resolver: Resolver,
    /// The access log.
    pub log: LogWriter,
    /// What was used, on its way to the store.
    pub ledger: Ledger,
    /// Where the ledger's answers come in, of each worker; until they start.
    pub answers: Vec<Inbox<Written>>,
    /// Answers what takes more than a lookup.
    pub identity: Identity,
    /// Where its answers come in, of each worker; until they start.
    pub replies: Vec<Inbox<Reply>>,
    /// Tells workers to drain.
    pub drain: Arc<AtomicBool>,
    /// The admin listener.
    pub admin: admin::Server,
    set_log_level: Option<SetLevel>,
    face: Arc<Face>,
    registry: Registry,
    bound: Bound,
    /// Keys of session tickets and kept sessions, which outlive a reload.
    resumption: Resumption,
    /// How each listener speaks TLS.
    tls: InForce,
    /// What that was made of.
    loaded: Vec<Option<Arc<Loaded>>>,
    /// What must outlive the process.
    store: StoreFile,
    /// Certificates that are asked for.
    acme: Acme,
    /// Who may call.
    catalog: Arc<Catalog>,
    publisher: Arc<Publisher>,
    /// Keys of tokens.
    jwks: Jwks,
    /// Servers that know tokens.
    introspection: Introspection,
    /// Services that are asked whether requests may pass.
    gatekeepers: Gatekeepers,
    /// Tells the watcher which files the configuration names.
    named_files: watch::Sender<Vec<Seen>>,
    /// What is in force, without its routes.
    settings: Arc<Settings>,
}

/// What a gateway is started with.
pub struct Start {
    /// The file that reloads read; `None` for built-in settings, which can't change.
    pub file: Option<PathBuf>,
    /// The configuration.
    pub source: Source,
    /// Where it is told which files the configuration names.
    pub named_files: watch::Sender<Vec<Seen>>,
    /// Number of workers.
    pub workers: usize,
    /// The driver that was chosen, and why.
    pub driver: (Driver, String),
    /// Where changed addresses are told.
    pub addresses_changed: mpsc::Sender<()>,
    /// Where certificates that came, and what proves names, are told.
    pub acme_wishes: mpsc::Sender<Wish>,
    /// Where keys of tokens that came are told.
    pub keys_came: mpsc::Sender<jwks::News>,
    /// Where wishes to reload go.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// How the log's level is changed, where it can be.
    pub set_log_level: Option<SetLevel>,
}

impl Gateway {
    /// Resolves names, binds addresses and compiles the first snapshot.
    ///
    /// # Errors
    /// What is in the way: an address that is taken, a log file that can't be opened.
    pub async fn new(start: Start) -> Result<Self, String> {
        let (config_hash, text) = (start.source.hash(), start.source.text.into());
        let settings = Arc::new(start.source.settings);
        let workers: Vec<_> = (0..start.workers).map(WorkerStats::new).collect();
        let mut resolver = Resolver::new(start.addresses_changed);
        resolver.want(&wanted(&settings)).await;
        let log = LogWriter::start(destination(&settings), settings.access_log.queue)
            .map_err(|e| format!("access_log.path can't be opened: {e}"))?;
        let mut bound = Bound::default();
        let mut registry = Registry::default();
        let mut resumption = Resumption::default();
        let mut store = StoreFile::beside(start.file.as_deref());
        let acme = Acme::start(start.acme_wishes);
        let names = acme.want(&settings, &mut store, start.source.acme_tls)?;
        let issued = acme.issued(names.as_ref());
        let loaded = start.source.tls;
        let listeners = resumption.configs(&settings.listeners, &loaded, &issued)?;
        let acme_tokens = acme.proofs().tokens.clone();
        let tls = InForce { listeners, targets: start.source.target_tls, acme_tokens };
        let catalog = Arc::new(Catalog::default());
        catalog.open(&settings, &mut store)?;
        let quotas = Arc::new(quota::Counts::new());
        let (ledger, answers) = Ledger::start(quotas.clone(), rhythm(&settings), start.workers)
            .map_err(|e| format!("the ledger can't start: {e}"))?;
        open_ledger(&ledger, &catalog)?;
        let (identity, replies) = Identity::start(start.workers)
            .map_err(|e| format!("nobody can be asked who calls: {e}"))?;
        let mut jwks = Jwks::new(start.keys_came);
        let keys = jwks.make(&settings, &start.source.jwt);
        let mut introspection = Introspection::new(start.workers);
        let servers = introspection.make(&settings, &start.source.introspection)?;
        let takers = (keys.verifiers(), servers.introspectors());
        let gatekeepers = Gatekeepers::default();
        let gatekeepers = gatekeepers.make(&settings, &start.source.forward_auth, start.workers)?;
        let material = (tls.clone(), catalog.slots(), takers, &gatekeepers);
        let (snapshot, directory) =
            publishable(&settings, &resolver, &mut bound, &mut registry, &workers, material)?;
        let declared = catalog.declare(&settings).await?;
        let snapshot = Snapshot { directory: declared.directory.clone(), ..snapshot };
        let limits = Arc::new(limit::Shared::new());
        let shared = Arc::new(Shared {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            admission: Admission::new(limits.clone()),
            limits: limits.clone(),
            quotas: quotas.clone(),
            proofs: Arc::default(),
        });
        let publisher =
            Arc::new(Publisher::new(shared.snapshot.clone(), workers.clone(), ledger.wakers()));
        catalog.publish_by(publisher.clone());
        tokio::spawn(catalog::keep(catalog.clone()));
        declared.in_force();
        let face = Arc::new(Face {
            told: Mutex::new(Told {
                name: settings.server.name.clone(),
                text,
                config_hash,
                directory,
                reloads_ok: 0,
                reloads_failed: 0,
                last_reload_error: None,
                draining: false,
                certificates: certificates(&settings, &loaded, &issued),
            }),
            started: SystemTime::now(),
            driver: start.driver.0,
            driver_reason: start.driver.1,
            snapshot: shared.snapshot.clone(),
            limits,
            quotas,
            proofs: shared.proofs.clone(),
            ledger: Box::new(ledger.facts()),
            log_counts: Box::new(log.counter()),
            resolutions: Box::new(resolver.resolutions()),
            acme: acme.told(),
            issuers: jwks.told(),
            catalog: catalog.clone(),
            identity: identity.told(),
            workers: workers.clone(),
            reloads: start.reloads,
        });
        let kinds = KindNames { failures: Failure::KINDS, bad_requests: Bad::NAMES };
        let state = AdminState::new(face.clone(), workers.clone(), kinds);
        acme.apply(names);
        jwks.apply(keys);
        identity.serve(servers.services().chain(gatekeepers.services()));
        introspection.apply(servers);
        Ok(Self {
            file: start.file,
            shared,
            workers,
            resolver,
            log,
            ledger,
            answers,
            identity,
            replies,
            drain: Arc::default(),
            admin: admin::Server::new(state),
            set_log_level: start.set_log_level,
            face,
            registry,
            bound,
            resumption,
            tls,
            loaded,
            store,
            acme,
            catalog,
            publisher,
            jwks,
            introspection,
            gatekeepers,
            named_files: start.named_files,
            settings: lean(settings),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Reads the file again and puts it in force on every worker, or changes nothing.
    ///
    /// # Errors
    /// Every mistake.
    pub async fn reload(&mut self) -> Result<u64, Vec<String>> {
        let result = self.try_reload().await;
        let mut told = self.face.told();
        match &result {
            Ok(generation) => {
                told.reloads_ok += 1;
                told.last_reload_error = None;
                tracing::info!(generation, "reloaded");
            }
            Err(mistakes) => {
                told.reloads_failed += 1;
                told.last_reload_error = mistakes.first().cloned();
                for mistake in mistakes {
                    tracing::error!("reload refused: {mistake}");
                }
            }
        }
        result
    }

    async fn try_reload(&mut self) -> Result<u64, Vec<String>> {
        let Some(file) = &self.file else {
            return Err(vec!["these settings are built in; there is no file to reload".into()]);
        };
        let source = self.read(file.clone()).await?.map_err(refusals)?;
        let (config_hash, settings) = (source.hash(), source.settings);
        for warning in source.warnings {
            tracing::warn!("{warning}");
        }
        let names =
            self.acme.want(&settings, &mut self.store, source.acme_tls).map_err(|e| vec![e])?;
        let issued = self.acme.issued(names.as_ref());
        let targets = source.target_tls.keeping(&self.tls.targets);
        let tls = self.with_tls(&settings, &source.tls, &issued, targets).map_err(|e| vec![e])?;
        let admin = self.admin.prepare(settings.admin.as_ref()).await.map_err(|e| vec![e])?;
        self.resolver.want(&wanted(&settings)).await;
        let settings = Arc::new(settings);
        let keys = self.jwks.make(&settings, &source.jwt);
        let servers = self.introspection.make(&settings, &source.introspection);
        let servers = servers.map_err(|e| vec![e])?;
        let gatekeepers =
            self.gatekeepers.make(&settings, &source.forward_auth, self.workers.len());
        let gatekeepers = gatekeepers.map_err(|mistake| vec![mistake])?;
        let takers = (keys.verifiers(), servers.introspectors());
        let result = self.replace(&settings, &tls, (takers, &gatekeepers)).await;
        let result = result.map_err(|mistake| vec![mistake]);
        match &result {
            Ok(_) => {
                self.tell_what_waits_for_a_restart(&settings);
                self.ledger.change(rhythm(&settings));
                self.log.change(destination(&settings), settings.access_log.queue);
                self.change_log_level(&settings.log.level);
                if let Some(address) = admin.address() {
                    say(&format!("admin {address}\n"));
                }
                self.admin.apply(admin);
                let mut told = self.face.told();
                told.name = settings.server.name.clone();
                told.text = source.text.into();
                told.config_hash = config_hash;
                told.certificates = certificates(&settings, &source.tls, &issued);
                drop(told);
                self.tls = tls;
                self.loaded = source.tls;
                self.acme.apply(names);
                self.jwks.apply(keys);
                self.identity.serve(servers.services().chain(gatekeepers.services()));
                self.introspection.apply(servers);
                self.gatekeepers = gatekeepers;
                self.settings = lean(settings);
            }
            Err(_) => {
                let before = wanted(&self.settings);
                self.resolver.want(&before).await;
            }
        }
        result
    }

    /// Reads the file and those it names, beside whatever else control does: 10,000 certificates
    /// take a while. The watcher then looks at what was named, be it in force or refused: the
    /// mistake may lie in a file that is not there yet.
    async fn read(&self, file: PathBuf) -> Result<Result<Source, Vec<Diagnostic>>, Vec<String>> {
        let reading = tokio::task::spawn_blocking(move || {
            let mut files = Files::beside(&file);
            (Source::read(&file, Some(&mut files)), files.into_seen())
        });
        let (source, seen) = reading.await.map_err(|e| vec![e.to_string()])?;
        if source.is_ok() || !seen.is_empty() {
            self.named_files.send_replace(seen);
        }
        Ok(source)
    }

    fn with_tls(
        &mut self,
        settings: &Settings,
        loaded: &[Option<Arc<Loaded>>],
        issued: &Issued,
        targets: Targets,
    ) -> Result<InForce, String> {
        let listeners = self.resumption.configs(&settings.listeners, loaded, issued)?;
        Ok(InForce { listeners, targets, acme_tokens: self.acme.proofs().tokens.clone() })
    }

    /// Puts new addresses of DNS names in force.
    pub async fn addresses_changed(&mut self) {
        let tls = self.tls.clone();
        match self.republish(&tls).await {
            Ok(generation) => tracing::info!(generation, "addresses of targets changed"),
            Err(error) => tracing::error!(%error, "new addresses of targets can't be used"),
        }
    }

    /// Puts in force what the store has of certificates, and what proves names.
    pub async fn certificates_changed(&mut self, wish: Wish) {
        self.acme.set_proofs(wish.proofs);
        // Nobody waits for it any more: the gateway is stopping.
        let _ = wish.done.send(self.try_certificates().await);
    }

    async fn try_certificates(&mut self) -> Result<(), String> {
        let issued = self.acme.issued(self.acme.in_force().as_ref());
        let (settings, loaded) = (self.settings.clone(), self.loaded.clone());
        let tls = self.with_tls(&settings, &loaded, &issued, self.tls.targets.clone())?;
        let generation = self.republish(&tls).await?;
        self.tls = tls;
        self.face.told().certificates = certificates(&settings, &loaded, &issued);
        tracing::debug!(generation, "certificates changed");
        Ok(())
    }

    /// Publishes the configuration in force with what has changed around it.
    async fn republish(&mut self, tls: &InForce) -> Result<u64, String> {
        let text = self.face.told().text.to_string();
        // It fails where a reference to the environment no longer resolves, say.
        let source = Source::check(text, "the configuration in force", None);
        let settings = source.map_err(|told| refusals(told).join("; "))?.settings;
        let takers = (self.jwks.verifiers(), self.introspection.introspectors());
        let gatekeepers = self.gatekeepers.clone();
        let compiled = self.compile(&settings, tls, (takers, &gatekeepers))?;
        Ok(self.publish(compiled, None).await)
    }

    /// Puts another configuration in force with the products that it declares, or changes nothing.
    async fn replace(
        &mut self,
        settings: &Settings,
        tls: &InForce,
        judges: (Takers, &Gatekeepers),
    ) -> Result<u64, String> {
        let (catalog, bound) = (self.catalog.clone(), self.bound.clone());
        catalog.open(settings, &mut self.store)?;
        open_ledger(&self.ledger, &catalog)?;
        let compiled = self.compile(settings, tls, judges)?;
        // Last, since nobody takes back what the store has.
        let declared = catalog.declare(settings).await.inspect_err(|_| self.bound = bound)?;
        let generation = self.publish(compiled, Some(declared.directory.clone())).await;
        declared.in_force();
        Ok(generation)
    }

    fn compile(
        &mut self,
        settings: &Settings,
        tls: &InForce,
        (takers, gatekeepers): (Takers, &Gatekeepers),
    ) -> Result<Compiled, String> {
        publishable(
            settings,
            &self.resolver,
            &mut self.bound,
            &mut self.registry,
            &self.workers,
            (tls.clone(), self.catalog.slots(), takers, gatekeepers),
        )
    }

    /// Swaps, and waits until no worker begins a request under what was before. Without `applications`
    /// those that are known stay.
    async fn publish(
        &mut self,
        (snapshot, directory): Compiled,
        applications: Option<Arc<auth::Directory>>,
    ) -> u64 {
        self.face.told().directory = directory;
        let published = self.publisher.configuration(snapshot, applications).await;
        let new = announce::listening(&self.shared.snapshot.load(), Some(&published.before));
        new.iter().for_each(|line| say(&format!("{line}\n")));
        published.generation
    }

    /// Puts keys that came in force, and leaves all else as it is.
    pub async fn keys_changed(&mut self, news: jwks::News) {
        if let Some(verifiers) = self.jwks.take(&news) {
            self.publisher.verifiers(verifiers).await;
        }
        // Nobody waits for it any more: the configuration has no such issuer.
        let _ = news.done.send(());
    }

    /// `store.path` is told by whoever opens it.
    fn tell_what_waits_for_a_restart(&self, new: &Settings) {
        let (old, log) = (&self.settings.server, &self.settings.log);
        let keys = [
            ("server.workers", old.workers != new.server.workers),
            ("server.cores", old.cores != new.server.cores),
            ("server.driver", old.driver != new.server.driver),
            ("log.json", log.json != new.log.json),
        ];
        for (key, _) in keys.into_iter().filter(|(_, changed)| *changed) {
            tracing::warn!("{key} changes with a restart only");
        }
    }

    fn change_log_level(&self, level: &str) {
        if let Some(set) = &self.set_log_level
            && level != self.settings.log.level
        {
            set(level);
        }
    }

    /// Tells the workers to finish what they have.
    pub fn begin_drain(&self) {
        self.drain.store(true, Ordering::Release);
        self.face.told().draining = true;
    }
}

/// What is to be published, and what its ids are called.
type Compiled = (Snapshot, Arc<Directory>);

fn publishable(
    settings: &Settings,
    resolver: &Resolver,
    bound: &mut Bound,
    registry: &mut Registry,
    workers: &[Arc<WorkerStats>],
    (tls, slots, takers, gatekeepers): (InForce, &Slots, Takers, &Gatekeepers),
) -> Result<Compiled, String> {
    let sockets = bound.sockets(&settings.listeners, workers.len())?;
    let plan = Plan::new(settings, &resolver.addresses());
    let ids = registry.assign(&plan.names(), workers).map_err(|full| full.to_string())?;
    let max_connections = max_connections(settings);
    let sockets_of = sockets.clone();
    let material = Material {
        ids: &ids,
        sockets: sockets_of,
        tls,
        slots,
        takers,
        gatekeepers: gatekeepers.by_name(),
        max_connections,
    };
    let snapshot = plan.compile(material).map_err(|refusal| refusal.to_string())?;
    bound.keep(&settings.listeners, &sockets)?;
    Ok((snapshot, ids.directory.clone()))
}

/// Why a file is refused; what is only doubtful about it goes to the log.
fn refusals(told: Vec<Diagnostic>) -> Vec<String> {
    let is_error = |one: &Diagnostic| one.severity == Severity::Error;
    let (mistakes, doubts): (Vec<_>, Vec<_>) = told.into_iter().partition(is_error);
    doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
    mistakes.iter().map(ToString::to_string).collect()
}

fn certificates(
    settings: &Settings,
    loaded: &[Option<Arc<Loaded>>],
    issued: &Issued,
) -> Arc<[ListenerCertificates]> {
    let each = settings.listeners.iter().zip(loaded);
    each.filter_map(|(listener, loaded)| {
        let more = issued.validities(listener.tls.as_ref()?);
        let validities = loaded.as_ref()?.validities.clone().with(more);
        Some(ListenerCertificates { listener: listener.name.clone(), validities })
    })
    .collect()
}

/// Client connections allowed: as many as was asked for, but never so many that no descriptor is
/// left for the upstream connection that each may need.
fn max_connections(settings: &Settings) -> usize {
    let descriptors = super::process::descriptors();
    let fit = (descriptors.saturating_sub(DESCRIPTORS_RESERVED) / 2).max(16);
    match settings.server.max_connections {
        Some(asked) if asked > fit => {
            tracing::warn!(
                asked,
                descriptors,
                "server.max_connections is cut down to {fit}: raise the limit of descriptors"
            );
            fit
        }
        Some(asked) => asked,
        None => fit,
    }
}

/// Settings to be kept: without the routes, which the snapshot has compiled, and which may be a
/// hundred thousand. The memory that making them took goes back to the system.
fn lean(settings: Arc<Settings>) -> Arc<Settings> {
    let mut settings = Arc::unwrap_or_clone(settings);
    settings.routes = Vec::new();
    crate::io::memory::release();
    Arc::new(settings)
}

fn rhythm(settings: &Settings) -> Rhythm {
    let store = &settings.store;
    Rhythm { commit_interval: store.commit_interval, keep_hours: store.keep_hours }
}

/// The ledger writes to the store, where there is one.
fn open_ledger(ledger: &Ledger, catalog: &Catalog) -> Result<(), String> {
    let opened = catalog.store().map_or(Ok(()), |store| ledger.open(store));
    opened.map_err(|why| format!("store.path: {why}"))
}

fn destination(settings: &Settings) -> LogDestination {
    match &settings.access_log.path {
        Some(path) => LogDestination::File(path.clone()),
        None => LogDestination::Stdout,
    }
}
