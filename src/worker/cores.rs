//! Which cores there are to use: the affinity mask, cut down to the cgroup's quota.

use std::fs;

/// The cores this process may run on, in order.
pub fn allowed() -> Vec<usize> {
    // SAFETY: an all-zero mask is valid, and the call writes at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return vec![0];
        }
        set
    };
    // SAFETY: the index stays below the mask's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&i| unsafe { libc::CPU_ISSET(i, &set) }).collect()
}

/// Whole cores that the cgroup's CPU quota pays for, at least 1; `None` where there is no quota.
pub fn quota() -> Option<usize> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let v2 = [format!("/sys/fs/cgroup{path}/cpu.max"), "/sys/fs/cgroup/cpu.max".into()]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .and_then(|text| parse_cpu_max(&text));
    v2.or_else(|| {
        let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/cpu/{name}")).ok();
        parse_cpu_max(&format!(
            "{} {}",
            read("cpu.cfs_quota_us")?.trim(),
            read("cpu.cfs_period_us")?.trim()
        ))
    })
}

/// `"QUOTA PERIOD"` in microseconds; `max` or a negative quota is none.
fn parse_cpu_max(text: &str) -> Option<usize> {
    let mut words = text.split_whitespace();
    let quota: u64 = words.next()?.parse().ok()?;
    let period: u64 = words.next()?.parse().ok().filter(|&p| p > 0)?;
    Some(quota.div_ceil(period).max(1) as usize)
}

/// One entry a worker: the core to pin it to. `workers` and `cores` are what the operator set.
pub fn plan(
    workers: Option<usize>,
    cores: &[usize],
    allowed: &[usize],
    quota: Option<usize>,
) -> Vec<usize> {
    let cores = if cores.is_empty() { allowed } else { cores };
    let by_default = match quota {
        Some(quota) => quota.min(cores.len()),
        None => cores.len(),
    };
    let workers = workers.unwrap_or(by_default).max(1);
    (0..workers).map(|i| cores[i % cores.len()]).collect()
}

/// Pins this thread.
///
/// # Errors
/// Where the core is not one this process may use.
pub fn pin(core: usize) -> std::io::Result<()> {
    // SAFETY: a zeroed mask is valid; CPU_SET checks the index against the mask's size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_pays_for_whole_cores() {
        assert_eq!(parse_cpu_max("max 100000\n"), None);
        assert_eq!(parse_cpu_max("150000 100000\n"), Some(2));
        assert_eq!(parse_cpu_max("10000 100000\n"), Some(1));
        assert_eq!(parse_cpu_max("-1 100000"), None);
        assert_eq!(parse_cpu_max(""), None);
    }

    #[test]
    fn workers_follow_the_mask_the_quota_and_the_operator() {
        assert_eq!(plan(None, &[], &[0, 1, 2, 3], None), [0, 1, 2, 3]);
        assert_eq!(plan(None, &[], &[0, 1, 2, 3], Some(2)), [0, 1]);
        assert_eq!(plan(Some(3), &[], &[4, 5], Some(1)), [4, 5, 4]);
        assert_eq!(plan(None, &[2, 3], &[0, 1, 2, 3], None), [2, 3]);
    }
}
