//! The command line.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder};

use tollgate::cli;
use tollgate::config::{self, Diagnostic, DriverChoice, Settings};
use tollgate::control::announce::say;
use tollgate::control::gateway::SetLevel;
use tollgate::control::run::{Options, run};
use tollgate::control::source::Source;
use tollgate::control::tls::Files;
use tollgate::control::watch::Seen;
use tollgate::control::{conflicts, demo, explain};
use tollgate::limits::LOG_LINES;

/// An API gateway and edge proxy: one thread and one io_uring per core.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    ///
    /// SIGHUP, a changed file, or POST /reload on the admin listener reload the configuration;
    /// SIGTERM and SIGINT drain; SIGUSR1 opens the access log again.
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// The driver of the workers, instead of the file's `server.driver`.
        #[arg(long, value_enum)]
        driver: Option<DriverArg>,
    },
    /// Check a configuration and report every mistake in it.
    ///
    /// Ends with status 0 where there is none (warnings do not count). Files, folders and cores are those of
    /// this machine.
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Say which route a request would take, why not another, and what applies to it.
    ///
    /// Ends with status 0 where a route matches, 3 where none does.
    ///
    /// Example: tollgate explain -c tollgate.toml GET http://api.example.com/orders/7 -H 'x-tier: gold'
    Explain {
        #[command(flatten)]
        config: ConfigFile,
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// A field of the request, as `Name: value`; may be given several times.
        #[arg(short = 'H', long = "header", value_name = "FIELD")]
        headers: Vec<String>,
        /// What its token says, as `name=value`, of a token that all routes would take; may be given several
        /// times.
        #[arg(long = "claim", value_name = "CLAIM")]
        claims: Vec<String>,
    },
    /// Run a gateway in front of a small API that is built in, and say what to try.
    Demo {
        /// Where the gateway listens.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Where the gateway listens for https, with a certificate made for this.
        #[arg(long, default_value = "127.0.0.1:8443")]
        listen_tls: SocketAddr,
        /// Where the admin listener is.
        #[arg(long, default_value = "127.0.0.1:9900")]
        admin: SocketAddr,
        /// The driver of the workers.
        #[arg(long, value_enum)]
        driver: Option<DriverArg>,
    },
    #[command(flatten)]
    Catalog(Box<cli::Command>),
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the configuration's reference (docs/CONFIG.md) or its JSON schema.
    Reference {
        /// The JSON schema, for editors.
        #[arg(long)]
        schema: bool,
    },
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        default_value = "/etc/tollgate/tollgate.toml"
    )]
    config: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum DriverArg {
    Auto,
    #[value(name = "io_uring", alias = "io-uring")]
    IoUring,
    Epoll,
}

impl From<DriverArg> for DriverChoice {
    fn from(arg: DriverArg) -> Self {
        match arg {
            DriverArg::Auto => Self::Auto,
            DriverArg::IoUring => Self::IoUring,
            DriverArg::Epoll => Self::Epoll,
        }
    }
}

/// The status of `explain` where no route matches.
const NO_ROUTE: u8 = 3;

/// Gives memory of connections that fell silent back to the system, and costs less a request than
/// the C library's.
#[global_allocator]
static ALLOCATOR: tollgate::io::memory::Allocator = tollgate::io::memory::Allocator;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config, driver } => match read(&config) {
            Ok((source, named_files)) => {
                let options = Options {
                    file: Some(config.config),
                    named_files,
                    driver: driver.map(Into::into),
                    set_log_level: Some(log_to_stderr(&source.settings)),
                };
                run(source, options, announce)
            }
            Err(code) => code,
        },
        Command::Check { config } => match checked(&config) {
            Ok(warnings) => {
                let found = match warnings {
                    0 => String::new(),
                    1 => ", 1 warning".to_owned(),
                    warnings => format!(", {warnings} warnings"),
                };
                say(&format!("{}: no mistakes{found}\n", config.config.display()));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        // It says nothing of certificates, whose keys not everybody may read.
        Command::Explain { config, method, url, headers, claims } => {
            match told(Source::read(&config.config, None)) {
                Ok(source) => {
                    match explain::explain(&source.settings, &method, &url, &headers, &claims) {
                        Ok(explained) => {
                            say(&explained.text);
                            if explained.matched { ExitCode::SUCCESS } else { NO_ROUTE.into() }
                        }
                        Err(why) => fail(&why),
                    }
                }
                Err(code) => code,
            }
        }
        Command::Demo { listen, listen_tls, admin, driver } => {
            run_demo(&demo::Places { listen, listen_tls, admin }, driver)
        }
        Command::Catalog(command) => cli::run(*command),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tollgate", &mut text);
            say(&String::from_utf8_lossy(&text));
            ExitCode::SUCCESS
        }
        Command::Reference { schema } => {
            say(&if schema { config::schema() } else { config::reference() });
            ExitCode::SUCCESS
        }
    }
}

/// Reads a configuration and the files it names.
fn read(file: &ConfigFile) -> Result<(Source, Vec<Seen>), ExitCode> {
    let mut files = Files::beside(&file.config);
    let source = told(Source::read(&file.config, Some(&mut files)))?;
    Ok((source, files.into_seen()))
}

/// The same, and whether the store that is there lets it be taken up. Returns how many warnings there are.
fn checked(file: &ConfigFile) -> Result<usize, ExitCode> {
    let (source, _) = read(file)?;
    let conflicts = conflicts(&file.config, &source.settings);
    conflicts.iter().for_each(|conflict| eprintln!("{conflict}"));
    if conflicts.is_empty() { Ok(source.warnings.len()) } else { Err(ExitCode::FAILURE) }
}

/// Tells warnings and mistakes.
fn told(source: Result<Source, Vec<Diagnostic>>) -> Result<Source, ExitCode> {
    match source {
        Ok(source) => {
            for warning in &source.warnings {
                eprintln!("{warning}");
            }
            Ok(source)
        }
        Err(mistakes) => {
            for mistake in &mistakes {
                eprintln!("{mistake}");
            }
            Err(ExitCode::FAILURE)
        }
    }
}

fn run_demo(places: &demo::Places, driver: Option<DriverArg>) -> ExitCode {
    let api = match demo::start_api() {
        Ok(api) => api,
        Err(error) => return fail(&format!("the demo API can't start: {error}")),
    };
    let mut files = match demo::certificate(places.listen_tls) {
        Ok(files) => files,
        Err(error) => return fail(&format!("no certificate can be made: {error}")),
    };
    let text = demo::configuration(api, places);
    match Source::check(text, "demo", Some(&mut files)) {
        Ok(source) => {
            let _ = log_to_stderr(&source.settings);
            let driver = driver.map(Into::into);
            let options = Options { driver, ..Options::default() };
            run(source, options, |lines| {
                announce(lines);
                say(&demo::what_to_try(lines));
            })
        }
        Err(told) => self::told(Err(told)).err().unwrap_or(ExitCode::FAILURE),
    }
}

/// Says where the gateway can be reached.
fn announce(lines: &[String]) {
    for line in lines {
        say(&format!("{line}\n"));
    }
    say("ready\n");
}

fn fail(why: &str) -> ExitCode {
    eprintln!("tollgate: {why}");
    ExitCode::FAILURE
}

/// Starts the gateway's own log; returns what changes its level.
fn log_to_stderr(settings: &Settings) -> SetLevel {
    let (filter_layer, handle) = reload::Layer::new(filter(&settings.log.level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(log_writer())
        .with_ansi(std::io::stderr().is_terminal());
    let lines = if settings.log.json { lines.json().boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(lines.with_filter(filter_layer)).init();
    Box::new(move |level| drop(handle.reload(filter(level))))
}

/// Standard error by way of a thread of its own: a worker must not wait for whoever reads the log.
/// What does not fit the queue is dropped.
fn log_writer() -> NonBlocking {
    let (writer, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES)
        .lossy(true)
        .finish(std::io::stderr());
    // It lives as long as the process.
    std::mem::forget(worker);
    writer
}

/// What the protocol's machine warns of, any client can make it warn of again and again.
fn filter(level: &str) -> EnvFilter {
    let quiet = |level| format!("h2=error,{level}");
    EnvFilter::try_new(quiet(level)).unwrap_or_else(|_| EnvFilter::new(quiet("info")))
}
