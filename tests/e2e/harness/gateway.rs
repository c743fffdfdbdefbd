//! The real binary, started on a configuration of a test, killed when the test ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::confined::Confined;
use super::gate::Watched;
use super::process::{self, BINARY, signal};
use super::{Client, PATIENCE, Response, Stats, eventually};

/// What drives a worker's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

impl Driver {
    /// The value of `--driver`.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// Whether the kernel lets us have a ring; where it does not, the gateway's fallback is
    /// tested instead.
    pub fn allowed_here(self) -> bool {
        static RING: OnceLock<bool> = OnceLock::new();
        self == Self::Epoll || *RING.get_or_init(Self::ring_allowed)
    }

    fn ring_allowed() -> bool {
        let mut parameters = [0u8; 120];
        // SAFETY: io_uring_setup writes at most sizeof(struct io_uring_params) = 120 bytes.
        let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
        if ring >= 0 {
            // SAFETY: the descriptor was just opened and is owned by nobody else.
            unsafe { libc::close(ring as i32) };
        } else {
            eprintln!("io_uring is not allowed here: {}", std::io::Error::last_os_error());
        }
        ring >= 0
    }
}

/// Sections put in front of what a test does not say itself.
const DEFAULTS: &[(&str, &str)] = &[
    ("[server]", "[server]\nworkers = 2\nwatch = false\n"),
    ("[admin]", "[admin]\nlisten = \"127.0.0.1:0\"\n"),
    ("[access_log]", "[access_log]\nformat = \"off\"\n"),
    ("[[listeners]]", "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n"),
];

/// A configuration with the sections that the text left out. The text keeps its line numbers.
pub fn complete(text: &str) -> String {
    let mut whole = text.to_owned();
    for (section, default) in DEFAULTS {
        if !text.lines().any(|l| l.trim_start().starts_with(section)) {
            whole.push('\n');
            whole.push_str(default);
        }
    }
    whole
}

/// A gateway about to start.
pub struct Builder {
    driver: Option<Driver>,
    text: String,
    confined: Confined,
    environment: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    unread_log: bool,
}

impl Builder {
    /// Starts with at most so many open descriptors.
    pub fn hard_nofile(mut self, files: u64) -> Self {
        self.confined.files = Some(files);
        self
    }

    /// Starts with one core of the machine allowed.
    pub fn on_core(mut self, core: usize) -> Self {
        self.confined.core = Some(core);
        self
    }

    /// Starts where io_uring is forbidden, as container runtimes do.
    pub fn without_io_uring(mut self) -> Self {
        self.confined.no_io_uring = true;
        self
    }

    /// Starts with another file in place of /etc/hosts.
    pub fn hosts(mut self, file: &Path) -> Self {
        self.confined.hosts = Some(file.to_owned());
        self
    }

    /// Starts where nothing can be written in this folder.
    pub fn read_only(mut self, folder: &Path) -> Self {
        self.confined.read_only = Some(folder.to_owned());
        self
    }

    /// Starts where this folder is a disk of its own, of so many bytes, with what was in the folder.
    pub fn small_disk(mut self, folder: &Path, bytes: u64) -> Self {
        self.confined.small = Some((folder.to_owned(), bytes));
        self
    }

    /// Starts with a log that nobody reads: a pipe that fills up.
    pub fn unread_log(mut self) -> Self {
        self.unread_log = true;
        self
    }

    /// Lets the gateway choose its driver itself.
    pub fn any_driver(mut self) -> Self {
        self.driver = None;
        self
    }

    /// Starts with an environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a file beside the configuration.
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// Starts and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let gateway = self.start_unready();
        gateway.wait_ready();
        gateway
    }

    /// Starts what need not become ready.
    #[track_caller]
    pub fn start_unready(self) -> Gateway {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("tollgate.toml");
        fs::write(&config, complete(&self.text)).expect("a config file");
        for (name, content) in &self.files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, content).expect("a file");
            // What keys are to have; nothing needs more.
            let mode = fs::Permissions::from_mode(0o640);
            fs::set_permissions(path, mode).expect("permissions");
        }
        let mut command = match &self.confined.small {
            None => Command::new(BINARY),
            Some((disk, _)) => filled(disk, &folder.path().join("disk")),
        };
        command.args(["run", "-c"]).arg(&config);
        command.args(self.driver.iter().flat_map(|d| ["--driver", d.name()]));
        command.envs(self.environment).current_dir(folder.path());
        self.confined.apply(&mut command);
        let mut gateway = Gateway::spawn_with(command, !self.unread_log);
        gateway.folder = Some(folder);
        gateway
    }
}

/// The binary behind a shell that fills its disk with what its folder holds now.
fn filled(disk: &Path, beside: &Path) -> Command {
    let copied = Command::new("cp").arg("-a").arg(disk).arg(beside).status();
    assert!(copied.expect("cp runs").success());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"cp -a "$1/." "$2" && shift 2 && exec "$@""#, "sh"]);
    command.arg(beside).arg(disk).arg(BINARY);
    command
}

/// What a process printed so far.
#[derive(Default)]
struct Printed {
    text: String,
    ended: bool,
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    output: Arc<Watched<Printed>>,
    log: Arc<Watched<Printed>>,
    folder: Option<tempfile::TempDir>,
}

impl Gateway {
    /// Starts the gateway and waits until it is ready. Sections the text leaves out (`[server]`,
    /// `[admin]`, `[access_log]`, `[[listeners]]`) are filled in for tests.
    #[track_caller]
    pub fn start(driver: Driver, text: impl AsRef<str>) -> Self {
        Self::with(driver, text).start()
    }

    /// A gateway to be started with more than a configuration.
    pub fn with(driver: Driver, text: impl AsRef<str>) -> Builder {
        Builder {
            driver: Some(driver),
            text: text.as_ref().to_owned(),
            confined: Confined::default(),
            environment: Vec::new(),
            files: Vec::new(),
            unread_log: false,
        }
    }

    /// A gateway in front of one upstream, all requests to it.
    #[track_caller]
    pub fn before(driver: Driver, upstream: &super::Upstream) -> Self {
        Self::start(driver, forward_all(&upstream.address))
    }

    /// The same with further keys of its route.
    #[track_caller]
    pub fn before_with(driver: Driver, upstream: &super::Upstream, keys: &str) -> Self {
        Self::start(driver, format!("{}{keys}\n", forward_all(&upstream.address)))
    }

    /// Starts any command of the binary that prints what it listens on.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_with(command, true)
    }

    fn spawn_with(mut command: Command, read_log: bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let output = collect(child.stdout.take().expect("a pipe"));
        // Where it is not read, the pipe stays with the child's handle and fills up.
        let log = match read_log {
            true => collect(child.stderr.take().expect("a pipe")),
            false => Arc::default(),
        };
        Self { child, output, log, folder: None }
    }

    /// Waits for the line `ready`.
    #[track_caller]
    pub fn wait_ready(&self) {
        let ready = self.output.wait_for(PATIENCE, |p| {
            let ready = p.text.lines().any(|l| l == "ready");
            (ready || p.ended).then_some(ready)
        });
        assert_eq!(ready, Some(true), "not ready:\n{}\n{}", self.output(), self.log());
    }

    /// Where a listener is bound.
    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.bound(&format!("listening {listener} "))
    }

    /// Where the listener `web` is bound.
    #[track_caller]
    pub fn web(&self) -> SocketAddr {
        self.address("web")
    }

    /// Where the admin listener is bound.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        self.bound("admin ")
    }

    #[track_caller]
    fn bound(&self, prefix: &str) -> SocketAddr {
        let found = self.output.wait_for(PATIENCE, |p| {
            p.text.lines().rev().find_map(|l| l.strip_prefix(prefix)?.trim().parse().ok())
        });
        found.unwrap_or_else(|| panic!("no line `{prefix}ADDRESS`:\n{}", self.output()))
    }

    /// Connects to `web`.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.web())
    }

    /// One request to `web` on a connection of its own.
    #[track_caller]
    pub fn once(&self, request: &str) -> Response {
        Client::once(self.web(), request)
    }

    /// `GET path` for host `test.example` on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.connect().get(path)
    }

    /// `GET path` from the admin listener.
    #[track_caller]
    pub fn admin_get(&self, path: &str) -> Response {
        Client::once(
            self.admin(),
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
    }

    /// `POST path` to the admin listener, no body.
    #[track_caller]
    pub fn admin_post(&self, path: &str) -> Response {
        Client::once(
            self.admin(),
            &format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        )
    }

    /// The stats as they are now.
    #[track_caller]
    pub fn stats(&self) -> Stats {
        Stats::parse(&self.admin_get("/stats").expect(200).body)
    }

    /// Waits until the stats say so.
    #[track_caller]
    pub fn wait_stats(&self, what: &str, mut holds: impl FnMut(&Stats) -> bool) {
        eventually(what, || holds(&self.stats()));
    }

    /// The folder that the configuration stands in.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("started from a text").path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder().join("tollgate.toml")
    }

    /// Replaces the configuration file in one step; says nothing to the gateway.
    pub fn rewrite(&self, text: impl AsRef<str>) {
        let beside = self.folder().join("next.toml");
        fs::write(&beside, complete(text.as_ref())).expect("a config file");
        fs::rename(beside, self.config()).expect("the file takes its place");
    }

    /// Replaces the configuration and reloads; fails if the gateway refuses it.
    #[track_caller]
    pub fn reload(&self, text: impl AsRef<str>) {
        self.rewrite(text);
        let answer = self.admin_post("/reload");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// What it wrote to standard output so far.
    pub fn output(&self) -> String {
        self.output.look(|p| p.text.clone())
    }

    /// Waits for a line on standard output.
    #[track_caller]
    pub fn wait_output(&self, what: &str, found: impl Fn(&str) -> bool) -> String {
        wait_line(&self.output, what, found)
    }

    /// What it wrote to its log (standard error) so far.
    pub fn log(&self) -> String {
        self.log.look(|p| p.text.clone())
    }

    /// Waits for a line in its log.
    #[track_caller]
    pub fn wait_log(&self, what: &str, found: impl Fn(&str) -> bool) -> String {
        wait_line(&self.log, what, found)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, number: i32) {
        signal(self.pid(), number);
    }

    /// A file as the gateway sees it, which may have disks of its own.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// Lets files that it writes be so long at most from now on: beyond that writing fails.
    pub fn limit_file_size(&self, bytes: u64) {
        process::limit_file_size(self.pid(), bytes);
    }

    /// Lets it open so many descriptors at most from now on; those that are open stay.
    pub fn limit_descriptors(&self, count: u64) {
        process::limit_descriptors(self.pid(), count);
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> u64 {
        process::resident(self.pid(), "VmRSS")
    }

    /// Resident memory at its peak so far, bytes.
    pub fn peak_resident(&self) -> u64 {
        process::resident(self.pid(), "VmHWM")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        process::descriptors(self.pid())
    }

    /// CPU time spent so far.
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(10 * process::cpu_ticks(self.pid()))
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits until the process ends.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- gateway's output\n{}--- its log\n{}", self.output(), self.log());
        }
        // It may have ended already, as a test wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a configuration that sends everything to one target.
pub fn forward_all(target: &str) -> String {
    format!(
        "[upstreams.app]\ntargets = [\"{target}\"]\n\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n"
    )
}

fn wait_line(printed: &Watched<Printed>, what: &str, found: impl Fn(&str) -> bool) -> String {
    let line = printed.wait_for(PATIENCE, |p| p.text.lines().find(|l| found(l)).map(str::to_owned));
    line.unwrap_or_else(|| panic!("no line: {what}\n{}", printed.look(|p| p.text.clone())))
}

fn collect(from: impl Read + Send + 'static) -> Arc<Watched<Printed>> {
    let printed = Arc::new(Watched::<Printed>::default());
    let into = Arc::clone(&printed);
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            into.change(|p| p.text.push_str(&String::from_utf8_lossy(&line)));
            line.clear();
        }
        into.change(|p| p.ended = true);
    });
    printed
}
