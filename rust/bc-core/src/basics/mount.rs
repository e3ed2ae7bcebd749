//! Where disks are mounted, for messages.

use std::path::{Path, PathBuf};

/// What a disk has left for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Free inodes, of which each file and folder takes one, and how many there are in all; none where the file system
    /// makes them as it needs them.
    pub(crate) inodes: Option<(u64, u64)>,
}

impl Room {
    /// What room the disk that holds `path` has left; `path` need not exist. None where the operating system does not
    /// say.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            let disk = path
                .ancestors()
                .find_map(|ancestor| nix::sys::statvfs::statvfs(ancestor).ok())?;
            Some(Self {
                bytes: disk.blocks_available().saturating_mul(disk.fragment_size()),
                inodes: (disk.files() > 0).then(|| (disk.files_available(), disk.files())),
            })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = path;
            None
        }
    }

    /// A clause for people that says that the disk has fewer inodes left than `needed`; none where it has enough.
    pub(crate) fn lack_of_inodes(&self, needed: u64, path: &Path) -> Option<String> {
        let (free, total) = self.inodes.filter(|(free, _)| *free < needed)?;
        let left = if free == 0 {
            "no inodes".to_owned()
        } else {
            format!("only {free} inodes")
        };
        Some(format!(
            "the disk mounted at {} has {left} left of {total}, although {} MiB are free",
            mount_of(path).display(),
            self.bytes / (1024 * 1024)
        ))
    }
}

/// Advice for people on a lack of inodes on the disk that holds `path`.
pub(crate) fn free_inodes(path: &Path) -> String {
    let mount = mount_of(path);
    let mount = mount.display();
    format!(
        "Remove files that nobody needs from {mount}, many small ones most likely: each takes one (`df -i {mount}`)."
    )
}

/// The mount point of the disk that holds `path`, which need not exist. A single file may be a mount too.
pub(crate) fn mount_of(path: &Path) -> PathBuf {
    let existing = path
        .ancestors()
        .find_map(|ancestor| std::fs::canonicalize(ancestor).ok())
        .unwrap_or_else(|| path.to_owned());
    #[cfg(target_os = "linux")]
    if let Some(mount) = linux::innermost(&existing) {
        return mount;
    }
    highest_on_device(&existing)
}

/// The mount point of the disk that holds `path`, or will once that is made; none where a folder on the way there
/// cannot be looked at, or the kernel does not list what is mounted: then nothing is known of it.
pub(crate) fn seen_mount_of(path: &Path) -> Option<PathBuf> {
    let is_missing = |found: &std::io::Result<PathBuf>| {
        found
            .as_ref()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let mut found = path.ancestors().map(std::fs::canonicalize).skip_while(is_missing);
    let existing = found.next()?.ok()?;
    #[cfg(target_os = "linux")]
    return linux::innermost(&existing);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = existing;
        None
    }
}

/// The device (major, minor) of the mount that holds `path`, by the kernel's list of mounts. On btrfs and overlayfs
/// `stat` says another one of a file.
#[cfg(target_os = "linux")]
pub(crate) fn device_of(path: &Path) -> Option<(u64, u64)> {
    linux::device(&std::fs::canonicalize(path).ok()?)
}

/// The highest folder on the same device: all that can be told where the mounts cannot be listed.
fn highest_on_device(path: &Path) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let own = device(path);
        let on_device = path.ancestors().take_while(|ancestor| device(ancestor) == own);
        on_device.last().unwrap_or(path).to_owned()
    }
    #[cfg(not(unix))]
    path.to_owned()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        ffi::OsString,
        fs,
        os::unix::ffi::OsStringExt,
        path::{Path, PathBuf},
    };

    /// The mount that holds a path without links, by the kernel's list: a folder that is mounted once more elsewhere
    /// (`mount --bind`, a volume of a container) has the same device there.
    pub(super) fn innermost(path: &Path) -> Option<PathBuf> {
        innermost_with(path, |_| Some(())).map(|(mount, ())| mount)
    }

    /// The device (major, minor) of the innermost mount that holds `path`: the third field of its line.
    pub(super) fn device(path: &Path) -> Option<(u64, u64)> {
        let field = |line: &[u8]| {
            let text = std::str::from_utf8(line.split(|byte| *byte == b' ').nth(2)?).ok()?;
            let (major, minor) = text.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        innermost_with(path, field).map(|(_, device)| device)
    }

    /// The innermost mount that holds a path, with what `read` takes from its line in the kernel's list.
    fn innermost_with<T>(path: &Path, read: impl Fn(&[u8]) -> Option<T>) -> Option<(PathBuf, T)> {
        let mounts = fs::read("/proc/thread-self/mountinfo").ok()?;
        mounts
            .split(|byte| *byte == b'\n')
            .filter_map(|line| Some((mount_point(line)?, read(line)?)))
            .filter(|(mount, _)| path.starts_with(mount))
            // Of two on one another the later one is seen.
            .max_by_key(|(mount, _)| mount.components().count())
    }

    /// The fifth field of a line of proc_pid_mountinfo(5); blanks in it are written as `\040`.
    fn mount_point(line: &[u8]) -> Option<PathBuf> {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        let mut name = Vec::new();
        let mut rest = field;
        while let Some((&first, others)) = rest.split_first() {
            let escaped = (first == b'\\').then(|| others.get(..3)).flatten();
            let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
            name.push(byte.unwrap_or(first));
            rest = if byte.is_some() { &others[3..] } else { others };
        }
        Some(PathBuf::from(OsString::from_vec(name)))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn blanks_in_a_mount_point_are_read() {
            let line = br"36 35 98:0 /a /mnt/go\040cd\134x rw,noatime - ext4 /dev/root rw";
            assert_eq!(mount_point(line), Some(PathBuf::from(r"/mnt/go cd\x")));
            assert_eq!(mount_point(b""), None);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(unreachable_pub, reason = "it is a module of bc-testkit")]
#[path = "../../../bc-testkit/src/mounts.rs"]
pub(crate) mod private;
