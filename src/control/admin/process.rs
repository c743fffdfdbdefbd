//! What the kernel knows of this process, from /proc.

use std::fs;

/// Clock ticks a second in /proc on every Linux this runs on (USER_HZ of x86_64 and aarch64).
const TICKS: f64 = 100.0;

/// One look at the process. A number that could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Process {
    /// User CPU seconds.
    pub cpu_user: Option<f64>,
    /// System CPU seconds.
    pub cpu_system: Option<f64>,
    /// Resident bytes.
    pub resident: Option<u64>,
    /// Virtual bytes.
    pub virtual_memory: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit of descriptors.
    pub max_fds: Option<u64>,
}

impl Process {
    /// All of it.
    pub fn look() -> Self {
        let mut process = Self::look_at_cpu();
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            let kib = |key| status_number(&status, key).map(|n| n * 1024);
            process.resident = kib("VmRSS:");
            process.virtual_memory = kib("VmSize:");
            process.threads = status_number(&status, "Threads:");
        }
        // The directory being read is one of them.
        let fds = fs::read_dir("/proc/self/fd").ok();
        process.open_fds = fds.map(|fds| (fds.count() as u64).saturating_sub(1));
        let limits = fs::read_to_string("/proc/self/limits").ok();
        process.max_fds = limits.and_then(|limits| soft_limit(&limits, "Max open files"));
        process
    }

    /// The CPU times only: cheap enough for every second.
    pub fn look_at_cpu() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let times = stat.as_deref().and_then(cpu_times);
        Self { cpu_user: times.map(|t| t.0), cpu_system: times.map(|t| t.1), ..Self::default() }
    }

    /// User and system CPU seconds.
    pub fn cpu(&self) -> Option<f64> {
        Some(self.cpu_user? + self.cpu_system?)
    }
}

/// User and system seconds of a /proc/…/stat line. The command's name, in parentheses, may hold
/// anything, so fields are counted from the last closing one.
fn cpu_times(stat: &str) -> Option<(f64, f64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut seconds = || fields.next()?.parse::<u64>().ok().map(|ticks| ticks as f64 / TICKS);
    Some((seconds()?, seconds()?))
}

fn status_number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_command_names_do_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 130 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu_times(stat), Some((2.5, 1.3)));
        assert_eq!(cpu_times("nothing"), None);
        assert_eq!(status_number("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(soft_limit("Max open files  1024  4096  files\n", "Max open files"), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited\n", "Max open files"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let process = Process::look();
        assert!(process.cpu().is_some());
        assert!(process.resident.is_some_and(|n| n > 0));
        assert!(process.open_fds.is_some_and(|n| n > 2));
    }
}
