//! From a configuration to a running gateway, and to its end.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch as latest};

use super::admin;
use super::announce::{self, say};
use super::gateway::{Gateway, ReloadRequest, SetLevel, Start};
use super::process;
use super::source::Source;
use super::watch::{self, Content, Seen};
use crate::config::DriverChoice;
use crate::io::{Driver, driver};
use crate::limits::LEDGER_LAST;
use crate::session::inquiry::Line;
use crate::session::records::Sink;
use crate::stats::WorkerState;
use crate::worker::{self, Plan, cores};

/// What the command line asks for beside the configuration.
#[derive(Default)]
pub struct Options {
    /// The file to reload from.
    pub file: Option<PathBuf>,
    /// The files that the configuration names.
    pub named_files: Vec<Seen>,
    /// A driver that counts more than the file's.
    pub driver: Option<DriverChoice>,
    /// Changes the level of the gateway's own log.
    pub set_log_level: Option<SetLevel>,
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
    process::outlive_size_limits();
    let server = &source.settings.server;
    let choice = options.driver.unwrap_or(server.driver);
    let (driver, reason) = driver::choose(choice).map_err(|e| e.to_string())?;
    let pins = cores::plan(server.workers, &server.cores, &cores::allowed(), cores::quota());
    say(&format!("driver {}: {reason}\n", driver.name()));
    let workers = pins.len();
    say(&format!("workers {workers}, on cores {pins:?}; {descriptors} descriptors\n"));
    let (addresses_changed, mut new_addresses) = mpsc::channel(1);
    let (acme_wishes, mut acme) = mpsc::channel(1);
    let (keys_came, mut keys) = mpsc::channel(1);
    let (reloads, mut wishes) = mpsc::channel::<ReloadRequest>(16);
    let loaded = Content::of(source.text.as_bytes());
    let (named_files, names) = latest::channel(options.named_files);
    let start = Start {
        file: options.file.clone(),
        named_files,
        source,
        workers,
        driver: (driver, reason),
        set_log_level: options.set_log_level,
        addresses_changed,
        acme_wishes,
        keys_came,
        reloads,
    };
    let mut gateway = Gateway::new(start).await?;
    let admin = gateway.admin.prepare(gateway.settings().admin.as_ref()).await?;
    let workers = start_workers(&mut gateway, &pins, driver)?;
    await_workers(&gateway, &workers).await?;
    let lines = addresses(&gateway, &admin);
    gateway.admin.apply(admin);
    ready(&lines);
    notify(&[NotifyState::Ready]);
    let mut changes = watch_files(options.file, loaded, names);
    let mut alive = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = signals.end.received() => break,
            () = received(&mut signals.reload) => drop(reload(&mut gateway).await),
            () = received(&mut signals.reopen) => gateway.log.reopen(),
            Some(answer) = wishes.recv() => {
                let _ = answer.send(reload(&mut gateway).await);
            }
            Some(()) = changes.recv() => {
                if gateway.settings().server.watch {
                    let _ = reload(&mut gateway).await;
                }
            }
            Some(()) = new_addresses.recv() => gateway.addresses_changed().await,
            Some(news) = keys.recv() => gateway.keys_changed(news).await,
            Some(wish) = acme.recv() => gateway.certificates_changed(wish).await,
            _ = alive.tick() => {
                if let Some(index) = workers.threads.iter().position(JoinHandle::is_finished) {
                    return Err(format!("worker {index} ended by itself"));
                }
            }
        }
    }
    notify(&[NotifyState::Stopping]);
    drain(&gateway, workers, &mut signals).await;
    gateway.admin.stop(Duration::from_secs(1)).await;
    gateway.ledger.finish(LEDGER_LAST);
    gateway.log.finish(Duration::from_secs(2));
    Ok(())
}

async fn reload(gateway: &mut Gateway) -> Result<u64, Vec<String>> {
    // systemd tells by the time whether this answers its signal (Type=notify-reload).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    let result = gateway.reload().await;
    notify(&[NotifyState::Ready]);
    result
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}

fn start_workers(gateway: &mut Gateway, pins: &[usize], driver: Driver) -> Result<Workers, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut answers = std::mem::take(&mut gateway.answers).into_iter();
    let mut replies = std::mem::take(&mut gateway.replies).into_iter();
    let threads = pins
        .iter()
        .zip(&gateway.workers)
        .enumerate()
        .map(|(index, (&core, stats))| {
            let sink = gateway.log.sink();
            let inboxes = answers.next().zip(replies.next());
            let (answers, replies) = inboxes.ok_or_else(|| io::Error::other("no inbox"))?;
            worker::start(Plan {
                index,
                workers: pins.len(),
                core,
                driver,
                shared: gateway.shared.clone(),
                stats: stats.clone(),
                ledger: gateway.ledger.reports(),
                answers,
                inquiries: Line { asker: gateway.identity.asker(), replies },
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
fn addresses(gateway: &Gateway, admin: &admin::Change) -> Vec<String> {
    let admin = admin.address().map(|address| format!("admin {address}"));
    let listeners = announce::listening(&gateway.shared.snapshot.load(), None);
    listeners.into_iter().chain(admin).collect()
}

/// Whether a change reloads is asked anew each time, since a reload may change that too.
fn watch_files(
    file: Option<PathBuf>,
    loaded: Content,
    names: latest::Receiver<Vec<Seen>>,
) -> mpsc::Receiver<()> {
    let (changed, changes) = mpsc::channel(1);
    if let Some(path) = file {
        let config = Seen { path, content: Some(loaded) };
        tokio::spawn(watch::watch(config, names, changed));
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
