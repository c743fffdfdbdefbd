//! From a configuration to a running gateway, and to its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::admin::{self, AdminState, KindNames};
use super::gateway::{Gateway, ReloadRequest, Start};
use super::process;
use super::source::Source;
use super::watch::{self, Content};
use crate::config::{DriverChoice, Settings};
use crate::http::Bad;
use crate::io::listener::local_address;
use crate::io::{Driver, driver};
use crate::respond::failure::Failure;
use crate::session::journal::Sink;
use crate::stats::WorkerState;
use crate::worker::{self, Plan, cores};

/// What the command line asks for beside the configuration.
#[derive(Debug, Default)]
pub struct Options {
    /// The file to reload from.
    pub file: Option<PathBuf>,
    /// A driver that counts more than the file's.
    pub driver: Option<DriverChoice>,
}

/// Runs a gateway until it is told to stop. `ready` is called once it serves.
pub fn run(source: Source, options: Options, ready: impl FnOnce(&[String])) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the control plane can't start: {error}")),
    };
    match runtime.block_on(serve(source, options, ready)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("tollgate: {why}");
    ExitCode::FAILURE
}

/// The worker threads, and how to stop them.
struct Workers {
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    stop: Arc<AtomicBool>,
}

async fn serve(
    source: Source,
    options: Options,
    ready: impl FnOnce(&[String]),
) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|e| format!("signals can't be had: {e}"))?;
    let descriptors = process::raise_descriptors();
    let server = &source.settings.server;
    let choice = options.driver.unwrap_or(server.driver);
    let (driver, reason) = driver::choose(choice).map_err(|e| e.to_string())?;
    let pins = cores::plan(server.workers, &server.cores, &cores::allowed(), cores::quota());
    println!("driver {}: {reason}", driver.name());
    println!("workers {}, on cores {pins:?}; {descriptors} descriptors", pins.len());
    let (addresses_changed, mut new_addresses) = mpsc::channel(1);
    let (reloads, mut wishes) = mpsc::channel::<ReloadRequest>(16);
    let loaded = Content::of(source.text.as_bytes());
    let start = Start {
        file: options.file.clone(),
        source,
        workers: pins.len(),
        driver: (driver, reason),
        addresses_changed,
        reloads,
    };
    let mut gateway = Gateway::new(start).await?;
    let admin = bind_admin(gateway.settings()).await?;
    let workers = start_workers(&gateway, &pins, driver)?;
    await_workers(&gateway, &workers).await?;
    let lines = addresses(&gateway, admin.as_ref());
    let (admin_end, admin_task) = start_admin(&gateway, admin);
    ready(&lines);
    notify(&[sd_notify::NotifyState::Ready]);
    let mut changes = watch_file(options.file, loaded);
    let mut alive = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = signals.end.received() => break,
            () = received(&mut signals.reload) => reload(&mut gateway).await,
            () = received(&mut signals.reopen) => gateway.log.reopen(),
            Some(answer) = wishes.recv() => {
                let _ = answer.send(gateway.reload().await);
            }
            Some(()) = changes.recv() => {
                if gateway.settings().server.watch {
                    reload(&mut gateway).await;
                }
            }
            Some(()) = new_addresses.recv() => gateway.addresses_changed().await,
            _ = alive.tick() => {
                if let Some(index) = workers.threads.iter().position(JoinHandle::is_finished) {
                    return Err(format!("worker {index} ended by itself"));
                }
            }
        }
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    drain(&gateway, workers, &mut signals).await;
    let _ = admin_end.send(());
    let _ = tokio::time::timeout(Duration::from_secs(1), admin_task).await;
    gateway.log.finish(Duration::from_secs(2));
    Ok(())
}

async fn reload(gateway: &mut Gateway) {
    notify(&[sd_notify::NotifyState::Reloading]);
    let _ = gateway.reload().await;
    notify(&[sd_notify::NotifyState::Ready]);
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}

async fn bind_admin(settings: &Settings) -> Result<Option<TcpListener>, String> {
    let Some(admin) = &settings.admin else { return Ok(None) };
    TcpListener::bind(admin.listen)
        .await
        .map(Some)
        .map_err(|e| format!("admin can't listen on {}: {e}", admin.listen))
}

fn start_workers(gateway: &Gateway, pins: &[usize], driver: Driver) -> Result<Workers, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let threads = pins
        .iter()
        .zip(&gateway.workers)
        .enumerate()
        .map(|(index, (&core, stats))| {
            let sink = gateway.log.sink();
            worker::start(Plan {
                index,
                workers: pins.len(),
                core,
                driver,
                shared: gateway.shared.clone(),
                stats: stats.clone(),
                sink: Box::new(move || -> Sink {
                    Box::new(move |bytes, records| sink.offer(bytes, records))
                }),
                drain: gateway.drain.clone(),
                stop: stop.clone(),
            })
        })
        .collect::<Result<_, _>>()
        .map_err(|e| format!("a worker can't start: {e}"))?;
    Ok(Workers { threads, stop })
}

async fn await_workers(gateway: &Gateway, workers: &Workers) -> Result<(), String> {
    while gateway.workers.iter().any(|w| w.state() == WorkerState::Starting) {
        if let Some(index) = workers.threads.iter().position(JoinHandle::is_finished) {
            return Err(format!("worker {index} could not start"));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Where the gateway can be reached, a line each.
fn addresses(gateway: &Gateway, admin: Option<&TcpListener>) -> Vec<String> {
    let snapshot = gateway.shared.snapshot.load();
    let listeners = snapshot.listeners.iter().filter_map(|listener| {
        let address = local_address(listener.sockets.first()?).ok()?;
        Some(format!("listening {} {address}", listener.name))
    });
    let admin = admin.and_then(|a| a.local_addr().ok()).map(|a| format!("admin {a}"));
    listeners.chain(admin).collect()
}

fn start_admin(
    gateway: &Gateway,
    listener: Option<TcpListener>,
) -> (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (end, ended) = tokio::sync::oneshot::channel();
    let kinds = KindNames { failures: Failure::KINDS, bad_requests: Bad::NAMES };
    let state = AdminState::new(gateway.face(), gateway.workers.clone(), kinds);
    let task = tokio::spawn(async move {
        let Some(listener) = listener else { return };
        let until = async {
            let _ = ended.await;
        };
        if let Err(error) = admin::serve(listener, state, until).await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    (end, task)
}

/// Whether a change reloads is asked anew each time, since a reload may change that too.
fn watch_file(file: Option<PathBuf>, loaded: Content) -> mpsc::Receiver<()> {
    let (changed, changes) = mpsc::channel(1);
    if let Some(file) = file {
        tokio::spawn(watch::watch(file, loaded, changed));
    }
    changes
}

/// Lets the workers finish, until the deadline or a second signal.
async fn drain(gateway: &Gateway, workers: Workers, signals: &mut Signals) {
    let within = gateway.settings().server.drain_timeout;
    tracing::info!(?within, "draining");
    gateway.begin_drain();
    let deadline = Instant::now() + within;
    let finished = || workers.threads.iter().all(JoinHandle::is_finished);
    while !finished() {
        if Instant::now() >= deadline {
            tracing::warn!("the drain timeout has passed: what is left is cut off");
            break;
        }
        tokio::select! {
            () = signals.end.received() => {
                tracing::warn!("a second signal: what is left is cut off");
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    workers.stop.store(true, Ordering::Release);
    for thread in workers.threads {
        let _ = thread.join();
    }
}

struct Signals {
    reload: Signal,
    reopen: Signal,
    end: End,
}

struct End {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            end: End {
                term: signal(SignalKind::terminate())?,
                int: signal(SignalKind::interrupt())?,
            },
        })
    }
}

impl End {
    async fn received(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

async fn received(signal: &mut Signal) {
    let _ = signal.recv().await;
}
