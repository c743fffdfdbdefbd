//! Running the binary to its end, and reading a process from `/proc`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use super::PATIENCE;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

/// Runs `tollgate ARGS` to its end.
#[track_caller]
pub fn run(args: &[&str]) -> Output {
    finish(Command::new(BINARY).args(args))
}

/// Runs `tollgate ARGS` in a folder with these files, so that arguments can name them.
#[track_caller]
pub fn run_with_files(files: &[(&str, &str)], args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    finish(Command::new(BINARY).args(args).current_dir(folder.path()))
}

#[track_caller]
fn finish(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    let pid = child.id();
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    match wait.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("the binary's output"),
        Err(_) => {
            signal(pid, libc::SIGKILL);
            panic!("{command:?} did not end in time");
        }
    }
}

/// Sends a signal.
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: kill only takes numbers; the process is a child not yet waited for.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Sets a process's soft limit of the length of files.
pub fn limit_file_size(pid: u32, bytes: u64) {
    limit(pid, libc::RLIMIT_FSIZE, bytes);
}

/// Sets a process's soft limit of open descriptors; those that are open stay.
pub fn limit_descriptors(pid: u32, count: u64) {
    limit(pid, libc::RLIMIT_NOFILE, count);
}

fn limit(pid: u32, which: libc::__rlimit_resource_t, soft: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null();
    // SAFETY: a valid struct that lives over the call.
    let got = unsafe { libc::prlimit(pid as i32, which, none, &mut limit) };
    limit.rlim_cur = soft;
    // SAFETY: as above.
    let set = unsafe { libc::prlimit(pid as i32, which, &limit, std::ptr::null_mut()) };
    assert_eq!((got, set), (0, 0), "{}", std::io::Error::last_os_error());
}

/// Resident memory, bytes: `VmRSS` now, `VmHWM` at its peak.
pub fn resident(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let value = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let value = value.expect("a line in /proc/PID/status").trim().trim_end_matches(" kB");
    value.parse::<u64>().expect("a number") * 1024
}

/// Open descriptors.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))
        .expect("a living process")
        .count()
}

/// User and system time so far, in clock ticks of 10 ms.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    // The second field may hold spaces but ends with the last `)`.
    let after = stat.rsplit_once(") ").expect("a stat line").1;
    after.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}
