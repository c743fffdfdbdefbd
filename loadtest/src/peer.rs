//! The proxies: started on the gateway core, watched, stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Workload;
use crate::engine::Engine;
use crate::keys;
use crate::machine::{self, ProcessClock};
use crate::probe;
use crate::template::{self, Setup, Values};
use crate::tls::Identity;

/// How long a proxy may take to answer its first request.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a proxy may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// The name of its configuration, but of Envoy's, which tells the format by the name.
pub const CONFIG: &str = "proxy.conf";
/// The name of Envoy's.
const ENVOY_CONFIG: &str = "proxy.yaml";
/// Log bytes counted before their pages are given back.
const PUNCH_EVERY: u64 = 8 << 20;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Tollgate,
    /// The floor.
    Relay,
    /// NGINX.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
}

impl Kind {
    /// Those that take part everywhere.
    pub const ALL: [Self; 4] = [Self::Tollgate, Self::Relay, Self::Nginx, Self::Haproxy];
    /// Those of them that understand HTTP.
    pub const HTTP: [Self; 3] = [Self::Tollgate, Self::Nginx, Self::Haproxy];
    /// [`Kind::ALL`] and Envoy, which takes part in some scenarios.
    pub const ALL_AND_ENVOY: [Self; 5] =
        [Self::Tollgate, Self::Relay, Self::Nginx, Self::Haproxy, Self::Envoy];
    /// [`Kind::HTTP`] and Envoy.
    pub const HTTP_AND_ENVOY: [Self; 4] = [Self::Tollgate, Self::Nginx, Self::Haproxy, Self::Envoy];
}

/// A proxy that can be started.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name in the tables.
    pub name: String,
    /// Which program it is.
    pub kind: Kind,
    /// Where it is.
    pub program: PathBuf,
}

/// What a proxy is asked to know whether it is ready.
#[derive(Debug, Clone, Copy)]
pub enum Hello<'a> {
    /// A request that asks for the connection to be closed, and must get a 200.
    Request(&'a [u8]),
    /// One exchange of a workload, which must be right.
    Exchange(&'a Workload),
}

/// Why a proxy does not run.
#[derive(Debug)]
pub enum NotStarted {
    /// It ended at once and says that it does not know what its configuration asks for.
    NotOffered(String),
    /// Anything else.
    Failed(String),
}

impl From<String> for NotStarted {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// How the programs call what they were not made for: an unknown key, word or module.
const NOT_OFFERED: [&str; 4] =
    ["no such key", "unknown directive", "unknown keyword", "requires ngx_"];

/// Where and how to start it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Directory for configuration and logs.
    pub dir: &'a Path,
    /// Directory for access logs: in memory, so that no disk is measured.
    pub log_dir: &'a Path,
    /// Gateway core.
    pub core: usize,
    /// Open files that one process may have.
    pub files: u64,
    /// Certificate and key.
    pub identity: &'a Identity,
}

/// A running proxy.
#[derive(Debug)]
pub struct Peer {
    /// Its name in the tables.
    pub name: String,
    /// Which program it is.
    pub kind: Kind,
    /// Its port.
    pub port: u16,
    /// Its admin listener's, where it is Tollgate and the setup has one.
    pub admin: u16,
    /// Where the program is.
    pub program: PathBuf,
    /// Directory of its configuration and logs.
    pub dir: PathBuf,
    /// Its backend's index in the engine.
    pub backend: usize,
    /// Its processes' clocks.
    pub clocks: Vec<ProcessClock>,
    /// From starting the program to its first right answer.
    pub ready_after: Duration,
    /// Its access log, where the setup has one.
    pub log: Option<LogReader>,
    child: Child,
}

impl Peer {
    /// Starts a proxy and waits until `hello` is answered.
    pub fn start(
        spec: &Spec,
        setup: Setup,
        place: Place,
        engine: &mut Engine,
        hello: Hello,
    ) -> Result<Self, NotStarted> {
        let (backend, upstream) =
            engine.add_backend(setup.upstream_speaks()).map_err(|error| error.to_string())?;
        let seed = 18_000 + (backend as u16 * 37) % 8000 + (std::process::id() % 4000) as u16;
        let port = crate::net::free_port(seed).map_err(|error| error.to_string())?;
        let dir = place.dir.join(format!("{}-{backend}", spec.name));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let log = place.log_dir.join(format!("{}-{backend}.log", spec.name));
        let Place { core, files, identity, .. } = place;
        let admin = crate::net::free_port(port + 1).map_err(|error| error.to_string())?;
        let values = Values { port, upstream, core, dir: &dir, log: &log, files, admin, identity };
        let config = dir.join(if spec.kind == Kind::Envoy { ENVOY_CONFIG } else { CONFIG });
        if setup == Setup::Keys {
            fs::write(dir.join("keys.map"), keys::map(spec.kind)).map_err(|e| e.to_string())?;
        }
        if let Some(text) = template::config(spec.kind, setup, &values) {
            fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        }
        let has_log = setup == Setup::Policy && spec.kind != Kind::Relay;
        let reader = if has_log {
            Some(LogReader::create(&log).map_err(|error| format!("{}: {error}", log.display()))?)
        } else {
            None
        };
        let output = dir.join("output.txt");
        // HAProxy logs to its standard output; the cheapest way for it to keep a record.
        let to_log = has_log && spec.kind == Kind::Haproxy;
        let mut command = spec.command(&config, &dir, port, upstream);
        let started = Instant::now();
        let child = spawn(&mut command, if to_log { &log } else { &output }, &output, place.core)
            .map_err(|error| format!("{}: {error}", spec.program.display()))?;
        let mut peer = Self {
            name: spec.name.clone(),
            kind: spec.kind,
            port,
            admin,
            program: spec.program.clone(),
            dir: dir.clone(),
            backend,
            clocks: Vec::new(),
            ready_after: Duration::ZERO,
            log: reader,
            child,
        };
        if let Err(why) = peer.wait_until_ready(engine, hello, started) {
            let words = last_lines(&[&output, &dir.join("error.log")]);
            let ended = matches!(peer.child.try_wait(), Ok(Some(_)));
            return Err(NotStarted::of(ended, why, words));
        }
        peer.clocks = peer.find_clocks()?;
        Ok(peer)
    }

    fn wait_until_ready(
        &mut self,
        engine: &mut Engine,
        hello: Hello,
        started: Instant,
    ) -> Result<(), String> {
        let mut last = String::from("no answer");
        while started.elapsed() < READY_WITHIN && !crate::scenario::interrupted() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended at its start: {status}", self.name));
            }
            match greet(engine, self.port, hello) {
                Ok(()) => {
                    self.ready_after = started.elapsed();
                    return Ok(());
                }
                Err(why) => last = why,
            }
            engine.rest(1_000_000);
        }
        Err(format!("{} did not get ready: {last}", self.name))
    }

    /// NGINX's work is its worker's; everybody else's their own.
    fn find_clocks(&self) -> Result<Vec<ProcessClock>, String> {
        let main = self.child.id() as i32;
        let children = machine::children_of(main);
        let pids = if children.is_empty() { vec![main] } else { children };
        pids.iter()
            .map(|&pid| ProcessClock::of(pid).map_err(|error| format!("clock of {pid}: {error}")))
            .collect()
    }

    /// Process ids, for a profiler.
    pub fn pids(&self) -> Vec<i32> {
        self.clocks.iter().map(|clock| clock.pid()).collect()
    }

    /// Resident bytes of all its processes.
    pub fn resident(&self) -> u64 {
        self.clocks.iter().map(ProcessClock::resident).sum()
    }

    /// Counts what the access log has grown by and returns all lines so far.
    pub fn log_lines(&mut self) -> u64 {
        self.log.as_mut().map_or(0, |log| {
            log.catch_up();
            log.lines
        })
    }

    /// CPU nanoseconds used so far.
    pub fn used_ns(&self) -> u64 {
        self.clocks.iter().map(ProcessClock::used_ns).sum()
    }

    /// User and system ticks so far.
    pub fn user_system_ticks(&self) -> (u64, u64) {
        self.clocks
            .iter()
            .map(ProcessClock::user_system_ticks)
            .fold((0, 0), |sum, ticks| (sum.0 + ticks.0, sum.1 + ticks.1))
    }
}

fn greet(engine: &mut Engine, port: u16, hello: Hello) -> Result<(), String> {
    let request = match hello {
        Hello::Exchange(workload) => return engine.try_once(port, workload),
        Hello::Request(request) => request,
    };
    match probe::ask(engine, port, request, 2_000_000_000) {
        Ok(response) if response.starts_with(b"HTTP/1.1 200") => Ok(()),
        Ok(response) => Err(String::from_utf8_lossy(&response).lines().next().unwrap_or("").into()),
        Err(error) => Err(error.to_string()),
    }
}

impl NotStarted {
    fn of(ended: bool, why: String, words: String) -> Self {
        let unknown =
            words.lines().find(|line| NOT_OFFERED.iter().any(|unknown| line.contains(unknown)));
        match unknown {
            Some(line) if ended => Self::NotOffered(line.trim().into()),
            _ => Self::Failed(format!("{why}\n{words}")),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let main = self.child.id() as i32;
        let children = machine::children_of(main);
        signal(main, libc::SIGTERM);
        let end = Instant::now() + STOP_WITHIN;
        while Instant::now() < end {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        children.into_iter().for_each(|pid| signal(pid, libc::SIGKILL));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Spec {
    fn command(&self, config: &Path, dir: &Path, port: u16, upstream: u16) -> Command {
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Tollgate => command.arg("run").arg("-c").arg(config),
            Kind::Relay => {
                command.arg(format!("127.0.0.1:{port}")).arg(format!("127.0.0.1:{upstream}"))
            }
            Kind::Nginx => {
                command.arg("-p").arg(dir).arg("-c").arg(config).arg("-e").arg("error.log")
            }
            Kind::Haproxy => command.arg("-db").arg("-f").arg(config),
            Kind::Envoy => command
                .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn", "-c"])
                .arg(config),
        };
        command
    }
}

fn spawn(command: &mut Command, out: &Path, err: &Path, core: usize) -> io::Result<Child> {
    let append = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
    command.stdin(Stdio::null()).stdout(append(out)?).stderr(append(err)?);
    // SAFETY: only async-signal-safe system calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            // A session of its own: Ctrl-C is for us, and we stop our children.
            libc::setsid();
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            machine::raise_priority();
            machine::pin_to(core)
        });
    }
    command.spawn()
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: plain system call on a process that this program started.
    unsafe {
        libc::kill(pid, signal);
    }
}

fn last_lines(files: &[&Path]) -> String {
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let all: Vec<String> =
        texts.flat_map(|t| t.lines().map(String::from).collect::<Vec<_>>()).collect();
    all[all.len().saturating_sub(12)..].join("\n")
}

/// Counts the lines of a growing access log and gives its memory back as it goes.
#[derive(Debug)]
pub struct LogReader {
    reader: BufReader<File>,
    read: u64,
    punched: u64,
    /// Lines so far.
    pub lines: u64,
}

impl LogReader {
    fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        Ok(Self { reader: BufReader::new(file), read: 0, punched: 0, lines: 0 })
    }

    /// Counts what was written since.
    pub fn catch_up(&mut self) {
        while let Ok(bytes) = self.reader.fill_buf() {
            if bytes.is_empty() {
                break;
            }
            let n = bytes.len();
            self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.reader.consume(n);
            self.read += n as u64;
        }
        if self.read - self.punched > PUNCH_EVERY {
            let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            // SAFETY: plain system call. Where it is not supported the file only stays bigger.
            unsafe {
                libc::fallocate(self.reader.get_ref().as_raw_fd(), mode, 0, self.read as i64);
            }
            self.punched = self.read;
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unknown_is_not_offered() {
        let of = |ended, words: &str| NotStarted::of(ended, "it ended".into(), words.into());
        let unknown = "proxy.conf:4:1: error: listeners[0].protocols: there is no such key";
        assert!(matches!(of(true, unknown), NotStarted::NotOffered(line) if line == unknown));
        assert!(matches!(of(false, unknown), NotStarted::Failed(_)));
        let taken = "bind() to 127.0.0.1:1 failed (98: Address already in use)";
        assert!(matches!(of(true, taken), NotStarted::Failed(why) if why.contains(taken)));
    }
}
