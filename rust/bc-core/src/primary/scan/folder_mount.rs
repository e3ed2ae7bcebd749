//! Where a folder is mounted, so that files are not taken for removed which are only out of sight.
//!
//! What is under a mount that is gone is an ordinary folder, mostly an empty one, and reading it is no error. So a file
//! that is not in its folder any more counts as removed only where that folder is on the mount on which the file was
//! seen. The device alone would not do: a network file system has another number after each mount, and a folder that is
//! mounted once more elsewhere has the same.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::basics::mount::mount_of;

/// The mount that a folder was on when something was seen in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FolderMount {
    /// The folder as it is named.
    folder: PathBuf,
    mount: PathBuf,
    /// Device and number of the folder: while they are the same, so is the mount. After a restart of the machine they
    /// may be those of something else.
    #[serde(skip)]
    identity: Option<(u64, u64)>,
}

impl FolderMount {
    /// The mount that a folder is on now; `former` saves reading the list of mounts while nothing has changed.
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

    /// Whether `folder` is on another mount now. Never for a folder of another name, of which nothing is known.
    pub(super) fn is_left(&self, folder: &Path) -> bool {
        self.is_of(folder) && Self::of(folder, Some(self)).mount != self.mount
    }

    /// Whether this mount was noted for `folder`.
    pub(super) fn is_of(&self, folder: &Path) -> bool {
        self.folder == folder
    }
}

/// By what is the same after a restart.
impl PartialEq for FolderMount {
    fn eq(&self, other: &Self) -> bool {
        self.folder == other.folder && self.mount == other.mount
    }
}

/// What tells a mounted folder from one that is mounted in its place: device and inode.
#[cfg(unix)]
fn identity(folder: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Nothing tells a mounted folder from another one here.
#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}
