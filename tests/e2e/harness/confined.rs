//! Starting the binary with less than the machine has: descriptors, cores, system calls, names.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What the new process may not have.
#[derive(Debug, Default)]
pub struct Confined {
    /// Open descriptors at most.
    pub files: Option<u64>,
    /// The only core allowed.
    pub core: Option<usize>,
    /// io_uring_setup(2) fails with EPERM.
    pub no_io_uring: bool,
    /// What stands at /etc/hosts.
    pub hosts: Option<PathBuf>,
    /// A folder in which nothing can be written.
    pub read_only: Option<PathBuf>,
    /// A folder that is a disk of its own, of so many bytes.
    pub small: Option<(PathBuf, u64)>,
}

impl Confined {
    /// Makes the command start like this.
    pub fn apply(self, command: &mut Command) {
        let name = |path: PathBuf| CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        let (hosts, read_only) = (self.hosts.map(name), self.read_only.map(name));
        let size = |bytes| CString::new(format!("size={bytes},mode=700")).expect("no NUL");
        let small = self.small.map(|(path, bytes)| (name(path), size(bytes)));
        let mounts = hosts.is_some() || read_only.is_some() || small.is_some();
        let confine = move || {
            if let Some(files) = self.files {
                limit_files(files)?;
            }
            if let Some(core) = self.core {
                allow_core(core)?;
            }
            if mounts {
                own_mounts()?;
            }
            if let Some(hosts) = &hosts {
                bind(hosts, c"/etc/hosts", 0)?;
            }
            if let Some(folder) = &read_only {
                bind(folder, folder, 0)?;
                bind(folder, folder, libc::MS_REMOUNT | libc::MS_RDONLY)?;
            }
            if let Some((folder, size)) = &small {
                mount_memory(folder, size)?;
            }
            if self.no_io_uring {
                forbid_io_uring()?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made, on values that were made
        // before the fork.
        unsafe { command.pre_exec(confine) };
    }
}

/// Whether this process may make a mount namespace, which replacing /etc/hosts and small disks need.
pub fn may_mount() -> bool {
    let mut probe = Command::new("/bin/true");
    Confined { hosts: Some("/etc/hosts".into()), ..Confined::default() }.apply(&mut probe);
    let may = probe.status().is_ok_and(|s| s.success());
    if !may {
        eprintln!("no mount namespaces here: names and disks of our own cannot be tested");
    }
    may
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn limit_files(files: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: a valid struct that lives over the call.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })
}

fn allow_core(core: usize) -> io::Result<()> {
    // SAFETY: cpu_set_t is plain bits, for which zero is valid; CPU_SET stays within it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        checked(libc::sched_setaffinity(0, size_of_val(&set), &set))
    }
}

/// Mounts of its own, that nobody else sees.
fn own_mounts() -> io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: every pointer is null or a string that ends in NUL.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            checked(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS))?;
        }
        let private = libc::MS_REC | libc::MS_PRIVATE;
        checked(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))
    }
}

fn bind(from: &CStr, at: &CStr, more: libc::c_ulong) -> io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: every pointer is null or a string that ends in NUL.
    checked(unsafe {
        libc::mount(from.as_ptr(), at.as_ptr(), none, libc::MS_BIND | more, none.cast())
    })
}

fn mount_memory(at: &CStr, options: &CStr) -> io::Result<()> {
    let kind = c"tmpfs".as_ptr();
    // SAFETY: every pointer is a string that ends in NUL.
    checked(unsafe { libc::mount(kind, at.as_ptr(), kind, 0, options.as_ptr().cast()) })
}

fn forbid_io_uring() -> io::Result<()> {
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let mut filter = [
        // The number of the call is the first word of seccomp_data.
        statement(load, 0),
        libc::sock_filter { code: equal, jt: 0, jf: 1, k: libc::SYS_io_uring_setup as u32 },
        statement(answer, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(answer, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live over the call; the kernel copies them.
    unsafe {
        checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        checked(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program))
    }
}
