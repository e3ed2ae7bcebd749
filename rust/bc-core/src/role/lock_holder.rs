//! Who has the lock of a state folder: whether a node runs there although it does not answer.
//!
//! The lock itself is not tried, since whoever holds it for a moment keeps a node from opening. The kernel tells
//! everybody who holds which lock (`/proc/locks`, proc_locks(5)), though not of processes that the reader cannot see,
//! such as those of another container.

use std::{fmt, path::Path};

/// The file in a state folder that is locked.
pub(crate) const LOCK: &str = "lock";

/// Who has a state folder's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// Nobody whom this process can see: it is in a container of its own, and sees none of another one.
    NobodyInSight,
    /// This process.
    Process(Process),
    /// It cannot be found out: this is not Linux, or the folder or the kernel's list cannot be looked at.
    NotKnown,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id, as seen from here.
    pub id: u32,
    /// The name of its program, where that can be seen.
    pub name: Option<String>,
}

/// `process 1234 (java)`.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "process {} ({name})", self.id),
            None => write!(f, "process {}", self.id),
        }
    }
}

/// Who has the lock of the node in `state_dir` now.
pub fn holder(state_dir: &Path) -> Holder {
    #[cfg(target_os = "linux")]
    return linux::holder(&state_dir.join(LOCK));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = state_dir;
        Holder::NotKnown
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

    use nix::sys::stat::{major, minor};

    use super::{Holder, Process};
    use crate::basics::{mount, words};

    /// The kernel keeps 15 characters.
    const LONGEST_NAME: usize = 15;

    /// Finds the holder of this lock file in the kernel's list of locks.
    pub(super) fn holder(lock: &Path) -> Holder {
        let file = match fs::metadata(lock) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Holder::Nobody;
            }
            Err(_) => return Holder::NotKnown,
        };
        let Ok(locks) = fs::read_to_string("/proc/locks") else {
            return Holder::NotKnown;
        };
        // Some file systems (btrfs, overlayfs) show another device than that of their mount, which is what the list
        // has.
        let mut devices = vec![(major(file.dev()), minor(file.dev()))];
        devices.extend(mount::device_of(lock));
        match id_of_holder(&locks, &devices, file.ino()) {
            Some(id) => Holder::Process(Process { id, name: name(id) }),
            None if sees_all() => Holder::Nobody,
            None => Holder::NobodyInSight,
        }
    }

    /// Whether this process sees the locks of all others: it is in the first PID namespace, whose inode is the same on
    /// every kernel (PROC_PID_INIT_INO in its include/linux/proc_ns.h).
    fn sees_all() -> bool {
        fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == "pid:[4026531836]")
    }

    /// `1: FLOCK  ADVISORY  WRITE 24809 fe:00:9994271 0 EOF`. Who only waits for a lock has `->` in the second place. A
    /// network file system makes the same lock one of the kind `POSIX`.
    pub(super) fn id_of_holder(locks: &str, devices: &[(u64, u64)], inode: u64) -> Option<u32> {
        locks.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [_, "FLOCK" | "POSIX", _, "WRITE", id, file, ..] = fields[..] else {
                return None;
            };
            let mut file = file.split(':');
            let mut device = || u64::from_str_radix(file.next()?, 16).ok();
            let device = (device()?, device()?);
            let is_it = devices.contains(&device) && file.next()?.parse() == Ok(inode);
            is_it.then(|| id.parse().ok()).flatten()
        })
    }

    /// The name of a process that holds a lock.
    fn name(id: u32) -> Option<String> {
        let name = fs::read(format!("/proc/{id}/comm")).ok()?;
        let name = words::shown(String::from_utf8_lossy(&name).trim_end(), LONGEST_NAME);
        (!name.is_empty()).then_some(name)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn who_has_the_lock_is_known_without_trying_it() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(holder(folder.path()), Holder::Nobody, "there is no lock file");
        let lock = File::create(folder.path().join(LOCK)).expect("a file");
        let free = holder(folder.path());
        assert!(matches!(free, Holder::Nobody | Holder::NobodyInSight), "{free:?}");
        lock.try_lock().expect("nobody has it");
        let Holder::Process(process) = holder(folder.path()) else {
            panic!("we have it")
        };
        assert_eq!(process.id, std::process::id());
        assert!(
            process.to_string().starts_with(&format!("process {} (", process.id)),
            "{process}"
        );
        lock.unlock().expect("ours");
        assert_eq!(holder(folder.path()), free);
        fs::write(folder.path().join("file"), "").expect("write");
        assert_eq!(holder(&folder.path().join("file")), Holder::Nobody, "no folder");
    }

    #[test]
    fn the_kernels_list_is_read_by_device_and_inode() {
        let locks = "1: FLOCK  ADVISORY  WRITE 7 fe:00:10 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 8 00:2d:12 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 9 fe:00:11 0 EOF\n\
                     3: FLOCK  ADVISORY  READ 10 fe:00:13 0 EOF\n\
                     nonsense\n";
        let found = |devices: &[(u64, u64)], inode| linux::id_of_holder(locks, devices, inode);
        assert_eq!(found(&[(0xfe, 0)], 10), Some(7));
        assert_eq!(found(&[(0xfe, 0), (0, 0x2d)], 12), Some(8));
        assert_eq!(found(&[(0xfe, 0)], 12), None, "on another disk");
        assert_eq!(found(&[(0xfe, 0)], 11), None, "it only waits");
        assert_eq!(found(&[(0xfe, 0)], 13), None, "a node's lock is not shared");
    }
}
