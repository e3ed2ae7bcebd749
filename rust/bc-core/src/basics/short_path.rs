//! A short way to the local socket, whatever the path of the state folder is.
//!
//! The address of a socket has room for 107 bytes on Linux. Where a path is longer, Linux knows another one to the same
//! place: that of the open folder in `/proc/self/fd`. Opening a folder only for going through it takes no more rights
//! than going through it does, so every user who could use the long path can use the short one. Nothing of it lies
//! where others could put something first.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The longest path of a socket: `sun_path` has 108 bytes, the last of which is zero.
pub(crate) const LONGEST_SOCKET_PATH: usize = 107;

/// Where Linux shows the open files of a process to itself.
#[cfg(target_os = "linux")]
const OPEN_FILES: &str = "/proc/self/fd";

/// A path that is short enough for a socket. It leads there as long as this lives, also where the folder was moved.
#[derive(Debug)]
pub struct ShortPath {
    path: PathBuf,
    #[cfg(target_os = "linux")]
    _folder: Option<std::os::fd::OwnedFd>,
}

impl ShortPath {
    /// A short path of `name` in `folder`. None where there is none: the path is too long, and this is not Linux or
    /// `/proc` is not mounted.
    ///
    /// # Errors
    /// The folder is not there, or this user may not go through it.
    pub fn to(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let path = folder.join(name);
        if path.as_os_str().len() <= LONGEST_SOCKET_PATH {
            return Ok(Some(Self {
                path,
                #[cfg(target_os = "linux")]
                _folder: None,
            }));
        }
        #[cfg(target_os = "linux")]
        return Self::through(folder, name, Path::new(OPEN_FILES));
        #[cfg(not(target_os = "linux"))]
        Ok(None)
    }

    /// A short path that goes through an open folder, by its number in `open_files`.
    #[cfg(target_os = "linux")]
    fn through(folder: &Path, name: &str, open_files: &Path) -> io::Result<Option<Self>> {
        use std::os::{fd::AsRawFd, unix::fs::MetadataExt};

        use nix::{
            fcntl::{OFlag, open},
            sys::stat::Mode,
        };

        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let open = open(folder, flags, Mode::empty())?;
        let short = open_files.join(open.as_raw_fd().to_string());
        let place = |path: &Path| std::fs::metadata(path).map(|folder| (folder.dev(), folder.ino()));
        // Not everywhere `/proc` is what it should be.
        let leads_there = matches!((place(&short), place(folder)), (Ok(one), Ok(other)) if one == other);
        Ok(leads_there.then(|| Self {
            path: short.join(name),
            _folder: Some(open),
        }))
    }

    /// The short path, which is short enough for a socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    #[test]
    fn a_path_that_fits_is_taken_as_it_is() {
        let short = ShortPath::to(Path::new("/nowhere"), "s")
            .expect("not looked at")
            .expect("short");
        assert_eq!(short.path(), Path::new("/nowhere/s"));
    }

    #[test]
    fn a_long_path_has_a_short_one() {
        let folder = tempfile::tempdir().expect("folder");
        let deep = folder.path().join("x".repeat(200));
        ShortPath::to(&deep, "s").expect_err("not there yet");
        fs::create_dir(&deep).expect("folder");
        let short = ShortPath::to(&deep, "s").expect("there").expect("Linux");
        assert!(short.path().as_os_str().len() <= LONGEST_SOCKET_PATH);
        let _listener = UnixListener::bind(short.path()).expect("short enough");
        assert!(deep.join("s").exists());
        // Without /proc there is none.
        let none = ShortPath::through(&deep, "s", folder.path()).expect("there");
        assert!(none.is_none());
    }
}
