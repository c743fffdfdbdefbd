//! Which driver runs the workers, and the runtime on it.

use std::io;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::config::DriverChoice;
use crate::limits::{RING_COMPLETIONS, RING_ENTRIES};

/// The driver in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring with as many of our flags as the kernel takes.
    IoUring(RingFlags),
    /// epoll.
    Epoll,
}

/// Set-up flags, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingFlags {
    /// SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL (Linux 6.1).
    DeferTaskrun,
    /// COOP_TASKRUN, SUBMIT_ALL (Linux 5.19).
    CoopTaskrun,
    /// None (Linux 5.10).
    Plain,
}

impl Driver {
    /// Its name in logs and stats.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring(_) => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

fn ring(flags: RingFlags) -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_cqsize(RING_COMPLETIONS);
    match flags {
        RingFlags::DeferTaskrun => {
            builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
        }
        RingFlags::CoopTaskrun => {
            builder.setup_coop_taskrun().setup_submit_all();
        }
        RingFlags::Plain => {}
    }
    builder
}

/// Chooses once, at start, and says why. `MONOIO_FORCE_LEGACY_DRIVER` counts as a kernel without
/// io_uring.
///
/// # Errors
/// Where io_uring was asked for by name and is not to be had.
pub fn choose(choice: DriverChoice) -> io::Result<(Driver, String)> {
    if choice == DriverChoice::Epoll {
        return Ok((Driver::Epoll, "asked for".into()));
    }
    let found = probe();
    match (choice, found) {
        (_, Ok(flags)) => Ok((Driver::IoUring(flags), format!("the kernel allows it ({flags:?})"))),
        (DriverChoice::IoUring, Err(why)) => {
            Err(io::Error::other(format!("io_uring was asked for but is not to be had: {why}")))
        }
        (_, Err(why)) => Ok((Driver::Epoll, format!("io_uring is not to be had: {why}"))),
    }
}

fn probe() -> Result<RingFlags, String> {
    let mut refusal = String::new();
    for flags in [RingFlags::DeferTaskrun, RingFlags::CoopTaskrun, RingFlags::Plain] {
        match ring(flags).build(RING_ENTRIES) {
            Ok(_) if monoio::utils::detect_uring() => return Ok(flags),
            Ok(_) => return Err("this kernel lacks operations that it needs".into()),
            Err(e) => refusal = explain(&e),
        }
    }
    Err(refusal)
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has none (ENOSYS)".into(),
        Some(libc::EPERM) => {
            "not permitted (EPERM): seccomp, or sysctl kernel.io_uring_disabled".into()
        }
        Some(libc::ENOMEM) => "RLIMIT_MEMLOCK is too low (ENOMEM)".into(),
        _ => error.to_string(),
    }
}

/// Builds a runtime on this thread and runs `work` to its end.
///
/// # Errors
/// Where the runtime can't be built (descriptors, locked memory).
pub fn block_on<F: Future>(driver: Driver, work: F) -> io::Result<F::Output> {
    match driver {
        Driver::IoUring(flags) => {
            let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
                .uring_builder(ring(flags))
                .with_entries(RING_ENTRIES)
                .enable_timer()
                .build()?;
            let output = runtime.block_on(work);
            // Dropping it would free buffers that the kernel may still write to.
            std::mem::forget(runtime);
            Ok(output)
        }
        Driver::Epoll => {
            let mut runtime = RuntimeBuilder::<LegacyDriver>::new()
                .with_entries(RING_ENTRIES)
                .enable_timer()
                .build()?;
            Ok(runtime.block_on(work))
        }
    }
}
