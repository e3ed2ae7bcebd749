//! Which folders are worth watching, and for which names.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    durable::atomic::{TEMPORARY_PREFIX, TEMPORARY_SUFFIX},
    generation::Layout,
};

/// Which names in a folder are of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// All but our own temporary files: what is in this folder is ours to read.
    All,
    /// These: the folder is only watched because a link leads into it.
    Names(BTreeSet<OsString>),
}

impl Interest {
    /// Whether a name in a watched folder is of interest.
    pub(super) fn covers(&self, name: &Path) -> bool {
        let text = name.to_string_lossy();
        let is_temporary = text.starts_with(TEMPORARY_PREFIX) && text.ends_with(TEMPORARY_SUFFIX);
        !is_temporary
            && match self {
                Interest::All => true,
                Interest::Names(names) => names.contains(name.as_os_str()),
            }
    }
}

/// The folders to watch now: those of the synced files, of what GoCD accepted, and those where links lead to.
pub(super) fn folders(layout: &Layout) -> BTreeMap<PathBuf, Interest> {
    let mut folders = BTreeMap::new();
    let mut files: Vec<PathBuf> = layout.config_names().map(|name| layout.path_of(&name)).collect();
    files.push(layout.accepted_config());
    for file in &files {
        if let Some(folder) = file.parent() {
            folders.insert(folder.to_owned(), Interest::All);
        }
    }
    folders.insert(layout.plugins_external().to_owned(), Interest::All);
    files.retain(|file| fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_symlink()));
    let jars = fs::read_dir(layout.plugins_external()).into_iter().flatten().flatten();
    // The listing says what is a link, so that not each of hundreds of jars is looked at with every wait.
    let links = jars.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    files.extend(links.map(|entry| entry.path()));
    for link in files {
        if let Ok(target) = fs::canonicalize(&link)
            && let (Some(folder), Some(name)) = (target.parent(), target.file_name())
        {
            let interest = folders
                .entry(folder.to_owned())
                .or_insert_with(|| Interest::Names(BTreeSet::new()));
            if let Interest::Names(names) = interest {
                names.insert(name.to_owned());
            }
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_temporary_files_are_no_news() {
        assert!(!Interest::All.covers(Path::new(".gocd-bc-x1.tmp")));
        assert!(Interest::All.covers(Path::new("x.jar")));
        let names = Interest::Names(BTreeSet::from([OsString::from("x.jar")]));
        assert!(names.covers(Path::new("x.jar")));
        assert!(!names.covers(Path::new("y.jar")));
    }
}
