//! Walking through folders.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// All files below a folder, sorted.
pub(crate) fn under(folder: &Path) -> Result<Vec<PathBuf>> {
    walked(folder, false)
}

/// All folders below a folder, sorted.
pub(crate) fn folders_under(folder: &Path) -> Result<Vec<PathBuf>> {
    walked(folder, true)
}

/// A path below `root`, with slashes.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn walked(folder: &Path, folders: bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            }
            if kind.is_dir() == folders && (kind.is_dir() || kind.is_file()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
