//! Compares Tollgate with NGINX, HAProxy and the relay. See `loadtest/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use loadtest::machine;
use loadtest::options::{HELP, Options};
use loadtest::peer::{Kind, Spec};
use loadtest::report::Report;
use loadtest::scenario::{self, World};
use loadtest::tls::Identity;

/// However many scenarios: after this many seconds everything is stopped.
const AT_MOST_SECONDS: u32 = 30 * 60;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) if why.is_empty() => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    watch_for_signals();
    let name = format!("tollgate-loadtest-{}", std::process::id());
    let dir = std::env::temp_dir().join(&name);
    let log_dir = memory_dir().join(format!("{name}-logs"));
    let outcome = prepare(&dir, &log_dir).and_then(|()| compare(&options, &dir, &log_dir));
    machine::lower_priority();
    let _ = fs::remove_dir_all(&log_dir);
    if options.keep {
        eprintln!("kept: {}", dir.display());
    } else {
        let _ = fs::remove_dir_all(&dir);
    }
    match outcome {
        Ok(report) if report.failed() => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(dir: &Path, log_dir: &Path) -> Result<(), String> {
    for dir in [dir, log_dir] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    Ok(())
}

fn compare(options: &Options, dir: &Path, log_dir: &Path) -> Result<Report, String> {
    let mut missing = Vec::new();
    let specs = specs(options, &mut missing);
    let identity = Identity::make(dir)?;
    let mut world = World::new(options, specs, dir, log_dir, &identity)?;
    missing.into_iter().for_each(|what| world.note(what));
    let mut stopped = None;
    for name in &options.scenarios {
        if let Err(why) = world.run(name) {
            world.fail(format!("{name}: {why}"));
            stopped = Some(why);
        }
        if scenario::interrupted() {
            break;
        }
    }
    let report = world.into_report();
    println!("{}", report.last_words());
    write(&options.json, &format!("{:#}\n", report.json()))?;
    if let Some(file) = &options.markdown {
        write(file, &report.markdown())?;
    }
    match stopped {
        Some(why) if scenario::interrupted() => Err(why),
        _ => Ok(report),
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The proxies that are here; the others are named in `missing`.
fn specs(options: &Options, missing: &mut Vec<String>) -> Vec<Spec> {
    let relay = options.relay.clone().unwrap_or_else(|| beside_this_program("relay"));
    let mut all = vec![("tollgate".to_owned(), Kind::Tollgate, options.tollgate.clone())];
    all.extend(options.also.iter().map(|(n, path)| (n.clone(), Kind::Tollgate, path.clone())));
    all.push(("relay".into(), Kind::Relay, relay));
    all.extend(options.also_relay.iter().map(|(n, path)| (n.clone(), Kind::Relay, path.clone())));
    all.push(("nginx".into(), Kind::Nginx, options.nginx.clone()));
    all.push(("haproxy".into(), Kind::Haproxy, options.haproxy.clone()));
    all.push(("envoy".into(), Kind::Envoy, options.envoy.clone()));
    all.into_iter()
        .filter(|(name, _, _)| options.only.is_empty() || options.only.contains(name))
        .filter(|(name, kind, program)| {
            let here = runs(*kind, program);
            if !here {
                missing.push(format!("{name}: {} is not there, skipped", program.display()));
            }
            here
        })
        .map(|(name, kind, program)| Spec { name, kind, program })
        .collect()
}

fn runs(kind: Kind, program: &Path) -> bool {
    match kind {
        Kind::Tollgate | Kind::Relay => program.is_file(),
        Kind::Nginx | Kind::Haproxy | Kind::Envoy => Command::new(program)
            .arg(if kind == Kind::Envoy { "--version" } else { "-v" })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
    }
}

fn beside_this_program(name: &str) -> PathBuf {
    std::env::current_exe().map_or_else(|_| name.into(), |path| path.with_file_name(name))
}

/// Access logs go to memory where there is such a file system.
fn memory_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.into() } else { std::env::temp_dir() }
}

fn watch_for_signals() {
    extern "C" fn on_signal(_: i32) {
        scenario::interrupt();
    }
    let handler: extern "C" fn(i32) = on_signal;
    // SAFETY: the handler only stores an atomic flag.
    unsafe {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGALRM] {
            libc::signal(signal, handler as libc::sighandler_t);
        }
        libc::alarm(AT_MOST_SECONDS);
    }
}
