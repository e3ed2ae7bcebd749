//! Where a folder is mounted, so that files are not taken for removed which are only out of sight.
//!
//! What is under a mount that is gone is an ordinary folder, mostly an empty one, and reading it is no error. So a file that
//! is not in its folder any more counts as removed only where that folder is on the mount on which the file was seen. The
//! device alone would not do: a network file system has another number after each mount, and a folder that is mounted once
//! more elsewhere has the same.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::mount::mount_of;

/// Where a folder was when something was seen in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seat {
    /// The folder as it is named.
    folder: PathBuf,
    mount: PathBuf,
    /// Device and number of the folder: while they are the same, so is the mount. After a restart of the machine they may
    /// be those of something else.
    #[serde(skip)]
    identity: Option<(u64, u64)>,
}

impl Seat {
    /// Where a folder is now; `former` saves looking at the mounts while nothing has changed.
    pub(super) fn of(folder: &Path, former: Option<&Self>) -> Self {
        let now = identity(folder);
        match former {
            Some(former) if now.is_some() && former.identity == now && former.is_of(folder) => former.clone(),
            _ => Self {
                folder: folder.to_owned(),
                mount: mount_of(folder),
                identity: now,
            },
        }
    }

    /// Whether a folder is on another mount now. Of one of another name nothing is known.
    pub(super) fn is_left(&self, folder: &Path) -> bool {
        self.is_of(folder) && Self::of(folder, Some(self)).mount != self.mount
    }

    /// Whether it is that of this folder.
    pub(super) fn is_of(&self, folder: &Path) -> bool {
        self.folder == folder
    }
}

/// By what is the same after a restart.
impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.folder == other.folder && self.mount == other.mount
    }
}

#[cfg(unix)]
fn identity(folder: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}
