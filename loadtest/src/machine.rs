//! What the kernel says about processes and cores: CPU time, memory, stolen time, pinning.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;

/// Monotonic time in nanoseconds.
pub fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

fn clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is writable for the call, and read only where the call filled it.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return None;
        }
        time.assume_init()
    };
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Binds the calling thread to one core.
pub fn pin_to(core: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set; the set outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Asks to run before everything else on the machine; without the right to, nothing changes.
/// Niceness counts within a session only, where the kernel groups processes by session: the
/// session gets it too. Safe between fork and exec.
pub fn raise_priority() {
    // SAFETY: plain system call on the calling process.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
    }
    set_session_niceness(c"-20");
}

/// Gives this session its usual share back.
pub fn lower_priority() {
    set_session_niceness(c"0");
}

fn set_session_niceness(niceness: &CStr) {
    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: plain system calls on C strings; nothing is allocated.
    unsafe {
        let fd = libc::open(c"/proc/self/autogroup".as_ptr(), flags);
        if fd >= 0 {
            libc::write(fd, niceness.as_ptr().cast(), niceness.count_bytes());
            libc::close(fd);
        }
    }
}

/// The cores this process may run on.
pub fn allowed_cores() -> Vec<usize> {
    // SAFETY: the kernel fills the set; CPU_ISSET only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect()
    }
}

/// Raises the soft limit of open files to the hard one and returns it.
pub fn raise_open_files() -> u64 {
    // SAFETY: both calls get a valid rlimit.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 0;
        }
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        limit.rlim_cur
    }
}

/// A process's CPU time over all its threads, with the scheduler's precision.
#[derive(Debug, Clone, Copy)]
pub struct ProcessClock {
    pid: i32,
    clock: libc::clockid_t,
}

impl ProcessClock {
    /// The clock of process `pid`.
    pub fn of(pid: i32) -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: `clock` is writable for the call.
        let error = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
        if error != 0 { Err(io::Error::from_raw_os_error(error)) } else { Ok(Self { pid, clock }) }
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// CPU nanoseconds used so far; 0 when the process is gone. The kernel brings it up to date
    /// when the process sleeps and at ticks: read it while the process is idle.
    pub fn used_ns(&self) -> u64 {
        clock_ns(self.clock).unwrap_or(0)
    }

    /// User and system time in clock ticks: coarse, for the split over a whole run.
    pub fn user_system_ticks(&self) -> (u64, u64) {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return (0, 0);
        };
        // The command name may hold spaces; fields are counted after its closing parenthesis.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |n: usize| rest.split_whitespace().nth(n).and_then(|f| f.parse().ok());
        (field(11).unwrap_or(0), field(12).unwrap_or(0))
    }

    /// Resident bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024)
    }
}

/// Child processes of `pid` (of its main thread).
pub fn children_of(pid: i32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Ticks of one core since boot.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoreTicks {
    /// All of them.
    pub total: u64,
    /// Taken by the hypervisor for somebody else.
    pub steal: u64,
}

impl CoreTicks {
    /// Reads /proc/stat for `core`.
    pub fn read(core: usize) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let name = format!("cpu{core} ");
        let Some(line) = stat.lines().find_map(|line| line.strip_prefix(&name)) else {
            return Self::default();
        };
        let ticks: Vec<u64> = line.split_whitespace().filter_map(|t| t.parse().ok()).collect();
        Self { total: ticks.iter().take(8).sum(), steal: ticks.get(7).copied().unwrap_or(0) }
    }

    /// Share of the time since `earlier` that was stolen, 0 to 1.
    pub fn stolen_since(&self, earlier: &Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        if total == 0 {
            return 0.0;
        }
        self.steal.saturating_sub(earlier.steal) as f64 / total as f64
    }
}

/// One line about the machine, for the report.
pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name))
        .unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {} cores, Linux {}", model.trim(), allowed_cores().len(), kernel.trim())
}
