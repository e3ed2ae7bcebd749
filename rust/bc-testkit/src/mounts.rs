//! Real mounts, which only the thread of a test and those that it starts see, and which go with it. They need root.
//!
//! bc-core's own tests take this file in as a module, since it depends on no other crate of ours.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// The mounts of a test.
#[derive(Debug)]
pub struct Mounts(());

impl Mounts {
    /// From here on this thread, and those that it starts, see their own mounts.
    ///
    /// # Panics
    /// The test does not run as root.
    pub fn private() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("this test mounts and has to run as root");
        change(Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        Self(())
    }

    /// A small disk in memory, with options of tmpfs(5) such as `size=1m` and `nr_inodes=20`.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn disk(&self, at: &Path, options: &str) {
        let mounted = mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options));
        mounted.expect("mounted");
    }

    /// Mounts a file or folder once more, as containers do with volumes.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn bind(&self, from: &Path, at: &Path) {
        let none = None::<&str>;
        mount(Some(from), at, none, MsFlags::MS_BIND, none).expect("mounted");
    }

    /// Makes a file or folder a read-only mount of its own.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn read_only(&self, at: &Path) {
        self.bind(at, at);
        change(at, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
    }

    /// Undoes the mount that is uppermost there.
    ///
    /// # Panics
    /// There is none.
    pub fn undo(&self, at: &Path) {
        nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH).expect("unmounted");
    }
}

/// Writes to the disk of a folder until nothing fits any more, and says into which file.
///
/// # Panics
/// Something else ends it.
pub fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = fs::File::create(&path).expect("create");
    let full = io::copy(&mut io::repeat(0), &mut filler).expect_err("it is small");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    path
}

fn change(at: &Path, flags: MsFlags) {
    let none = None::<&str>;
    mount(none, at, none, flags, none).expect("changed");
}
