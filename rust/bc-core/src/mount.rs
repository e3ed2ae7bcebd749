//! Where disks are mounted, for messages.

use std::path::{Path, PathBuf};

/// The highest folder on the disk that holds `path`, which may be a file and need not be there.
pub(crate) fn mount_of(path: &Path) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let folder = path
            .ancestors()
            .find_map(|ancestor| std::fs::canonicalize(ancestor).ok())
            .unwrap_or_else(|| path.to_owned());
        let own = device(&folder);
        folder
            .ancestors()
            .take_while(|ancestor| device(ancestor) == own)
            .last()
            .map_or_else(|| folder.clone(), Path::to_owned)
    }
    #[cfg(not(unix))]
    path.to_owned()
}
