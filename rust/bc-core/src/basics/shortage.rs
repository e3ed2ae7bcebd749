//! Threads and file descriptors that the operating system does not give: which limit is reached, and what raises it.
//!
//! Each of them comes as an error that says something else ("Resource temporarily unavailable", "Too many open files"),
//! so that nobody knows what to type. Facts: getrlimit(2), pthread_create(3), cgroups(7), proc_sys_fs(5).

use std::{fmt, io};

#[cfg(target_os = "linux")]
mod control_group;

/// Where a setting of the kernel survives a restart of the machine.
pub(crate) const SYSCTL_FILE: &str = "/etc/sysctl.d/60-gocd-bc.conf";

/// What there is no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Threads.
    Threads,
    /// File descriptors of this process (`EMFILE`).
    Descriptors,
    /// Open files of the whole machine (`ENFILE`).
    OpenFiles,
}

impl Shortage {
    /// The shortage of descriptors that an error tells of; none for any other error. A shortage of threads has no error
    /// of its own: whoever starts a thread knows.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.raw_os_error() {
            Some(24) if cfg!(unix) => Some(Shortage::Descriptors),
            Some(23) if cfg!(unix) => Some(Shortage::OpenFiles),
            _ => None,
        }
    }

    /// What a person can do about this shortage.
    pub fn advice(self) -> String {
        match self {
            Shortage::Threads => "Raise that limit (TasksMax= or LimitNPROC= of GoCD's service by `systemctl edit \
                                  go-server`, the pids limit of its container, `ulimit -u` of the shell that starts \
                                  it), or end what else runs there."
                .to_owned(),
            Shortage::Descriptors => "Raise that limit: LimitNOFILE= of GoCD's service by `systemctl edit go-server`, \
                                      or `ulimit -n` of the shell that starts it."
                .to_owned(),
            Shortage::OpenFiles => format!(
                "Raise that limit: `sysctl -w fs.file-max=9223372036854775807`, and write the same line without \
                 `sysctl -w` into {SYSCTL_FILE}."
            ),
        }
    }
}

/// A fragment that names the limit.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Threads => write!(f, "the operating system gives no thread: {}", threads()),
            Shortage::Descriptors => match limit_of_descriptors() {
                Some(limit) => write!(
                    f,
                    "this process may have no more files and connections open than {limit} (ulimit -n)"
                ),
                None => f.write_str("this process may have no more files and connections open"),
            },
            Shortage::OpenFiles => f.write_str("this machine has as many files open as it may (fs.file-max)"),
        }
    }
}

/// Which limit of threads is the likely one to be reached.
fn threads() -> String {
    #[cfg(target_os = "linux")]
    if let Some(limit) = control_group::exhausted() {
        return format!("its control group has all {limit} that it may have (pids.max)");
    }
    match limit_of_threads() {
        Some(limit) => format!("the user that this process runs as may have {limit} (ulimit -u)"),
        None => "a limit of this machine or of its memory is reached".to_owned(),
    }
}

#[cfg(unix)]
fn limit_of_threads() -> Option<u64> {
    soft_limit(nix::sys::resource::Resource::RLIMIT_NPROC)
}

#[cfg(unix)]
fn limit_of_descriptors() -> Option<u64> {
    soft_limit(nix::sys::resource::Resource::RLIMIT_NOFILE)
}

/// The soft limit of a resource of this process; none where there is no limit. It is asked without opening a file, of
/// which there may be no more.
#[cfg(unix)]
fn soft_limit(resource: nix::sys::resource::Resource) -> Option<u64> {
    use nix::sys::resource::{RLIM_INFINITY, getrlimit};

    let (soft, _) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

#[cfg(not(unix))]
fn limit_of_threads() -> Option<u64> {
    None
}

#[cfg(not(unix))]
fn limit_of_descriptors() -> Option<u64> {
    None
}
