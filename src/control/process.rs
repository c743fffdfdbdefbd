//! The process and its limits.

/// Raises the soft limit of descriptors to the hard one; returns what is in force.
pub fn raise_descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid struct; failure leaves things as they are.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && limit.rlim_cur < limit.rlim_max
        {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    descriptors()
}

/// Lets a write beyond a limit of file sizes (RLIMIT_FSIZE) fail as one on a full disk does; otherwise
/// the signal that tells of it (SIGXFSZ) would end the process.
pub fn outlive_size_limits() {
    // SAFETY: nothing runs in a signal's place.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Descriptors this process may have.
pub fn descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid struct.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if known { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 1024 }
}
